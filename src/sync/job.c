/* SPDX-License-Identifier: MIT */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Ids follow each other, and most jobs are of one kind: each of them gets a bucket of its own. */
static size_t bucket(enum job_kind kind, const struct maildrop_message *message)
{
    return (size_t)(maildrop_message_id(message) + (uint64_t)kind * 257) % JOB_BUCKETS_COUNT;
}

static void list_append(struct job_list *list, struct job *job)
{
    job->previous = list->last;
    job->next = NULL;
    if (list->last != NULL)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
    list->count++;
}

static void list_prepend(struct job_list *list, struct job *job)
{
    job->previous = NULL;
    job->next = list->first;
    if (list->first != NULL)
        list->first->previous = job;
    else
        list->last = job;
    list->first = job;
    list->count++;
}

static void list_remove(struct job_list *list, struct job *job)
{
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        list->first = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    else
        list->last = job->previous;
    list->count--;
}

static struct job_list *list_of(struct jobs *jobs, const struct job *job)
{
    return job->in_flight ? &jobs->in_flight : &jobs->queued[job->class];
}

struct job *jobs_find(const struct jobs *jobs, enum job_kind kind,
                      const struct maildrop_message *message)
{
    struct job *job = jobs->table[bucket(kind, message)];
    while (job != NULL && (job->kind != kind || job->message != message))
        job = job->chain;
    return job;
}

static void chain(struct jobs *jobs, struct job *job, struct maildrop_message *message)
{
    job->message = maildrop_message_ref(message);
    struct job **head = &jobs->table[bucket(job->kind, message)];
    job->chain = *head;
    *head = job;
}

void jobs_bind(struct jobs *jobs, struct job *job, struct maildrop_message *message)
{
    job->kind = JOB_HEADER;
    chain(jobs, job, message);
}

struct job *jobs_add(struct jobs *jobs, enum job_kind kind, enum schedule_class class,
                     struct maildrop_message *message)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->kind = kind;
    job->class = class;
    if (message != NULL)
        chain(jobs, job, message);
    list_append(&jobs->queued[class], job);
    return job;
}

static void unchain(struct jobs *jobs, struct job *job)
{
    struct job **link = &jobs->table[bucket(job->kind, job->message)];
    while (*link != job)
        link = &(*link)->chain;
    *link = job->chain;
}

static void job_free(struct jobs *jobs, struct job *job)
{
    list_remove(list_of(jobs, job), job);
    if (job->in_flight)
        jobs->owed_octets -= job->owed_octets;
    if (job->message != NULL)
        unchain(jobs, job);
    maildrop_message_unref(job->message);
    header_done(&job->header);
    free(job->refusal);
    free(job);
}

void jobs_wait(struct jobs *jobs, struct job *job, struct sync_request *request,
               enum schedule_class class)
{
    request->next = job->requests;
    job->requests = request;
    job->was_wanted = true;
    jobs->waiting_count++;
    if (class >= job->class)
        return;
    if (!job->in_flight) {
        list_remove(list_of(jobs, job), job);
        job->class = class;
        list_append(list_of(jobs, job), job);
    }
    job->class = class;
}

void jobs_set_in_flight(struct jobs *jobs, struct job *job, uint64_t owed_octets)
{
    list_remove(list_of(jobs, job), job);
    job->in_flight = true;
    job->owed_octets = owed_octets;
    jobs->owed_octets += owed_octets;
    list_append(&jobs->in_flight, job);
}

void jobs_note_octets(struct jobs *jobs, struct job *job, uint64_t octets)
{
    if (octets > job->owed_octets)
        octets = job->owed_octets;
    job->owed_octets -= octets;
    jobs->owed_octets -= octets;
}

void jobs_requeue(struct jobs *jobs, struct job *job)
{
    list_remove(list_of(jobs, job), job);
    jobs->owed_octets -= job->owed_octets;
    job->owed_octets = 0;
    job->in_flight = job->has_begun = job->has_ended = false;
    free(job->refusal);
    job->refusal = NULL;
    list_prepend(list_of(jobs, job), job);
}

void jobs_hurry(struct jobs *jobs, struct job *job)
{
    if (job->in_flight)
        return;
    list_remove(list_of(jobs, job), job);
    job->class = SCHEDULE_READ;
    list_prepend(list_of(jobs, job), job);
}

void jobs_yield(struct jobs *jobs, struct job *job)
{
    struct job_list *list = list_of(jobs, job);
    list_remove(list, job);
    list_append(list, job);
}

static int64_t oldest_in_ms(const struct job_list *list, const struct job *except)
{
    int64_t oldest_ms = INT64_MAX;
    for (const struct job *job = list->first; job != NULL; job = job->next)
        for (const struct sync_request *request = job == except ? NULL : job->requests;
             request != NULL; request = request->next)
            if (request->submitted_ms < oldest_ms)
                oldest_ms = request->submitted_ms;
    return oldest_ms;
}

int64_t jobs_oldest_of_others_ms(const struct jobs *jobs, const struct job *job)
{
    int64_t oldest_ms = oldest_in_ms(&jobs->in_flight, job);
    for (size_t i = 0; i < SCHEDULE_CLASSES_COUNT; i++) {
        int64_t other_ms = oldest_in_ms(&jobs->queued[i], job);
        oldest_ms = other_ms < oldest_ms ? other_ms : oldest_ms;
    }
    return oldest_ms;
}

static void answer(struct jobs *jobs, struct sync_request *request, enum fault fault,
                   struct extent body)
{
    struct extent own = EXTENT_NONE;
    jobs->waiting_count--;
    if (fault == FAULT_NONE &&
        (request->want == SYNC_WANT_BODY || request->want == SYNC_WANT_OPEN)) {
        own = body;
        own.descriptor = fcntl(body.descriptor, F_DUPFD_CLOEXEC, 3);
        if (own.descriptor < 0)
            fault = errno == EMFILE ? FAULT_MEMORY : FAULT_DISK;
    }
    request->answer(request, fault, own);
}

/* The header has proven that what is kept, or arriving, is of this message. */
static bool is_proof_only(const struct job *job, const struct sync_request *request,
                          enum fault fault)
{
    return job->kind == JOB_HEADER && request->want != SYNC_WANT_TIME && fault == FAULT_NONE;
}

void jobs_reroute(struct jobs *jobs, struct sync_request *request)
{
    request->next = jobs->rerouted;
    jobs->rerouted = request;
}

/* It waited for another message's body only to see whether LIST tells the truth: now it can be
 * decided. */
static void reroute(struct jobs *jobs, struct sync_request *request)
{
    jobs->waiting_count--;
    jobs_reroute(jobs, request);
}

static void answer_all(struct jobs *jobs, struct job *job, enum fault fault, struct extent body)
{
    struct sync_request *request = job->requests;
    job->requests = NULL;
    while (request != NULL) {
        struct sync_request *next = request->next;
        if (request->message == job->message && !is_proof_only(job, request, fault))
            answer(jobs, request, fault, body);
        else
            reroute(jobs, request);
        request = next;
    }
}

static void answer_octets(struct jobs *jobs, struct job *job, const struct sync_stream *stream,
                          uint64_t available, enum fault fault)
{
    struct sync_request **link = &job->requests;
    while (*link != NULL) {
        struct sync_request *request = *link;
        if (request->want == SYNC_WANT_OCTETS && request->stream == stream &&
            request->upto <= available) {
            *link = request->next;
            answer(jobs, request, fault, EXTENT_NONE);
        } else {
            link = &request->next;
        }
    }
}

/* Only one of the two is what is arriving; who waits for the other has what he wants all the same.
 */
void jobs_answer_octets(struct jobs *jobs, const struct maildrop_message *message,
                        const struct sync_stream *stream, uint64_t available, enum fault fault)
{
    struct job *body = jobs_find(jobs, JOB_BODY, message);
    struct job *start = jobs_find(jobs, JOB_START, message);
    if (body != NULL)
        answer_octets(jobs, body, stream, available, fault);
    if (start != NULL)
        answer_octets(jobs, start, stream, available, fault);
}

void jobs_hand_over(struct jobs *jobs, struct job *from, struct job *to)
{
    struct sync_request *request = from->requests;
    from->requests = NULL;
    while (request != NULL) {
        struct sync_request *next = request->next;
        jobs->waiting_count--;
        jobs_wait(jobs, to, request, SCHEDULE_READ);
        request = next;
    }
}

void jobs_finish(struct jobs *jobs, struct job *job, enum fault fault, struct extent body)
{
    answer_all(jobs, job, fault, body);
    job_free(jobs, job);
}

static bool has_expired(const struct sync_request *request, int64_t expired_ms, enum fault *fault)
{
    if (!atomic_load(&request->canceled))
        return request->submitted_ms < expired_ms;
    *fault = FAULT_CANCELED;
    return true;
}

static void expire_requests(struct jobs *jobs, struct job *job, int64_t expired_ms,
                            enum fault expired)
{
    struct sync_request **link = &job->requests;
    while (*link != NULL) {
        struct sync_request *request = *link;
        enum fault fault = expired;
        if (has_expired(request, expired_ms, &fault)) {
            *link = request->next;
            answer(jobs, request, fault, EXTENT_NONE);
        } else {
            link = &request->next;
        }
    }
}

static void expire_list(struct jobs *jobs, struct job_list *list, int64_t expired_ms,
                        enum fault fault)
{
    for (struct job *job = list->first, *next; job != NULL; job = next) {
        next = job->next;
        if (job->requests == NULL)
            continue;
        expire_requests(jobs, job, expired_ms, fault);
        if (job->requests == NULL && !job->in_flight)
            job_free(jobs, job);
    }
}

void jobs_expire(struct jobs *jobs, int64_t expired_ms, enum fault fault)
{
    if (jobs->waiting_count == 0)
        return;
    expire_list(jobs, &jobs->in_flight, expired_ms, fault);
    for (size_t i = 0; i < SCHEDULE_CLASSES_COUNT; i++)
        expire_list(jobs, &jobs->queued[i], expired_ms, fault);
}

void jobs_fail_waiting(struct jobs *jobs, enum fault fault)
{
    for (struct job *job = jobs->in_flight.first; job != NULL; job = job->next)
        answer_all(jobs, job, fault, EXTENT_NONE);
    for (size_t i = 0; i < SCHEDULE_CLASSES_COUNT; i++)
        while (jobs->queued[i].first != NULL)
            jobs_finish(jobs, jobs->queued[i].first, fault, EXTENT_NONE);
}

void jobs_abandon_in_flight(struct jobs *jobs)
{
    while (jobs->in_flight.first != NULL)
        jobs_finish(jobs, jobs->in_flight.first, FAULT_CANCELED, EXTENT_NONE);
}

void jobs_drop_queued(struct jobs *jobs, enum schedule_class class)
{
    for (struct job *job = jobs->queued[class].first, *next; job != NULL; job = next) {
        next = job->next;
        if (job->requests == NULL)
            job_free(jobs, job);
    }
}

bool job_is_for_message(const struct job *job)
{
    return job->kind == JOB_BODY || job->kind == JOB_HEADER || job->kind == JOB_GUESS ||
           job->kind == JOB_START;
}
