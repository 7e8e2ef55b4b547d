/* SPDX-License-Identifier: MIT */
/*
 * Whether the server did what it said. A new session's listing tells: Dovecot on a folder that it
 * cannot write says +OK to QUIT and deletes nothing, and so do others (POP3.md 3.3). At the end of
 * the mount that is done only if the last proof failed.
 */
#include "engine.h"

enum {
    PROVE_AGAIN_MS = 1000, /* Courier deletes after it has said that it is done */
};

/* ---- a new listing ---- */

static void judge(struct sync *sync, struct removal *removal)
{
    if (!maildrop_message_is_gone(removal->message)) {
        if (sync->commit.phase == COMMIT_PROVING && removal->asked)
            engine_removal_failed(sync, removal,
                                  "the server said that it was done, but still has it");
        return;
    }
    if (removal->made_up)
        engine_removal_failed(
            sync, removal, "the server has no UIDL, so it cannot be identified in a new session");
    else if (!maildrop_message_is_unique(removal->message))
        engine_removal_failed(sync, removal,
                              "it shares its UIDL, so it cannot be identified in a new session");
    else if (maildrop_message_is_replaced(removal->message))
        engine_removal_failed(sync, removal, "its UIDL names another message now");
    else
        removal->removed = true;
}

static void judge_those(struct sync *sync, bool (*are)(const struct removal *removal))
{
    struct commit *commit = &sync->commit;
    for (size_t i = 0; i < commit->removals_count; i++)
        if (are(&commit->removals[i]))
            judge(sync, &commit->removals[i]);
}

/* What has been taken back in time is another one's business. */
static bool is_wished(const struct removal *removal)
{
    return removal_is_pending(removal) || removal_is_asked(removal);
}

/* A listing lacked it; those that have been heard are over with it. */
static bool is_wished_and_gone(const struct removal *removal)
{
    return is_wished(removal) && maildrop_message_is_gone(removal->message);
}

/* Listed still, although QUIT was answered +OK. */
static bool is_disproved(const struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        if (removal_is_asked(&commit->removals[i]) &&
            !maildrop_message_is_gone(commit->removals[i].message))
            return true;
    return false;
}

/* What the listing says of the +OK that QUIT was answered; of twins it says nothing. */
static void note_proof(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    if (is_disproved(commit))
        sync->quit_is_doubted = true;
    else
        for (size_t i = 0; i < commit->removals_count; i++)
            if (removal_is_asked(&commit->removals[i]) &&
                !removal_is_beyond_proof(&commit->removals[i]))
                sync->quit_is_doubted = false;
}

/* For another session that proves; LOGIN-DELAY may ask for a day. */
static bool may_log_in_soon(const struct sync *sync, int64_t now_ms)
{
    return agenda_login_from_ms(&sync->agenda) <= now_ms + sync->account.timeout_ms;
}

/* What a QUIT was about and is there still can be taken back again. */
static void open_door(struct sync *sync)
{
    if (!sync->quit_is_unheard)
        return;
    sync->quit_is_unheard = false;
    for (size_t i = 0; i < maildrop_snapshot_count(sync->listed); i++)
        maildrop_message_set_leaving(maildrop_snapshot_at(sync->listed, i), false);
}

/* ---- what is believed ---- */

/* For want of a listing these went on the server's word alone. A few of them will do. */
static void note_believed(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    for (size_t i = 0; i < commit->removals_count && sync->believed_count < BELIEVED_MAX; i++)
        if (removal_is_asked(&commit->removals[i]) &&
            !removal_is_beyond_proof(&commit->removals[i]))
            sync->believed[sync->believed_count++] =
                maildrop_message_ref(commit->removals[i].message);
}

static void forget_believed(struct sync *sync)
{
    while (sync->believed_count > 0)
        maildrop_message_unref(sync->believed[--sync->believed_count]);
}

static bool is_same(const struct maildrop_message *a, const struct maildrop_message *b)
{
    return slice_equal(maildrop_message_uidl(a), maildrop_message_uidl(b)) &&
           maildrop_message_listed_octets(a) == maildrop_message_listed_octets(b);
}

/* One that is there again was not deleted, or is another that has its UIDL: the user may tell. */
static void check_believed(struct sync *sync, const struct maildrop_changes *changes)
{
    char uidl[600];
    for (size_t i = 0; i < sync->believed_count * changes->appeared_count; i++) {
        const struct maildrop_message *believed = sync->believed[i % sync->believed_count];
        if (!is_same(believed, changes->appeared[i / sync->believed_count]))
            continue;
        sync->quit_is_doubted = true;
        log_write(LOG_LEVEL_ERROR, "the server said that it had deleted %s, but lists it again",
                  text_escape(maildrop_message_uidl(believed), uidl, sizeof(uidl)));
    }
    forget_believed(sync);
}

enum fault engine_quit_believe(struct sync *sync)
{
    enum fault fault = FAULT_NONE;
    judge_those(sync, is_wished_and_gone);
    if (sync->quit_is_doubted) {
        engine_removals_fail_pending(
            sync, "the server said that it was done, but that was not true before");
    } else {
        note_believed(sync);
        fault = engine_removals_settle(sync, removal_is_asked);
        engine_removals_fail_pending(sync, sync->commit.last.text);
        sync->quit_is_unheard = false;
    }
    engine_commit_conclude(sync, fault);
    return fault;
}

/* ---- the course of a proof ---- */

void engine_commit_listed(struct sync *sync, const struct maildrop_changes *changes, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    check_believed(sync, changes);
    if (commit->phase == COMMIT_PROVING)
        note_proof(sync);
    /* The server may be slow: it gets a second chance. */
    if (commit->phase == COMMIT_PROVING && commit->prove_again_ms == 0 && is_disproved(commit) &&
        may_log_in_soon(sync, now_ms)) {
        commit->prove_again_ms = now_ms + PROVE_AGAIN_MS;
        return;
    }
    open_door(sync);
    size_t removed_count = engine_removals_count(commit, removal_is_removed);
    judge_those(sync, is_wished);
    if (engine_removals_count(commit, removal_is_removed) > removed_count)
        isolate_note_progress(&commit->isolate);
    bool proved = commit->phase == COMMIT_PROVING;
    engine_commit_begin_session(commit);
    if (proved && engine_commit_goes_on(commit))
        commit->phase = COMMIT_DELETING;
    else if (proved)
        engine_commit_conclude(sync, FAULT_NONE);
}

static bool is_asked_and_beyond_proof(const struct removal *removal)
{
    return removal_is_asked(removal) && removal_is_beyond_proof(removal);
}

enum fault engine_quit_accepted(struct sync *sync, int64_t now_ms)
{
    bool doubted = sync->quit_is_doubted;
    bool unseen = sync->phase == ENGINE_STOPPING && !engine_commit_goes_on(&sync->commit);
    if ((unseen && !doubted) || !may_log_in_soon(sync, now_ms))
        return engine_quit_believe(sync);
    sync->commit.phase = COMMIT_PROVING;
    sync->commit.attempts = 0;
    engine_commit_may_wait(sync, now_ms);
    sync->retry_ms = now_ms;
    return doubted ? FAULT_NONE : engine_removals_settle(sync, is_asked_and_beyond_proof);
}

/* The wishes stay: a later listing forgets them, or a later commit tries again. */
static void leave_unproven(struct sync *sync, const struct failure *failure)
{
    struct failure told;
    failure_set(&told, failure->fault,
                "the server said that it was done, but could not be asked again: %s",
                failure->text);
    judge_those(sync, is_wished_and_gone);
    engine_removals_fail_pending(sync, told.text);
    engine_commit_conclude(sync, told.fault);
}

/*
 * The session that was to prove the commit could not be had. Of a LOGIN-DELAY that CAPA had not
 * told, only the end of our patience says that it is longer. After a refusal without a code
 * note_refusal() said when to come back.
 */
void engine_proof_failed(struct sync *sync, const struct failure *failure, enum pop3_code code,
                         int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    bool busy = failure->fault == FAULT_BUSY;
    bool hopeless = failure->fault == FAULT_UNTRUSTED || sync->refused == REFUSED_FOR_GOOD;
    if (code == POP3_CODE_LOGIN_DELAY)
        (void)engine_quit_believe(sync);
    else if (busy || hopeless || ++commit->attempts >= COMMIT_ATTEMPTS_MAX)
        leave_unproven(sync, failure);
    else if (failure->fault != FAULT_LOGIN)
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
}

void engine_commit_done(struct sync *sync)
{
    engine_removals_done(&sync->commit);
    engine_outcome_done(&sync->commit.outcome);
    forget_believed(sync);
}
