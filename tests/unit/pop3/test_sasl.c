/* SPDX-License-Identifier: MIT */
/* Whole logins against libgsasl's own server side, which a transcript cannot play: SCRAM draws a
 * nonce. */
#include "popfs/pop3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How the server behaves beyond what libgsasl does for it. */
enum manner {
    MANNER_HONEST,
    MANNER_SAYS_OK_WITHOUT_PROOF, /* in place of the last challenge */
    MANNER_FORGES_PROOF,          /* the signature of one who does not know the password */
    MANNER_SAYS_WHY,              /* "e=…" in place of the last challenge */
};

struct dialogue {
    struct pop3_session *session;
    Gsasl *library;
    Gsasl_session *server;
    const char *known_password;
    enum manner manner;
    const char *binding_kind;   /* of the client's end of the connection; NULL: none */
    const char *client_binding; /* 12 or 32 octets as text, and those of the server's end */
    const char *server_binding;
    bool done;
    struct pop3_event last;
    char last_text[FAILURE_TEXT_OCTETS];
    struct buffer client; /* all that the client said */
    bool traced;
    struct buffer trace; /* each line with LF */
};

static int server_knows_binding(const struct dialogue *dialogue, Gsasl_session *server,
                                Gsasl_property property)
{
    const char *kind = property == GSASL_CB_TLS_EXPORTER ? "tls-exporter" : "tls-unique";
    char *base64 = NULL;
    if (dialogue->server_binding == NULL || strcmp(dialogue->binding_kind, kind) != 0)
        return GSASL_NO_CALLBACK;
    assert_int_equal(
        gsasl_base64_to(dialogue->server_binding, strlen(dialogue->server_binding), &base64, NULL),
        GSASL_OK);
    int code = gsasl_property_set(server, property, base64);
    gsasl_free(base64);
    return code;
}

/* What the server of the present dialogue knows; libgsasl's callback is told by it. */
static int server_knows(Gsasl *library, Gsasl_session *server, Gsasl_property property)
{
    const struct dialogue *dialogue = gsasl_callback_hook_get(library);
    if (property == GSASL_PASSWORD)
        return gsasl_property_set(server, property, dialogue->known_password);
    if (property == GSASL_CB_TLS_EXPORTER || property == GSASL_CB_TLS_UNIQUE)
        return server_knows_binding(dialogue, server, property);
    if (property != GSASL_VALIDATE_SIMPLE)
        return GSASL_NO_CALLBACK;
    const char *password = gsasl_property_fast(server, GSASL_PASSWORD);
    bool same = password != NULL && strcmp(password, dialogue->known_password) == 0;
    return same ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static void hear(struct dialogue *dialogue, const char *text)
{
    struct pop3_event event;
    char *copy = strdup(text);
    assert_non_null(copy);
    pop3_session_feed(dialogue->session, slice_from_string(copy));
    while (pop3_session_next_event(dialogue->session, &event) != POP3_EVENT_NONE) {
        if (event.type == POP3_EVENT_TRACE) {
            assert_true(buffer_append(&dialogue->trace, event.text));
            assert_true(buffer_append_string(&dialogue->trace, "\n"));
        }
        dialogue->last = event;
        snprintf(dialogue->last_text, sizeof(dialogue->last_text), "%.*s", (int)event.text.len,
                 event.text.data);
    }
    free(copy);
}

/* The next line of the client, without its line end; false if it has none. */
static bool client_line(struct dialogue *dialogue, char *out, size_t capacity)
{
    struct slice output = pop3_session_output(dialogue->session);
    if (output.len == 0)
        return false;
    snprintf(out, capacity, "%.*s", (int)output.len - 2, output.data);
    assert_true(buffer_append(&dialogue->client, output));
    pop3_session_sent(dialogue->session, output.len);
    return true;
}

static void server_challenges(struct dialogue *dialogue, const char *challenge)
{
    char line[4096];
    /* SHA-1's signature has 20 octets; the base64 of "v=" and 20 of A. */
    if (dialogue->manner == MANNER_FORGES_PROOF && strncmp(challenge, "dj", 2) == 0)
        challenge = "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9";
    if (dialogue->manner == MANNER_SAYS_WHY && strncmp(challenge, "dj", 2) == 0)
        challenge = "ZT1pbnZhbGlkLXByb29mG1swbQ=="; /* e=invalid-proof ESC [0m */
    if (dialogue->manner == MANNER_SAYS_OK_WITHOUT_PROOF && strncmp(challenge, "dj", 2) == 0)
        snprintf(line, sizeof(line), "+OK\r\n");
    else
        snprintf(line, sizeof(line), "+ %s\r\n", challenge);
    hear(dialogue, line);
}

static void server_steps(struct dialogue *dialogue, const char *response)
{
    char *challenge = NULL;
    if (dialogue->done) { /* the empty line after the signature */
        assert_string_equal(response, "");
        hear(dialogue, "+OK Logged in.\r\n");
        return;
    }
    int code = gsasl_step64(dialogue->server, response, &challenge);
    if (code == GSASL_NEEDS_MORE || (code == GSASL_OK && challenge[0] != '\0')) {
        dialogue->done = code == GSASL_OK;
        server_challenges(dialogue, challenge);
    } else {
        hear(dialogue, code == GSASL_OK ? "+OK Logged in.\r\n" : "-ERR [AUTH] refused\r\n");
    }
    gsasl_free(challenge);
}

static void server_answers(struct dialogue *dialogue, const char *line, const char *mechanism)
{
    char capa[128];
    if (strcmp(line, "CAPA") == 0) {
        snprintf(capa, sizeof(capa), "+OK\r\nSASL %s\r\n.\r\n", mechanism);
        hear(dialogue, capa);
    } else if (strncmp(line, "AUTH ", 5) == 0) {
        const char *initial = strchr(line + 5, ' ');
        bool client_first = strcmp(mechanism, "PLAIN") == 0 || strncmp(mechanism, "SCRAM", 5) == 0;
        if (initial != NULL)
            server_steps(dialogue, initial + 1);
        else if (client_first)
            hear(dialogue, "+ \r\n");
        else
            server_steps(dialogue, "");
    } else if (strcmp(line, "*") == 0) {
        hear(dialogue, "-ERR canceled\r\n");
    } else {
        server_steps(dialogue, line);
    }
}

static void run_as(struct dialogue *dialogue, const char *mechanism, enum pop3_auth auth,
                   const char *user, const char *password)
{
    const struct pop3_options options = {
        .security = POP3_SECURITY_TLS,
        .auth = auth,
        .host = "pop.example.org",
        .user = user,
        .password = password,
        .trace = dialogue->traced,
    };
    char line[4096];
    dialogue->session = pop3_session_new(&options);
    assert_non_null(dialogue->session);
    if (dialogue->binding_kind != NULL)
        pop3_session_bind(dialogue->session, dialogue->binding_kind,
                          slice_from_string(dialogue->client_binding));
    assert_int_equal(gsasl_init(&dialogue->library), GSASL_OK);
    gsasl_callback_set(dialogue->library, server_knows);
    gsasl_callback_hook_set(dialogue->library, dialogue);
    assert_int_equal(gsasl_server_start(dialogue->library, mechanism, &dialogue->server), GSASL_OK);
    hear(dialogue, "+OK ready\r\n");
    for (int i = 0; i < 20 && client_line(dialogue, line, sizeof(line)); i++)
        server_answers(dialogue, line, mechanism);
}

static void run(struct dialogue *dialogue, const char *mechanism, const char *user,
                const char *password)
{
    run_as(dialogue, mechanism, POP3_AUTH_AUTO, user, password);
}

static void end(struct dialogue *dialogue)
{
    gsasl_finish(dialogue->server);
    gsasl_done(dialogue->library);
    pop3_session_free(dialogue->session);
    buffer_done(&dialogue->client);
    buffer_done(&dialogue->trace);
}

static const char *const mechanisms[] = {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1",
                                         "SCRAM-SHA-256"};

static void every_mechanism_logs_in_with_the_right_password(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        struct dialogue dialogue = {.known_password = "won der%land,=\xc3\xa4"};
        run(&dialogue, mechanisms[i], "ali=ce,b", "won der%land,=\xc3\xa4");
        assert_int_equal(dialogue.last.type, POP3_EVENT_LOGGED_IN);
        assert_string_equal(pop3_session_mechanism(dialogue.session), mechanisms[i]);
        end(&dialogue);
    }
}

static void every_mechanism_is_refused_with_a_wrong_password(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        struct dialogue dialogue = {.known_password = "right"};
        run(&dialogue, mechanisms[i], "alice", "wrong");
        assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
        assert_int_equal(dialogue.last.fault, FAULT_LOGIN);
        assert_string_equal(dialogue.last_text, "the server refused the login: [AUTH] refused");
        end(&dialogue);
    }
}

static void a_password_of_1024_octets_logs_in(void **state)
{
    char password[1025];
    (void)state;
    memset(password, 'p', sizeof(password) - 1);
    password[sizeof(password) - 1] = '\0';
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        struct dialogue dialogue = {.known_password = password};
        run(&dialogue, mechanisms[i], "alice", password);
        assert_int_equal(dialogue.last.type, POP3_EVENT_LOGGED_IN);
        end(&dialogue);
    }
}

static void scram_without_the_servers_proof_is_no_login(void **state)
{
    struct dialogue dialogue = {.known_password = "secret", .manner = MANNER_SAYS_OK_WITHOUT_PROOF};
    (void)state;
    run(&dialogue, "SCRAM-SHA-256", "alice", "secret");
    assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
    assert_int_equal(dialogue.last.fault, FAULT_UNTRUSTED);
    assert_string_equal(dialogue.last_text, "the server did not prove that it knows the password");
    end(&dialogue);
}

static void scram_with_a_forged_proof_ends_with_a_star(void **state)
{
    struct dialogue dialogue = {.known_password = "secret", .manner = MANNER_FORGES_PROOF};
    (void)state;
    run(&dialogue, "SCRAM-SHA-1", "alice", "secret");
    assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
    assert_int_equal(dialogue.last.fault, FAULT_UNTRUSTED);
    assert_string_equal(dialogue.last_text,
                        "the server did not prove that it knows the password (SCRAM-SHA-1)");
    assert_non_null(memmem(dialogue.client.data, dialogue.client.len, "\r\n*\r\n", 5));
    end(&dialogue);
}

static void a_server_that_says_why_it_refuses_is_quoted(void **state)
{
    struct dialogue dialogue = {.known_password = "secret", .manner = MANNER_SAYS_WHY};
    (void)state;
    run(&dialogue, "SCRAM-SHA-256", "alice", "secret");
    assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
    assert_int_equal(dialogue.last.fault, FAULT_LOGIN);
    assert_string_equal(dialogue.last_text, "the server refused the login: invalid-proof\\x1b[0m");
    end(&dialogue);
}

/* With salt, count, nonces and signature anybody could guess the password of a log. */
static void a_trace_shows_nothing_of_scram(void **state)
{
    static const char shown[] = "+OK ready\nCAPA\n+OK\nSASL SCRAM-SHA-256\n.\nAUTH SCRAM-SHA-256 "
                                "***\n+ ***\n***\n+ ***\n***\n+OK Logged in.\nCAPA\n";
    struct dialogue dialogue = {.known_password = "secret", .traced = true};
    (void)state;
    run(&dialogue, "SCRAM-SHA-256", "alice", "secret");
    assert_int_equal(dialogue.last.type, POP3_EVENT_LOGGED_IN);
    assert_true(slice_has_prefix_nocase(buffer_slice(&dialogue.trace), slice_from_string(shown)));
    end(&dialogue);
}

/* ---- channel binding ---- */

static const char exported[] = "thirty-two octets that TLS gives";
static const char finished[] = "twelve bytes";

static void scram_plus_binds_the_login_to_the_connection(void **state)
{
    (void)state;
    const struct dialogue bound[] = {
        {.binding_kind = "tls-exporter", .client_binding = exported, .server_binding = exported},
        {.binding_kind = "tls-unique", .client_binding = finished, .server_binding = finished},
    };
    for (size_t i = 0; i < sizeof(bound) / sizeof(bound[0]); i++) {
        struct dialogue dialogue = bound[i];
        dialogue.known_password = "secret";
        run(&dialogue, "SCRAM-SHA-256-PLUS", "alice", "secret");
        assert_int_equal(dialogue.last.type, POP3_EVENT_LOGGED_IN);
        assert_string_equal(pop3_session_mechanism(dialogue.session), "SCRAM-SHA-256-PLUS");
        end(&dialogue);
    }
}

static void scram_plus_through_a_man_in_the_middle_is_refused(void **state)
{
    (void)state;
    struct dialogue dialogue = {
        .known_password = "secret",
        .binding_kind = "tls-exporter",
        .client_binding = exported,
        .server_binding = "the exporter of another connectn",
    };
    run(&dialogue, "SCRAM-SHA-256-PLUS", "alice", "secret");
    assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
    assert_int_equal(dialogue.last.fault, FAULT_LOGIN);
    end(&dialogue);
}

static void scram_plus_with_a_wrong_password_is_refused(void **state)
{
    (void)state;
    struct dialogue dialogue = {
        .known_password = "right",
        .binding_kind = "tls-exporter",
        .client_binding = exported,
        .server_binding = exported,
    };
    run(&dialogue, "SCRAM-SHA-256-PLUS", "alice", "wrong");
    assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
    assert_int_equal(dialogue.last.fault, FAULT_LOGIN);
    end(&dialogue);
}

/* libgsasl cannot say "y" (sasl.c tells why); should it learn to, the server below would refuse it.
 */
static void scram_without_plus_says_that_it_does_not_bind(void **state)
{
    (void)state;
    struct dialogue dialogue = {
        .known_password = "secret",
        .binding_kind = "tls-exporter",
        .client_binding = exported,
        .server_binding = exported,
    };
    run(&dialogue, "SCRAM-SHA-256", "alice", "secret");
    assert_int_equal(dialogue.last.type, POP3_EVENT_LOGGED_IN);
    assert_non_null(memmem(dialogue.client.data, dialogue.client.len, "SCRAM-SHA-256 biws", 18));
    end(&dialogue);
}

/* ---- tokens ---- */

static struct pop3_session *session_of_token(enum pop3_auth auth, const char *user,
                                             const char *token)
{
    const struct pop3_options options = {
        .security = POP3_SECURITY_TLS,
        .auth = auth,
        .host = "server.example.com",
        .port = 143,
        .user = user,
        .password = token,
    };
    return pop3_session_new(&options);
}

static void expect_line(struct dialogue *dialogue, const char *expected)
{
    char line[32768];
    assert_true(client_line(dialogue, line, sizeof(line)));
    assert_string_equal(line, expected);
}

/* RFC 7628, 4.1. */
static void oauthbearer_says_what_its_rfc_says(void **state)
{
    struct dialogue dialogue = {0};
    (void)state;
    dialogue.session = session_of_token(POP3_AUTH_OAUTHBEARER, "user@example.com",
                                        "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    hear(&dialogue, "+OK ready\r\n");
    expect_line(&dialogue, "CAPA");
    hear(&dialogue, "+OK\r\nSASL OAUTHBEARER\r\n.\r\n");
    expect_line(&dialogue,
                "AUTH OAUTHBEARER bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAX"
                "BvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0"
                "Q2c9PQEB");
    hear(&dialogue, "+OK\r\n");
    expect_line(&dialogue, "CAPA");
    pop3_session_free(dialogue.session);
    buffer_done(&dialogue.client);
}

static void expect_token_in(const char *base64, const char *before, const char *token)
{
    char *message = NULL;
    size_t octets = 0;
    assert_int_equal(gsasl_base64_from(base64, strlen(base64), &message, &octets), GSASL_OK);
    assert_true(octets == strlen(before) + strlen(token) + 2);
    assert_memory_equal(message, before, strlen(before));
    assert_memory_equal(message + strlen(before), token, strlen(token));
    assert_memory_equal(message + octets - 2, "\001\001", 2);
    gsasl_free(message);
}

static void a_token_of_16_kib_logs_in(void **state)
{
    static const struct {
        enum pop3_auth auth;
        const char *name;
        const char *before;
    } rows[] = {
        {POP3_AUTH_XOAUTH2, "XOAUTH2", "user=alice\001auth=Bearer "},
        {POP3_AUTH_OAUTHBEARER, "OAUTHBEARER",
         "n,a=alice,\001host=server.example.com\001port=143\001auth=Bearer "},
    };
    char token[16385], line[32768], capa[64], auth[64];
    (void)state;
    for (size_t i = 0; i < sizeof(token) - 1; i++)
        token[i] = (char)('A' + i % 26);
    token[sizeof(token) - 1] = '\0';
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialogue dialogue = {.session = session_of_token(rows[i].auth, "alice", token)};
        snprintf(capa, sizeof(capa), "+OK\r\nSASL %s\r\n.\r\n", rows[i].name);
        snprintf(auth, sizeof(auth), "AUTH %s", rows[i].name);
        hear(&dialogue, "+OK ready\r\n");
        expect_line(&dialogue, "CAPA");
        hear(&dialogue, capa);
        expect_line(&dialogue, auth);
        hear(&dialogue, "+ \r\n");
        assert_true(client_line(&dialogue, line, sizeof(line)));
        expect_token_in(line, rows[i].before, token);
        hear(&dialogue, "+OK\r\n");
        expect_line(&dialogue, "CAPA");
        hear(&dialogue, "-ERR\r\n");
        assert_int_equal(dialogue.last.type, POP3_EVENT_LOGGED_IN);
        assert_string_equal(pop3_session_mechanism(dialogue.session), rows[i].name);
        pop3_session_free(dialogue.session);
        buffer_done(&dialogue.client);
    }
}

static void characters_that_scram_forbids_are_a_clear_error(void **state)
{
    struct dialogue dialogue = {.known_password = "secret"};
    (void)state;
    run_as(&dialogue, "SCRAM-SHA-256", POP3_AUTH_SCRAM_SHA_256, "alice", "bad\x80utf8");
    assert_int_equal(dialogue.last.type, POP3_EVENT_FAILED);
    assert_int_equal(dialogue.last.fault, FAULT_LOGIN);
    assert_non_null(strstr(dialogue.last_text, "SCRAM-SHA-256 cannot carry this user name or"));
    end(&dialogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mechanism_logs_in_with_the_right_password),
        cmocka_unit_test(every_mechanism_is_refused_with_a_wrong_password),
        cmocka_unit_test(a_password_of_1024_octets_logs_in),
        cmocka_unit_test(scram_without_the_servers_proof_is_no_login),
        cmocka_unit_test(scram_with_a_forged_proof_ends_with_a_star),
        cmocka_unit_test(a_server_that_says_why_it_refuses_is_quoted),
        cmocka_unit_test(a_trace_shows_nothing_of_scram),
        cmocka_unit_test(scram_plus_binds_the_login_to_the_connection),
        cmocka_unit_test(scram_plus_through_a_man_in_the_middle_is_refused),
        cmocka_unit_test(scram_plus_with_a_wrong_password_is_refused),
        cmocka_unit_test(scram_without_plus_says_that_it_does_not_bind),
        cmocka_unit_test(oauthbearer_says_what_its_rfc_says),
        cmocka_unit_test(a_token_of_16_kib_logs_in),
        cmocka_unit_test(characters_that_scram_forbids_are_a_clear_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
