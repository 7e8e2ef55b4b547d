/* SPDX-License-Identifier: MIT */
/* TLS over a socket that somebody else owns. */
#ifndef POPFS_NET_TLS_H
#define POPFS_NET_TLS_H

#include "trust.h"

struct net_tls;

/* For net_trust_new(): what every connection shares. NULL for want of memory. */
SSL_CTX *net_tls_context_new(void);
BIO_METHOD *net_tls_bio_method_new(void);

struct net_tls_options {
    const struct net_trust *trust; /* outlives the net_tls, as the strings do */
    const char *host;              /* whom the certificate must name */
    const char *shown_host;        /* the same, escaped, for messages */
    const char *peer;              /* "host port 995", escaped */
    int socket;
    bool in_place; /* the connection was in the clear before */
};

enum fault net_tls_new(const struct net_tls_options *options, struct net_tls **ret_tls,
                       struct failure *ret_failure);
/* Without a word to the peer. NULL is fine. */
void net_tls_free(struct net_tls *tls);

/* FAULT_NONE with *ret_done false: wait for net_tls_events(). Done means that chain, name and pin
 * are right. */
enum fault net_tls_handshake(struct net_tls *tls, bool *ret_done, struct failure *ret_failure);
/* The handshake failed for want of an authority that vouches for the peer's certificates. */
bool net_tls_has_refused_certificate(const struct net_tls *tls);
/* As the functions of net_connection. */
enum fault net_tls_read(struct net_tls *tls, char *data, size_t capacity, size_t *ret_count,
                        struct failure *ret_failure);
enum fault net_tls_write(struct net_tls *tls, struct slice bytes, size_t *ret_count,
                         struct failure *ret_failure);
/* What poll() has to wait for: in the handshake, or for reading and, if asked, writing. */
short net_tls_events(const struct net_tls *tls, bool want_write);
/* Says close_notify once, if the socket takes it; never waits for the other side's. */
void net_tls_shutdown(struct net_tls *tls);

/* As net_connection_binding(), after the handshake. */
bool net_tls_binding(const struct net_tls *tls, struct net_binding *ret_binding);

/* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
void net_tls_describe(const struct net_tls *tls, char *out, size_t capacity);

#endif
