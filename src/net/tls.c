/* SPDX-License-Identifier: MIT */
/*
 * The TLS of one connection: handshake with every check that POP3.md rules 24 to 26 ask for, then
 * bytes. Knows OpenSSL and a socket. Refuses to know deadlines and who owns the socket.
 *
 * OpenSSL reaches the socket through a BIO of our own, because the stock one writes with write(),
 * which raises SIGPIPE, and because it would lose errno and the fact that the stream ended.
 */
#include "tls.h"

#include "socket.h"
#include "verdict.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Several records a recv(): at 100 Mbit/s and above the system calls are what costs. */
    READ_BUFFER_OCTETS = 65536,
    HOST_OCTETS_MAX = 256,
    EXPORTED_OCTETS = 32, /* RFC 9266, 2 */
    /* RFC 8446, 5.1 */
    RECORD_ALERT = 0x15,
    RECORD_HANDSHAKE = 0x16,
};

struct net_tls {
    const struct net_trust *trust;
    const char *shown_host;
    const char *peer;
    int socket;
    bool in_place;
    SSL *ssl;
    struct failure verdict; /* on the certificate; FAULT_NONE while none was refused */
    bool is_up; /* the handshake is over; not SSL_is_init_finished(), which a key update makes false
                 */
    short handshake_events;
    bool read_wants_write;
    bool write_wants_read;
    bool broken;       /* OpenSSL allows no further call, not even SSL_shutdown() */
    bool has_answered; /* at least one octet came */
    unsigned char first_octet;
    bool stream_ended;
    int socket_errno; /* of the call that broke the connection, or 0 */
};

/* ---- the BIO ---- */

static int bio_finish(BIO *bio, struct net_tls *tls, ssize_t count, int retry_flag)
{
    if (count >= 0)
        return (int)count;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    else
        tls->socket_errno = errno;
    return -1;
}

static int bio_read(BIO *bio, char *data, int capacity)
{
    struct net_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (capacity <= 0)
        return 0;
    ssize_t count = net_socket_receive(tls->socket, data, (size_t)capacity);
    if (count == 0)
        tls->stream_ended = true;
    if (count > 0 && !tls->has_answered) {
        tls->has_answered = true;
        tls->first_octet = (unsigned char)data[0];
    }
    return bio_finish(bio, tls, count, BIO_FLAGS_READ);
}

static int bio_write(BIO *bio, const char *data, int octets)
{
    struct net_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (octets <= 0)
        return 0;
    return bio_finish(bio, tls, net_socket_send(tls->socket, data, (size_t)octets),
                      BIO_FLAGS_WRITE);
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number, (void)pointer;
    const struct net_tls *tls = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return tls->stream_ended ? 1 : 0;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *net_tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "popfs socket");
    if (method == NULL)
        return NULL;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

/* ---- set up ---- */

/* Remembers why, while the certificate in question is at hand; never changes the verdict. */
static int verify_callback(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct net_tls *tls = SSL_get_app_data(ssl);
    if (!ok)
        net_verdict_set(&(struct net_verdict_case){tls->shown_host, tls->trust->has_cafile},
                        X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_error_depth(store),
                        X509_STORE_CTX_get_current_cert(store), &tls->verdict);
    return ok;
}

SSL_CTX *net_tls_context_new(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verify_callback);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_BUFFER_OCTETS);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static bool host_is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The host as a certificate writes it: a name without the dot at its end, an address without zone.
 */
static bool host_normalize(const char *host, char out[HOST_OCTETS_MAX])
{
    size_t octets = strlen(host);
    /* Only an IPv6 address has colons, and only there is what follows the % a zone (fe80::1%eth0).
     */
    if (strchr(host, ':') != NULL)
        octets = strcspn(host, "%");
    else if (octets > 0 && host[octets - 1] == '.')
        octets--;
    /* OpenSSL takes an empty name for "any", and one that starts with a dot for the whole domain.
     */
    if (octets == 0 || octets >= HOST_OCTETS_MAX || host[0] == '.')
        return false;
    memcpy(out, host, octets);
    out[octets] = '\0';
    return true;
}

/* `host` is not const because OpenSSL's macro casts it away. */
static bool tls_expect_host(struct net_tls *tls, char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    if (host_is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(tls->ssl, host) == 1;
}

static enum fault tls_prepare(struct net_tls *tls, char *host, struct failure *ret_failure)
{
    ERR_clear_error();
    tls->ssl = SSL_new(tls->trust->context);
    BIO *bio = tls->ssl != NULL ? BIO_new(tls->trust->bio_method) : NULL;
    if (bio == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS");
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_connect_state(tls->ssl);
    if (!tls_expect_host(tls, host))
        return failure_set(ret_failure, FAULT_UNTRUSTED, "%s: no certificate can be for this name",
                           tls->peer);
    return FAULT_NONE;
}

enum fault net_tls_new(const struct net_tls_options *options, struct net_tls **ret_tls,
                       struct failure *ret_failure)
{
    char host[HOST_OCTETS_MAX];
    if (!host_normalize(options->host, host))
        return failure_set(ret_failure, FAULT_UNTRUSTED, "%s: no certificate can be for this name",
                           options->peer);
    struct net_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    tls->trust = options->trust;
    tls->shown_host = options->shown_host;
    tls->peer = options->peer;
    tls->socket = options->socket;
    tls->in_place = options->in_place;
    tls->handshake_events = POLLOUT;
    enum fault fault = tls_prepare(tls, host, ret_failure);
    if (fault != FAULT_NONE) {
        net_tls_free(tls);
        return fault;
    }
    *ret_tls = tls;
    return FAULT_NONE;
}

void net_tls_free(struct net_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    ERR_clear_error();
    free(tls);
}

/* ---- the handshake ---- */

static enum fault fail_not_tls(const struct net_tls *tls, struct failure *ret)
{
    if (tls->in_place)
        return failure_set(ret, FAULT_UNTRUSTED, "%s agreed to STLS but then did not speak TLS",
                           tls->peer);
    return failure_set(ret, FAULT_UNTRUSTED,
                       "%s does not speak TLS: try another port, or pop3:// (STLS)", tls->peer);
}

static enum fault fail_by_reason(const struct net_tls *tls, unsigned long code, struct failure *ret)
{
    switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return failure_set(ret, FAULT_UNTRUSTED,
                           "%s speaks no TLS that is safe: 1.2 is the oldest protocol version "
                           "accepted",
                           tls->peer);
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return failure_set(ret, FAULT_UNTRUSTED,
                           "%s wants a client certificate: cert= and key=", tls->peer);
    case ERR_R_MALLOC_FAILURE:
        return failure_set(ret, FAULT_MEMORY, "out of memory for TLS");
    default: {
        const char *reason = ERR_reason_error_string(code);
        return failure_set(ret, FAULT_UNTRUSTED, "TLS with %s failed: %s", tls->peer,
                           reason != NULL ? reason : "unknown error");
    }
    }
}

/* The order matters: what came first over the wire explains what OpenSSL made of it. */
static enum fault fail_handshake(const struct net_tls *tls, unsigned long code, struct failure *ret)
{
    if (tls->verdict.fault != FAULT_NONE)
        return failure_set(ret, tls->verdict.fault, "%s", tls->verdict.text);
    if (tls->has_answered && tls->first_octet != RECORD_HANDSHAKE &&
        tls->first_octet != RECORD_ALERT)
        return fail_not_tls(tls, ret);
    if (tls->socket_errno != 0)
        return failure_set(ret, FAULT_OFFLINE, "%s was lost in the TLS handshake: %s", tls->peer,
                           strerror(tls->socket_errno));
    if (tls->stream_ended)
        return failure_set(ret, FAULT_OFFLINE, "%s closed the connection in the TLS handshake",
                           tls->peer);
    return fail_by_reason(tls, code, ret);
}

static bool key_digest(X509 *cert, unsigned char ret_digest[DIGEST_SHA256_OCTETS])
{
    unsigned char *der = NULL;
    int octets = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (octets <= 0)
        return false;
    bool ok = digest_sha256((struct slice){(const char *)der, (size_t)octets}, ret_digest);
    OPENSSL_free(der);
    return ok;
}

/*
 * What the handshake has checked once more, and the pin. The chain cannot be wrong here; should a
 * change of the set-up above ever make OpenSSL lenient, this stands between that and a password.
 */
static enum fault tls_check_peer(const struct net_tls *tls, struct failure *ret_failure)
{
    X509 *cert = SSL_get0_peer_certificate(tls->ssl);
    unsigned char digest[DIGEST_SHA256_OCTETS];
    char base64[NET_PIN_BASE64_OCTETS + 1];
    if (cert == NULL || SSL_get_verify_result(tls->ssl) != X509_V_OK)
        return failure_set(ret_failure, FAULT_UNTRUSTED, "%s has shown no valid certificate",
                           tls->peer);
    if (!key_digest(cert, digest))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS");
    if (net_trust_has_pin(tls->trust, digest))
        return FAULT_NONE;
    EVP_EncodeBlock((unsigned char *)base64, digest, DIGEST_SHA256_OCTETS);
    return failure_set(ret_failure, FAULT_UNTRUSTED,
                       "the public key of %s is not the one of pin=: its pin is sha256//%s",
                       tls->shown_host, base64);
}

enum fault net_tls_handshake(struct net_tls *tls, bool *ret_done, struct failure *ret_failure)
{
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        enum fault fault = tls_check_peer(tls, ret_failure);
        if (fault == FAULT_NONE)
            *ret_done = tls->is_up = true;
        return fault;
    }
    int error = SSL_get_error(tls->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        tls->handshake_events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        *ret_done = false;
        return FAULT_NONE;
    }
    tls->broken = true;
    enum fault fault = fail_handshake(tls, ERR_peek_error(), ret_failure);
    ERR_clear_error();
    return fault;
}

bool net_tls_has_refused_certificate(const struct net_tls *tls)
{
    return tls->verdict.fault == FAULT_UNTRUSTED;
}

/* ---- bytes ---- */

static enum fault fail_stream(struct net_tls *tls, int error, struct failure *ret)
{
    unsigned long code = ERR_peek_error();
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return failure_set(ret, FAULT_OFFLINE, "%s closed the connection", tls->peer);
    tls->broken = true;
    if (tls->socket_errno != 0)
        return failure_set(ret, FAULT_OFFLINE, "the connection to %s was lost: %s", tls->peer,
                           strerror(tls->socket_errno));
    if (tls->stream_ended)
        return failure_set(ret, FAULT_OFFLINE, "%s closed the connection without ending TLS",
                           tls->peer);
    /* With TLS 1.3 a server looks at the client's certificate only after the handshake. */
    if (ERR_GET_REASON(code) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
        return fail_by_reason(tls, code, ret);
    const char *reason = ERR_reason_error_string(code);
    return failure_set(ret, FAULT_OFFLINE, "the TLS connection to %s broke: %s", tls->peer,
                       reason != NULL ? reason : "unknown error");
}

enum fault net_tls_read(struct net_tls *tls, char *data, size_t capacity, size_t *ret_count,
                        struct failure *ret_failure)
{
    size_t count = 0;
    ERR_clear_error();
    tls->read_wants_write = false;
    if (SSL_read_ex(tls->ssl, data, capacity, &count) == 1) {
        *ret_count = count;
        return FAULT_NONE;
    }
    int error = SSL_get_error(tls->ssl, 0);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return fail_stream(tls, error, ret_failure);
    /* An OpenSSL that answers a key update (RFC 8446, 4.6.3) at once found the socket full. */
    tls->read_wants_write = error == SSL_ERROR_WANT_WRITE;
    *ret_count = 0;
    return FAULT_NONE;
}

enum fault net_tls_write(struct net_tls *tls, struct slice bytes, size_t *ret_count,
                         struct failure *ret_failure)
{
    size_t count = 0;
    ERR_clear_error();
    tls->write_wants_read = false;
    if (SSL_write_ex(tls->ssl, bytes.data, bytes.len, &count) == 1) {
        *ret_count = count;
        return FAULT_NONE;
    }
    int error = SSL_get_error(tls->ssl, 0);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return fail_stream(tls, error, ret_failure);
    tls->write_wants_read = error == SSL_ERROR_WANT_READ;
    *ret_count = 0;
    return FAULT_NONE;
}

short net_tls_events(const struct net_tls *tls, bool want_write)
{
    if (!tls->is_up)
        return tls->handshake_events;
    /* POLLIN would be true all the time while reading cannot go on before something was sent. */
    if (tls->read_wants_write)
        return POLLOUT;
    return want_write && !tls->write_wants_read ? POLLIN | POLLOUT : POLLIN;
}

void net_tls_shutdown(struct net_tls *tls)
{
    ERR_clear_error();
    if (tls->is_up && !tls->broken)
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

void net_tls_describe(const struct net_tls *tls, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s %s", SSL_get_version(tls->ssl), SSL_get_cipher_name(tls->ssl));
}

/* RFC 9266, 2. */
static bool binding_export(SSL *ssl, struct net_binding *ret_binding)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    struct net_binding binding = {.kind = "tls-exporter", .octets = EXPORTED_OCTETS};
    if (SSL_export_keying_material(ssl, binding.data, binding.octets, label, strlen(label), NULL, 0,
                                   0) != 1)
        return false;
    *ret_binding = binding;
    return true;
}

/* RFC 5929, 3: the first Finished, which in a handshake that resumes nothing is the client's. */
static bool binding_finished(const SSL *ssl, struct net_binding *ret_binding)
{
    struct net_binding binding = {.kind = "tls-unique"};
    binding.octets = SSL_get_finished(ssl, binding.data, sizeof(binding.data));
    if (binding.octets == 0 || binding.octets > sizeof(binding.data))
        return false;
    *ret_binding = binding;
    return true;
}

bool net_tls_binding(const struct net_tls *tls, struct net_binding *ret_binding)
{
    ERR_clear_error();
    if (!tls->is_up)
        return false;
    if (SSL_version(tls->ssl) >= TLS1_3_VERSION)
        return binding_export(tls->ssl, ret_binding);
    /* popfs resumes no session and renegotiates nothing; should it ever, this would be another
     * value than the server's. */
    return SSL_get_extms_support(tls->ssl) == 1 && !SSL_session_reused(tls->ssl) &&
           binding_finished(tls->ssl, ret_binding);
}
