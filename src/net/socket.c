/* SPDX-License-Identifier: MIT */
/* The socket calls, with the options that POP3 servers need. Knows no name, no deadline and no TLS.
 */
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

static void socket_set(int socket, int level, int option)
{
    int on = 1;
    /* Without it popfs is slower, not wrong. */
    (void)setsockopt(socket, level, option, &on, sizeof(on));
}

int net_socket_connect(const struct net_address *address, int *ret_socket)
{
    int fd =
        socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return errno;
    socket_set(fd, IPPROTO_TCP, TCP_NODELAY);
    socket_set(fd, SOL_SOCKET, SO_KEEPALIVE);
    if (connect(fd, (const struct sockaddr *)&address->storage, address->octets) != 0 &&
        errno != EINPROGRESS && errno != EINTR) {
        int error = errno;
        close(fd);
        return error;
    }
    *ret_socket = fd;
    return 0;
}

int net_socket_error(int socket)
{
    int error = 0;
    socklen_t octets = sizeof(error);
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &octets) != 0)
        return errno;
    return error;
}

ssize_t net_socket_receive(int socket, void *data, size_t capacity)
{
    ssize_t count;
    do
        count = recv(socket, data, capacity, 0);
    while (count < 0 && errno == EINTR);
    /*
     * The kernel falls back to delayed ACKs by itself, and a server with Nagle on then waits 40 ms
     * in every answer (POP3.md 3.1: mailfront, solid-pop3d, mailutils, twisted, popa3d).
     */
    if (count > 0)
        socket_set(socket, IPPROTO_TCP, TCP_QUICKACK);
    return count;
}

ssize_t net_socket_send(int socket, const void *data, size_t octets)
{
    ssize_t count;
    do
        count = send(socket, data, octets, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    return count;
}

bool net_socket_describe(int socket, char *out, size_t capacity)
{
    struct net_address peer = {.octets = sizeof(peer.storage)};
    char address[NI_MAXHOST], port[NI_MAXSERV];
    if (getpeername(socket, (struct sockaddr *)&peer.storage, &peer.octets) != 0 ||
        getnameinfo((const struct sockaddr *)&peer.storage, peer.octets, address, sizeof(address),
                    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    snprintf(out, capacity, "%s port %s", address, port);
    return true;
}
