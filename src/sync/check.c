/* SPDX-License-Identifier: MIT */
/*
 * Compares kept bodies with their checksums: large ones at their first open (the FUSE thread does
 * that for small ones), and any for `verify`. A body is read in parts, one in
 * each turn of the loop, so that neither the server nor other readers wait for the whole of it.
 */
#include "engine.h"

#include <stdatomic.h>

enum {
    VERIFIED_IN_TURN_MAX = 64,
    DAMAGES_SAID_MAX = 10, /* a disk that fails has thousands */
};

/* ---- damage ---- */

static void say_damage(struct sync *sync, const struct maildrop_message *message)
{
    char uidl[128];
    if (sync->damages.count > DAMAGES_SAID_MAX)
        return;
    if (sync->damages.count == DAMAGES_SAID_MAX)
        log_write(LOG_LEVEL_WARNING,
                  "more copies in the cache are damaged, which is not said again; "
                  "popfsctl verify finds them all");
    else
        log_write(LOG_LEVEL_WARNING,
                  "the copy of message %s in the cache is damaged; it is fetched again",
                  text_escape(maildrop_message_uidl(message), uidl, sizeof(uidl)));
}

void engine_body_is_damaged(struct sync *sync, struct maildrop_message *message)
{
    struct damages *damages = &sync->damages;
    store_body_remove(sync->store, maildrop_message_id(message));
    say_damage(sync, message);
    pthread_mutex_lock(&sync->lock);
    struct maildrop_message **place = &damages->last[damages->count++ % SYNC_DAMAGES_MAX];
    struct maildrop_message *old = *place;
    *place = maildrop_message_ref(message);
    pthread_mutex_unlock(&sync->lock);
    maildrop_message_unref(old);
}

size_t sync_damages(struct sync *sync, struct maildrop_message **ret_messages, size_t room)
{
    struct damages *damages = &sync->damages;
    pthread_mutex_lock(&sync->lock);
    size_t count = damages->count < SYNC_DAMAGES_MAX ? damages->count : SYNC_DAMAGES_MAX;
    if (count > room)
        count = room;
    for (size_t i = 0; i < count; i++)
        ret_messages[i] =
            maildrop_message_ref(damages->last[(damages->count - count + i) % SYNC_DAMAGES_MAX]);
    pthread_mutex_unlock(&sync->lock);
    return count;
}

/* ---- one body ---- */

static enum fault begin(struct sync *sync, struct check *check, struct maildrop_message *message)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    enum fault fault = FAULT_GONE;
    if (exact)
        fault = store_check_new(sync->store, maildrop_message_id(message), octets, &check->reading);
    if (fault == FAULT_NONE)
        check->message = maildrop_message_ref(message);
    return fault;
}

static void end(struct check *check)
{
    store_check_free(check->reading);
    maildrop_message_unref(check->message);
    *check = (struct check){0};
}

/* A part of the check. FAULT_BUSY: there is more of it to do; otherwise what it has come to. */
static enum fault go_on(struct sync *sync, struct check *check, struct maildrop_message *message)
{
    uint64_t sum;
    enum fault fault = FAULT_NONE;
    if (check->reading == NULL)
        fault = begin(sync, check, message);
    if (fault == FAULT_NONE)
        fault = store_check_go_on(check->reading, &sum);
    if (fault == FAULT_NONE)
        store_body_note_sound(sync->store, maildrop_message_id(message), sum);
    else if (fault == FAULT_GARBLED)
        engine_body_is_damaged(sync, message);
    return fault;
}

/* Takes out those that are about the message. */
static struct sync_request *take_out(struct waiters *waiters,
                                     const struct maildrop_message *message)
{
    struct waiters all = *waiters;
    struct sync_request *taken = NULL;
    *waiters = (struct waiters){0};
    while (all.first != NULL) {
        struct sync_request *request = all.first;
        all.first = request->next;
        if (request->message != message) {
            waiters_add(waiters, request);
            continue;
        }
        request->next = taken;
        taken = request;
    }
    return taken;
}

/* ---- opens ---- */

/* Looks at the requests anew: the body is opened at once now, or fetched. */
static void route_opens(struct sync *sync, const struct maildrop_message *message, enum fault fault)
{
    struct sync_request *request = take_out(&sync->check_waiters, message);
    while (request != NULL) {
        struct sync_request *next = request->next;
        if (fault == FAULT_MEMORY)
            request->answer(request, fault, EXTENT_NONE);
        else
            jobs_reroute(&sync->jobs, request);
        request = next;
    }
}

/* True if there is more to do. */
static bool check_opens(struct sync *sync)
{
    struct check *check = &sync->open_check;
    struct maildrop_message *message = check->message;
    if (message == NULL && sync->check_waiters.count > 0)
        message = sync->check_waiters.first->message;
    if (message == NULL)
        return false;
    enum fault fault = go_on(sync, check, message);
    if (fault == FAULT_BUSY)
        return true;
    route_opens(sync, message, fault);
    end(check);
    return sync->check_waiters.count > 0;
}

/* ---- verify ---- */

void engine_verify(struct sync *sync, struct sync_request *request)
{
    if (request->message != NULL) {
        waiters_add(&sync->verify_waiters, request);
        return;
    }
    waiters_add(&sync->verify_all_waiters, request);
    maildrop_snapshot_unref(sync->verify_all);
    sync->verify_all = maildrop_snapshot(sync->maildrop);
    sync->verify_next = 0;
}

/* NULL: nothing is to be verified. */
static struct maildrop_message *verify_next(struct sync *sync)
{
    if (sync->verify_check.message != NULL)
        return sync->verify_check.message;
    if (sync->verify_waiters.count > 0)
        return sync->verify_waiters.first->message;
    if (sync->verify_all == NULL || sync->verify_all_waiters.count == 0)
        return NULL;
    return maildrop_snapshot_at(sync->verify_all, sync->verify_next);
}

static void answer_named(struct sync *sync, const struct maildrop_message *message,
                         enum fault fault)
{
    struct sync_request *request = take_out(&sync->verify_waiters, message);
    while (request != NULL) {
        struct sync_request *next = request->next;
        request->answer(request, fault == FAULT_MEMORY ? fault : FAULT_NONE, EXTENT_NONE);
        request = next;
    }
}

static void pass_over(struct sync *sync, const struct maildrop_message *message, enum fault fault)
{
    answer_named(sync, message, fault);
    if (sync->verify_all == NULL)
        return;
    if (sync->verify_next < maildrop_snapshot_count(sync->verify_all) &&
        maildrop_snapshot_at(sync->verify_all, sync->verify_next) == message)
        sync->verify_next++;
}

/* Answers when every message has been looked at; gives up if no request waits any more. */
static void settle_all(struct sync *sync)
{
    if (sync->verify_all == NULL)
        return;
    if (sync->verify_all_waiters.count > 0 &&
        sync->verify_next < maildrop_snapshot_count(sync->verify_all))
        return;
    maildrop_snapshot_unref(sync->verify_all);
    sync->verify_all = NULL;
    /* First: popfsctl reads the status as soon as it is answered. */
    engine_publish_status(sync, clock_now_ms());
    waiters_answer(&sync->verify_all_waiters, FAULT_NONE);
}

static bool verify(struct sync *sync)
{
    settle_all(sync);
    for (int i = 0; i < VERIFIED_IN_TURN_MAX; i++) {
        struct maildrop_message *message = verify_next(sync);
        if (message == NULL)
            return false;
        enum fault fault = go_on(sync, &sync->verify_check, message);
        if (fault == FAULT_BUSY)
            return true;
        sync->verified_count += fault == FAULT_NONE || fault == FAULT_GARBLED;
        if (sync->verify_waiters.count > 0)
            engine_publish_status(sync, clock_now_ms());
        pass_over(sync, message, fault);
        end(&sync->verify_check);
        settle_all(sync);
    }
    return true;
}

bool engine_check(struct sync *sync)
{
    bool opens = check_opens(sync);
    bool verifies = verify(sync);
    return opens || verifies;
}

void engine_check_answer_all(struct sync *sync, enum fault fault)
{
    waiters_answer(&sync->check_waiters, fault);
    waiters_answer(&sync->verify_waiters, fault);
    waiters_answer(&sync->verify_all_waiters, fault);
}

void engine_check_answer_canceled(struct sync *sync)
{
    waiters_answer_canceled(&sync->check_waiters);
    waiters_answer_canceled(&sync->verify_waiters);
    waiters_answer_canceled(&sync->verify_all_waiters);
}

void engine_check_done(struct sync *sync)
{
    end(&sync->open_check);
    end(&sync->verify_check);
    maildrop_snapshot_unref(sync->verify_all);
    for (size_t i = 0; i < SYNC_DAMAGES_MAX; i++)
        maildrop_message_unref(sync->damages.last[i]);
}
