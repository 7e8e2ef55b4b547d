/* SPDX-License-Identifier: MIT */
/* The header at the start of what RETR or TOP sends, collected as it arrives, up to a bound. Pure.
 */
#ifndef SYNC_HEADER_H
#define SYNC_HEADER_H

#include "popfs/base.h"

struct header {
    struct buffer bytes;
    bool is_cut;   /* for want of memory */
    bool complete; /* the empty line has been seen, or the bound reached: the rest is ignored */
};

/* Empty again; keeps its memory. */
void header_clear(struct header *header);
void header_done(struct header *header);
/* For want of memory the header just ends early. */
void header_feed(struct header *header, struct slice bytes);

#endif
