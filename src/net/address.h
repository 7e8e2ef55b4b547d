/* SPDX-License-Identifier: MIT */
/* Socket addresses, in the order in which they are tried. */
#ifndef POPFS_NET_ADDRESS_H
#define POPFS_NET_ADDRESS_H

#include "popfs/net.h"

#include <netdb.h>
#include <sys/socket.h>

/* A name's owner chooses how many addresses it has; nobody waits for more than these. */
enum { NET_ADDRESSES_MAX = NET_POLL_MAX };

struct net_address {
    struct sockaddr_storage storage;
    socklen_t octets;
};

struct net_addresses {
    size_t count;
    struct net_address at[NET_ADDRESSES_MAX];
};

/*
 * Takes IPv6 and IPv4 by turns, IPv6 first, each family in the resolver's order (RFC 8305, 4; RFC
 * 6724); without repetitions, at most NET_ADDRESSES_MAX.
 */
void net_addresses_from_info(const struct addrinfo *info, struct net_addresses *ret_addresses);

#endif
