/* SPDX-License-Identifier: MIT */
/* From a host's name to its addresses, without blocking and without a thread of our own. */
#ifndef POPFS_NET_LOOKUP_H
#define POPFS_NET_LOOKUP_H

#include "address.h"

struct net_lookup;

/* If `host` is an address already: takes it and returns true. */
bool net_lookup_numeric(const char *host, uint16_t port, struct net_addresses *ret_addresses);

/* Starts to look a name up. FAULT_MEMORY, FAULT_OFFLINE with *ret_code for gai_strerror(). */
enum fault net_lookup_new(const char *host, uint16_t port, struct net_lookup **ret_lookup,
                          int *ret_code);
/* Done or not, known to be safe. NULL is fine. */
void net_lookup_free(struct net_lookup *lookup);

/* False while it is under way; then *ret_code is 0 or an EAI_ value. */
bool net_lookup_is_done(struct net_lookup *lookup, int *ret_code);
/* Only after it is done with code 0. */
void net_lookup_addresses(const struct net_lookup *lookup, struct net_addresses *ret_addresses);

#endif
