/* SPDX-License-Identifier: MIT */
/* SOURCE: what is understood, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "url.h"

static void expect(const char *text, bool tls_first, const char *user, const char *host,
                   uint16_t port)
{
    struct url url;
    struct failure failure = {0};
    assert_int_equal(url_parse(text, &url, &failure), FAULT_NONE);
    assert_int_equal(url.tls_first, tls_first);
    if (user == NULL)
        assert_null(url.user);
    else
        assert_string_equal(url.user, user);
    assert_string_equal(url.host, host);
    assert_int_equal(url.port, port);
    url_done(&url);
}

static void expect_refused(const char *text, const char *because)
{
    struct url url = {.port = 7};
    struct failure failure = {0};
    assert_int_equal(url_parse(text, &url, &failure), FAULT_REFUSED);
    if (strstr(failure.text, because) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, failure.text, because);
    assert_int_equal(url.port, 7);
    assert_null(url.user);
}

static void both_schemes_are_known_in_any_case(void **state)
{
    (void)state;
    expect("pops://alice@example.org", true, "alice", "example.org", 0);
    expect("pop3://alice@example.org", false, "alice", "example.org", 0);
    expect("POPS://alice@example.org", true, "alice", "example.org", 0);
    expect("pops://Alice@POP.Example.ORG", true, "Alice", "pop.example.org", 0);
    expect("pops://[2001:DB8::A]", true, NULL, "2001:db8::a", 0);
}

static void user_and_port_may_be_missing(void **state)
{
    (void)state;
    expect("pops://example.org", true, NULL, "example.org", 0);
    expect("pops://example.org:1995", true, NULL, "example.org", 1995);
    expect("pop3://a@h:65535", false, "a", "h", 65535);
}

static void a_slash_at_the_end_means_nothing(void **state)
{
    (void)state;
    expect("pops://alice@example.org/", true, "alice", "example.org", 0);
    expect("pops://alice@[::1]:995/", true, "alice", "::1", 995);
}

static void the_last_at_sign_splits(void **state)
{
    (void)state;
    expect("pops://alice@example.org@pop.example.org", true, "alice@example.org", "pop.example.org",
           0);
}

static void percent_signs_are_decoded_in_the_user(void **state)
{
    (void)state;
    expect("pops://alice%40example.org@h", true, "alice@example.org", "h", 0);
    expect("pops://DOM%2Falice%3aBOX@h", true, "DOM/alice:BOX", "h", 0);
    expect("pops://j%C3%B6rg@h", true, "j\xc3\xb6rg", "h", 0);
    expect_refused("pops://a%4@h", "malformed");
    expect_refused("pops://a%zz@h", "malformed");
    expect_refused("pops://a%@h", "malformed");
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    expect("pops://alice@[::1]", true, "alice", "::1", 0);
    expect("pops://[2001:db8::25]:110", true, NULL, "2001:db8::25", 110);
    expect("pops://[::ffff:127.0.0.1]", true, NULL, "::ffff:127.0.0.1", 0);
    expect_refused("pops://[::1", "host");
    expect_refused("pops://[]", "host");
    expect_refused("pops://[localhost]", "host");
    expect_refused("pops://[::1]x", "port");
}

static void an_international_host_name_becomes_what_dns_has(void **state)
{
    (void)state;
    expect("pops://alice@p\xc3\xb6st.example", true, "alice", "xn--pst-sna.example", 0);
    /* The same with a combining mark (NFC), in capitals, and with an ideographic full stop. */
    expect("pops://po\xcc\x88st.example:995", true, NULL, "xn--pst-sna.example", 995);
    expect("pops://P\xc3\x96ST.Example/", true, NULL, "xn--pst-sna.example", 0);
    expect("pops://p\xc3\xb6st\xe3\x80\x82"
           "example",
           true, NULL, "xn--pst-sna.example", 0);
    /* IDNA 2008: the sharp s is a letter of its own and not "ss". */
    expect("pops://fa\xc3\x9f.de", true, NULL, "xn--fa-hia.de", 0);
    /* ASCII is left as it is, whatever it looks like. */
    expect("pops://xn--pst-sna.example", true, NULL, "xn--pst-sna.example", 0);
    expect("pops://my_host.ab--cd.example", true, NULL, "my_host.ab--cd.example", 0);
}

static void an_odd_international_name_is_refused(void **state)
{
    (void)state;
    expect_refused("pops://p\xf6st.example", "international"); /* Latin-1 */
    expect_refused("pops://\xe2\x98\x83\xc2\xad\xe2\x80\xae.example", "international");
    /* "a/c" in one character: the host would be another than the one that is read. */
    expect_refused("pops://\xe2\x84\x80.example", "host");
    expect_refused("pops://[p\xc3\xb6::1]", "host");
}

static void a_password_is_refused_and_not_repeated(void **state)
{
    (void)state;
    struct url url;
    struct failure failure = {0};
    assert_int_equal(url_parse("pops://alice:tanstaaf@h", &url, &failure), FAULT_REFUSED);
    assert_null(strstr(failure.text, "tanstaaf"));
    assert_non_null(strstr(failure.text, "passcmd="));
    expect_refused("pops://alice:p@ss@h", "no password");
}

static void a_source_without_a_scheme_is_told_the_two_forms(void **state)
{
    (void)state;
    expect_refused("alice@example.org", "pops://");
    expect_refused("work", "pop3://");
    expect_refused("imap://alice@example.org", "pops://");
    expect_refused("", "pops://");
    expect_refused("pops:/h", "pops://");
}

static void an_empty_or_odd_host_is_refused(void **state)
{
    (void)state;
    expect_refused("pops://", "host");
    expect_refused("pops:///", "host");
    expect_refused("pops://alice@", "host");
    expect_refused("pops://alice@:995", "host");
    expect_refused("pops://h/inbox", "host");
    expect_refused("pops://h,ro", "host");
    expect_refused("pops://h\r\nQUIT", "host");
    expect_refused("pops://h h", "host");
}

static void an_empty_user_or_one_with_control_characters_is_refused(void **state)
{
    (void)state;
    expect_refused("pops://@h", "user");
    expect_refused("pops://a\nb@h", "control");
    expect_refused("pops://a%0d%0aQUIT@h", "control");
    expect_refused("pops://a%00b@h", "malformed");
    expect_refused("pops://a%7f@h", "control");
}

static void a_bad_port_is_refused(void **state)
{
    (void)state;
    expect_refused("pops://h:", "port");
    expect_refused("pops://h:0", "port");
    expect_refused("pops://h:65536", "port");
    expect_refused("pops://h:-1", "port");
    expect_refused("pops://h:pop3", "port");
    expect_refused("pops://h:99999999999999999999", "port");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_schemes_are_known_in_any_case),
        cmocka_unit_test(user_and_port_may_be_missing),
        cmocka_unit_test(a_slash_at_the_end_means_nothing),
        cmocka_unit_test(the_last_at_sign_splits),
        cmocka_unit_test(percent_signs_are_decoded_in_the_user),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
        cmocka_unit_test(an_international_host_name_becomes_what_dns_has),
        cmocka_unit_test(an_odd_international_name_is_refused),
        cmocka_unit_test(a_password_is_refused_and_not_repeated),
        cmocka_unit_test(a_source_without_a_scheme_is_told_the_two_forms),
        cmocka_unit_test(an_empty_or_odd_host_is_refused),
        cmocka_unit_test(an_empty_user_or_one_with_control_characters_is_refused),
        cmocka_unit_test(a_bad_port_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
