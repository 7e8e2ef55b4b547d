/* SPDX-License-Identifier: MIT */
/* The journal of pending removals: a file of lines. Knows nothing of the index. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "place.h"

#include <stdatomic.h>

/* One line is a removal: the message is to go, or is not, for the user took it back or it has gone.
 * In a folder of -1 nothing is noted, and nothing is read. */

struct journal {
    int descriptor; /* -1: not open */
    bool is_off;    /* opened in no folder */
    _Atomic uint64_t notes_count;
    uint64_t synced_count;
    bool has_failed; /* a sync has: what it was to write can be read, and may not be on the disk */
};

enum fault journal_open(struct journal *journal, int folder, struct failure *ret_failure);
void journal_close(struct journal *journal);
/* One write of one line. Any thread. FAULT_DISK. */
enum fault journal_note(struct journal *journal, const struct store_removal *wish,
                        struct failure *ret_failure);
/* Adds a line to those that journal_write() or journal_replace() is given; leaves out a UIDL that
 * is too long to have been noted. False for want of memory. */
bool journal_gather(struct buffer *lines, const struct store_removal *wish);
/* Many lines in one write. Any thread. */
enum fault journal_write(struct journal *journal, struct slice lines, struct failure *ret_failure);
/* How often something has been noted since it was opened. */
uint64_t journal_notes(const struct journal *journal);
/* Everything that has been noted is on the disk. */
bool journal_is_synced(const struct journal *journal);
/* On the disk is what was noted before the call. */
enum fault journal_sync(struct journal *journal, int folder, struct failure *ret_failure);

/* Every line that is whole, oldest first; *ret_damaged counts the others. A journal that is not
 * there is empty. */
enum fault journal_read(int folder,
                        enum fault (*each)(void *context, const struct store_removal *wish,
                                           struct failure *ret_failure),
                        void *context, size_t *ret_damaged, struct failure *ret_failure);
/*
 * The journal of `from`, where popfs 0.1 kept it, moves to `to`: it is whole on the disk there
 * before it is taken away from here. If there is one already, that one counts, and the other is
 * renamed; *ret_aside is its new name, "" if nothing was set aside.
 */
enum { JOURNAL_ASIDE_OCTETS = 48 };
enum fault journal_move(int from, const struct place *to, char ret_aside[JOURNAL_ASIDE_OCTETS],
                        struct failure *ret_failure);
/* A new journal of these lines, written aside, takes the place of the old one when it is on the
 * disk, or not at all. */
enum fault journal_replace(int folder, struct slice lines, struct failure *ret_failure);

#endif
