/* SPDX-License-Identifier: MIT */
/* One command: it is read, faults are drawn for it, it is answered, and the answer may be spoilt.
 */
#include "server_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

static void draw_answer_faults(struct sim_session *session, enum sim_verb verb)
{
    struct sim_server *server = session->server;
    struct answer *answer = &session->answer;
    for (size_t i = 0; i < server->answer_fault_count; i++) {
        enum sim_fault fault = server->answer_faults[i];
        if (fault == SIM_FAULT_MAIL_ARRIVES || fault == SIM_FAULT_OTHER_DELETES ||
            (sim_fault_row(fault)->verbs & (1u << verb)) == 0)
            continue;
        if (server_draws(server, fault) &&
            answer->drawn_count < sizeof(answer->drawn) / sizeof(answer->drawn[0]))
            answer->drawn[answer->drawn_count++] = fault;
    }
}

void answer_begin(struct sim_session *session, enum sim_verb verb)
{
    session->answer = (struct answer){
        .begin = session->wire_made, .content = session->wire_made, .verb = verb, .is_open = true};
    session->answer.delay_ms = session->server->style.thinking_ms;
    if (session_trait(session, SIM_FAULT_SLOW_SERVER))
        session->answer.delay_ms = session->server->style.slow_ms;
    if (session_trait(session, SIM_FAULT_SLOW_LINE))
        session->answer.rate = 1000 * session->server->style.line_rate;
    draw_answer_faults(session, verb);
}

void answer_finish(struct sim_session *session)
{
    struct answer *answer = &session->answer;
    answer_spoil(session);
    session_let_out(session, answer->delay_ms, answer->rate);
    trace_answer(session);
    answer->is_open = false;
    if (session->is_closing && session->close_ms < session->quiet_ms)
        session->close_ms = session->quiet_ms;
}

__attribute__((format(printf, 3, 0))) static void
answer_status(struct sim_session *session, const char *status, const char *format, va_list args)
{
    char text[900];
    vsnprintf(text, sizeof(text), format, args);
    /* A code is for the client to act on: it is never left out. */
    bool bare =
        text[0] != '[' && session->answer.verb != SIM_VERB_STAT &&
        session->answer.verb != SIM_VERB_UIDL_ONE && session->answer.verb != SIM_VERB_LIST_ONE &&
        session->answer.verb != SIM_VERB_GREETING && session_trait(session, SIM_FAULT_BARE_ANSWERS);
    if (bare || text[0] == '\0')
        session_put_line(session, "%s", status);
    else
        session_put_line(session, "%s %s", status, text);
    session->answer.content = session->wire_made;
}

void answer_ok(struct sim_session *session, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer_status(session, "+OK", format, args);
    va_end(args);
}

void answer_error(struct sim_session *session, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer_status(session, "-ERR", format, args);
    va_end(args);
    session->error_count++;
    if (session->error_count < session->server->style.error_limit ||
        !session_trait(session, SIM_FAULT_HANGS_UP_ON_ERRORS))
        return;
    session->answer.drawn_count = 0;
    session_close(session);
}

void answer_dot(struct sim_session *session)
{
    session_put(session, SLICE_LITERAL("."));
    session_put(session, session_eol(session));
}

/* ---- requests ---- */

static const struct {
    const char *word;
    enum sim_verb verb;
} verbs[] = {
    {"CAPA", SIM_VERB_CAPA}, {"USER", SIM_VERB_USER}, {"PASS", SIM_VERB_PASS},
    {"APOP", SIM_VERB_APOP}, {"AUTH", SIM_VERB_AUTH}, {"UTF8", SIM_VERB_UTF8},
    {"STAT", SIM_VERB_STAT}, {"UIDL", SIM_VERB_UIDL}, {"LIST", SIM_VERB_LIST},
    {"RETR", SIM_VERB_RETR}, {"TOP", SIM_VERB_TOP},   {"DELE", SIM_VERB_DELE},
    {"RSET", SIM_VERB_RSET}, {"NOOP", SIM_VERB_NOOP}, {"QUIT", SIM_VERB_QUIT},
};

static bool take_number(struct slice *text, uint32_t *ret_number)
{
    uint64_t number = 0;
    struct slice word = slice_take_word(text);
    if (word.len == 0 || !slice_to_number(word, UINT32_MAX, &number))
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

static struct request parse(struct slice line)
{
    struct request request = {.verb = SIM_VERB_UNKNOWN};
    struct slice word = slice_take_word(&line);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (slice_equal_nocase(word, slice_from_string(verbs[i].word)))
            request.verb = verbs[i].verb;
    /* PASS may begin and end with blanks: one of them, the first, is no part of it. */
    request.argument = line.len > 0 ? slice_skip(line, 1) : line;
    request.has_msgnum = take_number(&line, &request.msgnum);
    request.has_lines = request.has_msgnum && take_number(&line, &request.lines);
    if (request.verb == SIM_VERB_UIDL && request.has_msgnum)
        request.verb = SIM_VERB_UIDL_ONE;
    if (request.verb == SIM_VERB_LIST && request.has_msgnum)
        request.verb = SIM_VERB_LIST_ONE;
    return request;
}

/* ---- execution ---- */

static void execute_in_authorization(struct sim_session *session, const struct request *request)
{
    switch ((int)request->verb) {
    case SIM_VERB_CAPA:
        answer_capa(session);
        break;
    case SIM_VERB_USER:
        answer_user(session);
        break;
    case SIM_VERB_PASS:
        answer_pass(session, request);
        break;
    case SIM_VERB_APOP:
        answer_apop(session, request);
        break;
    case SIM_VERB_AUTH:
        answer_auth(session, request);
        break;
    case SIM_VERB_UTF8:
        answer_utf8(session);
        break;
    case SIM_VERB_QUIT:
        answer_quit(session);
        break;
    default:
        answer_error(session, "log in first");
        break;
    }
}

static void execute_in_transaction(struct sim_session *session, const struct request *request)
{
    switch ((int)request->verb) {
    case SIM_VERB_CAPA:
        answer_capa(session);
        break;
    case SIM_VERB_UTF8:
        answer_utf8(session);
        break;
    case SIM_VERB_STAT:
        answer_stat(session);
        break;
    case SIM_VERB_UIDL:
    case SIM_VERB_UIDL_ONE:
        answer_uidl(session, request);
        break;
    case SIM_VERB_LIST:
    case SIM_VERB_LIST_ONE:
        answer_list(session, request);
        break;
    case SIM_VERB_RETR:
        answer_retr(session, request);
        break;
    case SIM_VERB_TOP:
        answer_top(session, request);
        break;
    case SIM_VERB_DELE:
        answer_dele(session, request);
        break;
    case SIM_VERB_RSET:
        answer_rset(session);
        break;
    case SIM_VERB_NOOP:
        answer_ok(session, "nothing done");
        break;
    case SIM_VERB_QUIT:
        answer_quit(session);
        break;
    default:
        answer_error(session, "unknown command");
        break;
    }
}

/* True where the link ends before the command is even looked at. */
static bool is_cut_short(struct sim_session *session)
{
    if (session->wire_taken < session->wire_made &&
        session_trait(session, SIM_FAULT_PIPELINING_KILLS)) {
        session_close(session);
        return true;
    }
    if (session->command_count > session->command_limit &&
        session_fault(session, SIM_FAULT_COMMAND_LIMIT)) {
        session_close(session);
        return true;
    }
    return false;
}

void session_command(struct sim_session *session, struct slice line)
{
    struct request request = parse(line);
    session->command_count++;
    trace_command(session, line);
    if (is_cut_short(session))
        return;
    server_disturb(session);
    answer_begin(session, request.verb);
    if (answer_fault(session, SIM_FAULT_OUTAGE_BEGINS)) {
        server_begin_outage(session->server, SIM_FAULT_OUTAGE_BEGINS);
    } else if (answer_fault(session, SIM_FAULT_HANG_UP)) {
        session_close(session);
    } else if (session->phase == PHASE_AUTHORIZATION) {
        execute_in_authorization(session, &request);
    } else {
        execute_in_transaction(session, &request);
    }
    answer_finish(session);
}
