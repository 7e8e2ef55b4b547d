/* SPDX-License-Identifier: MIT */
/* What comes back: listings, bodies, headers. */
#include "engine.h"

#include "popfs/mail.h"

#include <inttypes.h>
#include <unistd.h>

enum {
    TOPS_REFUSED_MAX = 3, /* in a row: then the server has no TOP, whatever CAPA says */
    BAD_ROWS_LOGGED_MAX = 5,
};

/* For messages to a person: what the server wrote, or that it wrote nothing (popa3d). */
static const char *say(struct slice text, char *out, size_t capacity)
{
    return text.len == 0 ? "(no reason given)" : text_escape(text, out, capacity);
}

static void learn_time(struct maildrop_message *message, const struct header *header)
{
    int64_t seconds;
    if (!mail_header_time(buffer_slice(&header->bytes), &seconds))
        seconds = maildrop_message_first_seen_ns(message) / 1000000000;
    maildrop_message_learn_time(message, seconds);
}

void engine_header_missing(struct sync *sync, struct job *job)
{
    maildrop_message_learn_time(job->message,
                                maildrop_message_first_seen_ns(job->message) / 1000000000);
    jobs_finish(&sync->jobs, job, FAULT_REFUSED, -1);
}

/* ---- the listing ---- */

enum fault engine_listing_continue(struct sync *sync, int64_t now_ms)
{
    while (sync->listing_next < LISTING_ASKED && link_may_issue(sync->link)) {
        enum job_kind kind = sync->listing_next == LISTING_UIDL ? JOB_UIDL : JOB_LIST;
        struct job *job = jobs_add(&sync->jobs, kind, SCHEDULE_READ, NULL);
        enum fault fault = job == NULL ? FAULT_MEMORY : engine_ask(sync, job, now_ms);
        if (fault != FAULT_NONE)
            return fault;
        sync->listing_next++;
    }
    return FAULT_NONE;
}

static enum fault listing_answered(struct sync *sync, int64_t now_ms, struct failure *ret_failure)
{
    if (--sync->listing_answers_left == 0)
        return engine_listed(sync, ret_failure);
    return engine_listing_continue(sync, now_ms);
}

static enum fault stat_answered(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                struct failure *ret_failure)
{
    const struct pop3_capabilities *has = pop3_session_capabilities(link_session(sync->link));
    sync->made_up_listing = has->known && !has->uidl;
    /* Some servers hang or say -ERR when asked to list nothing. */
    if (event->ok && event->count == 0)
        return engine_listed(sync, ret_failure);
    /* UIDL first: mailutils adds a header at the first UIDL, which makes an earlier LIST stale. */
    sync->listing_next = sync->made_up_listing ? LISTING_LIST : LISTING_UIDL;
    sync->listing_answers_left = sync->made_up_listing ? 1 : 2;
    return engine_listing_continue(sync, now_ms);
}

static enum fault listing_refused(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                  struct failure *ret_failure)
{
    char text[256];
    if (event->command == POP3_UIDL)
        sync->made_up_listing = true;
    else if (sync->made_up_listing)
        return failure_set(ret_failure, FAULT_GARBLED, "the server refuses UIDL and LIST: %s",
                           say(event->text, text, sizeof(text)));
    return listing_answered(sync, now_ms, ret_failure);
}

static enum fault listing_row(struct sync *sync, const struct pop3_event *event)
{
    if (event->command == POP3_UIDL)
        return listing_add_uidl(sync->listing, event->msgnum, event->text);
    return listing_add_octets(sync->listing, event->msgnum, event->octets);
}

static void bad_row(struct sync *sync, const struct pop3_event *event)
{
    char text[256];
    if (++sync->bad_rows_count <= BAD_ROWS_LOGGED_MAX)
        log_write(LOG_LEVEL_WARNING, "skipped a row of %s that makes no sense: %s",
                  pop3_command_name(event->command), text_escape(event->text, text, sizeof(text)));
}

/* ---- bodies and headers ---- */

static void body_failed(struct sync *sync)
{
    store_body_free(sync->body);
    sync->body = NULL;
    log_write(LOG_LEVEL_ERROR, "%s", sync->body_failure.text);
}

static void receive_start(struct sync *sync, struct job *job)
{
    header_clear(&sync->header);
    sync->body_failure.fault = FAULT_NONE;
    if (job->kind == JOB_BODY &&
        store_body_new(sync->store, &sync->body, &sync->body_failure) != FAULT_NONE)
        body_failed(sync);
}

/* A disk that fails does not stop the reply: it is read to its end and thrown away. */
static void receive_data(struct sync *sync, struct job *job, struct slice bytes)
{
    int64_t seconds;
    jobs_note_octets(&sync->jobs, job, bytes.len);
    if (!maildrop_message_time(job->message, &seconds))
        header_feed(&sync->header, bytes);
    if (sync->body != NULL &&
        store_body_append(sync->body, bytes, &sync->body_failure) != FAULT_NONE)
        body_failed(sync);
}

/*
 * A body of less than half of what LIST promised: mailutils gives an empty one for a message that
 * vanished, and Dovecot ends a read error of its own with a proper dot. It is asked for again,
 * once.
 */
static bool is_doubtful(const struct sync *sync, const struct job *job)
{
    uint64_t listed = maildrop_message_listed_octets(job->message);
    return job->doubts == 0 && sync->body != NULL && store_body_octets(sync->body) < listed / 2;
}

static void note_lie(struct sync *sync, const struct maildrop_message *message, uint64_t octets)
{
    uint64_t listed = maildrop_message_listed_octets(message);
    if (listed == octets || sync->lies_count++ > 0)
        return;
    log_write(LOG_LEVEL_INFO,
              "LIST said %" PRIu64 " octets for a message of %" PRIu64
              "; sizes are exact only once a message has been read",
              listed, octets);
}

static void body_complete(struct sync *sync, struct job *job)
{
    int descriptor = -1;
    enum fault fault = sync->body_failure.fault;
    if (sync->body != NULL) {
        struct maildrop_message *message = job->message;
        uint64_t octets = store_body_octets(sync->body);
        fault = store_body_keep(sync->body, maildrop_message_id(message), &descriptor,
                                &sync->body_failure);
        sync->body = NULL;
        if (fault != FAULT_NONE)
            log_write(LOG_LEVEL_ERROR, "%s", sync->body_failure.text);
        if (descriptor >= 0) {
            fault = FAULT_NONE;
            note_lie(sync, message, octets);
            maildrop_message_learn_octets(message, octets);
            learn_time(message, &sync->header);
        }
    }
    jobs_finish(&sync->jobs, job, fault, descriptor);
    if (descriptor >= 0)
        close(descriptor);
}

static void header_complete(struct sync *sync, struct job *job)
{
    /* A moving average, for the estimate of what is owed. */
    sync->header_octets += sync->header.bytes.len / 8;
    sync->header_octets -= sync->header_octets / 8;
    sync->tops_refused = 0;
    learn_time(job->message, &sync->header);
    jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
}

static void receive_end(struct sync *sync, struct job *job)
{
    if (job->kind == JOB_HEADER) {
        header_complete(sync, job);
    } else if (is_doubtful(sync, job)) {
        log_write(LOG_LEVEL_WARNING, "a message came much shorter than LIST said; asking again");
        store_body_free(sync->body);
        sync->body = NULL;
        job->doubts++;
        jobs_requeue(&sync->jobs, job);
    } else {
        body_complete(sync, job);
    }
}

static void receive_refused(struct sync *sync, struct job *job, const struct pop3_event *event)
{
    char text[256], uidl[128];
    if (job->kind == JOB_HEADER) {
        if (++sync->tops_refused >= TOPS_REFUSED_MAX && !sync->top_useless) {
            sync->top_useless = true;
            log_write(LOG_LEVEL_WARNING,
                      "the server refuses TOP; dates are when popfs first saw a message");
        }
        engine_header_missing(sync, job);
        return;
    }
    log_write(LOG_LEVEL_WARNING, "the server refuses message %s: %s",
              text_escape(maildrop_message_uidl(job->message), uidl, sizeof(uidl)),
              say(event->text, text, sizeof(text)));
    jobs_finish(&sync->jobs, job, FAULT_REFUSED, -1);
}

void engine_answer_abandon(struct sync *sync)
{
    store_body_free(sync->body);
    sync->body = NULL;
    listing_free(sync->listing);
    sync->listing = NULL;
}

/* ---- every event ---- */

/* -ERR with one of these codes is about the session, whatever the command was (Dovecot sends one
 * unasked after the login). */
static bool ends_session(const struct pop3_event *event)
{
    return !event->ok && (event->code == POP3_CODE_SYS_TEMP || event->code == POP3_CODE_IN_USE) &&
           (event->command == POP3_STAT || event->command == POP3_UIDL ||
            event->command == POP3_LIST || event->command == POP3_NOOP);
}

static enum fault status(struct sync *sync, struct job *job, const struct pop3_event *event,
                         int64_t now_ms, struct failure *ret_failure)
{
    char text[256];
    if (ends_session(event))
        return failure_set(ret_failure, FAULT_BUSY, "the server ended the session: %s",
                           say(event->text, text, sizeof(text)));
    switch (job->kind) {
    case JOB_STAT:
        jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
        return stat_answered(sync, event, now_ms, ret_failure);
    case JOB_UIDL:
    case JOB_LIST:
        if (event->ok)
            return FAULT_NONE;
        jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
        return listing_refused(sync, event, now_ms, ret_failure);
    case JOB_BODY:
    case JOB_HEADER:
        if (event->ok)
            receive_start(sync, job);
        else
            receive_refused(sync, job, event);
        return FAULT_NONE;
    case JOB_NOOP:
        jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
        return FAULT_NONE;
    case JOB_DELE:
        engine_dele_answered(sync, job, event);
        jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
        return FAULT_NONE;
    case JOB_QUIT:
        jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
        return engine_quit_answered(sync, event, ret_failure);
    }
    return FAULT_NONE;
}

static enum fault end(struct sync *sync, struct job *job, int64_t now_ms,
                      struct failure *ret_failure)
{
    if (job->kind == JOB_UIDL || job->kind == JOB_LIST) {
        jobs_finish(&sync->jobs, job, FAULT_NONE, -1);
        return listing_answered(sync, now_ms, ret_failure);
    }
    receive_end(sync, job);
    return FAULT_NONE;
}

/* An answer is complete: one fewer to be careful about, and perhaps nothing more is owed. */
static void note_complete(struct sync *sync)
{
    if (sync->careful_count > 0)
        sync->careful_count--;
    if (sync->jobs.in_flight.count == 0)
        window_note_idle(&sync->window);
}

enum fault engine_event(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                        struct failure *ret_failure)
{
    struct job *job = event->tag;
    enum fault fault = FAULT_NONE;
    size_t in_flight = sync->jobs.in_flight.count;
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
        fault = listing_row(sync, event);
        break;
    case POP3_EVENT_BAD_ROW:
        bad_row(sync, event);
        break;
    case POP3_EVENT_DATA:
        receive_data(sync, job, event->text);
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
        note_complete(sync);
    if (fault == FAULT_MEMORY)
        return failure_set(ret_failure, fault, "out of memory");
    return fault;
}
