/* SPDX-License-Identifier: MIT */
#include "header.h"

#include "popfs/mail.h"

#include <string.h>

void header_clear(struct header *header)
{
    struct buffer bytes = header->bytes;
    bytes.len = 0;
    *header = (struct header){.bytes = bytes};
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

/* A blank goes on with the field before. */
static bool is_continued(char first)
{
    return first == ' ' || first == '\t';
}

static void append(struct header *header, struct slice bytes)
{
    if (!buffer_append(&header->bytes, bytes))
        header->is_cut = header->ended = true;
}

static void collect(struct header *header, struct slice bytes)
{
    size_t room = MAIL_FIELD_OCTETS_MAX - header->field_octets;
    if (bytes.len > room)
        bytes.len = room;
    if (header->keeps)
        append(header, bytes);
    header->field_octets += bytes.len;
}

/* As much of the line has come as tells its field. */
static void start_line(struct header *header)
{
    struct slice start = {header->line, header->line_octets};
    struct slice before = buffer_slice(&header->bytes);
    if (!is_continued(start.data[0])) {
        int field = mail_field_index(start);
        header->keeps = field >= 0 && (header->kept & 1U << field) == 0;
        header->kept |= header->keeps ? 1U << field : 0;
        header->field_octets = 0;
        if (header->keeps && before.len > 0 && before.data[before.len - 1] != '\n')
            append(header, SLICE_LITERAL("\n"));
    }
    collect(header, start);
}

static bool is_empty_line(const struct header *header)
{
    return header->line[0] == '\n' ||
           (header->line_octets >= 2 && header->line[0] == '\r' && header->line[1] == '\n');
}

/* Takes octets of one line, with the LF if it ends here. */
static void feed_line(struct header *header, struct slice bytes)
{
    bool ends = bytes.data[bytes.len - 1] == '\n';
    size_t missing = sizeof(header->line) - header->line_octets;
    if (missing > 0) {
        size_t count = bytes.len < missing ? bytes.len : missing;
        memcpy(header->line + header->line_octets, bytes.data, count);
        header->line_octets += count;
        bytes = slice_skip(bytes, count);
        header->ended = is_empty_line(header);
        if (header->ended || (!ends && count < missing))
            return;
        start_line(header);
    }
    collect(header, bytes);
    if (ends)
        header->line_octets = 0;
}

static void feed_behind(struct header *header, struct slice bytes)
{
    while (bytes.len > 0 && !header->ended) {
        const char *end = memchr(bytes.data, '\n', bytes.len);
        size_t len = end == NULL ? bytes.len : (size_t)(end - bytes.data) + 1;
        feed_line(header, (struct slice){bytes.data, len});
        bytes = slice_skip(bytes, len);
    }
}

/* Where the line starts to which the octet in front of `at` belongs. */
static size_t line_start(struct slice bytes, size_t at)
{
    while (at > 0 && bytes.data[at - 1] != '\n')
        at--;
    return at;
}

/* The bound may lie within a field, and within its name. */
static void pass_bound(struct header *header)
{
    struct slice bytes = buffer_slice(&header->bytes);
    size_t line = line_start(bytes, bytes.len);
    header->complete = true;
    header->line_octets = bytes.len - line;
    if (header->line_octets >= sizeof(header->line)) {
        header->line_octets = sizeof(header->line);
    } else {
        memcpy(header->line, bytes.data + line, header->line_octets);
        header->bytes.len = bytes.len = line;
        line = line_start(bytes, line - 1);
    }
    while (line > 0 && is_continued(bytes.data[line]))
        line = line_start(bytes, line - 1);
    size_t octets = bytes.len - line;
    header->keeps = mail_field_index(slice_skip(bytes, line)) >= 0;
    header->field_octets = octets < MAIL_FIELD_OCTETS_MAX ? octets : MAIL_FIELD_OCTETS_MAX;
}

void header_feed(struct header *header, struct slice bytes)
{
    if (header->ended)
        return;
    if (header->complete) {
        feed_behind(header, bytes);
        return;
    }
    size_t before = header->bytes.len;
    size_t room = MAIL_HEADER_OCTETS_MAX - before;
    struct slice some = {bytes.data, bytes.len < room ? bytes.len : room};
    if (!buffer_append(&header->bytes, some)) {
        header->is_cut = header->complete = header->ended = true;
        return;
    }
    header->ended = has_empty_line(buffer_slice(&header->bytes), before < 3 ? 0 : before - 3);
    header->complete = header->ended;
    if (!header->ended && header->bytes.len >= MAIL_HEADER_OCTETS_MAX) {
        pass_bound(header);
        feed_behind(header, slice_skip(bytes, some.len));
    }
}

bool header_is_none(const struct header *header)
{
    struct slice bytes = buffer_slice(&header->bytes);
    return slice_has_prefix_nocase(bytes, SLICE_LITERAL("\r\n")) ||
           slice_has_prefix_nocase(bytes, SLICE_LITERAL("\n"));
}
