/* SPDX-License-Identifier: MIT */
/*
 * Commits: DELE for each message that is going, then QUIT, whose +OK alone makes them real (RFC
 * 1939, 6), then a new session whose listing proves it (proof.c).
 *
 *     COMMIT_DELETING   a session is made if there is none; DELE for each
 *     COMMIT_RESETTING  somebody took a wish back whose DELE was sent: RSET, and DELETING anew
 *     COMMIT_QUITTING   QUIT is out; from here until a listing tells what became of it, what it is
 *                       about cannot be taken back
 *     COMMIT_PROVING    QUIT was answered +OK; the next listing tells
 *
 * A link that is lost on the way commits nothing, or everything if the +OK was lost: the next login
 * tells, because it lists what is still there. So a lost link is answered by logging in again and
 * starting over with what is left. What could not be done stays pending.
 */
#include "engine.h"

enum fault engine_commit_ask(struct sync *sync, enum job_kind kind,
                             struct maildrop_message *message, size_t removal, int64_t now_ms)
{
    struct job *job = jobs_add(&sync->jobs, kind, SCHEDULE_READ, message);
    if (job == NULL)
        return FAULT_MEMORY;
    job->removal = removal;
    return engine_ask(sync, job, now_ms);
}

/*
 * From here on no wish that the QUIT is about can be taken back; false if one has been whose DELE
 * is out. Both under one lock with sync_restore(), so that none slips through, and with
 * sync_remove(), so that none is out which could not be written down.
 */
static bool close_door(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    bool all_going = true;
    pthread_mutex_lock(&sync->wish_lock);
    pthread_mutex_lock(&sync->lock);
    for (size_t i = 0; i < commit->removals_count; i++)
        all_going &=
            !removal_is_asked(&commit->removals[i]) || removal_is_going(&commit->removals[i]);
    for (size_t i = 0; i < commit->removals_count && all_going; i++)
        if (removal_is_asked(&commit->removals[i]))
            maildrop_message_set_leaving(commit->removals[i].message, true);
    sync->quit_is_unheard |= all_going;
    pthread_mutex_unlock(&sync->lock);
    pthread_mutex_unlock(&sync->wish_lock);
    return all_going;
}

static enum fault leave(struct sync *sync, int64_t now_ms)
{
    if (!close_door(sync)) {
        sync->commit.phase = COMMIT_RESETTING;
        return engine_commit_ask(sync, JOB_RSET, NULL, 0, now_ms);
    }
    sync->commit.phase = COMMIT_QUITTING;
    engine_bin_begin_ahead(sync);
    return engine_end_session(sync, now_ms);
}

/* At the end of the mount nobody is left to take a wish back: QUIT follows the last DELE, and what
 * the DELEs are answered is heard before what QUIT is. Once: a link that breaks may not bear it. */
static bool may_leave_at_once(const struct sync *sync)
{
    return sync->phase == ENGINE_STOPPING && sync->dele_sent && sync->careful_count == 0 &&
           sync->commit.attempts == 0 && isolate_is_calm(&sync->commit.isolate) &&
           link_may_issue(sync->link);
}

static enum fault delete_all(struct sync *sync, int64_t now_ms)
{
    bool all;
    enum fault fault = engine_prove_pending(sync, now_ms, &all);
    if (fault != FAULT_NONE || !all)
        return fault;
    fault = engine_deles_send(sync, now_ms, &all);
    if (fault != FAULT_NONE || !all)
        return fault;
    if (sync->jobs.in_flight.count > 0 && !may_leave_at_once(sync))
        return FAULT_NONE;
    if (sync->jobs.in_flight.count > 0 ||
        engine_removals_count(&sync->commit, removal_is_asked) > 0)
        return leave(sync, now_ms);
    /* What it had taken before an RSET may be all that it takes. */
    if (sync->commit.put_off_first != SIZE_MAX)
        return engine_end_session(sync, now_ms);
    /* All were refused that this session was asked for. */
    sync->looks_on = engine_commit_goes_on(&sync->commit);
    engine_commit_begin_session(&sync->commit);
    if (!sync->looks_on)
        engine_commit_conclude(sync, FAULT_NONE);
    return FAULT_NONE;
}

enum fault engine_rset_answered(struct sync *sync, const struct pop3_event *event,
                                struct failure *ret_failure)
{
    char text[256];
    if (!event->ok)
        return failure_set(ret_failure, FAULT_GARBLED, "the server refuses RSET: %s",
                           text_escape(event->text, text, sizeof(text)));
    engine_commit_begin_session(&sync->commit);
    sync->dele_sent = false;
    sync->commit.phase = COMMIT_DELETING;
    return FAULT_NONE;
}

/* ---- the course of a commit ---- */

enum fault engine_commit_begin(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    enum fault fault = engine_removals_collect(sync);
    /* Of a commit of nothing nobody is told, who may still be about to ask what the last one did.
     */
    if (fault != FAULT_NONE || commit->removals_count == 0) {
        engine_removals_done(commit);
        sync->looks_on = true;
        waiters_answer(&sync->commit_waiters, fault);
        return fault;
    }
    waiters_move(&sync->commit_served, &sync->commit_waiters);
    commit->phase = COMMIT_DELETING;
    sync->looks_on = true;
    commit->attempts = 0;
    commit->prove_again_ms = 0;
    commit->removed_count = 0;
    commit->broke = false;
    commit->last = (struct failure){0};
    isolate_begin(&commit->isolate);
    engine_commit_begin_session(commit);
    /* One that had to wait for another commit has waited already. */
    if (sync->phase == ENGINE_SERVE)
        commit->deadline_ms = waiters_oldest_ms(&sync->commit_served, now_ms) + COMMIT_MS;
    engine_commit_may_wait(sync, now_ms);
    return FAULT_NONE;
}

void engine_commit_may_wait(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    commit->busy_until_ms = now_ms + sync->account.timeout_ms;
    if (commit->busy_until_ms > commit->deadline_ms)
        commit->busy_until_ms = commit->deadline_ms;
}

void engine_commit_hurry(struct sync *sync, int64_t now_ms)
{
    sync->commit.deadline_ms = now_ms + COMMIT_MS;
    if (sync->commit.phase == COMMIT_PROVING && !sync->quit_is_doubted &&
        !engine_commit_goes_on(&sync->commit))
        (void)engine_quit_believe(sync);
}

/*
 * What the window allows is soon here; more than that, a large body, takes longer than a new
 * session.
 */
static bool is_worth_a_new_session(const struct sync *sync, int64_t now_ms)
{
    return sync->phase == ENGINE_STOPPING && sync->commit.dele_next == 0 &&
           sync->jobs.in_flight.count > 0 &&
           sync->jobs.owed_octets > window_octets(&sync->window) &&
           now_ms >= agenda_login_from_ms(&sync->agenda);
}

static int64_t patience_ends_ms(const struct sync *sync, int64_t now_ms)
{
    int64_t until_ms = now_ms + sync->account.timeout_ms;
    return sync->phase == ENGINE_SERVE && until_ms < sync->commit.deadline_ms
               ? until_ms
               : sync->commit.deadline_ms;
}

/* LOGIN-DELAY may ask for more than anybody waits for. */
static bool is_too_early(const struct sync *sync, int64_t now_ms)
{
    return sync->link == NULL &&
           agenda_login_from_ms(&sync->agenda) > patience_ends_ms(sync, now_ms);
}

/* So may the back-off that a commit finds when it begins, after others were told of a maildrop in
 * use. */
static bool is_locked_out(const struct sync *sync, int64_t now_ms)
{
    return sync->link == NULL && sync->commit.attempts == 0 && sync->login_failed &&
           !sync->fetching && sync->retry_ms > patience_ends_ms(sync, now_ms);
}

/* The password was refused, and there is no other one. */
static bool is_refused_for_good(const struct sync *sync)
{
    return sync->link == NULL && sync->refused == REFUSED_FOR_GOOD && !sync->fetching;
}

/* Of what a QUIT was about the next listing has to tell first. */
static bool has_nothing_to_do(const struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    return engine_removals_count(commit, removal_is_pending) == 0 &&
           engine_removals_count(commit, removal_is_asked) == 0 && !sync->quit_is_unheard;
}

/* By another session's listing. */
static bool is_to_prove_again(const struct sync *sync, int64_t now_ms)
{
    return sync->commit.phase == COMMIT_PROVING && sync->session_phase == SESSION_ONLINE &&
           sync->jobs.in_flight.count == 0 && now_ms >= sync->commit.prove_again_ms;
}

int64_t engine_commit_at_ms(const struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    if (commit->phase == COMMIT_PROVING && sync->session_phase == SESSION_ONLINE &&
        sync->jobs.in_flight.count == 0 && commit->prove_again_ms < commit->deadline_ms)
        return commit->prove_again_ms;
    return commit->phase != COMMIT_NONE ? commit->deadline_ms : -1;
}

/* DELEs that are owed, or that no QUIT has followed, belong to this commit: a session that goes on
 * must not delete what may be taken back from now on, nor answer them to the next commit. */
static void drop_deles(struct sync *sync)
{
    bool owed = false;
    for (const struct job *job = sync->jobs.in_flight.first; job != NULL; job = job->next)
        owed |= job->kind == JOB_DELE;
    if (!owed && !(sync->dele_sent && sync->session_phase == SESSION_ONLINE))
        return;
    engine_deles_note_deadline(sync);
    engine_link_drop(sync);
    jobs_abandon_in_flight(&sync->jobs);
}

/* The commit answers in time; what is left stays pending. */
static void give_up_in_time(struct sync *sync)
{
    bool away = sync->link == NULL && sync->login_failed;
    const char *why = away ? sync->last_failure.text : sync->commit.last.text;
    if (sync->commit.phase == COMMIT_PROVING) {
        engine_proof_gives_up(sync, why);
    } else {
        drop_deles(sync);
        engine_removals_fail_pending(sync, why);
        engine_commit_conclude(sync, FAULT_TIMEOUT);
    }
    /* What was removed since this one began is in the last one, which ends at once as well. */
    if (sync->phase == ENGINE_STOPPING && (sync->stop_committed || !sync->stop_commits))
        sync->phase = ENGINE_OVER;
}

enum fault engine_commit(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (now_ms >= commit->deadline_ms) {
        give_up_in_time(sync);
        return FAULT_NONE;
    }
    if (commit->asks_listed && sync->session_phase == SESSION_ONLINE)
        return engine_commit_prove(sync, now_ms);
    if (commit->asks_listed && commit->phase == COMMIT_PROVING)
        return FAULT_NONE;
    if (is_to_prove_again(sync, now_ms))
        return engine_end_session(sync, now_ms);
    if (commit->phase != COMMIT_DELETING)
        return FAULT_NONE;
    if (has_nothing_to_do(sync)) {
        engine_commit_conclude(sync, FAULT_NONE);
        return FAULT_NONE;
    }
    if (is_too_early(sync, now_ms)) {
        engine_removals_fail_pending(sync, "the server wants a longer pause between two logins");
        engine_commit_conclude(sync, FAULT_BUSY);
        return FAULT_NONE;
    }
    if (is_locked_out(sync, now_ms) || is_refused_for_good(sync)) {
        engine_removals_fail_pending(sync, sync->last_failure.text);
        engine_commit_conclude(sync, sync->last_failure.fault);
        return FAULT_NONE;
    }
    if (sync->session_phase != SESSION_ONLINE)
        return FAULT_NONE;
    if (is_worth_a_new_session(sync, now_ms)) {
        engine_link_drop(sync);
        jobs_abandon_in_flight(&sync->jobs);
        return FAULT_NONE;
    }
    return delete_all(sync, now_ms);
}

enum fault engine_quit_answered(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                struct failure *ret_failure)
{
    char text[256];
    if (!event->ok && sync->commit.phase == COMMIT_QUITTING)
        return failure_set(ret_failure, FAULT_REFUSED, "the server would not commit: %s",
                           text_escape(event->text, text, sizeof(text)));
    sync->dele_sent = false;
    if (sync->commit.phase == COMMIT_QUITTING && sync->commit.put_off_first != SIZE_MAX)
        isolate_note_refusals(&sync->commit.isolate, sync->commit.taken_count);
    engine_link_close(sync);
    return sync->commit.phase == COMMIT_QUITTING ? engine_quit_accepted(sync, now_ms) : FAULT_NONE;
}

/* A maildrop in use may be so by our own session that has just ended, or been lost. True if it is
 * waited for; login_failed() has said until when. */
static bool waits_for_maildrop(struct sync *sync, enum fault fault, int64_t now_ms)
{
    int64_t until_ms = sync->commit.busy_until_ms;
    if (fault != FAULT_BUSY)
        engine_commit_may_wait(sync, now_ms);
    if (fault != FAULT_BUSY || now_ms >= until_ms)
        return false;
    if (sync->retry_ms > until_ms)
        sync->retry_ms = until_ms;
    if (sync->retry_ms <= now_ms)
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
    return true;
}

static bool is_undecided(const struct removal *removal)
{
    return !removal->failed && !removal->removed;
}

/* The session broke under a DELE or under QUIT: the next one is asked for what isolate.h says. */
static void isolate(struct sync *sync, const struct failure *failure, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (isolate_gives_up(&commit->isolate))
        engine_removals_fail_pending(sync, failure->text);
    if (!engine_commit_goes_on(commit) &&
        !(sync->quit_is_unheard && engine_removals_count(commit, is_undecided) > 0)) {
        bool none = engine_removals_count(commit, removal_is_removed) == 0;
        engine_commit_conclude(sync, none ? failure->fault : FAULT_NONE);
        return;
    }
    sync->retry_ms = now_ms + COMMIT_RETRY_MS;
}

void engine_commit_link_lost(struct sync *sync, const struct failure *failure, enum pop3_code code,
                             int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (commit->phase == COMMIT_PROVING) {
        if (!waits_for_maildrop(sync, failure->fault, now_ms))
            engine_proof_failed(sync, failure, code, now_ms);
        return;
    }
    /* A password or a certificate that was refused is not tried again before something else has
     * been fetched. */
    bool hopeless =
        (failure->fault == FAULT_UNTRUSTED || failure->fault == FAULT_LOGIN) && !sync->fetching;
    bool broke = commit->broke && !hopeless && failure->fault != FAULT_BUSY;
    commit->broke = false;
    engine_commit_begin_session(commit);
    commit->phase = COMMIT_DELETING;
    if (waits_for_maildrop(sync, failure->fault, now_ms))
        return;
    if (broke) {
        isolate(sync, failure, now_ms);
        return;
    }
    if (hopeless || failure->fault == FAULT_BUSY || ++commit->attempts >= COMMIT_ATTEMPTS_MAX) {
        engine_removals_fail_pending(sync, failure->text);
        engine_commit_conclude(sync, failure->fault);
        return;
    }
    /* When to come back after a refused password, note_refusal() has said. */
    if (failure->fault != FAULT_LOGIN)
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
}
