/* SPDX-License-Identifier: MIT */
/* The CRLF before the final dot line belongs to the body, so only a dot at the start of a line is
 * ever held back. */
#include "dot.h"

#include <string.h>

void pop3_dot_start(struct pop3_dot *dot, bool bare_lf)
{
    *dot = (struct pop3_dot){.state = POP3_DOT_START, .bare_lf = bare_lf};
}

bool pop3_dot_is_done(const struct pop3_dot *dot)
{
    return dot->state == POP3_DOT_DONE;
}

/* In a session of CRLF, a bare LF is data (RFC 1939, 3): "LF . LF" inside a mail ends nothing. */
static bool newline_ends_line(const struct pop3_dot *dot, const char *start, const char *newline)
{
    if (dot->bare_lf)
        return true;
    return newline > start ? newline[-1] == '\r' : dot->state == POP3_DOT_CR;
}

/* Everything up to the next line that starts with a dot. */
static struct slice take_lines(struct pop3_dot *dot, struct slice *input)
{
    const char *start = input->data;
    const char *end = start + input->len;
    const char *at = start;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if ((at == end || *at == '.') && newline_ends_line(dot, start, at - 1)) {
            dot->state = POP3_DOT_START;
            *input = slice_skip(*input, (size_t)(at - start));
            return (struct slice){start, (size_t)(at - start)};
        }
        if (at == end)
            break;
    }
    dot->state = end[-1] == '\r' ? POP3_DOT_CR : POP3_DOT_LINE;
    *input = (struct slice){end, 0};
    return (struct slice){start, (size_t)(end - start)};
}

static void take_octet(struct pop3_dot *dot, struct slice *input, enum pop3_dot_state state)
{
    dot->state = state;
    *input = slice_skip(*input, 1);
}

static struct slice after_dot(struct pop3_dot *dot, struct slice *input)
{
    char next = input->data[0];
    if (next == '\r') {
        take_octet(dot, input, POP3_DOT_HELD_CR);
    } else if (next == '\n' && dot->bare_lf) {
        take_octet(dot, input, POP3_DOT_DONE);
    } else {
        dot->state = POP3_DOT_LINE;
        if (next != '.') /* a server that does not stuff: the dot is kept */
            return SLICE_LITERAL(".");
    }
    return (struct slice){NULL, 0};
}

static struct slice after_dot_cr(struct pop3_dot *dot, struct slice *input)
{
    if (input->data[0] == '\n') {
        take_octet(dot, input, POP3_DOT_DONE);
        return (struct slice){NULL, 0};
    }
    dot->state = POP3_DOT_CR;
    return SLICE_LITERAL(".\r");
}

struct slice pop3_dot_next(struct pop3_dot *dot, struct slice *input)
{
    struct slice out = {NULL, 0};
    while (out.len == 0 && input->len > 0 && dot->state != POP3_DOT_DONE) {
        if (dot->state == POP3_DOT_HELD) {
            out = after_dot(dot, input);
        } else if (dot->state == POP3_DOT_HELD_CR) {
            out = after_dot_cr(dot, input);
        } else if (dot->state == POP3_DOT_START && input->data[0] == '.') {
            take_octet(dot, input, POP3_DOT_HELD);
        } else {
            out = take_lines(dot, input);
        }
    }
    return out;
}
