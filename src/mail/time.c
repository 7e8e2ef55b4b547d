/* SPDX-License-Identifier: MIT */
/* When a message was written. GMime reads the dates. */
#include "field.h"

#include <gmime/gmime.h>
#include <string.h>

#define TIME_MAX_S 253402300799 /* the end of the year 9999 */

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
    struct slice rest = field_header(header);
    struct slice line;
    while (field_take_line(&rest, &line)) {
        if (field_read(line, SLICE_LITERAL("date:"), &rest, text)) {
            if (date_parse(text, ret_seconds))
                return true;
        } else if (!received && field_read(line, SLICE_LITERAL("received:"), &rest, text)) {
            received = received_parse(text, &received_s);
        }
    }
    if (received)
        *ret_seconds = received_s;
    return received;
}
