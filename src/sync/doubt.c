/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a listing that has come: it is believed, or another session is asked, beginning
 * at once, with one command at a time and without guesses, so that no answer can be taken for a
 * part of another. Until two sessions agree the old listing stays, and no commit goes on.
 */
#include "engine.h"

#include <stdatomic.h>
#include <stdio.h>

enum {
    DOUBTFUL_SESSIONS_MAX = 4, /* in a row, before it is no more taken for a passing state */
};

/* For messages to a person. */
static const char *show_count(bool known, size_t count, char *out, size_t capacity)
{
    if (known)
        snprintf(out, capacity, "%zu", count);
    else
        snprintf(out, capacity, "nothing");
    return out;
}

static void describe(const struct belief_listing *said, char *out, size_t capacity)
{
    char stat[24], uidl[24], list[24];
    snprintf(out, capacity, "STAT says %s, UIDL %s, LIST %s, and %zu of %zu known messages",
             show_count(said->said_count != BELIEF_UNKNOWN, said->said_count, stat, sizeof(stat)),
             show_count(said->has_uidl, said->uidl_count, uidl, sizeof(uidl)),
             show_count(said->has_list, said->list_count, list, sizeof(list)), said->kept_count,
             said->known_count);
}

bool engine_lists_alone(const struct sync *sync)
{
    return sync->listing_alone || sync->doubt.is_held;
}

/* What the three commands said. */
static void count_rows(const struct sync *sync, struct belief_listing *ret_said)
{
    bool asked = sync->listing_total != 0 || !sync->stat_known;
    listing_count(sync->listing, sync->listing_total, ret_said);
    ret_said->said_count = sync->stat_known ? (size_t)sync->listing_total : BELIEF_UNKNOWN;
    ret_said->has_uidl = asked && !sync->made_up_listing;
    ret_said->has_list = asked && !sync->list_refused;
    ret_said->uidl_skipped = sync->bad_uidl_rows_count;
    ret_said->list_skipped = sync->bad_list_rows_count;
    ret_said->strays |= ret_said->uidl_skipped + ret_said->list_skipped > 0;
    ret_said->strays &= sync->guess_next > 0;
}

/* A name that was made up, now or in the last listing, is that of a number of one session (POP3.md
 * rule 9): only how many messages there are can be compared. */
static void compare_by_count(size_t count, struct maildrop_comparison *comparison)
{
    size_t kept = count < comparison->known_count ? count : comparison->known_count;
    comparison->kept_count = kept;
    comparison->going_kept_count = kept < comparison->going_count ? kept : comparison->going_count;
    comparison->new_count = count - kept;
    comparison->kept_digest = 0;
}

/* Of a listing that contradicts itself only what both lists hold is ever shown. */
static enum fault take_stock(struct sync *sync, const struct maildrop_row *rows, size_t *count,
                             struct belief_listing *ret_said,
                             struct maildrop_comparison *ret_comparison)
{
    count_rows(sync, ret_said);
    listing_trim(sync->listing);
    if (belief_contradicts_itself(ret_said) && ret_said->has_list)
        ret_said->usable_count = *count = listing_keep_common(sync->listing);
    if (maildrop_compare(sync->maildrop, rows, *count, ret_comparison) != FAULT_NONE)
        return FAULT_MEMORY;
    if (sync->made_up_listing || atomic_load(&sync->made_up))
        compare_by_count(*count, ret_comparison);
    ret_said->known_count = ret_comparison->known_count;
    ret_said->kept_count = ret_comparison->kept_count;
    ret_said->kept_digest = ret_comparison->kept_digest;
    return FAULT_NONE;
}

/*
 * Whether what the listing lacks was not deleted, but has other names now (POP3.md rule 18). What
 * is going may have been deleted, so the others tell; without any, whether as much is there
 * instead.
 */
static bool are_uidls_new(const struct maildrop_comparison *with)
{
    size_t others = with->known_count - with->going_count;
    size_t lost = with->known_count - with->kept_count;
    if (others > 0)
        return !belief_most_are_there(others, with->kept_count - with->going_kept_count);
    return !belief_most_are_there(with->known_count, with->kept_count) && with->new_count >= lost;
}

/* LOGIN-DELAY may ask for more than a mount or a commit waits for. */
static bool is_worth_the_wait(const struct sync *sync, int64_t now_ms)
{
    bool nobody_waits = sync->started && sync->commit.phase == COMMIT_NONE;
    return nobody_waits || agenda_login_from_ms(&sync->agenda) <= now_ms + sync->account.timeout_ms;
}

/* Those who wait are told when this has gone on for a while. */
static enum fault fault_of_doubt(const struct sync *sync)
{
    return sync->doubtful_count > DOUBTFUL_SESSIONS_MAX ? FAULT_GARBLED : FAULT_BUSY;
}

static enum fault ask_again(struct sync *sync, const struct belief_listing *said, int64_t now_ms,
                            struct failure *ret_failure)
{
    char text[FAILURE_TEXT_OCTETS / 2];
    describe(said, text, sizeof(text));
    if (sync->doubtful_count++ > 0 || !is_worth_the_wait(sync, now_ms))
        return failure_set(ret_failure, fault_of_doubt(sync),
                           "the server's listing cannot be believed yet: %s", text);
    if (sync->started)
        log_write(LOG_LEVEL_WARNING, "%s: asking once more what is there: %s", sync->account.host,
                  text);
    waiters_move(&sync->refresh_waiters, &sync->refresh_served);
    sync->wants_listing = true;
    sync->retry_ms = now_ms;
    sync->looks_on = true;
    if (sync->jobs.in_flight.count == 0) {
        engine_answer_abandon(sync);
        return engine_end_session(sync, now_ms);
    }
    engine_link_drop(sync);
    jobs_abandon_in_flight(&sync->jobs);
    return FAULT_NONE;
}

/* Messages that are listed without a UIDL, or not shown, may be any that the listing lacks; not so
 * mail that came while it was made. Numbers with two UIDLs are among both. */
static void note_unsure(struct sync *sync, const struct belief_listing *said)
{
    size_t unsure = sync->unshown_count + said->nameless_count;
    unsure -= said->list_newer < unsure ? said->list_newer : unsure;
    sync->unsure_more = unsure > sync->unsure_count;
    sync->unsure_count = unsure;
}

enum fault engine_believe(struct sync *sync, const struct maildrop_row *rows, size_t *count,
                          int64_t now_ms, bool *ret_believed, struct failure *ret_failure)
{
    struct belief_listing said;
    struct maildrop_comparison comparison;
    *ret_believed = false;
    if (take_stock(sync, rows, count, &said, &comparison) != FAULT_NONE)
        return FAULT_MEMORY;
    switch (belief_judge(&sync->doubt, &said)) {
    case BELIEF_AGAIN:
        return ask_again(sync, &said, now_ms, ret_failure);
    case BELIEF_UNUSABLE:
        sync->doubtful_count = 0;
        return failure_set(ret_failure, FAULT_GARBLED,
                           "the server says that there is mail, but lists none that can be shown");
    case BELIEF_COMMON:
    case BELIEF_WHOLE:
        break;
    }
    sync->doubtful_count = 0;
    sync->unshown_count = belief_unshown_count(&said);
    sync->uidls_are_new = are_uidls_new(&comparison);
    size_t stay_count = comparison.kept_count - comparison.going_kept_count;
    sync->some_went =
        stay_count == 0 || stay_count < comparison.known_count - comparison.going_count;
    note_unsure(sync, &said);
    sync->skipped_rows_count = said.uidl_skipped + said.list_skipped;
    *ret_believed = true;
    return FAULT_NONE;
}
