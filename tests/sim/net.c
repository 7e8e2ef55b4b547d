/* SPDX-License-Identifier: MIT */
#include "net.h"

#include "popfs/net.h"
#include "world_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS_MOST = 300 };

struct net_trust {
    int unused;
};

enum stage { STAGE_CONNECTING, STAGE_READY, STAGE_DEAD };

struct net_connection {
    enum stage stage;
    bool tls;
    bool wants_write; /* popfs has more than the server took */
    bool is_blocked;
    bool quit_was_heard;
    int64_t ready_ms, deadline_ms; /* ready_ms -1: it hangs */
    struct sim_session *session;
};

static struct {
    struct sim_server *server;
    struct sim_random random;
    uint32_t piece_octets;
    struct net_connection *connection; /* the one that there is */
    void (*heard)(void *context, uint32_t session);
    void *heard_context;
} net;

void net_use(struct sim_server *server, const struct sim_random *random, uint32_t piece_octets)
{
    memset(&net, 0, sizeof(net));
    net.server = server;
    net.random = sim_random_fork(random, "net");
    net.piece_octets = piece_octets;
}

void net_on_quit(void (*heard)(void *context, uint32_t session), void *context)
{
    net.heard = heard;
    net.heard_context = context;
}

uint32_t net_session_number(void)
{
    const struct net_connection *connection = net.connection;
    return connection == NULL || connection->session == NULL
               ? 0
               : sim_session_number(connection->session);
}

static void note_quit(struct net_connection *connection)
{
    if (connection->quit_was_heard || connection->session == NULL)
        return;
    uint32_t number = sim_session_number(connection->session);
    if (sim_server_session(net.server, number).quit == SIM_QUIT_NONE)
        return;
    connection->quit_was_heard = true;
    if (net.heard != NULL)
        net.heard(net.heard_context, number);
}

void net_process_ended(bool power_cut)
{
    struct net_connection *connection = net.connection;
    net.connection = NULL;
    if (connection == NULL || connection->session == NULL)
        return;
    if (power_cut)
        sim_session_vanish(connection->session, world_now_ms());
    else
        sim_session_drop(connection->session, world_now_ms());
    note_quit(connection);
}

int64_t net_next_ms(void)
{
    const struct net_connection *connection = net.connection;
    if (connection == NULL || connection->stage == STAGE_DEAD)
        return -1;
    if (connection->stage == STAGE_CONNECTING)
        return connection->ready_ms;
    if (connection->wants_write && !connection->is_blocked)
        return world_now_ms();
    int64_t next_ms = sim_session_next_ms(connection->session);
    return next_ms < 0 || next_ms > world_now_ms() ? next_ms : world_now_ms();
}

static size_t piece(size_t count)
{
    if (net.piece_octets == 0 || count <= 1)
        return count;
    size_t most = 1 + (size_t)sim_random_below(&net.random, net.piece_octets);
    return count < most ? count : most;
}

/* ---- popfs/net.h ---- */

enum fault net_trust_new(const struct net_trust_options *options, struct net_trust **ret_trust,
                         struct failure *ret_failure)
{
    (void)options;
    *ret_trust = calloc(1, sizeof(**ret_trust));
    return *ret_trust != NULL ? FAULT_NONE : failure_set(ret_failure, FAULT_MEMORY, "no memory");
}

enum fault net_authorities_read(const char *cafile, struct buffer *ret_pem,
                                struct failure *ret_failure)
{
    (void)cafile, (void)ret_pem, (void)ret_failure;
    return FAULT_NONE;
}

enum fault net_trust_renew(struct net_trust *trust, struct slice pem, struct failure *ret_failure)
{
    (void)trust, (void)pem, (void)ret_failure;
    return FAULT_NONE;
}

void net_trust_free(struct net_trust *trust)
{
    free(trust);
}

enum fault net_connection_new(const struct net_connection_options *options, int64_t now_ms,
                              struct net_connection **ret_connection, struct failure *ret_failure)
{
    struct net_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "no memory");
    connection->tls = options->tls;
    connection->deadline_ms = now_ms + options->connect_ms;
    connection->ready_ms = now_ms + (int64_t)sim_random_skewed(&net.random, CONNECT_MS_MOST);
    if (connection->ready_ms > connection->deadline_ms)
        connection->ready_ms = connection->deadline_ms;
    net.connection = connection;
    *ret_connection = connection;
    return FAULT_NONE;
}

void net_connection_free(struct net_connection *connection)
{
    if (connection == NULL)
        return;
    if (connection->session != NULL) {
        sim_session_drop(connection->session, world_now_ms());
        note_quit(connection);
    }
    if (net.connection == connection)
        net.connection = NULL;
    free(connection);
}

void net_connection_close(struct net_connection *connection)
{
    net_connection_free(connection);
}

enum fault net_connection_progress(struct net_connection *connection, int64_t now_ms,
                                   struct failure *ret_failure)
{
    if (connection->stage != STAGE_CONNECTING)
        return FAULT_NONE;
    if (connection->ready_ms >= 0 && now_ms >= connection->ready_ms) {
        connection->session = sim_server_accept(net.server, now_ms);
        /* Half of those that are not taken hang. */
        if (connection->session != NULL) {
            connection->stage = STAGE_READY;
            return FAULT_NONE;
        }
        if (sim_random_chance(&net.random, 500)) {
            connection->stage = STAGE_DEAD;
            return failure_set(ret_failure, FAULT_OFFLINE, "connection refused");
        }
        connection->ready_ms = -1;
    }
    if (now_ms < connection->deadline_ms)
        return FAULT_NONE;
    connection->stage = STAGE_DEAD;
    return failure_set(ret_failure, FAULT_TIMEOUT, "no answer to the connect");
}

bool net_connection_is_ready(const struct net_connection *connection)
{
    return connection->stage == STAGE_READY;
}

bool net_connection_has_refused_certificate(const struct net_connection *connection)
{
    (void)connection;
    return false;
}

bool net_connection_is_secure(const struct net_connection *connection)
{
    return connection->tls && connection->stage == STAGE_READY;
}

bool net_connection_binding(const struct net_connection *connection,
                            struct net_binding *ret_binding)
{
    (void)connection;
    (void)ret_binding;
    return false;
}

enum fault net_connection_start_tls(struct net_connection *connection, int64_t now_ms,
                                    struct failure *ret_failure)
{
    (void)now_ms;
    (void)ret_failure;
    connection->tls = true;
    return FAULT_NONE;
}

size_t net_connection_poll(const struct net_connection *connection, bool want_write, int64_t now_ms,
                           struct pollfd fds[NET_POLL_MAX], int64_t *ret_timeout_ms)
{
    (void)fds;
    *ret_timeout_ms = connection->stage == STAGE_CONNECTING ? connection->deadline_ms - now_ms : -1;
    if (net.connection == connection)
        net.connection->wants_write = want_write;
    return 0;
}

enum fault net_connection_read(struct net_connection *connection, char *data, size_t capacity,
                               size_t *ret_count, struct failure *ret_failure)
{
    int64_t now_ms = world_now_ms();
    *ret_count = sim_session_take(connection->session, now_ms, data, piece(capacity));
    note_quit(connection);
    if (*ret_count > 0) {
        world_note_progress();
        connection->is_blocked = false;
        return FAULT_NONE;
    }
    if (!sim_session_is_closed(connection->session, now_ms))
        return FAULT_NONE;
    return failure_set(ret_failure, FAULT_OFFLINE, "the server closed the connection");
}

enum fault net_connection_write(struct net_connection *connection, struct slice bytes,
                                size_t *ret_count, struct failure *ret_failure)
{
    (void)ret_failure;
    struct slice part = {bytes.data, piece(bytes.len)};
    *ret_count = sim_session_feed(connection->session, part, world_now_ms());
    connection->is_blocked = *ret_count < part.len;
    note_quit(connection);
    return FAULT_NONE;
}

const char *net_connection_describe(struct net_connection *connection)
{
    return connection->tls ? "127.0.0.1 port 995, TLSv1.3" : "127.0.0.1 port 110";
}
