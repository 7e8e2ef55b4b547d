/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct sync_status online = {
    .link = SYNC_LINK_ONLINE,
    .server = "mail.example.org port 995",
    .transport = "192.0.2.1, TLSv1.3",
    .mechanism = "SCRAM-SHA-256",
    .implementation = "Dovecot",
    .pipelining = true,
    .top = true,
    .uidl = true,
    .session_age_s = 3725,
    .session_count = 2,
    .message_count = 1234,
    .message_octets = 3 * 1024 * 1024,
    .going_count = 5,
    .waiting_count = 1,
    .received_octets = 1000,
};

static char *rendered(bool (*render)(const struct sync_status *, struct buffer *),
                      const struct sync_status *status)
{
    struct buffer content = {0};
    assert_true(render(status, &content));
    assert_true(buffer_append(&content, (struct slice){"", 1}));
    assert_int_equal(strlen(content.data), content.len - 1);
    return content.data;
}

static void expect_line(const char *text, const char *expected)
{
    const char *at = strstr(text, expected);
    assert_non_null(at);
    assert_true(at == text || at[-1] == '\n');
    assert_int_equal(at[strlen(expected)], '\n');
}

static void a_person_reads_one_aligned_line_each(void **state)
{
    (void)state;
    char *text = rendered(status_render_text, &online);
    expect_line(text, "state:             online");
    expect_line(text, "server:            mail.example.org port 995");
    expect_line(text, "transport:         192.0.2.1, TLSv1.3");
    expect_line(text, "login:             SCRAM-SHA-256");
    expect_line(text, "capabilities:      PIPELINING TOP UIDL");
    expect_line(text, "session age:       1 h 2 min");
    expect_line(text, "logins:            2");
    expect_line(text, "messages:          1234");
    expect_line(text, "size:              3.0 MiB (3145728 octets)");
    expect_line(text, "pending removals:  5");
    expect_line(text, "waiting:           1");
    expect_line(text, "received:          1000 octets");
    expect_line(text, "last error:        none");
    free(text);
}

static void what_is_not_there_is_a_dash(void **state)
{
    (void)state;
    const struct sync_status offline = {.link = SYNC_LINK_OFFLINE};
    char *text = rendered(status_render_text, &offline);
    expect_line(text, "state:             offline");
    expect_line(text, "transport:         -");
    expect_line(text, "capabilities:      -");
    expect_line(text, "session age:       -");
    free(text);
}

static void the_last_error_has_its_local_time(void **state)
{
    (void)state;
    struct sync_status status = online;
    status.failed_at_s = 1700000000;
    failure_set(&status.failure, FAULT_TIMEOUT, "no answer for 60 s");
    setenv("TZ", "UTC-2", 1);
    tzset();
    char *text = rendered(status_render_text, &status);
    expect_line(text, "last error:        2023-11-15 00:13:20 timeout: no answer for 60 s");
    free(text);
}

static void the_largest_numbers_are_printed(void **state)
{
    (void)state;
    struct sync_status status = online;
    status.message_octets = UINT64_MAX;
    char *text = rendered(status_render_text, &status);
    expect_line(text, "size:              16.0 EiB (18446744073709551615 octets)");
    free(text);
}

/* ---- JSON: a checker for the grammar of RFC 8259, as far as it is used ---- */

static const char *json_value(const char *at);

static const char *json_space(const char *at)
{
    return at + strspn(at, " \n");
}

static const char *json_string(const char *at)
{
    assert_int_equal(*at, '"');
    for (at++; *at != '"'; at++) {
        assert_in_range(*at, 0x20, 0x7e);
        if (*at != '\\')
            continue;
        at++;
        if (*at == 'u')
            for (int i = 0; i < 4; i++)
                assert_true(isxdigit((unsigned char)*++at));
        else
            assert_non_null(strchr("\"\\", *at));
    }
    return at + 1;
}

static const char *json_object(const char *at)
{
    assert_int_equal(*at, '{');
    do {
        at = json_string(json_space(at + 1));
        assert_int_equal(*at, ':');
        at = json_space(json_value(json_space(at + 1)));
    } while (*at == ',');
    assert_int_equal(*at, '}');
    return at + 1;
}

static const char *json_value(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    if (*at == '"')
        return json_string(at);
    if (*at == '{')
        return json_object(at);
    assert_true(isdigit((unsigned char)*at));
    return at + strspn(at, "0123456789");
}

static void expect_json(const char *text)
{
    assert_string_equal(json_object(text), "\n");
}

static void json_holds_what_sync_says(void **state)
{
    (void)state;
    char *text = rendered(status_render_json, &online);
    expect_json(text);
    assert_non_null(strstr(text, "\"state\": \"online\","));
    assert_non_null(strstr(text, "\"top\": true, \"uidl\": true, \"utf8\": false}"));
    assert_non_null(strstr(text, "\"session_age_s\": 3725,"));
    assert_non_null(strstr(text, "\"message_count\": 1234,"));
    assert_non_null(strstr(text, "\"pending_removal_count\": 5,"));
    assert_non_null(strstr(text, "\"last_error\": null"));
    free(text);
}

static void json_survives_every_byte_that_a_server_can_send(void **state)
{
    (void)state;
    struct sync_status status = online;
    for (size_t i = 0; i < 127; i++)
        status.implementation[i] = (char)(i + 1);
    status.failed_at_s = 1;
    for (size_t i = 0; i < 255; i++)
        status.failure.text[i] = (char)(i + 1);
    status.failure.fault = FAULT_REFUSED;
    char *text = rendered(status_render_json, &status);
    expect_json(text);
    free(text);
}

static void json_does_not_let_a_text_end_its_string(void **state)
{
    (void)state;
    struct sync_status status = online;
    snprintf(status.implementation, sizeof(status.implementation), "\", \"state\": \"\\");
    char *text = rendered(status_render_json, &status);
    expect_json(text);
    assert_non_null(strstr(text, "\"implementation\": \"\\\", \\\"state\\\": \\\"\\\\\","));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_person_reads_one_aligned_line_each),
        cmocka_unit_test(what_is_not_there_is_a_dash),
        cmocka_unit_test(the_last_error_has_its_local_time),
        cmocka_unit_test(the_largest_numbers_are_printed),
        cmocka_unit_test(json_holds_what_sync_says),
        cmocka_unit_test(json_survives_every_byte_that_a_server_can_send),
        cmocka_unit_test(json_does_not_let_a_text_end_its_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
