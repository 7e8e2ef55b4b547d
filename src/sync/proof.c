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

static const char TOO_EARLY[] = "the server wants a longer pause between two logins";

/* ---- a new listing ---- */

static void judge(struct sync *sync, struct removal *removal)
{
    if (!maildrop_message_is_gone(removal->message)) {
        if (sync->commit.phase == COMMIT_PROVING && removal->asked)
            engine_removal_failed(
                sync, removal,
                maildrop_message_is_proven(removal->message)
                    ? "the server said that it was done, but still has it"
                    : "the server said that it was done, but lists its UIDL, and its header cannot "
                      "be had");
        return;
    }
    if (sync->commit.asks_new && engine_is_listed_anew(sync, removal->message))
        engine_removal_failed(sync, removal, removal_listed_anew);
    else if (removal->given_away)
        removal->removed = true;
    else if (removal->made_up)
        engine_removal_failed(
            sync, removal, "the server has no UIDL, so it cannot be identified in a new session");
    else if (!maildrop_message_is_unique(removal->message))
        engine_removal_failed(
            sync, removal,
            "it has no UIDL of its own, so it cannot be identified in a new session");
    else if (maildrop_message_is_replaced(removal->message))
        engine_removal_failed(sync, removal, "its UIDL names another message now");
    else if (sync->uidls_are_new)
        engine_removal_failed(sync, removal,
                              "the server has given most messages new UIDLs, so that it cannot be "
                              "identified any more");
    else if (removal->asked ? sync->unsure_more : sync->unsure_count > 0)
        engine_removal_failed(sync, removal,
                              "the server lists messages without UIDLs, and it may be one of them");
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

static bool is_listed_again(const struct removal *removal)
{
    return removal_is_asked(removal) && !maildrop_message_is_gone(removal->message);
}

static bool is_given_away(const struct removal *removal)
{
    return removal_is_asked(removal) && removal->given_away;
}

/* There still, although QUIT was answered +OK: its UIDL alone would not prove that. */
static bool is_disproved(const struct removal *removal)
{
    return is_listed_again(removal) && maildrop_message_is_proven(removal->message);
}

/* What the listing says of the +OK that QUIT was answered; of twins it says nothing. */
static void note_proof(struct sync *sync)
{
    const struct commit *commit = &sync->commit;
    if (engine_removals_count(commit, is_disproved) > 0)
        sync->quit_is_doubted = true;
    else
        for (size_t i = 0; i < commit->removals_count; i++)
            if (removal_is_asked(&commit->removals[i]) && !is_listed_again(&commit->removals[i]) &&
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
                (struct believed){.message = maildrop_message_ref(commit->removals[i].message)};
}

static void forget_believed(struct sync *sync, size_t i)
{
    maildrop_message_unref(sync->believed[i].message);
    maildrop_message_unref(sync->believed[i].suspect);
    sync->believed[i] = sync->believed[--sync->believed_count];
}

static void say_listed_again(struct sync *sync, const struct maildrop_message *believed,
                             bool is_proven)
{
    char uidl[600];
    sync->quit_is_doubted |= is_proven;
    log_write(is_proven ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
              "the server said that it had deleted %s, but lists it again%s",
              text_escape(maildrop_message_uidl(believed), uidl, sizeof(uidl)),
              is_proven ? "" : ", or another message by that UIDL: nothing tells which");
}

/* One that is there again was not deleted, or is another that has its UIDL. */
void engine_check_believed(struct sync *sync, const struct maildrop_message *message)
{
    struct evidence old, new;
    for (size_t i = sync->believed_count; i-- > 0;) {
        const struct believed *believed = &sync->believed[i];
        if (believed->suspect != message || !maildrop_message_evidence(message, &new))
            continue;
        (void)maildrop_message_evidence(believed->message, &old);
        if (!evidence_is_of_two(&old, &new))
            say_listed_again(sync, believed->message, evidence_is_equal(&old, &new));
        forget_believed(sync, i);
    }
}

static struct maildrop_message *find_uidl(const struct maildrop_changes *changes, struct slice uidl)
{
    for (size_t i = 0; i < changes->appeared_count; i++)
        if (slice_equal(maildrop_message_uidl(changes->appeared[i]), uidl))
            return changes->appeared[i];
    return NULL;
}

/* Their headers are asked for because they are new; engine_check_believed() tells then. */
static void suspect_believed(struct sync *sync, const struct maildrop_changes *changes)
{
    for (size_t i = sync->believed_count; i-- > 0;) {
        struct believed *believed = &sync->believed[i];
        struct maildrop_message *listed = NULL;
        if (believed->suspect == NULL)
            listed = find_uidl(changes, maildrop_message_uidl(believed->message));
        if (listed != NULL)
            believed->suspect = maildrop_message_ref(listed);
        else if (believed->suspect == NULL || maildrop_message_is_gone(believed->suspect))
            forget_believed(sync, i);
    }
}

/* QUIT was about these, and what became of them is not known. */
static void fail_asked(struct sync *sync, const char *why)
{
    struct commit *commit = &sync->commit;
    for (size_t i = 0; i < commit->removals_count; i++)
        if (removal_is_asked(&commit->removals[i]) && removal_is_pending(&commit->removals[i]))
            engine_removal_failed(sync, &commit->removals[i], why);
}

enum fault engine_quit_believe(struct sync *sync)
{
    enum fault fault = FAULT_NONE;
    const char *why = sync->commit.last.text; /* the others wait for another session */
    judge_those(sync, is_wished_and_gone);
    if (sync->quit_is_doubted) {
        fail_asked(sync, "the server said that it was done, but that was not true before");
    } else {
        note_believed(sync);
        fault = engine_removals_settle(sync, removal_is_asked);
        sync->quit_is_unheard = false;
    }
    engine_removals_fail_pending(sync, why[0] != '\0' ? why : TOO_EARLY);
    engine_commit_conclude(sync, fault);
    return fault;
}

/* ---- the course of a proof ---- */

/* What is listed again, if anything, has been proven as far as it can be. */
static void listing_tells(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    if (commit->phase == COMMIT_PROVING)
        note_proof(sync);
    /* The server may be slow: it gets a second chance. */
    if (commit->phase == COMMIT_PROVING && commit->prove_again_ms == 0 &&
        engine_removals_count(commit, is_listed_again) > 0 && may_log_in_soon(sync, now_ms)) {
        commit->prove_again_ms = now_ms + PROVE_AGAIN_MS;
        return;
    }
    open_door(sync);
    judge_those(sync, is_wished);
    size_t removed_count = engine_removals_count(commit, removal_is_removed);
    if (removed_count > commit->removed_count)
        isolate_note_progress(&commit->isolate);
    commit->removed_count = removed_count;
    bool proved = commit->phase == COMMIT_PROVING;
    engine_commit_begin_session(commit);
    if (proved && engine_commit_goes_on(commit))
        commit->phase = COMMIT_DELETING;
    else if (proved)
        engine_commit_conclude(sync, FAULT_NONE);
}

void engine_commit_listed(struct sync *sync, const struct maildrop_changes *changes, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    suspect_believed(sync, changes);
    engine_prove_anew(commit);
    commit->asks_new |= sync->some_went && engine_removals_count(commit, is_wished_and_gone) > 0;
    commit->asks_listed = commit->asks_new || (commit->phase == COMMIT_PROVING &&
                                               engine_removals_count(commit, is_listed_again) > 0);
    sync->looks_on |= commit->asks_listed;
    if (!commit->asks_listed)
        listing_tells(sync, now_ms);
}

enum fault engine_commit_prove(struct sync *sync, int64_t now_ms)
{
    bool done = true;
    enum fault fault = FAULT_NONE;
    struct commit *commit = &sync->commit;
    if (commit->phase == COMMIT_PROVING)
        fault = engine_prove_asked(sync, now_ms, &done);
    if (fault != FAULT_NONE || !done)
        return fault;
    commit->asks_new |= engine_removals_count(commit, is_given_away) > 0;
    if (commit->asks_new)
        fault = engine_gather_new(sync, now_ms, &done);
    if (fault != FAULT_NONE || !done)
        return fault;
    commit->asks_listed = false;
    engine_prove_anew(commit);
    listing_tells(sync, now_ms);
    sync->looks_on = true; /* the next DELEs wait for nothing */
    return FAULT_NONE;
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
    sync->commit.prove_again_ms = 0;
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
    fail_asked(sync, told.text);
    engine_removals_fail_pending(sync, failure->text);
    engine_commit_conclude(sync, told.fault);
}

void engine_proof_gives_up(struct sync *sync, const char *why)
{
    struct failure failure;
    failure_set(&failure, FAULT_TIMEOUT, "%s", why[0] != '\0' ? why : "the server took too long");
    sync->commit.last = failure;
    if (sync->phase == ENGINE_STOPPING && !sync->quit_is_doubted)
        (void)engine_quit_believe(sync);
    else
        leave_unproven(sync, &failure);
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
    bool hopeless =
        (failure->fault == FAULT_UNTRUSTED && !sync->fetching) || sync->refused == REFUSED_FOR_GOOD;
    if (code == POP3_CODE_LOGIN_DELAY)
        (void)engine_quit_believe(sync);
    else if (busy || hopeless || ++commit->attempts >= COMMIT_ATTEMPTS_MAX)
        leave_unproven(sync, failure);
    else if (failure->fault != FAULT_LOGIN)
        sync->retry_ms = now_ms + COMMIT_RETRY_MS;
}

void engine_commit_done(struct sync *sync)
{
    engine_bin_drop_ahead(sync);
    engine_removals_done(&sync->commit);
    engine_outcome_done(&sync->commit.outcome);
    while (sync->believed_count > 0)
        forget_believed(sync, 0);
}
