/* SPDX-License-Identifier: MIT */
/* Certificates for the tests, made on the spot, in a temporary folder of their own. */
#ifndef TEST_NET_CERTS_H
#define TEST_NET_CERTS_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* What differs from a good certificate of an issuer. */
struct cert_options {
    const char *subject;   /* the CN; NULL: "test" */
    const char *names;     /* subjectAltName, "DNS:a,IP:127.0.0.1"; NULL: none */
    long valid_from_s;     /* from now on; usually below 0 */
    long valid_to_s;       /* from now on */
    bool authority;        /* may sign others */
    const struct cert *by; /* NULL: self-signed */
};

struct cert {
    EVP_PKEY *key;
    X509 *x509;
    char cert_path[64];
    char key_path[64];
};

/* Makes the folder; certs_clean() removes it with all that is in it. */
void certs_prepare(void);
void certs_clean(void);
/* A path of a file `name` in the folder, in static memory of 64 octets given by the caller. */
const char *certs_path(const char *name, char out[64]);
void certs_write(const char *name, const char *text, char out_path[64]);

void cert_make(struct cert *cert, const char *file, const struct cert_options *options);
void cert_done(struct cert *cert);
/* "sha256//…" of its public key, by the way that the openssl command takes: not the code under
 * test. */
void cert_pin(const struct cert *cert, char out[64]);

/* A server's context that shows `cert`; NULL never. */
SSL_CTX *cert_server_context(const struct cert *cert);

#endif
