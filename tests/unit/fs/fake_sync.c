/* SPDX-License-Identifier: MIT */
#include "fake_sync.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct sync *fake_sync_new(void)
{
    struct sync *sync = calloc(1, sizeof(*sync));
    assert_non_null(sync);
    sync->maildrop = maildrop_new();
    assert_non_null(sync->maildrop);
    sync->snapshot = maildrop_snapshot(sync->maildrop);
    pthread_mutex_init(&sync->lock, NULL);
    return sync;
}

void fake_sync_free(struct sync *sync)
{
    maildrop_snapshot_unref(sync->snapshot);
    maildrop_free(sync->maildrop);
    pthread_mutex_destroy(&sync->lock);
    free(sync);
}

/* A struct maildrop is for one thread: others get the snapshot from here. */
static void publish(struct sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    maildrop_snapshot_unref(sync->snapshot);
    sync->snapshot = maildrop_snapshot(sync->maildrop);
    pthread_mutex_unlock(&sync->lock);
}

static void tell(struct sync *sync, const struct maildrop_changes *changes)
{
    publish(sync);
    if (sync->listener.changed != NULL)
        sync->listener.changed(sync->listener.context, changes);
    else
        maildrop_changes_take_effect(changes);
}

void fake_sync_list(struct sync *sync, const struct maildrop_row *rows, size_t count)
{
    static int64_t now_ns = 1700000000000000000;
    struct maildrop_message **by_row = calloc(count + 1, sizeof(struct maildrop_message *));
    assert_non_null(by_row);
    struct maildrop_changes changes;
    now_ns += 1000000000;
    assert_int_equal(maildrop_apply(sync->maildrop, rows, count, true, now_ns, by_row, &changes),
                     FAULT_NONE);
    tell(sync, &changes);
    maildrop_changes_done(&changes);
    free(by_row);
}

void fake_sync_replace(struct sync *sync, struct maildrop_message *message)
{
    struct maildrop_changes changes;
    assert_int_equal(maildrop_replace(sync->maildrop, message, 0, &changes), FAULT_NONE);
    tell(sync, &changes);
    maildrop_changes_done(&changes);
}

void fake_sync_forget(struct sync *sync, struct maildrop_message *message)
{
    struct maildrop_message *vanished[] = {maildrop_message_ref(message)};
    assert_int_equal(maildrop_forget(sync->maildrop, vanished, 1), FAULT_NONE);
    struct maildrop_changes changes = {.vanished_count = 1, .vanished = vanished};
    tell(sync, &changes);
    maildrop_message_unref(vanished[0]);
}

void fake_sync_restore(struct sync *sync, struct maildrop_message *message)
{
    struct maildrop_snapshot *snapshot = sync_snapshot(sync);
    size_t count = maildrop_snapshot_count(snapshot);
    struct maildrop_message **appeared = calloc(count + 1, sizeof(struct maildrop_message *));
    assert_non_null(appeared);
    struct maildrop_changes changes = {.appeared = appeared};
    for (size_t i = 0; i < count; i++) {
        struct maildrop_message *one = maildrop_snapshot_at(snapshot, i);
        if ((message == NULL || message == one) && sync_restore(sync, one) == FAULT_NONE)
            appeared[changes.appeared_count++] = one;
    }
    tell(sync, &changes);
    free(appeared);
    maildrop_snapshot_unref(snapshot);
}

struct maildrop_message *fake_sync_message(struct sync *sync, size_t position)
{
    struct maildrop_snapshot *snapshot = sync_snapshot(sync);
    assert_true(position < maildrop_snapshot_count(snapshot));
    struct maildrop_message *message = maildrop_snapshot_at(snapshot, position);
    maildrop_snapshot_unref(snapshot);
    return message;
}

void fake_sync_store(struct sync *sync, struct maildrop_message *message, struct slice bytes)
{
    assert_true(sync->body_count < FAKE_BODIES_MAX);
    sync->bodies[sync->body_count++] = (struct fake_body){maildrop_message_id(message), bytes};
    maildrop_message_learn_octets(message, bytes.len);
}

struct sync_request *fake_sync_take(struct sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    struct sync_request *request = sync->first;
    if (request != NULL)
        sync->first = request->next;
    pthread_mutex_unlock(&sync->lock);
    return request;
}

static void write_all(int descriptor, struct slice bytes)
{
    assert_int_equal(write(descriptor, bytes.data, bytes.len), (ssize_t)bytes.len);
}

struct extent fake_sync_extent(struct slice bytes)
{
    const struct slice before = SLICE_LITERAL("another mail"), after = SLICE_LITERAL("a third one");
    int descriptor = memfd_create("body", MFD_CLOEXEC);
    assert_true(descriptor >= 0);
    write_all(descriptor, before);
    write_all(descriptor, bytes);
    write_all(descriptor, after);
    return (struct extent){.descriptor = descriptor, .offset = before.len, .octets = bytes.len};
}

/* ---- popfs/sync.h ---- */

struct maildrop_snapshot *sync_snapshot(struct sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    struct maildrop_snapshot *snapshot = maildrop_snapshot_ref(sync->snapshot);
    pthread_mutex_unlock(&sync->lock);
    return snapshot;
}

void sync_set_listener(struct sync *sync, const struct sync_listener *listener)
{
    sync->listener = listener == NULL ? (struct sync_listener){0} : *listener;
}

enum fault sync_body_open(struct sync *sync, struct maildrop_message *message,
                          struct extent *ret_extent)
{
    for (size_t i = 0; i < sync->body_count; i++) {
        if (sync->bodies[i].id != maildrop_message_id(message))
            continue;
        *ret_extent = fake_sync_extent(sync->bodies[i].bytes);
        return FAULT_NONE;
    }
    return FAULT_GONE;
}

void sync_status(struct sync *sync, struct sync_status *ret_status)
{
    *ret_status = sync->status;
    struct maildrop_snapshot *snapshot = sync_snapshot(sync);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        const struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        ret_status->going_count +=
            maildrop_message_is_going(message) && !maildrop_message_is_gone(message);
    }
    maildrop_snapshot_unref(snapshot);
}

bool sync_size_is_believed(const struct sync *sync, const struct maildrop_message *message)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    return exact || (octets > 0 && !sync->sizes_disbelieved);
}

size_t sync_commit_failures(struct sync *sync, struct sync_removal_failure *ret_failures,
                            size_t room)
{
    size_t count = sync->failure_count < room ? sync->failure_count : room;
    for (size_t i = 0; i < count; i++) {
        ret_failures[i] = sync->failures[i];
        maildrop_message_ref(ret_failures[i].message);
    }
    return count;
}

size_t sync_damages(struct sync *sync, struct maildrop_message **ret_messages, size_t room)
{
    if (sync->status.damaged_count == 0 || room == 0)
        return 0;
    ret_messages[0] = maildrop_message_ref(fake_sync_message(sync, 0));
    return 1;
}

void sync_submit(struct sync *sync, struct sync_request *request)
{
    pthread_mutex_lock(&sync->lock);
    request->next = NULL;
    request->canceled = false;
    if (sync->first == NULL)
        sync->first = request;
    else
        sync->last->next = request;
    sync->last = request;
    pthread_mutex_unlock(&sync->lock);
}

void sync_retire(struct sync *sync)
{
    sync->retired_count++;
}

void sync_cancel(struct sync *sync, struct sync_request *request)
{
    pthread_mutex_lock(&sync->lock);
    request->canceled = true;
    sync->canceled_count++;
    pthread_mutex_unlock(&sync->lock);
}

enum fault sync_remove(struct sync *sync, struct maildrop_message *message)
{
    if (sync->removal_fault != FAULT_NONE)
        return sync->removal_fault;
    if (sync->read_only)
        return FAULT_REFUSED;
    if (maildrop_message_is_gone(message) || !maildrop_message_set_going(message, true))
        return FAULT_GONE;
    return FAULT_NONE;
}

enum fault sync_restore(struct sync *sync, struct maildrop_message *message)
{
    if (sync->removal_fault != FAULT_NONE)
        return sync->removal_fault;
    if (sync->read_only)
        return FAULT_REFUSED;
    if (maildrop_message_is_gone(message) || !maildrop_message_set_going(message, false))
        return FAULT_GONE;
    return FAULT_NONE;
}

/* No test opens a stream: the fake never answers with one. */
uint64_t sync_stream_available(const struct sync_stream *stream)
{
    (void)stream;
    return 0;
}

void sync_stream_note_read(struct sync_stream *stream)
{
    (void)stream;
}

bool sync_stream_was_read(const struct sync_stream *stream)
{
    (void)stream;
    return false;
}

int sync_stream_descriptor(const struct sync_stream *stream)
{
    (void)stream;
    return -1;
}

uint64_t sync_stream_octets(const struct sync_stream *stream)
{
    (void)stream;
    return 0;
}

struct maildrop_message *sync_stream_message(const struct sync_stream *stream)
{
    (void)stream;
    return NULL;
}

void sync_stream_close(struct sync *sync, struct sync_stream *stream)
{
    (void)sync;
    (void)stream;
}
