/* SPDX-License-Identifier: MIT */
/* Which listings are believed, session by session (POP3.md rule 6). */
#include "belief.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ALL(said, uidl, list)                                                                      \
    .said_count = (said), .has_uidl = true, .has_list = true, .uidl_count = (uidl),                \
    .list_count = (list)
#define AS_BEFORE(known) .known_count = (known), .kept_count = (known)

/* clang-format off */
static const struct {
    const char *text;
    struct belief_listing first, second;
    enum belief_verdict verdicts[2];
} rows[] = {
    {"in order", {ALL(8, 8, 8), .usable_count = 8}, {ALL(9, 9, 9), .usable_count = 9, AS_BEFORE(8)},
     {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"mail that comes meanwhile", {ALL(8, 8, 9), .list_newer = 1, .usable_count = 8}, {ALL(8, 9, 9), .usable_count = 9, AS_BEFORE(8)},
     {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"rows that were skipped", {ALL(8, 7, 8), .uidl_skipped = 1, .list_older = 1, .usable_count = 7},
     {ALL(8, 8, 7), .list_skipped = 1, .uidl_only = 1, .usable_count = 8, AS_BEFORE(7)}, {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"no row of UIDL", {ALL(10, 0, 10), .list_newer = 10}, {ALL(10, 0, 10), .list_newer = 10}, {BELIEF_AGAIN, BELIEF_UNUSABLE}},
    {"no row of UIDL, once", {ALL(10, 0, 10), .list_newer = 10, .known_count = 10},
     {ALL(10, 10, 10), .usable_count = 10, AS_BEFORE(10)}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"half of UIDL, twice", {ALL(10, 5, 10), .list_older = 5, .usable_count = 5},
     {ALL(10, 5, 10), .list_older = 5, .usable_count = 5}, {BELIEF_AGAIN, BELIEF_COMMON}},
    {"half of UIDL, and other rows then", {ALL(10, 5, 10), .list_older = 5, .usable_count = 5},
     {ALL(10, 4, 10), .list_older = 6, .usable_count = 4}, {BELIEF_AGAIN, BELIEF_AGAIN}},
    {"UIDL ends early, and STAT tells nothing", {ALL(BELIEF_UNKNOWN, 5, 10), .list_newer = 5, .usable_count = 5},
     {ALL(BELIEF_UNKNOWN, 10, 10), .usable_count = 10}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"no row of LIST, twice", {ALL(10, 10, 0), .uidl_only = 10}, {ALL(10, 10, 0), .uidl_only = 10},
     {BELIEF_AGAIN, BELIEF_UNUSABLE}},
    {"half of LIST, and the other half then", {ALL(10, 10, 5), .uidl_only = 5, .usable_count = 5, .kept_digest = 7},
     {ALL(10, 10, 5), .uidl_only = 5, .usable_count = 5, .kept_digest = 9}, {BELIEF_AGAIN, BELIEF_AGAIN}},
    {"a row less than STAT says, and one that was known is not there", {ALL(10, 9, 10), .list_older = 1, .usable_count = 9, .known_count = 9, .kept_count = 8, .kept_digest = 7},
     {ALL(10, 9, 10), .list_older = 1, .usable_count = 9, .known_count = 9, .kept_count = 8, .kept_digest = 9}, {BELIEF_AGAIN, BELIEF_AGAIN}},
    {"STAT says more, twice", {ALL(12, 10, 10), .usable_count = 10}, {ALL(12, 10, 10), .usable_count = 10},
     {BELIEF_AGAIN, BELIEF_COMMON}},
    {"empty at first sight", {.said_count = 0}, {.said_count = 0}, {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"empty once", {.said_count = 0, .known_count = 8}, {ALL(8, 8, 8), .usable_count = 8, AS_BEFORE(8)}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"empty twice", {.said_count = 0, .known_count = 8}, {.said_count = 0, .known_count = 8}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"all that is left was to be deleted", {.said_count = 0, .known_count = 0}, {.said_count = 0}, {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"half is left", {ALL(4, 4, 4), .usable_count = 4, .known_count = 8, .kept_count = 4}, {ALL(4, 4, 4), .usable_count = 4, AS_BEFORE(4)},
     {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"less is left, and mail came", {ALL(3, 3, 3), .usable_count = 3, .known_count = 8, .kept_count = 3, .kept_digest = 7},
     {ALL(4, 4, 4), .usable_count = 4, .known_count = 8, .kept_count = 3, .kept_digest = 7}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"others are left then", {ALL(3, 3, 3), .usable_count = 3, .known_count = 8, .kept_count = 3, .kept_digest = 7},
     {ALL(3, 3, 3), .usable_count = 3, .known_count = 8, .kept_count = 3, .kept_digest = 9}, {BELIEF_AGAIN, BELIEF_AGAIN}},
    {"new UIDLs for all", {ALL(8, 8, 8), .usable_count = 8, .known_count = 8}, {ALL(8, 8, 8), .usable_count = 8, .known_count = 8},
     {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"new UIDLs for all, and nothing then", {ALL(3, 3, 3), .usable_count = 3, .known_count = 1}, {.said_count = 0, .known_count = 1},
     {BELIEF_AGAIN, BELIEF_AGAIN}},
    {"a row without an id in place of one that was known", {ALL(8, 8, 8), .usable_count = 8, .nameless_count = 1, .known_count = 8, .kept_count = 7},
     {ALL(8, 8, 8), .usable_count = 8, .nameless_count = 1, .known_count = 8, .kept_count = 7}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"the same once", {ALL(8, 8, 8), .usable_count = 8, .nameless_count = 1, .known_count = 8, .kept_count = 7},
     {ALL(8, 8, 8), .usable_count = 8, AS_BEFORE(8)}, {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"a row without an id, and all that was known", {ALL(9, 9, 9), .usable_count = 9, .nameless_count = 1}, {ALL(9, 9, 9), .usable_count = 9, .nameless_count = 1, AS_BEFORE(8)},
     {BELIEF_WHOLE, BELIEF_WHOLE}},
    {"an answer to TOP, it may be", {ALL(8, 8, 8), .usable_count = 8, .strays = true}, {ALL(8, 8, 8), .usable_count = 8},
     {BELIEF_AGAIN, BELIEF_WHOLE}},
    {"no UIDL command", {.said_count = 8, .has_list = true, .uidl_count = 8, .list_count = 8, .usable_count = 8},
     {.said_count = 8, .has_list = true, .uidl_count = 3, .list_count = 3, .usable_count = 3}, {BELIEF_WHOLE, BELIEF_AGAIN}},
};
/* clang-format on */

static void listings_are_believed_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct belief_doubt doubt = {0};
        print_message("%s\n", rows[i].text);
        assert_int_equal(belief_judge(&doubt, &rows[i].first), rows[i].verdicts[0]);
        assert_int_equal(belief_judge(&doubt, &rows[i].second), rows[i].verdicts[1]);
    }
}

static void a_server_that_goes_on_contradicting_itself_is_asked_twice_once(void **state)
{
    (void)state;
    struct belief_listing listing = {ALL(10, 9, 10), .list_older = 1, .usable_count = 9};
    struct belief_doubt doubt = {0};
    assert_int_equal(belief_judge(&doubt, &listing), BELIEF_AGAIN);
    assert_int_equal(belief_judge(&doubt, &listing), BELIEF_COMMON);
    listing.known_count = listing.kept_count = 9;
    assert_int_equal(belief_judge(&doubt, &listing), BELIEF_COMMON);
    assert_int_equal(belief_unshown_count(&listing), 1);
    listing.kept_count = 8; /* another row is missing: a second word is wanted for that one */
    assert_int_equal(belief_judge(&doubt, &listing), BELIEF_AGAIN);
    assert_int_equal(belief_judge(&doubt, &listing), BELIEF_COMMON);
    listing = (struct belief_listing){ALL(10, 1, 10), .list_older = 9, .usable_count = 1};
    listing.known_count = 9;
    listing.kept_count = 1;
    assert_int_equal(belief_judge(&doubt, &listing), BELIEF_AGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings_are_believed_as_the_table_says),
        cmocka_unit_test(a_server_that_goes_on_contradicting_itself_is_asked_twice_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
