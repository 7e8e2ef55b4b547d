/* SPDX-License-Identifier: MIT */
/* Asks: turns what the schedule picks into commands. */
#include "engine.h"

enum {
    ANSWER_OVERHEAD_OCTETS = 40, /* the status line and the dot */
    UNKNOWN_BODY_OCTETS = 8192,
    LINE_OCTETS_GUESS = 76,
    AHEAD_LOOKED_AT_MAX = 1024, /* cached messages passed over in one go */
};

bool engine_has_top(const struct sync *sync)
{
    const struct pop3_capabilities *has = pop3_session_capabilities(link_session(sync->link));
    return sync->account.top && !sync->top_useless && !sync->top_off && !sync->top_rests &&
           (has->top || !has->known);
}

uint32_t engine_msgnum(const struct sync *sync, const struct maildrop_message *message)
{
    size_t position;
    if (sync->listed == NULL ||
        !maildrop_snapshot_find(sync->listed, maildrop_message_id(message), &position))
        return 0;
    return sync->msgnums[position];
}

static uint64_t estimate_octets(const struct sync *sync, const struct job *job)
{
    switch (job->kind) {
    case JOB_BODY: {
        uint64_t octets = maildrop_message_octets(job->message, NULL);
        return (octets > 0 ? octets : UNKNOWN_BODY_OCTETS) + ANSWER_OVERHEAD_OCTETS;
    }
    case JOB_HEADER:
    case JOB_GUESS:
        return sync->header_octets + ANSWER_OVERHEAD_OCTETS;
    case JOB_START:
        return sync->header_octets + (uint64_t)job->lines * LINE_OCTETS_GUESS;
    case JOB_STAT:
    case JOB_UIDL:
    case JOB_LIST:
    case JOB_NOOP:
    case JOB_MARK:
    case JOB_DELE:
    case JOB_RSET:
    case JOB_QUIT:
        break;
    }
    return ANSWER_OVERHEAD_OCTETS;
}

static enum pop3_command command_of(enum job_kind kind)
{
    switch (kind) {
    case JOB_BODY:
        return POP3_RETR;
    case JOB_HEADER:
    case JOB_GUESS:
    case JOB_START:
        return POP3_TOP;
    case JOB_STAT:
        return POP3_STAT;
    case JOB_UIDL:
        return POP3_UIDL;
    case JOB_LIST:
        return POP3_LIST;
    case JOB_NOOP:
    case JOB_MARK:
        return POP3_NOOP;
    case JOB_DELE:
        return POP3_DELE;
    case JOB_RSET:
        return POP3_RSET;
    case JOB_QUIT:
        return POP3_QUIT;
    }
    return POP3_NOOP;
}

enum fault engine_ask(struct sync *sync, struct job *job, int64_t now_ms)
{
    struct pop3_request request = {
        .command = command_of(job->kind), .tag = job, .msgnum = job->msgnum, .lines = job->lines};
    if (job->message != NULL)
        request.msgnum = engine_msgnum(sync, job->message);
    enum fault fault = engine_mark_before(sync, job, now_ms);
    bool sole = link_outstanding_count(sync->link) == 0;
    if (fault == FAULT_NONE)
        fault = link_issue(sync->link, &request, now_ms);
    if (fault != FAULT_NONE)
        return fault;
    job->msgnum = request.msgnum;
    job->is_lone =
        !link_pipelines(sync->link) || sync->careful_count > 0 || engine_is_asked_alone(sync, job);
    jobs_set_in_flight(&sync->jobs, job, estimate_octets(sync, job));
    sync->sole_issued_ms = sole ? now_ms : -1;
    if (sole)
        pace_note_start(&sync->pace, now_ms);
    sync->last_was_pipelined = !sole;
    return engine_mark_behind(sync, job, now_ms);
}

bool engine_has_pipelined(const struct sync *sync)
{
    const struct job *first = sync->jobs.in_flight.first;
    size_t owed_count = sync->jobs.in_flight.count;
    /* A marker that was asked alone came when its answer was here. */
    if (first != NULL && first->is_lone && owed_count == 2 && first->next->kind == JOB_MARK)
        return false;
    return owed_count > 1 || (owed_count == 1 && sync->last_was_pipelined);
}

struct job *engine_body_job(struct sync *sync, struct maildrop_message *message,
                            enum schedule_class class)
{
    struct job *job = jobs_find(&sync->jobs, JOB_BODY, message);
    return job != NULL ? job : jobs_add(&sync->jobs, JOB_BODY, class, message);
}

static bool needs_header(const struct sync *sync, const struct maildrop_message *message)
{
    int64_t seconds;
    bool needs_time =
        !maildrop_message_time(message, &seconds) && !maildrop_message_is_going(message);
    return (needs_time || engine_wants_evidence(sync, message)) &&
           !engine_header_waits(sync, message) &&
           jobs_find(&sync->jobs, JOB_HEADER, message) == NULL;
}

/*
 * The next header that nobody has asked for; NULL at the end. Newest first, because that is what
 * people look at; but from where somebody waits for one (`ls -l` has begun) up to the end first,
 * and all in the order of the listing when the mount begins, because that is how tools look at it:
 * an `ls -l` that finds the first messages last is 25 ms behind with 10,000.
 */
static struct job *sweep_next(struct sync *sync)
{
    size_t count = maildrop_snapshot_count(sync->listed);
    while (sync->sweep_forward < count || sync->sweep_left > 0) {
        bool forward = sync->sweep_forward < count;
        size_t position = forward ? sync->sweep_forward++ : --sync->sweep_left;
        struct maildrop_message *message = maildrop_snapshot_at(sync->listed, position);
        if (!needs_header(sync, message))
            continue;
        struct job *job = jobs_add(&sync->jobs, JOB_HEADER, SCHEDULE_SWEEP, message);
        if (job != NULL)
            job->proves = engine_wants_evidence(sync, message);
        return job;
    }
    return NULL;
}

bool engine_has_body(const struct sync *sync, const struct maildrop_message *message)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    return exact && store_body_is_there(sync->store, maildrop_message_id(message), octets);
}

/* To open it, as engine_has_body() does, would keep a processor busy that the crawl could use. */
bool engine_has_body_probably(const struct sync *sync, const struct maildrop_message *message)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    return exact && store_body_is_kept(sync->store, maildrop_message_id(message), octets);
}

/* A body that has not been asked for, and that nobody has to wait for to be worth it. */
static bool is_wanted(const struct sync *sync, const struct maildrop_message *message)
{
    return !maildrop_message_is_going(message) &&
           outages_of(&sync->retr_outages, maildrop_message_id(message)) < OUTAGES_BORNE &&
           jobs_find(&sync->jobs, JOB_BODY, message) == NULL;
}

/* What is read ahead must be there still when it is opened. */
static bool has_room_ahead(const struct sync *sync)
{
    struct store_usage usage;
    store_usage(sync->store, &usage);
    return store_is_keeping(sync->store) &&
           (usage.octets_max == 0 || crawl_ahead_octets(&sync->crawl) < usage.octets_max / 2);
}

/* The next body that a crawl will open; NULL if none is due. */
static struct job *ahead_next(struct sync *sync)
{
    size_t position;
    if (!has_room_ahead(sync))
        return NULL;
    for (int i = 0; i < AHEAD_LOOKED_AT_MAX; i++) {
        if (!crawl_next(&sync->crawl, sync->listed, &position))
            return NULL;
        struct maildrop_message *message = maildrop_snapshot_at(sync->listed, position);
        uint64_t octets = maildrop_message_octets(message, NULL);
        if (engine_has_body_probably(sync, message) || !is_wanted(sync, message) ||
            !store_could_keep(sync->store, octets))
            continue;
        return jobs_add(&sync->jobs, JOB_BODY, SCHEDULE_AHEAD, message);
    }
    return NULL;
}

/* To fetch more than the cache holds would only push out what was fetched first. */
static bool has_room_for(const struct sync *sync, const struct maildrop_message *message)
{
    uint64_t owed = sync->jobs.owed_octets + maildrop_message_octets(message, NULL);
    return store_is_keeping(sync->store) && store_has_room(sync->store, owed);
}

/* The next body for `prefetch`, in listing order. */
static struct job *prefetch_next(struct sync *sync)
{
    size_t count = maildrop_snapshot_count(sync->listed);
    for (int i = 0; sync->prefetch_wanted && sync->prefetch_next < count; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(sync->listed, sync->prefetch_next);
        if (i >= AHEAD_LOOKED_AT_MAX) {
            sync->looks_on = true;
            return NULL;
        }
        if (is_wanted(sync, message) && !engine_has_body(sync, message)) {
            sync->prefetch_is_full |= !has_room_for(sync, message);
            if (sync->prefetch_is_full)
                return NULL;
            sync->prefetch_next++;
            return jobs_add(&sync->jobs, JOB_BODY, SCHEDULE_PREFETCH, message);
        }
        sync->prefetch_next++;
    }
    return NULL;
}

static bool has_all_bodies(const struct sync *sync)
{
    size_t count = maildrop_snapshot_count(sync->listed);
    for (size_t i = 0; i < count; i++) {
        const struct maildrop_message *message = maildrop_snapshot_at(sync->listed, i);
        if (!maildrop_message_is_going(message) && !engine_has_body(sync, message))
            return false;
    }
    return true;
}

void engine_prefetch_answer(struct sync *sync, enum fault fault)
{
    sync->prefetch_wanted = sync->account.prefetch;
    waiters_answer(&sync->prefetch_waiters, fault);
}

bool engine_prefetch_settle(struct sync *sync)
{
    if (sync->prefetch_waiters.count == 0 || sync->session_phase != SESSION_ONLINE ||
        sync->jobs.in_flight.count > 0 || sync->body_waits)
        return false;
    bool over = sync->prefetch_next >= maildrop_snapshot_count(sync->listed);
    if (!over && !sync->prefetch_is_full)
        return false;
    enum fault fault = FAULT_DISK;
    if (over)
        fault = has_all_bodies(sync) ? FAULT_NONE : FAULT_REFUSED;
    engine_prefetch_answer(sync, fault);
    return true;
}

static bool keepalive_is_due(const struct sync *sync, int64_t now_ms)
{
    return sync->account.keepalive_ms > 0 && link_outstanding_count(sync->link) == 0 &&
           now_ms - link_active_ms(sync->link) >= sync->account.keepalive_ms;
}

/*
 * A session ended under it: what is asked together with it might be lost with the next one. While
 * one message alone speaks against LIST, each body might be needed twice.
 */
bool engine_is_asked_alone(const struct sync *sync, const struct job *job)
{
    if (job == NULL || job->message == NULL)
        return false;
    uint64_t id = maildrop_message_id(job->message);
    bool is_doubted = job->was_doubted && !sync->list_is_wrong;
    return job->is_alone || is_doubted || (job->kind == JOB_BODY && sync->list_is_on_trial) ||
           (job->kind == JOB_HEADER && outages_of(&sync->top_outages, id) > 0) ||
           (job->kind == JOB_BODY && outages_of(&sync->retr_outages, id) > 0);
}

static bool is_last_alone(const struct sync *sync)
{
    const struct job *last = sync->jobs.in_flight.last;
    return engine_is_asked_alone(sync, last->kind == JOB_MARK ? last->previous : last);
}

/* Jobs that nobody waits for are made only when their turn has come, so a million headers are not a
 * million jobs. */
static enum schedule_class next_class(struct sync *sync, int64_t now_ms)
{
    struct jobs *jobs = &sync->jobs;
    bool careful = jobs->in_flight.count > 0 && (sync->careful_count > 0 || is_last_alone(sync));
    bool not_at_all;
    bool draining = engine_is_draining(sync, now_ms, &not_at_all);
    uint64_t window = window_octets(&sync->window);
    struct schedule_view view = {
        .may_issue = link_may_issue(sync->link) && !careful && !not_at_all,
        .outstanding_count = jobs->in_flight.count,
        .outstanding_octets = jobs->owed_octets,
        .window_octets = window,
        .demand_octets = engine_stream_is_last(sync) ? window : SCHEDULE_DEMAND_OCTETS_MAX,
    };
    view.wanted[SCHEDULE_READ] = jobs->queued[SCHEDULE_READ].first != NULL;
    view.wanted[SCHEDULE_STAT] = jobs->queued[SCHEDULE_STAT].first != NULL;
    if (draining)
        return schedule_next(&view);
    view.wanted[SCHEDULE_AHEAD] =
        jobs->queued[SCHEDULE_AHEAD].first != NULL || ahead_next(sync) != NULL;
    view.wanted[SCHEDULE_SWEEP] =
        engine_has_top(sync) &&
        (jobs->queued[SCHEDULE_SWEEP].first != NULL || sweep_next(sync) != NULL);
    view.wanted[SCHEDULE_PREFETCH] =
        jobs->queued[SCHEDULE_PREFETCH].first != NULL || prefetch_next(sync) != NULL;
    view.wanted[SCHEDULE_KEEPALIVE] = keepalive_is_due(sync, now_ms);
    return schedule_next(&view);
}

/* What need not be asked any more is answered at once. */
static bool settle_without_asking(struct sync *sync, struct job *job)
{
    int64_t seconds;
    if (job->message == NULL)
        return false;
    if (job->kind == JOB_HEADER && !job->proves && maildrop_message_time(job->message, &seconds))
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
    else if (engine_msgnum(sync, job->message) == 0)
        jobs_finish(&sync->jobs, job, FAULT_GONE, EXTENT_NONE);
    else if (job->kind == JOB_HEADER && engine_header_waits(sync, job->message))
        jobs_finish(&sync->jobs, job, FAULT_BUSY, EXTENT_NONE);
    else if (job->kind == JOB_HEADER && !engine_has_top(sync))
        engine_header_missing(sync, job);
    else
        return false;
    return true;
}

enum fault engine_issue(struct sync *sync, int64_t now_ms, struct failure *ret_failure)
{
    while (sync->session_phase == SESSION_ONLINE) {
        enum schedule_class class = next_class(sync, now_ms);
        if (class == SCHEDULE_NOTHING)
            break;
        struct job *job = class == SCHEDULE_KEEPALIVE
                              ? jobs_add(&sync->jobs, JOB_NOOP, SCHEDULE_KEEPALIVE, NULL)
                              : sync->jobs.queued[class].first;
        if (job == NULL)
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
        if (settle_without_asking(sync, job))
            continue;
        if (sync->jobs.in_flight.count > 0 && engine_is_asked_alone(sync, job))
            break;
        enum fault fault = engine_ask(sync, job, now_ms);
        if (fault != FAULT_NONE)
            return failure_set(ret_failure, fault, "cannot send a command");
    }
    if (engine_mark_rest(sync, now_ms) != FAULT_NONE)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return link_flush(sync->link, now_ms, ret_failure);
}
