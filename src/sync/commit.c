/* SPDX-License-Identifier: MIT */
/*
 * The end: DELE for each removal, then QUIT, whose +OK alone makes them real (RFC 1939, 6).
 *
 * A link that is lost on the way commits nothing, or everything if the +OK was lost: the next login
 * tells, because it lists what is still there. So a lost link is answered by logging in again and
 * starting over with what is left.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    COMMIT_ATTEMPTS_MAX = 3,
    COMMIT_DELES_MAX = 32768, /* outstanding at once: their answers are short */
    COMMIT_RETRY_MS = 1000,
    COMMIT_BUSY_RETRY_MS = 5000, /* our own lost session may still hold the lock */
};

static void removal_failed(struct sync *sync, struct removal *removal, const char *why)
{
    char uidl[600];
    removal->failed = true;
    sync->report.failed_count++;
    text_escape(maildrop_message_uidl(removal->message), uidl, sizeof(uidl));
    log_write(LOG_LEVEL_ERROR, "could not delete %s: %s", uidl, why);
    if (sync->report.failure.fault == FAULT_NONE)
        failure_set(&sync->report.failure, FAULT_REFUSED, "could not delete %s: %s", uidl, why);
}

static bool is_pending(const struct removal *removal)
{
    return !removal->failed && !maildrop_message_is_gone(removal->message);
}

/* Those that cannot be carried out any more, whatever the session. */
static void judge_removals(struct sync *sync)
{
    for (size_t i = 0; i < sync->removals_count; i++) {
        struct removal *removal = &sync->removals[i];
        if (removal->failed)
            continue;
        if (removal->made_up && removal->session_serial != sync->session_serial)
            removal_failed(sync, removal,
                           "the server has no UIDL, so it cannot be identified in a new session");
        else if (maildrop_message_is_replaced(removal->message))
            removal_failed(sync, removal, "its UIDL names another message now");
    }
}

static size_t pending_count(const struct sync *sync)
{
    size_t count = 0;
    for (size_t i = 0; i < sync->removals_count; i++)
        count += is_pending(&sync->removals[i]);
    return count;
}

static void fail_pending(struct sync *sync, const char *why)
{
    for (size_t i = 0; i < sync->removals_count; i++)
        if (is_pending(&sync->removals[i]))
            removal_failed(sync, &sync->removals[i], why);
}

static void finish(struct sync *sync)
{
    sync->report.removed_count = 0;
    for (size_t i = 0; i < sync->removals_count; i++)
        sync->report.removed_count +=
            maildrop_message_is_gone(sync->removals[i].message) && !sync->removals[i].failed;
    sync->phase = ENGINE_OVER;
}

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

/* Sends the DELEs that the protocol takes now; *ret_all: none is left to be sent. */
static enum fault send_deles(struct sync *sync, int64_t now_ms, bool *ret_all)
{
    *ret_all = false;
    for (; sync->dele_next < sync->removals_count; sync->dele_next++) {
        struct removal *removal = &sync->removals[sync->dele_next];
        if (!is_pending(removal))
            continue;
        const char *why = why_not(sync, removal);
        if (why != NULL) {
            removal_failed(sync, removal, why);
            continue;
        }
        if (!link_may_issue(sync->link) || sync->jobs.in_flight.count >= COMMIT_DELES_MAX)
            return FAULT_NONE;
        enum fault fault = ask_new(sync, JOB_DELE, removal->message, sync->dele_next, now_ms);
        if (fault != FAULT_NONE)
            return fault;
    }
    *ret_all = true;
    return FAULT_NONE;
}

void engine_dele_answered(struct sync *sync, const struct job *job, const struct pop3_event *event)
{
    char text[256];
    struct removal *removal = &sync->removals[job->removal];
    if (event->ok)
        removal->sent = true;
    else
        removal_failed(sync, removal,
                       event->text.len == 0 ? "the server refused"
                                            : text_escape(event->text, text, sizeof(text)));
}

/* The session as it is when the commit begins may be busy with what nobody waits for any more. */
static enum fault commit_online(struct sync *sync, bool pending, int64_t now_ms)
{
    bool all = true;
    enum fault fault = pending ? send_deles(sync, now_ms, &all) : FAULT_NONE;
    if (fault != FAULT_NONE || !all || sync->jobs.in_flight.count > 0)
        return fault;
    sync->session_phase = SESSION_QUITTING;
    return ask_new(sync, JOB_QUIT, NULL, 0, now_ms);
}

/* What the window allows is soon here; more than that, a large body, takes longer than a new
 * session. */
enum fault engine_commit(struct sync *sync, int64_t now_ms)
{
    if (sync->phase != ENGINE_COMMIT)
        return FAULT_NONE;
    judge_removals(sync);
    bool pending = sync->stop_commit && pending_count(sync) > 0;
    bool online = sync->session_phase == SESSION_ONLINE;
    if (sync->session_phase == SESSION_QUITTING)
        return FAULT_NONE;
    if (online && sync->jobs.in_flight.count > 0 && sync->dele_next == 0 &&
        (!pending || sync->jobs.owed_octets > window_octets(&sync->window))) {
        engine_link_drop(sync);
        jobs_abandon_in_flight(&sync->jobs);
        online = false;
    }
    if (!pending && !online) {
        finish(sync);
        return FAULT_NONE;
    }
    return online ? commit_online(sync, pending, now_ms) : FAULT_NONE;
}

static enum fault settle_sent(struct sync *sync)
{
    CLEANUP_FREE struct maildrop_message **gone = calloc(sync->removals_count + 1, sizeof(gone[0]));
    size_t count = 0;
    if (gone == NULL)
        return FAULT_MEMORY;
    for (size_t i = 0; i < sync->removals_count; i++)
        if (sync->removals[i].sent && !sync->removals[i].failed)
            gone[count++] = sync->removals[i].message;
    return maildrop_forget(sync->maildrop, gone, count);
}

enum fault engine_quit_answered(struct sync *sync, const struct pop3_event *event,
                                struct failure *ret_failure)
{
    char text[256];
    if (!event->ok && pending_count(sync) > 0)
        return failure_set(ret_failure, FAULT_REFUSED, "the server would not commit: %s",
                           text_escape(event->text, text, sizeof(text)));
    if (settle_sent(sync) != FAULT_NONE)
        return FAULT_MEMORY;
    sync->received_before += link_received_octets(sync->link);
    link_close(sync->link);
    sync->link = NULL;
    sync->session_phase = SESSION_NONE;
    finish(sync);
    return FAULT_NONE;
}

void engine_commit_link_lost(struct sync *sync, const struct failure *failure, int64_t now_ms)
{
    for (size_t i = 0; i < sync->removals_count; i++)
        sync->removals[i].sent = false;
    sync->dele_next = 0;
    judge_removals(sync);
    if (pending_count(sync) == 0) {
        finish(sync);
        return;
    }
    bool hopeless = failure->fault == FAULT_LOGIN || failure->fault == FAULT_UNTRUSTED;
    if (hopeless || ++sync->commit_attempts >= COMMIT_ATTEMPTS_MAX) {
        fail_pending(sync, failure->text);
        finish(sync);
        return;
    }
    sync->retry_ms =
        now_ms + (failure->fault == FAULT_BUSY ? COMMIT_BUSY_RETRY_MS : COMMIT_RETRY_MS);
}
