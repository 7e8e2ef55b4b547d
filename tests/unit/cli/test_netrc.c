/* SPDX-License-Identifier: MIT */
/* ~/.netrc: which entry is taken, and how words are quoted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "netrc.h"

static bool equals(struct slice word, const char *text)
{
    return slice_equal(word, slice_from_string(text));
}

/* `login` and `password` NULL: nothing is found. */
static void expect(const char *text, const char *host, const char *user, const char *login,
                   const char *password)
{
    char *copy = strdup(text);
    struct netrc_entry entry;
    bool found = netrc_find(copy, strlen(copy), host, user, &entry);
    assert_int_equal(found, login != NULL);
    if (found) {
        assert_true(equals(entry.login, login));
        assert_true(equals(entry.password, password));
    }
    free(copy);
}

static void the_entry_of_host_and_login_is_taken(void **state)
{
    (void)state;
    static const char text[] = "machine other login alice password one\n"
                               "machine pop.example.org login bob password two\n"
                               "machine pop.example.org login alice password three\n";
    expect(text, "pop.example.org", "alice", "alice", "three");
    expect(text, "POP.example.org", "bob", "bob", "two");
    expect(text, "pop.example.org", "carol", NULL, NULL);
    expect(text, "example.org", "alice", NULL, NULL);
}

static void the_order_and_the_lines_of_an_entry_are_free(void **state)
{
    (void)state;
    expect("machine h\n\tpassword p\n\taccount x\n\tlogin a\n", "h", "a", "a", "p");
    expect("machine h password p login a machine i login a password q", "i", "a", "a", "q");
}

static void an_entry_without_login_is_for_everybody(void **state)
{
    (void)state;
    expect("machine h password p", "h", "alice", "", "p");
}

static void default_is_taken_where_it_stands(void **state)
{
    (void)state;
    expect("machine h login b password 1 default login a password 2", "h", "a", "a", "2");
    expect("default password 2 machine h login a password 1", "h", "a", "", "2");
    expect("machine h login a password 1 default password 2", "h", "a", "a", "1");
}

static void an_entry_without_password_does_not_help(void **state)
{
    (void)state;
    expect("machine h login a machine h login a password p", "h", "a", "a", "p");
    expect("machine h login a", "h", "a", NULL, NULL);
}

static void without_a_user_the_first_login_counts(void **state)
{
    (void)state;
    expect("machine h password p machine h login a password q", "h", NULL, "a", "q");
    expect("machine h login b", "h", NULL, "b", "");
    expect("machine h password p", "h", NULL, NULL, NULL);
}

static void words_in_quotes_hold_spaces_and_escapes(void **state)
{
    (void)state;
    expect("machine h login \"a b\" password \"q\\\"u\\\\o\\tt e\"", "h", "a b", "a b",
           "q\"u\\o\tt e");
    expect("machine h login a password p\\n\"x", "h", "a", "a", "p\\n\"x");
    expect("machine h login a password \"\"", "h", "a", NULL, NULL);
    expect("machine h login a password \"open", "h", "a", NULL, NULL);
    expect("machine h login a password \"open\\", "h", "a", NULL, NULL);
}

static void a_password_may_look_like_a_comment_or_a_keyword(void **state)
{
    (void)state;
    expect("machine h login a password #1", "h", "a", "a", "#1");
    expect("machine h login a password machine", "h", "a", "a", "machine");
}

static void comments_and_macros_are_passed_over(void **state)
{
    (void)state;
    expect("# machine h login a password no\nmachine h login a password yes", "h", "a", "a", "yes");
    expect("#\nmachine h login a #x password no\npassword yes", "h", "a", "a", "yes");
    expect("macdef init\nmachine h login a password no\n\nmachine h login a password yes", "h", "a",
           "a", "yes");
    expect("macdef init\nmachine h login a password no", "h", "a", NULL, NULL);
}

static void a_text_that_ends_early_gives_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",        " \n", "machine", "machine h", "machine h login", "machine h login a password",
        "account", "\""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect(texts[i], "h", "a", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_entry_of_host_and_login_is_taken),
        cmocka_unit_test(the_order_and_the_lines_of_an_entry_are_free),
        cmocka_unit_test(an_entry_without_login_is_for_everybody),
        cmocka_unit_test(default_is_taken_where_it_stands),
        cmocka_unit_test(an_entry_without_password_does_not_help),
        cmocka_unit_test(without_a_user_the_first_login_counts),
        cmocka_unit_test(words_in_quotes_hold_spaces_and_escapes),
        cmocka_unit_test(a_password_may_look_like_a_comment_or_a_keyword),
        cmocka_unit_test(comments_and_macros_are_passed_over),
        cmocka_unit_test(a_text_that_ends_early_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
