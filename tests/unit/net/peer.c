/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int listener_open(int backlog, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t octets = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, octets), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &octets), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int socket_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int listener_open_deaf(uint16_t *ret_port, int *ret_client)
{
    int listener = listener_open(0, ret_port);
    *ret_client = socket_connect(*ret_port);
    return listener;
}

uint16_t port_that_refuses(void)
{
    uint16_t port;
    close(listener_open(1, &port));
    return port;
}

static void *peer_run(void *argument)
{
    struct peer *peer = argument;
    struct timeval patience = {.tv_sec = 20};
    /* OpenSSL's own BIO writes with write(). The client's side must do without this. */
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    peer->serve(peer, fd);
    close(fd);
    return NULL;
}

void peer_start(struct peer *peer, void (*serve)(struct peer *peer, int socket))
{
    peer->serve = serve;
    peer->listener = listener_open(8, &peer->port);
    assert_int_equal(sem_init(&peer->turn, 0, 0), 0);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

void peer_wait(struct peer *peer)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)sem_timedwait(&peer->turn, &until);
}

void peer_go_on(struct peer *peer)
{
    assert_int_equal(sem_post(&peer->turn), 0);
}

void peer_stop(struct peer *peer)
{
    /* Wakes an accept() that nobody came for. */
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    sem_destroy(&peer->turn);
}

static bool socket_send_all(int socket, const char *data, size_t octets)
{
    for (size_t sent = 0; sent < octets;) {
        ssize_t count = send(socket, data + sent, octets - sent, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        sent += (size_t)count;
    }
    return true;
}

void socket_say(int socket, const char *text)
{
    socket_send_all(socket, text, strlen(text));
}

void socket_drain(int socket)
{
    char data[4096];
    while (recv(socket, data, sizeof(data), 0) > 0)
        continue;
}

void socket_read_line(int socket, char *out, size_t capacity)
{
    size_t used = 0;
    while (used + 1 < capacity && recv(socket, out + used, 1, 0) == 1)
        if (out[used++] == '\n')
            break;
    out[used] = '\0';
}

void serve_echo(struct peer *peer, int socket)
{
    (void)peer;
    char data[65536];
    for (ssize_t count; (count = recv(socket, data, sizeof(data), 0)) > 0;)
        if (!socket_send_all(socket, data, (size_t)count))
            return;
}

void serve_nothing(struct peer *peer, int socket)
{
    (void)peer;
    socket_drain(socket);
}

void serve_text(struct peer *peer, int socket)
{
    socket_say(socket, peer->text);
    socket_drain(socket);
}

void serve_text_and_close(struct peer *peer, int socket)
{
    socket_say(socket, peer->text);
}

void serve_text_and_reset(struct peer *peer, int socket)
{
    struct linger at_once = {.l_onoff = 1};
    socket_say(socket, peer->text);
    /* The reset must not overtake the text. */
    char line[64];
    socket_read_line(socket, line, sizeof(line));
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

SSL *tls_accept(struct peer *peer, int socket)
{
    SSL *ssl = SSL_new(peer->context);
    if (ssl == NULL)
        return NULL;
    SSL_set_fd(ssl, socket);
    if (SSL_accept(ssl) == 1)
        return ssl;
    SSL_free(ssl);
    /* Lets the alert arrive: closing with bytes unread would reset the connection. */
    shutdown(socket, SHUT_WR);
    socket_drain(socket);
    return NULL;
}

void tls_echo(SSL *ssl)
{
    char data[65536];
    for (int count; (count = SSL_read(ssl, data, sizeof(data))) > 0;)
        if (SSL_write(ssl, data, count) <= 0)
            return;
}

void serve_tls_echo(struct peer *peer, int socket)
{
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    tls_echo(ssl);
    SSL_free(ssl);
}

static void tls_say(struct peer *peer, int socket, bool notify)
{
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    SSL_write(ssl, peer->text, (int)strlen(peer->text));
    if (notify)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    shutdown(socket, SHUT_WR);
    socket_drain(socket);
}

void serve_tls_text_and_close(struct peer *peer, int socket)
{
    tls_say(peer, socket, true);
}

void serve_tls_text_and_vanish(struct peer *peer, int socket)
{
    tls_say(peer, socket, false);
}
