/* SPDX-License-Identifier: MIT */
/* One TCP socket that never blocks and never raises SIGPIPE. */
#ifndef POPFS_NET_SOCKET_H
#define POPFS_NET_SOCKET_H

#include "address.h"

#include <sys/types.h>

/* Starts to connect; 0 or an errno value. *ret_socket becomes writable when it has come to
 * something. */
int net_socket_connect(const struct net_address *address, int *ret_socket);
/* How the connect ended: 0 or an errno value. */
int net_socket_error(int socket);
/* As recv() and send(): 0 is the end of the stream, -1 with EAGAIN is "not now". */
ssize_t net_socket_receive(int socket, void *data, size_t capacity);
ssize_t net_socket_send(int socket, const void *data, size_t octets);
/* "192.0.2.1 port 995", of the other side; false if there is none. */
bool net_socket_describe(int socket, char *out, size_t capacity);

#endif
