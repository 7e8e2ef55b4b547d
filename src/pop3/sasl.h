/* SPDX-License-Identifier: MIT */
/* One SASL exchange, by libgsasl: challenges in, responses out, both in base64 as they stand on the
 * line. */
#ifndef POPFS_POP3_SASL_H
#define POPFS_POP3_SASL_H

#include "mechanism.h"
#include "veil.h"

struct pop3_sasl;

/* What ties a login to one TLS connection; `kind` is NULL where there is none. */
struct pop3_binding {
    const char *kind; /* "tls-exporter" or "tls-unique" */
    unsigned char data[POP3_BINDING_OCTETS_MAX];
    size_t octets;
};

/*
 * False if user or password hold what SASLprep (RFC 4013) forbids or libgsasl cannot prepare, such
 * as an emoji: SCRAM and CRAM-MD5 cannot carry them.
 */
bool pop3_sasl_can_prepare(const struct pop3_options *options);
/*
 * Nothing of the options is kept; `veil` is borrowed. FAULT_MEMORY; FAULT_LOGIN if libgsasl lacks
 * the mechanism, or the mechanism cannot carry this password.
 */
enum fault pop3_sasl_new(const struct pop3_mechanism *mechanism, const struct pop3_options *options,
                         const struct pop3_binding *binding, struct pop3_veil *veil,
                         struct pop3_sasl **ret_sasl, struct failure *ret_failure);
/* Wipes. NULL is fine. */
void pop3_sasl_free(struct pop3_sasl *sasl);
/*
 * *ret_response is wiped by the next step. A fault: the server is to be told `*`. FAULT_LOGIN if
 * the server's challenge refuses the client's proof, FAULT_OFFLINE if it refuses before that,
 * FAULT_UNTRUSTED if it failed to prove itself, FAULT_GARBLED, FAULT_MEMORY.
 */
enum fault pop3_sasl_step(struct pop3_sasl *sasl, struct slice challenge,
                          struct slice *ret_response, struct failure *ret_failure);
/* All has been said, and a mechanism that proves the server has proved it. */
bool pop3_sasl_is_complete(const struct pop3_sasl *sasl);
/* The next challenge carries nothing, so a server may have written any text, or +OK, in its place.
 */
bool pop3_sasl_wants_empty_challenge(const struct pop3_sasl *sasl);
/* What a challenge said against the token, escaped; "" if nothing. The server's -ERR is to follow.
 */
const char *pop3_sasl_complaint(const struct pop3_sasl *sasl);

#endif
