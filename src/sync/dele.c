/* SPDX-License-Identifier: MIT */
/*
 * The DELEs of a commit: which ones a session is asked for, what their answers mean, and which one
 * a session broke under. How many a session is asked for, isolate.c says.
 */
#include "engine.h"

enum {
    DELES_OWED_MAX = 32768, /* their answers are short */
    DELES_OWED_FIRST = 32,  /* before the server has shown how fast it answers */
    DELES_SLOWER_MOST = 4,  /* times as long as other commands a DELE may take */
    DELES_TURN = 512,       /* sent, before more are made: the server works meanwhile */
    LAST_QUIT_MS = 20000,   /* kept for QUIT, and for the session that proves it */
    SUSPECTS_MS = 20000,    /* an unmount waits no longer for DELEs that have failed before */
};

void engine_commit_begin_session(struct commit *commit)
{
    for (size_t i = 0; i < commit->removals_count; i++)
        commit->removals[i].asked = commit->removals[i].put_off = false;
    commit->dele_next = 0;
    commit->asked_count = commit->answered_count = commit->taken_count = 0;
    commit->put_off_first = SIZE_MAX;
}

/* ---- which DELEs a session is asked for ---- */

static bool waits_for_session(const struct removal *removal)
{
    return removal_is_pending(removal) && !removal->asked;
}

bool engine_commit_goes_on(const struct commit *commit)
{
    return engine_removals_count(commit, waits_for_session) > 0;
}

static bool is_askable(const struct removal *removal)
{
    return waits_for_session(removal) && !removal->put_off;
}

static bool is_unsuspected(const struct removal *removal)
{
    return is_askable(removal) && removal->suspicions == 0;
}

static bool is_suspect(const struct removal *removal)
{
    return is_askable(removal) && removal->suspicions > 0;
}

/* DELEs that a session broke under wait until the others are through, and are asked for alone. */
static void begin_round(struct sync *sync, int64_t now_ms)
{
    struct commit *commit = &sync->commit;
    bool only_suspects = engine_removals_count(commit, is_unsuspected) == 0;
    commit->suspects_are_asked = engine_removals_count(commit, is_suspect) > 0 &&
                                 (commit->isolate.suspects_first || only_suspects);
    if (sync->phase == ENGINE_STOPPING && commit->suspects_are_asked && only_suspects &&
        commit->deadline_ms > now_ms + SUSPECTS_MS)
        commit->deadline_ms = now_ms + SUSPECTS_MS;
}

/* QUIT has to follow in time. A session that begins late still gets half of what time is left. */
static void note_first_dele(struct commit *commit, int64_t now_ms)
{
    int64_t half_ms = now_ms + (commit->deadline_ms - now_ms) / 2;
    int64_t last_ms = commit->deadline_ms - LAST_QUIT_MS;
    commit->asked_from_ms = now_ms;
    commit->ask_until_ms = half_ms > last_ms ? half_ms : last_ms;
}

static bool has_asked_enough(const struct commit *commit, int64_t now_ms)
{
    size_t span = commit->suspects_are_asked ? 1 : commit->isolate.span;
    return commit->asked_count >= span ||
           (commit->asked_count > 0 && now_ms >= commit->ask_until_ms);
}

/* As many as will be answered in time, at the server's pace: a session that runs into the deadline
 * has deleted nothing, and so would each one after it. */
static size_t bearable_count(const struct commit *commit, int64_t now_ms)
{
    uint64_t spent_ms = (uint64_t)(now_ms - commit->asked_from_ms) + 1;
    uint64_t left_ms = (uint64_t)(commit->ask_until_ms - now_ms);
    if (commit->answered_count == 0)
        return DELES_OWED_FIRST;
    uint64_t count = commit->answered_count * left_ms / spent_ms;
    return count < DELES_OWED_MAX ? (size_t)count : DELES_OWED_MAX;
}

/* Before the first DELE is answered, the pace of the other commands tells: to wait for the answer
 * would cost a round trip. A server that is much slower at DELE is found out at the deadline. */
static size_t askable_count(const struct sync *sync, int64_t now_ms)
{
    const struct commit *commit = &sync->commit;
    if (commit->answered_count > 0 || sync->deles_are_slow)
        return bearable_count(commit, now_ms);
    uint64_t count = pace_count_in(&sync->pace, commit->ask_until_ms - now_ms) / DELES_SLOWER_MOST;
    if (count < DELES_OWED_FIRST)
        return DELES_OWED_FIRST;
    return count < DELES_OWED_MAX ? (size_t)count : DELES_OWED_MAX;
}

static size_t owed_count(const struct commit *commit)
{
    return commit->asked_count - commit->answered_count;
}

void engine_deles_note_deadline(struct sync *sync)
{
    if (owed_count(&sync->commit) > DELES_OWED_FIRST)
        engine_index_slow_deles(sync);
}

/* While the mount is served, the first DELE follows no body that is still arriving: at the deadline
 * the link of a session that owes a DELE is dropped, and the body would be lost with it. */
static bool must_wait(const struct sync *sync, int64_t now_ms)
{
    const struct commit *commit = &sync->commit;
    if (sync->jobs.in_flight.count == 0 || !link_may_issue(sync->link))
        return !link_may_issue(sync->link);
    if (commit->asked_count == 0)
        return commit->isolate.careful || sync->phase == ENGINE_SERVE;
    /* Headers that are owed in front of the DELEs say nothing about the pace of DELE. */
    return commit->isolate.careful || owed_count(commit) >= askable_count(sync, now_ms);
}

/* DELE only where this very session's listing proves which message it is. */
static const char *why_not(const struct sync *sync, const struct removal *removal)
{
    if (sync->account.read_only)
        return "the mount is read-only";
    if (engine_msgnum(sync, removal->message) == 0)
        return "it is not in the listing";
    if (engine_need_of(removal->message) != EVIDENCE_NOT_NEEDED)
        return removal_not_proven;
    return NULL;
}

enum fault engine_deles_send(struct sync *sync, int64_t now_ms, bool *ret_all)
{
    struct commit *commit = &sync->commit;
    size_t turn_count = 0;
    *ret_all = false;
    if (commit->dele_next == 0)
        begin_round(sync, now_ms);
    for (; commit->dele_next < commit->removals_count; commit->dele_next++) {
        struct removal *removal = &commit->removals[commit->dele_next];
        if (has_asked_enough(commit, now_ms))
            break;
        if (!(commit->suspects_are_asked ? is_suspect(removal) : is_unsuspected(removal)))
            continue;
        const char *why = why_not(sync, removal);
        if (why != NULL) {
            engine_removal_failed(sync, removal, why);
            continue;
        }
        if (must_wait(sync, now_ms))
            return FAULT_NONE;
        if (turn_count++ == DELES_TURN) {
            sync->looks_on = true;
            return FAULT_NONE;
        }
        if (commit->asked_count == 0)
            note_first_dele(commit, now_ms);
        enum fault fault =
            engine_commit_ask(sync, JOB_DELE, removal->message, commit->dele_next, now_ms);
        if (fault != FAULT_NONE)
            return fault;
        removal->asked = true;
        commit->asked_count++;
        sync->dele_sent = true;
    }
    *ret_all = true;
    return FAULT_NONE;
}

/* ---- what they are answered ---- */

/* The session took another DELE after them: no limit of the session is why they were refused. */
static void fail_put_off(struct sync *sync, size_t end)
{
    struct commit *commit = &sync->commit;
    for (size_t i = commit->put_off_first; i < end; i++) {
        if (commit->removals[i].put_off && removal_is_pending(&commit->removals[i]))
            engine_removal_failed(sync, &commit->removals[i], commit->last.text);
        commit->removals[i].put_off = false;
    }
    commit->put_off_first = SIZE_MAX;
}

static void dele_taken(struct sync *sync, struct removal *removal, size_t place)
{
    struct commit *commit = &sync->commit;
    commit->taken_count++;
    sync->dele_was_taken = true;
    fail_put_off(sync, place);
    if (removal->broke_early && isolate_acquit(&commit->isolate))
        engine_pipelining_is_to_blame(sync);
    removal->broke_early = false;
}

/* A refusal before the session has taken anything is about the message. After that it may be the
 * session's limit, so that the message is asked for in another session. */
static void dele_refused(struct sync *sync, struct removal *removal, size_t place, const char *why)
{
    struct commit *commit = &sync->commit;
    if (!sync->dele_was_taken) {
        engine_removal_failed(sync, removal, why);
        return;
    }
    removal->asked = false;
    removal->put_off = true;
    failure_set(&commit->last, FAULT_REFUSED, "%s", why);
    if (commit->put_off_first == SIZE_MAX)
        commit->put_off_first = place;
}

void engine_dele_answered(struct sync *sync, const struct job *job, const struct pop3_event *event)
{
    char text[256];
    struct removal *removal = &sync->commit.removals[job->removal];
    sync->commit.answered_count++;
    if (event->ok)
        dele_taken(sync, removal, job->removal);
    else
        dele_refused(sync, removal, job->removal,
                     event->text.len == 0 ? "the server refused"
                                          : text_escape(event->text, text, sizeof(text)));
}

/* ---- what a session broke under ---- */

/* The mount remembers it, so that a later commit asks for this message last and alone, once. */
static void suspect(struct sync *sync, struct removal *removal, const char *why)
{
    outages_note(&sync->dele_outages, maildrop_message_id(removal->message));
    if (++removal->suspicions >= ISOLATE_SUSPICIONS_MAX && removal_is_pending(removal))
        engine_removal_failed(sync, removal, why);
}

void engine_commit_note_break(struct sync *sync, const struct failure *failure)
{
    struct commit *commit = &sync->commit;
    const struct job *first = sync->jobs.in_flight.first;
    bool at_dele = first != NULL && first->kind == JOB_DELE;
    bool at_quit = commit->phase == COMMIT_QUITTING && (first == NULL || first->kind == JOB_QUIT);
    if (!at_dele && !at_quit)
        return;
    struct isolate_break how = {.taken_count = commit->taken_count,
                                .at_quit = at_quit,
                                .pipelined = engine_has_pipelined(sync)};
    commit->broke = true;
    commit->last = *failure;
    isolate_note_break(&commit->isolate, &how);
    if (at_dele) {
        struct removal *removal = &commit->removals[first->removal];
        removal->broke_early = how.pipelined && how.taken_count < 2;
        suspect(sync, removal, failure->text);
        return;
    }
    for (size_t i = 0; commit->taken_count == 1 && i < commit->removals_count; i++)
        if (removal_is_asked(&commit->removals[i]))
            suspect(sync, &commit->removals[i], failure->text);
}
