/* SPDX-License-Identifier: MIT */
/*
 * Turns OpenSSL's verdict on a certificate into a line for a person. Decides nothing: when this
 * runs, the certificate has been refused already. All text from certificates is escaped; a stranger
 * wrote it.
 */
#include "verdict.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAME_OCTETS_MAX = 100, NAMES_SHOWN_MAX = 3 };

static struct slice slice_from_asn1(const ASN1_STRING *string)
{
    return (struct slice){(const char *)ASN1_STRING_get0_data(string),
                          (size_t)ASN1_STRING_length(string)};
}

static const char *date_show(const ASN1_TIME *date, char out[16])
{
    struct tm tm;
    if (date == NULL || ASN1_TIME_to_tm(date, &tm) != 1 || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        strcpy(out, "an odd date");
    return out;
}

static const char *subject_show(const X509_NAME *name, char out[NAME_OCTETS_MAX])
{
    strcpy(out, "unnamed");
    BIO *memory = BIO_new(BIO_s_mem());
    char *data = NULL;
    if (memory != NULL && name != NULL &&
        X509_NAME_print_ex(memory, name, 0,
                           ASN1_STRFLGS_UTF8_CONVERT | XN_FLAG_SEP_COMMA_PLUS | XN_FLAG_FN_SN) >
            0) {
        long octets = BIO_get_mem_data(memory, &data);
        text_escape((struct slice){data, octets > 0 ? (size_t)octets : 0}, out, NAME_OCTETS_MAX);
    }
    BIO_free(memory);
    return out;
}

/* False for the kinds of names that no host can be checked against. */
static bool name_show(const GENERAL_NAME *name, char out[NAME_OCTETS_MAX])
{
    if (name->type == GEN_DNS) {
        text_escape(slice_from_asn1(name->d.dNSName), out, NAME_OCTETS_MAX);
        return true;
    }
    if (name->type != GEN_IPADD)
        return false;
    struct slice address = slice_from_asn1(name->d.iPAddress);
    int family = address.len == 4 ? AF_INET : AF_INET6;
    if (address.len != 4 && address.len != 16)
        return false;
    return inet_ntop(family, address.data, out, NAME_OCTETS_MAX) != NULL;
}

/* "a.example, b.example and 7 more"; false if there is no such name at all. */
static bool names_show(X509 *cert, struct buffer *ret_names)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char shown[NAME_OCTETS_MAX];
    size_t count = 0;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++)
        if (name_show(sk_GENERAL_NAME_value(names, i), shown) && count++ < NAMES_SHOWN_MAX)
            buffer_printf(ret_names, "%s%s", count > 1 ? ", " : "", shown);
    if (count > NAMES_SHOWN_MAX)
        buffer_printf(ret_names, " and %zu more", count - NAMES_SHOWN_MAX);
    GENERAL_NAMES_free(names);
    return count > 0;
}

static enum fault set_wrong_name(const char *host, X509 *cert, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer names = {0};
    char subject[NAME_OCTETS_MAX];
    if (cert == NULL || !names_show(cert, &names))
        return failure_set(
            ret_failure, FAULT_UNTRUSTED,
            "the certificate of %s has no name but its subject (%s), and that does "
            "not count: it needs a subjectAltName",
            host, subject_show(cert != NULL ? X509_get_subject_name(cert) : NULL, subject));
    return failure_set(ret_failure, FAULT_UNTRUSTED,
                       "the certificate is for another host than %s: it names %.*s", host,
                       (int)names.len, names.data != NULL ? names.data : "");
}

static enum fault set_wrong_date(const char *host, int error, int depth, X509 *cert,
                                 struct failure *ret_failure)
{
    char date[16];
    const char *whose = depth == 0 ? "the certificate" : "the issuer's certificate";
    if (error == X509_V_ERR_CERT_HAS_EXPIRED)
        return failure_set(ret_failure, FAULT_UNTRUSTED, "%s of %s expired on %s", whose, host,
                           date_show(cert != NULL ? X509_get0_notAfter(cert) : NULL, date));
    return failure_set(ret_failure, FAULT_UNTRUSTED,
                       "%s of %s is not valid before %s: is the clock of this machine right?",
                       whose, host,
                       date_show(cert != NULL ? X509_get0_notBefore(cert) : NULL, date));
}

static enum fault set_unknown_issuer(const struct net_verdict_case *of, X509 *cert,
                                     struct failure *ret_failure)
{
    char issuer[NAME_OCTETS_MAX];
    subject_show(cert != NULL ? X509_get_issuer_name(cert) : NULL, issuer);
    if (of->has_cafile)
        return failure_set(ret_failure, FAULT_UNTRUSTED,
                           "the certificate of %s is not from an issuer in cafile=, but from %s",
                           of->host, issuer);
    return failure_set(ret_failure, FAULT_UNTRUSTED,
                       "the certificate of %s is from an issuer unknown here (%s): if it is to be "
                       "trusted, name the issuer's certificate with cafile=",
                       of->host, issuer);
}

enum fault net_verdict_set(const struct net_verdict_case *of, int error, int depth, X509 *cert,
                           struct failure *ret_failure)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return set_wrong_date(of->host, error, depth, cert, ret_failure);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return set_wrong_name(of->host, cert, ret_failure);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return failure_set(ret_failure, FAULT_UNTRUSTED,
                           "the certificate of %s is self-signed: if it is to be trusted, name a "
                           "copy of it with cafile=",
                           of->host);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return set_unknown_issuer(of, cert, ret_failure);
    case X509_V_ERR_OUT_OF_MEM:
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for TLS");
    default:
        return failure_set(ret_failure, FAULT_UNTRUSTED, "the certificate of %s is not valid: %s",
                           of->host, X509_verify_cert_error_string(error));
    }
}
