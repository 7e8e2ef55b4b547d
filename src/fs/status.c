/* SPDX-License-Identifier: MIT */
/*
 * .popfs/status and .popfs/status.json. Text that the server sent comes here escaped already; JSON
 * is escaped once more, so that no text at all can end a string early.
 */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { LABEL_COLUMNS = 18, TIME_OCTETS = 40, SIZE_OCTETS = 40, AGE_OCTETS = 48 };

static const char *link_name(enum sync_link link)
{
    switch (link) {
    case SYNC_LINK_OFFLINE:
        return "offline";
    case SYNC_LINK_CONNECTING:
        return "connecting";
    case SYNC_LINK_ONLINE:
        return "online";
    }
    return "unknown";
}

/* ---- for a person ---- */

static bool line(struct buffer *content, const char *label, const char *value)
{
    return buffer_printf(content, "%s:%*s%s\n", label,
                         LABEL_COLUMNS - (int)slice_from_string(label).len, "",
                         value[0] == '\0' ? "-" : value);
}

static bool line_count(struct buffer *content, const char *label, uint64_t count)
{
    char value[32];
    snprintf(value, sizeof(value), "%" PRIu64, count);
    return line(content, label, value);
}

static bool line_octets(struct buffer *content, const char *label, uint64_t octets)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    char value[SIZE_OCTETS];
    if (octets < 1024) {
        snprintf(value, sizeof(value), "%" PRIu64 " octets", octets);
        return line(content, label, value);
    }
    double amount = (double)octets / 1024;
    size_t unit = 0;
    for (; amount >= 1024; unit++)
        amount /= 1024;
    snprintf(value, sizeof(value), "%.1f %s (%" PRIu64 " octets)", amount, units[unit], octets);
    return line(content, label, value);
}

static bool line_age(struct buffer *content, const char *label, int64_t seconds)
{
    char value[AGE_OCTETS];
    if (seconds < 60)
        snprintf(value, sizeof(value), "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        snprintf(value, sizeof(value), "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    else
        snprintf(value, sizeof(value), "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                 seconds / 60 % 60);
    return line(content, label, value);
}

static bool line_capabilities(struct buffer *content, const struct sync_status *status)
{
    char value[64];
    snprintf(value, sizeof(value), "%s%s%s%s", status->pipelining ? " PIPELINING" : "",
             status->top ? " TOP" : "", status->uidl ? " UIDL" : "", status->utf8 ? " UTF8" : "");
    return line(content, "capabilities", value[0] == ' ' ? value + 1 : value);
}

static bool line_session(struct buffer *content, const struct sync_status *status)
{
    if (status->link == SYNC_LINK_OFFLINE)
        return line(content, "session age", "");
    return line_age(content, "session age", status->session_age_s);
}

static bool line_failure(struct buffer *content, const struct sync_status *status)
{
    if (status->failed_at_s == 0)
        return line(content, "last error", "none");
    char when[TIME_OCTETS] = "";
    struct tm local;
    time_t seconds = (time_t)status->failed_at_s;
    if (localtime_r(&seconds, &local) != NULL)
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
    char value[TIME_OCTETS + FAILURE_TEXT_OCTETS + 32];
    snprintf(value, sizeof(value), "%s %s: %s", when, fault_name(status->failure.fault),
             status->failure.text);
    return line(content, "last error", value);
}

bool status_render_text(const struct sync_status *status, struct buffer *content)
{
    return line(content, "state", link_name(status->link)) &&
           line(content, "server", status->server) &&
           line(content, "transport", status->transport) &&
           line(content, "login", status->mechanism) &&
           line(content, "implementation", status->implementation) &&
           line_capabilities(content, status) && line_session(content, status) &&
           line_count(content, "logins", (uint64_t)status->session_count) &&
           line_count(content, "messages", status->message_count) &&
           line_octets(content, "size", status->message_octets) &&
           line_count(content, "pending removals", status->going_count) &&
           line_count(content, "waiting", status->waiting_count) &&
           line_octets(content, "received", status->received_octets) &&
           line_failure(content, status);
}

/* ---- for a program ---- */

static bool json_byte(struct buffer *content, char byte)
{
    unsigned char c = (unsigned char)byte;
    if (c == '"' || c == '\\')
        return buffer_printf(content, "\\%c", c);
    if (c < 0x20 || c >= 0x7f)
        return buffer_printf(content, "\\u%04x", c);
    return buffer_append(content, (struct slice){&byte, 1});
}

static bool json_string(struct buffer *content, const char *text)
{
    if (!buffer_append_string(content, "\""))
        return false;
    for (; *text != '\0'; text++)
        if (!json_byte(content, *text))
            return false;
    return buffer_append_string(content, "\"");
}

static bool json_text(struct buffer *content, const char *key, const char *value)
{
    return buffer_printf(content, "  \"%s\": ", key) && json_string(content, value) &&
           buffer_append_string(content, ",\n");
}

static bool json_count(struct buffer *content, const char *key, uint64_t value)
{
    return buffer_printf(content, "  \"%s\": %" PRIu64 ",\n", key, value);
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

static bool json_capabilities(struct buffer *content, const struct sync_status *status)
{
    return buffer_printf(content,
                         "  \"capabilities\": {\"pipelining\": %s, \"top\": %s, \"uidl\": %s, "
                         "\"utf8\": %s},\n",
                         json_bool(status->pipelining), json_bool(status->top),
                         json_bool(status->uidl), json_bool(status->utf8));
}

static bool json_failure(struct buffer *content, const struct sync_status *status)
{
    if (status->failed_at_s == 0)
        return buffer_append_string(content, "  \"last_error\": null\n");
    return buffer_printf(content,
                         "  \"last_error\": {\"at_s\": %" PRId64 ", \"fault\": \"%s\", \"text\": ",
                         status->failed_at_s, fault_name(status->failure.fault)) &&
           json_string(content, status->failure.text) && buffer_append_string(content, "}\n");
}

bool status_render_json(const struct sync_status *status, struct buffer *content)
{
    return buffer_append_string(content, "{\n") &&
           json_text(content, "state", link_name(status->link)) &&
           json_text(content, "server", status->server) &&
           json_text(content, "transport", status->transport) &&
           json_text(content, "login", status->mechanism) &&
           json_text(content, "implementation", status->implementation) &&
           json_capabilities(content, status) &&
           json_count(content, "session_age_s", (uint64_t)status->session_age_s) &&
           json_count(content, "session_count", (uint64_t)status->session_count) &&
           json_count(content, "message_count", status->message_count) &&
           json_count(content, "message_octets", status->message_octets) &&
           json_count(content, "pending_removal_count", status->going_count) &&
           json_count(content, "waiting_count", status->waiting_count) &&
           json_count(content, "received_octets", status->received_octets) &&
           json_failure(content, status) && buffer_append_string(content, "}\n");
}
