/* SPDX-License-Identifier: MIT */
/* Drives a connection as sync does: poll, progress, read, write; gives up after 20 s. */
#ifndef TEST_NET_CLIENT_H
#define TEST_NET_CLIENT_H

#include "popfs/net.h"

int64_t clock_ms(void);

/* Patient options for a host and port. */
struct net_connection_options client_options(const char *host, uint16_t port,
                                             const struct net_trust *trust);

/* Until ready or failed. */
enum fault client_progress(struct net_connection *connection, struct failure *ret_failure);
/* net_connection_new() and client_progress(); frees what failed, NULL then. */
struct net_connection *client_connect(const struct net_connection_options *options,
                                      struct failure *ret_failure);
/* Waits once, for reading and perhaps writing. */
void client_wait(struct net_connection *connection, bool want_write);
/* Reads exactly so many octets; fails the test otherwise. */
void client_read(struct net_connection *connection, char *data, size_t octets);
/* Reads until the connection fails; returns how many octets came before. */
size_t client_read_to_fault(struct net_connection *connection, char *data, size_t capacity,
                            struct failure *ret_failure);
void client_write(struct net_connection *connection, const char *text);

/* Sends so many pseudo-random octets to an echo and compares what comes back. */
void client_check_transfer(struct net_connection *connection, size_t octets);

/* Skips the test where nothing says who localhost is, as in a fresh chroot. */
void needs_localhost(void);

#endif
