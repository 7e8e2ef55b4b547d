/* SPDX-License-Identifier: MIT */
/* What the answer to a marker proves, and what it tells of the server (POP3.md rule 30). */
#include "marker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FIRST = 1, SECOND, THIRD };

static const struct marker_view named = {.ok = true, .names = true};
static const struct marker_view other = {.ok = true};
static const struct marker_view refused = {.ok = false};
static const struct marker_view other_alone = {.ok = true, .came_alone = true};
static const struct marker_view refused_alone = {.came_alone = true};

static void a_marker_proves_ends_or_fails(void **state)
{
    static const struct {
        enum marker_use use;
        struct marker_view view;
        enum marker_verdict verdict;
    } rows[] = {
        {MARKER_UNTRIED, {.ok = true, .names = true}, MARKER_PROVES},
        {MARKER_NAMES, {.ok = true, .names = true}, MARKER_PROVES},
        {MARKER_NAMES, {.ok = true, .names = true, .was_refused = true}, MARKER_PROVES},
        {MARKER_UNTRIED, {.ok = true}, MARKER_FAILS},
        {MARKER_NAMES, {.ok = true}, MARKER_FAILS},
        {MARKER_NAMES, {.ok = true, .came_alone = true}, MARKER_FAILS},
        /* Some servers have no UIDL with a number. */
        {MARKER_UNTRIED, {.ok = false}, MARKER_ENDS},
        {MARKER_NAMES, {.ok = false}, MARKER_FAILS},
        {MARKER_NAMES, {.came_alone = true}, MARKER_FAILS},
        /* The message has gone, for RETR as well. */
        {MARKER_NAMES, {.was_refused = true}, MARKER_FAILS},
        {MARKER_NAMES, {.came_alone = true, .was_refused = true}, MARKER_ENDS},
        /* The listing has no such number. */
        {MARKER_NAMES, {.ok = false, .is_nameless = true}, MARKER_ENDS},
        {MARKER_NAMES, {.ok = true, .is_nameless = true}, MARKER_ENDS},
        {MARKER_USELESS, {.ok = true, .is_noop = true}, MARKER_ENDS},
        {MARKER_USELESS, {.ok = false, .is_noop = true}, MARKER_FAILS},
        {MARKER_USELESS, {.is_noop = true, .came_alone = true}, MARKER_ENDS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (marker_judge(rows[i].use, &rows[i].view) != rows[i].verdict)
            fail_msg("row %zu", i);
}

static bool note(struct marker *marker, const struct marker_view *view, uint64_t id)
{
    return marker_note(marker, view, marker_judge(marker->use, view), id);
}

static void a_server_that_names_a_message_is_remembered(void **state)
{
    struct marker marker = {0};
    (void)state;
    assert_true(note(&marker, &named, FIRST));
    assert_int_equal(marker.use, MARKER_NAMES);
    assert_false(note(&marker, &named, SECOND));
    assert_false(note(&marker, &other, FIRST));
    assert_false(note(&marker, &refused, FIRST));
    assert_int_equal(marker.use, MARKER_NAMES);
}

static void a_server_that_refuses_the_first_marker_is_asked_by_noop(void **state)
{
    struct marker marker = {0};
    const struct marker_view gone = {.was_refused = true};
    const struct marker_view nameless = {.is_nameless = true};
    (void)state;
    assert_false(note(&marker, &gone, FIRST));
    assert_false(note(&marker, &nameless, FIRST));
    assert_int_equal(marker.use, MARKER_UNTRIED);
    assert_true(note(&marker, &refused, FIRST));
    assert_int_equal(marker.use, MARKER_USELESS);
}

static void a_server_that_answers_wrongly_is_known_by_markers_that_were_asked_alone(void **state)
{
    struct marker marker = {0};
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_false(note(&marker, &other, FIRST));
    assert_false(note(&marker, &other_alone, FIRST));
    assert_true(note(&marker, &other_alone, FIRST));
    assert_int_equal(marker.use, MARKER_USELESS);
}

static void one_message_does_not_take_the_name_from_a_server_that_has_given_it(void **state)
{
    struct marker marker = {.use = MARKER_NAMES};
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_false(note(&marker, &other_alone, FIRST));
    assert_false(note(&marker, &refused_alone, SECOND));
    assert_false(note(&marker, &named, THIRD));
    assert_false(note(&marker, &other_alone, FIRST));
    assert_false(note(&marker, &other_alone, SECOND));
    assert_true(note(&marker, &other_alone, THIRD));
    assert_int_equal(marker.use, MARKER_USELESS);
}

static void a_server_that_never_answers_is_asked_by_noop_in_the_end(void **state)
{
    struct marker marker = {0};
    (void)state;
    assert_false(marker_note_lost(&marker, FIRST));
    assert_true(marker_note_lost(&marker, FIRST));
    assert_int_equal(marker.use, MARKER_USELESS);
    assert_false(marker_note_lost(&marker, SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_marker_proves_ends_or_fails),
        cmocka_unit_test(a_server_that_names_a_message_is_remembered),
        cmocka_unit_test(a_server_that_refuses_the_first_marker_is_asked_by_noop),
        cmocka_unit_test(a_server_that_answers_wrongly_is_known_by_markers_that_were_asked_alone),
        cmocka_unit_test(one_message_does_not_take_the_name_from_a_server_that_has_given_it),
        cmocka_unit_test(a_server_that_never_answers_is_asked_by_noop_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
