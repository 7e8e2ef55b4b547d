/* SPDX-License-Identifier: MIT */
/* DELE, RSET and QUIT: what they do, and what they say that they did. */
#include "server_parts.h"

void answer_dele(struct sim_session *session, const struct request *request)
{
    struct sim_row *row = session_row(session, request);
    struct message *message = row == NULL ? NULL : server_message(session->server, row->serial);
    if (message == NULL) {
        answer_error(session, "no such message");
        return;
    }
    session->answer.serial = row->serial;
    row->dele = SIM_DELE_REFUSED;
    if (message_fault(session, message, SIM_FAULT_DELE_KILLS)) {
        session_close(session);
    } else if (message_fault(session, message, SIM_FAULT_DELE_HANGS)) {
        session->is_silent = true;
    } else if (message_fault(session, message, SIM_FAULT_DELE_POISON)) {
        answer_error(session, "the message is protected");
    } else if (session->dele_count >= session->dele_limit &&
               session_fault(session, SIM_FAULT_DELE_LIMIT)) {
        answer_error(session, "enough for one session");
    } else if (answer_fault(session, SIM_FAULT_DELE_REFUSED)) {
        answer_error(session, "not this one, not now");
    } else {
        row->dele = SIM_DELE_MARKED;
        session->dele_count++;
        answer_ok(session, "marked");
    }
}

void answer_rset(struct sim_session *session)
{
    if (answer_fault(session, SIM_FAULT_RSET_REFUSED)) {
        answer_error(session, "not now");
        return;
    }
    for (uint32_t i = 0; i < session->row_count; i++)
        if (session->rows[i].dele == SIM_DELE_MARKED)
            session->rows[i].dele = SIM_DELE_NONE;
    answer_ok(session, "nothing is marked");
}

/* ---- QUIT ---- */

static const enum sim_fault quit_faults[] = {
    SIM_FAULT_QUIT_NOTHING,      SIM_FAULT_QUIT_PART, SIM_FAULT_QUIT_REFUSED,
    SIM_FAULT_QUIT_REFUSED_PART, SIM_FAULT_QUIT_CUT,  SIM_FAULT_QUIT_WORDLESS,
    SIM_FAULT_QUIT_SLOW,         SIM_FAULT_QUIT_LATE,
};

static enum sim_fault quit_fault_drawn(struct sim_session *session)
{
    for (size_t i = 0; i < sizeof(quit_faults) / sizeof(quit_faults[0]); i++)
        if (answer_fault(session, quit_faults[i]))
            return quit_faults[i];
    return SIM_FAULT_COUNT;
}

/* How many of a thousand marked messages go. */
static uint32_t share_that_goes(struct sim_session *session)
{
    enum sim_fault fault = session->quit_fault;
    if (fault == SIM_FAULT_QUIT_NOTHING || fault == SIM_FAULT_QUIT_REFUSED ||
        fault == SIM_FAULT_QUIT_CUT)
        return 0;
    if (fault != SIM_FAULT_QUIT_PART && fault != SIM_FAULT_QUIT_REFUSED_PART)
        return 1000;
    return (uint32_t)sim_random_below(fault_random(session->server, fault), 1001);
}

static void delete_marked(struct sim_session *session, uint32_t share)
{
    struct sim_server *server = session->server;
    struct sim_random random = sim_random_fork_index(&server->random, "share", session->number);
    for (uint32_t i = 0; i < session->row_count; i++) {
        struct sim_row *row = &session->rows[i];
        struct message *message = server_message(server, row->serial);
        if (row->dele != SIM_DELE_MARKED)
            continue;
        row->dele = SIM_DELE_KEPT;
        if (!sim_random_chance(&random, share) || !message_is_there(message) ||
            message_fault(session, message, SIM_FAULT_DELE_KEPT))
            continue;
        row->dele = SIM_DELE_COMMITTED;
        server_remove(server, message, SIM_GONE_DELE, session->number);
    }
}

/* Gmail takes what was read out of the sight of POP3. */
static void hide_read(struct sim_session *session)
{
    for (uint32_t i = 0; i < session->row_count; i++) {
        struct message *message = server_message(session->server, session->rows[i].serial);
        if (session->rows[i].read_count > 0 && message_is_there(message) &&
            session_trait(session, SIM_FAULT_HIDES_READ))
            server_remove(session->server, message, SIM_GONE_HIDDEN, session->number);
    }
}

void session_update(struct sim_session *session)
{
    session->update_ms = -1;
    delete_marked(session, share_that_goes(session));
    hide_read(session);
}

static int64_t quit_delay_ms(struct sim_session *session)
{
    struct sim_server *server = session->server;
    if (session->quit_fault == SIM_FAULT_QUIT_SLOW)
        return 1000 + (int64_t)sim_random_skewed(fault_random(server, SIM_FAULT_QUIT_SLOW), 200000);
    if (session->quit_fault == SIM_FAULT_QUIT_LATE)
        return 100 + (int64_t)sim_random_skewed(fault_random(server, SIM_FAULT_QUIT_LATE), 30000);
    return server->style.quit_ms;
}

static void say_goodbye(struct sim_session *session)
{
    switch ((int)session->quit_fault) {
    case SIM_FAULT_QUIT_WORDLESS:
    case SIM_FAULT_QUIT_CUT:
        session->quit = SIM_QUIT_CLOSED;
        break;
    case SIM_FAULT_QUIT_REFUSED:
    case SIM_FAULT_QUIT_REFUSED_PART:
        session->quit = SIM_QUIT_ERR;
        answer_error(session, "[SYS/TEMP] some messages could not be deleted");
        break;
    default:
        session->quit = SIM_QUIT_OK;
        answer_ok(session, "messages deleted, good-bye");
        break;
    }
}

void answer_quit(struct sim_session *session)
{
    struct sim_server *server = session->server;
    if (session->phase == PHASE_AUTHORIZATION) {
        answer_ok(session, "good-bye");
        session_close(session);
        return;
    }
    session->phase = PHASE_UPDATE;
    session->quit = SIM_QUIT_RECEIVED;
    session->quit_fault = quit_fault_drawn(session);
    int64_t delay_ms = quit_delay_ms(session);
    session->update_ms = server->now_ms + delay_ms;
    if (session->quit_fault != SIM_FAULT_QUIT_LATE)
        session->answer.delay_ms += delay_ms;
    else if (server->holder == session)
        server->holder = NULL;
    say_goodbye(session);
    session_close(session);
    if (session->quit_fault != SIM_FAULT_QUIT_LATE && session->close_ms < session->update_ms)
        session->close_ms = session->update_ms;
    if (delay_ms > 0)
        return;
    session_update(session);
    session_end(session);
}
