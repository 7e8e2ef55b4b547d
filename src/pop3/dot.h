/* SPDX-License-Identifier: MIT */
/*
 * The end of a multi-line answer, and dots unstuffed (RFC 1939, 3). Gives slices of what it is
 * given, so nothing is copied and no line is ever held. Refuses to know what the bytes mean.
 */
#ifndef POPFS_POP3_DOT_H
#define POPFS_POP3_DOT_H

#include "popfs/base.h"

enum pop3_dot_state {
    POP3_DOT_START, /* at the start of a line */
    POP3_DOT_HELD,  /* a dot at the start of a line has been taken, not given */
    POP3_DOT_HELD_CR,
    POP3_DOT_LINE, /* inside a line */
    POP3_DOT_CR,   /* inside a line, the last octet given was CR */
    POP3_DOT_DONE,
};

struct pop3_dot {
    enum pop3_dot_state state;
    bool bare_lf; /* the server ends its lines with LF alone */
};

void pop3_dot_start(struct pop3_dot *dot, bool bare_lf);
/* The final dot line has been taken; what follows it is another answer. */
bool pop3_dot_is_done(const struct pop3_dot *dot);
/*
 * Takes octets off the front of *input and returns the next decoded ones: a slice of the input, or
 * of a constant for a dot that was held over. Empty only when the input is used up or the end has
 * been reached.
 */
struct slice pop3_dot_next(struct pop3_dot *dot, struct slice *input);

#endif
