/* SPDX-License-Identifier: MIT */
/* What the invariants may know and popfs may not. */
#include "server_parts.h"

#include <string.h>

size_t sim_server_message_count(const struct sim_server *server)
{
    return server->message_count;
}

const struct sim_message *sim_server_message(const struct sim_server *server, uint64_t serial)
{
    const struct message *message = server_message(server, serial);
    return message == NULL ? NULL : &message->truth;
}

size_t sim_server_present_count(const struct sim_server *server)
{
    return server->present_count;
}

uint32_t sim_server_session_count(const struct sim_server *server)
{
    return server->session_count;
}

struct sim_session_truth sim_server_session(const struct sim_server *server, uint32_t number)
{
    const struct sim_session *session = server->sessions[number - 1];
    return (struct sim_session_truth){.number = number,
                                      .accepted_ms = session->accepted_ms,
                                      .listed_ms = session->listed_ms,
                                      .ended_ms = session->ended_ms,
                                      .is_logged_in = session->listed_ms >= 0,
                                      .is_left = session->client != CLIENT_THERE,
                                      .quit = session->quit,
                                      .rows = session->rows,
                                      .row_count = session->row_count,
                                      .wire_octets = session->wire_made,
                                      .taken_octets = session->wire_taken,
                                      .command_count = session->command_count,
                                      .login_count = session->login_count};
}

bool sim_server_has_listed(const struct sim_server *server, uint64_t serial, struct slice uidl)
{
    for (uint32_t number = 1; number <= sim_server_session_count(server); number++) {
        struct sim_session_truth truth = sim_server_session(server, number);
        for (size_t i = 0; i < truth.row_count; i++)
            if (truth.rows[i].serial == serial && slice_equal(truth.rows[i].uidl, uidl))
                return true;
    }
    return false;
}

const struct sim_sent *sim_server_last_sent(const struct sim_server *server, uint64_t serial)
{
    const struct message *message = server_message(server, serial);
    return message == NULL ? NULL : message->last_sent;
}

/* The client took enough off the wire to have these octets. A stuffed dot more does no harm here.
 */
static bool was_taken(const struct sim_server *server, const struct sim_sent *sent, uint64_t octets,
                      bool is_all)
{
    uint64_t taken = server->sessions[sent->session - 1]->wire_taken;
    return is_all ? taken >= sent->wire_end : taken >= sent->wire_begin + octets;
}

bool sim_server_has_sent(const struct sim_server *server, uint64_t serial, uint64_t offset,
                         struct slice octets, bool is_all, bool or_top)
{
    for (const struct sim_sent *sent = sim_server_last_sent(server, serial); sent != NULL;
         sent = sent->previous) {
        if (sent->verb == SIM_VERB_TOP && !or_top)
            continue;
        if (offset > sent->octets.len || octets.len > sent->octets.len - offset)
            continue;
        if (is_all && (!sent->is_ended || offset + octets.len != sent->octets.len))
            continue;
        if (!was_taken(server, sent, offset + octets.len, is_all))
            continue;
        if (octets.len == 0 || memcmp(sent->octets.data + offset, octets.data, octets.len) == 0)
            return true;
    }
    return false;
}

size_t sim_server_lie_count(const struct sim_server *server)
{
    return server->lie_count;
}

const struct sim_lie *sim_server_lie(const struct sim_server *server, size_t position)
{
    return &server->lies[position];
}

uint32_t sim_server_fired_count(const struct sim_server *server, enum sim_fault fault)
{
    return server->fired[fault];
}
