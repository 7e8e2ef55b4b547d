/* SPDX-License-Identifier: MIT */
/*
 * The life of one connection: look-up, race, handshake, ready. The only place in this folder that
 * knows deadlines. Refuses to know what the bytes mean.
 */
#include "lookup.h"
#include "race.h"
#include "socket.h"
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKUP_POLL_MS = 20, /* glibc has no descriptor to wait for */
    SHOWN_HOST_OCTETS_MAX = 200,
};

enum connection_state {
    CONNECTION_LOOKING_UP,
    CONNECTION_CONNECTING,
    CONNECTION_HANDSHAKING,
    CONNECTION_READY,
    CONNECTION_FAILED,
};

struct net_connection {
    enum connection_state state;
    char *host;
    char shown_host[SHOWN_HOST_OCTETS_MAX]; /* escaped */
    char peer[SHOWN_HOST_OCTETS_MAX + 16];  /* "HOST port N" */
    uint16_t port;
    bool tls_at_once;
    const struct net_trust *trust;
    int64_t connect_ms;
    int64_t handshake_ms;
    int64_t deadline_ms; /* of the state, until ready */
    struct net_lookup *lookup;
    struct net_race race;
    int socket;
    struct net_tls *tls;
    char description[160];
};

/* ---- made and ended ---- */

static void connection_show(struct net_connection *connection)
{
    text_escape(slice_from_string(connection->host), connection->shown_host,
                sizeof(connection->shown_host));
    snprintf(connection->peer, sizeof(connection->peer), "%s port %u", connection->shown_host,
             (unsigned int)connection->port);
}

static enum fault connection_fail_lookup(const struct net_connection *connection, int code,
                                         struct failure *ret_failure)
{
    if (code == EAI_MEMORY)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    bool is_unknown = code == EAI_NONAME || code == EAI_NODATA;
    return failure_set(ret_failure, FAULT_OFFLINE, "cannot find the host %s: %s%s",
                       connection->shown_host, gai_strerror(code),
                       is_unknown ? " (is the server's name spelt right?)" : "");
}

static void connection_start_race(struct net_connection *connection,
                                  const struct net_addresses *addresses, int64_t now_ms)
{
    net_race_init(&connection->race, addresses, now_ms);
    connection->state = CONNECTION_CONNECTING;
}

static enum fault connection_start(struct net_connection *connection, int64_t now_ms,
                                   struct failure *ret_failure)
{
    struct net_addresses addresses;
    int code = EAI_MEMORY;
    connection->deadline_ms = now_ms + connection->connect_ms;
    if (connection->host[0] == '\0')
        return connection_fail_lookup(connection, EAI_NONAME, ret_failure);
    if (net_lookup_numeric(connection->host, connection->port, &addresses)) {
        connection_start_race(connection, &addresses, now_ms);
        return FAULT_NONE;
    }
    connection->state = CONNECTION_LOOKING_UP;
    if (net_lookup_new(connection->host, connection->port, &connection->lookup, &code) !=
        FAULT_NONE)
        return connection_fail_lookup(connection, code, ret_failure);
    return FAULT_NONE;
}

enum fault net_connection_new(const struct net_connection_options *options, int64_t now_ms,
                              struct net_connection **ret_connection, struct failure *ret_failure)
{
    if (options->tls && options->trust == NULL)
        return failure_set(ret_failure, FAULT_UNTRUSTED, "no TLS without knowing whom to trust");
    struct net_connection *connection = calloc(1, sizeof(*connection));
    char *host = strdup(options->host);
    if (connection == NULL || host == NULL) {
        free(connection);
        free(host);
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    connection->host = host;
    connection->port = options->port;
    connection->tls_at_once = options->tls;
    connection->trust = options->trust;
    connection->connect_ms = options->connect_ms;
    connection->handshake_ms = options->handshake_ms;
    connection->socket = -1;
    connection_show(connection);
    enum fault fault = connection_start(connection, now_ms, ret_failure);
    if (fault != FAULT_NONE) {
        net_connection_free(connection);
        return fault;
    }
    *ret_connection = connection;
    return FAULT_NONE;
}

void net_connection_free(struct net_connection *connection)
{
    if (connection == NULL)
        return;
    net_lookup_free(connection->lookup);
    net_race_done(&connection->race);
    net_tls_free(connection->tls);
    cleanup_close(&connection->socket);
    free(connection->host);
    free(connection);
}

void net_connection_close(struct net_connection *connection)
{
    if (net_connection_is_secure(connection))
        net_tls_shutdown(connection->tls);
    net_connection_free(connection);
}

/* ---- on the way to ready ---- */

static enum fault connection_look_up(struct net_connection *connection, int64_t now_ms,
                                     struct failure *ret_failure)
{
    int code = 0;
    if (!net_lookup_is_done(connection->lookup, &code))
        return FAULT_NONE;
    if (code != 0)
        return connection_fail_lookup(connection, code, ret_failure);
    struct net_addresses addresses;
    net_lookup_addresses(connection->lookup, &addresses);
    net_lookup_free(connection->lookup);
    connection->lookup = NULL;
    connection_start_race(connection, &addresses, now_ms);
    return FAULT_NONE;
}

static enum fault connection_start_handshake(struct net_connection *connection, bool in_place,
                                             int64_t now_ms, struct failure *ret_failure)
{
    struct net_tls_options options = {
        .trust = connection->trust,
        .host = connection->host,
        .shown_host = connection->shown_host,
        .peer = connection->peer,
        .socket = connection->socket,
        .in_place = in_place,
    };
    enum fault fault = net_tls_new(&options, &connection->tls, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    connection->state = CONNECTION_HANDSHAKING;
    connection->deadline_ms = now_ms + connection->handshake_ms;
    return FAULT_NONE;
}

static enum fault connection_race(struct net_connection *connection, int64_t now_ms,
                                  struct failure *ret_failure)
{
    switch (net_race_step(&connection->race, now_ms, &connection->socket)) {
    case NET_RACE_RUNNING:
        return FAULT_NONE;
    case NET_RACE_LOST:
        return failure_set(ret_failure, FAULT_OFFLINE, "cannot connect to %s: %s%s",
                           connection->peer, strerror(connection->race.last_error),
                           connection->race.last_error == ECONNREFUSED
                               ? " (is it the right port, and does the server run?)"
                               : "");
    case NET_RACE_WON:
        break;
    }
    net_race_done(&connection->race);
    if (connection->tls_at_once)
        return connection_start_handshake(connection, false, now_ms, ret_failure);
    connection->state = CONNECTION_READY;
    return FAULT_NONE;
}

static enum fault connection_handshake(struct net_connection *connection,
                                       struct failure *ret_failure)
{
    bool done = false;
    enum fault fault = net_tls_handshake(connection->tls, &done, ret_failure);
    if (fault == FAULT_NONE && done)
        connection->state = CONNECTION_READY;
    return fault;
}

static enum fault connection_step(struct net_connection *connection, int64_t now_ms,
                                  struct failure *ret_failure)
{
    switch (connection->state) {
    case CONNECTION_LOOKING_UP:
        return connection_look_up(connection, now_ms, ret_failure);
    case CONNECTION_CONNECTING:
        return connection_race(connection, now_ms, ret_failure);
    case CONNECTION_HANDSHAKING:
        return connection_handshake(connection, ret_failure);
    case CONNECTION_READY:
        return FAULT_NONE;
    case CONNECTION_FAILED:
        break;
    }
    return failure_set(ret_failure, FAULT_OFFLINE, "there is no connection to %s",
                       connection->peer);
}

static enum fault connection_time_out(const struct net_connection *connection,
                                      struct failure *ret_failure)
{
    if (connection->state == CONNECTION_HANDSHAKING)
        return failure_set(ret_failure, FAULT_TIMEOUT,
                           "%s did not finish the TLS handshake within %lld s", connection->peer,
                           (long long)(connection->handshake_ms / 1000));
    if (connection->state == CONNECTION_LOOKING_UP)
        return failure_set(ret_failure, FAULT_TIMEOUT,
                           "cannot find the host %s: no answer within %lld s",
                           connection->shown_host, (long long)(connection->connect_ms / 1000));
    return failure_set(ret_failure, FAULT_TIMEOUT, "cannot connect to %s: no answer within %lld s",
                       connection->peer, (long long)(connection->connect_ms / 1000));
}

enum fault net_connection_progress(struct net_connection *connection, int64_t now_ms,
                                   struct failure *ret_failure)
{
    enum connection_state before;
    enum fault fault;
    /* A step that ends one state begins the next at once; in the last one there is something to
     * wait for. */
    do {
        before = connection->state;
        fault = connection_step(connection, now_ms, ret_failure);
    } while (fault == FAULT_NONE && connection->state != before);
    if (fault == FAULT_NONE && connection->state != CONNECTION_READY &&
        now_ms >= connection->deadline_ms)
        fault = connection_time_out(connection, ret_failure);
    if (fault != FAULT_NONE)
        connection->state = CONNECTION_FAILED;
    return fault;
}

enum fault net_connection_start_tls(struct net_connection *connection, int64_t now_ms,
                                    struct failure *ret_failure)
{
    enum fault fault = FAULT_UNTRUSTED;
    if (connection->state != CONNECTION_READY || connection->tls != NULL ||
        connection->trust == NULL)
        failure_set(ret_failure, fault, "TLS cannot be started on the connection to %s",
                    connection->peer);
    else
        fault = connection_start_handshake(connection, true, now_ms, ret_failure);
    if (fault != FAULT_NONE)
        connection->state = CONNECTION_FAILED;
    return fault;
}

/* ---- what it is ---- */

bool net_connection_is_ready(const struct net_connection *connection)
{
    return connection->state == CONNECTION_READY;
}

bool net_connection_has_refused_certificate(const struct net_connection *connection)
{
    return connection->tls != NULL && net_tls_has_refused_certificate(connection->tls);
}

bool net_connection_is_secure(const struct net_connection *connection)
{
    return connection->state == CONNECTION_READY && connection->tls != NULL;
}

bool net_connection_binding(const struct net_connection *connection,
                            struct net_binding *ret_binding)
{
    return net_connection_is_secure(connection) && net_tls_binding(connection->tls, ret_binding);
}

const char *net_connection_describe(struct net_connection *connection)
{
    char address[80], tls[70] = "";
    if (connection->socket < 0 ||
        !net_socket_describe(connection->socket, address, sizeof(address)))
        return connection->peer;
    if (net_connection_is_secure(connection))
        net_tls_describe(connection->tls, tls, sizeof(tls));
    snprintf(connection->description, sizeof(connection->description), "%s%s%s", address,
             tls[0] != '\0' ? ", " : "", tls);
    return connection->description;
}

/* ---- waiting ---- */

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    if (a_ms < 0 || b_ms < 0)
        return a_ms < 0 ? b_ms : a_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

static short connection_events(const struct net_connection *connection, bool want_write)
{
    if (connection->tls != NULL)
        return net_tls_events(connection->tls, want_write);
    return want_write ? POLLIN | POLLOUT : POLLIN;
}

size_t net_connection_poll(const struct net_connection *connection, bool want_write, int64_t now_ms,
                           struct pollfd fds[NET_POLL_MAX], int64_t *ret_timeout_ms)
{
    int64_t left_ms = connection->deadline_ms > now_ms ? connection->deadline_ms - now_ms : 0;
    int64_t step_ms = -1;
    size_t count = 0;
    switch (connection->state) {
    case CONNECTION_LOOKING_UP:
        step_ms = LOOKUP_POLL_MS;
        break;
    case CONNECTION_CONNECTING:
        count = net_race_poll(&connection->race, now_ms, fds, &step_ms);
        break;
    case CONNECTION_HANDSHAKING:
    case CONNECTION_READY:
        fds[0] = (struct pollfd){.fd = connection->socket,
                                 .events = connection_events(connection, want_write)};
        count = 1;
        break;
    case CONNECTION_FAILED:
        step_ms = 0;
        break;
    }
    *ret_timeout_ms = connection->state == CONNECTION_READY ? -1 : earlier(step_ms, left_ms);
    return count;
}

/* ---- bytes ---- */

static enum fault connection_lost(const struct net_connection *connection, int error,
                                  struct failure *ret_failure)
{
    return failure_set(ret_failure, FAULT_OFFLINE, "the connection to %s was lost: %s",
                       connection->peer, strerror(error));
}

static enum fault plain_read(const struct net_connection *connection, char *data, size_t capacity,
                             size_t *ret_count, struct failure *ret_failure)
{
    ssize_t count = net_socket_receive(connection->socket, data, capacity);
    if (count == 0)
        return failure_set(ret_failure, FAULT_OFFLINE, "%s closed the connection",
                           connection->peer);
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return connection_lost(connection, errno, ret_failure);
    *ret_count = count > 0 ? (size_t)count : 0;
    return FAULT_NONE;
}

static enum fault plain_write(const struct net_connection *connection, struct slice bytes,
                              size_t *ret_count, struct failure *ret_failure)
{
    ssize_t count = net_socket_send(connection->socket, bytes.data, bytes.len);
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return connection_lost(connection, errno, ret_failure);
    *ret_count = count > 0 ? (size_t)count : 0;
    return FAULT_NONE;
}

enum fault net_connection_read(struct net_connection *connection, char *data, size_t capacity,
                               size_t *ret_count, struct failure *ret_failure)
{
    if (connection->state != CONNECTION_READY)
        return failure_set(ret_failure, FAULT_OFFLINE, "the connection to %s is not ready",
                           connection->peer);
    if (capacity == 0) {
        *ret_count = 0;
        return FAULT_NONE;
    }
    if (connection->tls != NULL)
        return net_tls_read(connection->tls, data, capacity, ret_count, ret_failure);
    return plain_read(connection, data, capacity, ret_count, ret_failure);
}

enum fault net_connection_write(struct net_connection *connection, struct slice bytes,
                                size_t *ret_count, struct failure *ret_failure)
{
    if (connection->state != CONNECTION_READY)
        return failure_set(ret_failure, FAULT_OFFLINE, "the connection to %s is not ready",
                           connection->peer);
    if (bytes.len == 0) {
        *ret_count = 0;
        return FAULT_NONE;
    }
    if (connection->tls != NULL)
        return net_tls_write(connection->tls, bytes, ret_count, ret_failure);
    return plain_write(connection, bytes, ret_count, ret_failure);
}
