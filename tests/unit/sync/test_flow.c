/* SPDX-License-Identifier: MIT */
/* How long a server may take that sends an octet now and then. */
#include "flow.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NOW_MS = 5000000, TIMEOUT_MS = 10000, SECOND_MS = 1000 };

/* One octet a second for so long. */
static int64_t drip(struct flow *flow, int64_t from_ms, int seconds)
{
    for (int i = 0; i < seconds; i++)
        flow_octets(flow, 1, from_ms += SECOND_MS);
    return from_ms;
}

static void a_line_is_owed_from_the_last_one_on_whatever_drips(void **state)
{
    (void)state;
    struct flow flow = {0};
    flow_line(&flow, NOW_MS);
    assert_int_equal(flow_answer_by_ms(&flow, TIMEOUT_MS), INT64_MAX);
    drip(&flow, NOW_MS, 9);
    assert_int_equal(flow_line_by_ms(&flow, TIMEOUT_MS), NOW_MS + TIMEOUT_MS);
    flow_line(&flow, NOW_MS + 9000);
    assert_int_equal(flow_line_by_ms(&flow, TIMEOUT_MS), NOW_MS + 9000 + TIMEOUT_MS);
}

static void a_row_of_a_listing_is_a_line_and_a_line_of_a_body_is_none(void **state)
{
    (void)state;
    struct flow flow = {0};
    flow_answer(&flow, false, NOW_MS);
    assert_int_equal(flow_line_by_ms(&flow, TIMEOUT_MS), NOW_MS + TIMEOUT_MS);
    flow_answer_end(&flow, NOW_MS);
    flow_answer(&flow, true, NOW_MS);
    assert_int_equal(flow_line_by_ms(&flow, TIMEOUT_MS), INT64_MAX);
    flow_answer_end(&flow, NOW_MS + 7);
    assert_int_equal(flow_line_by_ms(&flow, TIMEOUT_MS), NOW_MS + 7 + TIMEOUT_MS);
}

static void an_answer_of_several_lines_brings_a_kib_a_minute(void **state)
{
    (void)state;
    struct flow flow = {0};
    flow_answer(&flow, true, NOW_MS);
    assert_int_equal(drip(&flow, NOW_MS, 59), NOW_MS + 59 * SECOND_MS);
    flow_answer(&flow, true, NOW_MS + 59 * SECOND_MS); /* the same one */
    assert_int_equal(flow_answer_by_ms(&flow, TIMEOUT_MS), NOW_MS + FLOW_MS);
    flow_octets(&flow, FLOW_OCTETS - 60, NOW_MS + 59500);
    assert_int_equal(flow_answer_by_ms(&flow, TIMEOUT_MS), NOW_MS + FLOW_MS);
    flow_octets(&flow, 1, NOW_MS + 59600);
    assert_int_equal(flow_answer_by_ms(&flow, TIMEOUT_MS), NOW_MS + 59600 + FLOW_MS);
    assert_int_equal(flow_answer_by_ms(&flow, 3600000), NOW_MS + 59600 + 3600000);
    flow_answer_end(&flow, NOW_MS + 59600);
    assert_int_equal(flow_answer_by_ms(&flow, TIMEOUT_MS), INT64_MAX);
}

static void an_answer_is_slow_when_it_has_been_for_a_while(void **state)
{
    (void)state;
    struct flow flow = {0};
    assert_false(flow_is_slow(&flow, NOW_MS));
    flow_answer(&flow, true, NOW_MS);
    assert_false(flow_is_slow(&flow, NOW_MS + FLOW_SAMPLE_MS - 1));
    assert_true(flow_is_slow(&flow, NOW_MS + FLOW_SAMPLE_MS));
    for (int64_t ms = 0; ms <= 20000; ms += 10) {
        flow_octets(&flow, 100, NOW_MS + ms);
        assert_false(ms >= FLOW_SAMPLE_MS && flow_is_slow(&flow, NOW_MS + ms));
    }
    drip(&flow, NOW_MS + 20000, 3 * FLOW_SAMPLE_MS / SECOND_MS);
    assert_true(flow_is_slow(&flow, NOW_MS + 20000 + 3 * FLOW_SAMPLE_MS));
    flow_answer_end(&flow, NOW_MS + 60000);
    assert_false(flow_is_slow(&flow, NOW_MS + 90000));
}

static void the_rest_takes_as_long_as_the_rate_says(void **state)
{
    (void)state;
    struct flow flow = {0};
    flow_answer(&flow, true, NOW_MS);
    assert_int_equal(flow_rest_ms(&flow, 1000, NOW_MS + 1), 0);
    flow_octets(&flow, 5000, NOW_MS + 1);
    flow_octets(&flow, 1, NOW_MS + 5000);
    assert_int_equal(flow_rest_ms(&flow, 100000, NOW_MS + 5001), 100 * SECOND_MS);
    assert_int_equal(flow_rest_ms(&flow, 0, NOW_MS + 5001), 0);
    assert_int_equal(flow_rest_ms(&flow, 1, NOW_MS + 50000), INT64_MAX);
    assert_int_equal(flow_rest_ms(&flow, UINT64_MAX, NOW_MS + 5001), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_owed_from_the_last_one_on_whatever_drips),
        cmocka_unit_test(a_row_of_a_listing_is_a_line_and_a_line_of_a_body_is_none),
        cmocka_unit_test(an_answer_of_several_lines_brings_a_kib_a_minute),
        cmocka_unit_test(an_answer_is_slow_when_it_has_been_for_a_while),
        cmocka_unit_test(the_rest_takes_as_long_as_the_rate_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
