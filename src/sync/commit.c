/* SPDX-License-Identifier: MIT */
/*
 * Commits: DELE for each message that is going, then QUIT, whose +OK alone makes them real (RFC
 * 1939, 6), then a new session whose listing proves it: Dovecot on a folder that it cannot write
 * says +OK and deletes nothing, and so do others (POP3.md 3.3). At the end of the mount that is
 * done only if the last proof failed.
 *
 *     COMMIT_DELETING   a session is made if there is none; DELE for each
 *     COMMIT_RESETTING  somebody took a wish back whose DELE was sent: RSET, and DELETING anew
 *     COMMIT_QUITTING   QUIT is out; wishes cannot be taken back
 *     COMMIT_PROVING    QUIT was answered +OK; the next listing tells
 *
 * A link that is lost on the way commits nothing, or everything if the +OK was lost: the next login
 * tells, because it lists what is still there. So a lost link is answered by logging in again and
 * starting over with what is left. What could not be done stays pending.
 */
#include "engine.h"

#include "clock.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMMIT_ATTEMPTS_MAX = 3,
    COMMIT_DELES_MAX = 32768, /* outstanding at once: their answers are short */
    COMMIT_DELES_TURN = 512,  /* sent, before more are made: the server works meanwhile */
    COMMIT_RETRY_MS = 1000,
    COMMIT_BUSY_RETRY_MS = 5000, /* our own lost session may still hold the lock */
    PROVE_AGAIN_MS = 1000,       /* Courier deletes after it has said that it is done */
    FINAL_COMMIT_MS = 80000,     /* systemd kills a unit after 90 s; what is left stays pending */
};

/* ---- the outcome ---- */

static void keep_failure(struct sync *sync, struct removal *removal, const char *why)
{
    struct commit_outcome *outcome = &sync->commit.outcome;
    struct store_summary summary;
    if (outcome->kept_count == SYNC_FAILURES_MAX)
        return;
    struct sync_removal_failure *kept = &outcome->failures[outcome->kept_count++];
    kept->message = maildrop_message_ref(removal->message);
    store_summary(sync->store, maildrop_message_id(removal->message), &summary);
    snprintf(kept->reason, sizeof(kept->reason), "%s", why);
    snprintf(kept->from, sizeof(kept->from), "%s", summary.from);
    snprintf(kept->subject, sizeof(kept->subject), "%s", summary.subject);
}

static void removal_failed(struct sync *sync, struct removal *removal, const char *why)
{
    char uidl[600];
    struct commit_outcome *outcome = &sync->commit.outcome;
    removal->failed = true;
    outcome->failed_count++;
    text_escape(maildrop_message_uidl(removal->message), uidl, sizeof(uidl));
    log_write(LOG_LEVEL_ERROR, "could not delete %s: %s", uidl, why);
    if (outcome->failure.fault == FAULT_NONE)
        failure_set(&outcome->failure, FAULT_REFUSED, "could not delete %s: %s", uidl, why);
    keep_failure(sync, removal, why);
}

void engine_outcome_done(struct commit_outcome *outcome)
{
    for (size_t i = 0; i < outcome->kept_count; i++)
        maildrop_message_unref(outcome->failures[i].message);
    *outcome = (struct commit_outcome){0};
}

/* Where sync_status() and sync_commit_failures() see it. */
static void publish_outcome(struct sync *sync)
{
    struct commit_outcome old;
    sync->commit.outcome.at_s = clock_wall_ns() / 1000000000;
    pthread_mutex_lock(&sync->lock);
    old = sync->outcome;
    sync->outcome = sync->commit.outcome;
    sync->quitting = false;
    pthread_mutex_unlock(&sync->lock);
    sync->commit.outcome = (struct commit_outcome){0};
    engine_outcome_done(&old);
    sync->status_is_stale = true;
}

/* ---- what is to be removed ---- */

static bool is_going(const struct removal *removal)
{
    return maildrop_message_is_going(removal->message);
}

static bool is_undecided(const struct removal *removal)
{
    return !removal->failed && !removal->removed;
}

static bool is_pending(const struct removal *removal)
{
    return is_undecided(removal) && is_going(removal);
}

/* The server deletes it at QUIT, or may. */
static bool is_asked(const struct removal *removal)
{
    return removal->asked && !removal->failed;
}

static size_t pending_count(const struct commit *commit)
{
    size_t count = 0;
    for (size_t i = 0; i < commit->removals_count; i++)
        count += is_pending(&commit->removals[i]);
    return count;
}

static size_t sent_count(const struct commit *commit)
{
    size_t count = 0;
    for (size_t i = 0; i < commit->removals_count; i++)
        count += commit->removals[i].sent;
    return count;
}

static void forget_sent(struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        commit->removals[i].asked = commit->removals[i].sent = false;
    commit->dele_next = 0;
}

static void fail_pending(struct sync *sync, const char *why)
{
    for (size_t i = 0; i < sync->commit.removals_count; i++)
        if (is_pending(&sync->commit.removals[i]))
            removal_failed(sync, &sync->commit.removals[i], why);
}

static void removals_done(struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        maildrop_message_unref(commit->removals[i].message);
    free(commit->removals);
    commit->removals = NULL;
    commit->removals_count = 0;
}

void engine_commit_done(struct commit *commit)
{
    removals_done(commit);
    engine_outcome_done(&commit->outcome);
}

/* Every message that is going now. What is removed later waits for the next commit. */
static enum fault collect(struct sync *sync)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    size_t count = maildrop_snapshot_count(snapshot);
    size_t going = 0;
    for (size_t i = 0; i < count; i++)
        going += maildrop_message_is_going(maildrop_snapshot_at(snapshot, i));
    struct removal *removals = calloc(going + 1, sizeof(removals[0]));
    size_t collected = 0;
    for (size_t i = 0; removals != NULL && i < count && collected < going; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        if (maildrop_message_is_going(message))
            removals[collected++] = (struct removal){.message = maildrop_message_ref(message),
                                                     .made_up = atomic_load(&sync->made_up)};
    }
    maildrop_snapshot_unref(snapshot);
    if (removals == NULL)
        return FAULT_MEMORY;
    sync->commit.removals = removals;
    sync->commit.removals_count = collected;
    return FAULT_NONE;
}

/* ---- the end of a commit ---- */

static void count_removed(struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        commit->outcome.removed_count += commit->removals[i].removed;
}

/* `fault`: what the whole commit failed with, or FAULT_NONE if each removal tells for itself. */
static void conclude(struct sync *sync, enum fault fault)
{
    struct commit *commit = &sync->commit;
    count_removed(commit);
    if (fault == FAULT_NONE && commit->outcome.failed_count > 0)
        fault = FAULT_REFUSED;
    if (commit->outcome.removed_count > 0)
        log_write(LOG_LEVEL_INFO, "deleted %zu message%s", commit->outcome.removed_count,
                  commit->outcome.removed_count == 1 ? "" : "s");
    if (sync->phase == ENGINE_STOPPING) {
        /* What failed in a commit that the end of the mount came upon has been tried again. */
        sync->report.removed_count += commit->outcome.removed_count;
        sync->report.failed_count = commit->outcome.failed_count;
        sync->report.failure = commit->outcome.failure;
    }
    commit->phase = COMMIT_NONE;
    sync->looks_on = true; /* what waited for the end of it goes on */
    removals_done(commit);
    publish_outcome(sync);
    engine_index_flush(sync);
    waiters_answer(&sync->commit_served, fault);
}

/* These have gone, as far as can be known. */
static enum fault settle(struct sync *sync, bool (*is_due)(const struct removal *removal))
{
    struct commit *commit = &sync->commit;
    CLEANUP_FREE struct maildrop_message **gone =
        calloc(commit->removals_count + 1, sizeof(gone[0]));
    struct maildrop_changes changes = {.vanished = gone};
    if (gone == NULL)
        return FAULT_MEMORY;
    for (size_t i = 0; i < commit->removals_count; i++) {
        struct removal *removal = &commit->removals[i];
        if (!is_due(removal))
            continue;
        removal->removed = true;
        gone[changes.vanished_count++] = removal->message;
    }
    if (maildrop_forget(sync->maildrop, gone, changes.vanished_count) != FAULT_NONE)
        return FAULT_MEMORY;
    engine_note_vanished(sync, &changes);
    engine_index_changes(sync, &changes);
    engine_publish_snapshot(sync, &changes);
    return FAULT_NONE;
}

static bool is_sent(const struct removal *removal)
{
    return removal->sent && is_undecided(removal);
}

/* No later session can tell what became of these. */
static bool is_sent_and_beyond_proof(const struct removal *removal)
{
    return is_sent(removal) && (removal->made_up || !maildrop_message_is_unique(removal->message));
}

/* ---- a new listing ---- */

static void judge(struct sync *sync, struct removal *removal)
{
    if (!maildrop_message_is_gone(removal->message)) {
        if (sync->commit.phase == COMMIT_PROVING && removal->sent && is_going(removal))
            removal_failed(sync, removal, "the server said that it was done, but still has it");
        return;
    }
    if (removal->made_up)
        removal_failed(sync, removal,
                       "the server has no UIDL, so it cannot be identified in a new session");
    else if (!maildrop_message_is_unique(removal->message))
        removal_failed(sync, removal,
                       "it shares its UIDL, so it cannot be identified in a new session");
    else if (maildrop_message_is_replaced(removal->message))
        removal_failed(sync, removal, "its UIDL names another message now");
    else
        removal->removed = true;
}

static void judge_those(struct sync *sync, bool (*are)(const struct removal *removal))
{
    struct commit *commit = &sync->commit;
    for (size_t i = 0; i < commit->removals_count; i++)
        if (are(&commit->removals[i]))
            judge(sync, &commit->removals[i]);
}

/* A listing lacked it; those that have been heard are over with it. */
static bool is_undecided_and_gone(const struct removal *removal)
{
    return is_undecided(removal) && maildrop_message_is_gone(removal->message);
}

/* Listed still, although QUIT was answered +OK. */
static bool is_disproved(const struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        if (is_sent(&commit->removals[i]) && !maildrop_message_is_gone(commit->removals[i].message))
            return true;
    return false;
}

/* What the listing says of the +OK that QUIT was answered; of twins it says nothing. */
static void note_proof(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    if (is_disproved(commit))
        sync->quit_is_doubted = true;
    else
        for (size_t i = 0; i < commit->removals_count; i++)
            if (is_sent(&commit->removals[i]) && !is_sent_and_beyond_proof(&commit->removals[i]))
                sync->quit_is_doubted = false;
}

/* For another session that proves; LOGIN-DELAY may ask for a day. */
static bool may_log_in_soon(const struct sync *sync, int64_t now_ms)
{
    return agenda_login_from_ms(&sync->agenda) <= now_ms + sync->account.timeout_ms;
}

void engine_commit_listed(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (commit->phase == COMMIT_NONE)
        return;
    if (commit->phase == COMMIT_PROVING)
        note_proof(sync);
    /* The server may be slow: it gets a second chance. */
    if (commit->phase == COMMIT_PROVING && commit->prove_again_ms == 0 && is_disproved(commit) &&
        may_log_in_soon(sync, now_ms)) {
        commit->prove_again_ms = now_ms + PROVE_AGAIN_MS;
        return;
    }
    judge_those(sync, is_undecided);
    if (commit->phase == COMMIT_PROVING)
        conclude(sync, FAULT_NONE);
}

/* ---- DELE ---- */

static enum fault ask_new(struct sync *sync, enum job_kind kind, struct maildrop_message *message,
                          size_t removal, int64_t now_ms)
{
    struct job *job = jobs_add(&sync->jobs, kind, SCHEDULE_READ, message);
    if (job == NULL)
        return FAULT_MEMORY;
    job->removal = removal;
    return engine_ask(sync, job, now_ms);
}

/* DELE only where this very session's listing proves which message it is. */
static const char *why_not(const struct sync *sync, const struct removal *removal)
{
    if (sync->account.read_only)
        return "the mount is read-only";
    if (engine_msgnum(sync, removal->message) == 0)
        return "it is not in the listing";
    return NULL;
}

/* Sends the DELEs that the protocol and this turn take; *ret_all: none is left to be sent. */
static enum fault send_deles(struct sync *sync, int64_t now_ms, bool *ret_all)
{
    struct commit *commit = &sync->commit;
    size_t asked_count = 0;
    *ret_all = false;
    for (; commit->dele_next < commit->removals_count; commit->dele_next++) {
        struct removal *removal = &commit->removals[commit->dele_next];
        if (!is_pending(removal))
            continue;
        const char *why = why_not(sync, removal);
        if (why != NULL) {
            removal_failed(sync, removal, why);
            continue;
        }
        if (!link_may_issue(sync->link) || sync->jobs.in_flight.count >= COMMIT_DELES_MAX)
            return FAULT_NONE;
        if (asked_count++ == COMMIT_DELES_TURN) {
            sync->looks_on = true;
            return FAULT_NONE;
        }
        enum fault fault = ask_new(sync, JOB_DELE, removal->message, commit->dele_next, now_ms);
        if (fault != FAULT_NONE)
            return fault;
        removal->asked = true;
        sync->dele_sent = true;
    }
    *ret_all = true;
    return FAULT_NONE;
}

void engine_dele_answered(struct sync *sync, const struct job *job, const struct pop3_event *event)
{
    char text[256];
    struct removal *removal = &sync->commit.removals[job->removal];
    if (event->ok)
        removal->sent = true;
    else
        removal_failed(sync, removal,
                       event->text.len == 0 ? "the server refused"
                                            : text_escape(event->text, text, sizeof(text)));
}

/*
 * From here on no wish can be taken back; false if one has been whose DELE is out. Both under one
 * lock with sync_restore(), so that none slips through, and with sync_remove(), so that none is out
 * which could not be written down.
 */
static bool close_door(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    bool all_going = true;
    pthread_mutex_lock(&sync->wish_lock);
    pthread_mutex_lock(&sync->lock);
    for (size_t i = 0; i < commit->removals_count; i++)
        all_going &= !is_asked(&commit->removals[i]) || is_going(&commit->removals[i]);
    sync->quitting = all_going;
    pthread_mutex_unlock(&sync->lock);
    pthread_mutex_unlock(&sync->wish_lock);
    return all_going;
}

static enum fault leave(struct sync *sync, int64_t now_ms)
{
    if (!close_door(sync)) {
        sync->commit.phase = COMMIT_RESETTING;
        return ask_new(sync, JOB_RSET, NULL, 0, now_ms);
    }
    sync->commit.phase = COMMIT_QUITTING;
    return engine_end_session(sync, now_ms);
}

/* At the end of the mount nobody is left to take a wish back: QUIT follows the last DELE, and what
 * the DELEs are answered is heard before what QUIT is. Once: a link that breaks may not bear it. */
static bool may_leave_at_once(const struct sync *sync)
{
    return sync->phase == ENGINE_STOPPING && sync->dele_sent && sync->careful_count == 0 &&
           sync->commit.attempts == 0 && link_may_issue(sync->link);
}

static enum fault delete_all(struct sync *sync, int64_t now_ms)
{
    bool all;
    enum fault fault = send_deles(sync, now_ms, &all);
    if (fault != FAULT_NONE || !all)
        return fault;
    if (sync->jobs.in_flight.count > 0 && !may_leave_at_once(sync))
        return FAULT_NONE;
    if (sync->jobs.in_flight.count > 0 || sent_count(&sync->commit) > 0)
        return leave(sync, now_ms);
    conclude(sync, FAULT_NONE);
    return FAULT_NONE;
}

enum fault engine_rset_answered(struct sync *sync, const struct pop3_event *event,
                                struct failure *ret_failure)
{
    char text[256];
    if (!event->ok)
        return failure_set(ret_failure, FAULT_GARBLED, "the server refuses RSET: %s",
                           text_escape(event->text, text, sizeof(text)));
    forget_sent(&sync->commit);
    sync->dele_sent = false;
    sync->commit.phase = COMMIT_DELETING;
    return FAULT_NONE;
}

/* ---- the course of a commit ---- */

/*
 * The server said +OK, and no later session is to come soon that would show whether it is true. Of
 * a server that has said so when it was not, a later listing tells.
 */
static enum fault believe(struct sync *sync)
{
    enum fault fault = FAULT_NONE;
    judge_those(sync, is_undecided_and_gone);
    if (sync->quit_is_doubted)
        fail_pending(sync, "the server said that it was done, but that was not true before");
    else
        fault = settle(sync, is_sent);
    conclude(sync, fault);
    return fault;
}

enum fault engine_commit_begin(struct sync *sync)
{
    struct commit *commit = &sync->commit;
    enum fault fault = collect(sync);
    if (fault != FAULT_NONE) {
        waiters_answer(&sync->commit_waiters, fault);
        return fault;
    }
    waiters_move(&sync->commit_served, &sync->commit_waiters);
    commit->phase = COMMIT_DELETING;
    sync->looks_on = true;
    commit->attempts = 0;
    commit->dele_next = 0;
    commit->prove_again_ms = 0;
    if (sync->phase == ENGINE_SERVE)
        commit->deadline_ms = INT64_MAX;
    return FAULT_NONE;
}

void engine_commit_hurry(struct sync *sync, int64_t now_ms)
{
    sync->commit.deadline_ms = now_ms + FINAL_COMMIT_MS;
    if (sync->commit.phase == COMMIT_PROVING && !sync->quit_is_doubted)
        (void)believe(sync);
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
    return sync->phase == ENGINE_SERVE ? now_ms + sync->account.timeout_ms
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
           sync->retry_ms > patience_ends_ms(sync, now_ms);
}

/* DELEs that are in flight may yet be accepted. */
static bool has_nothing_to_do(const struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    return pending_count(commit) == 0 && sent_count(commit) == 0 &&
           (sync->jobs.in_flight.count == 0 || commit->dele_next == 0);
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
        sync->jobs.in_flight.count == 0)
        return commit->prove_again_ms;
    return commit->phase != COMMIT_NONE && commit->deadline_ms != INT64_MAX ? commit->deadline_ms
                                                                            : -1;
}

enum fault engine_commit(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (now_ms >= commit->deadline_ms) {
        fail_pending(sync, "the server took too long");
        conclude(sync, FAULT_TIMEOUT);
        sync->phase = ENGINE_OVER;
        return FAULT_NONE;
    }
    if (is_to_prove_again(sync, now_ms))
        return engine_end_session(sync, now_ms);
    if (commit->phase != COMMIT_DELETING)
        return FAULT_NONE;
    if (has_nothing_to_do(sync)) {
        conclude(sync, FAULT_NONE);
        return FAULT_NONE;
    }
    if (is_too_early(sync, now_ms)) {
        fail_pending(sync, "the server wants a longer pause between two logins");
        conclude(sync, FAULT_BUSY);
        return FAULT_NONE;
    }
    if (is_locked_out(sync, now_ms)) {
        fail_pending(sync, sync->last_failure.text);
        conclude(sync, sync->last_failure.fault);
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

/* The commit's QUIT was answered +OK, and the link has been closed. */
static enum fault quit_accepted(struct sync *sync, int64_t now_ms)
{
    bool doubted = sync->quit_is_doubted;
    if ((sync->phase == ENGINE_STOPPING && !doubted) || !may_log_in_soon(sync, now_ms))
        return believe(sync);
    sync->commit.phase = COMMIT_PROVING;
    sync->commit.attempts = 0;
    sync->commit.prove_until_ms = now_ms + sync->account.timeout_ms;
    sync->retry_ms = now_ms;
    return doubted ? FAULT_NONE : settle(sync, is_sent_and_beyond_proof);
}

enum fault engine_quit_answered(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                struct failure *ret_failure)
{
    char text[256];
    if (!event->ok && sync->commit.phase == COMMIT_QUITTING)
        return failure_set(ret_failure, FAULT_REFUSED, "the server would not commit: %s",
                           text_escape(event->text, text, sizeof(text)));
    sync->dele_sent = false;
    backoff_succeeded(&sync->backoff);
    engine_link_close(sync);
    return sync->commit.phase == COMMIT_QUITTING ? quit_accepted(sync, now_ms) : FAULT_NONE;
}

/* The wishes stay: a later listing forgets them, or a later commit tries again. */
static void leave_unproven(struct sync *sync, const struct failure *failure)
{
    struct failure told;
    failure_set(&told, failure->fault,
                "the server said that it was done, but could not be asked again: %s",
                failure->text);
    judge_those(sync, is_undecided_and_gone);
    fail_pending(sync, told.text);
    conclude(sync, told.fault);
}

/*
 * The session that was to prove the commit could not be had. A maildrop in use may be so by our own
 * session that has just ended. Of a LOGIN-DELAY that CAPA had not told, only the end of our
 * patience says that it is longer. After a refusal without a code note_refusal() said when to come
 * back.
 */
static void proof_failed(struct sync *sync, const struct failure *failure, enum pop3_code code,
                         int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    bool busy = failure->fault == FAULT_BUSY;
    bool hopeless = failure->fault == FAULT_UNTRUSTED || sync->refused == REFUSED_FOR_GOOD;
    if (busy && now_ms < commit->prove_until_ms) {
        if (sync->retry_ms > commit->prove_until_ms)
            sync->retry_ms = commit->prove_until_ms;
        if (sync->retry_ms <= now_ms)
            sync->retry_ms = now_ms + COMMIT_RETRY_MS;
    } else if (code == POP3_CODE_LOGIN_DELAY) {
        (void)believe(sync);
    } else if (busy || hopeless || ++commit->attempts >= COMMIT_ATTEMPTS_MAX) {
        leave_unproven(sync, failure);
    } else if (failure->fault != FAULT_LOGIN) {
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
    }
}

void engine_commit_link_lost(struct sync *sync, const struct failure *failure, enum pop3_code code,
                             int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (commit->phase == COMMIT_PROVING) {
        proof_failed(sync, failure, code, now_ms);
        return;
    }
    /* A password that was refused is not tried again before it has been fetched anew. */
    bool hopeless =
        failure->fault == FAULT_UNTRUSTED || (failure->fault == FAULT_LOGIN && !sync->fetching);
    pthread_mutex_lock(&sync->lock);
    sync->quitting = false;
    pthread_mutex_unlock(&sync->lock);
    forget_sent(commit);
    commit->phase = COMMIT_DELETING;
    if (hopeless || ++commit->attempts >= COMMIT_ATTEMPTS_MAX) {
        fail_pending(sync, failure->text);
        conclude(sync, failure->fault);
        return;
    }
    /* When to come back after a refused password, note_refusal() has said. */
    if (failure->fault != FAULT_LOGIN)
        sync->retry_ms =
            now_ms + (failure->fault == FAULT_BUSY ? COMMIT_BUSY_RETRY_MS : COMMIT_RETRY_MS);
}
