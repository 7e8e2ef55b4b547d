/* SPDX-License-Identifier: MIT */
/* What a commit is about, and what becomes of each: gone, or failed and why. */
#include "engine.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

const char removal_not_proven[] =
    "its header cannot be compared with what it was when it was removed, so it stays; to remove "
    "what is there now, move it out of .popfs/trash and rm it again";

const char removal_listed_anew[] =
    "its UIDL is not listed any more, but what may be this message is, under another one";

/* ---- one removal ---- */

bool removal_is_going(const struct removal *removal)
{
    return maildrop_message_is_going(removal->message);
}

static bool is_undecided(const struct removal *removal)
{
    return !removal->failed && !removal->removed;
}

bool removal_is_pending(const struct removal *removal)
{
    return is_undecided(removal) && removal_is_going(removal);
}

bool removal_is_asked(const struct removal *removal)
{
    return removal->asked && is_undecided(removal);
}

bool removal_is_beyond_proof(const struct removal *removal)
{
    return removal->made_up || !maildrop_message_is_unique(removal->message);
}

bool removal_is_removed(const struct removal *removal)
{
    return removal->removed;
}

static bool has_failed_for_good(const struct removal *removal)
{
    return removal->failed && maildrop_message_is_gone(removal->message);
}

static bool has_failed_for_this_mount(const struct removal *removal)
{
    return removal->failed && !maildrop_message_is_gone(removal->message) &&
           removal_is_beyond_proof(removal);
}

/* ---- all of them ---- */

size_t engine_removals_count(const struct commit *commit,
                             bool (*are)(const struct removal *removal))
{
    size_t count = 0;
    for (size_t i = 0; i < commit->removals_count; i++)
        count += are(&commit->removals[i]);
    return count;
}

void engine_removals_done(struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        maildrop_message_unref(commit->removals[i].message);
    free(commit->removals);
    commit->removals = NULL;
    commit->removals_count = 0;
}

static bool is_to_go(const struct maildrop_message *message)
{
    return maildrop_message_is_going(message) && !maildrop_message_is_held(message);
}

enum fault engine_removals_collect(struct sync *sync)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    size_t count = maildrop_snapshot_count(snapshot);
    size_t going = 0;
    uint64_t known_id =
        count == 0 ? 0 : maildrop_message_id(maildrop_snapshot_at(snapshot, count - 1));
    for (size_t i = 0; i < count; i++)
        going += is_to_go(maildrop_snapshot_at(snapshot, i));
    struct removal *removals = calloc(going + 1, sizeof(removals[0]));
    size_t collected = 0;
    for (size_t i = 0; removals != NULL && i < count && collected < going; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        if (is_to_go(message))
            removals[collected++] = (struct removal){
                .message = maildrop_message_ref(message),
                .made_up = atomic_load(&sync->made_up),
                .suspicions = outages_of(&sync->dele_outages, maildrop_message_id(message))};
    }
    maildrop_snapshot_unref(snapshot);
    if (removals == NULL)
        return FAULT_MEMORY;
    sync->commit.removals = removals;
    sync->commit.removals_count = collected;
    sync->commit.asks_listed = sync->commit.asks_new = false;
    sync->commit.known_id = known_id;
    engine_prove_anew(&sync->commit);
    return FAULT_NONE;
}

/* NULL if the commit is not about it, or has heard of it already. */
static struct removal *find(const struct commit *commit, const struct maildrop_message *message)
{
    uint64_t id = maildrop_message_id(message);
    size_t low = 0, high = commit->removals_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (maildrop_message_id(commit->removals[middle].message) < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < commit->removals_count && commit->removals[low].message == message &&
                 is_undecided(&commit->removals[low]);
    return found ? &commit->removals[low] : NULL;
}

bool engine_commit_hears_of(const struct sync *sync, const struct maildrop_message *message)
{
    return find(&sync->commit, message) != NULL;
}

/* ---- failures ---- */

static void keep_failure(struct sync *sync, struct removal *removal, const char *why)
{
    struct commit_outcome *outcome = &sync->commit.outcome;
    struct store_summary summary;
    if (outcome->kept_count == SYNC_FAILURES_MAX)
        return;
    struct sync_removal_failure *kept = &outcome->failures[outcome->kept_count++];
    kept->message = maildrop_message_ref(removal->message);
    store_summary(sync->store, maildrop_message_id(removal->message), &summary);
    snprintf(kept->reason, sizeof(kept->reason), "%s", why);
    snprintf(kept->from, sizeof(kept->from), "%s", summary.from);
    snprintf(kept->subject, sizeof(kept->subject), "%s", summary.subject);
}

void engine_removal_failed(struct sync *sync, struct removal *removal, const char *why)
{
    char uidl[600];
    struct commit_outcome *outcome = &sync->commit.outcome;
    removal->failed = true;
    if (why == removal_not_proven)
        maildrop_message_note_unprovable(removal->message);
    outcome->failed_count++;
    text_escape(maildrop_message_uidl(removal->message), uidl, sizeof(uidl));
    log_write(LOG_LEVEL_ERROR, "could not delete %s: %s", uidl, why);
    keep_failure(sync, removal, why);
}

void engine_removals_fail_pending(struct sync *sync, const char *why)
{
    if (why[0] == '\0')
        why = "the server took too long";
    for (size_t i = 0; i < sync->commit.removals_count; i++)
        if (removal_is_pending(&sync->commit.removals[i]))
            engine_removal_failed(sync, &sync->commit.removals[i], why);
}

void engine_removal_is_another(struct sync *sync, const struct maildrop_message *message,
                               const char *why)
{
    struct removal *removal = find(&sync->commit, message);
    if (removal == NULL)
        return;
    if (sync->commit.phase == COMMIT_PROVING && removal->asked)
        removal->given_away = true;
    else if (removal_is_going(removal))
        engine_removal_failed(sync, removal, why);
}

void engine_commit_found(struct sync *sync, const struct maildrop_message *found)
{
    struct evidence evidence, gone;
    if (!maildrop_message_evidence(found, &evidence))
        return;
    for (size_t i = 0; i < sync->commit.removals_count; i++) {
        struct removal *removal = &sync->commit.removals[i];
        if (!removal->removed || !maildrop_message_evidence(removal->message, &gone) ||
            !evidence_is_equal(&evidence, &gone))
            continue;
        removal->removed = false;
        engine_removal_failed(sync, removal, removal_listed_anew);
    }
}

void engine_outcome_done(struct commit_outcome *outcome)
{
    for (size_t i = 0; i < outcome->kept_count; i++)
        maildrop_message_unref(outcome->failures[i].message);
    *outcome = (struct commit_outcome){0};
}

/* Where sync_status() and sync_commit_failures() see it. */
static void publish_outcome(struct sync *sync)
{
    struct commit_outcome old;
    sync->commit.outcome.at_s = sync->turn_wall_ns / 1000000000;
    pthread_mutex_lock(&sync->lock);
    old = sync->outcome;
    sync->outcome = sync->commit.outcome;
    sync->outcome.number = old.number + 1;
    pthread_mutex_unlock(&sync->lock);
    sync->commit.outcome = (struct commit_outcome){0};
    engine_outcome_done(&old);
    sync->status_is_stale = true;
}

/* ---- the end of a commit ---- */

/* What failed in a commit that the end of the mount came upon has been tried again, unless it could
 * not be. */
static void note_for_report(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    struct sync_report *report = &sync->report;
    size_t for_good = sync->failed_for_good_count;
    report->removed_count += commit->outcome.removed_count;
    report->failed_count = for_good + commit->outcome.failed_count;
    report->forgotten_count = for_good + engine_removals_count(commit, has_failed_for_good) +
                              engine_removals_count(commit, has_failed_for_this_mount);
    sync->failed_for_good_count += engine_removals_count(commit, has_failed_for_good);
}

void engine_commit_conclude(struct sync *sync, enum fault fault)
{
    struct commit *commit = &sync->commit;
    commit->outcome.removed_count = engine_removals_count(commit, removal_is_removed);
    if (fault == FAULT_NONE && commit->outcome.failed_count > 0)
        fault = FAULT_REFUSED;
    if (commit->outcome.removed_count > 0)
        log_write(LOG_LEVEL_INFO, "deleted %zu message%s", commit->outcome.removed_count,
                  commit->outcome.removed_count == 1 ? "" : "s");
    if (sync->phase == ENGINE_STOPPING)
        note_for_report(sync);
    commit->phase = COMMIT_NONE;
    sync->looks_on = true;                        /* what waited for the end of it goes on */
    sync->wants_listing |= sync->quit_is_unheard; /* for what cannot be taken back till then */
    engine_bin_drop_ahead(sync);
    engine_removals_done(commit);
    publish_outcome(sync);
    engine_index_flush(sync);
    waiters_answer(&sync->commit_served, fault);
}

enum fault engine_removals_settle(struct sync *sync, bool (*is_due)(const struct removal *removal))
{
    struct commit *commit = &sync->commit;
    CLEANUP_FREE struct maildrop_message **gone =
        calloc(commit->removals_count + 1, sizeof(gone[0]));
    struct maildrop_changes changes = {.vanished = gone};
    if (gone == NULL)
        return FAULT_MEMORY;
    for (size_t i = 0; i < commit->removals_count; i++) {
        struct removal *removal = &commit->removals[i];
        if (!is_due(removal))
            continue;
        removal->removed = true;
        gone[changes.vanished_count++] = removal->message;
    }
    if (maildrop_forget(sync->maildrop, gone, changes.vanished_count) != FAULT_NONE)
        return FAULT_MEMORY;
    engine_note_vanished(sync, &changes);
    engine_index_changes(sync, &changes);
    engine_publish_snapshot(sync, &changes);
    return FAULT_NONE;
}
