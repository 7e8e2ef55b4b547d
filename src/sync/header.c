/* SPDX-License-Identifier: MIT */
#include "header.h"

#include "popfs/mail.h"

#include <string.h>

void header_clear(struct header *header)
{
    header->bytes.len = 0;
    header->is_cut = header->complete = false;
}

void header_done(struct header *header)
{
    buffer_done(&header->bytes);
}

/* An empty line among the bytes from `from` on, which is behind the last one looked at by two at
 * most. */
static bool has_empty_line(struct slice bytes, size_t from)
{
    struct slice rest = slice_skip(bytes, from);
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        if (end == NULL)
            return false;
        rest = slice_skip(rest, (size_t)(end - rest.data) + 1);
        if (rest.len > 0 && rest.data[0] == '\n')
            return true;
        if (rest.len > 1 && rest.data[0] == '\r' && rest.data[1] == '\n')
            return true;
    }
    return false;
}

void header_feed(struct header *header, struct slice bytes)
{
    if (header->complete)
        return;
    size_t before = header->bytes.len;
    size_t room = MAIL_HEADER_OCTETS_MAX - before;
    if (bytes.len > room)
        bytes.len = room;
    if (!buffer_append(&header->bytes, bytes)) {
        header->is_cut = header->complete = true;
        return;
    }
    header->complete = header->bytes.len >= MAIL_HEADER_OCTETS_MAX ||
                       has_empty_line(buffer_slice(&header->bytes), before < 3 ? 0 : before - 3);
}
