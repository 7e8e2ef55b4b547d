/* SPDX-License-Identifier: MIT */
/* Connects to the first of several addresses that answers (RFC 8305, 5). */
#ifndef POPFS_NET_RACE_H
#define POPFS_NET_RACE_H

#include "address.h"

/* RFC 8305, 8: the recommended Connection Attempt Delay. */
enum { NET_RACE_DELAY_MS = 250 };

struct net_race {
    struct net_addresses addresses;
    int sockets[NET_ADDRESSES_MAX]; /* -1: not started, failed or given away */
    size_t started_count;
    int64_t next_ms; /* when the next address is due */
    int last_error;
};

enum net_race_state { NET_RACE_RUNNING, NET_RACE_WON, NET_RACE_LOST };

/* Opens nothing yet. */
void net_race_init(struct net_race *race, const struct net_addresses *addresses, int64_t now_ms);
/* Closes every attempt. A race that was won may, and must, be ended as well. */
void net_race_done(struct net_race *race);
/* WON: *ret_socket is connected and the caller's. LOST: `last_error` says why the last one failed.
 */
enum net_race_state net_race_step(struct net_race *race, int64_t now_ms, int *ret_socket);
/* What to wait for before the next step; *ret_timeout_ms is -1 if no further address is due. */
size_t net_race_poll(const struct net_race *race, int64_t now_ms,
                     struct pollfd fds[NET_ADDRESSES_MAX], int64_t *ret_timeout_ms);

#endif
