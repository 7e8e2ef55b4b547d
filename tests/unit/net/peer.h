/* SPDX-License-Identifier: MIT */
/* A server on 127.0.0.1 that serves one connection in a thread of its own. */
#ifndef TEST_NET_PEER_H
#define TEST_NET_PEER_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer {
    int listener;
    uint16_t port;
    pthread_t thread;
    void (*serve)(struct peer *peer, int socket);
    SSL_CTX *context; /* borrowed; NULL if it does without TLS */
    const char *text; /* for serve_text() and its like */
    sem_t turn;       /* see peer_wait() */
};

/* A listener that nobody accepts from; *ret_port is where. */
int listener_open(int backlog, uint16_t *ret_port);
/*
 * A listener with a full queue: the kernel drops further attempts, as a firewall would. *ret_client
 * is the one that fills it; both are the caller's to close.
 */
int listener_open_deaf(uint16_t *ret_port, int *ret_client);
/* A blocking socket to a port of 127.0.0.1. */
int socket_connect(uint16_t port);
/* A port of 127.0.0.1 that refuses. */
uint16_t port_that_refuses(void);

/* `serve` gets a blocking socket that gives up after 20 s, and does not close it. */
void peer_start(struct peer *peer, void (*serve)(struct peer *peer, int socket));
/* In serve(): until the test calls peer_go_on(), once for each. */
void peer_wait(struct peer *peer);
void peer_go_on(struct peer *peer);
/* Waits until it has served. */
void peer_stop(struct peer *peer);

/* ---- ready-made services ---- */

void serve_echo(struct peer *peer, int socket);    /* until the client closes */
void serve_nothing(struct peer *peer, int socket); /* reads on, says nothing */
void serve_text(struct peer *peer, int socket);    /* says peer->text and reads on */
void serve_text_and_close(struct peer *peer, int socket);
void serve_text_and_reset(struct peer *peer, int socket);
void serve_tls_echo(struct peer *peer, int socket);
void serve_tls_text_and_close(struct peer *peer, int socket);  /* close_notify first */
void serve_tls_text_and_vanish(struct peer *peer, int socket); /* no close_notify */

/* ---- to build others from ---- */

void socket_say(int socket, const char *text);
void socket_drain(int socket);
void socket_read_line(int socket, char *out, size_t capacity);
/* NULL if the handshake failed. */
SSL *tls_accept(struct peer *peer, int socket);
void tls_echo(SSL *ssl);

#endif
