/* SPDX-License-Identifier: MIT */
/*
 * Large messages that are read while they arrive.
 *
 * The bytes of a stream lie in one file that only grows: the start that TOP gave, then what RETR
 * brings. An answer that begins anew, after a TOP or a lost link, is compared with what the file
 * holds before it is appended to, so that a reader never sees two halves of different messages. The
 * last octet is held back until all have come and were as many as was promised.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PROBE_OCTETS_MAX = 65536,    /* a message that is fetched to see whether LIST tells the truth */
    START_OCTETS_MAX = 65536,    /* who wants more at once will read on */
    START_OCTETS_LEAST = 131072, /* the kernel reads so much ahead of a pager's first screen */
    LINE_OCTETS_GUESS = 50,      /* on the short side: mails have 60 to 78 */
    START_LINES_MORE = 20,
};

struct sync_stream {
    struct sync_stream *next;
    struct maildrop_message *message; /* one reference */
    struct store_body *body;          /* NULL once the message is whole or the stream has failed */
    int descriptor;
    uint64_t promised_octets;
    _Atomic uint64_t available;
    _Atomic bool was_read;
    bool retr;          /* what is arriving is RETR's and not TOP's */
    bool retr_began;    /* if bytes differ, TOP is no longer to blame */
    enum fault fault;   /* why it cannot go on */
    size_t opens_count; /* under sync->lock */
};

uint64_t sync_stream_available(const struct sync_stream *stream)
{
    return atomic_load_explicit(&stream->available, memory_order_acquire);
}

void sync_stream_note_read(struct sync_stream *stream)
{
    atomic_store(&stream->was_read, true);
}

bool sync_stream_was_read(const struct sync_stream *stream)
{
    return atomic_load(&stream->was_read);
}

int sync_stream_descriptor(const struct sync_stream *stream)
{
    return stream->descriptor;
}

uint64_t sync_stream_octets(const struct sync_stream *stream)
{
    return stream->promised_octets;
}

struct maildrop_message *sync_stream_message(const struct sync_stream *stream)
{
    return stream->message;
}

void sync_stream_close(struct sync *sync, struct sync_stream *stream)
{
    pthread_mutex_lock(&sync->lock);
    stream->opens_count--;
    sync->streams_closed = true;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
}

/* The stream of this message that can go on, or NULL. */
static struct sync_stream *stream_find(const struct sync *sync,
                                       const struct maildrop_message *message)
{
    struct sync_stream *stream = sync->streams;
    while (stream != NULL && (stream->message != message || stream->body == NULL))
        stream = stream->next;
    return stream;
}

static void stream_free(struct sync_stream *stream)
{
    store_body_free(stream->body);
    if (stream->descriptor >= 0)
        close(stream->descriptor);
    maildrop_message_unref(stream->message);
    free(stream);
}

static struct sync_stream *stream_new(struct sync *sync, struct maildrop_message *message)
{
    struct failure failure = {.text = "out of memory"};
    struct sync_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->descriptor = -1;
    stream->message = maildrop_message_ref(message);
    stream->promised_octets = maildrop_message_octets(message, NULL);
    if (store_body_new(sync->store, &stream->body, &failure) != FAULT_NONE ||
        store_body_share(stream->body, &stream->descriptor, &failure) != FAULT_NONE) {
        log_write(LOG_LEVEL_ERROR, "%s", failure.text);
        stream_free(stream);
        return NULL;
    }
    store_body_expect(stream->body, stream->promised_octets);
    stream->next = sync->streams;
    sync->streams = stream;
    return stream;
}

static bool is_open(struct sync *sync, const struct sync_stream *stream)
{
    pthread_mutex_lock(&sync->lock);
    bool open = stream->opens_count > 0;
    pthread_mutex_unlock(&sync->lock);
    return open;
}

void engine_streams_reap(struct sync *sync, bool all)
{
    struct sync_stream **link = &sync->streams;
    while (*link != NULL) {
        struct sync_stream *stream = *link;
        bool is_arriving = stream == sync->stream;
        /* A body that is arriving goes on, into the cache: POP3 cannot take a RETR back. */
        if (!all && ((is_arriving && stream->retr) || is_open(sync, stream))) {
            link = &stream->next;
        } else {
            if (is_arriving)
                engine_stream_detach(sync);
            *link = stream->next;
            stream_free(stream);
        }
    }
}

/* ---- opening ---- */

struct maildrop_message *engine_find_probe(const struct sync *sync,
                                           const struct maildrop_message *but)
{
    struct maildrop_message *best = NULL;
    uint64_t best_octets = PROBE_OCTETS_MAX + 1;
    if (sync->listed == NULL)
        return NULL;
    for (size_t i = 0; i < maildrop_snapshot_count(sync->listed); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(sync->listed, i);
        uint64_t octets = maildrop_message_said_octets(message);
        if (message != but && octets > 0 && octets < best_octets &&
            !maildrop_message_is_going(message)) {
            best = message;
            best_octets = octets;
        }
    }
    return best;
}

/* False: there is nothing to see it by, and the reader's last octet must be proof enough. */
static bool wait_for_probe(struct sync *sync, struct sync_request *request)
{
    struct maildrop_message *message = engine_find_probe(sync, NULL);
    if (message == NULL || message == request->message)
        return false;
    struct job *job = engine_body_job(sync, message, SCHEDULE_READ);
    if (job == NULL)
        return false;
    request->probed = true;
    jobs_wait(&sync->jobs, job, request, SCHEDULE_READ);
    return true;
}

bool engine_stream_open(struct sync *sync, struct sync_request *request)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(request->message, &exact);
    if (!exact)
        octets = maildrop_message_said_octets(request->message);
    if (sync->account.lazy_octets == 0 || octets <= sync->account.lazy_octets ||
        (!exact && (sync->lies_count > 0 || sync->account.lf || sync->account.strict)))
        return false;
    if (!exact && sync->truths_count == 0) {
        if (request->probed)
            return false;
        if (wait_for_probe(sync, request))
            return true;
    }
    struct sync_stream *stream = stream_find(sync, request->message);
    const struct job *job = jobs_find(&sync->jobs, JOB_BODY, request->message);
    /* What is arriving already goes where no stream reads. */
    if (stream == NULL && job != NULL && job->in_flight)
        return false;
    if (stream == NULL)
        stream = stream_new(sync, request->message);
    if (stream == NULL)
        return false;
    pthread_mutex_lock(&sync->lock);
    stream->opens_count++;
    pthread_mutex_unlock(&sync->lock);
    request->stream = stream;
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    return true;
}

/* ---- reading ---- */

/* TOP is for who looks at the start; in a crawl everything will be read. */
static bool start_will_do(const struct sync *sync, const struct sync_stream *stream, uint64_t upto)
{
    size_t position;
    return upto <= START_OCTETS_MAX && store_body_octets(stream->body) == 0 &&
           sync->session_phase == SESSION_ONLINE && engine_has_top(sync) && !sync->top_differs &&
           maildrop_snapshot_find(sync->listed, maildrop_message_id(stream->message), &position) &&
           !crawl_is_at(&sync->crawl, position);
}

bool engine_stream_is_open(const struct sync *sync, const struct maildrop_message *message)
{
    return stream_find(sync, message) != NULL;
}

static struct job *start_job(struct sync *sync, const struct sync_stream *stream, uint64_t upto)
{
    struct job *job = jobs_find(&sync->jobs, JOB_START, stream->message);
    if (job != NULL || !start_will_do(sync, stream, upto))
        return job;
    job = jobs_add(&sync->jobs, JOB_START, SCHEDULE_READ, stream->message);
    if (upto < START_OCTETS_LEAST)
        upto = START_OCTETS_LEAST;
    if (job != NULL)
        job->lines = (uint32_t)(upto / LINE_OCTETS_GUESS) + START_LINES_MORE;
    return job;
}

void engine_stream_want(struct sync *sync, struct sync_request *request, int64_t now_ms)
{
    struct sync_stream *stream = request->stream;
    if (sync_stream_available(stream) >= request->upto || stream->body == NULL) {
        request->answer(request, stream->fault, EXTENT_NONE);
        return;
    }
    if (engine_is_away(sync, now_ms)) {
        request->answer(request, sync->last_failure.fault, EXTENT_NONE);
        return;
    }
    struct job *job = jobs_find(&sync->jobs, JOB_BODY, stream->message);
    if (job == NULL)
        job = start_job(sync, stream, request->upto);
    if (job == NULL)
        job = engine_body_job(sync, stream->message, SCHEDULE_READ);
    if (job == NULL)
        request->answer(request, FAULT_MEMORY, EXTENT_NONE);
    else
        jobs_wait(&sync->jobs, job, request, SCHEDULE_READ);
}

/* ---- arriving ---- */

bool engine_stream_begin(struct sync *sync, const struct job *job)
{
    struct sync_stream *stream = stream_find(sync, job->message);
    if (stream == NULL)
        return false;
    stream->retr = job->kind == JOB_BODY;
    sync->stream = stream;
    sync->body = stream->body;
    return true;
}

void engine_stream_detach(struct sync *sync)
{
    if (sync->stream == NULL)
        return;
    sync->stream = NULL;
    sync->body = NULL;
}

static void stream_fail(struct sync *sync, struct sync_stream *stream, enum fault fault)
{
    stream->fault = fault;
    /* What a reader of this stream still asks for must not get into the page cache, which it shares
     * with those who open the message again. */
    if (fault == FAULT_GARBLED)
        atomic_store_explicit(&stream->available, 0, memory_order_release);
    jobs_answer_octets(&sync->jobs, stream->message, stream, UINT64_MAX, fault);
    store_body_free(stream->body);
    stream->body = NULL;
}

void engine_stream_fail(struct sync *sync, enum fault fault)
{
    struct sync_stream *stream = sync->stream;
    engine_stream_detach(sync);
    stream_fail(sync, stream, fault);
}

void engine_stream_give_up(struct sync *sync, const struct maildrop_message *message,
                           enum fault fault)
{
    struct sync_stream *stream = stream_find(sync, message);
    if (stream != NULL)
        stream_fail(sync, stream, fault);
}

/* Between RETR and what came before; TOP is to blame if that was all (rule 14 of POP3.md). */
static void note_difference(struct sync *sync)
{
    if (sync->stream->retr_began || sync->top_differs)
        return;
    sync->top_differs = true;
    engine_index_top_differs(sync);
}

bool engine_stream_is_cut(struct sync *sync)
{
    if (sync->stream == NULL || sync->arrived_octets >= store_body_octets(sync->body))
        return false;
    note_difference(sync);
    return true;
}

enum fault engine_stream_skip(struct sync *sync, struct slice *bytes)
{
    uint64_t held = store_body_octets(sync->body);
    if (sync->arrived_octets >= held) {
        sync->stream->retr_began |= sync->stream->retr;
        return FAULT_NONE;
    }
    struct slice known = *bytes;
    bool equal;
    if (known.len > held - sync->arrived_octets)
        known.len = (size_t)(held - sync->arrived_octets);
    enum fault fault =
        store_body_compare(sync->body, sync->arrived_octets, known, &equal, &sync->body_failure);
    if (fault != FAULT_NONE)
        return fault;
    *bytes = slice_skip(*bytes, known.len);
    sync->arrived_octets += known.len;
    if (equal)
        return FAULT_NONE;
    return failure_set(&sync->body_failure, FAULT_GARBLED,
                       sync->stream->retr_began
                           ? "a message came with other bytes the second time"
                           : "TOP and RETR differ; TOP is no longer used for content");
}

void engine_stream_differs(struct sync *sync)
{
    note_difference(sync);
    engine_receive_failed(sync);
}

static const struct job *last_asked(const struct sync *sync)
{
    const struct job *last = sync->jobs.in_flight.last;
    return last != NULL && last->kind == JOB_MARK ? last->previous : last;
}

bool engine_stream_is_last(const struct sync *sync)
{
    const struct job *last = last_asked(sync);
    return last != NULL && (last->kind == JOB_BODY || last->kind == JOB_START) &&
           stream_find(sync, last->message) != NULL;
}

bool engine_stream_is_of_no_other(const struct sync *sync)
{
    const struct job *first = sync->jobs.in_flight.first;
    return first != NULL && first == last_asked(sync) && !sync->begins_as_status;
}

void engine_stream_publish(struct sync *sync, bool is_proven)
{
    struct sync_stream *stream = sync->stream;
    bool is_shown =
        is_proven || (engine_stream_is_of_no_other(sync) && sync->body_failure.fault == FAULT_NONE);
    if (stream == NULL || !is_shown)
        return;
    if (store_body_flush(sync->body, &sync->body_failure) != FAULT_NONE) {
        engine_receive_failed(sync);
        return;
    }
    uint64_t available = store_body_octets(sync->body);
    /* The last octet only when the whole is known to be as long as was promised. */
    if (available >= stream->promised_octets)
        available = stream->promised_octets - 1;
    if (available <= sync_stream_available(stream))
        return;
    atomic_store_explicit(&stream->available, available, memory_order_release);
    jobs_answer_octets(&sync->jobs, stream->message, stream, available, FAULT_NONE);
}

void engine_stream_forget(struct sync *sync)
{
    if (sync->stream != NULL &&
        store_body_octets(sync->body) > sync_stream_available(sync->stream) + 1)
        engine_stream_fail(sync, FAULT_GARBLED);
}

/* What the start could not bring, the body will. */
static enum fault wait_for_body(struct sync *sync, struct job *start)
{
    struct job *whole = engine_body_job(sync, start->message, SCHEDULE_READ);
    if (whole == NULL)
        return FAULT_MEMORY;
    jobs_hand_over(&sync->jobs, start, whole);
    return FAULT_NONE;
}

void engine_stream_start_out(struct sync *sync, struct job *job)
{
    sync->top_differs = true;
    if (job->requests != NULL)
        (void)wait_for_body(sync, job);
}

void engine_stream_start_complete(struct sync *sync, struct job *job)
{
    if (sync->stream != NULL && sync->body_failure.fault == FAULT_GARBLED)
        engine_stream_differs(sync);
    engine_stream_publish(sync, true);
    engine_stream_detach(sync);
    enum fault fault = sync->body_failure.fault;
    if (job->requests != NULL)
        fault = wait_for_body(sync, job);
    jobs_finish(&sync->jobs, job, fault, EXTENT_NONE);
}

void engine_stream_complete(struct sync *sync, uint64_t octets)
{
    struct sync_stream *stream = sync->stream;
    sync->stream = NULL;
    stream->body = NULL; /* the store has it now, and the descriptor reads it still */
    if (octets == stream->promised_octets) {
        atomic_store_explicit(&stream->available, octets, memory_order_release);
    } else {
        stream->fault = FAULT_GARBLED;
        log_write(LOG_LEVEL_WARNING,
                  "a message of %" PRIu64 " octets has %" PRIu64
                  "; who was reading it gets an error and may open it again",
                  stream->promised_octets, octets);
    }
    jobs_answer_octets(&sync->jobs, stream->message, stream, UINT64_MAX, stream->fault);
}
