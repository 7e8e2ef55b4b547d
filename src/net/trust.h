/* SPDX-License-Identifier: MIT */
/* What net_trust_new() has read: an OpenSSL context and the pins. Shared by threads, and changed by
 * net_trust_renew() alone. */
#ifndef POPFS_NET_TRUST_H
#define POPFS_NET_TRUST_H

#include "popfs/net.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

enum {
    NET_PINS_MAX = 16,
    NET_PIN_BASE64_OCTETS = 44, /* of a SHA-256, with one '=' */
};

struct net_trust {
    SSL_CTX *context;
    BIO_METHOD *bio_method; /* how TLS reaches the socket; see tls.c */
    bool has_cafile;
    size_t pin_count; /* 0: any key will do */
    unsigned char pins[NET_PINS_MAX][DIGEST_SHA256_OCTETS];
};

bool net_trust_has_pin(const struct net_trust *trust,
                       const unsigned char digest[DIGEST_SHA256_OCTETS]);

#endif
