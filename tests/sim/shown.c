/* SPDX-License-Identifier: MIT */
#include "shown.h"

#include "world.h"

#include "popfs/mail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct sim_server *server;

void shown_begin(struct sim_server *of)
{
    server = of;
}

/* ---- the listing ---- */

/* Under one number; or, without ids, in LIST. */
static bool is_listed(const struct sim_row *row, bool has_uidls)
{
    if (!has_uidls)
        return row->in_list;
    return row->in_uidl && row->twice == 0;
}

static bool is_called(const struct sim_row *row, bool has_uidls, struct slice name)
{
    char made_up[32];
    if (has_uidls && sim_row_has_id(row))
        return slice_equal(row->uidl, name);
    snprintf(made_up, sizeof(made_up), "msg-%" PRIu32, row->msgnum);
    return slice_equal(slice_from_string(made_up), name);
}

/* What a commit may have taken out since counts only where `or_marked`. */
static size_t listed_count(const struct sim_session_truth *truth, bool has_uidls, struct slice name,
                           bool or_marked)
{
    size_t count = 0;
    for (size_t i = 0; i < truth->row_count; i++) {
        const struct sim_row *row = &truth->rows[i];
        bool stays = row->dele == SIM_DELE_NONE || row->dele == SIM_DELE_REFUSED;
        count += (or_marked || stays) && is_listed(row, has_uidls) &&
                 (name.data == NULL || is_called(row, has_uidls, name));
    }
    return count;
}

static size_t shown_count(struct maildrop_snapshot *snapshot, struct slice name)
{
    size_t count = 0;
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        const struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        count += !maildrop_message_is_gone(message) &&
                 (name.data == NULL || slice_equal(maildrop_message_uidl(message), name));
    }
    return count;
}

/* Mail came between STAT, which said that there is none, and the rows. */
static bool came_behind_stat(uint32_t session)
{
    for (size_t i = 0; i < sim_server_lie_count(server); i++) {
        const struct sim_lie *lie = sim_server_lie(server, i);
        if (lie->session == session && lie->fault == SIM_FAULT_SEES_ARRIVALS)
            return true;
    }
    return false;
}

/* Of this name, or all where it is none. */
static void check_count(const struct sim_session_truth *truth, bool has_uidls,
                        struct maildrop_snapshot *snapshot, struct slice name)
{
    size_t shown = shown_count(snapshot, name);
    size_t least = listed_count(truth, has_uidls, name, false);
    size_t most = listed_count(truth, has_uidls, name, true);
    if ((shown < least || shown > most) && !(shown == 0 && came_behind_stat(truth->number)))
        world_finding("4 other messages are shown than are listed",
                      "session %u: %.*s shown %zu times, listed %zu times", truth->number,
                      (int)name.len, name.data == NULL ? "" : name.data, shown, most);
}

void shown_check_listing(struct sync *sync, uint32_t session)
{
    struct sync_status status;
    struct sim_session_truth truth = sim_server_session(server, session);
    sync_status(sync, &status);
    /* Until another session says the same, an older listing is shown. */
    if (status.listing_is_doubted)
        return;
    struct maildrop_snapshot *snapshot = sync_snapshot(sync);
    check_count(&truth, status.uidl, snapshot, (struct slice){0});
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        const struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        if (!maildrop_message_is_gone(message))
            check_count(&truth, status.uidl, snapshot, maildrop_message_uidl(message));
    }
    maildrop_snapshot_unref(snapshot);
}

/* ---- dates ---- */

static bool has_sent_time(uint64_t serial, int64_t seconds)
{
    int64_t own_s;
    for (const struct sim_sent *sent = sim_server_last_sent(server, serial); sent != NULL;
         sent = sent->previous)
        if (mail_header_time(sent->octets, &own_s) && own_s == seconds)
            return true;
    return false;
}

void shown_check_time(uint64_t serial, const struct maildrop_message *message)
{
    int64_t seconds;
    /* A UIDL of two rows, one of which has none in the same session, names the wrong one. */
    if (sim_server_fired_count(server, SIM_FAULT_UIDL_TWICE) > 0 &&
        sim_server_fired_count(server, SIM_FAULT_UIDL_EMPTY) > 0)
        return;
    if (!maildrop_message_time(message, &seconds) ||
        seconds == maildrop_message_first_seen_ns(message) / 1000000000 ||
        has_sent_time(serial, seconds))
        return;
    /* Until it has been asked, it is taken for the one that had its UIDL before. */
    size_t count = maildrop_message_is_proven(message) ? 0 : sim_server_message_count(server);
    for (uint64_t before = 1; before <= count; before++)
        if (sim_server_has_listed(server, before, maildrop_message_uidl(message)) &&
            has_sent_time(before, seconds))
            return;
    world_finding("4 a date that the message does not have", "serial %" PRIu64 ": %" PRId64, serial,
                  seconds);
}

/* ---- texts ---- */

void shown_check_text(const char *text)
{
    if (strstr(text, SIM_SERVER_SECRET) != NULL || strstr(text, SIM_SERVER_SECRET_BASE64) != NULL)
        world_finding("a secret is shown", "%s", text);
}

void shown_check_status(struct sync *sync)
{
    struct sync_status status;
    struct sync_removal_failure failures[SYNC_FAILURES_MAX];
    sync_status(sync, &status);
    shown_check_text(status.server);
    shown_check_text(status.transport);
    shown_check_text(status.mechanism);
    shown_check_text(status.implementation);
    shown_check_text(status.failure.text);
    size_t count = sync_commit_failures(sync, failures, SYNC_FAILURES_MAX);
    for (size_t i = 0; i < count; i++) {
        shown_check_text(failures[i].reason);
        maildrop_message_unref(failures[i].message);
    }
}
