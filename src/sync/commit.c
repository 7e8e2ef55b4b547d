/* SPDX-License-Identifier: MIT */
/*
 * Commits: DELE for each message that is going, then QUIT, whose +OK alone makes them real (RFC
 * 1939, 6), then a new session whose listing proves it: Dovecot on a folder that it cannot write
 * says +OK and deletes nothing, and so do others (POP3.md 3.3). At the end of the mount that is
 * done only if the last proof failed.
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
    PROVE_AGAIN_MS = 1000,   /* Courier deletes after it has said that it is done */
    FINAL_COMMIT_MS = 80000, /* systemd kills a unit after 90 s; what is left stays pending */
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
    sync->outcome.number = old.number + 1;
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

/* The server deletes it at QUIT, or may; or has. */
static bool is_asked(const struct removal *removal)
{
    return removal->asked && is_undecided(removal);
}

static size_t count_those(const struct commit *commit, bool (*are)(const struct removal *removal))
{
    size_t count = 0;
    for (size_t i = 0; i < commit->removals_count; i++)
        count += are(&commit->removals[i]);
    return count;
}

static void forget_asked(struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        commit->removals[i].asked = false;
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

/* Every message that is going now, by rising id. What is removed later waits for the next commit.
 */
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

static bool is_removed(const struct removal *removal)
{
    return removal->removed;
}

/* No other session can tell it from the rest. */
static bool is_beyond_proof(const struct removal *removal)
{
    return removal->made_up || !maildrop_message_is_unique(removal->message);
}

static bool has_failed_for_good(const struct removal *removal)
{
    return removal->failed && maildrop_message_is_gone(removal->message);
}

static bool has_failed_for_this_mount(const struct removal *removal)
{
    return removal->failed && !maildrop_message_is_gone(removal->message) &&
           is_beyond_proof(removal);
}

/* What failed in a commit that the end of the mount came upon has been tried again, unless it could
 * not be. */
static void note_for_report(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    struct sync_report *report = &sync->report;
    size_t for_good = sync->failed_for_good_count;
    report->removed_count += commit->outcome.removed_count;
    report->failed_count = for_good + commit->outcome.failed_count;
    report->forgotten_count = for_good + count_those(commit, has_failed_for_good) +
                              count_those(commit, has_failed_for_this_mount);
    sync->failed_for_good_count += count_those(commit, has_failed_for_good);
}

/* `fault`: what the whole commit failed with, or FAULT_NONE if each removal tells for itself. */
static void conclude(struct sync *sync, enum fault fault)
{
    struct commit *commit = &sync->commit;
    commit->outcome.removed_count = count_those(commit, is_removed);
    if (fault == FAULT_NONE && commit->outcome.failed_count > 0)
        fault = FAULT_REFUSED;
    if (commit->outcome.removed_count > 0)
        log_write(LOG_LEVEL_INFO, "deleted %zu message%s", commit->outcome.removed_count,
                  commit->outcome.removed_count == 1 ? "" : "s");
    if (sync->phase == ENGINE_STOPPING)
        note_for_report(sync);
    commit->phase = COMMIT_NONE;
    sync->looks_on = true;                        /* what waited for the end of it goes on */
    sync->wants_listing |= sync->quit_is_unheard; /* for what cannot be taken back till then */
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

static bool is_asked_and_beyond_proof(const struct removal *removal)
{
    return is_asked(removal) && is_beyond_proof(removal);
}

/* ---- a new listing ---- */

static void judge(struct sync *sync, struct removal *removal)
{
    if (!maildrop_message_is_gone(removal->message)) {
        if (sync->commit.phase == COMMIT_PROVING && removal->asked)
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
        if (is_asked(&commit->removals[i]) &&
            !maildrop_message_is_gone(commit->removals[i].message))
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
            if (is_asked(&commit->removals[i]) && !is_beyond_proof(&commit->removals[i]))
                sync->quit_is_doubted = false;
}

/* For another session that proves; LOGIN-DELAY may ask for a day. */
static bool may_log_in_soon(const struct sync *sync, int64_t now_ms)
{
    return agenda_login_from_ms(&sync->agenda) <= now_ms + sync->account.timeout_ms;
}

/* What a QUIT was about and is there still can be taken back again. */
static void open_door(struct sync *sync)
{
    if (!sync->quit_is_unheard)
        return;
    sync->quit_is_unheard = false;
    for (size_t i = 0; i < maildrop_snapshot_count(sync->listed); i++)
        maildrop_message_set_leaving(maildrop_snapshot_at(sync->listed, i), false);
}

/* For want of a listing these went on the server's word alone. A few of them will do. */
static void note_believed(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    for (size_t i = 0; i < commit->removals_count && sync->believed_count < BELIEVED_MAX; i++)
        if (is_asked(&commit->removals[i]) && !is_beyond_proof(&commit->removals[i]))
            sync->believed[sync->believed_count++] =
                maildrop_message_ref(commit->removals[i].message);
}

static void forget_believed(struct sync *sync)
{
    while (sync->believed_count > 0)
        maildrop_message_unref(sync->believed[--sync->believed_count]);
}

void engine_commit_done(struct sync *sync)
{
    removals_done(&sync->commit);
    engine_outcome_done(&sync->commit.outcome);
    forget_believed(sync);
}

static bool is_same(const struct maildrop_message *a, const struct maildrop_message *b)
{
    return slice_equal(maildrop_message_uidl(a), maildrop_message_uidl(b)) &&
           maildrop_message_listed_octets(a) == maildrop_message_listed_octets(b);
}

/* One that is there again was not deleted, or is another that has its UIDL: the user may tell. */
static void check_believed(struct sync *sync, const struct maildrop_changes *changes)
{
    char uidl[600];
    for (size_t i = 0; i < sync->believed_count * changes->appeared_count; i++) {
        const struct maildrop_message *believed = sync->believed[i % sync->believed_count];
        if (!is_same(believed, changes->appeared[i / sync->believed_count]))
            continue;
        sync->quit_is_doubted = true;
        log_write(LOG_LEVEL_ERROR, "the server said that it had deleted %s, but lists it again",
                  text_escape(maildrop_message_uidl(believed), uidl, sizeof(uidl)));
    }
    forget_believed(sync);
}

bool engine_commit_hears_of(const struct sync *sync, const struct maildrop_message *message)
{
    const struct commit *commit = &sync->commit;
    uint64_t id = maildrop_message_id(message);
    size_t low = 0, high = commit->removals_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (maildrop_message_id(commit->removals[middle].message) < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < commit->removals_count && commit->removals[low].message == message &&
           is_undecided(&commit->removals[low]);
}

void engine_commit_listed(struct sync *sync, const struct maildrop_changes *changes, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    check_believed(sync, changes);
    if (commit->phase == COMMIT_PROVING)
        note_proof(sync);
    /* The server may be slow: it gets a second chance. */
    if (commit->phase == COMMIT_PROVING && commit->prove_again_ms == 0 && is_disproved(commit) &&
        may_log_in_soon(sync, now_ms)) {
        commit->prove_again_ms = now_ms + PROVE_AGAIN_MS;
        return;
    }
    open_door(sync);
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
    if (!event->ok)
        removal_failed(sync, removal,
                       event->text.len == 0 ? "the server refused"
                                            : text_escape(event->text, text, sizeof(text)));
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
        all_going &= !is_asked(&commit->removals[i]) || is_going(&commit->removals[i]);
    for (size_t i = 0; i < commit->removals_count && all_going; i++)
        if (is_asked(&commit->removals[i]))
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
    if (sync->jobs.in_flight.count > 0 || count_those(&sync->commit, is_asked) > 0)
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
    forget_asked(&sync->commit);
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
    if (sync->quit_is_doubted) {
        fail_pending(sync, "the server said that it was done, but that was not true before");
    } else {
        note_believed(sync);
        fault = settle(sync, is_asked);
        sync->quit_is_unheard = false;
    }
    conclude(sync, fault);
    return fault;
}

enum fault engine_commit_begin(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    enum fault fault = collect(sync);
    /* Of a commit of nothing nobody is told, who may still be about to ask what the last one did.
     */
    if (fault != FAULT_NONE || commit->removals_count == 0) {
        removals_done(commit);
        sync->looks_on = true;
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
    commit->busy_until_ms = now_ms + sync->account.timeout_ms;
    if (commit->busy_until_ms > commit->deadline_ms)
        commit->busy_until_ms = commit->deadline_ms;
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

/* Of what a QUIT was about the next listing has to tell first. */
static bool has_nothing_to_do(const struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    return count_those(commit, is_pending) == 0 && count_those(commit, is_asked) == 0 &&
           !sync->quit_is_unheard;
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
        fail_pending(sync, sync->link == NULL && sync->login_failed ? sync->last_failure.text
                                                                    : "the server took too long");
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
    sync->commit.busy_until_ms = now_ms + sync->account.timeout_ms;
    sync->retry_ms = now_ms;
    return doubted ? FAULT_NONE : settle(sync, is_asked_and_beyond_proof);
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

/* A maildrop in use may be so by our own session that has just ended, or been lost. True if it is
 * waited for; login_failed() has said until when. */
static bool waits_for_maildrop(struct sync *sync, enum fault fault, int64_t now_ms)
{
    int64_t until_ms = sync->commit.busy_until_ms;
    if (fault != FAULT_BUSY || now_ms >= until_ms)
        return false;
    if (sync->retry_ms > until_ms)
        sync->retry_ms = until_ms;
    if (sync->retry_ms <= now_ms)
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
    return true;
}

/*
 * The session that was to prove the commit could not be had. Of a LOGIN-DELAY that CAPA had not
 * told, only the end of our patience says that it is longer. After a refusal without a code
 * note_refusal() said when to come back.
 */
static void proof_failed(struct sync *sync, const struct failure *failure, enum pop3_code code,
                         int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    bool busy = failure->fault == FAULT_BUSY;
    bool hopeless = failure->fault == FAULT_UNTRUSTED || sync->refused == REFUSED_FOR_GOOD;
    if (waits_for_maildrop(sync, failure->fault, now_ms))
        return;
    if (code == POP3_CODE_LOGIN_DELAY) {
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
    forget_asked(commit);
    commit->phase = COMMIT_DELETING;
    if (waits_for_maildrop(sync, failure->fault, now_ms))
        return;
    if (hopeless || failure->fault == FAULT_BUSY || ++commit->attempts >= COMMIT_ATTEMPTS_MAX) {
        fail_pending(sync, failure->text);
        conclude(sync, failure->fault);
        return;
    }
    /* When to come back after a refused password, note_refusal() has said. */
    if (failure->fault != FAULT_LOGIN)
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
}
