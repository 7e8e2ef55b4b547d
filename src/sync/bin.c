/* SPDX-License-Identifier: MIT */
/*
 * What outlives its message: a body that is local when its message leaves the maildrop while the
 * user wishes it to go. It does not matter how that is learnt: at the end of a commit, from the
 * listing after a lost QUIT or a kill, or when the UIDL turns out to name another message. What
 * another client has deleted and the user has not is forgotten as ever.
 */
#include "engine.h"

enum { BIN_EVERY_MS = 3600 * 1000 };

static enum fault keep(struct sync *sync, const struct maildrop_message *message,
                       struct failure *ret_failure)
{
    struct failure failure;
    char name[SYNC_NAME_OCTETS];
    int64_t time_s = STORE_TIME_UNKNOWN;
    (void)maildrop_message_time(message, &time_s);
    if (!sync->account.name_of(maildrop_message_uidl(message), maildrop_message_copy(message),
                               name))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    enum fault fault =
        store_bin_keep(sync->store, maildrop_message_id(message), slice_from_string(name), time_s,
                       sync->turn_wall_ns / 1000000000, &failure);
    if (fault == FAULT_NONE)
        return FAULT_NONE;
    if (fault != FAULT_REFUSED)
        return failure_set(ret_failure, fault, "%s", failure.text);
    log_write(LOG_LEVEL_INFO, "%s is not kept in the bin: %s", name, failure.text);
    return FAULT_NONE;
}

/* Said once until it works again: the commit goes on without it. */
static void note_result(struct sync *sync, enum fault fault, const struct failure *failure)
{
    if (fault != FAULT_NONE && !sync->bin_is_failing)
        log_write(LOG_LEVEL_WARNING, "%s; what is deleted is not kept in the bin", failure->text);
    sync->bin_is_failing = fault != FAULT_NONE;
}

void engine_bin_keep(struct sync *sync, struct maildrop_message *const *messages, size_t count)
{
    struct failure first = {.text = ""};
    enum fault first_fault = FAULT_NONE;
    size_t going_count = 0;
    if (sync->account.bin_s == 0 || sync->account.name_of == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!maildrop_message_is_going(messages[i]))
            continue;
        going_count++;
        enum fault fault = keep(sync, messages[i], first_fault == FAULT_NONE ? &first : NULL);
        first_fault = first_fault == FAULT_NONE ? fault : first_fault;
    }
    if (going_count == 0)
        return;
    enum fault fault = store_bin_settle(sync->store, first_fault == FAULT_NONE ? &first : NULL);
    first_fault = first_fault == FAULT_NONE ? fault : first_fault;
    note_result(sync, first_fault, &first);
    store_bin_expire(sync->store, sync->turn_wall_ns / 1000000000);
}

void engine_bin_tend(struct sync *sync, int64_t now_ms)
{
    if (!sync->started || sync->phase != ENGINE_SERVE || now_ms < sync->bin_at_ms)
        return;
    store_bin_expire(sync->store, sync->turn_wall_ns / 1000000000);
    sync->bin_at_ms = now_ms + BIN_EVERY_MS;
}
