/* SPDX-License-Identifier: MIT */
/*
 * .popfs/status.json (RFC 8259). Every text is escaped here, whatever was done to it before, so
 * that none can end its string early: UTF-8 stays as it is, but for control and bidirectional
 * characters, which become \uXXXX; a byte that is none becomes \u00XX.
 */
#include "names.h"
#include "status.h"

#include <inttypes.h>

/* ---- values ---- */

static bool json_character(struct buffer *content, struct slice text, size_t octets, uint32_t code)
{
    if (code == '"' || code == '\\')
        return buffer_printf(content, "\\%c", (char)code);
    if (octets == 0)
        return buffer_printf(content, "\\u%04x", (unsigned char)text.data[0]);
    if (!text_is_harmless(code)) /* none of them is beyond 16 bits */
        return buffer_printf(content, "\\u%04x", (unsigned)code);
    return buffer_append(content, (struct slice){text.data, octets});
}

static bool json_string(struct buffer *content, const char *text)
{
    if (!buffer_append_string(content, "\""))
        return false;
    struct slice rest = slice_from_string(text);
    while (rest.len > 0) {
        uint32_t code = 0;
        size_t octets = text_character(rest, &code);
        if (!json_character(content, rest, octets, code))
            return false;
        rest = slice_skip(rest, octets == 0 ? 1 : octets);
    }
    return buffer_append_string(content, "\"");
}

static bool json_string_or_null(struct buffer *content, const char *text)
{
    return text == NULL ? buffer_append_string(content, "null") : json_string(content, text);
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

/* ---- members ---- */

static bool json_text(struct buffer *content, const char *key, const char *value)
{
    return buffer_printf(content, "  \"%s\": ", key) && json_string_or_null(content, value) &&
           buffer_append_string(content, ",\n");
}

static bool json_count(struct buffer *content, const char *key, uint64_t value)
{
    return buffer_printf(content, "  \"%s\": %" PRIu64 ",\n", key, value);
}

static bool json_seconds(struct buffer *content, const char *key, bool known, int64_t seconds)
{
    if (!known)
        return buffer_printf(content, "  \"%s\": null,\n", key);
    return buffer_printf(content, "  \"%s\": %" PRId64 ",\n", key, seconds);
}

static bool json_capabilities(struct buffer *content, const struct sync_status *status)
{
    return buffer_printf(content,
                         "  \"capabilities\": {\"pipelining\": %s, \"top\": %s, \"uidl\": %s, "
                         "\"utf8\": %s},\n",
                         json_bool(status->pipelining), json_bool(status->top),
                         json_bool(status->uidl), json_bool(status->utf8));
}

static const char *sizes_word(enum sync_sizes sizes)
{
    switch (sizes) {
    case SYNC_SIZES_UNPROVEN:
        return "unproven";
    case SYNC_SIZES_TRUSTED:
        return "trusted";
    case SYNC_SIZES_WRONG:
        return "wrong";
    }
    return "unproven";
}

static bool json_cache(struct buffer *content, const struct sync_status *status)
{
    const char *folder = status->cache_folder[0] == '\0' ? NULL : status->cache_folder;
    return buffer_append_string(content, "  \"cache\": {\"folder\": ") &&
           json_string_or_null(content, folder) &&
           buffer_printf(
               content,
               ", \"octets\": %" PRIu64 ", \"limit\": %" PRIu64 ", \"bodies\": %zu, \"error\": ",
               status->cache_octets, status->cache_octets_max, status->cache_body_count) &&
           json_string_or_null(content,
                               status->cache_failure[0] == '\0' ? NULL : status->cache_failure) &&
           buffer_append_string(content, "},\n");
}

static bool json_damage(struct buffer *content, const struct maildrop_message *message)
{
    struct name name;
    return name_encode(maildrop_message_uidl(message), maildrop_message_copy(message), &name) &&
           buffer_append_string(content, "\n    ") && json_string(content, name.data);
}

static bool json_verification(struct buffer *content, const struct status_view *view)
{
    if (!buffer_printf(content,
                       "  \"verification\": {\"checked\": %zu, \"damaged\": %zu, \"names\": [",
                       view->sync->verified_count, view->sync->damaged_count))
        return false;
    for (size_t i = 0; i < view->damage_count; i++)
        if ((i > 0 && !buffer_append_string(content, ",")) ||
            !json_damage(content, view->damages[i]))
            return false;
    return buffer_append_string(content, "]},\n");
}

static bool json_bin(struct buffer *content, const struct sync_status *status)
{
    if (status->bin_folder == NULL)
        return buffer_append_string(content, "  \"bin\": null,\n");
    return buffer_append_string(content, "  \"bin\": {\"folder\": ") &&
           json_string(content, status->bin_folder) &&
           buffer_printf(content,
                         ", \"octets\": %" PRIu64 ", \"limit\": %" PRIu64
                         ", \"messages\": %zu, \"keep_s\": %" PRId64 "},\n",
                         status->bin_octets, status->bin_octets_max, status->bin_count,
                         status->bin_s);
}

static bool json_work(struct buffer *content, const struct sync_status *status)
{
    return buffer_printf(
        content, "  \"work\": {\"kind\": \"%s\", \"done\": %" PRIu64 ", \"total\": %" PRIu64 "},\n",
        status_work_name(status->work), status->work_done, status->work_total);
}

/* ---- the last commit ---- */

static bool json_uidl(struct buffer *content, const struct maildrop_message *message)
{
    CLEANUP_BUFFER struct buffer text = {0};
    return buffer_append(&text, maildrop_message_uidl(message)) &&
           buffer_append(&text, (struct slice){"", 1}) && json_string(content, text.data);
}

static bool json_removal_failure(struct buffer *content, const struct sync_removal_failure *failure)
{
    struct name name;
    return name_encode(maildrop_message_uidl(failure->message),
                       maildrop_message_copy(failure->message), &name) &&
           buffer_append_string(content, "\n    {\"name\": ") && json_string(content, name.data) &&
           buffer_append_string(content, ", \"uidl\": ") && json_uidl(content, failure->message) &&
           buffer_append_string(content, ", \"from\": ") && json_string(content, failure->from) &&
           buffer_append_string(content, ", \"subject\": ") &&
           json_string(content, failure->subject) &&
           buffer_append_string(content, ", \"reason\": ") &&
           json_string(content, failure->reason) && buffer_append_string(content, "}");
}

static bool json_commit(struct buffer *content, const struct status_view *view)
{
    const struct sync_status *status = view->sync;
    if (status->commit_number == 0)
        return buffer_append_string(content, "  \"last_commit\": null,\n");
    if (!buffer_printf(content,
                       "  \"last_commit\": {\"number\": %zu, \"at_s\": %" PRId64
                       ", \"deleted\": %zu, \"failed\": %zu, \"failures\": [",
                       status->commit_number, status->committed_at_s, status->commit_removed_count,
                       status->commit_failed_count))
        return false;
    for (size_t i = 0; i < view->failure_count; i++)
        if ((i > 0 && !buffer_append_string(content, ",")) ||
            !json_removal_failure(content, &view->failures[i]))
            return false;
    return buffer_append_string(content, "]},\n");
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

/* ---- the whole ---- */

static bool json_mount(struct buffer *content, const struct status_view *view)
{
    return json_text(content, "state", status_link_name(view->sync->link)) &&
           json_count(content, "pid", (uint64_t)view->pid) &&
           json_text(content, "mountpoint", view->mountpoint) &&
           buffer_printf(content, "  \"read_only\": %s,\n", json_bool(view->read_only));
}

static bool json_session(struct buffer *content, const struct sync_status *status)
{
    return json_text(content, "account", status->account) &&
           json_text(content, "server", status->server) &&
           json_text(content, "transport", status->transport) &&
           json_text(content, "login", status->mechanism) &&
           json_text(content, "implementation", status->implementation) &&
           json_capabilities(content, status) &&
           json_count(content, "session_age_s", (uint64_t)status->session_age_s) &&
           json_count(content, "session_count", (uint64_t)status->session_count) &&
           json_seconds(content, "listed_at_s", status->listed_at_s != 0, status->listed_at_s);
}

static bool json_counts(struct buffer *content, const struct sync_status *status)
{
    bool offline = status->link == SYNC_LINK_OFFLINE;
    return json_count(content, "message_count", status->message_count) &&
           json_count(content, "message_octets", status->message_octets) &&
           json_count(content, "unshown_count", status->unshown_count) &&
           json_count(content, "skipped_row_count", status->skipped_row_count) &&
           buffer_printf(content, "  \"listing_doubted\": %s,\n",
                         json_bool(status->listing_is_doubted)) &&
           json_count(content, "pending_removal_count", status->going_count) &&
           json_count(content, "held_removal_count", status->held_count) &&
           json_count(content, "waiting_count", status->waiting_count) &&
           json_count(content, "received_octets", status->received_octets) &&
           json_text(content, "sizes", sizes_word(status->sizes)) && json_cache(content, status) &&
           json_text(content, "state_folder",
                     status->state_folder[0] == '\0' ? NULL : status->state_folder) &&
           json_bin(content, status) &&
           json_seconds(content, "offline_since_s", status->offline_since_s != 0,
                        status->offline_since_s) &&
           json_seconds(content, "next_attempt_s", offline, status->next_attempt_s) &&
           json_work(content, status);
}

bool status_render_json(const struct status_view *view, struct buffer *content)
{
    return buffer_append_string(content, "{\n") && json_mount(content, view) &&
           json_session(content, view->sync) && json_counts(content, view->sync) &&
           json_verification(content, view) && json_commit(content, view) &&
           json_text(content, "sandbox", view->sandbox) && json_failure(content, view->sync) &&
           buffer_append_string(content, "}\n");
}
