/* SPDX-License-Identifier: MIT */
#include "fake_sync.h"
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
    .listed_at_s = 1700000000,
    .sizes = SYNC_SIZES_TRUSTED,
    .cache_folder = "/home/a/.cache/popfs/a@host:995",
    .state_folder = "/home/a/.local/state/popfs/a@host:995",
    .cache_octets = 12 * 1024 * 1024 + 300 * 1024,
    .cache_octets_max = 1024 * 1024 * 1024,
    .cache_body_count = 210,
    .bin_folder = "/home/a/.local/state/popfs/a@host:995/bin",
    .bin_octets = 2048,
    .bin_octets_max = 256 * 1024 * 1024,
    .bin_count = 12,
    .bin_s = 7 * 86400,
    .work = SYNC_WORK_REFRESH,
    .work_done = 30,
    .work_total = 200,
};

static struct status_view view_of(const struct sync_status *status)
{
    return (struct status_view){.sync = status, .pid = 4711, .mountpoint = "/home/a/mail"};
}

static char *rendered_view(bool (*render)(const struct status_view *, struct buffer *),
                           const struct status_view *view)
{
    struct buffer content = {0};
    assert_true(render(view, &content));
    assert_true(buffer_append(&content, (struct slice){"", 1}));
    assert_int_equal(strlen(content.data), content.len - 1);
    return content.data;
}

static char *rendered(bool (*render)(const struct status_view *, struct buffer *),
                      const struct sync_status *status)
{
    struct status_view view = view_of(status);
    return rendered_view(render, &view);
}

static int use_a_fixed_time_zone(void **state)
{
    (void)state;
    setenv("TZ", "UTC-2", 1);
    tzset();
    return 0;
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
    expect_line(text, "mounted on:        /home/a/mail, by process 4711");
    expect_line(text, "last listing:      2023-11-15 00:13:20");
    expect_line(text, "sizes:             exact so far");
    expect_line(text, "cache:             /home/a/.cache/popfs/a@host:995, 12.3 MiB of 1.0 GiB in "
                      "210 bodies");
    expect_line(text, "state folder:      /home/a/.local/state/popfs/a@host:995");
    expect_line(text, "bin:               12 deleted messages, 2.0 KiB, for 7 days");
    expect_line(text, "work:              refresh 30 of 200");
    expect_line(text, "last commit:       none");
    expect_line(text, "sandbox:           -");
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
    expect_line(text, "last listing:      -");
    expect_line(text, "sizes:             not proven yet");
    expect_line(text, "cache:             off, for this mount alone, 0 octets in 0 bodies");
    expect_line(text, "state folder:      off, removals are forgotten at the end");
    expect_line(text, "bin:               off, deleted messages are not kept");
    expect_line(text, "work:              none");
    free(text);
}

static void the_last_error_has_its_local_time(void **state)
{
    (void)state;
    struct sync_status status = online;
    status.failed_at_s = 1700000000;
    failure_set(&status.failure, FAULT_TIMEOUT, "no answer for 60 s");
    char *text = rendered(status_render_text, &status);
    expect_line(text, "last error:        2023-11-15 00:13:20 timeout: no answer for 60 s");
    free(text);
}

static void who_is_offline_says_since_when_why_and_for_how_long(void **state)
{
    (void)state;
    struct sync_status status = online;
    status.link = SYNC_LINK_OFFLINE;
    status.offline_since_s = 1700000000;
    status.next_attempt_s = 8;
    status.failed_at_s = 1700000000;
    status.sizes = SYNC_SIZES_WRONG;
    failure_set(&status.failure, FAULT_TIMEOUT, "no answer for 60 s");
    char *text = rendered(status_render_text, &status);
    expect_line(text,
                "state:             offline since 2023-11-15 00:13:20 (timeout: no answer for "
                "60 s), next attempt in 8 s");
    expect_line(text, "sizes:             wrong: sizes are waited for");
    free(text);
    status.link = SYNC_LINK_IDLE;
    text = rendered(status_render_text, &status);
    expect_line(text, "state:             idle");
    expect_line(text, "session age:       -");
    free(text);
}

/* ---- the last commit ---- */

struct commit {
    struct sync *sync;
    struct sync_status status;
    struct sync_removal_failure failures[2];
    struct status_view view;
};

static int set_up_commit(void **state)
{
    static struct commit commit;
    static const struct maildrop_row rows[] = {{SLICE_LITERAL("a/\"b"), 1},
                                               {SLICE_LITERAL("bytes\xff\n"), 2}};
    commit = (struct commit){.sync = fake_sync_new(), .status = online};
    fake_sync_list(commit.sync, rows, 2);
    commit.status.commit_number = 3;
    commit.status.committed_at_s = 1700000000;
    commit.status.commit_removed_count = 12;
    commit.status.commit_failed_count = 2;
    commit.failures[0] = (struct sync_removal_failure){.message = fake_sync_message(commit.sync, 0),
                                                       .reason = "the server said -ERR \"no\"",
                                                       .from = "Ji\xc5\x99\xc3\xad",
                                                       .subject = "\xf0\x9f\x93\xa7 offer"};
    commit.failures[1] = (struct sync_removal_failure){
        .message = fake_sync_message(commit.sync, 1), .reason = "lost", .from = "cut \xc5"};
    commit.view = view_of(&commit.status);
    commit.view.failures = commit.failures;
    commit.view.failure_count = 2;
    *state = &commit;
    return use_a_fixed_time_zone(NULL);
}

static int tear_down_commit(void **state)
{
    struct commit *commit = *state;
    fake_sync_free(commit->sync);
    return 0;
}

static void a_commit_that_failed_in_part_names_each_message(void **state)
{
    struct commit *commit = *state;
    char *text = rendered_view(status_render_text, &commit->view);
    expect_line(text, "last commit:       12 deleted, 2 failed, at 2023-11-15 00:13:20\n"
                      "  a%2F%22b.eml: the server said -ERR \"no\" (Ji\xc5\x99\xc3\xad, "
                      "\xf0\x9f\x93\xa7 offer)\n"
                      "  bytes%FF%0A.eml: lost (cut \xc5)");
    free(text);
    commit->status.commit_failed_count = 102;
    commit->failures[1].from[0] = '\0';
    text = rendered_view(status_render_text, &commit->view);
    expect_line(text, "  bytes%FF%0A.eml: lost\n  and 100 more: see the log");
    free(text);
}

static void expect_json(const char *text);

static void a_cache_that_is_full_says_so_until_it_is_not(void **state)
{
    (void)state;
    struct sync_status status = online;
    snprintf(status.cache_failure, sizeof(status.cache_failure), "cannot write: No space left");
    char *text = rendered(status_render_text, &status);
    assert_non_null(strstr(text, " in 210 bodies; cannot write: No space left\n"));
    free(text);
    text = rendered(status_render_json, &status);
    expect_json(text);
    assert_non_null(strstr(text, "\"error\": \"cannot write: No space left\"},"));
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
        assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
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

static const char *json_array(const char *at)
{
    assert_int_equal(*at, '[');
    at = json_space(at + 1);
    while (*at != ']') {
        at = json_space(json_value(at));
        if (*at == ',')
            at = json_space(at + 1);
    }
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
    if (*at == '[')
        return json_array(at);
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

/* Programs may rely on these, and people on their order. */
static void json_has_its_keys_in_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"state",
                                       "pid",
                                       "mountpoint",
                                       "read_only",
                                       "account",
                                       "server",
                                       "transport",
                                       "login",
                                       "implementation",
                                       "capabilities",
                                       "session_age_s",
                                       "session_count",
                                       "listed_at_s",
                                       "message_count",
                                       "message_octets",
                                       "unshown_count",
                                       "skipped_row_count",
                                       "listing_doubted",
                                       "pending_removal_count",
                                       "held_removal_count",
                                       "waiting_count",
                                       "received_octets",
                                       "sizes",
                                       "cache",
                                       "state_folder",
                                       "bin",
                                       "offline_since_s",
                                       "next_attempt_s",
                                       "work",
                                       "verification",
                                       "last_commit",
                                       "sandbox",
                                       "last_error"};
    char *text = rendered(status_render_json, &online);
    const char *at = text;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char member[64];
        snprintf(member, sizeof(member), "\n  \"%s\": ", keys[i]);
        at = strstr(at, member);
        assert_non_null(at);
    }
    free(text);
}

static void a_listing_that_is_out_of_order_is_told_of(void **state)
{
    (void)state;
    struct sync_status status = online;
    char *text = rendered(status_render_text, &status);
    assert_null(strstr(text, "not shown"));
    assert_null(strstr(text, "in doubt"));
    free(text);
    status.unshown_count = 3;
    status.skipped_row_count = 2;
    status.listing_is_doubted = true;
    text = rendered(status_render_text, &status);
    assert_non_null(strstr(text, "3 messages, 2 rows that name none\n"));
    assert_non_null(strstr(text, "in doubt: the server is asked again\n"));
    free(text);
    text = rendered(status_render_json, &status);
    assert_non_null(strstr(text, "\n  \"unshown_count\": 3,\n  \"skipped_row_count\": 2,\n"
                                 "  \"listing_doubted\": true,\n"));
    free(text);
}

static void removals_that_wait_to_be_confirmed_are_told_of(void **state)
{
    (void)state;
    struct sync_status status = online;
    status.held_count = 1;
    char *text = rendered(status_render_text, &status);
    expect_line(text, "pending removals:  5, of which 1 waits for popfsctl commit: the journal has "
                      "lost lines");
    free(text);
    text = rendered(status_render_json, &status);
    assert_non_null(strstr(text, "\n  \"held_removal_count\": 1,\n"));
    free(text);
}

static void json_says_what_is_unknown_by_null(void **state)
{
    (void)state;
    struct sync_status status = {.link = SYNC_LINK_OFFLINE, .next_attempt_s = 8};
    char *text = rendered(status_render_json, &status);
    expect_json(text);
    assert_non_null(strstr(text, "\"listed_at_s\": null,"));
    assert_non_null(strstr(text, "\"offline_since_s\": null,"));
    assert_non_null(strstr(text, "\"next_attempt_s\": 8,"));
    assert_non_null(strstr(text, "\"cache\": {\"folder\": null, \"octets\": 0,"));
    assert_non_null(strstr(text, "\"state_folder\": null,"));
    assert_non_null(strstr(text, "\"bodies\": 0, \"error\": null},"));
    assert_non_null(strstr(text, "\"last_commit\": null,"));
    assert_non_null(strstr(text, "\"sandbox\": null,"));
    free(text);
    text = rendered(status_render_json, &online);
    assert_non_null(strstr(text, "\"listed_at_s\": 1700000000,"));
    assert_non_null(strstr(text, "\"next_attempt_s\": null,"));
    assert_non_null(strstr(text, "\"work\": {\"kind\": \"refresh\", \"done\": 30, "
                                 "\"total\": 200},"));
    assert_non_null(strstr(text, "\"sizes\": \"trusted\","));
    free(text);
}

static void json_keeps_utf_8_and_escapes_what_is_none(void **state)
{
    struct commit *commit = *state;
    char *text = rendered_view(status_render_json, &commit->view);
    expect_json(text);
    assert_non_null(strstr(text, "\"last_commit\": {\"number\": 3, \"at_s\": 1700000000, "
                                 "\"deleted\": 12, \"failed\": 2, \"failures\": ["));
    assert_non_null(strstr(text, "{\"name\": \"a%2F%22b.eml\", \"uidl\": \"a/\\\"b\", \"from\": "
                                 "\"Ji\xc5\x99\xc3\xad\", \"subject\": \"\xf0\x9f\x93\xa7 offer\", "
                                 "\"reason\": \"the server said -ERR \\\"no\\\"\"},"));
    assert_non_null(strstr(text, "\"uidl\": \"bytes\\u00ff\\u000a\", \"from\": \"cut \\u00c5\""));
    free(text);
}

/* Overlong forms, surrogates, what lies beyond Unicode, and halves. */
static void json_takes_no_malformed_character_for_utf_8(void **state)
{
    (void)state;
    struct status_view view = view_of(&online);
    view.mountpoint = "\xc0\xaf \xe0\x80\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82 \x80 \xff";
    view.sandbox = "\xe2\x82\xac";
    char *text = rendered_view(status_render_json, &view);
    expect_json(text);
    assert_non_null(strstr(text, "\"\\u00c0\\u00af \\u00e0\\u0080\\u00af \\u00ed\\u00a0\\u0080 "
                                 "\\u00f4\\u0090\\u0080\\u0080 \\u00e2\\u0082 \\u0080 \\u00ff\","));
    assert_non_null(strstr(text, "\"sandbox\": \"\xe2\x82\xac\","));
    free(text);
}

/* U+202E turns what follows it, U+0085 is a line end and U+009B begins a sequence for a terminal.
 */
static void json_has_no_control_or_bidirectional_character_raw(void **state)
{
    (void)state;
    struct sync_status status = online;
    struct status_view view = view_of(&status);
    snprintf(status.implementation, sizeof(status.implementation),
             "a\u202eb\xc2\x85"
             "c\xc2\x9b"
             "d\u2066e");
    view.mountpoint = "/home/\u0159\u200b";
    char *text = rendered_view(status_render_json, &view);
    expect_json(text);
    assert_non_null(strstr(text, "\"a\\u202eb\\u0085c\\u009bd\\u2066e\","));
    assert_non_null(strstr(text, "\"/home/\u0159\\u200b\","));
    free(text);
}

static void a_mountpoint_in_utf_8_is_shown_as_it_is(void **state)
{
    (void)state;
    struct status_view view = view_of(&online);
    view.mountpoint = "/home/Ji\u0159\u00ed/po\u0161ta\u202e\n";
    char *text = rendered_view(status_render_text, &view);
    assert_non_null(
        strstr(text, " /home/Ji\u0159\u00ed/po\u0161ta\\xe2\\x80\\xae\\x0a, by process "));
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
        cmocka_unit_test(who_is_offline_says_since_when_why_and_for_how_long),
        cmocka_unit_test_setup_teardown(a_commit_that_failed_in_part_names_each_message,
                                        set_up_commit, tear_down_commit),
        cmocka_unit_test(a_cache_that_is_full_says_so_until_it_is_not),
        cmocka_unit_test(the_largest_numbers_are_printed),
        cmocka_unit_test(json_holds_what_sync_says),
        cmocka_unit_test(json_has_its_keys_in_order),
        cmocka_unit_test(a_listing_that_is_out_of_order_is_told_of),
        cmocka_unit_test(removals_that_wait_to_be_confirmed_are_told_of),
        cmocka_unit_test(json_says_what_is_unknown_by_null),
        cmocka_unit_test_setup_teardown(json_keeps_utf_8_and_escapes_what_is_none, set_up_commit,
                                        tear_down_commit),
        cmocka_unit_test(json_takes_no_malformed_character_for_utf_8),
        cmocka_unit_test(json_has_no_control_or_bidirectional_character_raw),
        cmocka_unit_test(a_mountpoint_in_utf_8_is_shown_as_it_is),
        cmocka_unit_test(json_survives_every_byte_that_a_server_can_send),
        cmocka_unit_test(json_does_not_let_a_text_end_its_string),
    };
    return cmocka_run_group_tests(tests, use_a_fixed_time_zone, NULL);
}
