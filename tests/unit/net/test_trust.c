/* SPDX-License-Identifier: MIT */
/* What is named in cafile=, cert=, key= and pin= is an error at start or is checked; nothing in
 * between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "popfs/net.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY_S = 86400 };

static struct cert one, other;

static int prepare(void **state)
{
    (void)state;
    certs_prepare();
    cert_make(&one, "one", &(struct cert_options){.valid_from_s = -DAY_S, .valid_to_s = DAY_S});
    cert_make(&other, "other", &(struct cert_options){.valid_from_s = -DAY_S, .valid_to_s = DAY_S});
    return 0;
}

static int clean(void **state)
{
    (void)state;
    cert_done(&one);
    cert_done(&other);
    certs_clean();
    return 0;
}

static void assert_accepted(const struct net_trust_options *options)
{
    struct failure failure = {0};
    struct net_trust *trust = NULL;
    enum fault fault = net_trust_new(options, &trust, &failure);
    assert_string_equal(failure.text, "");
    assert_int_equal(fault, FAULT_NONE);
    assert_non_null(trust);
    net_trust_free(trust);
}

static void assert_refused(const struct net_trust_options *options, const char *text)
{
    struct failure failure = {0};
    struct net_trust *trust = NULL;
    assert_int_equal(net_trust_new(options, &trust, &failure), FAULT_UNTRUSTED);
    assert_null(trust);
    assert_int_equal(failure.fault, FAULT_UNTRUSTED);
    assert_string_equal(failure.text, text);
}

static void the_systems_store_is_the_default(void **state)
{
    (void)state;
    assert_accepted(&(struct net_trust_options){0});
}

static void a_cafile_must_be_there_and_hold_a_certificate(void **state)
{
    (void)state;
    char path[64], text[200];
    assert_accepted(&(struct net_trust_options){.cafile = one.cert_path});
    assert_refused(&(struct net_trust_options){.cafile = "/popfs-nonexistent/ca.pem"},
                   "cafile=/popfs-nonexistent/ca.pem: No such file or directory");
    certs_write("empty.pem", "", path);
    snprintf(text, sizeof(text), "cafile=%s: there is no certificate (PEM) in it", path);
    assert_refused(&(struct net_trust_options){.cafile = path}, text);
    certs_write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                path);
    snprintf(text, sizeof(text), "cafile=%s: there is no certificate (PEM) in it", path);
    assert_refused(&(struct net_trust_options){.cafile = path}, text);
    assert_refused(&(struct net_trust_options){.cafile = "/tmp"},
                   "cafile=/tmp: there is no certificate (PEM) in it");
}

static void authorities_are_read_as_they_are_now(void **state)
{
    (void)state;
    char path[64], text[200];
    struct failure failure = {0};
    CLEANUP_BUFFER struct buffer pem = {0};
    certs_write("now.pem", "first", path);
    assert_int_equal(net_authorities_read(path, &pem, &failure), FAULT_NONE);
    assert_int_equal(pem.len, 5);
    certs_write("now.pem", "another", path);
    assert_int_equal(net_authorities_read(path, &pem, &failure), FAULT_NONE);
    assert_memory_equal(pem.data, "another", 7);
    assert_int_equal(pem.len, 7);
    assert_int_equal(net_authorities_read("/tmp", &pem, &failure), FAULT_UNTRUSTED);
    assert_string_equal(failure.text, "/tmp: it is no regular file");
    assert_int_equal(net_authorities_read("/popfs-nonexistent/ca.pem", &pem, &failure),
                     FAULT_UNTRUSTED);
    assert_string_equal(failure.text, "/popfs-nonexistent/ca.pem: No such file or directory");
    assert_int_equal(truncate(path, NET_AUTHORITIES_OCTETS_MAX), 0);
    assert_int_equal(net_authorities_read(path, &pem, &failure), FAULT_NONE);
    assert_int_equal(pem.len, NET_AUTHORITIES_OCTETS_MAX);
    assert_int_equal(truncate(path, NET_AUTHORITIES_OCTETS_MAX + 1), 0);
    assert_int_equal(net_authorities_read(path, &pem, &failure), FAULT_UNTRUSTED);
    snprintf(text, sizeof(text), "%s: File too large", path);
    assert_string_equal(failure.text, text);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(net_authorities_read(path, &pem, &failure), FAULT_UNTRUSTED);
    assert_int_equal(unlink(path), 0);
}

static void a_system_store_without_a_file_is_empty(void **state)
{
    (void)state;
    struct failure failure = {0};
    CLEANUP_BUFFER struct buffer pem = {0};
    setenv("SSL_CERT_FILE", "/popfs-nonexistent/ca.pem", 1);
    assert_int_equal(net_authorities_read(NULL, &pem, &failure), FAULT_NONE);
    assert_int_equal(pem.len, 0);
    unsetenv("SSL_CERT_FILE");
}

static void a_text_without_certificates_renews_nothing(void **state)
{
    (void)state;
    struct failure failure = {0};
    struct net_trust *trust = NULL;
    const struct net_trust_options options = {.cafile = one.cert_path};
    CLEANUP_BUFFER struct buffer pem = {0};
    assert_int_equal(net_trust_new(&options, &trust, &failure), FAULT_NONE);
    assert_int_equal(net_authorities_read(other.cert_path, &pem, &failure), FAULT_NONE);
    assert_int_equal(net_trust_renew(trust, buffer_slice(&pem), &failure), FAULT_NONE);
    pem.len /= 2;
    assert_int_equal(net_trust_renew(trust, buffer_slice(&pem), &failure), FAULT_UNTRUSTED);
    assert_string_equal(failure.text, "there is no certificate (PEM) in the file of cafile=");
    assert_int_equal(net_trust_renew(trust, (struct slice){"", 0}, &failure), FAULT_UNTRUSTED);
    net_trust_free(trust);
    assert_int_equal(net_trust_new(&(struct net_trust_options){0}, &trust, &failure), FAULT_NONE);
    assert_int_equal(net_trust_renew(trust, (struct slice){"", 0}, &failure), FAULT_NONE);
    assert_int_equal(net_trust_renew(trust, (struct slice){"no PEM\n", 7}, &failure),
                     FAULT_UNTRUSTED);
    assert_string_equal(failure.text,
                        "there is no certificate (PEM) in the file of the system's store");
    net_trust_free(trust);
}

static void a_client_certificate_needs_its_own_key(void **state)
{
    (void)state;
    char text[200];
    assert_accepted(&(struct net_trust_options){.cert = one.cert_path, .key = one.key_path});
    snprintf(text, sizeof(text),
             "key=%s: it does not belong to the certificate of cert=", other.key_path);
    assert_refused(&(struct net_trust_options){.cert = one.cert_path, .key = other.key_path}, text);
    assert_refused(
        &(struct net_trust_options){.cert = one.cert_path, .key = "/popfs-nonexistent/k"},
        "key=/popfs-nonexistent/k: No such file or directory");
    assert_refused(&(struct net_trust_options){.cert = "/popfs-nonexistent/c", .key = one.key_path},
                   "cert=/popfs-nonexistent/c: No such file or directory");
    assert_refused(&(struct net_trust_options){.key = one.key_path},
                   "key= is of no use without cert=");
    snprintf(text, sizeof(text), "key=%s: there is no key (PEM, without passphrase) in it",
             one.cert_path);
    assert_refused(&(struct net_trust_options){.cert = one.cert_path}, text);
}

static void certificate_and_key_may_be_in_one_file(void **state)
{
    (void)state;
    char path[64];
    FILE *file = fopen(certs_path("both.pem", path), "w");
    assert_non_null(file);
    PEM_write_X509(file, one.x509);
    PEM_write_PrivateKey(file, one.key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    assert_accepted(&(struct net_trust_options){.cert = path});
}

static void a_key_with_a_passphrase_is_refused_and_nobody_is_asked(void **state)
{
    (void)state;
    char path[64], text[200];
    static unsigned char passphrase[] = "secret";
    FILE *file = fopen(certs_path("locked.key", path), "w");
    assert_non_null(file);
    assert_int_equal(
        PEM_write_PrivateKey(file, one.key, EVP_aes_128_cbc(), passphrase, 6, NULL, NULL), 1);
    fclose(file);
    snprintf(text, sizeof(text), "key=%s: there is no key (PEM, without passphrase) in it", path);
    assert_refused(&(struct net_trust_options){.cert = one.cert_path, .key = path}, text);
}

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void a_pin_may_name_several_keys(void **state)
{
    (void)state;
    assert_accepted(&(struct net_trust_options){.pin = PIN_A});
    assert_accepted(&(struct net_trust_options){.pin = PIN_A ";" PIN_B});
}

static void a_malformed_pin_is_refused(void **state)
{
    (void)state;
    static const char *const pins[] = {
        "",
        "sha256//",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha1//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "SHA256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF==",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUx",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF_=",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", /* bits that no digest has */
        "sha256// 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF=",
        PIN_A ";",
        PIN_A "; " PIN_B,
        PIN_A "," PIN_B,
    };
    for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++) {
        struct failure failure = {0};
        struct net_trust *trust = NULL;
        struct net_trust_options options = {.pin = pins[i]};
        assert_int_equal(net_trust_new(&options, &trust, &failure), FAULT_UNTRUSTED);
        assert_null(trust);
        assert_memory_equal(failure.text, "pin=", 4);
        assert_non_null(strstr(failure.text, " is not sha256// and 44 characters of base64"));
    }
}

static void a_pin_list_is_bounded(void **state)
{
    (void)state;
    char list[17 * 53 + 1] = "";
    for (int i = 0; i < 16; i++)
        strcat(list, i == 0 ? PIN_A : ";" PIN_A);
    assert_accepted(&(struct net_trust_options){.pin = list});
    strcat(list, ";" PIN_A);
    assert_refused(&(struct net_trust_options){.pin = list}, "pin= names more than 16 keys");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_systems_store_is_the_default),
        cmocka_unit_test(a_cafile_must_be_there_and_hold_a_certificate),
        cmocka_unit_test(authorities_are_read_as_they_are_now),
        cmocka_unit_test(a_system_store_without_a_file_is_empty),
        cmocka_unit_test(a_text_without_certificates_renews_nothing),
        cmocka_unit_test(a_client_certificate_needs_its_own_key),
        cmocka_unit_test(certificate_and_key_may_be_in_one_file),
        cmocka_unit_test(a_key_with_a_passphrase_is_refused_and_nobody_is_asked),
        cmocka_unit_test(a_pin_may_name_several_keys),
        cmocka_unit_test(a_malformed_pin_is_refused),
        cmocka_unit_test(a_pin_list_is_bounded),
    };
    return cmocka_run_group_tests_name("net_trust", tests, prepare, clean);
}
