/* SPDX-License-Identifier: MIT */
/* What a person is shown of the dialogue (popfs -d), without what would give a password away. */
#ifndef POPFS_POP3_TRACE_H
#define POPFS_POP3_TRACE_H

#include "popfs/base.h"

/* The client's lines: they are sent at one moment and shown at another. */
struct pop3_trace {
    bool wanted;
    struct buffer lines; /* that have not been given, each with LF */
    struct buffer given; /* those being given: adding to `lines` must not move them */
    size_t at;
};

void pop3_trace_done(struct pop3_trace *trace);
/* A line of the client of which only the first `shown_count` parts are shown. That it is lost for
 * want of memory harms nothing. */
void pop3_trace_add(struct pop3_trace *trace, const struct slice *parts, size_t count,
                    size_t shown_count);
/* The next line; false if there is none. It lives until the next call. */
bool pop3_trace_take(struct pop3_trace *trace, struct slice *ret_line);
/* A status line of the server, as it is shown. */
struct slice pop3_trace_status(struct slice line);

#endif
