/* SPDX-License-Identifier: MIT */
/* Which bodies are kept whose size is not what LIST said (POP3.md rule 31). */
#include "size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ONCE(listed, came) .listed_octets = (listed), .octets = (came)
#define TWICE(listed, first, came)                                                                 \
    ONCE(listed, came), .was_doubted = true, .doubted_octets = (first)

static const struct {
    struct size_view view;
    enum size_verdict verdict;
    bool accuses;
} rows[] = {
    /* clang-format off */
    {{ONCE(100, 100)}, SIZE_KEEP, false},
    /* A last line without an end, counted or not. */
    {{ONCE(100, 97)}, SIZE_KEEP, false},
    {{ONCE(100, 103)}, SIZE_KEEP, false},
    {{ONCE(3, 0)}, SIZE_KEEP, false},
    /* LIST said nothing. */
    {{ONCE(0, 5000)}, SIZE_KEEP, false},
    {{ONCE(0, 0)}, SIZE_KEEP, false},
    /* LIST counts as right. */
    {{ONCE(100, 96)}, SIZE_ASK_AGAIN, false},
    {{ONCE(100, 104)}, SIZE_ASK_AGAIN, false},
    {{ONCE(100, 0)}, SIZE_ASK_AGAIN, false},
    {{TWICE(100, 104, 104)}, SIZE_KEEP, true},
    {{TWICE(100, 96, 96)}, SIZE_FAIL, true},
    {{TWICE(100, 96, 95)}, SIZE_FAIL, false},
    {{TWICE(100, 104, 105)}, SIZE_FAIL, false},
    {{TWICE(100, 96, 104)}, SIZE_FAIL, false},
    {{TWICE(100, 96, 100)}, SIZE_KEEP, false},
    {{TWICE(100, 96, 98)}, SIZE_KEEP, false},
    /* It has been the whole before. */
    {{ONCE(100, 50), .came_before = true}, SIZE_KEEP, true},
    {{ONCE(100, 98), .came_before = true}, SIZE_KEEP, false},
    /* LIST is known to be wrong. */
    {{ONCE(100, 50), .list_is_wrong = true}, SIZE_KEEP, false},
    {{ONCE(100, 150), .list_is_wrong = true}, SIZE_KEEP, false},
    {{TWICE(100, 50, 50), .list_is_wrong = true}, SIZE_KEEP, true},
    /* Nothing is not a message. */
    {{ONCE(100, 0), .list_is_wrong = true}, SIZE_ASK_AGAIN, false},
    {{TWICE(100, 0, 0), .list_is_wrong = true}, SIZE_FAIL, false},
    {{TWICE(100, 0, 0)}, SIZE_FAIL, false},
    /* clang-format on */
};

static void a_body_of_another_size_is_kept_asked_for_again_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (size_judge(&rows[i].view) != rows[i].verdict)
            fail_msg("row %zu: %d", i, (int)size_judge(&rows[i].view));
}

static void a_body_that_came_twice_alike_accuses_list(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (size_accuses_list(&rows[i].view) != rows[i].accuses)
            fail_msg("row %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_another_size_is_kept_asked_for_again_or_refused),
        cmocka_unit_test(a_body_that_came_twice_alike_accuses_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
