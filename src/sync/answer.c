/* SPDX-License-Identifier: MIT */
/* What comes back: listings here, bodies and headers in receive.c. */
#include "engine.h"

enum {
    BAD_ROWS_LOGGED_MAX = 5,
};

/* For messages to a person: what the server wrote, or that it wrote nothing (popa3d). */
static const char *say(struct slice text, char *out, size_t capacity)
{
    return text.len == 0 ? "(no reason given)" : text_escape(text, out, capacity);
}

/* ---- the listing ---- */

enum fault engine_listing_continue(struct sync *sync, int64_t now_ms)
{
    while (sync->listing_next < LISTING_ASKED && link_may_issue(sync->link) &&
           !(engine_lists_alone(sync) && sync->jobs.in_flight.count > 0)) {
        enum job_kind kind = sync->listing_next == LISTING_UIDL ? JOB_UIDL : JOB_LIST;
        struct job *job = jobs_add(&sync->jobs, kind, SCHEDULE_READ, NULL);
        enum fault fault = job == NULL ? FAULT_MEMORY : engine_ask(sync, job, now_ms);
        if (fault != FAULT_NONE)
            return fault;
        sync->listing_next++;
    }
    return engine_guess_continue(sync, now_ms);
}

static enum fault listing_answered(struct sync *sync, int64_t now_ms, struct failure *ret_failure)
{
    if (sync->listing == NULL)
        return FAULT_NONE; /* STAT has said that there is nothing to list */
    if (--sync->listing_answers_left == 0)
        return engine_listed(sync, now_ms, ret_failure);
    return engine_listing_continue(sync, now_ms);
}

static enum fault stat_answered(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                struct failure *ret_failure)
{
    sync->stat_known = event->ok && event->count != UINT32_MAX;
    if (sync->stat_known)
        sync->listing_total = event->count;
    if (event->ok && event->count == 0) {
        sync->listing_next = LISTING_ASKED;
        return engine_listed(sync, now_ms, ret_failure);
    }
    engine_guess_begin(sync, (uint32_t)sync->listing_total);
    return engine_listing_continue(sync, now_ms);
}

static enum fault listing_refused(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                  struct failure *ret_failure)
{
    const struct pop3_capabilities *has = pop3_session_capabilities(link_session(sync->link));
    char text[256];
    if (sync->listing == NULL)
        return FAULT_NONE;
    if (event->command == POP3_UIDL && has->known && has->uidl)
        return failure_set(ret_failure, FAULT_BUSY, "the server refuses UIDL, which it has: %s",
                           say(event->text, text, sizeof(text)));
    if (event->command == POP3_UIDL)
        sync->made_up_listing = true;
    else if (sync->made_up_listing)
        return failure_set(ret_failure, FAULT_GARBLED, "the server refuses UIDL and LIST: %s",
                           say(event->text, text, sizeof(text)));
    else
        sync->list_refused = true;
    return listing_answered(sync, now_ms, ret_failure);
}

static enum fault listing_row(struct sync *sync, const struct pop3_event *event,
                              struct failure *ret_failure)
{
    if (sync->listing == NULL)
        return FAULT_NONE;
    enum fault fault = event->command == POP3_UIDL
                           ? listing_add_uidl(sync->listing, event->msgnum, event->text)
                           : listing_add_octets(sync->listing, event->msgnum, event->octets);
    return listing_failure(fault, ret_failure);
}

static void bad_row(struct sync *sync, const struct pop3_event *event)
{
    char text[256];
    size_t *count =
        event->command == POP3_UIDL ? &sync->bad_uidl_rows_count : &sync->bad_list_rows_count;
    if (++*count <= BAD_ROWS_LOGGED_MAX)
        log_write(LOG_LEVEL_WARNING, "skipped a row of %s that makes no sense: %s",
                  pop3_command_name(event->command),
                  link_show(sync->link, event->text, text, sizeof(text)));
}

void engine_answer_abandon(struct sync *sync)
{
    engine_receive_abandon(sync);
    listing_free(sync->listing);
    sync->listing = NULL;
}

/* ---- every event ---- */

/*
 * -ERR with one of these codes is about the session, whatever the command was: Dovecot sends one
 * unasked, and the answer to the command would follow as the answer to the next one. DELE, RSET and
 * QUIT tell the commit themselves.
 */
static bool ends_session(const struct pop3_event *event)
{
    return !event->ok && (event->code == POP3_CODE_SYS_TEMP || event->code == POP3_CODE_IN_USE) &&
           event->command != POP3_DELE && event->command != POP3_RSET &&
           event->command != POP3_QUIT;
}

static enum fault status(struct sync *sync, struct job *job, const struct pop3_event *event,
                         int64_t now_ms, struct failure *ret_failure)
{
    char text[256];
    if (ends_session(event)) {
        engine_receive_forget_recent(sync);
        return failure_set(ret_failure, FAULT_BUSY, "the server ended the session: %s",
                           say(event->text, text, sizeof(text)));
    }
    switch (job->kind) {
    case JOB_STAT:
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return stat_answered(sync, event, now_ms, ret_failure);
    case JOB_UIDL:
    case JOB_LIST:
        if (event->ok)
            return FAULT_NONE;
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return listing_refused(sync, event, now_ms, ret_failure);
    case JOB_GUESS:
    case JOB_BODY:
    case JOB_HEADER:
    case JOB_START:
        job->has_begun = true;
        if (!event->ok)
            return engine_mark_ended(sync, job, say(event->text, text, sizeof(text)), now_ms);
        engine_receive_start(sync, job);
        return FAULT_NONE;
    case JOB_MARK:
        return engine_mark_answered(sync, job, event, now_ms, ret_failure);
    case JOB_NOOP:
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return FAULT_NONE;
    case JOB_DELE:
        engine_dele_answered(sync, job, event);
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return FAULT_NONE;
    case JOB_RSET:
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return engine_rset_answered(sync, event, ret_failure);
    case JOB_QUIT:
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return engine_quit_answered(sync, event, now_ms, ret_failure);
    }
    return FAULT_NONE;
}

static enum fault end(struct sync *sync, struct job *job, int64_t now_ms,
                      struct failure *ret_failure)
{
    if (job->kind == JOB_UIDL || job->kind == JOB_LIST) {
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
        return listing_answered(sync, now_ms, ret_failure);
    }
    return engine_mark_ended(sync, job, NULL, now_ms);
}

static void note_complete(struct sync *sync, bool is_keepalive, bool is_for_message, int64_t now_ms)
{
    if (!is_for_message)
        pace_note_answer(&sync->pace, now_ms);
    if (!is_keepalive)
        agenda_note_useful(&sync->agenda, now_ms);
    if (sync->jobs.in_flight.count > 0)
        return;
    window_note_idle(&sync->window);
    recent_clear(&sync->recent);
}

enum fault engine_event(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                        struct failure *ret_failure)
{
    struct job *job = event->tag;
    enum fault fault = FAULT_NONE;
    size_t in_flight = sync->jobs.in_flight.count;
    bool is_keepalive = job != NULL && job->kind == JOB_NOOP;
    bool is_for_message = job != NULL && job_is_for_message(job);
    switch (event->type) {
    case POP3_EVENT_LOGGED_IN:
        fault = engine_list(sync, now_ms);
        break;
    case POP3_EVENT_STATUS:
        if (sync->sole_issued_ms >= 0)
            window_note_round_trip(&sync->window, now_ms - sync->sole_issued_ms);
        sync->sole_issued_ms = -1;
        fault = status(sync, job, event, now_ms, ret_failure);
        break;
    case POP3_EVENT_ROW:
        fault = listing_row(sync, event, ret_failure);
        break;
    case POP3_EVENT_BAD_ROW:
        bad_row(sync, event);
        break;
    case POP3_EVENT_DATA:
        fault = engine_receive_data(sync, job, event->text, ret_failure);
        break;
    case POP3_EVENT_END:
        fault = end(sync, job, now_ms, ret_failure);
        break;
    case POP3_EVENT_NONE:
    case POP3_EVENT_SECURE:
    case POP3_EVENT_FAILED:
    case POP3_EVENT_TRACE:
        break;
    }
    if (sync->jobs.in_flight.count < in_flight)
        note_complete(sync, is_keepalive, is_for_message, now_ms);
    if (fault == FAULT_MEMORY)
        return failure_set(ret_failure, fault, "out of memory");
    return fault;
}
