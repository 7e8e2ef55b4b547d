/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include "reply.h"

#include <string.h>

void pop3_trace_done(struct pop3_trace *trace)
{
    buffer_done(&trace->lines);
    buffer_done(&trace->given);
}

void pop3_trace_add(struct pop3_trace *trace, const struct slice *parts, size_t count,
                    size_t shown_count)
{
    if (!trace->wanted)
        return;
    for (size_t i = 0; i < shown_count; i++)
        (void)buffer_append(&trace->lines, parts[i]);
    (void)buffer_append_string(&trace->lines, shown_count < count ? "***\n" : "\n");
}

bool pop3_trace_take(struct pop3_trace *trace, struct slice *ret_line)
{
    if (!trace->wanted)
        return false;
    if (trace->at == trace->given.len) {
        struct buffer used = trace->given;
        used.len = 0;
        trace->given = trace->lines;
        trace->lines = used;
        trace->at = 0;
    }
    struct slice rest = slice_skip(buffer_slice(&trace->given), trace->at);
    if (rest.len == 0)
        return false;
    const char *end = memchr(rest.data, '\n', rest.len);
    size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
    trace->at += end == NULL ? len : len + 1;
    *ret_line = (struct slice){rest.data, len};
    return true;
}

/* What a challenge holds is not shown: SCRAM's salt and the server's signature are all that it
 * takes to guess a password at leisure, and traces are pasted into bug reports. */
struct slice pop3_trace_status(struct slice line)
{
    struct pop3_reply reply;
    bool is_challenge = pop3_reply_parse(line, true, &reply) && reply.kind == POP3_REPLY_CHALLENGE;
    return is_challenge && reply.text.len > 0 ? SLICE_LITERAL("+ ***") : line;
}
