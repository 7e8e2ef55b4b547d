/* SPDX-License-Identifier: MIT */
/*
 * What to ask the server for next. A pure function of what is wanted and what is outstanding.
 */
#ifndef SYNC_SCHEDULE_H
#define SYNC_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SCHEDULE_COMMANDS_MAX = 8192,                  /* outstanding at once */
    SCHEDULE_DEMAND_OCTETS_MAX = 64 * 1024 * 1024, /* outstanding, while somebody waits for each */
};

/* In the order of who goes first. */
enum schedule_class {
    SCHEDULE_READ,     /* somebody waits in open() or read() */
    SCHEDULE_STAT,     /* somebody waits in stat() for a header */
    SCHEDULE_AHEAD,    /* a body that a crawl will open soon */
    SCHEDULE_SWEEP,    /* a header that nobody has asked for yet */
    SCHEDULE_PREFETCH, /* a body, with the option `prefetch` */
    SCHEDULE_KEEPALIVE,
    SCHEDULE_CLASSES_COUNT,
    SCHEDULE_NOTHING = SCHEDULE_CLASSES_COUNT,
};

struct schedule_view {
    bool may_issue; /* the protocol allows another command now */
    size_t outstanding_count;
    uint64_t outstanding_octets; /* estimated, of all answers that are owed */
    uint64_t window_octets;      /* for what nobody waits for */
    uint64_t demand_octets;      /* for what somebody waits for */
    bool wanted[SCHEDULE_CLASSES_COUNT];
};

enum schedule_class schedule_next(const struct schedule_view *view);

#endif
