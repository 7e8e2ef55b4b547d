/* SPDX-License-Identifier: MIT */
/*
 * One session: cuts what was fed into answers, gives each to the command that has waited longest,
 * and lets the login say what comes next until there is none. Refuses to know what answers are for.
 */
#include "capability.h"
#include "command.h"
#include "dot.h"
#include "line.h"
#include "listing.h"
#include "login.h"
#include "mechanism.h"
#include "output.h"
#include "queue.h"
#include "trace.h"
#include "veil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where in an answer the next octet stands. */
enum phase { PHASE_STATUS, PHASE_CAPABILITIES, PHASE_ROWS, PHASE_DATA };

struct pop3_session {
    enum pop3_state state;
    bool pipeline_wanted;
    bool clear_allowed; /* the user chose tls=off */
    struct pop3_login login;
    struct pop3_veil veil;
    struct pop3_line_reader lines;
    struct pop3_output output;
    struct pop3_queue queue;

    enum phase phase;
    bool bare_lf;       /* the greeting ended in a bare LF, and so do the server's other lines */
    bool handshaking;   /* between POP3_EVENT_SECURE and pop3_session_secured() */
    bool stray;         /* the status line that has begun answers nothing */
    bool held_whole;    /* `held` was traced and is still to be read */
    bool follows_crlf;  /* the last line of a multi-line answer ended in CRLF */
    uint32_t row_count; /* lines of this multi-line answer */
    struct pop3_line held;
    struct pop3_dot dot;
    struct pop3_capabilities gathered;

    struct pop3_trace trace;

    const char *foreign; /* what the greeting is of, if not of POP3; NULL */
    struct failure failure;
    enum pop3_code failure_code;
    bool failure_told;
};

/* The one place where the state changes. */
static void session_set_state(struct pop3_session *session, enum pop3_state state)
{
    if (session->state == POP3_STATE_CLOSED)
        return;
    session->state = state;
    if (state != POP3_STATE_CLOSED)
        return;
    pop3_login_done(&session->login);
    pop3_output_clear(&session->output);
    session->handshaking = false;
}

__attribute__((format(printf, 4, 5))) static void session_fail(struct pop3_session *session,
                                                               enum fault fault,
                                                               enum pop3_code code,
                                                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(session->failure.text, sizeof(session->failure.text), format, args);
    va_end(args);
    session->failure.fault = fault;
    session->failure_code = code;
    session_set_state(session, POP3_STATE_CLOSED);
}

/* `what` is wrong with the line `text`. */
static void session_garbled(struct pop3_session *session, const char *what, struct slice text)
{
    char shown[FAILURE_TEXT_OCTETS / 2];
    session_fail(session, FAULT_GARBLED, POP3_CODE_NONE, "%s: \"%s\"", what,
                 pop3_veil_escape(&session->veil, text, shown, sizeof(shown)));
}

static void session_out_of_memory(struct pop3_session *session)
{
    session_fail(session, FAULT_MEMORY, POP3_CODE_NONE, "out of memory");
}

/* ---- making and ending ---- */

static bool has_line_end(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

static void session_start(struct pop3_session *session)
{
    const struct pop3_options *options = &session->login.options;
    const struct pop3_pending greeting = {.command = POP3_GREETING};
    if (!pop3_veil_init(&session->veil, options->password) ||
        !pop3_queue_push(&session->queue, &greeting))
        session_out_of_memory(session);
    else if (has_line_end(options->user) || has_line_end(options->password))
        session_fail(session, FAULT_LOGIN, POP3_CODE_NONE,
                     "a user name or password with a line end in it cannot be sent");
}

struct pop3_session *pop3_session_new(const struct pop3_options *options)
{
    struct pop3_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->state = POP3_STATE_GREETING;
    session->pipeline_wanted = options->pipeline;
    session->trace.wanted = options->trace;
    session->clear_allowed = options->security == POP3_SECURITY_NONE;
    pop3_login_init(&session->login, options, &session->veil);
    session_start(session);
    return session;
}

void pop3_session_free(struct pop3_session *session)
{
    if (session == NULL)
        return;
    pop3_login_done(&session->login);
    pop3_line_reader_done(&session->lines);
    pop3_output_done(&session->output);
    pop3_queue_done(&session->queue);
    pop3_trace_done(&session->trace);
    pop3_veil_done(&session->veil);
    free(session);
}

/* ---- sending ---- */

static bool session_append(struct pop3_session *session, const struct slice *parts, size_t count)
{
    size_t octets = 2;
    for (size_t i = 0; i < count; i++)
        octets += parts[i].len;
    if (!pop3_output_reserve(&session->output, octets))
        return false;
    for (size_t i = 0; i < count; i++)
        pop3_output_append(&session->output, parts[i]);
    pop3_output_append(&session->output, SLICE_LITERAL("\r\n"));
    return true;
}

static struct pop3_pending session_pending(const struct pop3_session *session,
                                           enum pop3_command command, void *tag)
{
    return (struct pop3_pending){
        .command = command,
        .tag = tag,
        .asked_at = session->lines.fed_octets,
        .sent_at = session->output.sent_octets + session->output.len,
    };
}

/*
 * The choke point: every credential passes here and nowhere else, and none does in the clear unless
 * the user said so (POP3.md rule 25). It trusts no earlier check.
 */
static bool session_may_say(struct pop3_session *session, enum pop3_command command)
{
    if (!pop3_command_row(command)->secret || session->clear_allowed || session->login.tls)
        return true;
    session_fail(session, FAULT_UNTRUSTED, POP3_CODE_NONE,
                 "refused to send a credential without TLS");
    return false;
}

/* What is not shown when it is said is not shown when the server repeats it. */
static bool session_veil(struct pop3_session *session)
{
    const struct pop3_login_line *line = &session->login.line;
    bool veiled = true;
    for (size_t i = line->shown_count; i < line->count; i++)
        veiled &= pop3_veil_add(&session->veil, line->parts[i]);
    return veiled;
}

static void session_send_login(struct pop3_session *session)
{
    const struct pop3_login_line *line = &session->login.line;
    if (!session_may_say(session, line->command))
        return;
    if (!session_append(session, line->parts, line->count) || !session_veil(session)) {
        session_out_of_memory(session);
        return;
    }
    pop3_trace_add(&session->trace, line->parts, line->count, line->shown_count);
    struct pop3_pending pending = session_pending(session, line->command, NULL);
    if (line->continues)
        *pop3_queue_front(&session->queue) = pending;
    else if (!pop3_queue_push(&session->queue, &pending))
        session_out_of_memory(session);
}

struct slice pop3_session_output(const struct pop3_session *session)
{
    return pop3_output_lines(&session->output, POP3_OUTPUT_OCTETS_MAX);
}

void pop3_session_sent(struct pop3_session *session, size_t count)
{
    pop3_output_sent(&session->output, count);
}

/* ---- issuing ---- */

bool pop3_session_pipelines(const struct pop3_session *session)
{
    return session->pipeline_wanted && session->login.capabilities.pipelining;
}

bool pop3_session_may_issue(const struct pop3_session *session)
{
    return session->state == POP3_STATE_TRANSACTION &&
           (session->queue.count == 0 || pop3_session_pipelines(session));
}

static bool request_is_valid(const struct pop3_session *session, const struct pop3_request *request)
{
    const struct pop3_command_row *row = pop3_command_row(request->command);
    if (row->state != POP3_STATE_TRANSACTION || !pop3_session_may_issue(session))
        return false;
    return row->arguments == POP3_ARGUMENTS_NONE ||
           (request->msgnum > 0 && request->msgnum <= INT32_MAX);
}

enum fault pop3_session_issue(struct pop3_session *session, const struct pop3_request *request)
{
    if (!request_is_valid(session, request))
        return FAULT_REFUSED;
    char text[40];
    struct slice line = pop3_command_write(request, text, sizeof(text));
    /* Both or neither: a command that is sent and not queued would shift every later answer by one.
     */
    if (!pop3_output_reserve(&session->output, line.len + 2))
        return FAULT_MEMORY;
    struct pop3_pending pending = session_pending(session, request->command, request->tag);
    pending.sent_at += line.len + 2;
    if (!pop3_queue_push(&session->queue, &pending))
        return FAULT_MEMORY;
    (void)session_append(session, &line, 1);
    pop3_trace_add(&session->trace, &line, 1, 1);
    if (request->command == POP3_QUIT)
        session_set_state(session, POP3_STATE_UPDATE);
    return FAULT_NONE;
}

/* ---- lines ---- */

/* False: no line now; the event may have been made a TRACE, or the session has failed. */
static bool session_take_line(struct pop3_session *session, bool traced, struct pop3_event *event,
                              struct pop3_line *ret_line)
{
    if (session->held_whole) {
        session->held_whole = false;
        *ret_line = session->held;
        return true;
    }
    switch (pop3_line_take(&session->lines, ret_line)) {
    case POP3_LINE_WHOLE:
        break;
    case POP3_LINE_PARTIAL:
        return false;
    case POP3_LINE_TOO_LONG:
        session_fail(session, FAULT_GARBLED, POP3_CODE_NONE,
                     "the server sent a line of more than %d octets where none may be",
                     POP3_LINE_OCTETS_MAX);
        return false;
    case POP3_LINE_MEMORY:
        session_out_of_memory(session);
        return false;
    }
    if (!traced || !session->trace.wanted)
        return true;
    session->held = *ret_line;
    session->held_whole = true;
    event->type = POP3_EVENT_TRACE;
    event->text = pop3_veil_over(&session->veil, pop3_trace_status(ret_line->text));
    return false;
}

/* The final dot line, exactly: in a session of CRLF it has a CRLF on either side. */
static bool session_is_end(const struct pop3_session *session, const struct pop3_line *line)
{
    if (line->text.len != 1 || line->text.data[0] != '.')
        return false;
    return session->bare_lf || (line->crlf && session->follows_crlf);
}

static void session_start_answer(struct pop3_session *session, enum phase phase)
{
    session->phase = phase;
    session->follows_crlf = true;
    session->row_count = 0;
    session->lines.clips = phase == PHASE_ROWS;
}

static void session_end_answer(struct pop3_session *session)
{
    pop3_queue_pop(&session->queue);
    session->phase = PHASE_STATUS;
    session->lines.clips = false;
}

static void event_fill(const struct pop3_session *session, struct pop3_event *event,
                       enum pop3_event_type type)
{
    const struct pop3_pending *front = pop3_queue_front(&session->queue);
    event->type = type;
    event->command = front->command;
    event->tag = front->tag;
}

/* ---- answers of the login ---- */

static bool session_enter(struct pop3_session *session, struct pop3_event *event)
{
    pop3_login_done(&session->login);
    session_set_state(session, POP3_STATE_TRANSACTION);
    event->type = POP3_EVENT_LOGGED_IN;
    return true;
}

static bool session_obey(struct pop3_session *session, enum pop3_login_verdict verdict,
                         struct pop3_event *event)
{
    switch (verdict) {
    case POP3_LOGIN_SEND:
        session_set_state(session, POP3_STATE_AUTHORIZATION);
        session_send_login(session);
        return false;
    case POP3_LOGIN_SEND_ON:
        session_set_state(session, POP3_STATE_AUTHORIZATION);
        session_send_login(session);
        return session->state != POP3_STATE_CLOSED &&
               session_obey(session, pop3_login_go_on(&session->login), event);
    case POP3_LOGIN_WAIT:
        return false;
    case POP3_LOGIN_SECURE:
        session->handshaking = true;
        /* Whatever came with that line was not said under TLS (CVE-2021-39272 and its family). */
        if (session->lines.input.len > 0)
            return false;
        event->type = POP3_EVENT_SECURE;
        return true;
    case POP3_LOGIN_ENTER:
        session_send_login(session);
        return session->state != POP3_STATE_CLOSED && session_enter(session, event);
    case POP3_LOGIN_FINISHED:
        return session->state == POP3_STATE_AUTHORIZATION && session_enter(session, event);
    case POP3_LOGIN_FAILED:
        session_fail(session, session->login.failure.fault, session->login.code, "%s",
                     session->login.failure.text);
        return false;
    }
    return false;
}

static bool session_read_capability(struct pop3_session *session, struct pop3_event *event)
{
    struct pop3_line line;
    if (!session_take_line(session, true, event, &line))
        return session->failure.fault == FAULT_NONE;
    if (session_is_end(session, &line)) {
        session_end_answer(session);
        return session_obey(session, pop3_login_learn(&session->login, &session->gathered), event);
    }
    session->follows_crlf = line.crlf;
    if (++session->row_count > POP3_CAPA_LINES_MAX) {
        session_fail(session, FAULT_GARBLED, POP3_CODE_NONE,
                     "the server's CAPA has more than %d lines", POP3_CAPA_LINES_MAX);
        return false;
    }
    pop3_capability_add(&session->gathered, line.text, &session->veil);
    return false;
}

static bool session_login_status(struct pop3_session *session, const struct pop3_reply *reply,
                                 struct pop3_event *event)
{
    enum pop3_command command = pop3_queue_front(&session->queue)->command;
    if (command == POP3_CAPA && reply->kind == POP3_REPLY_OK) {
        session_start_answer(session, PHASE_CAPABILITIES);
        pop3_capability_start(&session->gathered);
        return false;
    }
    enum pop3_login_verdict verdict = pop3_login_hear(&session->login, reply);
    bool goes_on = verdict == POP3_LOGIN_SEND && session->login.line.continues;
    if (!goes_on)
        pop3_queue_pop(&session->queue);
    return session_obey(session, verdict, event);
}

void pop3_session_secured(struct pop3_session *session)
{
    if (!session->handshaking)
        return;
    session->handshaking = false;
    struct pop3_event none;
    session_obey(session, pop3_login_secured(&session->login), &none);
}

void pop3_session_bind(struct pop3_session *session, const char *kind, struct slice octets)
{
    static const char *const kinds[] = {"tls-exporter", "tls-unique"};
    struct pop3_binding *binding = &session->login.binding;
    *binding = (struct pop3_binding){0};
    if (octets.len == 0 || octets.len > sizeof(binding->data))
        return;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0)
            binding->kind = kinds[i];
    }
    memcpy(binding->data, octets.data, octets.len);
    binding->octets = octets.len;
}

void pop3_session_forgo_binding(struct pop3_session *session)
{
    session->login.unbound = true;
}

enum pop3_binding_state pop3_session_binding(const struct pop3_session *session)
{
    return pop3_login_binding(&session->login);
}

void pop3_session_assume_pipelining(struct pop3_session *session)
{
    session->login.assumes_pipelining = session->pipeline_wanted;
}

void pop3_session_expect_auth(struct pop3_session *session, enum pop3_auth auth)
{
    session->login.expected = session->pipeline_wanted ? auth : POP3_AUTH_AUTO;
}

/* ---- answers that the caller waits for ---- */

static bool session_answer_status(struct pop3_session *session, const struct pop3_reply *reply,
                                  struct pop3_event *event)
{
    event_fill(session, event, POP3_EVENT_STATUS);
    event->ok = reply->kind == POP3_REPLY_OK;
    event->code = reply->code;
    /* Looking for secrets takes longer than anything else here, and a +OK is shown to nobody. */
    event->text = event->ok ? reply->text : pop3_veil_over(&session->veil, reply->text);
    if (event->command == POP3_STAT && event->ok)
        pop3_listing_parse_stat(reply->text, &event->count, &event->octets);
    if (event->command == POP3_QUIT)
        session_set_state(session, POP3_STATE_CLOSED);
    enum pop3_answer answer = pop3_command_row(event->command)->answer;
    if (!event->ok || answer == POP3_ANSWER_LINE) {
        session_end_answer(session);
    } else if (answer == POP3_ANSWER_ROWS) {
        session_start_answer(session, PHASE_ROWS);
    } else {
        session_start_answer(session, PHASE_DATA);
        pop3_dot_start(&session->dot, session->bare_lf);
    }
    return true;
}

static bool session_read_row(struct pop3_session *session, struct pop3_event *event)
{
    struct pop3_line line;
    if (!session_take_line(session, false, event, &line))
        return session->failure.fault == FAULT_NONE;
    event_fill(session, event, POP3_EVENT_ROW);
    if (session_is_end(session, &line)) {
        event->type = POP3_EVENT_END;
        session_end_answer(session);
        return true;
    }
    session->follows_crlf = line.crlf;
    if (++session->row_count > POP3_LISTING_ROWS_MAX) {
        *event = (struct pop3_event){0};
        session_fail(session, FAULT_GARBLED, POP3_CODE_NONE,
                     "the maildrop has more than %d messages", POP3_LISTING_ROWS_MAX);
        return false;
    }
    bool good = event->command == POP3_UIDL
                    ? pop3_listing_parse_uidl(line.text, &event->msgnum, &event->text)
                    : pop3_listing_parse_list(line.text, &event->msgnum, &event->octets);
    if (!good) {
        event->type = POP3_EVENT_BAD_ROW;
        event->text = line.text;
    }
    return true;
}

static bool session_read_data(struct pop3_session *session, struct pop3_event *event)
{
    struct slice bytes = pop3_dot_next(&session->dot, &session->lines.input);
    if (bytes.len > 0) {
        event_fill(session, event, POP3_EVENT_DATA);
        event->text = bytes;
    } else if (pop3_dot_is_done(&session->dot) && session->queue.count == 1 &&
               session->lines.input.len > 0) {
        /* A dot alone on its line that the server did not stuff looks just so. */
        session_fail(session, FAULT_GARBLED, POP3_CODE_NONE,
                     "the server sent octets behind the end of a message that answer nothing");
        return false;
    } else if (pop3_dot_is_done(&session->dot)) {
        event_fill(session, event, POP3_EVENT_END);
        session_end_answer(session);
    }
    return true;
}

/* ---- status lines ---- */

/* True if the octets at hand came before the command they would answer was sent, or answer no
 * command. */
static bool session_is_stray(const struct pop3_session *session)
{
    const struct pop3_pending *front = pop3_queue_front(&session->queue);
    return front == NULL || pop3_line_position(&session->lines) < front->asked_at ||
           session->output.sent_octets < front->sent_at;
}

/* Dovecot says -ERR [SYS/TEMP] unasked after +OK to PASS, and on idle time-outs. */
static void session_hear_stray(struct pop3_session *session, struct slice text)
{
    struct pop3_reply reply;
    if (session->login.step == POP3_LOGIN_STLS && session->state != POP3_STATE_TRANSACTION) {
        session_fail(session, FAULT_UNTRUSTED, POP3_CODE_NONE,
                     "an answer to STLS came before STLS was sent: somebody is in between");
    } else if (!pop3_reply_parse(text, false, &reply) || reply.kind != POP3_REPLY_ERR) {
        session_garbled(session, "the server sent what answers nothing", text);
    } else {
        char said[FAILURE_TEXT_OCTETS / 2];
        session_fail(session, pop3_login_outage(&session->login, &reply, FAULT_OFFLINE), reply.code,
                     "the server ended the session: %s",
                     pop3_veil_escape(&session->veil, reply.text, said, sizeof(said)));
    }
}

/* People try the port of IMAP or SMTP. */
static const char *protocol_of_greeting(struct slice line)
{
    static const struct {
        struct slice start;
        const char *what;
    } others[] = {
        {SLICE_LITERAL("* OK"), "an IMAP server"}, {SLICE_LITERAL("* BYE"), "an IMAP server"},
        {SLICE_LITERAL("220"), "an SMTP server"},  {SLICE_LITERAL("554"), "an SMTP server"},
        {SLICE_LITERAL("HTTP/"), "a web server"},  {SLICE_LITERAL("SSH-"), "an SSH server"},
        {SLICE_LITERAL("200"), "a news server"},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (slice_has_prefix_nocase(line, others[i].start))
            return others[i].what;
    return NULL;
}

static bool session_read_status(struct pop3_session *session, struct pop3_event *event)
{
    if (!session->held_whole && session->lines.input.len > 0 &&
        pop3_line_is_at_start(&session->lines))
        session->stray = session_is_stray(session);
    struct pop3_line line;
    if (!session_take_line(session, true, event, &line))
        return session->failure.fault == FAULT_NONE;
    if (session->stray) {
        session_hear_stray(session, line.text);
        return false;
    }
    const struct pop3_pending *front = pop3_queue_front(&session->queue);
    struct pop3_reply reply;
    if (!pop3_reply_parse(line.text, front->command == POP3_AUTH, &reply)) {
        if (front->command == POP3_GREETING)
            session->foreign = protocol_of_greeting(line.text);
        session_garbled(session, "the server's answer is not POP3", line.text);
        return false;
    }
    if (front->command == POP3_GREETING)
        session->bare_lf = !line.crlf;
    if (pop3_command_row(front->command)->state == POP3_STATE_TRANSACTION)
        return session_answer_status(session, &reply, event);
    return session_login_status(session, &reply, event);
}

/* ---- events ---- */

static bool session_closed(struct pop3_session *session, struct pop3_event *event)
{
    session->lines.input.len = 0;
    if (session->failure.fault == FAULT_NONE || session->failure_told)
        return true;
    session->failure_told = true;
    event->type = POP3_EVENT_FAILED;
    event->fault = session->failure.fault;
    event->code = session->failure_code;
    event->text = slice_from_string(session->failure.text);
    return true;
}

/* False: nothing to tell yet, go on. */
static bool session_advance(struct pop3_session *session, struct pop3_event *event)
{
    if (session->state == POP3_STATE_CLOSED)
        return session_closed(session, event);
    if (session->handshaking) {
        if (session->lines.input.len == 0)
            return true;
        session_fail(session, FAULT_UNTRUSTED, POP3_CODE_NONE,
                     "the server sent more than its answer to STLS: somebody is in between");
        return false;
    }
    switch (session->phase) {
    case PHASE_STATUS:
        return session_read_status(session, event);
    case PHASE_CAPABILITIES:
        return session_read_capability(session, event);
    case PHASE_ROWS:
        return session_read_row(session, event);
    case PHASE_DATA:
        return session_read_data(session, event);
    }
    return true;
}

void pop3_session_feed(struct pop3_session *session, struct slice bytes)
{
    if (session->state != POP3_STATE_CLOSED && session->lines.input.len > 0)
        session_fail(session, FAULT_GARBLED, POP3_CODE_NONE,
                     "bytes were fed before the last ones were used up");
    pop3_line_feed(&session->lines, bytes);
}

enum pop3_event_type pop3_session_next_event(struct pop3_session *session,
                                             struct pop3_event *ret_event)
{
    *ret_event = (struct pop3_event){0};
    if (pop3_trace_take(&session->trace, &ret_event->text)) {
        ret_event->type = POP3_EVENT_TRACE;
        ret_event->from_client = true;
        return POP3_EVENT_TRACE;
    }
    while (!session_advance(session, ret_event))
        continue;
    return ret_event->type;
}

const char *pop3_session_show(struct pop3_session *session, struct slice text, char *out,
                              size_t capacity)
{
    return pop3_veil_escape(&session->veil, text, out, capacity);
}

/* ---- facts ---- */

uint64_t pop3_session_line_count(const struct pop3_session *session)
{
    return session->lines.whole_count;
}

size_t pop3_session_outstanding_count(const struct pop3_session *session)
{
    return session->queue.count;
}

enum pop3_state pop3_session_state(const struct pop3_session *session)
{
    return session->state;
}

const struct pop3_capabilities *pop3_session_capabilities(const struct pop3_session *session)
{
    return &session->login.capabilities;
}

const char *pop3_session_mechanism(const struct pop3_session *session)
{
    bool logged_in =
        session->state == POP3_STATE_TRANSACTION || session->state == POP3_STATE_UPDATE;
    return logged_in ? session->login.mechanism->name : "";
}

enum pop3_anticipation pop3_session_anticipation(const struct pop3_session *session)
{
    return session->login.anticipation;
}

enum pop3_auth pop3_session_repeatable_auth(const struct pop3_session *session)
{
    return session->login.repeatable ? session->login.chosen : POP3_AUTH_AUTO;
}

const char *pop3_session_refused(const struct pop3_session *session)
{
    return session->login.refused ? session->login.mechanism->name : "";
}

const char *pop3_session_other_auth(const struct pop3_session *session)
{
    bool has_other = session->login.refused && session->login.other != POP3_AUTH_AUTO;
    return has_other ? pop3_mechanism(session->login.other)->word : NULL;
}

const char *pop3_session_foreign(const struct pop3_session *session)
{
    return session->foreign;
}
