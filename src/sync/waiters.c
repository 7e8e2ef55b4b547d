/* SPDX-License-Identifier: MIT */
#include "waiters.h"

#include <stdatomic.h>

void waiters_add(struct waiters *waiters, struct sync_request *request)
{
    request->next = waiters->first;
    waiters->first = request;
    waiters->count++;
}

void waiters_move(struct waiters *to, struct waiters *from)
{
    while (from->first != NULL) {
        struct sync_request *request = from->first;
        from->first = request->next;
        waiters_add(to, request);
    }
    from->count = 0;
}

void waiters_answer(struct waiters *waiters, enum fault fault)
{
    struct sync_request *request = waiters->first;
    *waiters = (struct waiters){0};
    while (request != NULL) {
        struct sync_request *next = request->next;
        request->answer(request, fault, EXTENT_NONE);
        request = next;
    }
}

void waiters_expire(struct waiters *waiters, int64_t expired_ms, enum fault fault)
{
    struct waiters all = *waiters;
    struct waiters expired = {0};
    *waiters = (struct waiters){0};
    while (all.first != NULL) {
        struct sync_request *request = all.first;
        all.first = request->next;
        waiters_add(request->submitted_ms < expired_ms ? &expired : waiters, request);
    }
    waiters_answer(&expired, fault);
}

int64_t waiters_oldest_ms(const struct waiters *waiters, int64_t none_ms)
{
    int64_t oldest_ms = none_ms;
    for (struct sync_request *request = waiters->first; request != NULL; request = request->next)
        if (request->submitted_ms < oldest_ms)
            oldest_ms = request->submitted_ms;
    return oldest_ms;
}

void waiters_wait_from(struct waiters *waiters, int64_t now_ms)
{
    for (struct sync_request *request = waiters->first; request != NULL; request = request->next)
        request->submitted_ms = now_ms;
}

void waiters_answer_canceled(struct waiters *waiters)
{
    struct waiters all = *waiters;
    struct waiters canceled = {0};
    *waiters = (struct waiters){0};
    while (all.first != NULL) {
        struct sync_request *request = all.first;
        all.first = request->next;
        waiters_add(atomic_load(&request->canceled) ? &canceled : waiters, request);
    }
    waiters_answer(&canceled, FAULT_CANCELED);
}
