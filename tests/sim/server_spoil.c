/* SPDX-License-Identifier: MIT */
/* What is done to an answer after it was made: it is lost, doubled, torn, slowed, cut. */
#include "server_parts.h"

#include <string.h>

static uint64_t some_place(struct sim_session *session, enum sim_fault fault, uint64_t from,
                           uint64_t below)
{
    return from + sim_random_below(fault_random(session->server, fault), below - from);
}

/* The answer breaks off at the place; what was sent of a body is remembered. */
static void break_off(struct sim_session *session, uint64_t place)
{
    struct sim_sent *sent = session->answer.sent;
    if (sent != NULL && place < sent->wire_end)
        sent_cut(session, sent, place);
    session_truncate(session, place);
    if (session->answer.verb == SIM_VERB_QUIT && session->quit != SIM_QUIT_NONE)
        session->quit = SIM_QUIT_RECEIVED;
}

static void fall_silent(struct sim_session *session)
{
    struct answer *answer = &session->answer;
    bool at_once = sim_random_chance(fault_random(session->server, SIM_FAULT_SILENCE), 500);
    break_off(session,
              at_once ? answer->begin
                      : some_place(session, SIM_FAULT_SILENCE, answer->begin, session->wire_made));
    session->is_silent = true;
}

static void answer_twice(struct sim_session *session)
{
    struct buffer copy = {0};
    struct slice made = session_made_since(session, session->answer.begin);
    if (buffer_append(&copy, made))
        session_put(session, buffer_slice(&copy));
    buffer_done(&copy);
}

static void put_stray(struct sim_session *session)
{
    static const char *const lines[] = {
        "+OK", "-ERR", "-ERR [SYS/TEMP] something else failed", "+OK 120 octets", "+OK 1 abc", ".",
    };
    struct sim_random *random = fault_random(session->server, SIM_FAULT_STRAY_ANSWER);
    session_put_line(session, "%s", lines[sim_random_below(random, 6)]);
}

/* In place of the answer, what no POP3 server says; of a body that came with it nothing is left. */
static void garble(struct sim_session *session)
{
    static const char *const lines[] = {
        "+Okay", "+ERR", "+", "", "-", "OK", "\x80\x01\xff", "* BYE", "<html>",
    };
    struct sim_random *random = fault_random(session->server, SIM_FAULT_GARBLED_ANSWER);
    uint64_t drawn = sim_random_below(random, 10);
    break_off(session, session->answer.begin);
    if (drawn < sizeof(lines) / sizeof(lines[0])) {
        session_put_line(session, "%s", lines[drawn]);
        return;
    }
    session_put(session, SLICE_LITERAL("+OK "));
    for (uint64_t left = 170 + sim_random_below(random, 400); left > 0; left--)
        session_put(session, SLICE_LITERAL("this status line does not come to an end, "));
    session_put(session, session_eol(session));
}

/* The octets of the body on the wire, without the final dot line. */
static uint64_t body_end(const struct sim_session *session)
{
    return session->answer.sent->wire_end - 1 - session_eol(session).len;
}

static void tear_body(struct sim_session *session, enum sim_fault fault)
{
    break_off(session,
              some_place(session, fault, session->answer.sent->wire_begin, body_end(session)));
    if (fault != SIM_FAULT_STATUS_IN_BODY)
        return;
    session_put(session, session_eol(session));
    session_put_line(session, "-ERR [SYS/TEMP] read error");
}

static void leave_out_lf(struct sim_session *session)
{
    break_off(session, body_end(session) - 1);
    answer_dot(session);
}

/* Those that need a body on the wire; without one the fault does not come to pass. */
static void spoil_body(struct sim_session *session)
{
    if (session->answer.sent == NULL || body_end(session) <= session->answer.sent->wire_begin)
        return;
    if (answer_fault(session, SIM_FAULT_TORN_BODY))
        tear_body(session, SIM_FAULT_TORN_BODY);
    else if (answer_fault(session, SIM_FAULT_STATUS_IN_BODY))
        tear_body(session, SIM_FAULT_STATUS_IN_BODY);
    else if (answer_fault(session, SIM_FAULT_MISSING_LF))
        leave_out_lf(session);
}

/* Some octets a second, or one in up to two minutes: before any time-out, or after it. */
static uint32_t drip_rate(struct sim_random *random)
{
    if (sim_random_below(random, 2) == 0)
        return 1000 * (1 + (uint32_t)sim_random_skewed(random, 300));
    return 1000 / (1 + (uint32_t)sim_random_below(random, 120));
}

static void spoil_time(struct sim_session *session)
{
    struct sim_server *server = session->server;
    if (answer_fault(session, SIM_FAULT_SLOW_ANSWER))
        session->answer.delay_ms +=
            500 + (int64_t)sim_random_skewed(fault_random(server, SIM_FAULT_SLOW_ANSWER), 200000);
    else if (answer_fault(session, SIM_FAULT_DRIP))
        session->answer.rate = drip_rate(fault_random(server, SIM_FAULT_DRIP));
}

void answer_spoil(struct sim_session *session)
{
    struct answer *answer = &session->answer;
    if (session->wire_made == answer->begin || answer->drawn_count == 0)
        return;
    spoil_body(session);
    spoil_time(session);
    if (answer_fault(session, SIM_FAULT_SILENCE)) {
        fall_silent(session);
    } else if (answer_fault(session, SIM_FAULT_MISSING_ANSWER)) {
        break_off(session, answer->begin);
    } else if (answer_fault(session, SIM_FAULT_GARBLED_ANSWER)) {
        garble(session);
    } else if (answer_fault(session, SIM_FAULT_DOUBLED_ANSWER)) {
        answer_twice(session);
    } else if (answer_fault(session, SIM_FAULT_STRAY_ANSWER)) {
        put_stray(session);
    } else if (answer_fault(session, SIM_FAULT_CUT)) {
        break_off(session, some_place(session, SIM_FAULT_CUT, answer->begin, session->wire_made));
        session_close(session);
    } else if (answer_fault(session, SIM_FAULT_HANG_UP_AFTER)) {
        session_close(session);
    } else if (answer_fault(session, SIM_FAULT_UNASKED_ERROR)) {
        session_put_line(session, "-ERR [SYS/TEMP] the maildrop was closed");
        session_close(session);
    }
}
