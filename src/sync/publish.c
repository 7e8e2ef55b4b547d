/* SPDX-License-Identifier: MIT */
/* What others see of the thread's work: the status, the newest listing, and what is told the
 * listener. */
#include "engine.h"

#include <string.h>

#include <stdatomic.h>
#include <stdio.h>

/* ---- the status ---- */

static void describe_session(struct sync *sync, struct sync_status *status)
{
    const struct pop3_session *session = link_session(sync->link);
    const struct pop3_capabilities *has = pop3_session_capabilities(session);
    status->link = SYNC_LINK_ONLINE;
    status->pipelining = has->pipelining && sync->account.pipeline;
    status->top = engine_has_top(sync);
    status->uidl = !atomic_load(&sync->made_up);
    status->utf8 = has->utf8;
    snprintf(status->transport, sizeof(status->transport), "%s",
             net_connection_describe(link_connection(sync->link)));
    snprintf(status->mechanism, sizeof(status->mechanism), "%s", pop3_session_mechanism(session));
    snprintf(status->implementation, sizeof(status->implementation), "%s", has->implementation);
}

static void describe(struct sync *sync, struct sync_status *status)
{
    *status = (struct sync_status){
        .message_count = sync->status.message_count,
        .message_octets = sync->status.message_octets,
        .session_count = sync->session_count,
        .failure = sync->shown_failure,
        .failed_at_s = sync->shown_failure_wall_s,
    };
    text_show(slice_from_string(sync->account.shown), status->account, sizeof(status->account));
    memcpy(status->cache_failure, sync->cache_failure, sizeof(status->cache_failure));
    snprintf(status->server, sizeof(status->server), "%s port %u", sync->account.host,
             (unsigned)sync->account.port);
    if (sync->link != NULL &&
        (sync->session_phase == SESSION_ONLINE || sync->session_phase == SESSION_QUITTING))
        describe_session(sync, status);
    else if (sync->link != NULL)
        status->link = SYNC_LINK_CONNECTING;
    else if (sync->offline_since_s == 0)
        status->link = SYNC_LINK_IDLE;
}

static void describe_work(const struct sync *sync, struct sync_status *status)
{
    status->work = SYNC_WORK_NONE;
    status->work_done = status->work_total = 0;
    if (sync->commit.phase != COMMIT_NONE) {
        status->work = SYNC_WORK_COMMIT;
        status->work_total = sync->commit.removals_count;
        status->work_done = sync->commit.dele_next - sync->jobs.in_flight.count;
        if (sync->commit.dele_next < sync->jobs.in_flight.count)
            status->work_done = 0;
    } else if (sync->prefetch_wanted && sync->listed != NULL && !sync->prefetch_is_full &&
               sync->prefetch_next < maildrop_snapshot_count(sync->listed)) {
        status->work = SYNC_WORK_PREFETCH;
        status->work_total = maildrop_snapshot_count(sync->listed);
        status->work_done = sync->prefetch_next;
    } else if (sync->verify_all != NULL) {
        status->work = SYNC_WORK_VERIFY;
        status->work_total = maildrop_snapshot_count(sync->verify_all);
        status->work_done = sync->verify_next;
    } else if (sync->wants_listing) {
        status->work = SYNC_WORK_REFRESH;
        status->work_total = sync->listing == NULL ? 0 : sync->listing_total;
        status->work_done = sync->listing == NULL ? 0 : listing_uidl_count(sync->listing);
    }
}

/* What changes all the time. */
static void describe_figures(struct sync *sync, struct sync_status *status, int64_t now_ms)
{
    struct store_usage usage;
    bool online = sync->link != NULL && sync->session_phase == SESSION_ONLINE;
    int64_t connect_ms = engine_connect_at_ms(sync);
    store_usage(sync->store, &usage);
    status->cache_octets = usage.octets;
    status->cache_octets_max = usage.octets_max;
    status->cache_body_count = usage.body_count;
    status->bin_folder = usage.bin_folder;
    status->bin_octets = usage.bin_octets;
    status->bin_octets_max = usage.bin_octets_max;
    status->bin_count = usage.bin_count;
    status->bin_s = sync->account.bin_s;
    status->waiting_count =
        sync->jobs.waiting_count + sync->refresh_waiters.count + sync->refresh_served.count +
        sync->commit_waiters.count + sync->commit_served.count + sync->prefetch_waiters.count +
        sync->check_waiters.count + sync->verify_waiters.count + sync->verify_all_waiters.count;
    status->verified_count = sync->verified_count;
    status->damaged_count = sync->damages.count;
    status->received_octets = sync->received_before;
    if (sync->link != NULL)
        status->received_octets += link_received_octets(sync->link);
    status->session_age_s = online ? (now_ms - sync->session_started_ms) / 1000 : 0;
    status->offline_since_s = sync->offline_since_s;
    status->next_attempt_s = connect_ms > now_ms ? (connect_ms - now_ms + 999) / 1000 : 0;
    status->listed_at_s = sync->listed_wall_s;
    status->unshown_count = sync->unshown_count;
    status->skipped_row_count = sync->skipped_rows_count;
    status->listing_is_doubted = sync->doubtful_count > 0;
    status->sizes = SYNC_SIZES_UNPROVEN;
    if (sync->list_is_wrong)
        status->sizes = SYNC_SIZES_WRONG;
    else if (sync->truths_count > 0)
        status->sizes = SYNC_SIZES_TRUSTED;
    describe_work(sync, status);
}

static void describe_folders(const struct sync *sync, struct sync_status *status)
{
    struct store_usage usage;
    const char *state = store_state_path(sync->store);
    if (state != NULL)
        text_escape(slice_from_string(state), status->state_folder, sizeof(status->state_folder));
    store_usage(sync->store, &usage);
    if (!sync->account.cache_off)
        text_show(slice_from_string(usage.folder), status->cache_folder,
                  sizeof(status->cache_folder));
}

void engine_publish_status(struct sync *sync, int64_t now_ms)
{
    struct sync_status status;
    bool stale = sync->status_is_stale;
    if (stale) {
        describe(sync, &status);
        describe_folders(sync, &status);
    } else {
        /* Nobody else writes it. */
        status = sync->status;
    }
    describe_figures(sync, &status, now_ms);
    pthread_mutex_lock(&sync->lock);
    sync->status = status;
    pthread_mutex_unlock(&sync->lock);
    sync->status_is_stale = false;
}

/* ---- the maildrop ---- */

void engine_tell(struct sync *sync, const struct maildrop_changes *changes)
{
    pthread_mutex_lock(&sync->listener_lock);
    if (sync->listener.changed != NULL && changes->appeared_count + changes->vanished_count > 0)
        sync->listener.changed(sync->listener.context, changes);
    else
        maildrop_changes_take_effect(changes);
    pthread_mutex_unlock(&sync->listener_lock);
}

void engine_publish_snapshot(struct sync *sync, const struct maildrop_changes *changes)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    uint64_t octets = 0;
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++)
        octets += maildrop_message_octets(maildrop_snapshot_at(snapshot, i), NULL);
    pthread_mutex_lock(&sync->lock);
    struct maildrop_snapshot *old = sync->snapshot;
    sync->snapshot = snapshot;
    sync->status.message_count = maildrop_snapshot_count(snapshot);
    sync->status.message_octets = octets;
    pthread_mutex_unlock(&sync->lock);
    maildrop_snapshot_unref(old);
    engine_tell(sync, changes);
}

void engine_publish_listed_sizes(struct sync *sync, const struct maildrop_changes *changes)
{
    bool exact;
    for (size_t i = 0; i < changes->relisted_count; i++) {
        maildrop_message_octets(changes->relisted[i], &exact);
        if (!exact)
            engine_publish_size(sync, changes->relisted[i]);
    }
}

void engine_publish_size(struct sync *sync, struct maildrop_message *message)
{
    pthread_mutex_lock(&sync->listener_lock);
    if (sync->listener.resized != NULL)
        sync->listener.resized(sync->listener.context, message);
    pthread_mutex_unlock(&sync->listener_lock);
}
