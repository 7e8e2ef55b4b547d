/* SPDX-License-Identifier: MIT */
/* Slices, buffers, numbers, escaping, digests, hashes, the heap. */
#include "popfs/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static void a_number_is_all_digits_and_within_its_bound(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_true(slice_to_number(SLICE_LITERAL("0"), 10, &value));
    assert_int_equal(value, 0);
    assert_true(slice_to_number(SLICE_LITERAL("4294967295"), UINT32_MAX, &value));
    assert_int_equal(value, UINT32_MAX);
    assert_true(slice_to_number(SLICE_LITERAL("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    value = 7;
    assert_false(slice_to_number(SLICE_LITERAL("18446744073709551616"), UINT64_MAX, &value));
    assert_false(slice_to_number(SLICE_LITERAL("4294967296"), UINT32_MAX, &value));
    assert_false(slice_to_number(SLICE_LITERAL("9"), 3, &value));
    assert_false(slice_to_number(SLICE_LITERAL(""), 10, &value));
    assert_false(slice_to_number(SLICE_LITERAL("-1"), 10, &value));
    assert_false(slice_to_number(SLICE_LITERAL("1x"), 10, &value));
    assert_int_equal(value, 7);
}

static void words_are_split_at_spaces_and_tabs(void **state)
{
    (void)state;
    struct slice rest = SLICE_LITERAL("  a\t bc  ");
    assert_true(slice_equal(slice_take_word(&rest), SLICE_LITERAL("a")));
    assert_true(slice_equal(slice_take_word(&rest), SLICE_LITERAL("bc")));
    assert_int_equal(slice_take_word(&rest).len, 0);
    assert_true(slice_equal(slice_trim(SLICE_LITERAL("\t x y ")), SLICE_LITERAL("x y")));
}

static void case_is_ignored_for_ascii_only(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(SLICE_LITERAL("Top"), SLICE_LITERAL("tOP")));
    assert_false(slice_equal_nocase(SLICE_LITERAL("Top"), SLICE_LITERAL("To")));
    assert_false(slice_equal_nocase(SLICE_LITERAL("\xc4"), SLICE_LITERAL("\xe4")));
    assert_false(slice_equal_nocase(SLICE_LITERAL("@"), SLICE_LITERAL("`")));
}

static void a_buffer_grows_and_gives_from_its_front(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    for (int i = 0; i < 1000; i++)
        assert_true(buffer_printf(&buffer, "%03d,", i));
    assert_int_equal(buffer.len, 4000);
    buffer_consume(&buffer, 4);
    assert_memory_equal(buffer.data, "001,002,", 8);
    buffer_consume(&buffer, 100000);
    assert_int_equal(buffer.len, 0);
    assert_true(buffer_append(&buffer, SLICE_LITERAL("a\0b")));
    assert_true(slice_equal(buffer_slice(&buffer), SLICE_LITERAL("a\0b")));
    buffer_done_wiping(&buffer);
    assert_null(buffer.data);
}

static void text_of_others_is_shown_without_control_and_8_bit_bytes(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(text_escape(SLICE_LITERAL("a\x1b[2J\\\xc3\r\n"), out, sizeof(out)),
                        "a\\x1b[2J\\x5c\\xc3\\x0d\\x0a");
    /* What does not fit whole is left out. */
    assert_string_equal(text_escape(SLICE_LITERAL("ab\x01"), out, 6), "ab");
    assert_string_equal(text_escape(SLICE_LITERAL("ab\x01"), out, 7), "ab\\x01");
    assert_string_equal(text_escape(SLICE_LITERAL("abc"), out, 1), "");
}

static void what_the_user_wrote_is_shown_in_utf_8_without_what_deceives(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(
        text_show(SLICE_LITERAL("/home/Ji\u0159\u00ed/po\u0161ta \U0001f4e7"), out, sizeof(out)),
        "/home/Ji\u0159\u00ed/po\u0161ta \U0001f4e7");
    assert_string_equal(
        text_show(SLICE_LITERAL("\x1b[\\\xc5 \u202e\xc2\x85\u200b"), out, sizeof(out)),
        "\\x1b[\\x5c\\xc5 \\xe2\\x80\\xae\\xc2\\x85\\xe2\\x80\\x8b");
    /* A character that does not fit whole is left out. */
    assert_string_equal(text_show(SLICE_LITERAL("ab\u0159"), out, 4), "ab");
    assert_string_equal(text_show(SLICE_LITERAL("ab\u0159"), out, 5), "ab\u0159");
}

static void a_misspelt_word_is_near(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},
        {"ro", "ro", 0},
        {"", "ro", 2},
        {"refersh", "refresh", 1},
        {"pasfile", "passfile", 1},
        {"cache-size", "cache_size", 1},
        {"statsu", "status", 1},
        {"comit", "commit", 1},
        {"abc", "cab", 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice a = slice_from_string(rows[i].a);
        struct slice b = slice_from_string(rows[i].b);
        assert_int_equal(text_distance(a, b), rows[i].distance);
        assert_int_equal(text_distance(b, a), rows[i].distance);
    }
    assert_true(text_distance(SLICE_LITERAL("0123456789012345678901234567890123"),
                              SLICE_LITERAL("ro")) > 100);
}

static void the_digest_of_rfc_1939_is_right(void **state)
{
    (void)state;
    char hex[DIGEST_MD5_HEX_OCTETS];
    assert_true(digest_md5_hex(SLICE_LITERAL("<1896.697170952@dbc.mtview.ca.us>"),
                               SLICE_LITERAL("tanstaaf"), hex));
    assert_string_equal(hex, "c4c9334bac560ecc979e58001b3e22fb");
}

static void sha256_of_abc_is_right(void **state)
{
    (void)state;
    unsigned char digest[DIGEST_SHA256_OCTETS];
    assert_true(digest_sha256(SLICE_LITERAL("abc"), digest));
    assert_memory_equal(digest, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8);
}

static void missing_evidence_equals_nothing(void **state)
{
    (void)state;
    struct evidence none = {0}, one = {.octets = {1}}, last = {.octets = {[31] = 1}};
    struct evidence one_by_other_means = {.octets = {1, [31] = 1}};
    assert_true(evidence_is_equal(&one, &one_by_other_means));
    assert_false(evidence_is_known(&none) || evidence_is_equal(&none, &none));
    assert_true(evidence_is_known(&last) && evidence_is_equal(&one, &one));
    assert_false(evidence_is_equal(&one, &last) || evidence_is_equal(&one, &none));
    assert_false(evidence_is_of_two(&one, &none) || evidence_is_of_two(&one, &last));
    assert_false(evidence_is_of_two(&one, &one_by_other_means));
    assert_true(evidence_is_of_two(&one_by_other_means, &last) && !evidence_is_by_retr(&one));
}

static void hashes_depend_on_every_octet_and_the_length(void **state)
{
    (void)state;
    char text[40] = {0};
    uint64_t zeros = hash_bytes((struct slice){text, 17});
    assert_true(zeros == hash_bytes((struct slice){text, 17}));
    assert_true(zeros != hash_bytes((struct slice){text, 16}));
    for (size_t i = 0; i < 17; i++) {
        text[i] = 1;
        assert_true(zeros != hash_bytes((struct slice){text, 17}));
        text[i] = 0;
    }
}

static void a_failure_may_quote_its_own_old_text(void **state)
{
    (void)state;
    struct failure failure;
    assert_int_equal(failure_set(&failure, FAULT_OFFLINE, "no %s", "line"), FAULT_OFFLINE);
    failure_set(&failure, FAULT_BUSY, "again: %s", failure.text);
    assert_string_equal(failure.text, "again: no line");
    assert_int_equal(failure_set(NULL, FAULT_DISK, "nobody listens"), FAULT_DISK);
}

static void every_fault_has_a_name(void **state)
{
    (void)state;
    for (int i = FAULT_NONE; i <= FAULT_MEMORY; i++)
        assert_string_not_equal(fault_name((enum fault)i), "unknown");
}

/* Sanitizers have an allocator of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FAULTS_MAX = INT32_MAX };
#else
enum { FAULTS_MAX = 10 };
#endif

static void memory_that_was_prepared_is_there_at_once(void **state)
{
    (void)state;
    const size_t octets = 1024 * 1024;
    struct rusage before, after;
    heap_begin();
    heap_prepare(2 * octets);
    getrusage(RUSAGE_SELF, &before);
    char *block = malloc(octets);
    assert_non_null(block);
    memset(block, 1, octets);
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_minflt - before.ru_minflt, 0, FAULTS_MAX);
    free(block);
    heap_prepare(0);
    heap_prepare(SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_all_digits_and_within_its_bound),
        cmocka_unit_test(words_are_split_at_spaces_and_tabs),
        cmocka_unit_test(case_is_ignored_for_ascii_only),
        cmocka_unit_test(a_buffer_grows_and_gives_from_its_front),
        cmocka_unit_test(text_of_others_is_shown_without_control_and_8_bit_bytes),
        cmocka_unit_test(what_the_user_wrote_is_shown_in_utf_8_without_what_deceives),
        cmocka_unit_test(a_misspelt_word_is_near),
        cmocka_unit_test(the_digest_of_rfc_1939_is_right),
        cmocka_unit_test(sha256_of_abc_is_right),
        cmocka_unit_test(missing_evidence_equals_nothing),
        cmocka_unit_test(hashes_depend_on_every_octet_and_the_length),
        cmocka_unit_test(a_failure_may_quote_its_own_old_text),
        cmocka_unit_test(every_fault_has_a_name),
        cmocka_unit_test(memory_that_was_prepared_is_there_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
