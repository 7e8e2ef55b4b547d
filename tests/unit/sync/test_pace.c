/* SPDX-License-Identifier: MIT */
/* How fast the server answers. */
#include "pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void answer(struct pace *pace, uint64_t count, int64_t now_ms)
{
    for (uint64_t i = 0; i < count; i++)
        pace_note_answer(pace, now_ms);
}

static void nothing_is_known_before_some_answers_have_come(void **state)
{
    (void)state;
    struct pace pace = {0};
    assert_int_equal(pace_count_in(&pace, 60000), 0);
    pace_note_start(&pace, 1000);
    answer(&pace, 31, 1010);
    assert_int_equal(pace_count_in(&pace, 60000), 0);
    answer(&pace, 1, 1010);
    assert_true(pace_count_in(&pace, 1000) > 2000);
}

static void answers_are_counted_from_when_the_first_was_owed(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_note_start(&pace, 5000);
    answer(&pace, 100, 5999);
    assert_int_equal(pace_count_in(&pace, 1000), 100);
    assert_int_equal(pace_count_in(&pace, 20000), 2000);
    assert_int_equal(pace_count_in(&pace, 0), 0);
    assert_int_equal(pace_count_in(&pace, -5), 0);
}

static void a_few_answers_to_later_commands_change_nothing(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_note_start(&pace, 0);
    answer(&pace, 100, 999);
    pace_note_start(&pace, 100000);
    answer(&pace, 3, 100001);
    assert_int_equal(pace_count_in(&pace, 1000), 100);
    answer(&pace, 47, 100999);
    assert_int_equal(pace_count_in(&pace, 1000), 50);
}

static void answers_that_come_at_once_overflow_nothing(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_note_start(&pace, 7);
    pace.count = UINT32_MAX;
    answer(&pace, 1, 3); /* a clock that was set back */
    assert_int_equal(pace_count_in(&pace, 1000), 1000000);
    assert_int_equal(pace_count_in(&pace, 80000), 80000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_some_answers_have_come),
        cmocka_unit_test(answers_are_counted_from_when_the_first_was_owed),
        cmocka_unit_test(a_few_answers_to_later_commands_change_nothing),
        cmocka_unit_test(answers_that_come_at_once_overflow_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
