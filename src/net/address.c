/* SPDX-License-Identifier: MIT */
/* Puts what a resolver found into the order of trying. Knows no socket and no clock. */
#include "address.h"

#include <string.h>

static bool addresses_has(const struct net_addresses *addresses, const struct addrinfo *info)
{
    for (size_t i = 0; i < addresses->count; i++)
        if (addresses->at[i].octets == info->ai_addrlen &&
            memcmp(&addresses->at[i].storage, info->ai_addr, info->ai_addrlen) == 0)
            return true;
    return false;
}

/* The next usable entry of a family at or after `info`. */
static const struct addrinfo *info_next(const struct addrinfo *info, int family,
                                        const struct net_addresses *taken)
{
    while (info != NULL &&
           (info->ai_family != family || info->ai_addrlen > sizeof(struct sockaddr_storage) ||
            addresses_has(taken, info)))
        info = info->ai_next;
    return info;
}

void net_addresses_from_info(const struct addrinfo *info, struct net_addresses *ret_addresses)
{
    static const int families[] = {AF_INET6, AF_INET};
    const struct addrinfo *rest[] = {info, info};
    struct net_addresses addresses = {0};
    for (size_t turn = 0, missed = 0; missed < 2 && addresses.count < NET_ADDRESSES_MAX;
         turn ^= 1) {
        const struct addrinfo *found = info_next(rest[turn], families[turn], &addresses);
        rest[turn] = found;
        if (found == NULL) {
            missed++;
            continue;
        }
        missed = 0;
        struct net_address *address = &addresses.at[addresses.count++];
        memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
        address->octets = found->ai_addrlen;
    }
    *ret_addresses = addresses;
}
