/* SPDX-License-Identifier: MIT */
/* What a server says it can, and which login follows from it (POP3.md rule 27). */
#include "capability.h"
#include "mechanism.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct pop3_capabilities set_of(const char *lines)
{
    struct pop3_capabilities set;
    struct pop3_veil veil = {0};
    pop3_capability_start(&set);
    struct slice rest = slice_from_string(lines);
    while (rest.len > 0) {
        size_t len = 0;
        while (len < rest.len && rest.data[len] != '\n')
            len++;
        pop3_capability_add(&set, (struct slice){rest.data, len}, &veil);
        rest = slice_skip(rest, len + 1);
    }
    return set;
}

static void every_capability_is_read_in_any_case(void **state)
{
    struct pop3_capabilities set =
        set_of("top\nUIDL\nUser\nSTLS\nPIPELINING\nUTF8 USER\nRESP-CODES\nLOGIN-DELAY 900 USER\n"
               "SASL plain LOGIN Cram-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n"
               "SASL SCRAM-SHA-256-PLUS xoauth2 OAuthBearer EXTERNAL\nIMPLEMENTATION A \x1b[1mB");
    (void)state;
    assert_true(set.known && set.top && set.uidl && set.user && set.stls && set.pipelining);
    assert_true(set.utf8 && set.resp_codes && set.sasl_plain && set.sasl_login);
    assert_true(set.sasl_cram_md5 && set.sasl_scram_sha_1 && set.sasl_scram_sha_256);
    assert_true(set.sasl && set.sasl_scram_sha_256_plus && set.sasl_xoauth2);
    assert_true(set.sasl_oauthbearer && set.sasl_external);
    assert_int_equal(set.login_delay_s, 900);
    assert_string_equal(set.implementation, "A \\x1b[1mB");
}

static void unknown_or_twisted_words_are_skipped(void **state)
{
    struct pop3_capabilities set =
        set_of("EXPIRENEVER\nXTOP\nTOPX\n\n \t\nSASL\nLOGIN-DELAY\nLOGIN-DELAY -1\nLOGIN-DELAY "
               "99999999999\nIMPLEMENTATION");
    (void)state;
    assert_false(set.top || set.sasl || set.pipelining);
    assert_int_equal(set.login_delay_s, 0);
    assert_string_equal(set.implementation, "");
}

static void a_server_without_capa_may_do_what_rfc_1939_has(void **state)
{
    struct pop3_capabilities set;
    (void)state;
    pop3_capability_assume(&set);
    assert_true(set.user && set.top && set.uidl);
    assert_false(set.known || set.pipelining || set.stls || set.utf8);
}

static void auto_takes_the_strongest_that_is_offered(void **state)
{
    static const struct {
        const char *lines;
        bool stamp;
        bool tls;
        enum pop3_auth auth;
    } rows[] = {
        {"SASL PLAIN SCRAM-SHA-1 SCRAM-SHA-256\nUSER", true, true, POP3_AUTH_SCRAM_SHA_256},
        {"SASL PLAIN SCRAM-SHA-1 SCRAM-SHA-256\nUSER", true, false, POP3_AUTH_SCRAM_SHA_256},
        {"SASL LOGIN PLAIN SCRAM-SHA-1", false, true, POP3_AUTH_SCRAM_SHA_1},
        {"SASL LOGIN PLAIN CRAM-MD5\nUSER", true, true, POP3_AUTH_PLAIN},
        {"SASL LOGIN PLAIN CRAM-MD5\nUSER", true, false, POP3_AUTH_APOP},
        {"SASL LOGIN PLAIN CRAM-MD5\nUSER", false, false, POP3_AUTH_CRAM_MD5},
        {"SASL LOGIN PLAIN\nUSER", false, false, POP3_AUTH_PLAIN},
        {"SASL LOGIN\nUSER", false, true, POP3_AUTH_USER},
        {"SASL LOGIN", false, true, POP3_AUTH_LOGIN},
        {"SASL CRAM-MD5", false, true, POP3_AUTH_CRAM_MD5},
        {"SASL PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", true, true, POP3_AUTH_SCRAM_SHA_256_PLUS},
        {"SASL EXTERNAL XOAUTH2 OAUTHBEARER PLAIN", false, true, POP3_AUTH_PLAIN},
        {"SASL XOAUTH2\nUSER", false, true, POP3_AUTH_USER},
        {"TOP", false, true, POP3_AUTH_USER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pop3_capabilities set = set_of(rows[i].lines);
        enum pop3_auth auth = POP3_AUTH_AUTO;
        assert_true(pop3_mechanism_choose(POP3_AUTH_AUTO, &set, rows[i].stamp, rows[i].tls, &auth));
        assert_int_equal(auth, rows[i].auth);
    }
}

static void what_is_not_offered_is_not_chosen(void **state)
{
    struct pop3_capabilities tokens = set_of("SASL XOAUTH2 OAUTHBEARER EXTERNAL");
    struct pop3_capabilities plain = set_of("SASL PLAIN");
    struct pop3_capabilities unknown;
    enum pop3_auth auth = POP3_AUTH_LOGIN;
    (void)state;
    pop3_capability_assume(&unknown);
    assert_false(pop3_mechanism_choose(POP3_AUTH_AUTO, &tokens, false, true, &auth));
    assert_false(pop3_mechanism_choose(POP3_AUTH_USER, &plain, false, true, &auth));
    assert_false(pop3_mechanism_choose(POP3_AUTH_SCRAM_SHA_256, &plain, false, true, &auth));
    assert_false(pop3_mechanism_choose(POP3_AUTH_APOP, &unknown, false, false, &auth));
    assert_int_equal(auth, POP3_AUTH_LOGIN);
    assert_true(pop3_mechanism_choose(POP3_AUTH_SCRAM_SHA_256, &unknown, false, true, &auth));
    assert_int_equal(auth, POP3_AUTH_SCRAM_SHA_256);
}

static void the_words_of_the_option_name_the_mechanisms(void **state)
{
    enum pop3_auth auth = POP3_AUTH_AUTO;
    (void)state;
    assert_true(pop3_auth_from_word("scram-sha-256", &auth));
    assert_int_equal(auth, POP3_AUTH_SCRAM_SHA_256);
    assert_true(pop3_auth_from_word("auto", &auth));
    assert_int_equal(auth, POP3_AUTH_AUTO);
    assert_true(pop3_auth_from_word("scram-sha-256-plus", &auth));
    assert_int_equal(auth, POP3_AUTH_SCRAM_SHA_256_PLUS);
    assert_true(pop3_auth_from_word("xoauth2", &auth));
    assert_int_equal(auth, POP3_AUTH_XOAUTH2);
    assert_true(pop3_auth_from_word("oauthbearer", &auth));
    assert_int_equal(auth, POP3_AUTH_OAUTHBEARER);
    assert_true(pop3_auth_from_word("external", &auth));
    assert_int_equal(auth, POP3_AUTH_EXTERNAL);
    assert_false(pop3_auth_from_word("SCRAM", &auth));
    assert_false(pop3_auth_from_word("", &auth));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_capability_is_read_in_any_case),
        cmocka_unit_test(unknown_or_twisted_words_are_skipped),
        cmocka_unit_test(a_server_without_capa_may_do_what_rfc_1939_has),
        cmocka_unit_test(auto_takes_the_strongest_that_is_offered),
        cmocka_unit_test(what_is_not_offered_is_not_chosen),
        cmocka_unit_test(the_words_of_the_option_name_the_mechanisms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
