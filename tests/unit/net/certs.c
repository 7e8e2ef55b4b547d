/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[32];

void certs_prepare(void)
{
    strcpy(folder, "/tmp/popfs-net.XXXXXX");
    assert_non_null(mkdtemp(folder));
}

const char *certs_path(const char *name, char out[64])
{
    assert_true(snprintf(out, 64, "%s/%s", folder, name) < 64);
    return out;
}

void certs_clean(void)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    assert_int_equal(rmdir(folder), 0);
}

static FILE *open_in_folder(const char *name, char out_path[64])
{
    FILE *file = fopen(certs_path(name, out_path), "w");
    assert_non_null(file);
    return file;
}

void certs_write(const char *name, const char *text, char out_path[64])
{
    FILE *file = open_in_folder(name, out_path);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void add_extension(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void set_subject(X509 *x509, const char *subject)
{
    const unsigned char *text = (const unsigned char *)(subject != NULL ? subject : "test");
    X509_NAME *name = X509_NAME_new();
    assert_non_null(name);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0), 1);
    assert_int_equal(X509_set_subject_name(x509, name), 1);
    X509_NAME_free(name);
}

static X509 *make_x509(EVP_PKEY *key, const struct cert_options *options)
{
    static long serial;
    X509 *x509 = X509_new();
    assert_non_null(x509);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), options->valid_from_s);
    X509_gmtime_adj(X509_getm_notAfter(x509), options->valid_to_s);
    X509_set_pubkey(x509, key);
    set_subject(x509, options->subject);
    X509_set_issuer_name(x509,
                         X509_get_subject_name(options->by != NULL ? options->by->x509 : x509));
    if (options->authority)
        add_extension(x509, NID_basic_constraints, "critical,CA:TRUE");
    if (options->names != NULL)
        add_extension(x509, NID_subject_alt_name, options->names);
    assert_true(X509_sign(x509, options->by != NULL ? options->by->key : key, EVP_sha256()) > 0);
    return x509;
}

void cert_make(struct cert *cert, const char *file, const struct cert_options *options)
{
    char name[32];
    cert->key = EVP_EC_gen("P-256");
    assert_non_null(cert->key);
    cert->x509 = make_x509(cert->key, options);
    snprintf(name, sizeof(name), "%s.pem", file);
    FILE *out = open_in_folder(name, cert->cert_path);
    assert_int_equal(PEM_write_X509(out, cert->x509), 1);
    fclose(out);
    snprintf(name, sizeof(name), "%s.key", file);
    out = open_in_folder(name, cert->key_path);
    assert_int_equal(PEM_write_PrivateKey(out, cert->key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
}

void cert_done(struct cert *cert)
{
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
}

void cert_pin(const struct cert *cert, char out[64])
{
    char command[256];
    snprintf(command, sizeof(command),
             "openssl pkey -in %s -pubout -outform DER | openssl dgst -sha256 -binary | "
             "openssl base64 -A",
             cert->key_path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char base64[56];
    assert_non_null(fgets(base64, sizeof(base64), pipe));
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(strlen(base64), 44);
    snprintf(out, 64, "sha256//%s", base64);
}

SSL_CTX *cert_server_context(const struct cert *cert)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    assert_non_null(context);
    assert_int_equal(SSL_CTX_use_certificate(context, cert->x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, cert->key), 1);
    return context;
}
