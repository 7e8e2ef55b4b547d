/* SPDX-License-Identifier: MIT */
/* A line that is longer than POP3_LINE_OCTETS_MAX is an error, or clipped, so that a server cannot
 * fill the memory. */
#include "line.h"

#include "popfs/pop3.h"

#include <string.h>

void pop3_line_reader_done(struct pop3_line_reader *reader)
{
    buffer_done(&reader->carry);
}

void pop3_line_feed(struct pop3_line_reader *reader, struct slice bytes)
{
    reader->input = bytes;
    reader->fed_octets += bytes.len;
}

bool pop3_line_is_at_start(const struct pop3_line_reader *reader)
{
    return reader->carry.len == 0 || reader->carry_given;
}

uint64_t pop3_line_position(const struct pop3_line_reader *reader)
{
    return reader->fed_octets - reader->input.len;
}

static void strip_line_end(struct slice text, struct pop3_line *ret_line)
{
    text.len--;
    ret_line->crlf = text.len > 0 && text.data[text.len - 1] == '\r';
    if (ret_line->crlf)
        text.len--;
    ret_line->text = text;
}

/* Throws away what is left of a line that is too long. */
static enum pop3_line_result skip_rest(struct pop3_line_reader *reader, struct pop3_line *ret_line)
{
    const char *newline = memchr(reader->input.data, '\n', reader->input.len);
    size_t rest = newline == NULL ? reader->input.len : (size_t)(newline - reader->input.data);
    if (rest > 0)
        reader->after_cr = reader->input.data[rest - 1] == '\r';
    reader->input = slice_skip(reader->input, rest + (newline != NULL));
    if (newline == NULL)
        return POP3_LINE_PARTIAL;
    reader->clipping = false;
    reader->carry_given = true;
    *ret_line = (struct pop3_line){buffer_slice(&reader->carry), reader->after_cr};
    reader->whole_count++;
    return POP3_LINE_WHOLE;
}

static enum pop3_line_result clip(struct pop3_line_reader *reader, size_t room,
                                  struct pop3_line *ret_line)
{
    struct slice start = {reader->input.data, room};
    if (!buffer_append(&reader->carry, start))
        return POP3_LINE_MEMORY;
    reader->input = slice_skip(reader->input, room);
    reader->after_cr = start.len > 0 && start.data[start.len - 1] == '\r';
    reader->clipping = true;
    return skip_rest(reader, ret_line);
}

static enum pop3_line_result keep_start(struct pop3_line_reader *reader, size_t room,
                                        struct pop3_line *ret_line)
{
    if (reader->input.len >= room)
        return reader->clips ? clip(reader, room, ret_line) : POP3_LINE_TOO_LONG;
    if (!buffer_append(&reader->carry, reader->input))
        return POP3_LINE_MEMORY;
    reader->input = slice_skip(reader->input, reader->input.len);
    return POP3_LINE_PARTIAL;
}

enum pop3_line_result pop3_line_take(struct pop3_line_reader *reader, struct pop3_line *ret_line)
{
    if (reader->carry_given)
        reader->carry.len = 0;
    reader->carry_given = false;
    if (reader->input.len == 0)
        return POP3_LINE_PARTIAL;
    if (reader->clipping)
        return skip_rest(reader, ret_line);
    size_t room = POP3_LINE_OCTETS_MAX + 2 - reader->carry.len;
    size_t look = reader->input.len < room ? reader->input.len : room;
    const char *newline = memchr(reader->input.data, '\n', look);
    if (newline == NULL)
        return keep_start(reader, room, ret_line);
    struct slice text = {reader->input.data, (size_t)(newline - reader->input.data) + 1};
    if (reader->carry.len > 0 && !buffer_append(&reader->carry, text))
        return POP3_LINE_MEMORY;
    reader->input = slice_skip(reader->input, text.len);
    if (reader->carry.len > 0) {
        reader->carry_given = true;
        text = buffer_slice(&reader->carry);
    }
    strip_line_end(text, ret_line);
    reader->whole_count++;
    return POP3_LINE_WHOLE;
}
