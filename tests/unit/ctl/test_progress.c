/* SPDX-License-Identifier: MIT */
/* The line, at any width and with any numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "progress.h"

static void expect(struct progress_facts facts, size_t columns, const char *wanted)
{
    char line[300];
    progress_render(&facts, columns, line, sizeof(line));
    assert_string_equal(line, wanted);
}

static void the_bar_fills_the_line(void **state)
{
    (void)state;
    expect((struct progress_facts){"prefetch", 0, 120, 0}, 40,
           "prefetch [------------]   0%    0 of 120");
    expect((struct progress_facts){"prefetch", 60, 120, 0}, 40,
           "prefetch [######------]  50%   60 of 120");
    expect((struct progress_facts){"commit", 9, 9, 0}, 40,
           "commit [##################] 100%  9 of 9");
}

static void the_rate_has_a_unit(void **state)
{
    (void)state;
    expect((struct progress_facts){"prefetch", 1, 2, 900}, 60,
           "prefetch [###########-----------]  50%  1 of 2  900 octets/s");
    expect((struct progress_facts){"refresh", 0, 0, 3 * 1024 * 1024 / 2}, 60,
           "refresh   1.5 MiB/s");
}

static void a_narrow_terminal_gets_less(void **state)
{
    (void)state;
    expect((struct progress_facts){"prefetch", 60, 120, 0}, 30, "prefetch   50%   60 of 120");
    expect((struct progress_facts){"prefetch", 60, 120, 0}, 12, "prefetch   5");
    expect((struct progress_facts){"prefetch", 60, 120, 0}, 0, "");
}

static void numbers_that_make_no_sense_do_no_harm(void **state)
{
    char line[300];
    const int64_t odd[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < 125; i++) {
        struct progress_facts facts = {"commit", odd[i % 5], odd[i / 5 % 5], odd[i / 25]};
        for (size_t columns = 0; columns < 400; columns += 7) {
            progress_render(&facts, columns, line, sizeof(line));
            assert_true(strlen(line) <= columns && strlen(line) <= 200);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bar_fills_the_line),
        cmocka_unit_test(the_rate_has_a_unit),
        cmocka_unit_test(a_narrow_terminal_gets_less),
        cmocka_unit_test(numbers_that_make_no_sense_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
