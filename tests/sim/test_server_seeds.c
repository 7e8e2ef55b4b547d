/* SPDX-License-Identifier: MIT */
/* A seed repeats a history of the model server; faults go by their names, and into the trace. */
#include "server_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct history {
    uint64_t digest;
    uint32_t fired[SIM_FAULT_COUNT];
};

static void hash_octets(struct history *history, const char *octets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        history->digest = (history->digest ^ (unsigned char)octets[i]) * UINT64_C(0x100000001b3);
}

static void some_command(struct sim_random *random, int step, const struct talk *talk,
                         char line[64])
{
    static const char *const first[] = {"CAPA", "USER user", NULL, "UTF8", "STAT", "UIDL", "LIST"};
    static const char *const forms[] = {"RETR %u", "RETR %u", "TOP %u 0", "TOP %u 3", "UIDL %u",
                                        "LIST %u", "DELE %u", "DELE %u",  "RSET %u",  "NOOP %u",
                                        "LIST",    "UIDL",    "QUIT"};
    unsigned msgnum = 1 + (unsigned)sim_random_below(random, 12);
    if (step == 2)
        snprintf(line, 64, "PASS %s", sim_server_password(talk->server));
    else if (step < 7)
        snprintf(line, 64, "%s", first[step]);
    else {
        const char *form = forms[sim_random_below(random, sizeof(forms) / sizeof(forms[0]))];
        size_t before = strcspn(form, "%");
        if (form[before] == '\0')
            snprintf(line, 64, "%s", form);
        else
            snprintf(line, 64, "%.*s%u%s", (int)before, form, msgnum, form + before + 2);
    }
}

/* Sessions of a client who says this and that; each octet that it takes counts. */
static void live(struct talk *talk, struct sim_random *random, struct history *history)
{
    char line[64];
    if (!talk_connect(talk)) {
        talk->now_ms += 60000;
        return;
    }
    for (int step = 0; step < 40 && !talk_is_closed(talk); step++) {
        some_command(random, step, talk, line);
        const char *answer = talk_say(talk, line);
        hash_octets(history, answer, talk->heard.len);
        if (talk->heard.len == 0 && sim_random_chance(random, 300))
            break;
    }
    if (sim_random_chance(random, 50)) {
        sim_session_vanish(talk->session, talk->now_ms);
        talk->session = NULL;
    }
    talk_drop(talk);
    if (sim_random_chance(random, 400))
        (void)sim_server_deliver(talk->server, talk->now_ms);
    talk->now_ms += (int64_t)sim_random_below(random, 30000);
}

static struct history history_of(const struct sim_faults *faults, uint64_t seed)
{
    struct history history = {.digest = UINT64_C(0xcbf29ce484222325)};
    struct sim_random random = sim_random_from_seed(seed ^ 0x5eed);
    struct talk talk;
    talk_begin_with(&talk, faults, seed);
    talk.patience_ms = 3000;
    for (int i = 0; i < 6; i++)
        (void)sim_server_deliver(talk.server, 0);
    for (int i = 0; i < 8; i++)
        live(&talk, &random, &history);
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        history.fired[i] = sim_server_fired_count(talk.server, (enum sim_fault)i);
    talk_end(&talk);
    return history;
}

static void a_seed_repeats_each_octet(void **state)
{
    struct sim_faults faults;
    struct history first, last = {0};
    (void)state;
    sim_faults_all(&faults);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        first = history_of(&faults, seed);
        struct history again = history_of(&faults, seed);
        assert_memory_equal(&first, &again, sizeof(first));
        assert_true(first.digest != last.digest);
        last = first;
    }
}

/* So that the shrinker can drop what did nothing, and what it keeps stays as it was. */
static void a_fault_that_did_not_fire_can_be_switched_off_without_a_trace(void **state)
{
    struct sim_faults faults, fewer;
    (void)state;
    sim_faults_all(&faults);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct history history = history_of(&faults, seed);
        fewer = faults;
        for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
            if (history.fired[i] == 0)
                assert_true(sim_faults_without(&fewer, sim_fault_row((enum sim_fault)i)->name));
        assert_true(history_of(&fewer, seed).digest == history.digest);
    }
}

/* Over enough seeds each fault fires, and none does once it is switched off, by name or by class.
 */
static void each_fault_fires_and_can_be_switched_off(void **state)
{
    struct sim_faults faults;
    uint32_t fired[SIM_FAULT_COUNT] = {0};
    (void)state;
    sim_faults_all(&faults);
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct history history = history_of(&faults, seed);
        for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
            fired[i] += history.fired[i];
    }
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        if (fired[i] == 0)
            fail_msg("%s never fires", sim_fault_row((enum sim_fault)i)->name);

    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        struct sim_faults alone;
        sim_faults_none(&alone);
        sim_faults_force(&alone, (enum sim_fault)i, 1000);
        struct history on = history_of(&alone, 1);
        for (size_t other = 0; other < SIM_FAULT_COUNT; other++)
            assert_true(other == i || on.fired[other] == 0);
        assert_true(sim_faults_without(&alone, sim_fault_row((enum sim_fault)i)->name));
        assert_int_equal(history_of(&alone, 1).fired[i], 0);
        sim_faults_force(&alone, (enum sim_fault)i, 1000);
        assert_true(
            sim_faults_without(&alone, sim_class_name(sim_fault_row((enum sim_fault)i)->class)));
        assert_int_equal(history_of(&alone, 1).fired[i], 0);
    }
    assert_false(sim_faults_without(&faults, "no-such-fault"));
}

static void a_fault_fires_at_most_as_often_as_it_may(void **state)
{
    struct sim_faults faults;
    (void)state;
    sim_faults_none(&faults);
    sim_faults_force(&faults, SIM_FAULT_RETR_REFUSED, 1000);
    assert_true(history_of(&faults, 1).fired[SIM_FAULT_RETR_REFUSED] > 2);
    faults.most[SIM_FAULT_RETR_REFUSED] = 2;
    assert_int_equal(history_of(&faults, 1).fired[SIM_FAULT_RETR_REFUSED], 2);
    faults.most[SIM_FAULT_RETR_REFUSED] = 0;
    assert_int_equal(history_of(&faults, 1).fired[SIM_FAULT_RETR_REFUSED], 0);
}

/* ---- a client that reads by the book ---- */

/* The body in an answer to RETR, dots unstuffed in place; false if the answer is no whole one. */
static bool read_body(struct buffer *heard, struct slice *ret_body)
{
    char *start = heard->len == 0 ? NULL : memmem(heard->data, heard->len, "\n", 1);
    if (start == NULL || strncmp(heard->data, "+OK", 3) != 0)
        return false;
    struct slice eol = start[-1] == '\r' ? SLICE_LITERAL("\r\n") : SLICE_LITERAL("\n");
    char *from = start + 1, *to = from, *end = heard->data + heard->len;
    bool line_begins = true;
    *ret_body = (struct slice){from, 0};
    while (from < end) {
        if (line_begins && *from == '.') {
            from++;
            if ((size_t)(end - from) >= eol.len && memcmp(from, eol.data, eol.len) == 0) {
                ret_body->len = (size_t)(to - ret_body->data);
                return true;
            }
        }
        line_begins = (size_t)(end - from) >= eol.len && memcmp(from, eol.data, eol.len) == 0;
        for (size_t left = line_begins ? eol.len : 1; left > 0 && from < end; left--)
            *to++ = *from++;
    }
    return false;
}

/* Reads each message once; what came whole is what the server knows that it sent, and nothing else
 * is. */
static void read_all(struct talk *talk, uint32_t *whole_count)
{
    char line[32];
    struct slice body;
    struct sim_session_truth session =
        sim_server_session(talk->server, sim_session_number(talk->session));
    for (size_t i = 0; i < session.row_count && !talk_is_closed(talk); i++) {
        uint64_t serial = session.rows[i].serial;
        snprintf(line, sizeof(line), "RETR %u", session.rows[i].msgnum);
        (void)talk_say(talk, line);
        if (!read_body(&talk->heard, &body))
            continue;
        assert_true(sim_server_has_sent(talk->server, serial, 0, body, true, false));
        if (body.len > 0) {
            char *last = talk->heard.data + (body.data - talk->heard.data) + body.len - 1;
            *last ^= 1;
            assert_false(sim_server_has_sent(talk->server, serial, 0, body, true, false));
        }
        *whole_count += 1;
    }
}

static void what_a_client_reads_by_the_book_is_what_was_sent(void **state)
{
    struct sim_faults faults;
    uint32_t whole_count = 0;
    (void)state;
    sim_faults_all(&faults);
    assert_true(sim_faults_without(&faults, "framing"));
    assert_true(sim_faults_without(&faults, "garbled-answer"));
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct talk talk;
        talk_begin_with(&talk, &faults, seed);
        talk.patience_ms = 900000;
        for (int i = 0; i < 20; i++)
            (void)sim_server_deliver(talk.server, 0);
        for (int i = 0; i < 3; i++) {
            if (!talk_connect(&talk))
                talk.now_ms += 60000;
            else if (strncmp(talk_log_in(&talk), "+OK", 3) == 0)
                read_all(&talk, &whole_count);
        }
        talk_end(&talk);
    }
    assert_true(whole_count > 8000);
}

static void keep_line(void *context, const char *line)
{
    struct buffer *lines = context;
    assert_true(buffer_printf(lines, "%s\n", line));
}

static void the_trace_names_each_fault_that_fires(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        struct sim_faults faults;
        struct talk talk;
        struct buffer lines = {0};
        struct history history = {0};
        struct sim_random random = sim_random_from_seed(i);
        char name[64];
        sim_faults_none(&faults);
        sim_faults_force(&faults, (enum sim_fault)i, 300);
        if (sim_fault_row((enum sim_fault)i)->scope == SIM_SCOPE_TRAIT)
            faults.per_mille[i] = 1000;
        talk_begin_with(&talk, &faults, i);
        sim_server_set_trace(talk.server, keep_line, &lines);
        for (int session = 0; session < 30; session++)
            live(&talk, &random, &history);
        assert_true(buffer_append(&lines, (struct slice){"", 1}));
        snprintf(name, sizeof(name), "(fault %s)", sim_fault_row((enum sim_fault)i)->name);
        if (sim_server_fired_count(talk.server, (enum sim_fault)i) > 0 &&
            strstr(lines.data, name) == NULL)
            fail_msg("%s is not in the trace", name);
        if (sim_server_fired_count(talk.server, (enum sim_fault)i) == 0 &&
            strstr(lines.data, "(fault ") != NULL)
            fail_msg("%s is in the trace and did not fire", name);
        buffer_done(&lines);
        talk_end(&talk);
    }
}

static void the_trace_reads_well(void **state)
{
    struct talk talk;
    struct buffer lines = {0};
    (void)state;
    talk_begin(&talk, SIM_FAULT_RETR_REFUSED, 1);
    sim_server_set_trace(talk.server, keep_line, &lines);
    talk.now_ms = 12345;
    talk_enter(&talk);
    int64_t now_ms = talk.now_ms;
    char line[100];
    (void)talk_say(&talk, "RETR 1");
    assert_true(buffer_append(&lines, (struct slice){"", 1}));
    assert_non_null(strstr(lines.data, "12.345 s1 * connected\n"));
    assert_non_null(strstr(lines.data, " s1 C: RETR 1\n"));
    assert_null(strstr(lines.data, "secret"));
    snprintf(line, sizeof(line),
             "%lld.%03lld s1 S: -ERR not this one, not now (fault retr-refused)\n",
             (long long)(now_ms / 1000), (long long)(now_ms % 1000));
    assert_non_null(strstr(lines.data, line));
    lines.len = 0;
    sim_server_describe(talk.server, keep_line, &lines);
    assert_true(buffer_append(&lines, (struct slice){"", 1}));
    assert_non_null(
        strstr(lines.data, "fault retr-refused (data, for answers): RETR is refused once"));
    assert_non_null(strstr(lines.data, "message 1, UIDL "));
    buffer_done(&lines);
    talk_end(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_repeats_each_octet),
        cmocka_unit_test(a_fault_that_did_not_fire_can_be_switched_off_without_a_trace),
        cmocka_unit_test(each_fault_fires_and_can_be_switched_off),
        cmocka_unit_test(a_fault_fires_at_most_as_often_as_it_may),
        cmocka_unit_test(what_a_client_reads_by_the_book_is_what_was_sent),
        cmocka_unit_test(the_trace_names_each_fault_that_fires),
        cmocka_unit_test(the_trace_reads_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
