/* SPDX-License-Identifier: MIT */
/* Lines out of what was fed: slices of it where they lie whole in it, a bounded copy where they do
 * not. */
#ifndef POPFS_POP3_LINE_H
#define POPFS_POP3_LINE_H

#include "popfs/base.h"

struct pop3_line_reader {
    struct slice input;   /* fed and not taken yet, borrowed */
    struct buffer carry;  /* the start of a line whose end has not been fed */
    bool carry_given;     /* the last line given lies in the carry */
    bool clips;           /* a line that is too long is read to its end, and its start given */
    bool clipping;        /* the carry holds that start */
    bool after_cr;        /* while clipping: the last octet that was thrown away is a CR */
    uint64_t fed_octets;  /* in all */
    uint64_t whole_count; /* lines given */
};

struct pop3_line {
    struct slice text; /* without the line end */
    bool crlf;         /* it ended in CRLF, not in a bare LF */
};

enum pop3_line_result { POP3_LINE_WHOLE, POP3_LINE_PARTIAL, POP3_LINE_TOO_LONG, POP3_LINE_MEMORY };

void pop3_line_reader_done(struct pop3_line_reader *reader);
void pop3_line_feed(struct pop3_line_reader *reader, struct slice bytes);
/* The text lives until the next call, and at most as long as what was fed. */
enum pop3_line_result pop3_line_take(struct pop3_line_reader *reader, struct pop3_line *ret_line);
/* True if the octets at hand are the first of a line. */
bool pop3_line_is_at_start(const struct pop3_line_reader *reader);
/* How many octets came before the next one to be taken. */
uint64_t pop3_line_position(const struct pop3_line_reader *reader);

#endif
