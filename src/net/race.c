/* SPDX-License-Identifier: MIT */
/*
 * Happy Eyeballs: a dead address costs a quarter of a second, not a TCP time-out. Knows addresses
 * and the caller's clock; the deadline for them all is the caller's.
 */
#include "race.h"

#include "socket.h"

#include <errno.h>
#include <unistd.h>

void net_race_init(struct net_race *race, const struct net_addresses *addresses, int64_t now_ms)
{
    *race =
        (struct net_race){.addresses = *addresses, .next_ms = now_ms, .last_error = EADDRNOTAVAIL};
    for (size_t i = 0; i < NET_ADDRESSES_MAX; i++)
        race->sockets[i] = -1;
}

void net_race_done(struct net_race *race)
{
    for (size_t i = 0; i < race->started_count; i++)
        cleanup_close(&race->sockets[i]);
    race->started_count = 0;
    race->addresses.count = 0;
}

static size_t race_fill(const struct net_race *race, struct pollfd fds[NET_ADDRESSES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < race->started_count; i++)
        if (race->sockets[i] >= 0)
            fds[count++] = (struct pollfd){.fd = race->sockets[i], .events = POLLOUT};
    return count;
}

static bool is_ready(int socket)
{
    struct pollfd fd = {.fd = socket, .events = POLLOUT};
    return poll(&fd, 1, 0) > 0;
}

/* The first attempt that has succeeded, or -1. Whoever has failed makes room for the next at once.
 */
static int race_take_winner(struct net_race *race, int64_t now_ms)
{
    for (size_t i = 0; i < race->started_count; i++) {
        if (race->sockets[i] < 0 || !is_ready(race->sockets[i]))
            continue;
        int socket = race->sockets[i];
        race->sockets[i] = -1;
        int error = net_socket_error(socket);
        if (error == 0)
            return socket;
        close(socket);
        race->last_error = error;
        race->next_ms = now_ms;
    }
    return -1;
}

static void race_start_next(struct net_race *race, int64_t now_ms)
{
    size_t i = race->started_count++;
    int error = net_socket_connect(&race->addresses.at[i], &race->sockets[i]);
    if (error == 0)
        race->next_ms = now_ms + NET_RACE_DELAY_MS;
    else
        race->last_error = error;
}

enum net_race_state net_race_step(struct net_race *race, int64_t now_ms, int *ret_socket)
{
    int winner = race_take_winner(race, now_ms);
    if (winner >= 0) {
        *ret_socket = winner;
        return NET_RACE_WON;
    }
    while (race->started_count < race->addresses.count && now_ms >= race->next_ms)
        race_start_next(race, now_ms);
    struct pollfd fds[NET_ADDRESSES_MAX];
    bool over = race->started_count == race->addresses.count && race_fill(race, fds) == 0;
    return over ? NET_RACE_LOST : NET_RACE_RUNNING;
}

size_t net_race_poll(const struct net_race *race, int64_t now_ms,
                     struct pollfd fds[NET_ADDRESSES_MAX], int64_t *ret_timeout_ms)
{
    *ret_timeout_ms = -1;
    if (race->started_count < race->addresses.count)
        *ret_timeout_ms = race->next_ms > now_ms ? race->next_ms - now_ms : 0;
    return race_fill(race, fds);
}
