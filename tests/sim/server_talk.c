/* SPDX-License-Identifier: MIT */
#include "server_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

const char *const talk_messages[3] = {
    "From: anna@example.org\r\nSubject: one\r\nDate: Mon, 12 Oct 2026 08:15:42 +0200\r\n"
    "Message-ID: <1@x>\r\n\r\nfirst line\r\n.hidden\r\nthird line\r\n",
    "From: ben@example.org\r\nSubject: caf\xc3\xa9\r\nMessage-ID: <2@x>\r\n\r\nno end",
    "From: anna@example.org\r\nSubject: three\r\nMessage-ID: <3@x>\r\n\r\nlonger than the others, "
    "so that it can be told from them by its size alone\r\n.\r\nlast\r\n",
};

void talk_begin_with(struct talk *talk, const struct sim_faults *faults, uint64_t seed)
{
    struct sim_random random = sim_random_from_seed(seed);
    *talk = (struct talk){.server = sim_server_new(faults, &random), .patience_ms = 1000};
    for (size_t i = 0; i < 3; i++)
        (void)sim_server_deliver_octets(talk->server, slice_from_string(talk_messages[i]), 0);
}

void talk_begin(struct talk *talk, enum sim_fault fault, uint64_t seed)
{
    struct sim_faults faults;
    sim_faults_none(&faults);
    if (fault != SIM_FAULT_COUNT)
        sim_faults_force(&faults, fault, 1000);
    talk_begin_with(talk, &faults, seed);
}

void talk_end(struct talk *talk)
{
    sim_server_free(talk->server);
    buffer_done(&talk->heard);
}

void talk_drop(struct talk *talk)
{
    if (talk->session != NULL)
        sim_session_drop(talk->session, talk->now_ms);
    talk->session = NULL;
}

bool talk_connect(struct talk *talk)
{
    talk_drop(talk);
    talk->session = sim_server_accept(talk->server, talk->now_ms);
    if (talk->session == NULL)
        return false;
    (void)talk_hear(talk);
    return true;
}

void talk_send(struct talk *talk, const char *line)
{
    size_t octets = strlen(line);
    assert_int_equal(sim_session_feed(talk->session, (struct slice){line, octets}, talk->now_ms),
                     octets);
    assert_int_equal(sim_session_feed(talk->session, SLICE_LITERAL("\r\n"), talk->now_ms), 2);
}

const char *talk_hear(struct talk *talk)
{
    char octets[4096];
    int64_t end_ms = talk->now_ms + talk->patience_ms;
    talk->heard.len = 0;
    for (;;) {
        size_t count = sim_session_take(talk->session, talk->now_ms, octets, sizeof(octets));
        assert_true(buffer_append(&talk->heard, (struct slice){octets, count}));
        if (count > 0)
            continue;
        struct sim_session_truth truth =
            sim_server_session(talk->server, sim_session_number(talk->session));
        if (talk->heard.len > 0 && truth.taken_octets == truth.wire_octets)
            break;
        int64_t next_ms = sim_session_next_ms(talk->session);
        if (next_ms < 0 || next_ms > end_ms || talk_is_closed(talk))
            break;
        talk->now_ms = next_ms > talk->now_ms ? next_ms : talk->now_ms;
    }
    assert_true(buffer_append(&talk->heard, (struct slice){"", 1}));
    talk->heard.len--;
    return talk->heard.data;
}

const char *talk_say(struct talk *talk, const char *line)
{
    talk_send(talk, line);
    return talk_hear(talk);
}

const char *talk_say_all(struct talk *talk, const char *lines)
{
    char line[256];
    const char *answer = "";
    while (*lines != '\0') {
        size_t octets = strcspn(lines, "|");
        snprintf(line, sizeof(line), "%.*s", (int)octets, lines);
        answer = talk_say(talk, line);
        lines += octets + (lines[octets] == '|');
    }
    return answer;
}

const char *talk_log_in(struct talk *talk)
{
    char line[64];
    (void)talk_say(talk, "USER " SIM_SERVER_USER);
    snprintf(line, sizeof(line), "PASS %s", sim_server_password(talk->server));
    return talk_say(talk, line);
}

void talk_enter(struct talk *talk)
{
    assert_true(talk_connect(talk));
    assert_int_equal(strncmp(talk_log_in(talk), "+OK", 3), 0);
}

bool talk_is_closed(const struct talk *talk)
{
    return sim_session_is_closed(talk->session, talk->now_ms);
}
