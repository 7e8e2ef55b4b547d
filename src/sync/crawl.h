/* SPDX-License-Identifier: MIT */
/*
 * Read-ahead: recognises who opens messages in listing order, and says what they will open next.
 * Pure.
 *
 * A lane is one reader (grep, tar) going up the listing. It is believed at its second open; from
 * then on its window, in octets, doubles with every open that it foresaw and halves when it had
 * asked for what was then passed over.
 */
#ifndef SYNC_CRAWL_H
#define SYNC_CRAWL_H

#include "popfs/maildrop.h"

enum {
    CRAWL_LANES_COUNT = 8,
    CRAWL_SLACK = 8, /* tools with several threads open a little out of order */
    CRAWL_OCTETS_MIN = 256 * 1024,
    CRAWL_OCTETS_MAX = 32 * 1024 * 1024,
};

struct crawl_lane {
    bool used;
    size_t next;            /* the position to be opened next */
    size_t end;             /* the first position that was not asked for */
    uint64_t ahead_octets;  /* of [next, end) */
    uint64_t window_octets; /* 0: not believed yet */
    uint64_t stamp;
};

struct crawl {
    struct crawl_lane lanes[CRAWL_LANES_COUNT];
    uint64_t stamp;
};

/* Also when another listing made the positions void. */
void crawl_reset(struct crawl *crawl);
/* Somebody opened the message at `position`. */
void crawl_note_open(struct crawl *crawl, const struct maildrop_snapshot *snapshot,
                     size_t position);
/* True if a lane that is believed has come to `position` or is about to. */
bool crawl_is_at(const struct crawl *crawl, size_t position);
/* What was asked for, or is about to be, and has not been opened. */
uint64_t crawl_ahead_octets(const struct crawl *crawl);
/* The next position to ask for, each once; false if every window is full. */
bool crawl_next(struct crawl *crawl, const struct maildrop_snapshot *snapshot,
                size_t *ret_position);

#endif
