/* SPDX-License-Identifier: MIT */
/*
 * Markers: nothing that came for a message is taken before a marker has proven whose it is (POP3.md
 * 30). An answer that has come whole stays in flight until then, a body in sync->body, the headers
 * of a group in their jobs.
 *
 *     in a pipelined session    RETR 7, UIDL 7, TOP 8 0 … TOP 23 0, UIDL 23: with the command, or
 *                               behind MARK_EVERY headers
 *     one command at a time     the marker is asked when the answer is here: after a session that
 *                               was out of step, and for a body whose size is not LIST's
 *
 * Where the session does not pipeline, one marker proves that the listing has left nothing behind;
 * then an answer that nothing speaks against is taken at once: a line too many is seen there when
 * it comes, because nothing is owed.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum {
    MARK_EVERY = 16,    /* headers */
    MARK_FEW_OWED = 34, /* answers: soon there will be no turn in which to ask for a marker */
};

static bool is_header(const struct job *job)
{
    return job->kind == JOB_HEADER || job->kind == JOB_GUESS;
}

/* Those at the end of what is in flight that no marker follows. */
static size_t unmarked_count(const struct sync *sync)
{
    size_t count = 0;
    for (const struct job *job = sync->jobs.in_flight.last; job != NULL && job_is_for_message(job);
         job = job->previous)
        count++;
    return count;
}

/* ---- asking ---- */

/* Courier numbers its messages anew after a DELE. */
static bool has_name(const struct sync *sync, const struct job *job)
{
    return sync->marker.use != MARKER_USELESS && !sync->made_up_listing && !sync->dele_sent &&
           (job->message == NULL || maildrop_message_is_named(job->message));
}

static enum fault ask(struct sync *sync, int64_t now_ms)
{
    const struct job *last = sync->jobs.in_flight.last;
    struct job *mark = jobs_add(&sync->jobs, JOB_MARK, SCHEDULE_READ, NULL);
    if (mark == NULL)
        return FAULT_MEMORY;
    mark->msgnum = has_name(sync, last) ? last->msgnum : 0;
    mark->came_alone = last->has_ended;
    const struct pop3_request request = {.command = mark->msgnum > 0 ? POP3_UIDL_ONE : POP3_NOOP,
                                         .msgnum = mark->msgnum,
                                         .tag = mark};
    enum fault fault = link_issue(sync->link, &request, now_ms);
    if (fault != FAULT_NONE) {
        jobs_finish(&sync->jobs, mark, fault, EXTENT_NONE);
        return fault;
    }
    jobs_set_in_flight(&sync->jobs, mark, MARK_ANSWER_OCTETS);
    return FAULT_NONE;
}

enum fault engine_mark_before(struct sync *sync, const struct job *job, int64_t now_ms)
{
    const struct job *last = sync->jobs.in_flight.last;
    if (unmarked_count(sync) == 0 || (is_header(job) && !last->is_lone))
        return FAULT_NONE;
    return ask(sync, now_ms);
}

enum fault engine_mark_behind(struct sync *sync, const struct job *job, int64_t now_ms)
{
    if (!job_is_for_message(job) || job->is_lone)
        return FAULT_NONE;
    if (is_header(job) && job->requests == NULL && unmarked_count(sync) < MARK_EVERY)
        return FAULT_NONE;
    return ask(sync, now_ms);
}

/* No other header is to follow them. */
static bool sweep_is_over(const struct sync *sync)
{
    if (sync->jobs.queued[SCHEDULE_SWEEP].first != NULL || sync->guess_next < sync->guess_count)
        return false;
    return sync->listed != NULL && sync->sweep_left == 0 &&
           sync->sweep_forward >= maildrop_snapshot_count(sync->listed);
}

static bool somebody_waits(const struct sync *sync)
{
    for (const struct job *job = sync->jobs.in_flight.last; job != NULL && job_is_for_message(job);
         job = job->previous)
        if (job->requests != NULL)
            return true;
    return false;
}

enum fault engine_mark_rest(struct sync *sync, int64_t now_ms)
{
    const struct job *last = sync->jobs.in_flight.last;
    if (sync->link == NULL || last == NULL || !job_is_for_message(last) || last->is_lone ||
        !link_may_issue(sync->link))
        return FAULT_NONE;
    bool due = sync->jobs.in_flight.count <= MARK_FEW_OWED || sweep_is_over(sync) ||
               sync->phase != ENGINE_SERVE || somebody_waits(sync);
    return due ? ask(sync, now_ms) : FAULT_NONE;
}

/* ---- what has come ---- */

/* An answer about a message is taken: the session is of use. */
static void note_useful(struct sync *sync, bool was_lone)
{
    if (sync->careful_count > 0)
        sync->careful_count--;
    if (!was_lone)
        sync->pipelined_count++;
    backoff_succeeded(&sync->backoff);
}

/* It leaves what is in flight. */
static void take(struct sync *sync, struct job *job, int64_t now_ms)
{
    CLEANUP_FREE char *refusal = job->refusal;
    job->refusal = NULL;
    note_useful(sync, job->is_lone);
    if (job->kind == JOB_BODY)
        sync->prefetch_losses = 0;
    if (refusal != NULL) {
        engine_receive_refused(sync, job, refusal, now_ms);
        return;
    }
    if (is_header(job)) {
        struct header taken = sync->header;
        sync->header = job->header;
        job->header = taken;
    }
    engine_receive_end(sync, job);
}

static bool is_marked(const struct job *job)
{
    while (job != NULL && job->kind != JOB_MARK)
        job = job->next;
    return job != NULL;
}

/* Nothing has been asked behind it. */
static bool needs_proof(const struct sync *sync, const struct job *job)
{
    if (job->is_alone || !sync->is_in_step || link_pipelines(sync->link))
        return true;
    return job->kind == JOB_BODY && job->refusal == NULL &&
           sync->raw_octets != maildrop_message_said_octets(job->message);
}

enum fault engine_mark_ended(struct sync *sync, struct job *job, const char *refusal,
                             int64_t now_ms)
{
    job->has_ended = true;
    pace_note_answer(&sync->pace, now_ms);
    jobs_note_octets(&sync->jobs, job, UINT64_MAX);
    if (refusal != NULL && (job->refusal = strdup(refusal)) == NULL)
        return FAULT_MEMORY;
    if (is_header(job) && refusal == NULL) {
        struct header empty = job->header;
        job->header = sync->header;
        sync->header = empty;
        header_clear(&sync->header);
    }
    if (!job->is_lone || is_marked(job->next))
        return FAULT_NONE;
    if (needs_proof(sync, job))
        return ask(sync, now_ms);
    take(sync, job, now_ms);
    return FAULT_NONE;
}

static uint64_t id_of(const struct job *job)
{
    return job == NULL || job->message == NULL ? 0 : maildrop_message_id(job->message);
}

static void note_use(struct sync *sync, bool changed)
{
    if (!changed)
        return;
    engine_index_marker(sync);
    if (sync->marker.use == MARKER_USELESS)
        log_write(LOG_LEVEL_INFO, "the server does not answer UIDL with a number: NOOP is asked "
                                  "instead to see where its answers end");
}

/* What was asked for since the last good marker is asked for again, one at a time. */
static void note_out_of_step(struct sync *sync)
{
    const struct job *first = sync->jobs.in_flight.first;
    sync->is_out_of_step = true;
    engine_receive_forget_recent(sync);
    if (first->kind == JOB_BODY)
        outages_note(&sync->retr_outages, id_of(first));
}

/* What is no status line belongs to the body before it, which did not end at its dot (POP3.md 32).
 * Of one that was asked for alone that is certain. */
static void note_not_ended(struct sync *sync, struct job *body)
{
    note_out_of_step(sync);
    if (body->is_lone)
        body->attempts = ITEM_ATTEMPTS_MAX - 1;
}

/* Of an answer that is missing, or has no end, the status of another one becomes the first line.
 * Two markers in a row may name the same message, so that this alone gives it away. */
static bool begins_as_status(const struct sync *sync, const struct job *job)
{
    if (job->refusal != NULL || job->began_as_status || job->is_lone)
        return false;
    return is_header(job) ? pop3_begins_as_status(buffer_slice(&job->header.bytes))
                          : sync->begins_as_status;
}

static bool is_any_of_another(const struct sync *sync, const struct job *mark)
{
    for (const struct job *job = sync->jobs.in_flight.first; job != mark; job = job->next)
        if (begins_as_status(sync, job))
            return true;
    return false;
}

enum fault engine_mark_answered(struct sync *sync, struct job *mark, const struct pop3_event *event,
                                int64_t now_ms, struct failure *ret_failure)
{
    const struct job *named = mark->previous;
    bool is_nameless = named->message == NULL;
    const struct marker_view view = {
        .is_noop = mark->msgnum == 0,
        .ok = event->ok,
        .names = mark->msgnum > 0 && event->ok && !is_nameless &&
                 pop3_uidl_names(event->text, mark->msgnum, maildrop_message_uidl(named->message)),
        .is_nameless = is_nameless,
        .came_alone = mark->came_alone,
        .was_refused = named->refusal != NULL,
    };
    enum marker_verdict verdict = marker_judge(sync->marker.use, &view);
    if (is_any_of_another(sync, mark))
        verdict = MARKER_FAILS;
    note_use(sync, marker_note(&sync->marker, &view, verdict, id_of(named)));
    if (verdict == MARKER_FAILS) {
        note_out_of_step(sync);
        return failure_set(ret_failure, FAULT_GARBLED,
                           "the server's answers do not fit what it was asked");
    }
    sync->is_in_step = true;
    while (sync->jobs.in_flight.first != mark)
        take(sync, sync->jobs.in_flight.first, now_ms);
    jobs_finish(&sync->jobs, mark, FAULT_NONE, EXTENT_NONE);
    if (verdict == MARKER_PROVES)
        recent_clear(&sync->recent);
    return FAULT_NONE;
}

void engine_mark_lost(struct sync *sync, enum fault fault)
{
    struct job *next = sync->jobs.in_flight.first;
    while (next != NULL && next->has_ended)
        next = next->next;
    if (next == NULL || sync->is_out_of_step)
        return;
    bool is_mark = next->kind == JOB_MARK;
    struct job *ended = is_mark ? next->previous : next;
    if (fault == FAULT_GARBLED && ended->kind == JOB_BODY && ended->has_begun)
        note_not_ended(sync, ended);
    else if (fault == FAULT_GARBLED && is_mark)
        note_out_of_step(sync);
    else if (is_mark && next->came_alone && next->msgnum > 0 && fault != FAULT_BUSY)
        note_use(sync, marker_note_lost(&sync->marker, id_of(ended)));
}
