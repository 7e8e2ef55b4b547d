/* SPDX-License-Identifier: MIT */
/*
 * store: what popfs keeps on the local disk: the bodies of messages, as files.
 *
 * Knows files. Refuses to know the network, POP3, FUSE, and when to do things.
 *
 * A store is a private folder (0700) below the one it is given, held by a lock; folders that a
 * killed popfs left behind are swept when the next store is opened there. Bodies are keyed by
 * message id and live as long as the store. Reading (store_body_open) is for any thread, all else
 * for one.
 */
#ifndef POPFS_STORE_H
#define POPFS_STORE_H

#include "popfs/base.h"

struct store;
struct store_body;

/* Makes `folder` and its parents (0700) where they are missing. FAULT_DISK, FAULT_MEMORY. */
enum fault store_open(const char *folder, struct store **ret_store, struct failure *ret_failure);
/* Removes every body from the disk. Descriptors that were given out stay readable. */
void store_close(struct store *store);

/* A body that is being written: it has no name until it is whole, so a killed popfs leaves nothing
 * of it. */
enum fault store_body_new(struct store *store, struct store_body **ret_body,
                          struct failure *ret_failure);
enum fault store_body_append(struct store_body *body, struct slice bytes,
                             struct failure *ret_failure);
uint64_t store_body_octets(const struct store_body *body);
/*
 * A descriptor, the caller's to close, of what has been appended and flushed, now and later: a body
 * that is read while it arrives.
 */
enum fault store_body_share(const struct store_body *body, int *ret_descriptor,
                            struct failure *ret_failure);
enum fault store_body_flush(struct store_body *body, struct failure *ret_failure);
/* *ret_equal: `bytes` are what the body holds at `offset`; both ends lie within it. Flushes. */
enum fault store_body_compare(struct store_body *body, uint64_t offset, struct slice bytes,
                              bool *ret_equal, struct failure *ret_failure);
/* The body is not wanted: nothing stays. NULL is fine. */
void store_body_free(struct store_body *body);
/*
 * The body is whole: keeps it under `id` and frees the handle, also on failure. *ret_descriptor
 * reads the bytes and is the caller's to close, even when FAULT_DISK says that the body could not
 * be kept; it is -1 only if bytes are missing.
 */
enum fault store_body_keep(struct store_body *body, uint64_t id, int *ret_descriptor,
                           struct failure *ret_failure);

/* A descriptor of a kept body, the caller's to close; FAULT_GONE if there is none. Any thread;
 * touches only the local disk. */
enum fault store_body_open(const struct store *store, uint64_t id, int *ret_descriptor);
void store_body_remove(struct store *store, uint64_t id);

#endif
