/* SPDX-License-Identifier: MIT */
/*
 * A sync that does what a test says and nothing by itself: no thread, no network. It implements the
 * functions of popfs/sync.h that fs calls; whatever the real one does on its thread, the test does
 * by calling fake_sync_*.
 */
#ifndef POPFS_TEST_FAKE_SYNC_H
#define POPFS_TEST_FAKE_SYNC_H

#include "popfs/sync.h"

#include <pthread.h>

enum { FAKE_BODIES_MAX = 16, FAKE_FAILURES_MAX = 4 };

struct fake_body {
    uint64_t id;
    struct slice bytes;
};

struct sync {
    struct maildrop *maildrop;
    pthread_mutex_t lock; /* guards the snapshot and the queue */
    struct maildrop_snapshot *snapshot;
    struct sync_request *first, *last;
    size_t canceled_count;
    size_t retired_count;
    struct sync_listener listener;
    bool read_only;
    enum fault removal_fault; /* what sync_remove() fails with, if not NONE */
    struct fake_body bodies[FAKE_BODIES_MAX];
    size_t body_count;
    struct sync_status status; /* but for the count of what is going */
    bool sizes_disbelieved;    /* as with size=strict */
    struct sync_removal_failure failures[FAKE_FAILURES_MAX];
    size_t failure_count;
};

struct sync *fake_sync_new(void);
void fake_sync_free(struct sync *sync);

/* A new listing; tells the listener, as the sync thread would. */
void fake_sync_list(struct sync *sync, const struct maildrop_row *rows, size_t count);
/* Its UIDL names another message; tells the listener. */
void fake_sync_replace(struct sync *sync, struct maildrop_message *message);
/* A commit has deleted these; tells the listener. */
void fake_sync_forget(struct sync *sync, struct maildrop_message *message);
/* What sync does for SYNC_WANT_RESTORE: brings back one, or all that are going, and tells the
 * listener. */
void fake_sync_restore(struct sync *sync, struct maildrop_message *message);
/* Borrowed from the newest listing. */
struct maildrop_message *fake_sync_message(struct sync *sync, size_t position);

/* The body is on the local disk from now on, and its size is known. `bytes` is borrowed. */
void fake_sync_store(struct sync *sync, struct maildrop_message *message, struct slice bytes);

/* Takes the oldest request out of the queue; NULL if there is none. */
struct sync_request *fake_sync_take(struct sync *sync);
/* A body between two others, in a file of its own. */
struct extent fake_sync_extent(struct slice bytes);

#endif
