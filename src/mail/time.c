/* SPDX-License-Identifier: MIT */
/* When a message was written. */
#include "date.h"
#include "field.h"

#include <string.h>

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
