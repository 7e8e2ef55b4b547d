/* SPDX-License-Identifier: MIT */
/*
 * A maildrop that is new to popfs needs every header. STAT tells how many messages there are while
 * UIDL and LIST are still to come, so TOP is asked for by number behind them, and the line does
 * not fall idle for a round trip when the listing ends. In the order of the listing, because the
 * first who may ask is an `ls -l`. Which message a number is, the
 * listing has told before the first of these answers comes, because answers come in order. A server
 * that leaves out a final dot makes them rows of the listing: what looks like it is not believed
 * (belief.h), and the next session is asked without guesses.
 */
#include "engine.h"

#include <stdlib.h>

/* Not where somebody may be waiting for something else, or what is asked for may be known. */
static bool is_worth_it(const struct sync *sync)
{
    return !sync->started && sync->careful_count == 0 && !engine_lists_alone(sync) &&
           sync->listing_next == LISTING_ASKED && !sync->made_up_listing && engine_has_top(sync);
}

void engine_guess_begin(struct sync *sync, uint32_t count)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    bool is_new = maildrop_snapshot_count(snapshot) == 0;
    maildrop_snapshot_unref(snapshot);
    if (is_new && count <= POP3_LISTING_ROWS_MAX && is_worth_it(sync))
        sync->guess_count = count;
}

enum fault engine_guess_continue(struct sync *sync, int64_t now_ms)
{
    while (sync->guess_next < sync->guess_count && link_may_issue(sync->link) &&
           sync->jobs.owed_octets < window_octets(&sync->window)) {
        struct job *job = jobs_add(&sync->jobs, JOB_GUESS, SCHEDULE_SWEEP, NULL);
        if (job == NULL)
            return FAULT_MEMORY;
        job->msgnum = sync->guess_next + 1;
        enum fault fault = engine_ask(sync, job, now_ms);
        if (fault != FAULT_NONE)
            return fault;
        sync->guess_next++;
    }
    return FAULT_NONE;
}

static void bind_all(struct sync *sync, struct maildrop_message *const *by_number)
{
    struct job *next;
    for (struct job *job = sync->jobs.in_flight.first; job != NULL; job = next) {
        next = job->next;
        if (job->kind == JOB_GUESS && by_number[job->msgnum] != NULL)
            jobs_bind(&sync->jobs, job, by_number[job->msgnum]);
    }
}

enum fault engine_guess_bind(struct sync *sync)
{
    size_t count = sync->guess_count;
    bool guessed = sync->guess_next > 0;
    sync->guess_next = sync->guess_count = 0;
    if (!guessed)
        return FAULT_NONE;
    CLEANUP_FREE struct maildrop_message **by_number = calloc(count + 1, sizeof(by_number[0]));
    if (by_number == NULL)
        return FAULT_MEMORY;
    for (size_t i = 0; i < maildrop_snapshot_count(sync->listed); i++)
        if (sync->msgnums[i] > 0 && sync->msgnums[i] <= count)
            by_number[sync->msgnums[i]] = maildrop_snapshot_at(sync->listed, i);
    bind_all(sync, by_number);
    return FAULT_NONE;
}
