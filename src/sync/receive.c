/* SPDX-License-Identifier: MIT */
/* Bodies, headers and starts of bodies as they arrive. One answer at a time, because POP3 answers
 * in order. */
#include "engine.h"
#include "size.h"

#include "popfs/mail.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LISTED_TIMES_MAX = 4, /* a body may be so many times as large as LIST said */
    TOPS_REFUSED_MAX = 3, /* in a row: then the server has no TOP, whatever CAPA says */
    TOPS_OUT_MAX = 3,     /* sessions in a row: then TOP rests */

    TOLD_MAX = 10, /* messages that cannot be had, in the log of one mount */

    LISTING_NEW_MS = 4000, /* what was listed so short a time ago is there still */
};

#define BODY_OCTETS_LEAST (UINT64_C(64) << 20)  /* a body may always be so large */
#define IN_VAIN_OCTETS_MAX (UINT64_C(16) << 20) /* so much is read to throw it away */
#define UNLISTED_OCTETS_MAX (UINT64_C(4) << 30) /* where LIST said nothing */

bool engine_learn_header(struct sync *sync, struct maildrop_message *message)
{
    int64_t seconds;
    struct slice header = buffer_slice(&sync->header.bytes);
    if (maildrop_message_time(message, &seconds))
        return false;
    if (!mail_header_time(header, &seconds))
        seconds = maildrop_message_first_seen_ns(message) / 1000000000;
    maildrop_message_learn_time(message, seconds);
    engine_index_header(sync, message, header);
    return true;
}

void engine_no_date(struct sync *sync, struct maildrop_message *message, bool for_good)
{
    maildrop_message_learn_time(message, maildrop_message_first_seen_ns(message) / 1000000000);
    if (for_good)
        engine_index_header(sync, message, (struct slice){0});
}

void engine_header_missing(struct sync *sync, struct job *job)
{
    int64_t seconds;
    if (!maildrop_message_time(job->message, &seconds))
        engine_no_date(sync, job->message, !sync->top_off);
    if (job->proves)
        engine_prove_by_body(sync, job);
    jobs_finish(&sync->jobs, job, FAULT_REFUSED, EXTENT_NONE);
}

void engine_show_failure(struct sync *sync, const struct failure *failure)
{
    sync->shown_failure = *failure;
    sync->shown_failure_wall_s = sync->turn_wall_ns / 1000000000;
    sync->status_is_stale = true;
}

/* One message is told of once, and a server that refuses thousands does not fill the log. */
static void tell_once(struct sync *sync, const struct job *job, const struct failure *failure)
{
    uint64_t id = job == NULL || job->message == NULL ? 0 : maildrop_message_id(job->message);
    engine_show_failure(sync, failure);
    if (outages_of(&sync->told, id) > 0 || sync->told.count >= TOLD_MAX)
        return;
    (void)outages_note(&sync->told, id);
    log_write(LOG_LEVEL_WARNING, "%s%s", failure->text,
              sync->told.count < TOLD_MAX ? ""
                                          : "; of further messages that cannot be had, only the "
                                            "status tells");
}

void engine_receive_failed(struct sync *sync)
{
    enum fault fault = sync->body_failure.fault;
    bool is_disk = fault == FAULT_DISK || fault == FAULT_FULL;
    engine_show_failure(sync, &sync->body_failure);
    if (is_disk)
        snprintf(sync->cache_failure, sizeof(sync->cache_failure), "%s", sync->body_failure.text);
    if (!is_disk || !sync->body_not_kept_said)
        log_write(LOG_LEVEL_ERROR, "%s", sync->body_failure.text);
    sync->body_not_kept_said |= is_disk;
    if (sync->stream != NULL)
        engine_stream_fail(sync, sync->body_failure.fault);
    store_body_free(sync->body);
    sync->body = NULL;
    sync->lost_octets = sync->raw_octets;
}

void engine_receive_start(struct sync *sync, struct job *job)
{
    header_clear(&sync->header);
    sync->body_failure.fault = FAULT_NONE;
    sync->arrived_octets = 0;
    sync->raw_octets = 0;
    sync->begins_as_status = false;
    eol_begin(&sync->eol);
    if (job->kind == JOB_HEADER || job->kind == JOB_GUESS || engine_stream_begin(sync, job))
        return;
    if (job->kind == JOB_START)
        return; /* whoever wanted it has failed meanwhile */
    if (store_body_new(sync->store, &sync->body, &sync->body_failure) != FAULT_NONE)
        engine_receive_failed(sync);
    else
        store_body_expect(sync->body, maildrop_message_octets(job->message, NULL));
}

/* As they are kept: with LF, if that was asked for. */
static enum fault append(struct sync *sync, struct slice bytes)
{
    enum fault fault = FAULT_NONE;
    if (sync->stream != NULL)
        fault = engine_stream_skip(sync, &bytes);
    if (fault == FAULT_NONE)
        fault = store_body_append(sync->body, bytes, &sync->body_failure);
    sync->arrived_octets += bytes.len;
    return fault;
}

static enum fault take(struct sync *sync, struct slice bytes)
{
    if (sync->account.lf && !eol_feed(&sync->eol, bytes, &bytes))
        return failure_set(&sync->body_failure, FAULT_MEMORY, "out of memory");
    return append(sync, bytes);
}

/* What LIST said is only a hint, but a body that is so far beyond it has no end. */
static bool is_endless(const struct sync *sync, const struct job *job)
{
    uint64_t listed = job->message == NULL ? 0 : maildrop_message_listed_octets(job->message);
    uint64_t most = listed == 0 ? UNLISTED_OCTETS_MAX : listed * LISTED_TIMES_MAX;
    return sync->raw_octets > (most > BODY_OCTETS_LEAST ? most : BODY_OCTETS_LEAST);
}

/* From what the stream holds already. Before it is proven that it is of this message, it says
 * nothing. */
static bool is_difference(const struct sync *sync)
{
    return sync->stream != NULL && sync->body_failure.fault == FAULT_GARBLED;
}

/* A stream, which would show it, gets nothing of what may have to be asked for again. */
static bool takes_body(const struct sync *sync)
{
    return sync->body != NULL && !is_difference(sync) &&
           !(sync->begins_as_status && sync->stream != NULL);
}

/* A session is had sooner than the rest, which nobody knows the end of. */
static bool is_in_vain(const struct sync *sync)
{
    return sync->body_failure.fault == FAULT_FULL &&
           sync->raw_octets > sync->lost_octets + IN_VAIN_OCTETS_MAX;
}

enum fault engine_receive_data(struct sync *sync, struct job *job, struct slice bytes,
                               struct failure *ret_failure)
{
    jobs_note_octets(&sync->jobs, job, bytes.len);
    if (sync->raw_octets == 0)
        sync->begins_as_status = !job->began_as_status && pop3_begins_as_status(bytes);
    /* A guess is still one where the listing did not have that number. */
    if (job->kind != JOB_GUESS)
        header_feed(&sync->header, bytes);
    sync->raw_octets += bytes.len;
    if (takes_body(sync) && take(sync, bytes) != FAULT_NONE) {
        if (!is_difference(sync))
            engine_receive_failed(sync);
        else if (engine_stream_is_of_no_other(sync))
            engine_stream_differs(sync);
    }
    if (is_in_vain(sync)) {
        job->attempts = ITEM_ATTEMPTS_MAX; /* there will be no more room the next time */
        return failure_set(ret_failure, FAULT_FULL,
                           "a message that finds no room goes on; connecting anew");
    }
    if (is_endless(sync, job))
        return failure_set(ret_failure, FAULT_GARBLED,
                           "a message goes on and on, far beyond the size that LIST gave");
    return FAULT_NONE;
}

static bool came_before(const struct sync *sync, const struct job *job)
{
    bool was_exact;
    uint64_t octets = maildrop_message_octets(job->message, &was_exact);
    return was_exact && octets == sync->arrived_octets;
}

/* The kernel believes what LIST said of the others: it is to ask again. */
static void doubt_sizes(struct sync *sync)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    bool exact;
    atomic_store(&sync->list_is_doubted, true);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        maildrop_message_octets(message, &exact);
        if (!exact)
            engine_publish_size(sync, message);
    }
    maildrop_snapshot_unref(snapshot);
}

/*
 * The first of a kind is remembered for good. A row that says 0, or nothing usable, is believed by
 * nobody and says nothing about the other rows: Dovecot, Courier and Cyrus list an empty message
 * with 0 octets and send 2.
 */
static void note_size(struct sync *sync, const struct maildrop_message *message)
{
    uint64_t listed = maildrop_message_said_octets(message);
    if (listed == 0)
        return;
    bool is_right = listed == sync->raw_octets;
    size_t *count = is_right ? &sync->truths_count : &sync->lies_count;
    sync->list_is_on_trial = sync->list_is_on_trial && !is_right;
    if ((*count)++ == 0)
        engine_index_sizes(sync);
}

/* Two messages tell that LIST is wrong. */
static void accuse_list(struct sync *sync, const struct maildrop_message *message)
{
    uint64_t id = maildrop_message_id(message);
    uint64_t accuser = sync->accuser;
    sync->accuser = id;
    if (sync->list_is_wrong)
        return;
    sync->list_is_on_trial = accuser == 0 || accuser == id;
    if (sync->list_is_on_trial)
        return;
    sync->list_is_wrong = true;
    engine_index_sizes(sync);
    log_write(LOG_LEVEL_INFO,
              "LIST said %" PRIu64 " octets for a message of %" PRIu64
              ", and was wrong about another one; from now on stat waits until a message has been "
              "fetched",
              maildrop_message_said_octets(message), sync->raw_octets);
    doubt_sizes(sync);
}

static enum size_verdict judge_size(struct sync *sync, const struct job *job)
{
    struct size_view view = {
        .listed_octets = maildrop_message_said_octets(job->message),
        .octets = sync->raw_octets,
        .came_before = came_before(sync, job),
        .list_is_wrong = sync->list_is_wrong,
        .was_doubted = job->was_doubted,
        .doubted_octets = job->doubted_octets,
    };
    if (size_accuses_list(&view))
        accuse_list(sync, job->message);
    view.list_is_wrong = sync->list_is_wrong;
    return size_judge(&view);
}

/* A stream that was given more than the whole turned out to have. */
static void fail_cut(struct sync *sync)
{
    if (!engine_stream_is_cut(sync))
        return;
    failure_set(&sync->body_failure, FAULT_GARBLED, "a message came shorter than before");
    engine_receive_failed(sync);
}

/* It may be a part of the message, however its end was proven: nobody gets it. */
static void fail_part(struct sync *sync, const struct job *job)
{
    failure_set(&sync->body_failure, FAULT_GARBLED,
                "the server sent %" PRIu64 " octets of a message, where LIST says %" PRIu64
                ": it may be a part, and is not shown",
                sync->raw_octets, maildrop_message_said_octets(job->message));
    engine_receive_failed(sync);
}

/* A body that could not be kept is as good as one that was for whoever waits for it now. */
static void note_kept(struct sync *sync, enum fault fault)
{
    if (fault != FAULT_NONE && !sync->body_not_kept_said)
        log_write(LOG_LEVEL_ERROR, "%s; messages are fetched again each time they are opened",
                  sync->body_failure.text);
    sync->status_is_stale |= fault != FAULT_NONE || sync->cache_failure[0] != '\0';
    sync->body_not_kept_said = fault != FAULT_NONE;
    snprintf(sync->cache_failure, sizeof(sync->cache_failure), "%s",
             fault == FAULT_NONE ? "" : sync->body_failure.text);
}

/* Of a stream nothing is lost here: it has been published. */
static enum fault keep(struct sync *sync, const struct job *job, struct extent *ret_extent)
{
    struct maildrop_message *message = job->message;
    uint64_t octets = sync->arrived_octets;
    bool was_exact;
    uint64_t octets_before = maildrop_message_octets(message, &was_exact);
    bool came = came_before(sync, job);
    enum fault fault =
        store_body_keep(sync->body, maildrop_message_id(message), ret_extent, &sync->body_failure);
    sync->body = NULL;
    note_kept(sync, fault);
    if (ret_extent->descriptor < 0)
        return fault;
    maildrop_message_learn_octets(message, octets);
    bool learnt_time = engine_learn_header(sync, message);
    recent_note(&sync->recent,
                &(struct recent_message){maildrop_message_id(message), .learnt_octets = !was_exact,
                                         .learnt_time = learnt_time});
    if (!came)
        engine_index_octets(sync, message);
    if (octets_before != octets)
        engine_publish_size(sync, message);
    note_size(sync, message);
    if (sync->stream != NULL)
        engine_stream_complete(sync, octets);
    return FAULT_NONE;
}

/* With LF, a CR that was the very last octet is still held back. */
static void complete_eol(struct sync *sync)
{
    if (sync->account.lf && sync->body != NULL && append(sync, eol_end(&sync->eol)) != FAULT_NONE)
        engine_receive_failed(sync);
}

static void ask_alone(struct sync *sync, struct job *job)
{
    engine_receive_abandon(sync);
    job->is_alone = true;
    jobs_requeue(&sync->jobs, job);
}

/* True if its header says that the body must not be kept, and the job has been seen to. */
static bool is_no_proof(struct sync *sync, struct job *job)
{
    enum fault fault;
    switch (engine_read_evidence(sync, job)) {
    case EVIDENCE_ASK_ONCE:
        job->unlike_count += job->is_alone;
        ask_alone(sync, job);
        return true;
    case EVIDENCE_ASK_TOP:
        engine_receive_abandon(sync);
        engine_ask_top(sync, job);
        return true;
    case EVIDENCE_IS_ANOTHER:
        if (sync->stream != NULL)
            engine_stream_fail(sync, FAULT_GARBLED);
        engine_receive_abandon(sync);
        fault = engine_replace(sync, job->message, true);
        jobs_finish(&sync->jobs, job, fault == FAULT_NONE ? FAULT_GONE : fault, EXTENT_NONE);
        return true;
    case EVIDENCE_ASK_RETR: /* of TOP alone */
    case EVIDENCE_SAYS_NOTHING:
    case EVIDENCE_IS_NEW:
    case EVIDENCE_IS_SAME:
    case EVIDENCE_TOP_IS_NONE:
        break;
    }
    return false;
}

/* What its stream was given before was other octets. */
static void fail_difference(struct sync *sync)
{
    if (is_difference(sync))
        engine_stream_differs(sync);
}

static void body_complete(struct sync *sync, struct job *job, bool is_part)
{
    struct extent body = EXTENT_NONE;
    fail_difference(sync);
    complete_eol(sync);
    if (is_part && sync->body != NULL)
        fail_part(sync, job);
    engine_stream_publish(sync, true);
    fail_cut(sync);
    enum fault fault = sync->body_failure.fault;
    /* Who opened it after its stream had failed: nothing is held any more that it could differ
     * from. */
    if (fault == FAULT_GARBLED && !is_part && job->requests != NULL) {
        jobs_requeue(&sync->jobs, job);
        return;
    }
    if (maildrop_message_is_gone(job->message)) {
        engine_receive_abandon(sync);
        fault = FAULT_GONE;
    }
    if (sync->body != NULL && is_no_proof(sync, job))
        return;
    if (sync->body != NULL)
        fault = keep(sync, job, &body);
    sync->bodies_count++;
    if (outages_of(&sync->retr_refusals, maildrop_message_id(job->message)) > 0)
        outages_forget(&sync->retr_refusals);
    jobs_finish(&sync->jobs, job, fault, body);
    cleanup_close(&body.descriptor);
}

static void header_complete(struct sync *sync, struct job *job)
{
    /* A moving average, for the estimate of what is owed. */
    sync->header_octets += sync->header.bytes.len / 8;
    sync->header_octets -= sync->header_octets / 8;
    sync->tops_refused = 0;
    sync->tops_out = 0;
    sync->top_given_up = false;
    sync->top_suspect = 0;
    sync->top_breaks = 0;
    if (maildrop_message_is_gone(job->message)) {
        jobs_finish(&sync->jobs, job, FAULT_GONE, EXTENT_NONE);
        return;
    }
    enum evidence_verdict verdict = engine_read_evidence(sync, job);
    if (verdict == EVIDENCE_ASK_ONCE) {
        job->is_alone = job->proves = true;
        jobs_requeue(&sync->jobs, job);
        return;
    }
    if (verdict == EVIDENCE_IS_ANOTHER) {
        enum fault fault = engine_replace(sync, job->message, false);
        jobs_finish(&sync->jobs, job, fault == FAULT_NONE ? FAULT_GONE : fault, EXTENT_NONE);
        return;
    }
    if (verdict == EVIDENCE_ASK_RETR)
        maildrop_message_doubt(job->message);
    if (job->proves && (verdict == EVIDENCE_ASK_RETR || verdict == EVIDENCE_SAYS_NOTHING))
        engine_prove_by_body(sync, job);
    if (engine_learn_header(sync, job->message))
        recent_note(&sync->recent, &(struct recent_message){maildrop_message_id(job->message),
                                                            .learnt_time = true});
    jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
}

/*
 * The message came twice with the same size, and shorter than LIST says. No other one has shown yet
 * whether LIST is right: a small one is fetched to see, and then this one is asked for again. True
 * if that has been seen to.
 */
static bool is_left_to_probe(struct sync *sync, struct job *job)
{
    if (job->is_probed || sync->truths_count > 0 || sync->raw_octets == 0 ||
        sync->raw_octets != job->doubted_octets)
        return false;
    struct maildrop_message *message = engine_find_probe(sync, job->message);
    struct job *probe = message == NULL ? NULL : engine_body_job(sync, message, SCHEDULE_READ);
    if (probe == NULL)
        return false;
    job->is_probed = true;
    engine_receive_abandon(sync);
    jobs_requeue(&sync->jobs, job);
    jobs_hurry(&sync->jobs, probe);
    return true;
}

static void body_ended(struct sync *sync, struct job *job)
{
    enum size_verdict verdict = sync->body == NULL ? SIZE_KEEP : judge_size(sync, job);
    if (verdict == SIZE_FAIL && is_left_to_probe(sync, job))
        return;
    if (verdict != SIZE_ASK_AGAIN) {
        body_complete(sync, job, verdict == SIZE_FAIL);
        return;
    }
    log_write(LOG_LEVEL_WARNING,
              "a message came with %" PRIu64 " octets, where LIST says %" PRIu64
              "; asking for it once more",
              sync->raw_octets, maildrop_message_said_octets(job->message));
    job->was_doubted = true;
    job->doubted_octets = sync->raw_octets;
    engine_receive_abandon(sync);
    jobs_requeue(&sync->jobs, job);
}

/* A line that answers nothing, before the status, looks so: the message is asked for once more,
 * alone. True if that has been seen to. */
static bool is_asked_again(struct sync *sync, struct job *job)
{
    bool begins = sync->begins_as_status;
    if (job->kind == JOB_HEADER)
        begins = pop3_begins_as_status(buffer_slice(&sync->header.bytes));
    if (!begins || job->began_as_status || job->kind == JOB_START)
        return false;
    job->began_as_status = true;
    ask_alone(sync, job);
    return true;
}

void engine_receive_end(struct sync *sync, struct job *job)
{
    if (job->kind == JOB_GUESS)
        jobs_finish(&sync->jobs, job, FAULT_NONE, EXTENT_NONE);
    else if (is_asked_again(sync, job))
        return;
    else if (job->kind == JOB_HEADER)
        header_complete(sync, job);
    else if (job->kind == JOB_START)
        engine_stream_start_complete(sync, job);
    else
        body_ended(sync, job);
}

static void top_refused(struct sync *sync)
{
    if (++sync->tops_refused < TOPS_REFUSED_MAX || sync->top_useless)
        return;
    sync->top_useless = true;
    log_write(LOG_LEVEL_WARNING,
              "the server refuses TOP; dates are when popfs first saw a message");
}

bool engine_header_waits(const struct sync *sync, const struct maildrop_message *message)
{
    return sync->top_rests ||
           outages_of(&sync->top_outages, maildrop_message_id(message)) >= OUTAGES_BORNE;
}

void engine_headers_again(struct sync *sync, bool user_asks, int64_t now_ms)
{
    if (user_asks)
        backoff_succeeded(&sync->top_backoff);
    else if (now_ms < sync->top_again_ms)
        return;
    sync->top_rests = false;
    outages_forget(&sync->top_outages);
}

/*
 * The server itself says that it cannot now, so that nothing is decided for the mount. Each such
 * answer costs a session: one message is passed over after two, all after three without a header
 * between them. Whoever waits for the date gets the substitute.
 */
static void header_is_out(struct sync *sync, struct job *job, int64_t now_ms)
{
    bool again =
        outages_note(&sync->top_outages, maildrop_message_id(job->message)) >= OUTAGES_BORNE;
    bool rests = ++sync->tops_out >= TOPS_OUT_MAX || outages_are_many(&sync->top_outages);
    sync->top_again_ms = now_ms + backoff_failed(&sync->top_backoff, FAULT_BUSY, 0);
    if (!again && !rests)
        return;
    if (rests && !sync->top_rests)
        log_write(LOG_LEVEL_WARNING, "the server cannot answer TOP now; until a later session "
                                     "dates are when popfs first saw a message");
    sync->top_rests |= rests;
    jobs_finish(&sync->jobs, job, FAULT_BUSY, EXTENT_NONE);
}

/*
 * A server may be unable to answer TOP for one message, or for any, and fall silent or hang up
 * instead. The sweep would ask for the same header first in each new session, and whatever comes
 * after it in the schedule would never have its turn. It may be the line's fault all the same, so
 * the next mount asks again.
 */
static void header_is_lost(struct sync *sync, const struct job *job)
{
    uint64_t id = maildrop_message_id(job->message);
    if (id != sync->top_suspect)
        sync->top_losses = 0;
    sync->top_suspect = id;
    if (++sync->top_losses < ITEM_ATTEMPTS_MAX && !sync->top_given_up)
        return;
    engine_no_date(sync, job->message, false);
    sync->top_off = sync->top_given_up;
    sync->top_given_up = true;
    if (!sync->top_off)
        return;
    log_write(LOG_LEVEL_WARNING, "the server does not answer TOP and breaks off; from now on dates "
                                 "are when popfs first saw a message");
}

/* A server that hangs up after a few -ERR costs a session for each TOP that it refuses. */
void engine_receive_note_break(struct sync *sync)
{
    if (sync->tops_refused == 0 || sync->top_off || ++sync->top_breaks < ITEM_ATTEMPTS_MAX)
        return;
    sync->top_off = true;
    log_write(LOG_LEVEL_WARNING, "the server refuses TOP and breaks off; from now on dates are "
                                 "when popfs first saw a message");
}

void engine_receive_lost(struct sync *sync, struct job *job, enum fault fault, int64_t now_ms)
{
    if (job->kind == JOB_HEADER && fault == FAULT_BUSY)
        header_is_out(sync, job, now_ms);
    else if (job->kind == JOB_HEADER)
        header_is_lost(sync, job);
    else if (job->kind == JOB_START && fault == FAULT_BUSY)
        engine_stream_start_out(sync, job);
    else if (job->kind == JOB_BODY && fault == FAULT_BUSY)
        outages_note(&sync->retr_outages, maildrop_message_id(job->message));
}

/*
 * Some servers send only so many bodies in one session and refuse the next one, and any server
 * refuses what another client has deleted since the session listed it. A body that a reader or a
 * prefetch waits for is asked for once more, in a new session. Once per message; and after
 * OUTAGES_MAX messages that were refused again, no session is made for another one: grep over a
 * folder that the server cannot read must not log in for each file (POP3.md rule 13).
 */
static bool is_asked_elsewhere(const struct sync *sync, const struct job *job, int64_t now_ms)
{
    const struct outages *refusals = &sync->retr_refusals;
    bool may_differ = sync->bodies_count > 0 || now_ms - sync->session_started_ms > LISTING_NEW_MS;
    bool is_waited_for = job->requests != NULL || sync->prefetch_wanted;
    return sync->phase == ENGINE_SERVE && is_waited_for && may_differ &&
           !atomic_load(&sync->made_up) && (sync->body_waits || !outages_are_many(refusals)) &&
           outages_of(refusals, maildrop_message_id(job->message)) == 0 &&
           agenda_login_from_ms(&sync->agenda) <= now_ms + sync->account.timeout_ms;
}

void engine_receive_refused(struct sync *sync, struct job *job, const char *why, int64_t now_ms)
{
    char uidl[128];
    sync->body_failure.fault = FAULT_NONE;
    if (job->kind == JOB_HEADER) {
        top_refused(sync);
        engine_header_missing(sync, job);
    } else if (job->kind == JOB_GUESS) {
        jobs_finish(&sync->jobs, job, FAULT_REFUSED, EXTENT_NONE);
    } else if (job->kind == JOB_START) {
        sync->top_differs = true; /* RETR from now on, in this mount */
        engine_stream_start_complete(sync, job);
    } else if (job->requests == NULL && (sync->body_waits || !sync->prefetch_wanted)) {
        /* Whoever opens it asks again, and so does a prefetch in the next session: only what is
         * refused then is worth a word. */
        jobs_finish(&sync->jobs, job, FAULT_REFUSED, EXTENT_NONE);
    } else if (is_asked_elsewhere(sync, job, now_ms)) {
        outages_note(&sync->retr_refusals, maildrop_message_id(job->message));
        jobs_requeue(&sync->jobs, job);
        sync->body_waits = true;
    } else {
        struct failure failure;
        failure_set(&failure, FAULT_REFUSED, "the server refuses message %s: %s",
                    text_escape(maildrop_message_uidl(job->message), uidl, sizeof(uidl)), why);
        tell_once(sync, job, &failure);
        jobs_finish(&sync->jobs, job, FAULT_REFUSED, EXTENT_NONE);
    }
}

static void forget(struct sync *sync, const struct recent_message *recent)
{
    size_t position;
    store_body_remove(sync->store, recent->id);
    if (sync->listed == NULL || !maildrop_snapshot_find(sync->listed, recent->id, &position))
        return;
    struct maildrop_message *message = maildrop_snapshot_at(sync->listed, position);
    if (recent->learnt_octets)
        maildrop_message_forget_octets(message);
    if (recent->learnt_time)
        maildrop_message_forget_time(message);
    struct evidence old;
    (void)maildrop_message_evidence(message, &old);
    if (recent->learnt_evidence)
        maildrop_message_forget_evidence(message);
    engine_index_forget(sync, message, recent);
    engine_renew_wish(sync, message, &old);
    engine_publish_size(sync, message);
}

void engine_receive_forget_recent(struct sync *sync)
{
    for (size_t i = 0; i < sync->recent.count; i++)
        forget(sync, &sync->recent.messages[i]);
    recent_clear(&sync->recent);
}

void engine_receive_abandon(struct sync *sync)
{
    engine_stream_detach(sync);
    store_body_free(sync->body);
    sync->body = NULL;
}
