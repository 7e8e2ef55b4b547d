/* SPDX-License-Identifier: MIT */
/* The journal of pending removals: a file of lines. Knows nothing of the index. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "place.h"

#include <pthread.h>
#include <stdatomic.h>

/* Where the lines of a file end, and what they are about. */
struct journal_chain {
    uint64_t number; /* of the last line; 0: none */
    uint32_t sum;    /* its checksum */
    size_t lines_count;
    size_t going_count;  /* wishes less those that were taken back: a guess */
    size_t others_count; /* lines of a kind that this version does not know */
};

/*
 * A line is a removal (the message is to go, or is not, for the user took it back or it has gone)
 * or something that a later version knows. In a folder of -1 nothing is noted, and nothing is read.
 * What is written is given as contents: lines without number and checksums, each with a line end.
 */
struct journal {
    int descriptor;             /* -1: not open */
    bool is_off;                /* opened in no folder */
    pthread_mutex_t lock;       /* over the end of the file */
    struct journal_chain chain; /* under the lock */
    uint64_t octets;            /* of the file, under the lock */
    _Atomic uint64_t notes_count;
    uint64_t synced_count;
    bool has_failed; /* a sync has: what it was to write can be read, and may not be on the disk */
};

void journal_init(struct journal *journal);
void journal_done(struct journal *journal);
/* Does nothing if it is open. Before anything is noted, journal_go_on() or journal_replace() must
 * say where the chain is. FAULT_DISK. */
enum fault journal_open(struct journal *journal, int folder, struct failure *ret_failure);

/* Adds to contents; leaves out a UIDL that is empty or too long to have been noted. False for want
 * of memory. */
bool journal_gather(struct buffer *contents, const struct store_removal *wish);
/* Adds a line that means nothing: where it is there, so is what was written before it. */
bool journal_gather_seal(struct buffer *contents);
/* In one write. Any thread. FAULT_DISK, FAULT_MEMORY: nothing is noted, but where a disk fails that
 * has taken a part. */
enum fault journal_write(struct journal *journal, struct slice contents,
                         struct failure *ret_failure);
/* Any thread. */
uint64_t journal_octets(struct journal *journal);
struct journal_chain journal_chain(struct journal *journal);
/* Most of its lines mean nothing any more. */
bool journal_is_overgrown(struct journal *journal);
/* Everything that has been noted is on the disk. */
bool journal_is_synced(const struct journal *journal);
/* On the disk is what was noted before the call. */
enum fault journal_sync(struct journal *journal, int folder, struct failure *ret_failure);

/* Both borrow, and return false for want of memory. */
struct journal_reader {
    bool (*wish)(void *context, const struct store_removal *wish);
    bool (*other)(void *context, struct slice content);
    void *context;
};

struct journal_state {
    struct journal_chain chain;
    size_t unreadable_count; /* lines */
    bool is_broken;          /* lines are missing that may have taken wishes back */
    bool has_old_lines;      /* of popfs 0.1 */
};

/* The lines of the first octets, oldest first. A journal that is not there is empty. FAULT_DISK,
 * FAULT_MEMORY. */
enum fault journal_read(int folder, uint64_t octets_max, const struct journal_reader *reader,
                        struct journal_state *ret_state, struct failure *ret_failure);
void journal_go_on(struct journal *journal, const struct journal_state *state);
/*
 * A new journal takes the place of the old one when it is on the disk, or not at all: the contents
 * stand for the first `octets_read` of the old one, and what was noted behind them comes after
 * them, which is not synced. Others may note meanwhile.
 */
enum fault journal_replace(struct journal *journal, int folder, struct slice contents,
                           uint64_t octets_read, struct failure *ret_failure);

/*
 * The journal of `from`, where popfs 0.1 kept it, moves to `to`: it is whole on the disk there
 * before it is taken away from here. If there is one already, that one counts, and the other is
 * renamed; *ret_aside is its new name, "" if nothing was set aside. Before `to` is opened.
 */
enum { JOURNAL_ASIDE_OCTETS = 48 };
enum fault journal_move(int from, const struct place *to, char ret_aside[JOURNAL_ASIDE_OCTETS],
                        struct failure *ret_failure);
/* Puts lines before those of a journal of popfs 0.1 that is not open, as journal_replace() does. */
enum fault journal_prepend(int folder, struct slice contents, struct failure *ret_failure);

#endif
