/* SPDX-License-Identifier: MIT */
/*
 * The header at the start of what RETR or TOP sends, collected as it arrives, up to a bound. Behind
 * the bound only the first of each field that is read of any header is collected. Pure.
 */
#ifndef SYNC_HEADER_H
#define SYNC_HEADER_H

#include "popfs/mail.h"

struct header {
    struct buffer bytes;
    bool is_cut;   /* for want of memory */
    bool complete; /* the empty line has been seen, or the bound reached: enough for evidence */
    bool ended;    /* nothing more is collected */

    /* Behind the bound: */
    char line[MAIL_FIELD_NAME_OCTETS_MAX]; /* the start of the current line */
    size_t line_octets;                    /* so many of them have come */
    size_t field_octets;                   /* of the current field, as far as they are collected */
    bool keeps;                            /* the current field is collected */
    unsigned kept;                         /* bit n: a field n has been, see mail_field_index() */
};

/* Empty again; keeps its memory. */
void header_clear(struct header *header);
void header_done(struct header *header);
/* For want of memory the header just ends early. */
void header_feed(struct header *header, struct slice bytes);
/* It begins with the empty line that ends it: the message has no header. */
bool header_is_none(const struct header *header);

#endif
