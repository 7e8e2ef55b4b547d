/* SPDX-License-Identifier: MIT */
/* The journal of pending removals: a file of lines. Knows nothing of the index. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "popfs/store.h"

#include <stdatomic.h>
#include <stdio.h>

/* One line: the message is to go, or is not, for the user took it back or it has gone. */
struct wish {
    struct slice uidl;
    uint64_t listed_octets;
    bool going;
};

struct journal {
    int descriptor; /* -1: not open */
    _Atomic uint64_t notes_count;
    uint64_t synced_count;
};

enum fault journal_open(struct journal *journal, int folder, struct failure *ret_failure);
void journal_close(struct journal *journal);
/* One write of one line. Any thread. FAULT_DISK. */
enum fault journal_note(struct journal *journal, const struct wish *wish,
                        struct failure *ret_failure);
/* Many lines in one write: first gathered, where a UIDL that is too long to have been noted is left
 * out (false for want of memory), then written. Any thread. */
bool journal_gather(struct buffer *lines, const struct wish *wish);
enum fault journal_write(struct journal *journal, struct slice lines, struct failure *ret_failure);
/* How often something has been noted since it was opened. */
uint64_t journal_notes(const struct journal *journal);
/* On the disk is what was noted before the call. */
enum fault journal_sync(struct journal *journal, struct failure *ret_failure);

/* Every line that is whole, oldest first; *ret_damaged counts the others. A journal that is not
 * there is empty. */
enum fault journal_read(int folder,
                        enum fault (*each)(void *context, const struct wish *wish,
                                           struct failure *ret_failure),
                        void *context, size_t *ret_damaged, struct failure *ret_failure);
/* A new journal, written aside, that takes the place of the old one when it is on the disk, or not
 * at all. */
enum fault journal_begin(int folder, FILE **ret_file, struct failure *ret_failure);
void journal_put(FILE *file, const struct wish *wish);
enum fault journal_replace(int folder, FILE *file, struct failure *ret_failure);

#endif
