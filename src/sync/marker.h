/* SPDX-License-Identifier: MIT */
/*
 * Markers (POP3.md 30): `UIDL n` behind what asks for a message, whose one line names that message.
 * So it proves that the answers before it were those to the commands before it, and have ended.
 * Where the server cannot answer `UIDL n`, NOOP proves the end alone. Pure: mark.c asks.
 */
#ifndef SYNC_MARKER_H
#define SYNC_MARKER_H

#include <stdbool.h>
#include <stdint.h>

/* A trait of the account. */
enum marker_use {
    MARKER_UNTRIED,
    MARKER_NAMES,   /* it has been answered well */
    MARKER_USELESS, /* NOOP takes its place */
};

struct marker {
    enum marker_use use;
    unsigned failures_count; /* in a row, of those that were asked alone */
    uint64_t suspect;        /* the message of the last one */
};

/* A marker has been answered with a status line. */
struct marker_view {
    bool is_noop;     /* it is no UIDL */
    bool ok;          /* +OK */
    bool names;       /* and it names the message that it was asked for */
    bool is_nameless; /* the listing has no UIDL for that number */
    bool came_alone;  /* it was asked when the answer before it had come whole */
    bool was_refused; /* that answer was -ERR */
};

enum marker_verdict {
    MARKER_PROVES, /* whose the answers before it are, and that they have ended */
    MARKER_ENDS,   /* only that they have ended */
    MARKER_FAILS,  /* the answers are out of step, or one of them has not ended */
};

enum marker_verdict marker_judge(enum marker_use use, const struct marker_view *view);
/* What the verdict about the marker of the message `id` tells of the account. True if that changes
 * marker->use. */
bool marker_note(struct marker *marker, const struct marker_view *view, enum marker_verdict verdict,
                 uint64_t id);
/* A marker that was asked alone broke the session, or got no answer. Likewise. */
bool marker_note_lost(struct marker *marker, uint64_t id);

#endif
