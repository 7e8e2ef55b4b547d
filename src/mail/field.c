/* SPDX-License-Identifier: MIT */
/*
 * Fields are found here and not by GMime, whose parser wants a stream and builds a tree: too much
 * for three fields of ten thousand headers.
 */
#include "field.h"

#include <string.h>

struct slice field_header(struct slice header)
{
    if (header.len > MAIL_HEADER_KEPT_MAX)
        header.len = MAIL_HEADER_KEPT_MAX;
    return header;
}

int mail_field_index(struct slice line)
{
    static const char *const names[MAIL_FIELDS] = {
        "date:", "from:", "received:", "subject:", "to:"};
    for (int i = 0; i < MAIL_FIELDS; i++)
        if (slice_has_prefix_nocase(line, slice_from_string(names[i])))
            return i;
    return -1;
}

static bool take_line(struct slice *rest, struct slice *ret_line)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->data, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->data);
    struct slice line = {rest->data, len};
    *rest = slice_skip(*rest, end == NULL ? len : len + 1);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    *ret_line = line;
    return true;
}

bool field_take_line(struct slice *rest, struct slice *ret_line)
{
    return take_line(rest, ret_line) && ret_line->len > 0;
}

static bool is_continued(struct slice rest)
{
    return rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t');
}

/* Without the last character if it is one of UTF-8: it may be only a part of one. */
static size_t without_last_character(const char *text, size_t len)
{
    size_t before = len;
    while (before > 0 && ((unsigned char)text[before - 1] & 0xc0) == 0x80)
        before--;
    bool leads = before > 0 && ((unsigned char)text[before - 1] & 0xc0) == 0xc0;
    return leads ? before - 1 : len;
}

bool field_read(struct slice line, struct slice name, struct slice *rest,
                char text[FIELD_OCTETS_MAX])
{
    if (!slice_has_prefix_nocase(line, name))
        return false;
    line = slice_skip(line, name.len);
    size_t used = 0;
    bool cut = false;
    for (;;) {
        size_t room = FIELD_OCTETS_MAX - 1 - used;
        size_t count = line.len < room ? line.len : room;
        cut = cut || line.len > room;
        for (size_t i = 0; i < count; i++)
            text[used + i] = line.data[i] == '\0' ? ' ' : line.data[i];
        used += count;
        if (!is_continued(*rest) || !take_line(rest, &line))
            break;
    }
    text[cut ? without_last_character(text, used) : used] = '\0';
    return true;
}
