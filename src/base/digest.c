/* SPDX-License-Identifier: MIT */
/* Digests, by OpenSSL: MD5 because APOP is defined by it, SHA-256 for pins and long names. */
#include "popfs/base.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

static bool digest(const EVP_MD *kind, struct slice a, struct slice b, unsigned char *ret)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        return false;
    bool done = kind != NULL && EVP_DigestInit_ex(context, kind, NULL) == 1 &&
                EVP_DigestUpdate(context, a.data, a.len) == 1 &&
                EVP_DigestUpdate(context, b.data, b.len) == 1 &&
                EVP_DigestFinal_ex(context, ret, NULL) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

void secret_wipe(void *memory, size_t octets)
{
    OPENSSL_cleanse(memory, octets);
}

bool digest_md5_hex(struct slice a, struct slice b, char ret_hex[DIGEST_MD5_HEX_OCTETS])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    if (!digest(EVP_md5(), a, b, bytes))
        return false;
    for (size_t i = 0; i < 16; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_hex[32] = '\0';
    return true;
}

bool digest_sha256(struct slice bytes, unsigned char ret_digest[DIGEST_SHA256_OCTETS])
{
    return digest(EVP_sha256(), bytes, (struct slice){NULL, 0}, ret_digest);
}

bool evidence_is_known(const struct evidence *evidence)
{
    static const struct evidence none;
    return memcmp(evidence, &none, sizeof(none)) != 0;
}

bool evidence_is_equal(const struct evidence *a, const struct evidence *b)
{
    return evidence_is_known(a) && evidence_is_known(b) &&
           memcmp(a, b, EVIDENCE_OCTETS_COMPARED) == 0;
}

bool evidence_is_by_retr(const struct evidence *evidence)
{
    return (evidence->octets[EVIDENCE_OCTETS_COMPARED] & EVIDENCE_BY_RETR) != 0;
}

bool evidence_is_of_two(const struct evidence *a, const struct evidence *b)
{
    return evidence_is_known(a) && evidence_is_known(b) && !evidence_is_equal(a, b) &&
           evidence_is_by_retr(a) == evidence_is_by_retr(b);
}
