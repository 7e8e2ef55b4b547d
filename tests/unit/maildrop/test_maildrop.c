/* SPDX-License-Identifier: MIT */
/* How listings change what is known: identity, order, duplicates. */
#include "popfs/maildrop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS_MAX = 8 };

struct fixture {
    struct maildrop *maildrop;
    struct maildrop_message *by_row[ROWS_MAX];
    struct maildrop_changes changes;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->maildrop = maildrop_new();
    *state = f;
    return f->maildrop == NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    maildrop_changes_done(&f->changes);
    maildrop_free(f->maildrop);
    free(f);
    return 0;
}

#define ROW(uidl, octets) ((struct maildrop_row){SLICE_LITERAL(uidl), (octets)})
#define APPLY(f, ...)                                                                              \
    apply((f), (const struct maildrop_row[]){__VA_ARGS__},                                         \
          sizeof((const struct maildrop_row[]){__VA_ARGS__}) / sizeof(struct maildrop_row), true)

static void apply(struct fixture *f, const struct maildrop_row *rows, size_t count, bool same)
{
    maildrop_changes_done(&f->changes);
    assert_int_equal(maildrop_apply(f->maildrop, rows, count, same, 1000, f->by_row, &f->changes),
                     FAULT_NONE);
}

static uint64_t id(const struct fixture *f, size_t row)
{
    return maildrop_message_id(f->by_row[row]);
}

static void ids_rise_in_listing_order(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("b", 1), ROW("a", 2), ROW("c", 3));
    assert_int_equal(f->changes.appeared_count, 3);
    assert_int_equal(f->changes.vanished_count, 0);
    assert_int_equal(id(f, 0), 1);
    assert_int_equal(id(f, 1), 2);
    assert_int_equal(id(f, 2), 3);
    assert_int_equal(maildrop_message_octets(f->by_row[2], NULL), 3);
}

static void a_server_that_reorders_changes_nothing(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1), ROW("b", 2), ROW("c", 3));
    uint64_t a = id(f, 0), c = id(f, 2);
    APPLY(f, ROW("c", 3), ROW("a", 1), ROW("b", 2));
    assert_int_equal(f->changes.appeared_count + f->changes.vanished_count, 0);
    assert_int_equal(id(f, 0), c);
    assert_int_equal(id(f, 1), a);
}

static void what_is_missing_vanishes_and_ids_are_never_used_again(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1), ROW("b", 2));
    struct maildrop_message *b = maildrop_message_ref(f->by_row[1]);
    APPLY(f, ROW("a", 1));
    assert_int_equal(f->changes.vanished_count, 1);
    assert_ptr_equal(f->changes.vanished[0], b);
    assert_true(maildrop_message_is_gone(b));
    assert_false(maildrop_message_is_replaced(b));
    APPLY(f, ROW("a", 1), ROW("b", 2));
    assert_int_equal(f->changes.appeared_count, 1);
    assert_ptr_equal(f->changes.appeared[0], f->by_row[1]);
    assert_int_equal(id(f, 1), 3);
    maildrop_message_unref(b);
}

/* Sizes are hints: LIST + 7 in each session is no other maildrop. */
static void a_uidl_with_another_size_is_the_same_message_and_doubted(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 10), ROW("b", 20));
    struct maildrop_message *a = f->by_row[0];
    APPLY(f, ROW("a", 17), ROW("b", 20));
    assert_ptr_equal(f->by_row[0], a);
    assert_int_equal(f->changes.appeared_count + f->changes.vanished_count, 0);
    assert_int_equal(f->changes.relisted_count, 1);
    assert_ptr_equal(f->changes.relisted[0], a);
    assert_int_equal(maildrop_message_listed_octets(a), 17);
    assert_int_equal(maildrop_message_octets(a, NULL), 17);
    assert_true(maildrop_message_is_doubted(a));
    assert_false(maildrop_message_is_doubted(f->by_row[1]));
    maildrop_message_note_proven(a);
    APPLY(f, ROW("a", 17), ROW("b", 20));
    assert_false(maildrop_message_is_doubted(a));
    assert_int_equal(f->changes.relisted_count, 0);
}

/* mailutils gives the lowest free number to the next message, which is listed last. */
static void what_has_other_neighbours_is_doubted(void **state)
{
    static const struct {
        const char *before, *after, *doubted;
    } cases[] = {
        {"abc", "abcd", ""},   {"abc", "ac", ""},       {"abc", "bc", ""},    {"abc", "abc", ""},
        {"abc", "acb", "acb"}, {"abcd", "bcda", "abd"}, {"abc", "xabc", "a"}, {"abc", "axbc", "b"},
        {"cde", "abc", "c"},   {"abcd", "acd", ""},     {"ab", "ba", "ab"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct maildrop_row rows[ROWS_MAX];
        struct fixture f = {.maildrop = maildrop_new()};
        size_t count = 0;
        for (const char *c = cases[i].before; *c != '\0'; c++)
            rows[count++] = (struct maildrop_row){{c, 1}, 10};
        apply(&f, rows, count, true);
        count = 0;
        for (const char *c = cases[i].after; *c != '\0'; c++)
            rows[count++] = (struct maildrop_row){{c, 1}, 10};
        apply(&f, rows, count, true);
        for (size_t row = 0; row < count; row++)
            assert_int_equal(maildrop_message_is_doubted(f.by_row[row]),
                             strchr(cases[i].doubted, cases[i].after[row]) != NULL);
        maildrop_changes_done(&f.changes);
        maildrop_free(f.maildrop);
    }
}

static void a_message_that_is_another_gets_a_new_id_in_its_row(void **state)
{
    struct fixture *f = *state;
    struct maildrop_changes changes;
    APPLY(f, ROW("a", 10), ROW("b", 20));
    struct maildrop_message *a = maildrop_message_ref(f->by_row[0]);
    assert_int_equal(maildrop_replace(f->maildrop, a, 5, &changes), FAULT_NONE);
    assert_int_equal(changes.vanished_count, 1);
    assert_ptr_equal(changes.vanished[0], a);
    assert_true(maildrop_message_is_gone(a));
    assert_true(maildrop_message_is_replaced(a));
    assert_int_equal(changes.appeared_count, 1);
    struct maildrop_message *another = maildrop_message_ref(changes.appeared[0]);
    assert_int_equal(maildrop_message_id(another), 3);
    assert_int_equal(maildrop_message_listed_octets(another), 10);
    assert_true(maildrop_message_first_seen_ns(another) >
                maildrop_message_first_seen_ns(f->by_row[1]));
    maildrop_changes_done(&changes);
    APPLY(f, ROW("a", 10), ROW("b", 20));
    assert_ptr_equal(f->by_row[0], another);
    assert_false(maildrop_message_is_doubted(another));
    maildrop_message_unref(another);
    maildrop_message_unref(a);
}

static const struct evidence some_evidence = {{1}};

static void evidence_is_proven_by_one_listing_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct evidence evidence;
    APPLY(f, ROW("a", 10));
    struct maildrop_message *a = f->by_row[0];
    assert_false(maildrop_message_evidence(a, &evidence));
    assert_false(maildrop_message_is_proven(a));
    maildrop_message_learn_evidence(a, &some_evidence);
    maildrop_message_note_proven(a);
    assert_true(maildrop_message_is_proven(a));
    assert_true(maildrop_message_evidence(a, &evidence));
    assert_true(evidence_is_equal(&evidence, &some_evidence));
    maildrop_message_set_going(a, true);
    assert_true(maildrop_message_is_wished_here(a));
    APPLY(f, ROW("a", 10));
    assert_false(maildrop_message_is_proven(a));
    assert_false(maildrop_message_is_wished_here(a));
    maildrop_message_forget_evidence(a);
    assert_false(maildrop_message_evidence(a, &evidence));
}

static void a_wish_is_renewed_after_it_could_not_be_proven(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 10));
    struct maildrop_message *a = f->by_row[0];
    maildrop_message_set_going(a, true);
    maildrop_message_note_unprovable(a);
    assert_false(maildrop_message_is_renewed(a));
    maildrop_message_set_going(a, false);
    assert_false(maildrop_message_is_renewed(a));
    maildrop_message_set_going(a, true);
    assert_true(maildrop_message_is_renewed(a));
    APPLY(f, ROW("a", 10));
    assert_false(maildrop_message_is_renewed(a));
}

static void a_size_that_was_not_said_contradicts_nothing(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 10));
    uint64_t a = id(f, 0);
    APPLY(f, ROW("a", 0));
    assert_int_equal(id(f, 0), a);
}

static void copies_of_a_uidl_are_numbered(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("d", 5), ROW("x", 1), ROW("d", 6));
    assert_int_equal(maildrop_message_copy(f->by_row[0]), 0);
    assert_int_equal(maildrop_message_copy(f->by_row[2]), 1);
    assert_false(maildrop_message_is_unique(f->by_row[0]));
    assert_true(maildrop_message_is_unique(f->by_row[1]));
}

/* By their order, until their evidence has been asked for. */
static void copies_of_a_uidl_with_evidence_are_taken_for_the_old_ones_and_doubted(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("d", 5), ROW("d", 6), ROW("x", 1), ROW("d", 7));
    struct maildrop_message *copies[] = {f->by_row[0], f->by_row[1], f->by_row[3]};
    for (size_t i = 0; i < 3; i++)
        maildrop_message_learn_evidence(copies[i], &(struct evidence){{(unsigned char)(i + 1)}});
    maildrop_message_set_going(copies[1], true);
    APPLY(f, ROW("d", 5), ROW("d", 6), ROW("x", 1), ROW("d", 7));
    assert_ptr_equal(f->by_row[0], copies[0]);
    assert_true(maildrop_message_is_doubted(copies[0]));
    assert_int_equal(f->changes.vanished_count, 1);
    assert_ptr_equal(f->changes.vanished[0], copies[1]);
    assert_ptr_equal(f->by_row[3], copies[2]);
    /* Another number of copies, and nobody can say which is which. */
    APPLY(f, ROW("d", 5), ROW("d", 6), ROW("x", 1));
    assert_int_equal(f->changes.vanished_count, 3);
}

/* The UIDL of popa3d is a digest of the header, so its copies have one header and any bodies. */
static void copies_of_a_uidl_with_one_evidence_are_never_believed_to_be_old_ones(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("d", 5), ROW("d", 6), ROW("d", 7));
    struct maildrop_message *other = f->by_row[1];
    maildrop_message_learn_evidence(f->by_row[0], &some_evidence);
    maildrop_message_learn_evidence(other, &(struct evidence){{2}});
    maildrop_message_learn_evidence(f->by_row[2], &some_evidence);
    APPLY(f, ROW("d", 7), ROW("d", 6), ROW("d", 5));
    assert_int_equal(f->changes.vanished_count, 2);
    assert_ptr_equal(f->by_row[1], other);
}

static void copies_of_a_uidl_are_never_believed_to_be_old_ones(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("d", 5), ROW("d", 5), ROW("x", 1));
    uint64_t x = id(f, 2);
    struct maildrop_message *twin = maildrop_message_ref(f->by_row[0]);
    APPLY(f, ROW("d", 5), ROW("d", 5), ROW("x", 1));
    assert_int_equal(f->changes.vanished_count, 2);
    assert_int_equal(f->changes.appeared_count, 2);
    assert_true(maildrop_message_is_replaced(twin));
    maildrop_message_unref(twin);
    assert_int_equal(id(f, 2), x);
    APPLY(f, ROW("d", 5), ROW("x", 1));
    assert_true(maildrop_message_is_unique(f->by_row[0]));
    assert_int_equal(f->changes.appeared_count, 1);
    APPLY(f, ROW("d", 5), ROW("d", 5), ROW("x", 1));
    assert_int_equal(f->changes.vanished_count, 1);
    assert_int_equal(f->changes.appeared_count, 2);
    assert_int_equal(id(f, 2), x);
}

static void without_identity_every_row_is_new(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("msg-1", 1));
    apply(f, (const struct maildrop_row[]){ROW("msg-1", 1)}, 1, false);
    assert_int_equal(f->changes.appeared_count, 1);
    assert_int_equal(f->changes.vanished_count, 1);
    assert_int_equal(id(f, 0), 2);
}

static void an_empty_listing_empties_the_maildrop(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1));
    apply(f, NULL, 0, true);
    struct maildrop_snapshot *snapshot = maildrop_snapshot(f->maildrop);
    assert_int_equal(maildrop_snapshot_count(snapshot), 0);
    maildrop_snapshot_unref(snapshot);
}

static struct maildrop_comparison compare(struct fixture *f, const struct maildrop_row *rows,
                                          size_t count)
{
    struct maildrop_comparison comparison;
    assert_int_equal(maildrop_compare(f->maildrop, rows, count, &comparison), FAULT_NONE);
    return comparison;
}

#define COMPARE(f, ...)                                                                            \
    compare(f, (const struct maildrop_row[]){__VA_ARGS__},                                         \
            sizeof((const struct maildrop_row[]){__VA_ARGS__}) / sizeof(struct maildrop_row))

static void a_listing_is_compared_with_what_is_known(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1), ROW("b", 2), ROW("c", 3), ROW("d", 4));
    assert_true(maildrop_message_set_going(f->by_row[1], true));
    assert_true(maildrop_message_set_going(f->by_row[3], true));
    maildrop_message_set_leaving(f->by_row[3], true);
    struct maildrop_comparison with =
        COMPARE(f, ROW("n", 1), ROW("n", 1), ROW("b", 9), ROW("a", 1));
    assert_int_equal(with.known_count, 3); /* all but d */
    assert_int_equal(with.kept_count, 2);
    assert_int_equal(with.going_count, 1);
    assert_int_equal(with.going_kept_count, 1);
    assert_int_equal(with.new_count, 1);
    assert_true(COMPARE(f, ROW("a", 1), ROW("b", 9)).kept_digest == with.kept_digest);
    assert_false(COMPARE(f, ROW("a", 1), ROW("c", 9)).kept_digest == with.kept_digest);
    assert_int_equal(COMPARE(f, ROW("d", 4)).kept_count, 0);
    assert_int_equal(COMPARE(f, ROW("d", 4)).new_count, 0);
    assert_int_equal(compare(f, NULL, 0).known_count, 3);
    assert_int_equal(compare(f, NULL, 0).kept_count, 0);
}

static void two_first_listings_are_compared_by_their_rows(void **state)
{
    struct fixture *f = *state;
    struct maildrop_comparison with = COMPARE(f, ROW("a", 1), ROW("b", 2));
    assert_int_equal(with.known_count, 0);
    assert_int_equal(with.new_count, 2);
    assert_true(COMPARE(f, ROW("b", 1), ROW("a", 2)).kept_digest == with.kept_digest);
    assert_false(COMPARE(f, ROW("a", 1), ROW("c", 2)).kept_digest == with.kept_digest);
}

static void an_old_snapshot_does_not_change(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1), ROW("b", 2), ROW("c", 3));
    struct maildrop_snapshot *old = maildrop_snapshot(f->maildrop);
    APPLY(f, ROW("c", 3), ROW("n", 4));
    size_t position;
    assert_int_equal(maildrop_snapshot_count(old), 3);
    assert_true(maildrop_snapshot_find(old, 2, &position));
    assert_int_equal(position, 1);
    assert_int_equal(maildrop_snapshot_after(old, 0), 0);
    assert_int_equal(maildrop_snapshot_after(old, 3), 3);
    struct maildrop_snapshot *new = maildrop_snapshot(f->maildrop);
    assert_false(maildrop_snapshot_find(new, 2, &position));
    assert_int_equal(maildrop_snapshot_after(new, 1), 0);
    assert_int_equal(maildrop_snapshot_after(new, 3), 1);
    maildrop_snapshot_unref(new);
    maildrop_snapshot_unref(old);
}

static void what_a_commit_deleted_is_forgotten(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1), ROW("b", 2));
    struct maildrop_message *a = maildrop_message_ref(f->by_row[0]);
    assert_true(maildrop_message_set_going(a, true));
    assert_false(maildrop_message_set_going(a, true));
    assert_int_equal(maildrop_forget(f->maildrop, &a, 1), FAULT_NONE);
    assert_true(maildrop_message_is_gone(a));
    struct maildrop_snapshot *snapshot = maildrop_snapshot(f->maildrop);
    assert_int_equal(maildrop_snapshot_count(snapshot), 1);
    maildrop_snapshot_unref(snapshot);
    maildrop_message_unref(a);
}

/* What LIST said before may have been about another message. */
static void a_listing_that_says_no_size_leaves_the_old_one_to_be_shown_only(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 10));
    struct maildrop_message *a = f->by_row[0];
    assert_int_equal(maildrop_message_said_octets(a), 10);
    APPLY(f, ROW("a", 0));
    assert_ptr_equal(f->by_row[0], a);
    assert_int_equal(maildrop_message_octets(a, NULL), 10);
    assert_int_equal(maildrop_message_listed_octets(a), 10);
    assert_int_equal(maildrop_message_said_octets(a), 0);
    assert_false(maildrop_message_is_doubted(a));
    APPLY(f, ROW("a", 10));
    assert_int_equal(maildrop_message_said_octets(a), 10);
    assert_int_equal(f->changes.relisted_count, 0);
}

static void facts_are_learnt_once(void **state)
{
    struct fixture *f = *state;
    bool exact;
    int64_t seconds = 5;
    APPLY(f, ROW("a", 10));
    struct maildrop_message *a = f->by_row[0];
    assert_int_equal(maildrop_message_octets(a, &exact), 10);
    assert_false(exact);
    maildrop_message_learn_octets(a, 0);
    assert_int_equal(maildrop_message_octets(a, &exact), 0);
    assert_true(exact);
    assert_int_equal(maildrop_message_listed_octets(a), 10);
    assert_false(maildrop_message_time(a, &seconds));
    maildrop_message_learn_time(a, 100);
    maildrop_message_learn_time(a, 200);
    assert_true(maildrop_message_time(a, &seconds));
    assert_int_equal(seconds, 100);
}

static void first_seen_is_distinct_even_when_the_clock_stands_still(void **state)
{
    struct fixture *f = *state;
    APPLY(f, ROW("a", 1), ROW("b", 2));
    int64_t b = maildrop_message_first_seen_ns(f->by_row[1]);
    assert_int_equal(maildrop_message_first_seen_ns(f->by_row[0]), 1000);
    assert_int_equal(b, 1001);
    APPLY(f, ROW("a", 1), ROW("b", 2), ROW("c", 3));
    assert_true(maildrop_message_first_seen_ns(f->by_row[2]) > b);
}

static void a_hundred_thousand_rows_in_reverse_are_matched(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 100000 };
    static char names[COUNT][16];
    static struct maildrop_row rows[COUNT];
    static struct maildrop_message *by_row[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "u%zu", i);
        rows[i] = (struct maildrop_row){{names[i], (size_t)len}, i + 1};
    }
    struct maildrop_changes changes;
    assert_int_equal(maildrop_apply(f->maildrop, rows, COUNT, true, 0, by_row, &changes), 0);
    maildrop_changes_done(&changes);
    for (size_t i = 0; i < COUNT / 2; i++) {
        struct maildrop_row row = rows[i];
        rows[i] = rows[COUNT - 1 - i];
        rows[COUNT - 1 - i] = row;
    }
    assert_int_equal(maildrop_apply(f->maildrop, rows, COUNT, true, 0, by_row, &changes), 0);
    assert_int_equal(changes.appeared_count + changes.vanished_count, 0);
    maildrop_changes_done(&changes);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(maildrop_message_id(by_row[i]), COUNT - i);
}

static void restore(struct fixture *f, uint64_t id, struct slice uidl, uint64_t octets, bool going)
{
    const uint64_t exact = octets + 1;
    const int64_t time_s = 77;
    const struct maildrop_known known = {.id = id,
                                         .uidl = uidl,
                                         .listed_octets = octets,
                                         .exact_octets = &exact,
                                         .time_s = &time_s,
                                         .first_seen_ns = (int64_t)id * 10,
                                         .going = going};
    assert_int_equal(maildrop_restore(f->maildrop, &known), FAULT_NONE);
}

static void what_an_earlier_mount_knew_is_confirmed_by_the_listing(void **state)
{
    struct fixture *f = *state;
    bool exact;
    int64_t seconds;
    restore(f, 5, SLICE_LITERAL("a"), 1, false);
    restore(f, 7, SLICE_LITERAL("b"), 2, true);
    APPLY(f, ROW("b", 2), ROW("c", 3), ROW("a", 1));
    assert_int_equal(f->changes.appeared_count, 1);
    assert_int_equal(f->changes.vanished_count, 0);
    assert_int_equal(id(f, 0), 7);
    assert_int_equal(id(f, 2), 5);
    assert_true(maildrop_message_is_going(f->by_row[0]));
    assert_false(maildrop_message_is_going(f->by_row[2]));
    assert_int_equal(maildrop_message_octets(f->by_row[2], &exact), 2);
    assert_true(exact);
    assert_true(maildrop_message_time(f->by_row[2], &seconds));
    assert_int_equal(seconds, 77);
    assert_int_equal(maildrop_message_first_seen_ns(f->by_row[2]), 50);
}

static void ids_go_on_after_those_of_an_earlier_mount(void **state)
{
    struct fixture *f = *state;
    restore(f, 5, SLICE_LITERAL("a"), 1, false);
    maildrop_begin_after(f->maildrop, 9);
    maildrop_begin_after(f->maildrop, 3);
    APPLY(f, ROW("a", 1), ROW("b", 2));
    assert_int_equal(id(f, 0), 5);
    assert_int_equal(id(f, 1), 10);
}

static void what_was_known_and_is_not_listed_has_vanished(void **state)
{
    struct fixture *f = *state;
    restore(f, 1, SLICE_LITERAL("a"), 1, true);
    restore(f, 2, SLICE_LITERAL("b"), 2, false);
    APPLY(f, ROW("b", 99));
    assert_int_equal(f->changes.vanished_count, 1);
    assert_false(maildrop_message_is_replaced(f->changes.vanished[0]));
    assert_int_equal(id(f, 0), 2);
}

static void many_are_restored(void **state)
{
    struct fixture *f = *state;
    char uidl[16];
    for (uint64_t i = 1; i <= 1000; i++) {
        snprintf(uidl, sizeof(uidl), "u%d", (int)i);
        restore(f, i, slice_from_string(uidl), i, false);
    }
    struct maildrop_snapshot *snapshot = maildrop_snapshot(f->maildrop);
    assert_int_equal(maildrop_snapshot_count(snapshot), 1000);
    assert_int_equal(maildrop_message_id(maildrop_snapshot_at(snapshot, 999)), 1000);
    maildrop_snapshot_unref(snapshot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_rise_in_listing_order),
        TEST(a_server_that_reorders_changes_nothing),
        TEST(what_is_missing_vanishes_and_ids_are_never_used_again),
        TEST(a_uidl_with_another_size_is_the_same_message_and_doubted),
        TEST(what_has_other_neighbours_is_doubted),
        TEST(a_message_that_is_another_gets_a_new_id_in_its_row),
        TEST(evidence_is_proven_by_one_listing_at_a_time),
        TEST(copies_of_a_uidl_with_evidence_are_taken_for_the_old_ones_and_doubted),
        TEST(copies_of_a_uidl_with_one_evidence_are_never_believed_to_be_old_ones),
        TEST(a_wish_is_renewed_after_it_could_not_be_proven),
        TEST(a_size_that_was_not_said_contradicts_nothing),
        TEST(copies_of_a_uidl_are_numbered),
        TEST(copies_of_a_uidl_are_never_believed_to_be_old_ones),
        TEST(without_identity_every_row_is_new),
        TEST(an_empty_listing_empties_the_maildrop),
        TEST(a_listing_is_compared_with_what_is_known),
        TEST(two_first_listings_are_compared_by_their_rows),
        TEST(an_old_snapshot_does_not_change),
        TEST(what_a_commit_deleted_is_forgotten),
        TEST(facts_are_learnt_once),
        TEST(a_listing_that_says_no_size_leaves_the_old_one_to_be_shown_only),
        TEST(first_seen_is_distinct_even_when_the_clock_stands_still),
        TEST(a_hundred_thousand_rows_in_reverse_are_matched),
        TEST(what_an_earlier_mount_knew_is_confirmed_by_the_listing),
        TEST(ids_go_on_after_those_of_an_earlier_mount),
        TEST(what_was_known_and_is_not_listed_has_vanished),
        TEST(many_are_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
