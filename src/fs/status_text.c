/* SPDX-License-Identifier: MIT */
/* .popfs/status: one aligned line for each fact. Text that the server sent comes here escaped
 * already. */
#include "names.h"
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { LABEL_COLUMNS = 18, TIME_OCTETS = 40, SIZE_OCTETS = 48, AGE_OCTETS = 48 };

const char *status_link_name(enum sync_link link)
{
    switch (link) {
    case SYNC_LINK_OFFLINE:
        return "offline";
    case SYNC_LINK_CONNECTING:
        return "connecting";
    case SYNC_LINK_ONLINE:
        return "online";
    case SYNC_LINK_IDLE:
        return "idle";
    }
    return "unknown";
}

const char *status_work_name(enum sync_work work)
{
    switch (work) {
    case SYNC_WORK_NONE:
        return "none";
    case SYNC_WORK_REFRESH:
        return "refresh";
    case SYNC_WORK_COMMIT:
        return "commit";
    case SYNC_WORK_PREFETCH:
        return "prefetch";
    case SYNC_WORK_VERIFY:
        return "verify";
    }
    return "unknown";
}

/* ---- values ---- */

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

/* "3.0 MiB" */
static const char *size_text(uint64_t octets, char out[SIZE_OCTETS])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (octets < 1024) {
        snprintf(out, SIZE_OCTETS, "%" PRIu64 " octets", octets);
        return out;
    }
    double amount = (double)octets / 1024;
    size_t unit = 0;
    for (; amount >= 1024; unit++)
        amount /= 1024;
    snprintf(out, SIZE_OCTETS, "%.1f %s", amount, units[unit]);
    return out;
}

static bool line_octets(struct buffer *content, const char *label, uint64_t octets)
{
    char size[SIZE_OCTETS];
    char value[SIZE_OCTETS + 32];
    size_text(octets, size);
    if (octets < 1024)
        return line(content, label, size);
    snprintf(value, sizeof(value), "%s (%" PRIu64 " octets)", size, octets);
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

static const char *time_text(int64_t epoch_s, char out[TIME_OCTETS])
{
    struct tm local;
    time_t seconds = (time_t)epoch_s;
    out[0] = '\0';
    if (localtime_r(&seconds, &local) != NULL)
        strftime(out, TIME_OCTETS, "%Y-%m-%d %H:%M:%S", &local);
    return out;
}

static bool line_time(struct buffer *content, const char *label, int64_t epoch_s)
{
    char when[TIME_OCTETS] = "";
    return line(content, label, epoch_s == 0 ? "" : time_text(epoch_s, when));
}

/* ---- lines ---- */

static bool line_state(struct buffer *content, const struct sync_status *status)
{
    char since[TIME_OCTETS + 16] = "";
    char why[FAILURE_TEXT_OCTETS + 32] = "";
    char next[48] = "";
    char when[TIME_OCTETS];
    char value[sizeof(since) + sizeof(why) + sizeof(next) + 32];
    if (status->link != SYNC_LINK_OFFLINE)
        return line(content, "state", status_link_name(status->link));
    if (status->offline_since_s != 0)
        snprintf(since, sizeof(since), " since %s", time_text(status->offline_since_s, when));
    if (status->failed_at_s != 0)
        snprintf(why, sizeof(why), " (%s: %s)", fault_name(status->failure.fault),
                 status->failure.text);
    if (status->next_attempt_s > 0)
        snprintf(next, sizeof(next), ", next attempt in %" PRId64 " s", status->next_attempt_s);
    snprintf(value, sizeof(value), "offline%s%s%s", since, why, next);
    return line(content, "state", value);
}

static bool line_mountpoint(struct buffer *content, const struct status_view *view)
{
    char path[1024];
    char value[sizeof(path) + 64];
    text_show(slice_from_string(view->mountpoint), path, sizeof(path));
    snprintf(value, sizeof(value), "%s%s, by process %ld", path,
             view->read_only ? " (read-only)" : "", (long)view->pid);
    return line(content, "mounted on", value);
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
    if (status->link == SYNC_LINK_OFFLINE || status->link == SYNC_LINK_IDLE)
        return line(content, "session age", "");
    return line_age(content, "session age", status->session_age_s);
}

static const char *sizes_text(enum sync_sizes sizes)
{
    switch (sizes) {
    case SYNC_SIZES_UNPROVEN:
        return "not proven yet";
    case SYNC_SIZES_TRUSTED:
        return "exact so far";
    case SYNC_SIZES_WRONG:
        return "wrong: sizes are waited for";
    }
    return "";
}

static bool line_removals(struct buffer *content, const struct sync_status *status)
{
    char value[160];
    if (status->held_count == 0)
        return line_count(content, "pending removals", status->going_count);
    snprintf(value, sizeof(value),
             "%zu, of which %zu wait%s for popfsctl commit: the journal has lost lines",
             status->going_count, status->held_count, status->held_count == 1 ? "s" : "");
    return line(content, "pending removals", value);
}

static bool line_state_folder(struct buffer *content, const struct sync_status *status)
{
    return line(content, "state folder",
                status->state_folder[0] != '\0' ? status->state_folder
                                                : "off, removals are forgotten at the end");
}

static bool line_bin(struct buffer *content, const struct sync_status *status)
{
    char size[SIZE_OCTETS];
    char value[SIZE_OCTETS + 96];
    if (status->bin_folder == NULL)
        return line(content, "bin", "off, deleted messages are not kept");
    snprintf(value, sizeof(value), "%zu deleted message%s, %s, for %" PRId64 " day%s",
             status->bin_count, status->bin_count == 1 ? "" : "s",
             size_text(status->bin_octets, size), status->bin_s / 86400,
             status->bin_s == 86400 ? "" : "s");
    return line(content, "bin", value);
}

static bool line_cache(struct buffer *content, const struct sync_status *status)
{
    char used[SIZE_OCTETS];
    char limit[SIZE_OCTETS + 8] = "";
    char most[SIZE_OCTETS];
    char value[sizeof(status->cache_folder) + sizeof(used) + sizeof(limit) + 64 +
               sizeof(status->cache_failure)];
    if (status->cache_octets_max > 0)
        snprintf(limit, sizeof(limit), " of %s", size_text(status->cache_octets_max, most));
    bool kept = status->cache_folder[0] != '\0';
    snprintf(value, sizeof(value), "%s, %s%s in %zu %s%s%s",
             kept ? status->cache_folder : "off, for this mount alone",
             size_text(status->cache_octets, used), limit, status->cache_body_count,
             status->cache_body_count == 1 ? "body" : "bodies",
             status->cache_failure[0] == '\0' ? "" : "; ", status->cache_failure);
    return line(content, "cache", value);
}

static bool line_work(struct buffer *content, const struct sync_status *status)
{
    char value[96];
    if (status->work == SYNC_WORK_NONE)
        return line(content, "work", "none");
    snprintf(value, sizeof(value), "%s %" PRIu64 " of %" PRIu64, status_work_name(status->work),
             status->work_done, status->work_total);
    return line(content, "work", value);
}

/* ---- the last commit ---- */

static bool line_removal_failure(struct buffer *content, const struct sync_removal_failure *failure)
{
    struct name name;
    if (!name_encode(maildrop_message_uidl(failure->message),
                     maildrop_message_copy(failure->message), &name))
        return false;
    bool from = failure->from[0] != '\0';
    bool subject = failure->subject[0] != '\0';
    const char *what[] = {from || subject ? " (" : "", failure->from, from && subject ? ", " : "",
                          failure->subject, from || subject ? ")" : ""};
    return buffer_printf(content, "  %s: %s%s%s%s%s%s\n", name.data, failure->reason, what[0],
                         what[1], what[2], what[3], what[4]);
}

static bool lines_commit(struct buffer *content, const struct status_view *view)
{
    const struct sync_status *status = view->sync;
    char value[TIME_OCTETS + 96];
    char when[TIME_OCTETS];
    if (status->commit_number == 0)
        return line(content, "last commit", "none");
    snprintf(value, sizeof(value), "%zu deleted, %zu failed, at %s", status->commit_removed_count,
             status->commit_failed_count, time_text(status->committed_at_s, when));
    if (!line(content, "last commit", value))
        return false;
    for (size_t i = 0; i < view->failure_count; i++)
        if (!line_removal_failure(content, &view->failures[i]))
            return false;
    return status->commit_failed_count <= view->failure_count ||
           buffer_printf(content, "  and %zu more: see the log\n",
                         status->commit_failed_count - view->failure_count);
}

static bool line_failure(struct buffer *content, const struct sync_status *status)
{
    if (status->failed_at_s == 0)
        return line(content, "last error", "none");
    char when[TIME_OCTETS];
    char value[TIME_OCTETS + FAILURE_TEXT_OCTETS + 32];
    snprintf(value, sizeof(value), "%s %s: %s", time_text(status->failed_at_s, when),
             fault_name(status->failure.fault), status->failure.text);
    return line(content, "last error", value);
}

/* Of a listing in order there is nothing to say. */
static bool line_oddities(struct buffer *content, const struct sync_status *status)
{
    char value[96];
    snprintf(value, sizeof(value), "%zu messages, %zu rows that name none", status->unshown_count,
             status->skipped_row_count);
    if (status->unshown_count + status->skipped_row_count > 0 && !line(content, "not shown", value))
        return false;
    return !status->listing_is_doubted ||
           line(content, "listing", "in doubt: the server is asked again");
}

bool status_render_text(const struct status_view *view, struct buffer *content)
{
    const struct sync_status *status = view->sync;
    return line_state(content, status) && line_mountpoint(content, view) &&
           line(content, "account", status->account) && line(content, "server", status->server) &&
           line(content, "transport", status->transport) &&
           line(content, "login", status->mechanism) &&
           line(content, "implementation", status->implementation) &&
           line_capabilities(content, status) && line_session(content, status) &&
           line_count(content, "logins", (uint64_t)status->session_count) &&
           line_time(content, "last listing", status->listed_at_s) &&
           line_count(content, "messages", status->message_count) &&
           line_oddities(content, status) && line_octets(content, "size", status->message_octets) &&
           line_removals(content, status) &&
           line_count(content, "waiting", status->waiting_count) &&
           line_octets(content, "received", status->received_octets) &&
           line(content, "sizes", sizes_text(status->sizes)) && line_cache(content, status) &&
           line_state_folder(content, status) && line_bin(content, status) &&
           line_work(content, status) && lines_commit(content, view) &&
           line(content, "sandbox", view->sandbox == NULL ? "" : view->sandbox) &&
           line_failure(content, status);
}
