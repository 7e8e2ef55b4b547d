/* SPDX-License-Identifier: MIT */
/* Connections in the clear: from the name to the last byte, and every way in which they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"
#include "peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct net_connection *connect_plain(uint16_t port)
{
    struct net_connection_options options = client_options("127.0.0.1", port, NULL);
    struct failure failure;
    struct net_connection *connection = client_connect(&options, &failure);
    assert_string_equal(failure.text, "");
    assert_non_null(connection);
    return connection;
}

static void an_echo_comes_back(void **state)
{
    (void)state;
    struct peer peer;
    char got[16], expected[64];
    peer_start(&peer, serve_echo);
    struct net_connection *connection = connect_plain(peer.port);
    client_write(connection, "CAPA\r\n");
    client_read(connection, got, 6);
    assert_memory_equal(got, "CAPA\r\n", 6);
    snprintf(expected, sizeof(expected), "127.0.0.1 port %u", peer.port);
    assert_string_equal(net_connection_describe(connection), expected);
    assert_true(net_connection_is_ready(connection));
    assert_false(net_connection_is_secure(connection));
    net_connection_close(connection);
    peer_stop(&peer);
}

static void localhost_is_found(void **state)
{
    (void)state;
    needs_localhost();
    struct peer peer;
    struct failure failure;
    char got[8];
    peer_start(&peer, serve_echo);
    struct net_connection_options options = client_options("localhost", peer.port, NULL);
    struct net_connection *connection = client_connect(&options, &failure);
    assert_string_equal(failure.text, "");
    client_write(connection, "NOOP");
    client_read(connection, got, 4);
    assert_memory_equal(got, "NOOP", 4);
    net_connection_free(connection);
    peer_stop(&peer);
}

static void assert_connect_fails(const char *host, uint16_t port, const char *text)
{
    struct net_connection_options options = client_options(host, port, NULL);
    struct failure failure;
    assert_null(client_connect(&options, &failure));
    assert_int_equal(failure.fault, FAULT_OFFLINE);
    failure.text[strlen(text)] = '\0';
    assert_string_equal(failure.text, text);
}

static void a_refused_port_is_named(void **state)
{
    (void)state;
    char text[100];
    uint16_t port = port_that_refuses();
    snprintf(text, sizeof(text), "cannot connect to 127.0.0.1 port %u: Connection refused", port);
    assert_connect_fails("127.0.0.1", port, text);
}

static void a_host_that_is_not_found_is_named(void **state)
{
    (void)state;
    /* A label beyond 63 octets fails in the resolver, without a name server. */
    char host[81], text[160];
    memset(host, 'x', 80);
    host[80] = '\0';
    snprintf(text, sizeof(text), "cannot find the host %s: ", host);
    assert_connect_fails(host, 110, text);
    assert_connect_fails("", 110, "cannot find the host : Name or service not known");
    memcpy(host, "\x1b[2J", 4);
    snprintf(text, sizeof(text), "cannot find the host \\x1b%s: ", host + 1);
    assert_connect_fails(host, 110, text);
}

static void five_megabytes_go_both_ways_bit_exact(void **state)
{
    (void)state;
    struct peer peer;
    peer_start(&peer, serve_echo);
    struct net_connection *connection = connect_plain(peer.port);
    client_check_transfer(connection, 5000000);
    net_connection_free(connection);
    peer_stop(&peer);
}

static void many_small_writes_arrive_in_order(void **state)
{
    (void)state;
    enum { LINES = 3000, LINE_OCTETS = 11 };
    struct peer peer;
    char line[16], got[LINE_OCTETS];
    peer_start(&peer, serve_echo);
    struct net_connection *connection = connect_plain(peer.port);
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "RETR %04d\r\n", i);
        client_write(connection, line);
    }
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "RETR %04d\r\n", i);
        client_read(connection, got, LINE_OCTETS);
        assert_memory_equal(got, line, LINE_OCTETS);
    }
    net_connection_free(connection);
    peer_stop(&peer);
}

static void nothing_there_yet_is_not_the_end(void **state)
{
    (void)state;
    struct peer peer;
    struct failure failure;
    char data[8];
    size_t count = 99;
    peer_start(&peer, serve_nothing);
    struct net_connection *connection = connect_plain(peer.port);
    assert_int_equal(net_connection_read(connection, data, sizeof(data), &count, &failure),
                     FAULT_NONE);
    assert_int_equal(count, 0);
    count = 99;
    assert_int_equal(net_connection_read(connection, data, 0, &count, &failure), FAULT_NONE);
    assert_int_equal(count, 0);
    count = 99;
    assert_int_equal(net_connection_write(connection, (struct slice){NULL, 0}, &count, &failure),
                     FAULT_NONE);
    assert_int_equal(count, 0);
    net_connection_free(connection);
    peer_stop(&peer);
}

static void a_server_that_vanishes_in_mid_reply_is_offline(void **state)
{
    (void)state;
    struct peer peer = {.text = "+OK 120 octets\r\nReceived: fr"};
    struct failure failure = {0};
    char data[100];
    peer_start(&peer, serve_text_and_close);
    struct net_connection *connection = connect_plain(peer.port);
    size_t got = client_read_to_fault(connection, data, sizeof(data), &failure);
    assert_int_equal(got, strlen(peer.text));
    assert_memory_equal(data, peer.text, got);
    assert_int_equal(failure.fault, FAULT_OFFLINE);
    assert_non_null(strstr(failure.text, " closed the connection"));
    net_connection_close(connection);
    peer_stop(&peer);
}

static void a_reset_connection_is_offline_with_the_reason(void **state)
{
    (void)state;
    struct peer peer = {.text = "+OK\r\n"};
    struct failure failure = {0};
    char data[100];
    peer_start(&peer, serve_text_and_reset);
    struct net_connection *connection = connect_plain(peer.port);
    client_read(connection, data, 5);
    client_write(connection, "QUIT\r\n");
    assert_int_equal(client_read_to_fault(connection, data, sizeof(data), &failure), 0);
    assert_int_equal(failure.fault, FAULT_OFFLINE);
    assert_non_null(strstr(failure.text, " was lost: Connection reset by peer"));
    net_connection_free(connection);
    peer_stop(&peer);
}

static void writing_after_the_end_is_a_fault_and_no_signal(void **state)
{
    (void)state;
    struct peer peer = {.text = ""};
    struct failure failure = {0};
    enum fault fault = FAULT_NONE;
    size_t count;
    peer_start(&peer, serve_text_and_close);
    struct net_connection *connection = connect_plain(peer.port);
    /* The first one provokes the reset, a later one meets it. */
    while (fault == FAULT_NONE) {
        fault = net_connection_write(connection, SLICE_LITERAL("NOOP\r\n"), &count, &failure);
        client_wait(connection, true);
    }
    assert_int_equal(fault, FAULT_OFFLINE);
    /* The reset is reported once; from then on the kernel would raise SIGPIPE. */
    assert_int_equal(net_connection_write(connection, SLICE_LITERAL("NOOP\r\n"), &count, &failure),
                     FAULT_OFFLINE);
    assert_non_null(strstr(failure.text, " was lost: Broken pipe"));
    net_connection_free(connection);
    peer_stop(&peer);
}

static void a_connect_without_an_answer_times_out(void **state)
{
    (void)state;
    uint16_t port;
    int client, listener = listener_open_deaf(&port, &client);
    struct failure failure = {0};
    struct net_connection *connection;
    struct pollfd fds[NET_POLL_MAX];
    int64_t timeout_ms;
    struct net_connection_options options = client_options("127.0.0.1", port, NULL);
    options.connect_ms = 30000;
    assert_int_equal(net_connection_new(&options, 1000, &connection, &failure), FAULT_NONE);
    assert_int_equal(net_connection_progress(connection, 1000, &failure), FAULT_NONE);
    assert_int_equal(net_connection_poll(connection, true, 1000, fds, &timeout_ms), 1);
    assert_int_equal(timeout_ms, 30000);
    assert_int_equal(net_connection_progress(connection, 30999, &failure), FAULT_NONE);
    assert_int_equal(net_connection_progress(connection, 31000, &failure), FAULT_TIMEOUT);
    assert_non_null(strstr(failure.text, ": no answer within 30 s"));
    net_connection_free(connection);
    close(client);
    close(listener);
}

static void the_name_counts_against_the_same_deadline(void **state)
{
    (void)state;
    struct failure failure = {0};
    struct net_connection *connection;
    struct pollfd fds[NET_POLL_MAX];
    int64_t timeout_ms;
    struct net_connection_options options = client_options("localhost", 9, NULL);
    options.connect_ms = 5000;
    assert_int_equal(net_connection_new(&options, 1000, &connection, &failure), FAULT_NONE);
    assert_int_equal(net_connection_poll(connection, false, 1000, fds, &timeout_ms), 0);
    assert_in_range(timeout_ms, 0, 20);
    assert_int_equal(net_connection_poll(connection, false, 5995, fds, &timeout_ms), 0);
    assert_in_range(timeout_ms, 0, 5);
    /* However far it has come, it is over; only a refusal can have been quicker. */
    enum fault fault = net_connection_progress(connection, 6000, &failure);
    assert_true(fault == FAULT_TIMEOUT || fault == FAULT_OFFLINE);
    assert_int_equal(net_connection_progress(connection, 6000, &failure), FAULT_OFFLINE);
    net_connection_free(connection);
}

static void lookups_that_nobody_waits_for_do_no_harm(void **state)
{
    (void)state;
    struct failure failure = {0};
    struct net_connection_options options = client_options("localhost", 9, NULL);
    for (int i = 0; i < 200; i++) {
        struct net_connection *connection;
        assert_int_equal(net_connection_new(&options, 0, &connection, &failure), FAULT_NONE);
        net_connection_free(connection);
    }
}

static void nothing_is_said_before_it_is_ready(void **state)
{
    (void)state;
    struct failure failure = {0};
    struct net_connection *connection;
    size_t count = 99;
    char data[4];
    struct net_connection_options options = client_options("127.0.0.1", 9, NULL);
    assert_int_equal(net_connection_new(&options, 0, &connection, &failure), FAULT_NONE);
    assert_false(net_connection_is_ready(connection));
    assert_int_equal(
        net_connection_write(connection, SLICE_LITERAL("PASS x\r\n"), &count, &failure),
        FAULT_OFFLINE);
    assert_int_equal(net_connection_read(connection, data, sizeof(data), &count, &failure),
                     FAULT_OFFLINE);
    assert_int_equal(count, 99);
    assert_string_equal(net_connection_describe(connection), "127.0.0.1 port 9");
    net_connection_close(connection);
}

static void tls_without_trust_is_refused(void **state)
{
    (void)state;
    struct peer peer;
    struct failure failure = {0};
    struct net_connection *connection = NULL;
    struct net_connection_options options = client_options("127.0.0.1", 9, NULL);
    options.tls = true;
    assert_int_equal(net_connection_new(&options, 0, &connection, &failure), FAULT_UNTRUSTED);
    assert_null(connection);
    peer_start(&peer, serve_echo);
    connection = connect_plain(peer.port);
    assert_int_equal(net_connection_start_tls(connection, 0, &failure), FAULT_UNTRUSTED);
    assert_false(net_connection_is_ready(connection));
    net_connection_free(connection);
    peer_stop(&peer);
}

static void what_to_wait_for_follows_from_what_is_wanted(void **state)
{
    (void)state;
    struct peer peer;
    struct pollfd fds[NET_POLL_MAX];
    int64_t timeout_ms = 99;
    peer_start(&peer, serve_nothing);
    struct net_connection *connection = connect_plain(peer.port);
    assert_int_equal(net_connection_poll(connection, false, 0, fds, &timeout_ms), 1);
    assert_int_equal(fds[0].events, POLLIN);
    assert_int_equal(timeout_ms, -1);
    assert_int_equal(net_connection_poll(connection, true, 0, fds, &timeout_ms), 1);
    assert_int_equal(fds[0].events, POLLIN | POLLOUT);
    net_connection_free(connection);
    peer_stop(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_comes_back),
        cmocka_unit_test(localhost_is_found),
        cmocka_unit_test(a_refused_port_is_named),
        cmocka_unit_test(a_host_that_is_not_found_is_named),
        cmocka_unit_test(five_megabytes_go_both_ways_bit_exact),
        cmocka_unit_test(many_small_writes_arrive_in_order),
        cmocka_unit_test(nothing_there_yet_is_not_the_end),
        cmocka_unit_test(a_server_that_vanishes_in_mid_reply_is_offline),
        cmocka_unit_test(a_reset_connection_is_offline_with_the_reason),
        cmocka_unit_test(writing_after_the_end_is_a_fault_and_no_signal),
        cmocka_unit_test(a_connect_without_an_answer_times_out),
        cmocka_unit_test(the_name_counts_against_the_same_deadline),
        cmocka_unit_test(lookups_that_nobody_waits_for_do_no_harm),
        cmocka_unit_test(nothing_is_said_before_it_is_ready),
        cmocka_unit_test(tls_without_trust_is_refused),
        cmocka_unit_test(what_to_wait_for_follows_from_what_is_wanted),
    };
    return cmocka_run_group_tests_name("net_connection", tests, NULL, NULL);
}
