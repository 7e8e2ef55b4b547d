/* SPDX-License-Identifier: MIT */
/*
 * Looks names up through glibc's getaddrinfo_a(): /etc/hosts, DNS and whatever nsswitch.conf says,
 * in glibc's own helper threads. Knows no socket and no clock: the caller asks now and then whether
 * it is done.
 */
#include "lookup.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct net_lookup {
    struct gaicb request;
    struct addrinfo hints;
    char service[6];
    struct net_lookup *next; /* while parked */
    char host[];
};

/*
 * Look-ups that nobody waits for any more while glibc still works on them. One that has started
 * cannot be cancelled, and glibc writes its result when the resolver gives up, so the memory must
 * stay until then. (Cancelling one that has not started makes glibc 2.36 lose 104 octets each time,
 * so those stay as well.) The next look-up sweeps what is over by then; popfs looks up one name at
 * a time and the resolver has its own time-out, so there are never many. The list is only pushed to
 * or taken whole, hence safe from any thread without a lock.
 */
static _Atomic(struct net_lookup *) lookups_parked;

static void lookup_set_hints(struct addrinfo *hints, int flags)
{
    /* No AI_ADDRCONFIG: it hides addresses of localhost on a machine without a network. */
    *hints = (struct addrinfo){
        .ai_flags = flags | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
}

static void lookup_destroy(struct net_lookup *lookup)
{
    if (lookup->request.ar_result != NULL)
        freeaddrinfo(lookup->request.ar_result);
    free(lookup);
}

static void lookup_park(struct net_lookup *lookup)
{
    lookup->next = atomic_load(&lookups_parked);
    while (!atomic_compare_exchange_weak(&lookups_parked, &lookup->next, lookup))
        continue;
}

/*
 * gai_error() reads a plain int that another thread writes. gai_cancel() takes glibc's lock, so
 * once it says that it knows of no such request, the result is visible here too, and glibc will not
 * touch the memory again.
 */
static bool lookup_is_over(struct net_lookup *lookup)
{
    return gai_error(&lookup->request) != EAI_INPROGRESS &&
           gai_cancel(&lookup->request) != EAI_NOTCANCELED;
}

void net_lookup_free(struct net_lookup *lookup)
{
    if (lookup == NULL)
        return;
    if (lookup_is_over(lookup))
        lookup_destroy(lookup);
    else
        lookup_park(lookup);
}

static void lookups_sweep(void)
{
    struct net_lookup *lookup = atomic_exchange(&lookups_parked, NULL);
    while (lookup != NULL) {
        struct net_lookup *next = lookup->next;
        net_lookup_free(lookup);
        lookup = next;
    }
}

bool net_lookup_numeric(const char *host, uint16_t port, struct net_addresses *ret_addresses)
{
    char service[6];
    snprintf(service, sizeof(service), "%u", (unsigned int)port);
    struct addrinfo hints, *info = NULL;
    lookup_set_hints(&hints, AI_NUMERICHOST);
    if (getaddrinfo(host, service, &hints, &info) != 0)
        return false;
    net_addresses_from_info(info, ret_addresses);
    freeaddrinfo(info);
    return true;
}

enum fault net_lookup_new(const char *host, uint16_t port, struct net_lookup **ret_lookup,
                          int *ret_code)
{
    lookups_sweep();
    size_t octets = strlen(host) + 1;
    struct net_lookup *lookup = calloc(1, sizeof(*lookup) + octets);
    if (lookup == NULL)
        return FAULT_MEMORY;
    memcpy(lookup->host, host, octets);
    snprintf(lookup->service, sizeof(lookup->service), "%u", (unsigned int)port);
    lookup_set_hints(&lookup->hints, 0);
    lookup->request.ar_name = lookup->host;
    lookup->request.ar_service = lookup->service;
    lookup->request.ar_request = &lookup->hints;
    struct gaicb *list[] = {&lookup->request};
    int code = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    if (code != 0) {
        /* It may be queued all the same, or be said to be in progress although it is not. */
        if (gai_cancel(&lookup->request) == EAI_NOTCANCELED)
            lookup_park(lookup);
        else
            lookup_destroy(lookup);
        *ret_code = code;
        return code == EAI_MEMORY ? FAULT_MEMORY : FAULT_OFFLINE;
    }
    *ret_lookup = lookup;
    return FAULT_NONE;
}

bool net_lookup_is_done(struct net_lookup *lookup, int *ret_code)
{
    if (!lookup_is_over(lookup))
        return false;
    *ret_code = gai_error(&lookup->request);
    return true;
}

void net_lookup_addresses(const struct net_lookup *lookup, struct net_addresses *ret_addresses)
{
    net_addresses_from_info(lookup->request.ar_result, ret_addresses);
}
