/* SPDX-License-Identifier: MIT */
/*
 * Whom to trust: reads certificates, key and pins at start, so that a typing error is an error
 * there and never a check that does not happen; the authorities may be replaced later. Knows no
 * host and no socket.
 */
#include "trust.h"

#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Empties OpenSSL's queue of errors into one word for a person: errno's text if the system was at
 * fault. */
static const char *error_take_text(const char *otherwise)
{
    const char *text = otherwise;
    unsigned long code;
    while ((code = ERR_get_error()) != 0)
        if (ERR_SYSTEM_ERROR(code))
            text = strerror(ERR_GET_REASON(code));
    return text;
}

static enum fault fail_file(struct failure *ret, const char *option, const char *path,
                            const char *otherwise)
{
    char shown[200];
    text_show(slice_from_string(path), shown, sizeof(shown));
    return failure_set(ret, FAULT_UNTRUSTED, "%s=%s: %s", option, shown,
                       error_take_text(otherwise));
}

/* Without this OpenSSL asks on the terminal, which a daemon has none of. */
static int refuse_passphrase(char *buffer, int capacity, int for_writing, void *context)
{
    (void)buffer, (void)capacity, (void)for_writing, (void)context;
    return -1;
}

static enum fault trust_read_authorities(struct net_trust *trust, const char *cafile,
                                         struct failure *ret_failure)
{
    if (cafile == NULL) {
        if (SSL_CTX_set_default_verify_paths(trust->context) == 1)
            return FAULT_NONE;
        return failure_set(ret_failure, FAULT_UNTRUSTED,
                           "the system's certificates cannot be read: name a file with cafile=");
    }
    if (SSL_CTX_load_verify_file(trust->context, cafile) != 1)
        return fail_file(ret_failure, "cafile", cafile, "there is no certificate (PEM) in it");
    /* Whoever names one certificate, be it the server's own, means that one and need not have its
     * root. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(trust->context), X509_V_FLAG_PARTIAL_CHAIN);
    trust->has_cafile = true;
    return FAULT_NONE;
}

/* ---- authorities that have been replaced since ---- */

static const char *system_file(void)
{
    const char *given = getenv(X509_get_default_cert_file_env());
    return given != NULL ? given : X509_get_default_cert_file();
}

static const char *system_folders(void)
{
    const char *given = getenv(X509_get_default_cert_dir_env());
    return given != NULL ? given : X509_get_default_cert_dir();
}

static enum fault read_to_end(int file, struct buffer *ret_pem)
{
    char part[16384];
    for (;;) {
        ssize_t got = read(file, part, sizeof(part));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAULT_UNTRUSTED;
        if (got == 0)
            return FAULT_NONE;
        if (ret_pem->len + (size_t)got > NET_AUTHORITIES_OCTETS_MAX) {
            errno = EFBIG;
            return FAULT_UNTRUSTED;
        }
        if (!buffer_append(ret_pem, (struct slice){part, (size_t)got})) {
            errno = ENOMEM;
            return FAULT_MEMORY;
        }
    }
}

enum fault net_authorities_read(const char *cafile, struct buffer *ret_pem,
                                struct failure *ret_failure)
{
    const char *path = cafile != NULL ? cafile : system_file();
    struct stat status;
    char shown[200];
    CLEANUP_BUFFER struct buffer pem = {0};
    /* Looked at first: a FIFO that is opened may wake somebody. */
    bool is_there = stat(path, &status) == 0;
    bool is_file = is_there && S_ISREG(status.st_mode);
    if (!is_file && cafile == NULL)
        return FAULT_NONE;
    CLEANUP_CLOSE int file = is_file ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    enum fault fault = file < 0 ? FAULT_UNTRUSTED : read_to_end(file, &pem);
    if (fault != FAULT_NONE)
        return failure_set(ret_failure, fault, "%s: %s",
                           text_show(slice_from_string(path), shown, sizeof(shown)),
                           is_there && !is_file ? "it is no regular file" : strerror(errno));
    struct buffer before = *ret_pem;
    *ret_pem = pem;
    pem = before;
    return FAULT_NONE;
}

/* Returns false for want of memory. */
static bool add_infos(X509_STORE *store, const STACK_OF(X509_INFO) * infos, size_t *ret_count)
{
    *ret_count = 0;
    for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
        const X509_INFO *info = sk_X509_INFO_value(infos, i);
        if ((info->x509 != NULL && X509_STORE_add_cert(store, info->x509) != 1) ||
            (info->crl != NULL && X509_STORE_add_crl(store, info->crl) != 1))
            return false;
        *ret_count += info->x509 != NULL;
    }
    return true;
}

/* NULL if the text is no PEM to its end: half of a file that is being written is not taken. */
static STACK_OF(X509_INFO) * parse(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    STACK_OF(X509_INFO) *infos =
        bio == NULL ? NULL : PEM_X509_INFO_read_bio(bio, NULL, refuse_passphrase, NULL);
    BIO_free(bio);
    return infos;
}

static enum fault fill_store(const struct net_trust *trust, X509_STORE *store, struct slice pem,
                             struct failure *ret_failure)
{
    size_t count = 0;
    STACK_OF(X509_INFO) *infos = pem.len == 0 ? NULL : parse(pem);
    bool is_added = add_infos(store, infos, &count);
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    if (!is_added)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS");
    if (count == 0 && (trust->has_cafile || pem.len > 0))
        return failure_set(ret_failure, FAULT_UNTRUSTED,
                           "there is no certificate (PEM) in the file of %s",
                           trust->has_cafile ? "cafile=" : "the system's store");
    return FAULT_NONE;
}

enum fault net_trust_renew(struct net_trust *trust, struct slice pem, struct failure *ret_failure)
{
    ERR_clear_error();
    X509_STORE *store = X509_STORE_new();
    enum fault fault = store == NULL
                           ? failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS")
                           : fill_store(trust, store, pem, ret_failure);
    if (fault == FAULT_NONE && !trust->has_cafile &&
        X509_STORE_load_path(store, system_folders()) != 1)
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS");
    if (fault == FAULT_NONE)
        SSL_CTX_set_cert_store(trust->context, store);
    else
        X509_STORE_free(store);
    ERR_clear_error();
    return fault;
}

/* ---- what proves who connects ---- */

static enum fault trust_read_client_cert(struct net_trust *trust, const char *cert, const char *key,
                                         struct failure *ret_failure)
{
    if (cert == NULL && key != NULL)
        return failure_set(ret_failure, FAULT_UNTRUSTED, "key= is of no use without cert=");
    if (cert == NULL)
        return FAULT_NONE;
    if (SSL_CTX_use_certificate_chain_file(trust->context, cert) != 1)
        return fail_file(ret_failure, "cert", cert, "there is no certificate (PEM) in it");
    const char *path = key != NULL ? key : cert;
    if (SSL_CTX_use_PrivateKey_file(trust->context, path, SSL_FILETYPE_PEM) == 1)
        return FAULT_NONE;
    bool mismatch = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
    return fail_file(ret_failure, "key", path,
                     mismatch ? "it does not belong to the certificate of cert="
                              : "there is no key (PEM, without passphrase) in it");
}

/* One "sha256//BASE64". Decodes and encodes again, so that what OpenSSL is lenient about is
 * refused. */
static bool pin_parse(struct slice text, unsigned char ret_digest[DIGEST_SHA256_OCTETS])
{
    static const struct slice prefix = {"sha256//", 8};
    unsigned char digest[DIGEST_SHA256_OCTETS + 1];
    char again[NET_PIN_BASE64_OCTETS + 1];
    if (text.len != prefix.len + NET_PIN_BASE64_OCTETS ||
        memcmp(text.data, prefix.data, prefix.len) != 0)
        return false;
    const char *base64 = text.data + prefix.len;
    if (EVP_DecodeBlock(digest, (const unsigned char *)base64, NET_PIN_BASE64_OCTETS) !=
        (int)sizeof(digest))
        return false;
    EVP_EncodeBlock((unsigned char *)again, digest, DIGEST_SHA256_OCTETS);
    if (memcmp(again, base64, NET_PIN_BASE64_OCTETS) != 0)
        return false;
    memcpy(ret_digest, digest, DIGEST_SHA256_OCTETS);
    return true;
}

/* Several are separated by ';', as curl has it: one in use and one to come. */
static enum fault trust_read_pins(struct net_trust *trust, const char *pins,
                                  struct failure *ret_failure)
{
    while (pins != NULL) {
        const char *end = strchrnul(pins, ';');
        struct slice pin = {pins, (size_t)(end - pins)};
        if (trust->pin_count == NET_PINS_MAX)
            return failure_set(ret_failure, FAULT_UNTRUSTED, "pin= names more than %d keys",
                               NET_PINS_MAX);
        if (!pin_parse(pin, trust->pins[trust->pin_count])) {
            char shown[120];
            return failure_set(ret_failure, FAULT_UNTRUSTED,
                               "pin=%s is not sha256// and 44 characters of base64",
                               text_escape(pin, shown, sizeof(shown)));
        }
        trust->pin_count++;
        pins = *end == ';' ? end + 1 : NULL;
    }
    return FAULT_NONE;
}

bool net_trust_has_pin(const struct net_trust *trust,
                       const unsigned char digest[DIGEST_SHA256_OCTETS])
{
    for (size_t i = 0; i < trust->pin_count; i++)
        if (memcmp(trust->pins[i], digest, DIGEST_SHA256_OCTETS) == 0)
            return true;
    return trust->pin_count == 0;
}

static enum fault trust_read(struct net_trust *trust, const struct net_trust_options *options,
                             struct failure *ret_failure)
{
    SSL_CTX_set_default_passwd_cb(trust->context, refuse_passphrase);
    enum fault fault = trust_read_authorities(trust, options->cafile, ret_failure);
    if (fault == FAULT_NONE)
        fault = trust_read_client_cert(trust, options->cert, options->key, ret_failure);
    if (fault == FAULT_NONE)
        fault = trust_read_pins(trust, options->pin, ret_failure);
    return fault;
}

enum fault net_trust_new(const struct net_trust_options *options, struct net_trust **ret_trust,
                         struct failure *ret_failure)
{
    struct net_trust *trust = calloc(1, sizeof(*trust));
    if (trust == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    ERR_clear_error();
    trust->context = net_tls_context_new();
    trust->bio_method = net_tls_bio_method_new();
    enum fault fault = FAULT_NONE;
    if (trust->context == NULL || trust->bio_method == NULL)
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS");
    else
        fault = trust_read(trust, options, ret_failure);
    ERR_clear_error();
    if (fault != FAULT_NONE) {
        net_trust_free(trust);
        return fault;
    }
    *ret_trust = trust;
    return FAULT_NONE;
}

void net_trust_free(struct net_trust *trust)
{
    if (trust == NULL)
        return;
    SSL_CTX_free(trust->context);
    BIO_meth_free(trust->bio_method);
    free(trust);
}
