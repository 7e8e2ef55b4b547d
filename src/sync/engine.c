/* SPDX-License-Identifier: MIT */
/* The loop of the sync thread: take requests, move bytes, act on events, ask for more, wait. */
#include "engine.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    EXPIRE_EVERY_MS = 500,
    LOGIN_MS_MAX = 600000, /* with the listing; ten time-outs where those are longer */
    YIELD_LEAST_MS = 1000, /* what is shorter than a new session by less is not worth one */
    SLEPT_MS = 5000,       /* suspended for so long, the machine finds its connections dead */
};

/* When the present login and its listing have taken too long; -1: there is none. */
static int64_t login_by_ms_of(const struct sync *sync)
{
    int64_t most_ms = 10 * sync->account.timeout_ms;
    if (sync->session_phase != SESSION_LOGIN && sync->session_phase != SESSION_LISTING)
        return -1;
    return sync->session_started_ms + (most_ms > LOGIN_MS_MAX ? most_ms : LOGIN_MS_MAX);
}

/* ---- what came in by the door ---- */

bool engine_is_away_for_long(const struct sync *sync, int64_t now_ms)
{
    bool is_due = sync->link == NULL && now_ms >= sync->retry_ms;
    return sync->session_phase != SESSION_ONLINE && !is_due &&
           backoff_is_away_since(&sync->backoff, now_ms - sync->account.timeout_ms);
}

bool engine_is_away(const struct sync *sync, int64_t now_ms)
{
    enum fault fault = sync->last_failure.fault;
    if (engine_is_away_for_long(sync, now_ms))
        return true;
    return sync->link == NULL && sync->login_failed && fault != FAULT_BUSY &&
           !backoff_is_outage(fault) && !sync->fetching &&
           (now_ms < sync->retry_ms || sync->refused == REFUSED_FOR_GOOD);
}

static enum fault note_one(struct sync *sync, struct maildrop_message *message,
                           struct maildrop_changes *restored)
{
    enum fault fault = engine_restore_note(sync, message);
    if (fault == FAULT_NONE)
        restored->appeared[restored->appeared_count++] = message;
    return fault;
}

/* What has gone is not going any more: all the better. What a QUIT is about keeps none of the
 * others here. */
static enum fault note_all(struct sync *sync, const struct maildrop_snapshot *snapshot,
                           struct maildrop_changes *restored)
{
    enum fault outcome = FAULT_NONE;
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        if (!maildrop_message_is_going(message))
            continue;
        enum fault fault = note_one(sync, message, restored);
        if (fault == FAULT_BUSY)
            outcome = fault;
        else if (fault != FAULT_NONE && fault != FAULT_GONE)
            return fault;
    }
    return outcome;
}

/* They come back when they will outlive a power cut, or not at all. The end of a mount waits for
 * whoever is answered then, since something is going till then. */
static enum fault restore_noted(struct sync *sync, struct maildrop_changes *restored)
{
    struct failure failure = {0};
    enum fault fault = FAULT_NONE;
    if (restored->appeared_count > 0)
        fault = store_sync_removals(sync->store, &failure);
    for (size_t i = 0; i < restored->appeared_count; i++)
        engine_restore_end(sync, restored->appeared[i], fault == FAULT_NONE);
    if (fault == FAULT_NONE)
        return fault;
    log_write(LOG_LEVEL_ERROR, "nothing is taken back: %s", failure.text);
    restored->appeared_count = 0;
    return fault;
}

/* For one message, or for all that are going. */
static void restore(struct sync *sync, struct sync_request *request)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    size_t room = request->message != NULL ? 1 : maildrop_snapshot_count(snapshot) + 1;
    CLEANUP_FREE struct maildrop_message **messages = calloc(room, sizeof(messages[0]));
    struct maildrop_changes restored = {.appeared = messages};
    enum fault fault = FAULT_MEMORY, sync_fault = FAULT_NONE;
    if (messages != NULL) {
        fault = request->message != NULL ? note_one(sync, request->message, &restored)
                                         : note_all(sync, snapshot, &restored);
        sync_fault = restore_noted(sync, &restored);
    }
    engine_tell(sync, &restored);
    maildrop_snapshot_unref(snapshot);
    request->answer(request, sync_fault != FAULT_NONE ? sync_fault : fault, EXTENT_NONE);
}

/*
 * The user wants a session now: what the server refused before may be otherwise. The same password
 * is tried at once where nothing else would try it; a refusal that may mean that we came too often
 * still has its pause.
 */
static void try_again(struct sync *sync)
{
    if (sync->refused == REFUSED_NOT || sync->fetching || sync->link != NULL)
        return;
    if (sync->refused == REFUSED_FOR_GOOD)
        sync->retry_ms = 0;
    sync->refused = REFUSED_ONCE;
    engine_password_fetch(sync);
}

static void take_wish(struct sync *sync, struct sync_request *request, struct waiters *waiters,
                      int64_t now_ms)
{
    try_again(sync);
    /* The user need not wait for the back-off: it may be why he asks. */
    if (sync->link == NULL && sync->refused == REFUSED_NOT && sync->retry_ms > now_ms)
        sync->retry_ms = now_ms;
    if (engine_is_away(sync, now_ms) && !backoff_is_outage(sync->last_failure.fault))
        request->answer(request, sync->last_failure.fault, EXTENT_NONE);
    else
        waiters_add(waiters, request);
}

static void take_prefetch(struct sync *sync, struct sync_request *request, int64_t now_ms)
{
    sync->prefetch_wanted = true;
    sync->prefetch_is_full = false;
    sync->prefetch_losses = 0;
    sync->prefetch_next = 0;
    take_wish(sync, request, &sync->prefetch_waiters, now_ms);
}

/* True if the request is for no job. */
static bool take_without_job(struct sync *sync, struct sync_request *request, int64_t now_ms)
{
    switch (request->want) {
    case SYNC_WANT_COMMIT:
        if (request->confirms && atomic_load(&sync->held_count) > 0)
            engine_confirm_held(sync);
        take_wish(sync, request, &sync->commit_waiters, now_ms);
        return true;
    case SYNC_WANT_REFRESH:
        take_wish(sync, request, &sync->refresh_waiters, now_ms);
        return true;
    case SYNC_WANT_PREFETCH:
        take_prefetch(sync, request, now_ms);
        return true;
    case SYNC_WANT_VERIFY:
        engine_verify(sync, request);
        return true;
    case SYNC_WANT_RESTORE:
        restore(sync, request);
        return true;
    case SYNC_WANT_OCTETS:
        engine_stream_want(sync, request, now_ms);
        return true;
    case SYNC_WANT_BODY:
    case SYNC_WANT_OPEN:
    case SYNC_WANT_TIME:
        break;
    }
    return false;
}

/* A date that is not to be had now. Without a session it is worth one when it is time. */
static bool is_date_that_waits(const struct sync *sync, const struct sync_request *request,
                               int64_t now_ms)
{
    return request->want == SYNC_WANT_TIME && engine_header_waits(sync, request->message) &&
           (sync->session_phase == SESSION_ONLINE || now_ms < sync->top_again_ms);
}

/* True if the request was answered with the body that is kept, or waits until that has been
 * compared with its checksum. */
static bool give_kept(struct sync *sync, struct sync_request *request)
{
    struct extent body;
    uint64_t sum;
    if (request->want == SYNC_WANT_TIME || engine_must_prove(sync, request->message))
        return false;
    enum fault fault = engine_body_open(sync, request->message, &body, &sum);
    if (fault == FAULT_BUSY) {
        waiters_add(&sync->check_waiters, request);
        return true;
    }
    if (fault == FAULT_GARBLED)
        engine_body_is_damaged(sync, request->message);
    if (fault != FAULT_NONE)
        return false;
    if (sum != 0)
        store_body_note_sound(sync->store, maildrop_message_id(request->message), sum);
    request->answer(request, FAULT_NONE, body);
    return true;
}

/* True if the request needs no job of its own. */
static bool take_at_once(struct sync *sync, struct sync_request *request, int64_t now_ms)
{
    if (sync->phase != ENGINE_SERVE) {
        request->answer(request, FAULT_CANCELED, EXTENT_NONE);
    } else if (take_without_job(sync, request, now_ms) || give_kept(sync, request)) {
        return true;
    } else if (is_date_that_waits(sync, request, now_ms)) {
        request->answer(request, FAULT_BUSY, EXTENT_NONE);
    } else if (engine_is_away(sync, now_ms)) {
        request->answer(request, sync->last_failure.fault, EXTENT_NONE);
    } else {
        return request->want == SYNC_WANT_OPEN && !engine_must_prove(sync, request->message) &&
               engine_stream_open(sync, request);
    }
    return true;
}

/* Whoever stats one message stats the next ones, too, and in listing order. */
static void sweep_from(struct sync *sync, const struct maildrop_message *message)
{
    size_t position;
    if (sync->listed != NULL &&
        maildrop_snapshot_find(sync->listed, maildrop_message_id(message), &position))
        sync->sweep_forward = position + 1;
}

static void take_request(struct sync *sync, struct sync_request *request, int64_t now_ms)
{
    if (take_at_once(sync, request, now_ms))
        return;
    bool body = request->want != SYNC_WANT_TIME;
    enum schedule_class class = body ? SCHEDULE_READ : SCHEDULE_STAT;
    enum job_kind kind = body ? JOB_BODY : JOB_HEADER;
    struct job *job = jobs_find(&sync->jobs, kind, request->message);
    if (job == NULL && body && engine_must_prove(sync, request->message) &&
        engine_has_body(sync, request->message))
        job = engine_proof_job(sync, request->message);
    if (job == NULL && !body)
        sweep_from(sync, request->message);
    if (job == NULL)
        job = jobs_add(&sync->jobs, kind, class, request->message);
    if (job == NULL)
        request->answer(request, FAULT_MEMORY, EXTENT_NONE);
    else
        jobs_wait(&sync->jobs, job, request, class);
}

static void take_requests(struct sync *sync, struct sync_request *request, int64_t now_ms)
{
    while (request != NULL) {
        struct sync_request *next = request->next;
        take_request(sync, request, now_ms);
        request = next;
    }
}

static void take_rerouted(struct sync *sync, int64_t now_ms)
{
    struct sync_request *rerouted = sync->jobs.rerouted;
    sync->jobs.rerouted = NULL;
    take_requests(sync, rerouted, now_ms);
}

static void take_notes(struct sync *sync, const struct note *notes, size_t count)
{
    size_t position;
    for (size_t i = 0; i < count; i++) {
        store_body_note_used(sync->store, notes[i].id);
        if (notes[i].sum != 0)
            store_body_note_sound(sync->store, notes[i].id, notes[i].sum);
        if (sync->listed != NULL && maildrop_snapshot_find(sync->listed, notes[i].id, &position))
            crawl_note_open(&sync->crawl, sync->listed, position);
    }
}

static void answer_all(struct sync *sync, enum fault fault)
{
    jobs_fail_waiting(&sync->jobs, fault);
    waiters_answer(&sync->refresh_waiters, fault);
    waiters_answer(&sync->refresh_served, fault);
    waiters_answer(&sync->commit_waiters, fault);
    waiters_answer(&sync->commit_served, fault);
    waiters_answer(&sync->prefetch_waiters, fault);
    engine_check_answer_all(sync, fault);
}

/* A commit that is under way goes on, with an end to it. What was refused keeps its pause. */
static void begin_stop(struct sync *sync, bool commit, int64_t now_ms)
{
    sync->phase = sync->started ? ENGINE_STOPPING : ENGINE_OVER;
    sync->stop_commits = commit && atomic_load(&sync->going_count) > 0;
    answer_all(sync, FAULT_CANCELED);
    if (sync->refused == REFUSED_NOT)
        sync->retry_ms = 0;
    else if (sync->stop_commits && sync->link == NULL)
        engine_password_fetch_last(sync);
    if (commit)
        engine_commit_hurry(sync, now_ms);
    else
        sync->phase = ENGINE_OVER;
}

static void answer_canceled(struct sync *sync, int64_t now_ms)
{
    sync->expire_ms = now_ms;
    waiters_answer_canceled(&sync->refresh_waiters);
    waiters_answer_canceled(&sync->refresh_served);
    waiters_answer_canceled(&sync->commit_waiters);
    waiters_answer_canceled(&sync->commit_served);
    waiters_answer_canceled(&sync->prefetch_waiters);
    engine_check_answer_canceled(sync);
    if (sync->prefetch_waiters.count == 0)
        sync->prefetch_wanted = sync->account.prefetch;
}

static void take_inbox(struct sync *sync, int64_t now_ms)
{
    struct note notes[SYNC_NOTES_MAX];
    size_t notes_count = 0;
    pthread_mutex_lock(&sync->lock);
    struct sync_request *request = sync->submitted;
    sync->submitted = NULL;
    sync->submitted_end = &sync->submitted;
    for (; notes_count < sync->notes_count; notes_count++)
        notes[notes_count] = sync->notes[notes_count];
    sync->notes_count = 0;
    sync->notes_octets = 0;
    bool stop = sync->stop;
    bool stop_commit = sync->stop_commit;
    bool retire = sync->retire && !sync->is_retired;
    bool canceled = sync->canceled;
    bool closed = sync->streams_closed;
    sync->canceled = false;
    sync->streams_closed = false;
    pthread_mutex_unlock(&sync->lock);
    /* First: who opens what has just been closed is to get nothing of it. */
    if (closed)
        engine_streams_reap(sync, false);
    take_notes(sync, notes, notes_count);
    for (struct sync_request *new = request; new != NULL; new = new->next)
        new->submitted_ms = now_ms;
    take_requests(sync, request, now_ms);
    if (canceled)
        answer_canceled(sync, now_ms);
    if (retire)
        engine_retire(sync);
    if (stop && sync->phase == ENGINE_SERVE)
        begin_stop(sync, stop_commit, now_ms);
}

/* Requests that are no jobs, and wait for the session to be free. */
static int64_t oldest_wish_ms(const struct sync *sync)
{
    int64_t refresh_ms = waiters_oldest_ms(&sync->refresh_waiters, INT64_MAX);
    return waiters_oldest_ms(&sync->commit_served, refresh_ms);
}

/* Nothing of a commit would be lost with the session. */
static bool may_yield(const struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    const struct job *first = sync->jobs.in_flight.first;
    bool has_begun =
        commit->phase != COMMIT_NONE &&
        (commit->phase != COMMIT_DELETING || commit->dele_next > 0 || commit->proofs_asked);
    return sync->session_phase == SESSION_ONLINE && sync->phase == ENGINE_SERVE && !has_begun &&
           !sync->dele_sent && first != NULL && first->message != NULL &&
           (first->kind == JOB_BODY || first->kind == JOB_START || first->kind == JOB_HEADER);
}

/*
 * The answer that is coming keeps others waiting (POP3.md rule 36). A slow one gives way to whoever
 * has waited for as long as silence may last; one that nobody waits for any more, as soon as a new
 * session would be there earlier than its end.
 */
static void yield_to_others(struct sync *sync, int64_t now_ms)
{
    struct failure failure;
    if (!may_yield(sync))
        return;
    const struct job *first = sync->jobs.in_flight.first;
    int64_t asked_ms = jobs_oldest_of_others_ms(&sync->jobs, first);
    int64_t wish_ms = oldest_wish_ms(sync);
    asked_ms = wish_ms < asked_ms ? wish_ms : asked_ms;
    if (asked_ms > now_ms)
        return;
    int64_t login_ms = agenda_login_from_ms(&sync->agenda);
    int64_t session_ms = sync->login_took_ms + (login_ms > now_ms ? login_ms - now_ms : 0);
    bool is_left = first->was_wanted && first->requests == NULL &&
                   !engine_stream_is_open(sync, first->message);
    /* A message that is longer than LIST says ends nobody knows when. */
    bool is_slow = link_is_slow(sync->link, now_ms);
    int64_t rest_ms = is_slow && first->owed_octets == 0
                          ? INT64_MAX
                          : link_rest_ms(sync->link, first->owed_octets, now_ms);
    bool has_waited = asked_ms <= now_ms - sync->account.timeout_ms;
    if (rest_ms <= session_ms + YIELD_LEAST_MS || !(is_left || (is_slow && has_waited)))
        return;
    failure_set(&failure, FAULT_TIMEOUT, "%s; connecting anew for what else is wanted",
                is_left ? "nobody waits for what is coming any more"
                        : "the server sends less than 1 KiB a second");
    engine_link_yield(sync, &failure, now_ms);
}

/* Each line of it may have come in time. */
static void bound_login(struct sync *sync, int64_t now_ms)
{
    struct failure failure;
    int64_t by_ms = login_by_ms_of(sync);
    if (by_ms < 0 || now_ms < by_ms)
        return;
    failure_set(&failure, FAULT_TIMEOUT, "login and listing have taken longer than %lld minutes",
                (long long)(now_ms - sync->session_started_ms) / 60000);
    engine_link_lost(sync, &failure, now_ms);
}

/* Silence is what counts: while bytes come, those who wait go on waiting. */
static void expire(struct sync *sync, int64_t now_ms)
{
    if (now_ms < sync->expire_ms)
        return;
    sync->expire_ms = now_ms + EXPIRE_EVERY_MS;
    yield_to_others(sync, now_ms);
    int64_t oldest_ms = now_ms - sync->account.timeout_ms;
    /* Also where the link has been lost since: the next one goes on. */
    bool heard = sync->heard_ms > 0 && sync->heard_ms > oldest_ms;
    if (sync->link == NULL && engine_is_away_for_long(sync, now_ms))
        jobs_fail_waiting(&sync->jobs, sync->last_failure.fault);
    waiters_expire(&sync->commit_waiters, now_ms - COMMIT_MS, FAULT_TIMEOUT);
    bool locked = sync->login_failed && sync->last_failure.fault == FAULT_BUSY;
    bool busy = sync->session_phase != SESSION_ONLINE &&
                (locked || now_ms < agenda_login_from_ms(&sync->agenda));
    enum fault fault = busy ? FAULT_BUSY : FAULT_TIMEOUT;
    if (sync->link == NULL && sync->backoff.is_away)
        fault = sync->last_failure.fault;
    jobs_expire(&sync->jobs, heard ? INT64_MIN : oldest_ms, fault);
    /* Any other failure has answered them. */
    if (sync->link != NULL || !busy)
        return;
    waiters_expire(&sync->refresh_waiters, oldest_ms, FAULT_BUSY);
    waiters_expire(&sync->prefetch_waiters, oldest_ms, FAULT_BUSY);
    if (sync->prefetch_waiters.count == 0)
        sync->prefetch_wanted = sync->account.prefetch;
}

/* ---- what came from the server ---- */

static void pump(struct sync *sync, int64_t now_ms)
{
    struct failure failure = {0};
    struct pop3_event event;
    if (sync->link != NULL)
        link_begin_turn(sync->link);
    while (sync->link != NULL && sync->phase != ENGINE_OVER) {
        event.type = POP3_EVENT_NONE;
        uint64_t before = link_received_octets(sync->link);
        enum fault fault = link_next_event(sync->link, now_ms, &event, &failure);
        uint64_t octets = link_received_octets(sync->link) - before;
        if (octets > 0 && sync->session_phase == SESSION_ONLINE)
            sync->heard_ms = now_ms;
        if (octets > 0 && sync->jobs.in_flight.count > 0)
            window_note_octets(&sync->window, octets, now_ms);
        if (fault == FAULT_NONE && event.type == POP3_EVENT_NONE)
            break;
        if (fault == FAULT_NONE)
            fault = engine_event(sync, &event, now_ms, &failure);
        /* It is not the link that is to blame. */
        if (fault == FAULT_FULL && sync->commit.phase == COMMIT_NONE)
            engine_link_yield(sync, &failure, now_ms);
        else if (fault != FAULT_NONE)
            engine_link_lost(sync, &failure, now_ms);
    }
    engine_stream_publish(sync, false);
}

/* What is to be done besides what readers want. */
static enum fault tend(struct sync *sync, int64_t now_ms)
{
    enum fault fault;
    if (sync->commit.phase == COMMIT_NONE && sync->commit_waiters.count > 0)
        fault = engine_commit_begin(sync, now_ms);
    else if (sync->commit.phase != COMMIT_NONE)
        fault = engine_commit(sync, now_ms);
    else if (sync->phase == ENGINE_STOPPING)
        fault = engine_stop(sync, now_ms);
    else
        fault = engine_upkeep(sync, now_ms);
    /* The end of a commit or of the mount does not wait for a listing that trickles. */
    if (fault != FAULT_NONE || sync->phase == ENGINE_OVER || sync->session_phase != SESSION_LISTING)
        return fault;
    return engine_listing_continue(sync, now_ms);
}

static void ask(struct sync *sync, int64_t now_ms)
{
    struct failure failure = {.text = "cannot send a command"};
    sync->looks_on = false;
    enum fault fault = sync->phase == ENGINE_OVER ? FAULT_NONE : tend(sync, now_ms);
    if (fault == FAULT_NONE && sync->link != NULL && sync->phase == ENGINE_SERVE)
        fault = engine_issue(sync, now_ms, &failure);
    /* Others than the schedule have asked, too. */
    if (fault == FAULT_NONE)
        fault = engine_mark_rest(sync, now_ms);
    if (fault == FAULT_NONE && sync->link != NULL)
        fault = link_flush(sync->link, now_ms, &failure);
    if (fault != FAULT_NONE && sync->link != NULL) {
        failure.fault = fault;
        engine_link_lost(sync, &failure, now_ms);
    }
}

/* ---- waiting ---- */

static void sooner(int64_t *timeout_ms, int64_t other_ms)
{
    if (other_ms < 0)
        other_ms = 0;
    if (*timeout_ms < 0 || other_ms < *timeout_ms)
        *timeout_ms = other_ms;
}

static int64_t wait_ms(const struct sync *sync, int64_t link_timeout_ms, int64_t turn_ms,
                       int64_t now_ms)
{
    int64_t timeout_ms = link_timeout_ms;
    int64_t connect_ms = engine_connect_at_ms(sync);
    if (connect_ms >= 0)
        sooner(&timeout_ms, connect_ms - now_ms);
    /* What was asked or lost after take_rerouted() may have sent some back. */
    if (sync->jobs.rerouted != NULL || sync->looks_on)
        timeout_ms = 0;
    int64_t by_ms = login_by_ms_of(sync);
    if (by_ms >= 0)
        sooner(&timeout_ms, by_ms - now_ms);
    int64_t flush_ms = engine_index_at_ms(sync);
    if (flush_ms >= 0)
        sooner(&timeout_ms, flush_ms - now_ms);
    if (sync->started && sync->phase == ENGINE_SERVE)
        sooner(&timeout_ms, sync->bin_at_ms - now_ms);
    int64_t agenda_ms = agenda_next_ms(&sync->agenda, sync->session_phase == SESSION_ONLINE);
    /* What was due already in this turn waits for a pause, which wakes the loop by itself. */
    if (sync->phase == ENGINE_SERVE && agenda_ms > turn_ms)
        sooner(&timeout_ms, agenda_ms - now_ms);
    if (sync->refresh_waiters.count > 0 || sync->commit_waiters.count > 0 ||
        (sync->commit_served.count > 0 && may_yield(sync)) ||
        (sync->link == NULL && sync->prefetch_waiters.count > 0))
        sooner(&timeout_ms, EXPIRE_EVERY_MS);
    int64_t commit_ms = engine_commit_at_ms(sync);
    if (commit_ms >= 0)
        sooner(&timeout_ms, commit_ms - now_ms);
    if (sync->jobs.waiting_count > 0)
        sooner(&timeout_ms, sync->expire_ms - now_ms);
    if (sync->session_phase == SESSION_ONLINE && sync->account.keepalive_ms > 0 &&
        sync->jobs.in_flight.count == 0)
        sooner(&timeout_ms, link_active_ms(sync->link) + sync->account.keepalive_ms - now_ms);
    return timeout_ms;
}

/* `turn_ms`: when the turn began that is over. */
static void wait_for_something(struct sync *sync, int64_t turn_ms)
{
    int64_t now_ms = clock_now_ms();
    struct pollfd fds[NET_POLL_MAX + 1];
    int64_t timeout_ms = -1;
    size_t count = sync->link == NULL ? 0 : link_poll(sync->link, now_ms, fds, &timeout_ms);
    door_wait(&sync->door, fds, count, wait_ms(sync, timeout_ms, turn_ms, now_ms));
}

/* After a suspend the server has long forgotten the session, and nothing would tell for minutes. */
static void note_sleep(struct sync *sync, int64_t now_ms)
{
    int64_t slept_ms = clock_slept_ms() - sync->slept_ms;
    sync->slept_ms += slept_ms;
    if (slept_ms < SLEPT_MS || sync->link == NULL)
        return;
    struct failure failure;
    failure_set(&failure, FAULT_OFFLINE, "the machine slept for %lld seconds; connecting anew",
                (long long)(slept_ms / 1000));
    engine_link_lost(sync, &failure, now_ms);
}

/* The index is read while the connection is being made. */
static bool begin(struct sync *sync)
{
    struct failure failure;
    sync->start_ms = clock_now_ms();
    sync->turn_wall_ns = clock_wall_ns();
    sync->slept_ms = clock_slept_ms();
    engine_connect(sync, sync->start_ms);
    if (engine_index_load(sync, &failure) != FAULT_NONE) {
        engine_start_is_over(sync, &failure);
        sync->phase = ENGINE_OVER;
        return false;
    }
    engine_anticipate(sync); /* if the index says so */
    return true;
}

static void serve(struct sync *sync)
{
    for (;;) {
        int64_t now_ms = clock_now_ms();
        sync->turn_wall_ns = clock_wall_ns();
        note_sleep(sync, now_ms);
        take_inbox(sync, now_ms);
        pump(sync, now_ms);
        bound_login(sync, now_ms);
        expire(sync, now_ms);
        take_rerouted(sync, now_ms);
        ask(sync, now_ms);
        sync->looks_on |= engine_check(sync);
        engine_bin_go_ahead(sync);
        engine_connect(sync, now_ms);
        engine_index_settle(sync, now_ms);
        engine_bin_tend(sync, now_ms);
        engine_publish_status(sync, now_ms);
        /* Whoever is told that all is here looks next how much that is. */
        if (engine_prefetch_settle(sync))
            engine_publish_status(sync, now_ms);
        if (sync->phase == ENGINE_OVER)
            return;
        wait_for_something(sync, now_ms);
    }
}

void *engine_run(void *argument)
{
    struct sync *sync = argument;
    bool begun = begin(sync);
    if (begun)
        serve(sync);
    engine_link_drop(sync);
    answer_all(sync, FAULT_CANCELED);
    jobs_abandon_in_flight(&sync->jobs);
    take_rerouted(sync, clock_now_ms());
    if (begun)
        engine_index_flush(sync);
    return NULL;
}
