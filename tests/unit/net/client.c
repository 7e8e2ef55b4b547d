/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct net_connection_options client_options(const char *host, uint16_t port,
                                             const struct net_trust *trust)
{
    return (struct net_connection_options){
        .host = host,
        .port = port,
        .tls = trust != NULL,
        .trust = trust,
        .connect_ms = PATIENCE_MS,
        .handshake_ms = PATIENCE_MS,
    };
}

void client_wait(struct net_connection *connection, bool want_write)
{
    struct pollfd fds[NET_POLL_MAX];
    int64_t timeout_ms = -1;
    size_t count = net_connection_poll(connection, want_write, clock_ms(), fds, &timeout_ms);
    assert_in_range(count, 0, NET_POLL_MAX);
    if (timeout_ms < 0 || timeout_ms > PATIENCE_MS)
        timeout_ms = PATIENCE_MS;
    int ready = poll(fds, count, (int)timeout_ms);
    /* Silence for so long means that the test would wait for ever. */
    assert_true(ready > 0 || timeout_ms < PATIENCE_MS);
}

enum fault client_progress(struct net_connection *connection, struct failure *ret_failure)
{
    while (!net_connection_is_ready(connection)) {
        client_wait(connection, false);
        enum fault fault = net_connection_progress(connection, clock_ms(), ret_failure);
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

struct net_connection *client_connect(const struct net_connection_options *options,
                                      struct failure *ret_failure)
{
    struct net_connection *connection = NULL;
    *ret_failure = (struct failure){0};
    if (net_connection_new(options, clock_ms(), &connection, ret_failure) != FAULT_NONE)
        return NULL;
    if (client_progress(connection, ret_failure) == FAULT_NONE)
        return connection;
    net_connection_free(connection);
    return NULL;
}

void client_read(struct net_connection *connection, char *data, size_t octets)
{
    struct failure failure = {0};
    for (size_t got = 0, count; got < octets; got += count) {
        enum fault fault =
            net_connection_read(connection, data + got, octets - got, &count, &failure);
        assert_string_equal(failure.text, "");
        assert_int_equal(fault, FAULT_NONE);
        if (count == 0)
            client_wait(connection, false);
    }
}

size_t client_read_to_fault(struct net_connection *connection, char *data, size_t capacity,
                            struct failure *ret_failure)
{
    size_t got = 0, count = 0;
    while (net_connection_read(connection, data + got, capacity - got, &count, ret_failure) ==
           FAULT_NONE) {
        got += count;
        assert_true(got < capacity);
        if (count == 0)
            client_wait(connection, false);
    }
    return got;
}

void client_write(struct net_connection *connection, const char *text)
{
    struct failure failure = {0};
    struct slice rest = slice_from_string(text);
    while (rest.len > 0) {
        size_t count = 0;
        assert_int_equal(net_connection_write(connection, rest, &count, &failure), FAULT_NONE);
        rest = slice_skip(rest, count);
        if (count == 0)
            client_wait(connection, true);
    }
}

static void fill(char *data, size_t octets)
{
    uint32_t state = 2463534242U;
    for (size_t i = 0; i < octets; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        data[i] = (char)state;
    }
}

void client_check_transfer(struct net_connection *connection, size_t octets)
{
    char *sent = malloc(octets), *got = malloc(octets + 1);
    assert_non_null(sent);
    assert_non_null(got);
    fill(sent, octets);
    size_t out = 0, in = 0;
    struct failure failure = {0};
    while (in < octets) {
        size_t written = 0, count = 0;
        struct slice rest = {sent + out, octets - out};
        assert_int_equal(
            net_connection_read(connection, got + in, octets + 1 - in, &count, &failure),
            FAULT_NONE);
        in += count;
        assert_int_equal(net_connection_write(connection, rest, &written, &failure), FAULT_NONE);
        out += written;
        if (count == 0 && written == 0)
            client_wait(connection, out < octets);
    }
    assert_int_equal(in, octets);
    assert_memory_equal(sent, got, octets);
    free(sent);
    free(got);
}

void needs_localhost(void)
{
    if (access("/etc/hosts", R_OK) != 0)
        skip();
}
