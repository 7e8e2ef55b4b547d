/* SPDX-License-Identifier: MIT */
/*
 * When a message was written. GMime reads the dates; the fields are found here, because GMime's
 * parser wants a stream and builds a tree, which is too much for one field of ten thousand headers.
 */
#include "popfs/mail.h"

#include <gmime/gmime.h>
#include <string.h>

enum {
    FIELD_OCTETS_MAX = 2000, /* a folded Received field is well below */
};

#define TIME_MAX_S 253402300799 /* the end of the year 9999 */

/* Takes one line, its end included, off the front; without CR and LF in *ret_line. */
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

static bool is_continued(struct slice rest)
{
    return rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t');
}

/* A field's body, unfolded into text[FIELD_OCTETS_MAX]. *rest stands behind its first line. */
static void unfold(struct slice first, struct slice *rest, char *text)
{
    size_t used = 0;
    struct slice line = first;
    for (;;) {
        size_t count =
            line.len < FIELD_OCTETS_MAX - 1 - used ? line.len : FIELD_OCTETS_MAX - 1 - used;
        for (size_t i = 0; i < count; i++)
            text[used + i] = line.data[i] == '\0' ? ' ' : line.data[i];
        used += count;
        if (!is_continued(*rest) || !take_line(rest, &line))
            break;
    }
    text[used] = '\0';
}

static bool date_parse(const char *text, int64_t *ret_seconds)
{
    GDateTime *date = g_mime_utils_header_decode_date(text);
    if (date == NULL)
        return false;
    int64_t seconds = g_date_time_to_unix(date);
    g_date_time_unref(date);
    if (seconds < 0 || seconds > TIME_MAX_S)
        return false;
    *ret_seconds = seconds;
    return true;
}

/* Received: from … by …; date (RFC 5321, 4.4): the date follows the last semicolon. */
static bool received_parse(const char *text, int64_t *ret_seconds)
{
    const char *semicolon = strrchr(text, ';');
    return semicolon != NULL && date_parse(semicolon + 1, ret_seconds);
}

bool mail_header_time(struct slice header, int64_t *ret_seconds)
{
    char text[FIELD_OCTETS_MAX];
    int64_t received_s = 0;
    bool received = false;
    struct slice rest = header;
    struct slice line;
    if (rest.len > MAIL_HEADER_OCTETS_MAX)
        rest.len = MAIL_HEADER_OCTETS_MAX;
    while (take_line(&rest, &line) && line.len > 0) {
        if (slice_has_prefix_nocase(line, SLICE_LITERAL("date:"))) {
            unfold(slice_skip(line, 5), &rest, text);
            if (date_parse(text, ret_seconds))
                return true;
        } else if (!received && slice_has_prefix_nocase(line, SLICE_LITERAL("received:"))) {
            unfold(slice_skip(line, 9), &rest, text);
            received = received_parse(text, &received_s);
        }
    }
    if (received)
        *ret_seconds = received_s;
    return received;
}
