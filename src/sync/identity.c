/* SPDX-License-Identifier: MIT */
/*
 * Whether a UIDL still names the message that it named before (POP3.md 29). evidence.c decides;
 * here headers are asked for and compared, and a message that is another one gets a new id.
 *
 * Asked for lazily, so that the common course costs nothing: a kept body is proven at its next open
 * if its row of LIST or its place has changed, or once the server has been caught; eight of them in
 * each session whatever happens. A pending removal has its evidence fetched before the session ends
 * that saw it, and is proven before its DELE in any other one.
 */
#include "engine.h"

#include "evidence.h"
#include "header.h"
#include "popfs/mail.h"

#include <stdatomic.h>
#include <stdio.h>

enum {
    SAMPLES_COUNT = 8,
    SAMPLED_OCTETS_MAX = 65536, /* of a body that is fetched again for its header alone */
    TEXT_OCTETS = 70,
    DESCRIPTION_OCTETS = 160,
    NEWER_ASKED_MAX = 256, /* so many do not come while a commit lasts: they have new UIDLs */
};

/* ---- what is to be proven ---- */

bool engine_must_prove(const struct sync *sync, const struct maildrop_message *message)
{
    return !maildrop_message_is_proven(message) &&
           (maildrop_message_is_doubted(message) ||
            atomic_load_explicit(&sync->uidl_is_reused, memory_order_relaxed));
}

static bool has_evidence(const struct maildrop_message *message)
{
    struct evidence evidence;
    return maildrop_message_evidence(message, &evidence);
}

/* TOP can be asked, and proves something on this account. */
static bool top_proves(const struct sync *sync)
{
    return engine_has_top(sync) && !sync->top_is_no_evidence;
}

bool engine_wants_evidence(const struct sync *sync, const struct maildrop_message *message)
{
    if (!top_proves(sync))
        return false;
    /* Missing evidence is fetched while the session lasts that saw the removal. */
    if (maildrop_message_is_going(message))
        return engine_need_of(message) == EVIDENCE_NEEDED ||
               (maildrop_message_is_wished_here(message) && !has_evidence(message));
    if (maildrop_message_is_proven(message))
        return false;
    /* Twins were told apart by their order alone so far. */
    if (!maildrop_message_is_unique(message))
        return maildrop_message_is_doubted(message);
    /* Where LIST counts as right, another size is reason enough: ls and rsync may see it before
     * anybody opens the message. */
    if (maildrop_message_is_doubted(message) && !sync->list_is_wrong)
        return true;
    return atomic_load(&sync->uidl_is_reused) && engine_has_body_probably(sync, message);
}

static struct job *proof_job(struct sync *sync, struct maildrop_message *message,
                             enum schedule_class class)
{
    struct job *job = jobs_find(&sync->jobs, JOB_HEADER, message);
    if (job == NULL)
        job = jobs_add(&sync->jobs, JOB_HEADER, class, message);
    if (job != NULL)
        job->proves = true;
    return job;
}

struct job *engine_proof_job(struct sync *sync, struct maildrop_message *message)
{
    /* Without a session nobody knows whether the server has TOP: that is seen when it is asked. */
    bool by_top = !sync->top_is_no_evidence && (sync->link == NULL || engine_has_top(sync));
    return by_top ? proof_job(sync, message, SCHEDULE_READ)
                  : engine_body_job(sync, message, SCHEDULE_READ);
}

void engine_prove_by_body(struct sync *sync, struct job *job)
{
    struct job *body =
        job->requests == NULL ? NULL : engine_body_job(sync, job->message, SCHEDULE_READ);
    if (body == NULL)
        return;
    body->is_last_word = true;
    jobs_hand_over(&sync->jobs, job, body);
}

/* One of each eighth of those that have a body; without TOP of those whose body is short. Where
 * `refresh` is short and each answer takes seconds, a session has no time for more than these: they
 * come behind what somebody waits for. */
void engine_sample(struct sync *sync)
{
    size_t count = maildrop_snapshot_count(sync->listed);
    size_t step = count / SAMPLES_COUNT + 1;
    uint32_t drawn = 0;
    bool by_top = top_proves(sync);
    if (!chance_draw(&drawn, sizeof(drawn)) || sync->prefetch_waiters.count > 0)
        return;
    for (size_t begin = 0; begin < count; begin += step) {
        for (size_t i = 0; i < step && begin + i < count; i++) {
            struct maildrop_message *message = maildrop_snapshot_at(
                sync->listed,
                begin + (drawn + i) % step >= count ? begin : begin + (drawn + i) % step);
            if (!has_evidence(message) || maildrop_message_is_going(message) ||
                !engine_has_body_probably(sync, message))
                continue;
            if (!by_top && maildrop_message_octets(message, NULL) > SAMPLED_OCTETS_MAX)
                continue;
            (void)(by_top ? proof_job(sync, message, SCHEDULE_SWEEP)
                          : engine_body_job(sync, message, SCHEDULE_PREFETCH));
            break;
        }
    }
}

/* ---- what an answer proves ---- */

static void set_by_retr(struct evidence *evidence, bool by_retr)
{
    if (by_retr && evidence_is_known(evidence))
        evidence->octets[EVIDENCE_OCTETS_COMPARED] |= EVIDENCE_BY_RETR;
}

/* TOP proves nothing on this account, so neither does what it told before. */
static void forget_all_evidence(struct sync *sync)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    sync->top_is_no_evidence = true;
    engine_index_identity(sync);
    log_write(LOG_LEVEL_WARNING, "the server gives other headers by TOP than by RETR: from now on "
                                 "only RETR tells which message is which");
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        struct evidence old;
        if (!maildrop_message_evidence(message, &old))
            continue;
        maildrop_message_forget_evidence(message);
        engine_index_evidence(sync, message);
        engine_renew_wish(sync, message, &old);
    }
    maildrop_snapshot_unref(snapshot);
}

static void note_proven(struct sync *sync, struct maildrop_message *message)
{
    bool was_doubted = maildrop_message_is_doubted(message);
    maildrop_message_note_proven(message);
    if (was_doubted)
        engine_index_listed(sync, message);
}

/* What was known of the time came without evidence: it was that of another message, or of less of
 * the header. */
static void relearn_time(struct sync *sync, struct maildrop_message *message)
{
    int64_t old_s, new_s;
    int64_t seen_s = maildrop_message_first_seen_ns(message) / 1000000000;
    if (!maildrop_message_time(message, &old_s) || old_s == seen_s)
        return;
    if (mail_header_time(buffer_slice(&sync->header.bytes), &new_s) && new_s == old_s)
        return;
    maildrop_message_forget_time(message);
    (void)engine_learn_header(sync, message);
    engine_publish_size(sync, message);
}

static void learn(struct sync *sync, struct maildrop_message *message,
                  const struct evidence *evidence)
{
    struct evidence old;
    int64_t seconds;
    (void)maildrop_message_evidence(message, &old);
    maildrop_message_learn_evidence(message, evidence);
    note_proven(sync, message);
    if (!evidence_is_known(&old))
        relearn_time(sync, message);
    recent_note(&sync->recent,
                &(struct recent_message){maildrop_message_id(message), .learnt_evidence = true});
    /* Else engine_learn_header() follows, which writes both down at once. */
    if (maildrop_message_time(message, &seconds))
        engine_index_evidence(sync, message);
    engine_renew_wish(sync, message, &old);
    engine_check_believed(sync, message);
}

/* A message without a body, as long as LIST says; where LIST says nothing it may have been cut. */
static bool is_all_header(const struct sync *sync, const struct job *job)
{
    uint64_t listed_octets = maildrop_message_said_octets(job->message);
    return job->kind == JOB_BODY && listed_octets > 0 && sync->raw_octets >= listed_octets;
}

/* What was known of the message, if only by the header of its body. */
static bool find_evidence(const struct sync *sync, struct maildrop_message *message,
                          struct evidence *ret_known, bool *ret_by_body)
{
    *ret_by_body = false;
    if (maildrop_message_evidence(message, ret_known))
        return true;
    /* A wish of before is about what the user saw then. */
    if (maildrop_message_is_going(message) && !maildrop_message_is_wished_here(message))
        return false;
    *ret_by_body = engine_kept_evidence(sync, message, ret_known);
    return *ret_by_body;
}

/* A message without a header has no evidence, but is another one than one with a header. */
static bool has_no_header(const struct sync *sync, const struct job *job)
{
    return !sync->header.is_cut && header_is_none(&sync->header) &&
           (job->kind == JOB_HEADER || is_all_header(sync, job));
}

enum evidence_verdict engine_read_evidence(struct sync *sync, const struct job *job)
{
    struct evidence known, read = {0};
    bool by_retr = job->kind == JOB_BODY;
    bool by_body;
    bool is_known = find_evidence(sync, job->message, &known, &by_body);
    bool is_none = has_no_header(sync, job);
    /* Some TOP ends within the header, and not always at the same octet, and so may a body. */
    if (!sync->header.is_cut && (sync->header.complete || is_all_header(sync, job)))
        mail_evidence(buffer_slice(&sync->header.bytes), &read);
    set_by_retr(&read, by_retr);
    const struct evidence_view view = {
        .is_read = evidence_is_known(&read) || (is_none && is_known),
        .is_known = is_known,
        .is_equal = is_none ? !evidence_is_known(&known) : evidence_is_equal(&known, &read),
        .known_by_retr = by_body || evidence_is_by_retr(&known),
        .is_proven = maildrop_message_is_proven(job->message),
        .is_wished_before = maildrop_message_is_going(job->message) &&
                            !maildrop_message_is_wished_here(job->message),
        .by_retr = by_retr,
        .has_top = top_proves(sync) && !job->is_last_word,
        .came_alone = job->is_alone,
        .came_alone_before = job->unlike_count > 0,
        .is_caught = atomic_load(&sync->uidl_is_reused),
    };
    enum evidence_verdict verdict = evidence_judge(&view);
    if (verdict == EVIDENCE_TOP_IS_NONE)
        forget_all_evidence(sync);
    if (verdict == EVIDENCE_TOP_IS_NONE || verdict == EVIDENCE_IS_NEW)
        learn(sync, job->message, &read);
    else if (verdict == EVIDENCE_IS_SAME && by_body && !is_none)
        learn(sync, job->message, &read);
    else if (verdict == EVIDENCE_IS_SAME)
        note_proven(sync, job->message);
    return verdict;
}

void engine_ask_top(struct sync *sync, struct job *body)
{
    struct job *header = proof_job(sync, body->message, SCHEDULE_READ);
    if (header != NULL)
        jobs_hand_over(&sync->jobs, body, header);
    jobs_finish(&sync->jobs, body, header == NULL ? FAULT_MEMORY : FAULT_CANCELED, EXTENT_NONE);
}

/* ---- another message ---- */

static void describe_message(struct slice from, struct slice subject, char text[DESCRIPTION_OCTETS])
{
    char from_text[TEXT_OCTETS], subject_text[TEXT_OCTETS];
    snprintf(text, DESCRIPTION_OCTETS, "\"%s\" from %s",
             text_escape(subject, subject_text, sizeof(subject_text)),
             text_escape(from, from_text, sizeof(from_text)));
}

/* Names both, and ends what the user wished of the old one. */
static void end_wish(struct sync *sync, struct maildrop_message *message)
{
    char uidl[600], old[DESCRIPTION_OCTETS], new[DESCRIPTION_OCTETS], why[SYNC_REASON_OCTETS];
    struct store_summary summary;
    CLEANUP_BUFFER struct buffer from = {0};
    CLEANUP_BUFFER struct buffer subject = {0};
    (void)mail_header_summary(buffer_slice(&sync->header.bytes), STORE_TEXT_OCTETS_MAX, &from,
                              &subject);
    store_summary(sync->store, maildrop_message_id(message), &summary);
    describe_message(slice_from_string(summary.from), slice_from_string(summary.subject), old);
    describe_message(buffer_slice(&from), buffer_slice(&subject), new);
    log_write(LOG_LEVEL_WARNING, "the UIDL %s was that of %s, and is now that of %s%s",
              text_escape(maildrop_message_uidl(message), uidl, sizeof(uidl)), old, new,
              maildrop_message_is_going(message) ? ": nothing is deleted" : "");
    snprintf(why, sizeof(why), "its UIDL names another message now: %s", new);
    engine_removal_is_another(sync, message, why);
}

/* The numbers of this session, without the message at `position`, whose number the last one has. */
static bool map_another(struct sync *sync, size_t position)
{
    struct maildrop_snapshot *listed = maildrop_snapshot(sync->maildrop);
    size_t count = maildrop_snapshot_count(listed);
    uint32_t msgnum = sync->msgnums[position];
    if (count != maildrop_snapshot_count(sync->listed)) {
        maildrop_snapshot_unref(listed);
        return false;
    }
    for (size_t i = position; i + 1 < count; i++)
        sync->msgnums[i] = sync->msgnums[i + 1];
    sync->msgnums[count - 1] = msgnum;
    maildrop_snapshot_unref(sync->listed);
    sync->listed = listed;
    sync->sweep_left -= position < sync->sweep_left;
    sync->sweep_forward -= position < sync->sweep_forward;
    sync->prefetch_next -= position < sync->prefetch_next;
    crawl_reset(&sync->crawl);
    return true;
}

static void note_caught(struct sync *sync)
{
    if (atomic_exchange(&sync->uidl_is_reused, true))
        return;
    engine_index_identity(sync);
    log_write(LOG_LEVEL_WARNING, "the server gives UIDLs to other messages than before: from now "
                                 "on what is kept is shown only after its header was compared");
    sync->sweep_left = maildrop_snapshot_count(sync->listed);
}

enum fault engine_replace(struct sync *sync, struct maildrop_message *message, bool by_retr)
{
    struct maildrop_changes changes;
    struct evidence evidence;
    size_t position;
    if (maildrop_message_is_gone(message) ||
        !maildrop_snapshot_find(sync->listed, maildrop_message_id(message), &position))
        return FAULT_NONE;
    end_wish(sync, message);
    if (maildrop_replace(sync->maildrop, message, sync->turn_wall_ns, &changes) != FAULT_NONE)
        return FAULT_MEMORY;
    struct maildrop_message *another = changes.appeared[0];
    bool mapped = map_another(sync, position);
    note_caught(sync);
    engine_note_vanished(sync, &changes);
    engine_index_changes(sync, &changes);
    mail_evidence(buffer_slice(&sync->header.bytes), &evidence);
    set_by_retr(&evidence, by_retr);
    learn(sync, another, &evidence);
    engine_commit_found(sync, another);
    engine_learn_header(sync, another);
    engine_publish_snapshot(sync, &changes);
    maildrop_changes_done(&changes);
    return mapped ? FAULT_NONE : FAULT_GARBLED;
}

/* ---- pending removals ---- */

enum evidence_need engine_need_of(const struct maildrop_message *message)
{
    const struct evidence_removal removal = {
        .is_wished_here = maildrop_message_is_wished_here(message),
        .is_doubted = maildrop_message_is_doubted(message) && !maildrop_message_is_renewed(message),
        .is_proven = maildrop_message_is_proven(message),
        .is_known = has_evidence(message),
    };
    return evidence_of_removal(&removal);
}

static bool may_ask(const struct sync *sync)
{
    return link_may_issue(sync->link) && sync->careful_count == 0 &&
           sync->jobs.owed_octets < window_octets(&sync->window);
}

/* Asks now, by the best means that has not failed for it yet: TOP, then RETR. */
static enum fault ask_for(struct sync *sync, struct maildrop_message *message, bool by_top,
                          int64_t now_ms)
{
    struct job *job = by_top ? proof_job(sync, message, SCHEDULE_READ)
                             : engine_body_job(sync, message, SCHEDULE_READ);
    if (job == NULL)
        return FAULT_MEMORY;
    job->is_last_word |= !by_top;
    return job->in_flight ? FAULT_NONE : engine_ask(sync, job, now_ms);
}

/* An answer that told of another message is asked for again, with nothing else owed. */
static struct job *find_alone(const struct sync *sync, const struct maildrop_message *message)
{
    struct job *job = jobs_find(&sync->jobs, JOB_HEADER, message);
    if (job == NULL || !job->is_alone)
        job = jobs_find(&sync->jobs, JOB_BODY, message);
    return job != NULL && job->is_alone ? job : NULL;
}

static bool is_to_be_proven(const struct sync *sync, const struct removal *removal)
{
    return !maildrop_message_is_gone(removal->message) &&
           engine_need_of(removal->message) == EVIDENCE_NEEDED &&
           engine_msgnum(sync, removal->message) != 0;
}

static enum fault prove_one(struct sync *sync, struct removal *removal, int64_t now_ms)
{
    struct job *alone = find_alone(sync, removal->message);
    bool by_top = removal->proofs_asked == 0 && top_proves(sync);
    if (alone == NULL && removal->proofs_asked >= PROOFS_MAX)
        return FAULT_NONE;
    sync->commit.proofs_asked = true;
    if (alone != NULL)
        return alone->in_flight ? FAULT_NONE : engine_ask(sync, alone, now_ms);
    removal->proofs_asked = by_top ? PROOF_BY_TOP : PROOFS_MAX;
    return ask_for(sync, removal->message, by_top, now_ms);
}

/* Nothing may be asked together with it. */
static bool must_wait_for(const struct sync *sync, const struct removal *removal)
{
    const struct job *last = sync->jobs.in_flight.last;
    return last != NULL &&
           (last->is_alone || !may_ask(sync) || find_alone(sync, removal->message) != NULL);
}

/* Asks for those that `are`, TOP first, and by RETR where that told nothing. */
static enum fault prove(struct sync *sync, bool (*are)(const struct removal *removal),
                        int64_t now_ms, bool *ret_done)
{
    struct commit *commit = &sync->commit;
    *ret_done = commit->is_proven;
    for (; !*ret_done && commit->prove_next < commit->removals_count; commit->prove_next++) {
        struct removal *removal = &commit->removals[commit->prove_next];
        if (!are(removal) || !is_to_be_proven(sync, removal))
            continue;
        if (must_wait_for(sync, removal))
            return FAULT_NONE;
        enum fault fault = prove_one(sync, removal, now_ms);
        if (fault != FAULT_NONE)
            return fault;
    }
    if (*ret_done || (commit->proofs_asked && sync->jobs.in_flight.count > 0))
        return FAULT_NONE;
    commit->is_proven = *ret_done = !commit->proofs_asked;
    commit->proofs_asked = false;
    commit->prove_next = 0;
    sync->looks_on |= !*ret_done;
    return FAULT_NONE;
}

enum fault engine_prove_pending(struct sync *sync, int64_t now_ms, bool *ret_done)
{
    return prove(sync, removal_is_pending, now_ms, ret_done);
}

enum fault engine_prove_asked(struct sync *sync, int64_t now_ms, bool *ret_done)
{
    return prove(sync, removal_is_asked, now_ms, ret_done);
}

void engine_prove_anew(struct commit *commit)
{
    commit->prove_next = 0;
    commit->proofs_asked = commit->is_proven = false;
    for (size_t i = 0; i < commit->removals_count; i++)
        commit->removals[i].proofs_asked = 0;
}

/* ---- missing evidence ---- */

static bool lacks_evidence_of_wish(const struct sync *sync, const struct maildrop_message *message)
{
    return maildrop_message_is_going(message) && !has_evidence(message) &&
           maildrop_message_is_wished_here(message) && maildrop_message_is_unique(message) &&
           !atomic_load(&sync->made_up);
}

static bool is_newer_than_commit(const struct sync *sync, const struct maildrop_message *message)
{
    return maildrop_message_id(message) > sync->commit.known_id;
}

static bool is_new_without_evidence(const struct sync *sync, const struct maildrop_message *message)
{
    return is_newer_than_commit(sync, message) && !has_evidence(message);
}

/* Asks for the headers of those that `want` it, and for the bodies of those whose header tells
 * nothing. */
static enum fault gather(struct sync *sync,
                         bool (*want)(const struct sync *sync,
                                      const struct maildrop_message *message),
                         int64_t now_ms, bool *ret_done)
{
    size_t count = maildrop_snapshot_count(sync->listed);
    *ret_done = false;
    for (; sync->gather_next < count; sync->gather_next++) {
        struct maildrop_message *message = maildrop_snapshot_at(sync->listed, sync->gather_next);
        if (!want(sync, message))
            continue;
        if (sync->jobs.in_flight.count > 0 && !may_ask(sync))
            return FAULT_NONE;
        bool by_top = top_proves(sync) && !sync->gathers_by_body;
        enum fault fault = ask_for(sync, message, by_top, now_ms);
        if (fault != FAULT_NONE)
            return fault;
        sync->gathers |= by_top;
    }
    if (sync->jobs.in_flight.count > 0)
        return FAULT_NONE;
    /* Those whose TOP told nothing are asked by RETR. */
    *ret_done = !sync->gathers;
    sync->gathers_by_body = sync->gathers;
    sync->gathers = false;
    sync->gather_next = 0;
    sync->looks_on |= !*ret_done;
    return FAULT_NONE;
}

enum fault engine_gather_evidence(struct sync *sync, int64_t now_ms, bool *ret_done)
{
    return gather(sync, lacks_evidence_of_wish, now_ms, ret_done);
}

/* ---- what is there under another UIDL ---- */

/* The last of those that are listed. */
static size_t newer_count(const struct sync *sync, const struct maildrop_snapshot *snapshot)
{
    size_t all = maildrop_snapshot_count(snapshot);
    size_t count = 0;
    while (count < all && count <= NEWER_ASKED_MAX &&
           is_newer_than_commit(sync, maildrop_snapshot_at(snapshot, all - count - 1)))
        count++;
    return count;
}

enum fault engine_gather_new(struct sync *sync, int64_t now_ms, bool *ret_done)
{
    size_t count = newer_count(sync, sync->listed);
    *ret_done = count == 0 || count > NEWER_ASKED_MAX;
    return *ret_done ? FAULT_NONE : gather(sync, is_new_without_evidence, now_ms, ret_done);
}

static bool may_be_same(const struct sync *sync, const struct maildrop_message *a,
                        const struct maildrop_message *b)
{
    struct evidence of_a, of_b;
    bool are_known = maildrop_message_evidence(a, &of_a) && maildrop_message_evidence(b, &of_b);
    if (are_known && evidence_is_equal(&of_a, &of_b))
        return true;
    if (are_known && evidence_is_of_two(&of_a, &of_b))
        return false;
    uint64_t octets_a = maildrop_message_listed_octets(a);
    uint64_t octets_b = maildrop_message_listed_octets(b);
    return octets_a == octets_b || octets_a == 0 || octets_b == 0 || sync->lies_count > 0;
}

bool engine_is_listed_anew(const struct sync *sync, const struct maildrop_message *message)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    size_t all = maildrop_snapshot_count(snapshot);
    size_t count = newer_count(sync, snapshot);
    bool found = count > NEWER_ASKED_MAX && sync->some_went;
    for (size_t i = all - count; i < all && !found && count <= NEWER_ASKED_MAX; i++)
        found = may_be_same(sync, message, maildrop_snapshot_at(snapshot, i));
    maildrop_snapshot_unref(snapshot);
    return found;
}
