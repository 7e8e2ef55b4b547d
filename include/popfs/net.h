/* SPDX-License-Identifier: MIT */
/*
 * net: one connection to a named host, in the clear or under TLS, that never blocks.
 *
 * Knows names, sockets, deadlines and OpenSSL, and how to upgrade a connection in place. Refuses to
 * know what is said over it. The clock is the caller's: every `now_ms` is from one monotonic clock.
 * A connection belongs to one thread at a time; a trust may be shared by several.
 */
#ifndef POPFS_NET_H
#define POPFS_NET_H

#include "popfs/base.h"

#include <poll.h>

/* ---- whom to trust ---- */

struct net_trust;

/* NULL where not given. All strings are borrowed for the call. */
struct net_trust_options {
    const char *cafile; /* PEM; NULL: the system's store */
    const char *cert;   /* client certificate chain, PEM */
    const char *key;    /* its key; NULL: in the file `cert` */
    const char *pin;    /* "sha256//BASE64" of the peer's public key, in addition to the chain */
};

/*
 * Reads the files at once, so that a missing or malformed one is an error here and never "no
 * check". FAULT_UNTRUSTED with a text that names the option, FAULT_MEMORY.
 */
enum fault net_trust_new(const struct net_trust_options *options, struct net_trust **ret_trust,
                         struct failure *ret_failure);
void net_trust_free(struct net_trust *trust);

enum { NET_AUTHORITIES_OCTETS_MAX = 4 << 20 /* the largest bundles have a tenth of it */ };

/*
 * Reads the file with the authorities as it is now: `cafile`, or with NULL the file of the system's
 * store, which may be missing. Only a regular file, so that nobody waits for another process.
 * FAULT_UNTRUSTED, FAULT_MEMORY.
 */
enum fault net_authorities_read(const char *cafile, struct buffer *ret_pem,
                                struct failure *ret_failure);
/*
 * Puts these authorities, and those in the folders of the system's store where it is used, in place
 * of all that the trust had. No connection may use the trust meanwhile. FAULT_UNTRUSTED if `pem`
 * has no certificate (where there is no cafile it may be empty), FAULT_MEMORY; the trust is then as
 * it was.
 */
enum fault net_trust_renew(struct net_trust *trust, struct slice pem, struct failure *ret_failure);

/* ---- a connection ---- */

struct net_connection;

struct net_connection_options {
    const char *host; /* a name, an IPv4 or an IPv6 address without brackets; copied */
    uint16_t port;
    bool tls;                      /* from the first byte */
    const struct net_trust *trust; /* outlives the connection; NULL: TLS is never asked for */
    int64_t connect_ms;            /* for the name and all its addresses together */
    int64_t handshake_ms;
};

/*
 * Starts to look the name up and to connect; returns at once. All addresses are tried, IPv6 and
 * IPv4 alternating, a new one every 250 ms while none has answered (RFC 8305).
 */
enum fault net_connection_new(const struct net_connection_options *options, int64_t now_ms,
                              struct net_connection **ret_connection, struct failure *ret_failure);
/* Closes without a word to the peer; a server sees a dropped link. NULL is fine. */
void net_connection_free(struct net_connection *connection);
/* Sends close_notify if TLS is up (as far as the socket takes it at once) and closes; frees. */
void net_connection_close(struct net_connection *connection);

/*
 * To be called when a descriptor of net_connection_poll() is ready or its time-out has run: goes on
 * with the name, the connect and the handshake. Once it has not returned FAULT_NONE the connection
 * is good for net_connection_free() only. FAULT_OFFLINE, FAULT_TIMEOUT, FAULT_UNTRUSTED,
 * FAULT_MEMORY.
 */
enum fault net_connection_progress(struct net_connection *connection, int64_t now_ms,
                                   struct failure *ret_failure);
/* True when bytes may be read and written: connected, and no handshake is under way. */
bool net_connection_is_ready(const struct net_connection *connection);
/* True after a handshake that failed because of the certificates that the peer has shown: other
 * authorities might accept them. */
bool net_connection_has_refused_certificate(const struct net_connection *connection);
/* True after a handshake that verified chain, name and pin. The one thing a secret may rely on. */
bool net_connection_is_secure(const struct net_connection *connection);

enum { NET_BINDING_OCTETS_MAX = 64 };

/* What a login can be bound to, so that whoever relays it over another connection gains nothing. */
struct net_binding {
    const char *kind; /* IANA's name: "tls-exporter" (RFC 9266) or "tls-unique" (RFC 5929) */
    unsigned char data[NET_BINDING_OCTETS_MAX];
    size_t octets;
};

/*
 * Of a secure connection: tls-exporter under TLS 1.3, tls-unique under TLS 1.2. False without TLS,
 * and under TLS 1.2 without the extended master secret (RFC 7627), where two connections can be
 * made to have the same.
 */
bool net_connection_binding(const struct net_connection *connection,
                            struct net_binding *ret_binding);

/*
 * Upgrades a ready connection in place (STLS). The caller has made sure that nothing was received
 * beyond the line that allowed it. Not ready again until net_connection_progress() has finished the
 * handshake.
 */
enum fault net_connection_start_tls(struct net_connection *connection, int64_t now_ms,
                                    struct failure *ret_failure);

enum { NET_POLL_MAX = 8 };

/*
 * What to wait for: fills fds[0 … returned) and *ret_timeout_ms, -1 for no deadline. `want_write`:
 * the caller has output to send. While ready, reading is always waited for; whatever poll() then
 * says, read first. 0 descriptors is possible (name look-up).
 */
size_t net_connection_poll(const struct net_connection *connection, bool want_write, int64_t now_ms,
                           struct pollfd fds[NET_POLL_MAX], int64_t *ret_timeout_ms);

/*
 * Reads at most `capacity` octets. *ret_count is 0 when nothing is there yet. The end of the
 * stream, clean or not, is FAULT_OFFLINE: POP3 says itself where its replies end, so an end
 * elsewhere is a loss. Reads until *ret_count is 0 before waiting: under TLS, bytes may be buffered
 * where poll() does not see them.
 */
enum fault net_connection_read(struct net_connection *connection, char *data, size_t capacity,
                               size_t *ret_count, struct failure *ret_failure);
/*
 * Sends what the socket takes now; *ret_count may be 0. Under TLS a record may then be half sent:
 * the next call must begin with the same octets, at least as many (they may have moved).
 */
enum fault net_connection_write(struct net_connection *connection, struct slice bytes,
                                size_t *ret_count, struct failure *ret_failure);

/* "127.0.0.1 port 995, TLSv1.3 TLS_AES_256_GCM_SHA384", for status; valid until the next call. */
const char *net_connection_describe(struct net_connection *connection);

#endif
