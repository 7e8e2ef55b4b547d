/* SPDX-License-Identifier: MIT */
/* Secrets that a server repeats are not shown, however it writes them (POP3.md rule 28). */
#include "veil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *password, const char *said, const char *expected)
{
    struct pop3_veil veil;
    assert_true(pop3_veil_init(&veil, password));
    struct slice shown = pop3_veil_over(&veil, slice_from_string(said));
    if (!slice_equal(shown, slice_from_string(expected)))
        fail_msg("%s became %.*s in place of %s", said, (int)shown.len, shown.data, expected);
    pop3_veil_done(&veil);
}

static void a_text_without_a_secret_is_as_it_was(void **state)
{
    (void)state;
    expect("wonderland", "unknown command: PASS", "unknown command: PASS");
    expect("wonderland", "", "");
    expect("wonderland", "wonder, land", "wonder, land");
    expect("", "anything", "anything");
    expect("wonderland", "\xff\x01%\\", "\xff\x01%\\");
}

static void the_password_is_starred_in_any_case(void **state)
{
    (void)state;
    expect("Wonder Land", "unknown: PASS Wonder Land.", "unknown: PASS ***.");
    expect("Wonder Land", "UNKNOWN: PASS WONDER LAND", "UNKNOWN: PASS ***");
    expect("12345678", "1234567812345678 and 12345678", "*** and ***");
    /* A server may drop blanks at its ends. */
    expect(" abcdefgh ", "PASS abcdefgh", "PASS ***");
}

static void the_password_is_starred_however_its_octets_are_written(void **state)
{
    (void)state;
    expect("a/b c%de", "no a%2Fb%20c%25de here", "no *** here");
    expect("a/b c%de", "no a%2fb+c%25de here", "no *** here");
    expect("a\"b\\c/de", "{\"token\":\"a\\\"b\\\\c\\/de\"}", "{\"token\":\"***\"}");
    expect("p\xc3\xa4ssword", "no p\\xc3\\xa4ssword", "no ***");
    expect("p\xc3\xa4ssword", "no p\\303\\244ssword", "no ***");
    expect("p\xc3\xa4ssword", "no p\\u00e4ssword", "no ***");
    expect("500 \xe2\x82\xac 5", "no 500 \\u20ac 5", "no ***");
    expect("a\tbcdefg", "no a\\tbcdefg", "no ***");
    /* What looks like an escape may be the password. */
    expect("a%41\\x41", "no a%41\\x41", "no ***");
}

static void the_password_is_starred_within_base64_whatever_stands_around_it(void **state)
{
    static const char *const around[][2] = {
        {"", ""}, {"\001", ""}, {"ab", ""}, {"", "\001"}, {"\001alice\001", "!?"}};
    (void)state;
    for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
        char plain[64], text[160];
        char *base64 = NULL;
        snprintf(plain, sizeof(plain), "%sw0nd>>r~~%s", around[i][0], around[i][1]);
        assert_int_equal(gsasl_base64_to(plain, strlen(plain), &base64, NULL), GSASL_OK);
        snprintf(text, sizeof(text), "what is \"%s\"?", base64);
        expect("w0nd>>r~~", text, "what is \"***\"?");
        /* The alphabet for addresses; and characters before it that look like a part of it. */
        for (char *c = base64; *c != '\0'; c++)
            *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
        snprintf(text, sizeof(text), "AUTH-PLAIN/%s", base64);
        expect("w0nd>>r~~", text, "***");
        gsasl_free(base64);
    }
}

static void what_base64_holds_is_read_like_any_text(void **state)
{
    (void)state;
    expect("ya29.a/b", "+ eyJ0b2tlbiI6InlhMjkuYVwvYiJ9", "+ ***"); /* {"token":"ya29.a\/b"} */
    expect("a/b/c/d/e", "AUTH%20PLAIN%20YS9iL2MvZC9l", "AUTH%20PLAIN%***");
}

static void a_text_that_holds_a_piece_of_a_password_is_not_shown_at_all(void **state)
{
    (void)state;
    expect("correct horse battery", "PASS correct ho...", "***");
    expect("correct horse battery", "no argument \"se battery\"", "***");
    expect("correct horse battery", "what is AGFsaWNlAGNvcnJlY3QgaG8", "***");
    expect("correct horse battery", "correct", "correct");
    expect("password123", "wrong password for alice", "***");
    expect("password123", "wrong password123 for alice", "wrong *** for alice");
}

static void a_token_is_found_without_looking_for_all_its_pieces(void **state)
{
    char token[16385], text[8192];
    (void)state;
    for (size_t i = 0; i < sizeof(token) - 1; i++)
        token[i] = (char)('a' + i * 7 % 26);
    token[sizeof(token) - 1] = '\0';
    snprintf(text, sizeof(text), "%.8000s", token);
    expect(token, text, "***");
}

static void any_piece_of_a_token_is_starred(void **state)
{
    char token[4097], text[200];
    uint32_t random = 1;
    (void)state;
    for (size_t i = 0; i < sizeof(token) - 1; i++) {
        random = random * 1664525 + 1013904223;
        token[i] = (char)('a' + (random >> 16) % 26);
    }
    token[sizeof(token) - 1] = '\0';
    for (size_t at = 0; at + 40 <= 4096; at += 13) {
        snprintf(text, sizeof(text), "bad token ending in %.40s, no", token + at);
        expect(token, text, "bad token ending in ***, no");
    }
    expect(token, token + 4096 - 16, "***");
}

static void a_text_in_which_stars_would_tell_a_short_password_is_not_shown_at_all(void **state)
{
    (void)state;
    expect("a", "unknown command: PASS a", "***");
    expect("abc", "what is YWJj", "***");
    expect("test", "the latest contest", "***");
    expect("test", "unknown command: PASS test", "unknown command: PASS ***");
    expect("invalid", "an invalid password", "an *** password");
    expect("abc", "nothing of it", "nothing of it");
}

static void what_was_said_is_starred_and_so_is_what_it_holds(void **state)
{
    struct pop3_veil veil;
    (void)state;
    assert_true(pop3_veil_init(&veil, "wonderland"));
    /* "c=biws,r=abcdef,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=" */
    static const char final[] = "Yz1iaXdzLHI9YWJjZGVmLHA9djBYOHYzQnoyVDBDSkdiSlF5RjBYK0hJNFRzPQ==";
    assert_true(pop3_veil_add(&veil, slice_from_string(final)));
    assert_true(pop3_veil_add(&veil, slice_from_string("c4c9334bac560ecc979e58001b3e22fb")));
    assert_true(pop3_veil_add(&veil, slice_from_string("=")));
    static const char *const said[][2] = {
        {"unknown: Yz1iaXdzLHI9YWJjZGVmLHA9djBYOHYzQnoyVDBDSkdiSlF5RjBYK0hJNFRzPQ==.",
         "unknown: ***."},
        {"bad proof p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "bad proof ***"},
        {"not C4C9334BAC560ECC979E58001B3E22FB", "not ***"},
        {"a=b", "a=b"},
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        struct slice shown = pop3_veil_over(&veil, slice_from_string(said[i][0]));
        if (!slice_equal(shown, slice_from_string(said[i][1])))
            fail_msg("%s became %.*s", said[i][0], (int)shown.len, shown.data);
    }
    pop3_veil_done(&veil);
}

static void a_line_of_the_greatest_length_is_read_to_its_end(void **state)
{
    char *text = malloc(POP3_VEIL_OCTETS_MAX + 10);
    (void)state;
    assert_non_null(text);
    memset(text, '%', POP3_VEIL_OCTETS_MAX + 10);
    memcpy(text + POP3_VEIL_OCTETS_MAX - 10, "wonderland", 10);
    struct pop3_veil veil;
    assert_true(pop3_veil_init(&veil, "wonderland"));
    struct slice shown = pop3_veil_over(&veil, (struct slice){text, POP3_VEIL_OCTETS_MAX + 10});
    assert_int_equal(shown.len, POP3_VEIL_OCTETS_MAX - 10 + 3);
    pop3_veil_done(&veil);
    free(text);
}

static void what_is_escaped_afterwards_was_looked_at_before(void **state)
{
    struct pop3_veil veil;
    char out[20];
    (void)state;
    assert_true(pop3_veil_init(&veil, "p\xc3\xa4ss\\word"));
    pop3_veil_escape(&veil, slice_from_string("\033 p\xc3\xa4ss\\word, no"), out, sizeof(out));
    assert_string_equal(out, "\\x1b ***, no");
    pop3_veil_done(&veil);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_without_a_secret_is_as_it_was),
        cmocka_unit_test(the_password_is_starred_in_any_case),
        cmocka_unit_test(the_password_is_starred_however_its_octets_are_written),
        cmocka_unit_test(the_password_is_starred_within_base64_whatever_stands_around_it),
        cmocka_unit_test(what_base64_holds_is_read_like_any_text),
        cmocka_unit_test(a_text_that_holds_a_piece_of_a_password_is_not_shown_at_all),
        cmocka_unit_test(a_token_is_found_without_looking_for_all_its_pieces),
        cmocka_unit_test(any_piece_of_a_token_is_starred),
        cmocka_unit_test(a_text_in_which_stars_would_tell_a_short_password_is_not_shown_at_all),
        cmocka_unit_test(what_was_said_is_starred_and_so_is_what_it_holds),
        cmocka_unit_test(a_line_of_the_greatest_length_is_read_to_its_end),
        cmocka_unit_test(what_is_escaped_afterwards_was_looked_at_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
