/* SPDX-License-Identifier: MIT */
/* Several addresses: their order, and that a dead one costs little (POP3.md rule 23). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"
#include "race.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* ---- order ---- */

enum { INFOS_MAX = 24 };

struct infos {
    size_t count;
    struct addrinfo list[INFOS_MAX];
    struct sockaddr_storage addresses[INFOS_MAX];
};

static void infos_add(struct infos *infos, const char *text)
{
    size_t i = infos->count++;
    struct sockaddr_in *four = (struct sockaddr_in *)&infos->addresses[i];
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&infos->addresses[i];
    bool is_six = strchr(text, ':') != NULL;
    infos->addresses[i].ss_family = is_six ? AF_INET6 : AF_INET;
    if (is_six)
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
    else
        assert_int_equal(inet_pton(AF_INET, text, &four->sin_addr), 1);
    infos->list[i] = (struct addrinfo){
        .ai_family = infos->addresses[i].ss_family,
        .ai_addr = (struct sockaddr *)&infos->addresses[i],
        .ai_addrlen = (socklen_t)(is_six ? sizeof(*six) : sizeof(*four)),
    };
    if (i > 0)
        infos->list[i - 1].ai_next = &infos->list[i];
}

static const char *address_text(const struct net_address *address, char out[INET6_ADDRSTRLEN])
{
    const void *raw = &((const struct sockaddr_in *)&address->storage)->sin_addr;
    if (address->storage.ss_family == AF_INET6)
        raw = &((const struct sockaddr_in6 *)&address->storage)->sin6_addr;
    assert_non_null(inet_ntop(address->storage.ss_family, raw, out, INET6_ADDRSTRLEN));
    return out;
}

static void assert_order(const char *const *from, const char *const *expected)
{
    struct infos infos = {0};
    struct net_addresses addresses;
    char text[INET6_ADDRSTRLEN];
    for (; *from != NULL; from++)
        infos_add(&infos, *from);
    net_addresses_from_info(infos.count > 0 ? infos.list : NULL, &addresses);
    for (size_t i = 0; i < addresses.count; i++, expected++) {
        assert_non_null(*expected);
        assert_string_equal(address_text(&addresses.at[i], text), *expected);
    }
    assert_null(*expected);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void the_families_take_turns_and_ipv6_begins(void **state)
{
    (void)state;
    assert_order(LIST("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"),
                 LIST("2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"));
    assert_order(LIST("2001:db8::1", "2001:db8::2"), LIST("2001:db8::1", "2001:db8::2"));
    assert_order(LIST("192.0.2.7"), LIST("192.0.2.7"));
    assert_order((const char *const[]){NULL}, (const char *const[]){NULL});
}

static void an_address_is_tried_once(void **state)
{
    (void)state;
    assert_order(LIST("127.0.0.1", "127.0.0.1", "::1", "127.0.0.1", "127.0.0.2", "::1"),
                 LIST("::1", "127.0.0.1", "127.0.0.2"));
}

static void no_more_than_eight_and_both_families_among_them(void **state)
{
    (void)state;
    assert_order(LIST("::1", "::2", "::3", "::4", "::5", "::6", "::7", "::8", "::9", "192.0.2.1"),
                 LIST("::1", "192.0.2.1", "::2", "::3", "::4", "::5", "::6", "::7"));
}

/* ---- the race ---- */

static void addresses_add(struct net_addresses *addresses, uint16_t port)
{
    struct net_address *address = &addresses->at[addresses->count++];
    struct sockaddr_in *four = (struct sockaddr_in *)&address->storage;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->octets = sizeof(*four);
}

/* Steps at one and the same time of the clock while descriptors get ready. */
static enum net_race_state race_run(struct net_race *race, int64_t now_ms, int *ret_socket)
{
    enum net_race_state result;
    while ((result = net_race_step(race, now_ms, ret_socket)) == NET_RACE_RUNNING) {
        struct pollfd fds[NET_ADDRESSES_MAX];
        int64_t timeout_ms;
        size_t count = net_race_poll(race, now_ms, fds, &timeout_ms);
        assert_true(poll(fds, count, 20000) > 0);
    }
    return result;
}

static uint16_t peer_port(int socket)
{
    struct sockaddr_in address;
    socklen_t octets = sizeof(address);
    assert_int_equal(getpeername(socket, (struct sockaddr *)&address, &octets), 0);
    return ntohs(address.sin_port);
}

static void after_a_dead_address_the_next_is_tried_at_once(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listener_open(4, &port), socket = -1;
    struct net_addresses addresses = {0};
    struct net_race race;
    addresses_add(&addresses, port_that_refuses());
    addresses_add(&addresses, port);
    net_race_init(&race, &addresses, 1000);
    /* The clock stands still: no delay is waited for. */
    assert_int_equal(race_run(&race, 1000, &socket), NET_RACE_WON);
    assert_int_equal(peer_port(socket), port);
    net_race_done(&race);
    close(socket);
    close(listener);
}

static void when_all_refuse_the_last_reason_is_kept(void **state)
{
    (void)state;
    struct net_addresses addresses = {0};
    struct net_race race;
    int socket = -1;
    addresses_add(&addresses, port_that_refuses());
    addresses_add(&addresses, port_that_refuses());
    addresses_add(&addresses, port_that_refuses());
    net_race_init(&race, &addresses, 0);
    assert_int_equal(race_run(&race, 0, &socket), NET_RACE_LOST);
    assert_int_equal(race.last_error, ECONNREFUSED);
    assert_int_equal(socket, -1);
    net_race_done(&race);
}

static void no_address_at_all_is_lost(void **state)
{
    (void)state;
    struct net_addresses addresses = {0};
    struct net_race race;
    int socket = -1;
    net_race_init(&race, &addresses, 0);
    assert_int_equal(net_race_step(&race, 0, &socket), NET_RACE_LOST);
    net_race_done(&race);
}

static void a_silent_address_holds_the_next_up_for_a_quarter_second(void **state)
{
    (void)state;
    uint16_t deaf_port, port;
    int client, deaf = listener_open_deaf(&deaf_port, &client);
    int listener = listener_open(4, &port), socket = -1;
    struct net_addresses addresses = {0};
    struct net_race race;
    struct pollfd fds[NET_ADDRESSES_MAX];
    int64_t timeout_ms;
    addresses_add(&addresses, deaf_port);
    addresses_add(&addresses, port);
    net_race_init(&race, &addresses, 1000);
    assert_int_equal(net_race_step(&race, 1000, &socket), NET_RACE_RUNNING);
    assert_int_equal(net_race_poll(&race, 1000, fds, &timeout_ms), 1);
    assert_int_equal(timeout_ms, NET_RACE_DELAY_MS);
    assert_int_equal(net_race_step(&race, 1249, &socket), NET_RACE_RUNNING);
    assert_int_equal(net_race_poll(&race, 1249, fds, &timeout_ms), 1);
    assert_int_equal(timeout_ms, 1);
    assert_int_equal(net_race_step(&race, 1250, &socket), NET_RACE_RUNNING);
    assert_int_equal(net_race_poll(&race, 1250, fds, &timeout_ms), 2);
    assert_int_equal(timeout_ms, -1);
    assert_int_equal(race_run(&race, 1250, &socket), NET_RACE_WON);
    assert_int_equal(peer_port(socket), port);
    net_race_done(&race);
    close(socket);
    close(listener);
    close(client);
    close(deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_families_take_turns_and_ipv6_begins),
        cmocka_unit_test(an_address_is_tried_once),
        cmocka_unit_test(no_more_than_eight_and_both_families_among_them),
        cmocka_unit_test(after_a_dead_address_the_next_is_tried_at_once),
        cmocka_unit_test(when_all_refuse_the_last_reason_is_kept),
        cmocka_unit_test(no_address_at_all_is_lost),
        cmocka_unit_test(a_silent_address_holds_the_next_up_for_a_quarter_second),
    };
    return cmocka_run_group_tests_name("net_race", tests, NULL, NULL);
}
