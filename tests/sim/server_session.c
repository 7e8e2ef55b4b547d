/* SPDX-License-Identifier: MIT */
/* Octets in, octets out at their time, and the ends that a session can come to. */
#include "server_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMMAND_OCTETS_MAX = 2048,
    INPUT_OCTETS_MAX = 65536,    /* what the system keeps for a server that does not read */
    OUTPUT_OCTETS_MAX = 262144,  /* beyond it every server stops to read commands */
    OUTPUT_OCTETS_SCANTY = 4096, /* the same of Dovecot */
};

/* ---- output ---- */

void session_put(struct sim_session *session, struct slice bytes)
{
    if (!buffer_append(&session->output, bytes))
        abort();
    session->wire_made += bytes.len;
}

struct slice session_eol(const struct sim_session *session)
{
    return session->server->takes_part[SIM_FAULT_BARE_LF] ? SLICE_LITERAL("\n")
                                                          : SLICE_LITERAL("\r\n");
}

void session_put_line_args(struct sim_session *session, const char *format, va_list args)
{
    char text[1024];
    int len = vsnprintf(text, sizeof(text), format, args);
    if (len < 0 || (size_t)len >= sizeof(text))
        abort();
    session_put(session, (struct slice){text, (size_t)len});
    session_put(session, session_eol(session));
}

void session_put_line(struct sim_session *session, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    session_put_line_args(session, format, args);
    va_end(args);
}

struct slice session_made_since(const struct sim_session *session, uint64_t begin)
{
    size_t octets = (size_t)(session->wire_made - begin);
    return (struct slice){session->output.data + session->output.len - octets, octets};
}

void session_truncate(struct sim_session *session, uint64_t end)
{
    if (end >= session->wire_made)
        return;
    session->output.len -= (size_t)(session->wire_made - end);
    session->wire_made = end;
    /* An outage takes back what came before the answer, too: of that one nothing is left to spoil.
     */
    if (session->answer.begin > end)
        session->answer.begin = end;
    while (session->gate_count > session->gate_first &&
           session->gates[session->gate_count - 1].end > end) {
        struct gate *last = &session->gates[session->gate_count - 1];
        last->end = end;
        /* One that lets nothing out any more would hide those behind it. */
        if (last->end > last->begin && last->end > session->wire_taken)
            break;
        session->gate_count--;
    }
}

/* How many octets come at once: a packet, or what a slow line brings in a quarter of a second. */
static uint64_t gate_packet(const struct gate *gate)
{
    uint64_t packet = gate->rate / 4000;
    return packet == 0 ? 1 : packet > 1460 ? 1460 : packet;
}

/* When so many octets of it have come. */
static int64_t gate_ms(const struct gate *gate, uint64_t octets)
{
    uint64_t packet = gate_packet(gate);
    if (gate->rate == 0)
        return gate->at_ms;
    octets = (octets + packet - 1) / packet * packet;
    if (octets > gate->end - gate->begin)
        octets = gate->end - gate->begin;
    return gate->at_ms + (int64_t)((octets * 1000000 + gate->rate - 1) / gate->rate);
}

static int64_t gate_open_ms(const struct gate *gate)
{
    return gate_ms(gate, gate->end - gate->begin);
}

/* Up to which place it is open. */
static uint64_t gate_open(const struct gate *gate, int64_t now_ms)
{
    if (now_ms >= gate_open_ms(gate))
        return gate->end;
    uint64_t packet = gate_packet(gate);
    uint64_t come = (uint64_t)(now_ms - gate->at_ms) * gate->rate / 1000000;
    return gate->begin + come / packet * packet;
}

static void push_gate(struct sim_session *session, const struct gate *gate)
{
    if (session->gate_first == session->gate_count)
        session->gate_first = session->gate_count = 0;
    if (session->gate_count == session->gate_capacity) {
        session->gate_capacity = session->gate_capacity == 0 ? 16 : session->gate_capacity * 2;
        session->gates =
            sim_grow(session->gates, session->gate_capacity * sizeof(session->gates[0]));
    }
    session->gates[session->gate_count++] = *gate;
}

void session_let_out(struct sim_session *session, int64_t delay_ms, uint32_t rate)
{
    bool has_last = session->gate_count > session->gate_first;
    struct gate *last = has_last ? &session->gates[session->gate_count - 1] : NULL;
    uint64_t begin = has_last ? last->end : session->wire_taken;
    int64_t at_ms = session->server->now_ms + delay_ms;
    if (session->server->style.is_serial && session->quiet_ms > session->server->now_ms)
        at_ms = session->quiet_ms + delay_ms;
    if (at_ms < session->quiet_ms)
        at_ms = session->quiet_ms;
    if (begin == session->wire_made)
        return;
    if (has_last && rate == 0 && last->rate == 0 && last->at_ms == at_ms) {
        last->end = session->wire_made;
        return;
    }
    const struct gate gate = {begin, session->wire_made, at_ms, rate};
    push_gate(session, &gate);
    session->quiet_ms = gate_open_ms(&gate);
}

/* Up to which place octets may be taken. */
static uint64_t open_until(const struct sim_session *session, int64_t now_ms)
{
    uint64_t end = session->wire_taken;
    for (size_t i = session->gate_first; i < session->gate_count; i++) {
        const struct gate *gate = &session->gates[i];
        if (now_ms < gate->at_ms)
            return end;
        if (now_ms < gate_open_ms(gate)) {
            uint64_t open = gate_open(gate, now_ms);
            return open > end ? open : end;
        }
        end = gate->end;
    }
    return end;
}

/* ---- input ---- */

static size_t output_limit(struct sim_session *session, size_t pending)
{
    if (pending <= OUTPUT_OCTETS_SCANTY || !session_trait(session, SIM_FAULT_STOPS_READING))
        return OUTPUT_OCTETS_MAX;
    return OUTPUT_OCTETS_SCANTY;
}

static bool may_read(struct sim_session *session)
{
    if (session->is_silent || session->is_closing || session->phase > PHASE_TRANSACTION)
        return false;
    size_t pending = (size_t)(session->wire_made - session->wire_taken);
    return session->client != CLIENT_THERE || pending <= output_limit(session, pending);
}

static bool is_deaf(const struct sim_session *session)
{
    return session->wire_taken < session->deaf_until;
}

static void lose_input(struct sim_session *session)
{
    if (session->input.len == 0)
        return;
    (void)session_trait(session, session->phase == PHASE_AUTHORIZATION &&
                                         session->server->takes_part[SIM_FAULT_DEAF_BEHIND_CAPA]
                                     ? SIM_FAULT_DEAF_BEHIND_CAPA
                                     : SIM_FAULT_DEAF_BEHIND_PASS);
    session->input.len = 0;
}

/* Executes the lines that have come, as far as the server reads now. */
static void read_commands(struct sim_session *session)
{
    size_t done = 0;
    struct buffer *input = &session->input;
    while (input->len > done && may_read(session) && !is_deaf(session)) {
        const char *start = input->data + done;
        const char *newline = memchr(start, '\n', input->len - done);
        if (newline == NULL && input->len - done <= COMMAND_OCTETS_MAX)
            break;
        if (newline == NULL || newline - start > COMMAND_OCTETS_MAX) {
            session_close(session);
            break;
        }
        size_t octets = (size_t)(newline - start);
        done += octets + 1;
        if (octets > 0 && start[octets - 1] == '\r')
            octets--;
        session_command(session, (struct slice){start, octets});
    }
    buffer_consume(input, done);
    if (is_deaf(session))
        lose_input(session);
    if (session->is_silent || session->is_closing || session->phase > PHASE_TRANSACTION)
        input->len = 0;
}

size_t sim_session_feed(struct sim_session *session, struct slice bytes, int64_t now_ms)
{
    sim_server_advance(session->server, now_ms);
    if (session->client != CLIENT_THERE || session->is_closing || session->phase == PHASE_ENDED)
        return bytes.len;
    session->active_ms = now_ms;
    size_t room = INPUT_OCTETS_MAX - session->input.len;
    if (bytes.len > room)
        bytes.len = room;
    if (!buffer_append(&session->input, bytes))
        abort();
    read_commands(session);
    return bytes.len;
}

size_t sim_session_take(struct sim_session *session, int64_t now_ms, char *data, size_t capacity)
{
    sim_server_advance(session->server, now_ms);
    uint64_t open = open_until(session, session->server->now_ms);
    size_t count = (size_t)(open - session->wire_taken);
    if (count > capacity)
        count = capacity;
    if (count == 0)
        return 0;
    size_t pending = (size_t)(session->wire_made - session->wire_taken);
    memcpy(data, session->output.data + session->output.len - pending, count);
    session->wire_taken += count;
    while (session->gate_first < session->gate_count &&
           session->gates[session->gate_first].end <= session->wire_taken)
        session->gate_first++;
    /* What was taken goes when all was, so that no octet is moved twice. */
    if (session->wire_taken == session->wire_made)
        session->output.len = 0;
    read_commands(session);
    return count;
}

int64_t sim_session_next_ms(const struct sim_session *session)
{
    if (session->wire_taken < session->wire_made) {
        const struct gate *gate = &session->gates[session->gate_first];
        return gate_ms(gate, session->wire_taken - gate->begin + 1);
    }
    return session->is_closing ? session->close_ms : session_due_ms(session);
}

bool sim_session_is_closed(const struct sim_session *session, int64_t now_ms)
{
    return session->is_closing && session->wire_taken == session->wire_made &&
           now_ms >= session->close_ms;
}

uint32_t sim_session_number(const struct sim_session *session)
{
    return session->number;
}

/* ---- the beginning ---- */

static void draw_session(struct sim_session *session)
{
    struct sim_server *server = session->server;
    for (size_t i = 0; i < server->session_fault_count; i++) {
        enum sim_fault fault = server->session_faults[i];
        session->has[fault] = server_draws(server, fault);
    }
    session->retr_limit =
        1 + (uint32_t)sim_random_below(fault_random(server, SIM_FAULT_RETR_LIMIT), 4);
    session->dele_limit =
        1 + (uint32_t)sim_random_below(fault_random(server, SIM_FAULT_DELE_LIMIT), 2);
    session->command_limit =
        1 + (uint32_t)sim_random_below(fault_random(server, SIM_FAULT_COMMAND_LIMIT), 60);
}

static struct sim_session *add_session(struct sim_server *server)
{
    if (server->session_count == server->session_capacity) {
        server->session_capacity =
            server->session_capacity == 0 ? 16 : server->session_capacity * 2;
        server->sessions =
            sim_grow(server->sessions, server->session_capacity * sizeof(server->sessions[0]));
    }
    struct sim_session *session = sim_arena_take_zeroed(&server->arena, sizeof(*session));
    server->sessions[server->session_count++] = session;
    session->server = server;
    session->number = server->session_count;
    session->accepted_ms = session->active_ms = session->quiet_ms = server->now_ms;
    session->listed_ms = session->ended_ms = session->noticed_ms = session->update_ms = -1;
    session->quit_fault = SIM_FAULT_COUNT;
    return session;
}

struct sim_session *sim_server_accept(struct sim_server *server, int64_t now_ms)
{
    sim_server_advance(server, now_ms);
    struct sim_session *session = add_session(server);
    draw_session(session);
    if (server->now_ms < server->outage_until_ms) {
        server_say(server, session, "* no connection: the outage lasts");
        session_end(session);
        return NULL;
    }
    if (session_fault(session, SIM_FAULT_OUTAGE)) {
        server_begin_outage(server, SIM_FAULT_OUTAGE);
        session_end(session);
        return NULL;
    }
    if (session_fault(session, SIM_FAULT_CONNECT_REFUSED)) {
        session_end(session);
        return NULL;
    }
    server_say(server, session, "* connected");
    answer_begin(session, SIM_VERB_GREETING);
    answer_greeting(session);
    answer_finish(session);
    return session;
}

/* ---- the end ---- */

void session_close(struct sim_session *session)
{
    if (!session->is_closing) {
        session->is_closing = true;
        session->close_ms = session->quiet_ms > session->server->now_ms ? session->quiet_ms
                                                                        : session->server->now_ms;
        server_say(session->server, session, "* closes");
    }
    if (session->phase != PHASE_UPDATE)
        session_end(session);
}

void session_end(struct sim_session *session)
{
    struct sim_server *server = session->server;
    if (session->phase == PHASE_ENDED)
        return;
    session->phase = PHASE_ENDED;
    session->ended_ms = server->now_ms;
    session->update_ms = session->noticed_ms = -1;
    if (server->holder == session)
        server->holder = NULL;
}

static void free_octets(struct sim_session *session)
{
    buffer_done(&session->input);
    buffer_done(&session->output);
    free(session->gates);
    session->gates = NULL;
    session->gate_first = session->gate_count = session->gate_capacity = 0;
    session->wire_made = session->wire_taken;
}

void session_free(struct sim_session *session)
{
    free_octets(session);
    free(session->rows);
}

/* The server finds the link gone. */
static void notice_cut(struct sim_session *session)
{
    session->noticed_ms = -1;
    bool executes = session->server->takes_part[SIM_FAULT_CUT_COMMITS];
    if (executes && session->input.len > 0 && session_trait(session, SIM_FAULT_CUT_COMMITS))
        read_commands(session);
    if (session->phase == PHASE_UPDATE && session->update_ms >= 0 &&
        (session->quit_fault == SIM_FAULT_QUIT_SLOW || session->quit_fault == SIM_FAULT_QUIT_LATE ||
         session_trait(session, SIM_FAULT_CUT_COMMITS)))
        return;
    session_end(session);
}

void sim_session_drop(struct sim_session *session, int64_t now_ms)
{
    sim_server_advance(session->server, now_ms);
    if (session->client != CLIENT_THERE)
        return;
    session->client = CLIENT_DROPPED;
    server_say(session->server, session, "* the client closes");
    if (session->phase != PHASE_ENDED && !session->is_closing &&
        session_fault(session, SIM_FAULT_LOCK_LINGERS)) {
        struct sim_random *random = fault_random(session->server, SIM_FAULT_LOCK_LINGERS);
        session->noticed_ms = session->server->now_ms + sim_random_between(random, 100, 610000);
    } else if (session->phase != PHASE_ENDED) {
        notice_cut(session);
    }
    if (session->noticed_ms < 0)
        free_octets(session);
}

void sim_session_vanish(struct sim_session *session, int64_t now_ms)
{
    sim_server_advance(session->server, now_ms);
    if (session->client != CLIENT_THERE)
        return;
    session->client = CLIENT_VANISHED;
    server_say(session->server, session, "* the client vanishes");
}

void session_heal(struct sim_session *session)
{
    if (session->noticed_ms >= 0)
        session->noticed_ms = session->server->now_ms;
    if (session->client == CLIENT_VANISHED && session->phase < PHASE_UPDATE)
        session_end(session);
}

/* ---- what is due ---- */

static int64_t idle_end_ms(const struct sim_session *session)
{
    const struct style *style = &session->server->style;
    int64_t begin_ms = session->active_ms;
    if (session->client == CLIENT_THERE && session->quiet_ms > begin_ms)
        begin_ms = session->quiet_ms;
    return begin_ms +
           (session->phase == PHASE_AUTHORIZATION ? style->idle_before_ms : style->idle_after_ms);
}

int64_t session_due_ms(const struct sim_session *session)
{
    if (session->phase == PHASE_ENDED)
        return -1;
    if (session->phase == PHASE_UPDATE)
        return session->update_ms;
    int64_t idle_ms = idle_end_ms(session);
    return session->noticed_ms >= 0 && session->noticed_ms < idle_ms ? session->noticed_ms
                                                                     : idle_ms;
}

void session_do_due(struct sim_session *session)
{
    if (session->phase == PHASE_UPDATE) {
        session_update(session);
        session_end(session);
        return;
    }
    if (session->noticed_ms >= 0 && session->noticed_ms <= session->server->now_ms) {
        notice_cut(session);
        if (session->client != CLIENT_THERE && session->phase == PHASE_ENDED)
            free_octets(session);
        return;
    }
    server_say(session->server, session, "* idle for too long");
    if (session->server->style.says_timeout && !session->is_silent) {
        session_put_line(session, "-ERR idle for too long, closing");
        session_let_out(session, 0, 0);
    }
    session_close(session);
}
