/* SPDX-License-Identifier: MIT */
/* TLS against real servers: what must be refused, with which words, and that bytes survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "client.h"
#include "peer.h"
#include "tls.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY_S = 86400 };

static struct cert authority, good;

static int prepare(void **state)
{
    (void)state;
    certs_prepare();
    cert_make(
        &authority, "authority",
        &(struct cert_options){
            .subject = "Test CA", .valid_from_s = -DAY_S, .valid_to_s = DAY_S, .authority = true});
    cert_make(&good, "good",
              &(struct cert_options){.names = "DNS:localhost,IP:127.0.0.1",
                                     .valid_from_s = -DAY_S,
                                     .valid_to_s = DAY_S,
                                     .by = &authority});
    return 0;
}

static int clean(void **state)
{
    (void)state;
    cert_done(&authority);
    cert_done(&good);
    certs_clean();
    return 0;
}

static struct net_trust *trust_new(const char *cafile, const char *pin)
{
    struct net_trust *trust = NULL;
    struct failure failure = {0};
    struct net_trust_options options = {.cafile = cafile, .pin = pin};
    net_trust_new(&options, &trust, &failure);
    assert_string_equal(failure.text, "");
    return trust;
}

/* A server that shows `cert`, and one try to connect to it. */
struct attempt {
    const struct cert *cert;
    const char *cafile; /* NULL: the authority's */
    bool system_store;  /* no cafile at all */
    const char *pin;
    const char *host; /* NULL: 127.0.0.1 */
    void (*adjust)(SSL_CTX *context);
};

static struct net_connection *try_to_connect(const struct attempt *attempt,
                                             struct failure *ret_failure)
{
    struct peer peer = {.context = cert_server_context(attempt->cert)};
    const char *cafile = attempt->cafile != NULL ? attempt->cafile : authority.cert_path;
    struct net_trust *trust = trust_new(attempt->system_store ? NULL : cafile, attempt->pin);
    if (attempt->adjust != NULL)
        attempt->adjust(peer.context);
    peer_start(&peer, serve_tls_echo);
    const char *host = attempt->host != NULL ? attempt->host : "127.0.0.1";
    struct net_connection_options options = client_options(host, peer.port, trust);
    struct net_connection *connection = client_connect(&options, ret_failure);
    if (connection != NULL) {
        char got[4];
        assert_true(net_connection_is_secure(connection));
        client_write(connection, "NOOP");
        client_read(connection, got, 4);
        assert_memory_equal(got, "NOOP", 4);
        net_connection_close(connection);
    }
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
    return connection;
}

static void assert_accepted(const struct attempt *attempt)
{
    struct failure failure;
    struct net_connection *connection = try_to_connect(attempt, &failure);
    assert_string_equal(failure.text, "");
    assert_non_null(connection);
}

static void assert_untrusted(const struct attempt *attempt, const char *text)
{
    struct failure failure;
    assert_null(try_to_connect(attempt, &failure));
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    assert_string_equal(failure.text, text);
}

static void assert_untrusted_cert(struct cert_options options, const char *text)
{
    struct cert cert;
    cert_make(&cert, "bad", &options);
    assert_untrusted(&(struct attempt){.cert = &cert}, text);
    cert_done(&cert);
}

static struct cert_options usual(const char *names)
{
    return (struct cert_options){
        .names = names, .valid_from_s = -DAY_S, .valid_to_s = DAY_S, .by = &authority};
}

/* ---- certificates ---- */

static void a_good_certificate_is_accepted_by_address_and_by_name(void **state)
{
    (void)state;
    assert_accepted(&(struct attempt){.cert = &good});
    needs_localhost();
    assert_accepted(&(struct attempt){.cert = &good, .host = "localhost"});
}

static int remember_name(SSL *ssl, int *alert, void *argument)
{
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(argument, 64, "%s", name != NULL ? name : "(none)");
    return SSL_TLSEXT_ERR_OK;
}

/* The handshake alone, over a socket that blocks, so that no resolver has a say in the host's
 * spelling. */
static enum fault shake_hands(const struct cert *cert, const char *host, char seen_name[64],
                              struct failure *ret_failure)
{
    struct peer peer = {.context = cert_server_context(cert)};
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    SSL_CTX_set_tlsext_servername_callback(peer.context, remember_name);
    SSL_CTX_set_tlsext_servername_arg(peer.context, seen_name);
    peer_start(&peer, serve_tls_echo);
    struct net_tls_options options = {.trust = trust,
                                      .host = host,
                                      .shown_host = host,
                                      .peer = host,
                                      .socket = socket_connect(peer.port)};
    struct net_tls *tls = NULL;
    bool done = false;
    enum fault fault = net_tls_new(&options, &tls, ret_failure);
    if (fault == FAULT_NONE)
        fault = net_tls_handshake(tls, &done, ret_failure);
    assert_int_equal(done, fault == FAULT_NONE);
    net_tls_free(tls);
    close(options.socket);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
    return fault;
}

static void the_server_is_told_the_name_but_never_an_address(void **state)
{
    (void)state;
    struct failure failure;
    char seen[64];
    assert_int_equal(shake_hands(&good, "localhost", seen, &failure), FAULT_NONE);
    assert_string_equal(seen, "localhost");
    assert_int_equal(shake_hands(&good, "127.0.0.1", seen, &failure), FAULT_NONE);
    assert_string_equal(seen, "(none)");
}

static void a_dot_at_the_end_of_a_name_is_no_part_of_it(void **state)
{
    (void)state;
    struct failure failure;
    char seen[64];
    assert_int_equal(shake_hands(&good, "localhost.", seen, &failure), FAULT_NONE);
    assert_string_equal(seen, "localhost");
}

static void assert_hosts(const struct cert *cert, const char *const *hosts, enum fault expected)
{
    for (; *hosts != NULL; hosts++) {
        struct failure failure = {0};
        char seen[64];
        if (shake_hands(cert, *hosts, seen, &failure) != expected)
            fail_msg("%s: %s", *hosts, failure.text);
    }
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void a_star_stands_for_one_whole_label(void **state)
{
    (void)state;
    struct cert cert;
    struct cert_options options = usual("DNS:*.example.net,DNS:mai*.example.org");
    cert_make(&cert, "star", &options);
    assert_hosts(&cert, LIST("mail.example.net", "MAIL.Example.Net"), FAULT_NONE);
    assert_hosts(&cert, LIST("example.net", "a.b.example.net", "mail.example.org"),
                 FAULT_UNTRUSTED);
    cert_done(&cert);
}

static void an_ipv6_address_is_compared_as_an_address(void **state)
{
    (void)state;
    struct cert cert;
    struct failure failure;
    char seen[64];
    struct cert_options options = usual("IP:::1,IP:fe80::2,DNS:2001:db8::3");
    cert_make(&cert, "ipv6", &options);
    assert_int_equal(shake_hands(&cert, "::1", seen, &failure), FAULT_NONE);
    assert_string_equal(seen, "(none)");
    assert_hosts(&cert, LIST("0:0:0:0:0:0:0:1", "FE80::2", "fe80::2%eth0"), FAULT_NONE);
    assert_hosts(&cert, LIST("::2", "2001:db8::3", "::ffff:127.0.0.1"), FAULT_UNTRUSTED);
    cert_done(&cert);
}

/* OpenSSL would take the first for "any name", and those with a dot for all names below. */
static void names_that_would_weaken_the_check_are_refused(void **state)
{
    (void)state;
    struct cert cert;
    struct cert_options options = usual("DNS:mail.example.org,DNS:localhost");
    cert_make(&cert, "dots", &options);
    assert_hosts(&cert,
                 LIST("", ".", ".example.org", ".org", "localhost%x", "localhost..", "LOCALHOST.."),
                 FAULT_UNTRUSTED);
    cert_done(&cert);
}

static void an_expired_certificate_is_refused(void **state)
{
    (void)state;
    struct cert_options options = usual("IP:127.0.0.1");
    struct cert cert;
    struct failure failure;
    options.valid_from_s = -20 * DAY_S;
    options.valid_to_s = -10 * DAY_S;
    cert_make(&cert, "expired", &options);
    assert_null(try_to_connect(&(struct attempt){.cert = &cert}, &failure));
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    char expected[100];
    struct tm tm;
    ASN1_TIME_to_tm(X509_get0_notAfter(cert.x509), &tm);
    strftime(expected, sizeof(expected), "the certificate of 127.0.0.1 expired on %Y-%m-%d", &tm);
    assert_string_equal(failure.text, expected);
    cert_done(&cert);
}

static void a_certificate_of_the_future_is_refused(void **state)
{
    (void)state;
    struct cert_options options = usual("IP:127.0.0.1");
    struct cert cert;
    struct failure failure;
    options.valid_from_s = 5 * DAY_S;
    options.valid_to_s = 10 * DAY_S;
    cert_make(&cert, "future", &options);
    assert_null(try_to_connect(&(struct attempt){.cert = &cert}, &failure));
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    assert_non_null(strstr(failure.text, "the certificate of 127.0.0.1 is not valid before "));
    assert_non_null(strstr(failure.text, ": is the clock of this machine right?"));
    cert_done(&cert);
}

static void an_expired_issuer_is_refused(void **state)
{
    (void)state;
    struct cert issuer, cert;
    struct failure failure;
    cert_make(&issuer, "issuer",
              &(struct cert_options){.subject = "Old CA",
                                     .valid_from_s = -20 * DAY_S,
                                     .valid_to_s = -10 * DAY_S,
                                     .authority = true});
    struct cert_options options = usual("IP:127.0.0.1");
    options.by = &issuer;
    cert_make(&cert, "below", &options);
    assert_null(
        try_to_connect(&(struct attempt){.cert = &cert, .cafile = issuer.cert_path}, &failure));
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    assert_non_null(strstr(failure.text, "the issuer's certificate of 127.0.0.1 expired on "));
    cert_done(&cert);
    cert_done(&issuer);
}

static void a_self_signed_certificate_is_refused_unless_it_is_the_cafile(void **state)
{
    (void)state;
    struct cert_options options = usual("IP:127.0.0.1");
    struct cert cert;
    options.by = NULL;
    cert_make(&cert, "self", &options);
    assert_untrusted(&(struct attempt){.cert = &cert},
                     "the certificate of 127.0.0.1 is self-signed: if it is to be trusted, name a "
                     "copy of it with cafile=");
    assert_accepted(&(struct attempt){.cert = &cert, .cafile = cert.cert_path});
    cert_done(&cert);
}

static void an_unknown_issuer_is_refused(void **state)
{
    (void)state;
    struct cert_options options = usual("IP:127.0.0.1");
    struct cert issuer, cert;
    cert_make(&issuer, "issuer",
              &(struct cert_options){.subject = "Strange\x1b[31m CA",
                                     .valid_from_s = -DAY_S,
                                     .valid_to_s = DAY_S,
                                     .authority = true});
    options.by = &issuer;
    cert_make(&cert, "stranger", &options);
    assert_untrusted(&(struct attempt){.cert = &cert},
                     "the certificate of 127.0.0.1 is not from an issuer in cafile=, but from "
                     "CN=Strange\\x1b[31m CA");
    assert_untrusted(&(struct attempt){.cert = &cert, .system_store = true},
                     "the certificate of 127.0.0.1 is from an issuer unknown here "
                     "(CN=Strange\\x1b[31m CA): if it is to be trusted, name the issuer's "
                     "certificate with cafile=");
    /* The server's own certificate may be named as well. */
    assert_accepted(&(struct attempt){.cert = &cert, .cafile = cert.cert_path});
    cert_done(&cert);
    cert_done(&issuer);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    (void)state;
    assert_untrusted_cert(
        usual("DNS:a.example,DNS:b.example,IP:192.0.2.1,IP:2001:db8::1,DNS:c.example"),
        "the certificate is for another host than 127.0.0.1: it names a.example, b.example, "
        "192.0.2.1 and 2 more");
    needs_localhost();
    struct cert cert;
    struct cert_options options = usual("DNS:*.localhost,DNS:local*,IP:127.0.0.1");
    cert_make(&cert, "wild", &options);
    assert_untrusted(&(struct attempt){.cert = &cert, .host = "localhost"},
                     "the certificate is for another host than localhost: it names *.localhost, "
                     "local*, 127.0.0.1");
    cert_done(&cert);
}

static void an_address_written_as_a_name_is_refused(void **state)
{
    (void)state;
    assert_untrusted_cert(usual("DNS:127.0.0.1"),
                          "the certificate is for another host than 127.0.0.1: it names 127.0.0.1");
}

static void a_name_in_the_subject_alone_is_refused(void **state)
{
    (void)state;
    needs_localhost();
    struct cert_options options = usual(NULL);
    struct cert cert;
    options.subject = "localhost";
    cert_make(&cert, "cn", &options);
    assert_untrusted(&(struct attempt){.cert = &cert, .host = "localhost"},
                     "the certificate of localhost has no name but its subject (CN=localhost), and "
                     "that does not count: it needs a subjectAltName");
    cert_done(&cert);
}

static void a_pin_is_compared_with_the_public_key(void **state)
{
    (void)state;
    char pin[64], other[64], both[140], text[200];
    cert_pin(&good, pin);
    cert_pin(&authority, other);
    assert_accepted(&(struct attempt){.cert = &good, .pin = pin});
    snprintf(both, sizeof(both), "%s;%s", other, pin);
    assert_accepted(&(struct attempt){.cert = &good, .pin = both});
    snprintf(text, sizeof(text),
             "the public key of 127.0.0.1 is not the one of pin=: its pin is %s", pin);
    assert_untrusted(&(struct attempt){.cert = &good, .pin = other}, text);
}

static void a_right_pin_does_not_excuse_a_bad_certificate(void **state)
{
    (void)state;
    struct cert_options options = usual("DNS:other.example");
    struct cert cert;
    char pin[64];
    cert_make(&cert, "pinned", &options);
    cert_pin(&cert, pin);
    assert_untrusted(&(struct attempt){.cert = &cert, .pin = pin},
                     "the certificate is for another host than 127.0.0.1: it names other.example");
    cert_done(&cert);
}

/* ---- versions ---- */

static void allow_tls_1_1_only(SSL_CTX *context)
{
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    SSL_CTX_set_security_level(context, 0);
}

static void allow_tls_1_2_only(SSL_CTX *context)
{
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
}

static void assert_ends_in(const char *text, const char *end)
{
    assert_true(strlen(text) >= strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
}

static const char too_old[] =
    " speaks no TLS that is safe: 1.2 is the oldest protocol version accepted";

static void tls_1_1_is_refused_and_1_2_is_not(void **state)
{
    (void)state;
    struct failure failure;
    assert_null(
        try_to_connect(&(struct attempt){.cert = &good, .adjust = allow_tls_1_1_only}, &failure));
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    assert_ends_in(failure.text, too_old);
    assert_accepted(&(struct attempt){.cert = &good, .adjust = allow_tls_1_2_only});
}

/* A server of before 2018 does not look at supported_versions and answers with its own version. */
static void serve_old_hello(struct peer *peer, int socket)
{
    (void)peer;
    unsigned char hello[5 + 4 + 38] = {0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2};
    hello[5 + 4 + 2 + 32 + 2] = 0x2f; /* TLS_RSA_WITH_AES_128_CBC_SHA */
    send(socket, hello, sizeof(hello), MSG_NOSIGNAL);
    socket_drain(socket);
}

/* Connects with TLS to a server that has no part in the handshake as it should be. */
static struct failure fail_to_connect(void (*serve)(struct peer *, int), const char *text,
                                      struct peer *peer)
{
    struct failure failure;
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    peer->text = text;
    peer_start(peer, serve);
    struct net_connection_options options = client_options("127.0.0.1", peer->port, trust);
    assert_null(client_connect(&options, &failure));
    peer_stop(peer);
    net_trust_free(trust);
    return failure;
}

static void a_hello_of_an_old_server_is_refused(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct failure failure = fail_to_connect(serve_old_hello, NULL, &peer);
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    assert_ends_in(failure.text, too_old);
}

/* ---- servers that are something else ---- */

static void a_server_that_does_not_speak_tls_is_told_so(void **state)
{
    (void)state;
    struct peer peer = {0};
    char text[120];
    struct failure failure =
        fail_to_connect(serve_text, "+OK Dovecot ready. <1.2.3@example>\r\n", &peer);
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    snprintf(text, sizeof(text),
             "127.0.0.1 port %u does not speak TLS: try another port, or pop3:// (STLS)",
             peer.port);
    assert_string_equal(failure.text, text);
    failure = fail_to_connect(serve_text_and_close, "-ERR\r\n", &peer);
    assert_ends_in(failure.text, " does not speak TLS: try another port, or pop3:// (STLS)");
    failure = fail_to_connect(serve_text, "HTTP/1.1 400 Bad Request\r\n\r\n", &peer);
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
}

static void serve_one_read(struct peer *peer, int socket)
{
    (void)peer;
    char data[4096];
    (void)!recv(socket, data, sizeof(data), 0);
}

static void a_connection_lost_in_the_handshake_is_offline(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct failure failure = fail_to_connect(serve_one_read, NULL, &peer);
    assert_int_equal(failure.fault, FAULT_OFFLINE);
    assert_non_null(strstr(failure.text, " in the TLS handshake"));
    /* Half a record. */
    failure = fail_to_connect(serve_text_and_close, "\x16\x03\x03", &peer);
    assert_int_equal(failure.fault, FAULT_OFFLINE);
    assert_non_null(strstr(failure.text, " in the TLS handshake"));
}

static void a_silent_server_runs_into_the_deadline(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct failure failure = {0};
    struct net_connection *connection = NULL;
    struct pollfd fds[NET_POLL_MAX];
    int64_t timeout_ms;
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    peer_start(&peer, serve_nothing);
    struct net_connection_options options = client_options("127.0.0.1", peer.port, trust);
    options.handshake_ms = 30000;
    assert_int_equal(net_connection_new(&options, 1000, &connection, &failure), FAULT_NONE);
    /* Until the ClientHello is out, at a clock that stands still. */
    do {
        size_t count = net_connection_poll(connection, false, 1000, fds, &timeout_ms);
        assert_true(poll(fds, count, 0) >= 0);
        assert_int_equal(net_connection_progress(connection, 1000, &failure), FAULT_NONE);
        net_connection_poll(connection, false, 1000, fds, &timeout_ms);
    } while (timeout_ms != 30000 || fds[0].events != POLLIN);
    assert_false(net_connection_is_ready(connection));
    assert_int_equal(net_connection_progress(connection, 30999, &failure), FAULT_NONE);
    assert_int_equal(net_connection_progress(connection, 31000, &failure), FAULT_TIMEOUT);
    assert_ends_in(failure.text, " did not finish the TLS handshake within 30 s");
    assert_false(net_connection_is_secure(connection));
    net_connection_free(connection);
    peer_stop(&peer);
    net_trust_free(trust);
}

/* ---- channel binding ---- */

/* Says what its own end of the connection has to bind to. */
static void serve_binding(struct peer *peer, int socket)
{
    unsigned char data[64];
    size_t octets = 32;
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    if (SSL_version(ssl) == TLS1_3_VERSION)
        SSL_export_keying_material(ssl, data, octets, "EXPORTER-Channel-Binding", 24, data, 0, 1);
    else
        octets = SSL_get_peer_finished(ssl, data, sizeof(data));
    SSL_write(ssl, data, (int)octets);
    tls_echo(ssl);
    SSL_free(ssl);
}

static struct net_connection *connect_to_bind(struct peer *peer, const struct net_trust *trust)
{
    struct failure failure = {0};
    peer_start(peer, serve_binding);
    struct net_connection_options options = client_options("127.0.0.1", peer->port, trust);
    struct net_connection *connection = client_connect(&options, &failure);
    assert_string_equal(failure.text, "");
    return connection;
}

static void assert_bound(void (*adjust)(SSL_CTX *context), const char *kind, size_t octets)
{
    struct peer peer = {.context = cert_server_context(&good)};
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    struct net_binding binding = {0};
    char theirs[64];
    if (adjust != NULL)
        adjust(peer.context);
    struct net_connection *connection = connect_to_bind(&peer, trust);
    assert_true(net_connection_binding(connection, &binding));
    assert_string_equal(binding.kind, kind);
    assert_int_equal(binding.octets, octets);
    client_read(connection, theirs, octets);
    assert_memory_equal(binding.data, theirs, octets);
    net_connection_close(connection);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
}

static void both_ends_have_the_same_to_bind_to(void **state)
{
    (void)state;
    assert_bound(NULL, "tls-exporter", 32);
    assert_bound(allow_tls_1_2_only, "tls-unique", 12);
}

static void forget_extended_master_secret(SSL_CTX *context)
{
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_EXTENDED_MASTER_SECRET);
}

static void what_is_not_unique_is_nothing_to_bind_to(void **state)
{
    (void)state;
    struct peer peer = {.context = cert_server_context(&good)};
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    struct net_binding binding = {.octets = 7};
    forget_extended_master_secret(peer.context);
    struct net_connection *connection = connect_to_bind(&peer, trust);
    assert_true(net_connection_is_secure(connection));
    assert_false(net_connection_binding(connection, &binding));
    assert_int_equal(binding.octets, 7);
    net_connection_close(connection);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
}

/* ---- client certificates ---- */

static void demand_client_certificate(SSL_CTX *context)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_load_verify_file(context, authority.cert_path);
}

static enum fault connect_with_client_cert(const struct cert *cert, struct failure *ret_failure)
{
    struct peer peer = {.context = cert_server_context(&good)};
    struct net_trust *trust = NULL;
    char data[8];
    demand_client_certificate(peer.context);
    struct net_trust_options trust_options = {
        .cafile = authority.cert_path,
        .cert = cert != NULL ? cert->cert_path : NULL,
        .key = cert != NULL ? cert->key_path : NULL,
    };
    assert_int_equal(net_trust_new(&trust_options, &trust, ret_failure), FAULT_NONE);
    peer_start(&peer, serve_tls_echo);
    struct net_connection_options options = client_options("127.0.0.1", peer.port, trust);
    struct net_connection *connection = client_connect(&options, ret_failure);
    assert_non_null(connection);
    if (cert != NULL) {
        client_write(connection, "NOOP");
        client_read(connection, data, 4);
    } else {
        /* With TLS 1.3 the server says no when the client believes the handshake to be over. */
        assert_int_equal(client_read_to_fault(connection, data, sizeof(data), ret_failure), 0);
    }
    net_connection_close(connection);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
    return ret_failure->fault;
}

static void a_client_certificate_is_shown_when_asked_for(void **state)
{
    (void)state;
    struct failure failure = {0};
    assert_int_equal(connect_with_client_cert(&good, &failure), FAULT_NONE);
    assert_int_equal(connect_with_client_cert(NULL, &failure), FAULT_UNTRUSTED);
    assert_ends_in(failure.text, " wants a client certificate: cert= and key=");
}

/* ---- a session with a good server ---- */

struct session {
    struct peer peer;
    struct net_trust *trust;
    struct net_connection *connection;
};

static void session_open(struct session *session, void (*serve)(struct peer *, int),
                         const char *text, void (*adjust)(SSL_CTX *))
{
    struct failure failure;
    session->peer = (struct peer){.context = cert_server_context(&good), .text = text};
    session->trust = trust_new(authority.cert_path, NULL);
    if (adjust != NULL)
        adjust(session->peer.context);
    peer_start(&session->peer, serve);
    struct net_connection_options options =
        client_options("127.0.0.1", session->peer.port, session->trust);
    session->connection = client_connect(&options, &failure);
    assert_string_equal(failure.text, "");
}

static void session_close(struct session *session)
{
    net_connection_close(session->connection);
    peer_stop(&session->peer);
    SSL_CTX_free(session->peer.context);
    net_trust_free(session->trust);
}

static void five_megabytes_go_both_ways_bit_exact(void **state)
{
    (void)state;
    struct session session;
    session_open(&session, serve_tls_echo, NULL, NULL);
    client_check_transfer(session.connection, 5000000);
    session_close(&session);
    session_open(&session, serve_tls_echo, NULL, allow_tls_1_2_only);
    client_check_transfer(session.connection, 5000000);
    session_close(&session);
}

static void many_small_writes_arrive_in_order(void **state)
{
    (void)state;
    struct session session;
    char line[16], got[11];
    session_open(&session, serve_tls_echo, NULL, NULL);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "RETR %04d\r\n", i);
        client_write(session.connection, line);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "RETR %04d\r\n", i);
        client_read(session.connection, got, 11);
        assert_memory_equal(got, line, 11);
    }
    session_close(&session);
}

static void version_and_cipher_are_described(void **state)
{
    (void)state;
    struct session session;
    char start[64];
    session_open(&session, serve_tls_echo, NULL, allow_tls_1_2_only);
    snprintf(start, sizeof(start), "127.0.0.1 port %u, TLSv1.2 ECDHE-ECDSA-", session.peer.port);
    assert_memory_equal(net_connection_describe(session.connection), start, strlen(start));
    session_close(&session);
}

static void the_end_of_a_stream_is_offline(void **state)
{
    (void)state;
    static const struct {
        void (*serve)(struct peer *, int);
        const char *end;
    } cases[] = {
        {serve_tls_text_and_close, " closed the connection"},
        {serve_tls_text_and_vanish, " closed the connection without ending TLS"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct session session;
        struct failure failure = {0};
        char data[64];
        session_open(&session, cases[i].serve, "+OK 120 octets\r\nReceived: fr", NULL);
        size_t got = client_read_to_fault(session.connection, data, sizeof(data), &failure);
        assert_int_equal(got, strlen(session.peer.text));
        assert_memory_equal(data, session.peer.text, got);
        assert_int_equal(failure.fault, FAULT_OFFLINE);
        assert_ends_in(failure.text, cases[i].end);
        session_close(&session);
    }
}

/* Speaks TLS, then lets something else slip into the stream. */
static void serve_tls_then_garbage(struct peer *peer, int socket)
{
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    SSL_write(ssl, "+OK\r\n", 5);
    SSL_free(ssl);
    socket_say(socket, "\x17\x03\x03\x01\x01"
                       "what nobody has encrypted");
    for (int i = 0; i < 10; i++)
        socket_say(socket, "and what nobody can decrypt");
    socket_drain(socket);
}

static void bytes_that_were_not_encrypted_never_come_out(void **state)
{
    (void)state;
    struct session session;
    struct failure failure = {0};
    char data[2000];
    session_open(&session, serve_tls_then_garbage, NULL, NULL);
    assert_int_equal(client_read_to_fault(session.connection, data, sizeof(data), &failure), 5);
    assert_memory_equal(data, "+OK\r\n", 5);
    assert_int_equal(failure.fault, FAULT_OFFLINE);
    session_close(&session);
}

static void serve_until_close_notify(struct peer *peer, int socket)
{
    char data[16];
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    int count = SSL_read(ssl, data, sizeof(data));
    peer->text = SSL_get_error(ssl, count) == SSL_ERROR_ZERO_RETURN ? "notified" : "vanished";
    SSL_free(ssl);
}

static void closing_says_goodbye_and_freeing_does_not(void **state)
{
    (void)state;
    struct session session;
    session_open(&session, serve_until_close_notify, NULL, NULL);
    net_connection_close(session.connection);
    session.connection = NULL;
    peer_stop(&session.peer);
    assert_string_equal(session.peer.text, "notified");
    SSL_CTX_free(session.peer.context);
    net_trust_free(session.trust);

    session_open(&session, serve_until_close_notify, NULL, NULL);
    net_connection_free(session.connection);
    peer_stop(&session.peer);
    assert_string_equal(session.peer.text, "vanished");
    SSL_CTX_free(session.peer.context);
    net_trust_free(session.trust);
}

/* ---- key update: reading that has to write ---- */

enum { KEY_UPDATES = 20 };

static void serve_key_updates(struct peer *peer, int socket)
{
    char data[16];
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    for (int i = 0; i < KEY_UPDATES; i++) {
        SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        if (SSL_write(ssl, "+OK\r\n", 5) != 5 || SSL_read(ssl, data, sizeof(data)) != 6)
            break;
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    shutdown(socket, SHUT_WR);
    socket_drain(socket);
}

static void keys_may_change_at_any_time(void **state)
{
    (void)state;
    struct session session;
    struct failure failure = {0};
    char data[8];
    session_open(&session, serve_key_updates, NULL, NULL);
    for (int i = 0; i < KEY_UPDATES; i++) {
        client_read(session.connection, data, 5);
        assert_memory_equal(data, "+OK\r\n", 5);
        client_write(session.connection, "NOOP\r\n");
    }
    assert_int_equal(client_read_to_fault(session.connection, data, sizeof(data), &failure), 0);
    assert_ends_in(failure.text, " closed the connection");
    session_close(&session);
}

/* Asks for new keys when the client cannot send, and reads only after that. */
static void serve_key_update_before_reading(struct peer *peer, int socket)
{
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    peer_wait(peer);
    SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    SSL_write(ssl, "+OK\r\n", 5);
    peer_wait(peer);
    tls_echo(ssl);
    SSL_free(ssl);
}

static void keys_may_change_under_a_record_that_is_half_sent(void **state)
{
    (void)state;
    static char zeros[65536], more_zeros[65536], got[65536];
    struct session session;
    struct failure failure = {0};
    size_t sent = 0, back = 0, count = 1;
    session_open(&session, serve_key_update_before_reading, NULL, NULL);
    for (; count > 0; sent += count)
        assert_int_equal(net_connection_write(session.connection,
                                              (struct slice){zeros, sizeof(zeros)}, &count,
                                              &failure),
                         FAULT_NONE);
    peer_go_on(&session.peer);
    client_read(session.connection, got, 5);
    assert_memory_equal(got, "+OK\r\n", 5);
    peer_go_on(&session.peer);
    /* The record that is under way has to come first, as it was, though from another place. */
    bool complete = false;
    while (!complete || back < sent) {
        size_t written = 0;
        assert_int_equal(
            net_connection_read(session.connection, got, sizeof(got), &count, &failure),
            FAULT_NONE);
        back += count;
        if (!complete)
            assert_int_equal(net_connection_write(session.connection,
                                                  (struct slice){more_zeros, sizeof(more_zeros)},
                                                  &written, &failure),
                             FAULT_NONE);
        sent += written;
        complete = complete || written > 0;
        if (count == 0 && written == 0)
            client_wait(session.connection, !complete);
    }
    assert_int_equal(back, sent);
    client_check_transfer(session.connection, 100000);
    session_close(&session);
}

/* A client and a server in one thread, over a pair of sockets. */
struct pair {
    SSL_CTX *context;
    struct net_trust *trust;
    int sockets[2];
    SSL *server;
    struct net_tls *client;
};

static void pair_open(struct pair *pair)
{
    struct failure failure;
    bool done = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->sockets), 0);
    pair->context = cert_server_context(&good);
    pair->server = SSL_new(pair->context);
    SSL_set_fd(pair->server, pair->sockets[1]);
    pair->trust = trust_new(authority.cert_path, NULL);
    struct net_tls_options options = {.trust = pair->trust,
                                      .host = "localhost",
                                      .shown_host = "localhost",
                                      .peer = "localhost",
                                      .socket = pair->sockets[0]};
    assert_int_equal(net_tls_new(&options, &pair->client, &failure), FAULT_NONE);
    for (int i = 0; i < 20 && !(done && SSL_is_init_finished(pair->server)); i++) {
        assert_int_equal(net_tls_handshake(pair->client, &done, &failure), FAULT_NONE);
        SSL_accept(pair->server);
    }
    assert_true(done && SSL_is_init_finished(pair->server));
}

static void pair_close(struct pair *pair)
{
    net_tls_free(pair->client);
    SSL_free(pair->server);
    SSL_CTX_free(pair->context);
    net_trust_free(pair->trust);
    close(pair->sockets[0]);
    close(pair->sockets[1]);
}

/* Below TLS: until the client's socket takes no more. The server's end takes it out again. */
static size_t pair_fill(const struct pair *pair)
{
    char byte = 0;
    size_t octets = 0;
    while (send(pair->sockets[0], &byte, 1, MSG_NOSIGNAL) == 1)
        octets++;
    return octets;
}

static void pair_drain(const struct pair *pair, size_t octets)
{
    char byte;
    for (size_t i = 0; i < octets; i++)
        assert_int_equal(recv(pair->sockets[1], &byte, 1, 0), 1);
}

static void keys_may_change_when_nothing_can_be_sent(void **state)
{
    (void)state;
    struct pair pair;
    struct failure failure;
    char data[8];
    size_t count = 99;
    pair_open(&pair);
    assert_int_equal(net_tls_events(pair.client, false), POLLIN);
    size_t filler = pair_fill(&pair);
    SSL_key_update(pair.server, SSL_KEY_UPDATE_REQUESTED);
    assert_int_equal(SSL_write(pair.server, "+OK\r\n", 5), 5);
    /* OpenSSL 3.0 leaves the answer to the next write; one that does not must wait for the right
     * thing. */
    assert_int_equal(net_tls_read(pair.client, data, sizeof(data), &count, &failure), FAULT_NONE);
    assert_int_equal(net_tls_events(pair.client, false), count > 0 ? POLLIN : POLLOUT);
    pair_drain(&pair, filler);
    if (count == 0)
        assert_int_equal(net_tls_read(pair.client, data, sizeof(data), &count, &failure),
                         FAULT_NONE);
    assert_int_equal(count, 5);
    assert_memory_equal(data, "+OK\r\n", 5);
    assert_int_equal(net_tls_events(pair.client, false), POLLIN);
    assert_int_equal(net_tls_write(pair.client, SLICE_LITERAL("NOOP\r\n"), &count, &failure),
                     FAULT_NONE);
    assert_int_equal(SSL_read(pair.server, data, sizeof(data)), 6);
    pair_close(&pair);
}

/* ---- in place ---- */

static void serve_stls(struct peer *peer, int socket)
{
    char line[32];
    socket_say(socket, "+OK ready\r\n");
    socket_read_line(socket, line, sizeof(line));
    socket_say(socket, peer->text);
    SSL *ssl = tls_accept(peer, socket);
    if (ssl == NULL)
        return;
    tls_echo(ssl);
    SSL_free(ssl);
}

static struct net_connection *connect_for_stls(struct peer *peer, const struct net_trust *trust,
                                               const char *answer, size_t answer_octets)
{
    struct failure failure = {0};
    char got[64];
    struct net_connection_options options = client_options("127.0.0.1", peer->port, trust);
    options.tls = false;
    struct net_connection *connection = client_connect(&options, &failure);
    assert_non_null(connection);
    client_read(connection, got, 11);
    client_write(connection, "STLS\r\n");
    client_read(connection, got, answer_octets);
    assert_memory_equal(got, answer, answer_octets);
    assert_false(net_connection_is_secure(connection));
    return connection;
}

static void a_connection_is_upgraded_in_place(void **state)
{
    (void)state;
    struct peer peer = {.context = cert_server_context(&good), .text = "+OK begin\r\n"};
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    struct failure failure = {0};
    peer_start(&peer, serve_stls);
    struct net_connection *connection = connect_for_stls(&peer, trust, "+OK begin\r\n", 11);
    struct net_binding binding;
    assert_false(net_connection_binding(connection, &binding));
    assert_int_equal(net_connection_start_tls(connection, clock_ms(), &failure), FAULT_NONE);
    assert_false(net_connection_is_ready(connection));
    assert_false(net_connection_is_secure(connection));
    assert_false(net_connection_binding(connection, &binding));
    assert_int_equal(client_progress(connection, &failure), FAULT_NONE);
    assert_true(net_connection_is_secure(connection));
    assert_true(net_connection_binding(connection, &binding));
    client_check_transfer(connection, 200000);
    /* Twice is an error of the caller. */
    assert_int_equal(net_connection_start_tls(connection, clock_ms(), &failure), FAULT_UNTRUSTED);
    net_connection_close(connection);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
}

static void bytes_slipped_in_before_the_handshake_are_refused(void **state)
{
    (void)state;
    struct peer peer = {.context = cert_server_context(&good),
                        .text = "+OK begin\r\n+OK injected\r\n"};
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    struct failure failure = {0};
    peer_start(&peer, serve_stls);
    struct net_connection *connection = connect_for_stls(&peer, trust, "+OK begin\r\n", 11);
    assert_int_equal(net_connection_start_tls(connection, clock_ms(), &failure), FAULT_NONE);
    assert_int_equal(client_progress(connection, &failure), FAULT_UNTRUSTED);
    assert_ends_in(failure.text, " agreed to STLS but then did not speak TLS");
    assert_false(net_connection_is_secure(connection));
    net_connection_free(connection);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
}

static void the_upgrade_has_the_same_checks(void **state)
{
    (void)state;
    struct cert cert;
    struct cert_options options = usual("DNS:other.example");
    cert_make(&cert, "upgrade", &options);
    struct peer peer = {.context = cert_server_context(&cert), .text = "+OK begin\r\n"};
    struct net_trust *trust = trust_new(authority.cert_path, NULL);
    struct failure failure = {0};
    peer_start(&peer, serve_stls);
    struct net_connection *connection = connect_for_stls(&peer, trust, "+OK begin\r\n", 11);
    assert_int_equal(net_connection_start_tls(connection, clock_ms(), &failure), FAULT_NONE);
    assert_int_equal(client_progress(connection, &failure), FAULT_UNTRUSTED);
    assert_ends_in(failure.text, ": it names other.example");
    net_connection_free(connection);
    peer_stop(&peer);
    SSL_CTX_free(peer.context);
    net_trust_free(trust);
    cert_done(&cert);
}

static void openssl_is_left_without_errors(void **state)
{
    (void)state;
    struct failure failure;
    ERR_clear_error();
    assert_null(try_to_connect(&(struct attempt){.cert = &good, .system_store = true}, &failure));
    assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_is_accepted_by_address_and_by_name),
        cmocka_unit_test(the_server_is_told_the_name_but_never_an_address),
        cmocka_unit_test(a_dot_at_the_end_of_a_name_is_no_part_of_it),
        cmocka_unit_test(a_star_stands_for_one_whole_label),
        cmocka_unit_test(an_ipv6_address_is_compared_as_an_address),
        cmocka_unit_test(names_that_would_weaken_the_check_are_refused),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(a_certificate_of_the_future_is_refused),
        cmocka_unit_test(an_expired_issuer_is_refused),
        cmocka_unit_test(a_self_signed_certificate_is_refused_unless_it_is_the_cafile),
        cmocka_unit_test(an_unknown_issuer_is_refused),
        cmocka_unit_test(a_certificate_for_another_name_is_refused),
        cmocka_unit_test(an_address_written_as_a_name_is_refused),
        cmocka_unit_test(a_name_in_the_subject_alone_is_refused),
        cmocka_unit_test(a_pin_is_compared_with_the_public_key),
        cmocka_unit_test(a_right_pin_does_not_excuse_a_bad_certificate),
        cmocka_unit_test(tls_1_1_is_refused_and_1_2_is_not),
        cmocka_unit_test(a_hello_of_an_old_server_is_refused),
        cmocka_unit_test(a_server_that_does_not_speak_tls_is_told_so),
        cmocka_unit_test(a_connection_lost_in_the_handshake_is_offline),
        cmocka_unit_test(a_silent_server_runs_into_the_deadline),
        cmocka_unit_test(both_ends_have_the_same_to_bind_to),
        cmocka_unit_test(what_is_not_unique_is_nothing_to_bind_to),
        cmocka_unit_test(a_client_certificate_is_shown_when_asked_for),
        cmocka_unit_test(five_megabytes_go_both_ways_bit_exact),
        cmocka_unit_test(many_small_writes_arrive_in_order),
        cmocka_unit_test(version_and_cipher_are_described),
        cmocka_unit_test(the_end_of_a_stream_is_offline),
        cmocka_unit_test(bytes_that_were_not_encrypted_never_come_out),
        cmocka_unit_test(closing_says_goodbye_and_freeing_does_not),
        cmocka_unit_test(keys_may_change_at_any_time),
        cmocka_unit_test(keys_may_change_under_a_record_that_is_half_sent),
        cmocka_unit_test(keys_may_change_when_nothing_can_be_sent),
        cmocka_unit_test(a_connection_is_upgraded_in_place),
        cmocka_unit_test(bytes_slipped_in_before_the_handshake_are_refused),
        cmocka_unit_test(the_upgrade_has_the_same_checks),
        cmocka_unit_test(openssl_is_left_without_errors),
    };
    return cmocka_run_group_tests_name("net_tls", tests, prepare, clean);
}
