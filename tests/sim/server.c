/* SPDX-License-Identifier: MIT */
#include "mail.h"
#include "server_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chance ---- */

static bool may_fire(const struct sim_server *server, enum sim_fault fault)
{
    return server->takes_part[fault] && server->fired[fault] < server->faults.most[fault];
}

bool server_draws(struct sim_server *server, enum sim_fault fault)
{
    bool drawn = sim_random_chance(&server->streams[fault], server->faults.per_mille[fault]);
    return drawn && !server->is_behaving && may_fire(server, fault);
}

struct sim_random *fault_random(struct sim_server *server, enum sim_fault fault)
{
    return &server->streams[fault];
}

static void remember_lie(struct sim_server *server, const struct sim_lie *lie)
{
    if (server->lie_count == server->lie_capacity) {
        server->lie_capacity = server->lie_capacity == 0 ? 64 : server->lie_capacity * 2;
        server->lies = sim_grow(server->lies, server->lie_capacity * sizeof(server->lies[0]));
    }
    server->lies[server->lie_count++] = *lie;
}

void server_note(struct sim_server *server, struct sim_session *session, uint64_t serial,
                 enum sim_fault fault)
{
    const struct sim_lie lie = {.fault = fault,
                                .at_ms = server->now_ms,
                                .session = session == NULL ? 0 : session->number,
                                .serial = serial};
    server->fired[fault]++;
    remember_lie(server, &lie);
    struct answer *answer = session == NULL ? NULL : &session->answer;
    if (answer != NULL && answer->is_open) {
        if (answer->noted_count < sizeof(answer->noted) / sizeof(answer->noted[0]))
            answer->noted[answer->noted_count++] = fault;
    } else {
        server_say(server, session, "* (fault %s)", sim_fault_row(fault)->name);
    }
}

bool session_trait(struct sim_session *session, enum sim_fault trait)
{
    if (!session->server->takes_part[trait])
        return false;
    if (!session->told[trait])
        server_note(session->server, session, 0, trait);
    session->told[trait] = true;
    return true;
}

bool session_fault(struct sim_session *session, enum sim_fault fault)
{
    if (!session->has[fault])
        return false;
    if (!session->told[fault])
        server_note(session->server, session, 0, fault);
    session->told[fault] = true;
    return true;
}

bool message_fault(struct sim_session *session, struct message *message, enum sim_fault fault)
{
    if (!message->bad[fault] || !may_fire(session->server, fault))
        return false;
    server_note(session->server, session, message->truth.serial, fault);
    return true;
}

/* 1: an answer too many, -1: one too few, 0: as many as there are commands. */
static int shift_of(enum sim_fault fault)
{
    switch ((int)fault) {
    case SIM_FAULT_STRAY_ANSWER:
    case SIM_FAULT_DOUBLED_ANSWER:
        return 1;
    case SIM_FAULT_MISSING_ANSWER:
    case SIM_FAULT_TORN_BODY:
    case SIM_FAULT_STATUS_IN_BODY:
    case SIM_FAULT_MISSING_LF:
        return -1;
    default:
        return 0;
    }
}

/* One that made up for another would make answers out of step look like an honest server's. */
static bool makes_up(const struct sim_session *session, enum sim_fault fault)
{
    return session->shift * shift_of(fault) < 0;
}

bool answer_fault(struct sim_session *session, enum sim_fault fault)
{
    if (makes_up(session, fault))
        return false;
    for (uint32_t i = 0; i < session->answer.drawn_count; i++) {
        if (session->answer.drawn[i] != fault)
            continue;
        server_note(session->server, session, session->answer.serial, fault);
        if (shift_of(fault) != 0)
            session->shift = shift_of(fault);
        return true;
    }
    return false;
}

/* ---- life ---- */

static void draw_style(struct sim_server *server)
{
    static const int64_t idle_after_s[] = {60, 120, 300, 600, 600};
    struct sim_random random = sim_random_fork(&server->random, "style");
    struct style *style = &server->style;
    style->uidl = (enum uidl_style)sim_random_below(&random, UIDL_STYLE_COUNT);
    uint64_t lock = sim_random_below(&random, 10);
    style->lock = lock < 2 ? LOCK_STYLE_NONE : lock < 7 ? LOCK_STYLE_REFUSES : LOCK_STYLE_WAITS;
    style->has_stamp = sim_random_chance(&random, 250);
    style->has_plain = sim_random_chance(&random, 300);
    style->has_utf8 = sim_random_chance(&random, 500);
    style->says_timeout = sim_random_chance(&random, 300);
    style->changes_subject = sim_random_chance(&random, 400);
    style->idle_before_ms = 1000 * sim_random_between(&random, 60, 180);
    style->idle_after_ms = 1000 * idle_after_s[sim_random_below(&random, 5)];
    style->thinking_ms = (int64_t)sim_random_skewed(&random, 60);
    style->slow_ms = 100 + (int64_t)sim_random_skewed(&random, 8000);
    style->quit_ms = (int64_t)sim_random_skewed(&random, 4000);
    style->login_delay_ms = 1000 * sim_random_between(&random, 1, 60);
    style->list_off = sim_random_between(&random, 1, sim_random_chance(&random, 500) ? 9 : 90);
    if (sim_random_chance(&random, 500))
        style->list_off = -style->list_off;
    style->line_rate = 1500u << sim_random_below(&random, 8);
    style->is_serial = sim_random_chance(&random, 500);
    style->top_cut_octets = 256 << sim_random_below(&random, 9);
    style->error_limit = (uint32_t)sim_random_between(&random, 3, 20);
    style->nonsense = (uint32_t)sim_random_below(&random, 4);
    style->vanished = (uint32_t)sim_random_below(&random, 5);
    server->next_uidl = 1 + sim_random_skewed(&random, 100000);
}

/* Which faults take part in this history: all traits that are drawn, and a few of the others. */
static void draw_mix(struct sim_server *server)
{
    static const uint32_t mixes[] = {0, 40, 80, 80, 160, 160, 300};
    uint32_t mix = server->faults.mix_per_mille;
    struct sim_random random = sim_random_fork(&server->random, "mix");
    if (mix == 0)
        mix = mixes[sim_random_below(&random, sizeof(mixes) / sizeof(mixes[0]))];
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        const struct sim_fault_row *row = sim_fault_row((enum sim_fault)i);
        server->streams[i] = sim_random_fork(&server->random, row->name);
        /* A commit is rarer than a session and a body; what it does wrong matters most. */
        uint32_t chance = row->scope == SIM_SCOPE_TRAIT    ? server->faults.per_mille[i]
                          : row->class == SIM_CLASS_COMMIT ? mix * 2
                                                           : mix;
        server->takes_part[i] = sim_random_chance(&server->streams[i], chance) &&
                                server->faults.per_mille[i] > 0 && server->faults.most[i] > 0;
        if (!server->takes_part[i])
            continue;
        if (row->scope == SIM_SCOPE_SESSION)
            server->session_faults[server->session_fault_count++] = (enum sim_fault)i;
        if (row->scope == SIM_SCOPE_ANSWER)
            server->answer_faults[server->answer_fault_count++] = (enum sim_fault)i;
    }
}

static void set_password(struct sim_server *server)
{
    snprintf(server->password, sizeof(server->password), SIM_SERVER_SECRET "%u",
             server->password_number);
}

struct sim_server *sim_server_new(const struct sim_faults *faults, const struct sim_random *random)
{
    struct sim_server *server = sim_grow(NULL, sizeof(*server));
    memset(server, 0, sizeof(*server));
    server->faults = *faults;
    server->random = sim_random_fork(random, "server");
    server->mail_random = sim_random_fork(random, "mail");
    server->last_login_ms = INT64_MIN / 2;
    draw_style(server);
    draw_mix(server);
    set_password(server);
    return server;
}

void sim_server_free(struct sim_server *server)
{
    if (server == NULL)
        return;
    for (uint32_t i = 0; i < server->session_count; i++)
        session_free(server->sessions[i]);
    free(server->sessions);
    free(server->messages);
    free(server->lies);
    buffer_done(&server->scratch);
    sim_arena_done(&server->arena);
    free(server);
}

const char *sim_server_password(const struct sim_server *server)
{
    return server->password;
}

void server_change_password(struct sim_server *server)
{
    server->password_number++;
    set_password(server);
}

bool sim_server_has_trait(const struct sim_server *server, enum sim_fault trait)
{
    return server->takes_part[trait] && sim_fault_row(trait)->scope == SIM_SCOPE_TRAIT;
}

/* ---- time ---- */

static bool do_first_due(struct sim_server *server, int64_t now_ms)
{
    struct sim_session *first = NULL;
    int64_t first_ms = now_ms;
    for (uint32_t i = server->first_live; i < server->session_count; i++) {
        int64_t due_ms = session_due_ms(server->sessions[i]);
        if (due_ms < 0 || due_ms > first_ms || (first != NULL && due_ms == first_ms))
            continue;
        first = server->sessions[i];
        first_ms = due_ms;
    }
    if (first == NULL)
        return false;
    if (first_ms > server->now_ms)
        server->now_ms = first_ms;
    session_do_due(first);
    return true;
}

void sim_server_advance(struct sim_server *server, int64_t now_ms)
{
    while (do_first_due(server, now_ms))
        continue;
    if (now_ms > server->now_ms)
        server->now_ms = now_ms;
    while (server->first_live < server->session_count &&
           server->sessions[server->first_live]->phase == PHASE_ENDED)
        server->first_live++;
}

int64_t sim_server_next_ms(const struct sim_server *server)
{
    int64_t next_ms = -1;
    for (uint32_t i = server->first_live; i < server->session_count; i++) {
        int64_t due_ms = session_due_ms(server->sessions[i]);
        if (due_ms >= 0 && (next_ms < 0 || due_ms < next_ms))
            next_ms = due_ms;
    }
    return next_ms;
}

void sim_server_set_behaving(struct sim_server *server, int64_t now_ms, bool behaving)
{
    sim_server_advance(server, now_ms);
    server->is_behaving = behaving;
    server_say(server, NULL, "* the server %s", behaving ? "behaves from now on" : "may lie again");
    if (!behaving)
        return;
    server->outage_until_ms = 0;
    for (size_t i = 0; i < server->message_count; i++)
        memset(server->messages[i]->bad, 0, sizeof(server->messages[i]->bad));
    for (uint32_t i = server->first_live; i < server->session_count; i++)
        session_heal(server->sessions[i]);
}

void server_begin_outage(struct sim_server *server, enum sim_fault fault)
{
    int64_t length_ms = 1000 * sim_random_between(fault_random(server, fault), 20, 600);
    server->outage_until_ms = server->now_ms + length_ms;
    server_say(server, NULL, "* no connection for %lld seconds", (long long)(length_ms / 1000));
    for (uint32_t i = server->first_live; i < server->session_count; i++) {
        struct sim_session *session = server->sessions[i];
        session_truncate(session, session->wire_taken);
        session->quiet_ms = server->now_ms;
        session_close(session);
    }
}

/* ---- mail ---- */

struct message *server_message(const struct sim_server *server, uint64_t serial)
{
    return serial == 0 || serial > server->message_count ? NULL : server->messages[serial - 1];
}

bool message_is_there(const struct message *message)
{
    return message->truth.gone_by == SIM_GONE_NOT;
}

/* RETR of a message without a last line end gives one: `stored` may lie in the scratch buffer. */
static struct slice whole_lines(struct sim_server *server, struct slice stored)
{
    if (stored.len >= 2 && memcmp(stored.data + stored.len - 2, "\r\n", 2) == 0)
        return sim_arena_copy(&server->arena, stored);
    char *copy = sim_arena_take(&server->arena, stored.len + 2);
    if (stored.len > 0)
        memcpy(copy, stored.data, stored.len);
    memcpy(copy + stored.len, "\r\n", 2);
    return (struct slice){copy, stored.len + 2};
}

static struct message *add_message(struct sim_server *server)
{
    if (server->message_count == server->message_capacity) {
        server->message_capacity =
            server->message_capacity == 0 ? 64 : server->message_capacity * 2;
        server->messages =
            sim_grow(server->messages, server->message_capacity * sizeof(server->messages[0]));
    }
    struct message *message = sim_arena_take_zeroed(&server->arena, sizeof(*message));
    server->messages[server->message_count++] = message;
    server->present_count++;
    message->truth.serial = server->message_count;
    message->truth.delivered_ms = server->now_ms;
    message->truth.gone_ms = -1;
    return message;
}

static void draw_bad(struct sim_server *server, struct message *message)
{
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        if (!server->takes_part[i] || server->is_behaving ||
            sim_fault_row((enum sim_fault)i)->scope != SIM_SCOPE_MESSAGE)
            continue;
        struct sim_random random =
            sim_random_fork_index(&server->streams[i], "message", message->truth.serial);
        message->bad[i] = sim_random_chance(&random, server->faults.per_mille[i]);
    }
}

/* `before`: the message whose UIDL the new one takes over; NULL: none. */
static struct message *server_add(struct sim_server *server, struct slice stored,
                                  struct message *before)
{
    struct message *message = add_message(server);
    struct sim_message *truth = &message->truth;
    truth->stored_octets = stored.len;
    truth->octets = whole_lines(server, stored);
    draw_bad(server, message);
    if (before != NULL) {
        truth->uidl = before->truth.uidl;
        truth->replaced = before->truth.serial;
    } else {
        truth->uidl = server_new_uidl(server, message, &truth->replaced);
    }
    char uidl[64];
    server_say(server, NULL, "* message %llu of %zu octets arrives as %s%s",
               (unsigned long long)truth->serial, truth->octets.len,
               text_escape(truth->uidl, uidl, sizeof(uidl)),
               truth->replaced == 0 ? "" : ", as another did before");
    return message;
}

/* A message that is there, for copies; NULL if there is none. */
static struct message *some_present(struct sim_server *server, struct sim_random *random)
{
    if (server->present_count == 0)
        return NULL;
    uint64_t left = sim_random_below(random, server->present_count);
    for (size_t i = 0; i < server->message_count; i++)
        if (message_is_there(server->messages[i]) && left-- == 0)
            return server->messages[i];
    return NULL;
}

enum { COPY_PER_MILLE = 40, SAME_HEADER_PER_MILLE = 30 };

/* Writes the octets of the next message to the scratch buffer; *ret_twin is what it is a copy of.
 */
static struct slice write_mail(struct sim_server *server, uint64_t *ret_twin)
{
    uint64_t serial = server->message_count + 1;
    struct sim_random random = sim_random_fork_index(&server->mail_random, "message", serial);
    uint64_t kind = sim_random_below(&random, 1000);
    struct message *model =
        kind < COPY_PER_MILLE + SAME_HEADER_PER_MILLE ? some_present(server, &random) : NULL;
    struct buffer *scratch = &server->scratch;
    scratch->len = 0;
    *ret_twin = 0;
    if (model != NULL && kind < COPY_PER_MILLE) {
        *ret_twin = model->truth.serial;
        return (struct slice){model->truth.octets.data, (size_t)model->truth.stored_octets};
    }
    if (model != NULL) {
        size_t header = sim_mail_header_octets(model->truth.octets);
        char text[64];
        int len =
            snprintf(text, sizeof(text), "another body, %llu\r\n", (unsigned long long)serial);
        if (!buffer_append(scratch, (struct slice){model->truth.octets.data, header}) ||
            !buffer_append(scratch, (struct slice){text, (size_t)len}))
            abort();
        return buffer_slice(scratch);
    }
    sim_mail_write(&random, serial, scratch);
    return buffer_slice(scratch);
}

/* As many octets as `before` has: a size proves nothing. */
static struct slice fitted(struct sim_server *server, struct slice stored,
                           const struct message *before)
{
    struct buffer *scratch = &server->scratch;
    size_t octets = before->truth.octets.len;
    if (stored.data != scratch->data || stored.len == 0)
        return stored;
    while (scratch->len < octets)
        if (!buffer_append(scratch, SLICE_LITERAL("to be as long as another message is\r\n")))
            abort();
    scratch->len = octets;
    memcpy(scratch->data + octets - 2, "\r\n", 2);
    return buffer_slice(scratch);
}

enum { SAME_SIZE_PER_MILLE = 400 };

struct message *server_deliver(struct sim_server *server, struct message *before)
{
    uint64_t twin;
    struct slice stored = write_mail(server, &twin);
    const struct message *owner = before != NULL ? before : server_next_owner(server);
    if (owner != NULL &&
        sim_random_chance(fault_random(server, SIM_FAULT_UIDL_REUSE), SAME_SIZE_PER_MILLE))
        stored = fitted(server, stored, owner);
    struct message *message = server_add(server, stored, before);
    message->truth.twin = twin;
    return message;
}

uint64_t sim_server_deliver(struct sim_server *server, int64_t now_ms)
{
    sim_server_advance(server, now_ms);
    return server_deliver(server, NULL)->truth.serial;
}

uint64_t sim_server_deliver_octets(struct sim_server *server, struct slice octets, int64_t now_ms)
{
    sim_server_advance(server, now_ms);
    return server_add(server, octets, NULL)->truth.serial;
}

void server_remove(struct sim_server *server, struct message *message, enum sim_gone by,
                   uint32_t session)
{
    static const char *const words[] = {
        [SIM_GONE_NOT] = "not",
        [SIM_GONE_DELE] = "deleted by popfs",
        [SIM_GONE_OTHER] = "deleted by another client",
        [SIM_GONE_HIDDEN] = "hidden since it was read",
        [SIM_GONE_TAKEN] = "replaced",
    };
    message->truth.gone_ms = server->now_ms;
    message->truth.gone_by = by;
    message->truth.gone_session = session;
    server->present_count--;
    server_say(server, NULL, "* message %llu is %s", (unsigned long long)message->truth.serial,
               words[by]);
}

bool sim_server_delete(struct sim_server *server, uint64_t serial, int64_t now_ms)
{
    sim_server_advance(server, now_ms);
    struct message *message = server_message(server, serial);
    if (message == NULL || !message_is_there(message))
        return false;
    server_remove(server, message, SIM_GONE_OTHER, 0);
    return true;
}

void server_disturb(struct sim_session *session)
{
    struct sim_server *server = session->server;
    if (server_draws(server, SIM_FAULT_MAIL_ARRIVES)) {
        server_note(server, session, server->message_count + 1, SIM_FAULT_MAIL_ARRIVES);
        (void)server_deliver(server, NULL);
    }
    if (server_draws(server, SIM_FAULT_OTHER_DELETES)) {
        struct message *message =
            some_present(server, fault_random(server, SIM_FAULT_OTHER_DELETES));
        if (message == NULL)
            return;
        server_note(server, session, message->truth.serial, SIM_FAULT_OTHER_DELETES);
        server_remove(server, message, SIM_GONE_OTHER, 0);
    }
}
