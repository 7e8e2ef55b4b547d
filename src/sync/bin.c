/* SPDX-License-Identifier: MIT */
/*
 * What outlives its message: a body that is local when its message leaves the maildrop while the
 * user wishes it to go. It does not matter how that is learnt: at the end of a commit, from the
 * listing after a lost QUIT or a kill, or when the UIDL turns out to name another message. What
 * another client has deleted and the user has not is forgotten as ever.
 *
 * Ten thousand bodies take a tenth of a second to copy, for which a commit would wait. So from QUIT
 * on, when nothing can be taken back any more, they are copied ahead while the server works. If
 * not all of them go, that was in vain.
 */
#include "engine.h"

#include <stdlib.h>

enum {
    BIN_EVERY_MS = 3600 * 1000,
    AHEAD_COUNT_LEAST = 64, /* fewer take no time */
    AHEAD_TURN = 128,       /* bodies, before others have their turn: some milliseconds */
};

/* Said once until a commit goes well again; it goes on without the bin. */
static void note_failure(struct sync *sync, const struct failure *failure)
{
    if (!sync->bin_is_failing)
        log_write(LOG_LEVEL_WARNING, "%s; what is deleted is not kept in the bin", failure->text);
    sync->bin_is_failing = sync->bin_has_failed = true;
}

static void keep(struct sync *sync, const struct maildrop_message *message)
{
    struct failure failure;
    char name[SYNC_NAME_OCTETS];
    int64_t time_s = STORE_TIME_UNKNOWN;
    (void)maildrop_message_time(message, &time_s);
    if (!sync->account.name_of(maildrop_message_uidl(message), maildrop_message_copy(message),
                               name))
        return; /* for want of memory */
    enum fault fault =
        store_bin_keep(sync->store, maildrop_message_id(message), slice_from_string(name), time_s,
                       sync->turn_wall_ns / 1000000000, &failure);
    if (fault == FAULT_REFUSED)
        log_write(LOG_LEVEL_INFO, "%s is not kept in the bin: %s", name, failure.text);
    else if (fault != FAULT_NONE)
        note_failure(sync, &failure);
}

/* ---- ahead ---- */

static bool is_on(const struct sync *sync)
{
    return sync->account.bin_s > 0 && sync->account.name_of != NULL;
}

static size_t ahead_count(const struct bin_ahead *ahead)
{
    return ahead->ids.len / sizeof(uint64_t);
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

static bool is_ahead(const struct bin_ahead *ahead, const struct maildrop_message *message)
{
    uint64_t id = maildrop_message_id(message);
    return ahead->ids.len > 0 &&
           bsearch(&id, ahead->ids.data, ahead_count(ahead), sizeof(id), compare_ids) != NULL;
}

/* Nothing more is put there ahead. True: all of it has gone, and is there now. */
static bool end_ahead(struct sync *sync, size_t gone_count)
{
    struct bin_ahead *ahead = &sync->bin_ahead;
    struct failure failure;
    bool wanted = ahead->is_on && gone_count == ahead_count(ahead);
    if (ahead->is_on && store_bin_end_ahead(sync->store, wanted, &failure) != FAULT_NONE)
        note_failure(sync, &failure);
    ahead->is_on = false;
    return wanted;
}

void engine_bin_drop_ahead(struct sync *sync)
{
    (void)end_ahead(sync, SIZE_MAX);
    buffer_done(&sync->bin_ahead.ids);
}

void engine_bin_begin_ahead(struct sync *sync)
{
    engine_bin_drop_ahead(sync);
    if (!is_on(sync) || engine_removals_count(&sync->commit, removal_is_asked) < AHEAD_COUNT_LEAST)
        return;
    sync->bin_ahead.is_on = true;
    sync->bin_ahead.next = 0;
    store_bin_begin_ahead(sync->store);
}

void engine_bin_go_ahead(struct sync *sync)
{
    struct bin_ahead *ahead = &sync->bin_ahead;
    const struct commit *commit = &sync->commit;
    size_t kept_count = 0;
    if (!ahead->is_on)
        return;
    for (; ahead->next < commit->removals_count && kept_count < AHEAD_TURN; ahead->next++) {
        const struct removal *removal = &commit->removals[ahead->next];
        uint64_t id = maildrop_message_id(removal->message);
        if (!removal_is_asked(removal) ||
            !buffer_append(&ahead->ids, (struct slice){(const char *)&id, sizeof(id)}))
            continue;
        keep(sync, removal->message);
        kept_count++;
    }
    sync->looks_on |= ahead->next < commit->removals_count;
}

/* ---- what has gone ---- */

static size_t count_going(const struct sync *sync, struct maildrop_message *const *messages,
                          size_t count, size_t *ret_ahead_count)
{
    size_t going_count = 0;
    *ret_ahead_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!maildrop_message_is_going(messages[i]))
            continue;
        going_count++;
        *ret_ahead_count += is_ahead(&sync->bin_ahead, messages[i]);
    }
    return going_count;
}

void engine_bin_keep(struct sync *sync, struct maildrop_message *const *messages, size_t count)
{
    struct failure failure;
    size_t gone_count;
    if (!is_on(sync) || count_going(sync, messages, count, &gone_count) == 0)
        return;
    bool wanted = end_ahead(sync, gone_count);
    for (size_t i = 0; i < count; i++)
        if (maildrop_message_is_going(messages[i]) &&
            !(wanted && is_ahead(&sync->bin_ahead, messages[i])))
            keep(sync, messages[i]);
    if (store_bin_settle(sync->store, &failure) != FAULT_NONE)
        note_failure(sync, &failure);
    buffer_done(&sync->bin_ahead.ids);
    sync->bin_is_failing &= sync->bin_has_failed;
    sync->bin_has_failed = false;
    store_bin_expire(sync->store, sync->turn_wall_ns / 1000000000);
}

void engine_bin_tend(struct sync *sync, int64_t now_ms)
{
    if (!sync->started || sync->phase != ENGINE_SERVE || now_ms < sync->bin_at_ms)
        return;
    store_bin_expire(sync->store, sync->turn_wall_ns / 1000000000);
    sync->bin_at_ms = now_ms + BIN_EVERY_MS;
}
