/* SPDX-License-Identifier: MIT */
/*
 * The dot decoder: whatever the chunks, it gives what a slow decoder gives that sees all at once,
 * and stops at the same octet. Input: octet 0 the mode, octet 1 the seed of the chunk sizes, then
 * what a server sends.
 */
#include "dot.h"
#include "target.h"

#include <string.h>

struct result {
    struct buffer body;
    size_t used;
    bool done;
};

/* Straight from RFC 1939, 3: line by line, everything at hand. `pending` octets at the end cannot
 * be decided yet. */
static void decode_slowly(struct slice in, bool bare_lf, struct result *result)
{
    size_t at = 0;
    while (at < in.len) {
        struct slice rest = slice_skip(in, at);
        size_t end = 0;
        while (end < rest.len &&
               !(rest.data[end] == '\n' && (bare_lf || (end > 0 && rest.data[end - 1] == '\r'))))
            end++;
        bool whole = end < rest.len;
        struct slice line = {rest.data, whole ? end + 1 : end};
        bool is_end = slice_equal(line, SLICE_LITERAL(".\r\n")) ||
                      (bare_lf && slice_equal(line, SLICE_LITERAL(".\n")));
        bool undecided = !whole && (slice_equal(line, SLICE_LITERAL(".")) ||
                                    slice_equal(line, SLICE_LITERAL(".\r")));
        at += line.len;
        if (is_end || undecided) {
            result->done = is_end;
            break;
        }
        if (line.len >= 2 && line.data[0] == '.' && line.data[1] == '.')
            line = slice_skip(line, 1);
        MUST(buffer_append(&result->body, line));
    }
    result->used = at;
}

static void decode_in_chunks(struct slice in, bool bare_lf, unsigned seed, struct result *result)
{
    struct pop3_dot dot;
    pop3_dot_start(&dot, bare_lf);
    while (in.len > 0 && !pop3_dot_is_done(&dot)) {
        seed = seed * 1103515245 + 12345;
        size_t len = 1 + (seed >> 16) % 7;
        if (len > in.len)
            len = in.len;
        /* A copy of its own, so that a sanitizer sees a slice used after its chunk. */
        char *chunk = malloc(len);
        MUST(chunk != NULL);
        memcpy(chunk, in.data, len);
        struct slice rest = {chunk, len};
        struct slice out;
        while ((out = pop3_dot_next(&dot, &rest)).len > 0)
            MUST(buffer_append(&result->body, out));
        MUST(rest.len == 0 || pop3_dot_is_done(&dot));
        result->used += len - rest.len;
        in = slice_skip(in, len - rest.len);
        free(chunk);
    }
    result->done = pop3_dot_is_done(&dot);
}

static void decode_whole(struct slice in, bool bare_lf, struct result *result)
{
    struct pop3_dot dot;
    pop3_dot_start(&dot, bare_lf);
    struct slice rest = in;
    struct slice out;
    while ((out = pop3_dot_next(&dot, &rest)).len > 0)
        MUST(buffer_append(&result->body, out));
    result->used = in.len - rest.len;
    result->done = pop3_dot_is_done(&dot);
}

static void must_equal(const struct result *a, const struct result *b)
{
    MUST(a->done == b->done);
    MUST(a->used == b->used);
    MUST(slice_equal(buffer_slice(&a->body), buffer_slice(&b->body)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    bool bare_lf = (data[0] & 1) != 0;
    struct slice in = {(const char *)data + 2, size - 2};
    struct result slow = {0};
    struct result whole = {0};
    struct result chunked = {0};
    decode_slowly(in, bare_lf, &slow);
    decode_whole(in, bare_lf, &whole);
    decode_in_chunks(in, bare_lf, data[1], &chunked);
    must_equal(&slow, &whole);
    must_equal(&slow, &chunked);
    buffer_done(&slow.body);
    buffer_done(&whole.body);
    buffer_done(&chunked.body);
    return 0;
}
