/* SPDX-License-Identifier: MIT */
/*
 * Ends a session that nothing is wrong with: for a look at new mail, which needs another (RFC 1939:
 * a session sees the maildrop as it was at its login), to give the maildrop's lock back, and at the
 * end of the mount. Never while an answer is owed.
 */
#include "engine.h"

static bool is_drained(const struct sync *sync)
{
    const struct jobs *jobs = &sync->jobs;
    return sync->session_phase == SESSION_ONLINE && jobs->in_flight.count == 0 &&
           jobs->queued[SCHEDULE_READ].count == 0 && jobs->queued[SCHEDULE_STAT].count == 0;
}

/* The user's own wish for a listing does not wait until readers make a pause. */
static bool is_drained_for_user(const struct sync *sync)
{
    return sync->session_phase == SESSION_ONLINE && sync->jobs.in_flight.count == 0;
}

bool engine_is_draining(const struct sync *sync, int64_t now_ms, bool *ret_completely)
{
    bool may_login = now_ms >= agenda_login_from_ms(&sync->agenda);
    *ret_completely = sync->commit.phase != COMMIT_NONE || sync->body_waits ||
                      (sync->refresh_waiters.count > 0 && may_login);
    return *ret_completely || sync->is_retired || agenda_refresh_is_due(&sync->agenda, now_ms);
}

void engine_retire(struct sync *sync)
{
    sync->is_retired = true;
    sync->account.keepalive_ms = 0;
    sync->wants_listing = false;
    agenda_retire(&sync->agenda);
}

enum fault engine_end_session(struct sync *sync, int64_t now_ms)
{
    if (sync->account.noquit && sync->commit.phase == COMMIT_NONE) {
        engine_link_close(sync);
        return FAULT_NONE;
    }
    struct job *job = jobs_add(&sync->jobs, JOB_QUIT, SCHEDULE_READ, NULL);
    if (job == NULL)
        return FAULT_MEMORY;
    sync->session_phase = SESSION_QUITTING;
    return engine_ask(sync, job, now_ms);
}

/* LOGIN-DELAY may ask for more than anybody waits for. */
static void refuse_what_is_too_early(struct sync *sync, int64_t now_ms)
{
    if (sync->refresh_waiters.count > 0 &&
        agenda_login_from_ms(&sync->agenda) - now_ms > sync->account.timeout_ms)
        waiters_answer(&sync->refresh_waiters, FAULT_BUSY);
}

enum fault engine_upkeep(struct sync *sync, int64_t now_ms)
{
    bool asked = sync->refresh_waiters.count > 0;
    bool may_login = now_ms >= agenda_login_from_ms(&sync->agenda);
    bool due = agenda_refresh_is_due(&sync->agenda, now_ms);
    refuse_what_is_too_early(sync, now_ms);
    if (sync->link == NULL) {
        sync->wants_listing |= asked || due;
        return FAULT_NONE;
    }
    bool refresh = ((sync->body_waits || (asked && may_login)) && is_drained_for_user(sync)) ||
                   (due && is_drained(sync));
    bool idle = agenda_idle_is_due(&sync->agenda, now_ms) && is_drained(sync);
    if (!refresh && !idle)
        return FAULT_NONE;
    bool gathered;
    enum fault fault = engine_gather_evidence(sync, now_ms, &gathered);
    if (fault != FAULT_NONE || !gathered)
        return fault;
    sync->wants_listing |= refresh;
    return engine_end_session(sync, now_ms);
}

enum fault engine_stop(struct sync *sync, int64_t now_ms)
{
    if (sync->stop_commits && !sync->stop_committed) {
        sync->stop_committed = true;
        return engine_commit_begin(sync, now_ms);
    }
    if (sync->session_phase == SESSION_QUITTING)
        return FAULT_NONE;
    /* Who looks at what is still arriving? A new session is cheaper than the rest of a large body.
     */
    if (!is_drained_for_user(sync)) {
        sync->phase = ENGINE_OVER;
        return FAULT_NONE;
    }
    return engine_end_session(sync, now_ms);
}
