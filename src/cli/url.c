/* SPDX-License-Identifier: MIT */
/*
 * Takes SOURCE apart. Refuses to know what the parts are used for, and to look a name up: whether a
 * host exists is net's business.
 */
#include "url.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

bool url_user_is_valid(const char *user)
{
    for (const char *at = user; *at != '\0'; at++) {
        if (is_control((unsigned char)*at))
            return false;
    }
    return *user != '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX. False if one is malformed or stands for NUL, which would cut the name short. */
static bool percent_decode(struct slice text, char *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            *out++ = text.data[i];
            continue;
        }
        if (text.len - i < 3)
            return false;
        int high = hex_value(text.data[i + 1]);
        int low = hex_value(text.data[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        *out++ = (char)(high * 16 + low);
        i += 2;
    }
    *out = '\0';
    return true;
}

/* What people write in place of a source, and what they may have meant. */
static void hint_at_source(struct slice text, char *out, size_t capacity)
{
    static const struct {
        struct slice start;
        const char *hint;
        bool is_scheme; /* and may be the start of a host, too */
    } hints[] = {
        {SLICE_LITERAL("/"), "; it comes before the mountpoint", false},
        {SLICE_LITERAL("."), "; it comes before the mountpoint", false},
        {SLICE_LITERAL("imap"), "; popfs speaks POP3 and no IMAP", true},
        {SLICE_LITERAL("http"), "; popfs speaks POP3 and no HTTP", true},
        {SLICE_LITERAL("smtp"), "; popfs speaks POP3 and no SMTP", true},
        {SLICE_LITERAL("pop3s:"), "; write pops:// in place of pop3s://", true},
        {SLICE_LITERAL("pop:"), "; write pops:// or pop3:// in place of pop://", true},
        {SLICE_LITERAL("pops:/"), "; two slashes follow the colon", false},
        {SLICE_LITERAL("pop3:/"), "; two slashes follow the colon", false},
    };
    char shown[80];
    bool has_scheme = text.len > 0 && memmem(text.data, text.len, "://", 3) != NULL;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if (slice_has_prefix_nocase(text, hints[i].start) && (has_scheme || !hints[i].is_scheme)) {
            snprintf(out, capacity, "%s", hints[i].hint);
            return;
        }
    /* What has a colon may hold a password. */
    if (text.len == 0 || has_scheme || memchr(text.data, ':', text.len) != NULL ||
        memchr(text.data, '.', text.len) == NULL || memchr(text.data, '/', text.len) != NULL)
        return;
    text_show(text, shown, sizeof(shown));
    if (memchr(text.data, '@', text.len) != NULL)
        snprintf(out, capacity,
                 "; %s is an address: name the server, as in pops://USER@pop.example.org", shown);
    else
        snprintf(out, capacity, "; try pops://USER@%s", shown);
}

static enum fault take_scheme(struct slice *text, bool *ret_tls_first, struct failure *ret_failure)
{
    static const struct slice pops = SLICE_LITERAL("pops://");
    static const struct slice pop3 = SLICE_LITERAL("pop3://");
    char hint[160];
    if (slice_has_prefix_nocase(*text, pops))
        *ret_tls_first = true;
    else if (slice_has_prefix_nocase(*text, pop3))
        *ret_tls_first = false;
    else {
        hint_at_source(*text, hint, sizeof(hint));
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the source must be pops://[user@]host[:port] (TLS) or "
                           "pop3://[user@]host[:port] (STLS)%s",
                           hint);
    }
    *text = slice_skip(*text, pops.len);
    return FAULT_NONE;
}

/* The last '@' splits, because the user is often an address itself. */
static enum fault take_user(struct slice *text, char **ret_user, struct failure *ret_failure)
{
    const char *at = memrchr(text->data, '@', text->len);
    if (at == NULL)
        return FAULT_NONE;
    struct slice raw = {text->data, (size_t)(at - text->data)};
    if (memchr(raw.data, ':', raw.len) != NULL)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "no password in the source, where everybody can see it: use passcmd=, "
                           "passfile= or ~/.netrc (a ':' in a user name is written %%3A)");
    char *user = malloc(raw.len + 1);
    if (user == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    if (!percent_decode(raw, user) || !url_user_is_valid(user)) {
        free(user);
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the user in the source is empty, holds a control character or a "
                           "malformed %%XX");
    }
    *ret_user = user;
    *text = slice_skip(*text, raw.len + 1);
    return FAULT_NONE;
}

static bool host_char_is_valid(char c, bool bracketed)
{
    if (bracketed)
        return hex_value(c) >= 0 || c == ':' || c == '.';
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_';
}

static bool host_is_valid(struct slice host, bool bracketed)
{
    for (size_t i = 0; i < host.len; i++) {
        if (!host_char_is_valid(host.data[i], bracketed))
            return false;
    }
    if (bracketed && memchr(host.data, ':', host.len) == NULL)
        return false;
    return host.len > 0;
}

static bool is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    }
    return true;
}

static enum fault refuse_host(struct slice host, struct failure *ret_failure)
{
    bool has_folder = memchr(host.data, '/', host.len) != NULL;
    return failure_set(ret_failure, FAULT_REFUSED,
                       "the source names no usable host: pops://user@host[:port], an IPv6 "
                       "address in [ ]%s",
                       has_folder ? "; POP3 has no folders, so no / and nothing behind it" : "");
}

/*
 * An international name (UTF-8) as it stands in DNS and in certificates, "xn--…" (RFC 5891). Here,
 * not where it is looked up, so that certificate, log, cache and ~/.netrc all have the same name.
 */
static enum fault host_to_ascii(struct slice host, char **ret_host, struct failure *ret_failure)
{
    CLEANUP_FREE char *name = strndup(host.data, host.len);
    char *ascii = NULL;
    if (name == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    int code = idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (code == IDN2_MALLOC)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    if (code != IDN2_OK)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the host in the source is no international domain name: %s",
                           idn2_strerror(code));
    *ret_host = strdup(ascii);
    idn2_free(ascii);
    return *ret_host == NULL ? failure_set(ret_failure, FAULT_MEMORY, "out of memory") : FAULT_NONE;
}

static enum fault copy_host(struct slice host, bool bracketed, char **ret_host,
                            struct failure *ret_failure)
{
    CLEANUP_FREE char *ascii = NULL;
    enum fault fault = FAULT_NONE;
    if (!bracketed && !is_ascii(host)) {
        fault = host_to_ascii(host, &ascii, ret_failure);
        /* Some characters, such as "℀", become several, among them what no host may hold. */
        host = slice_from_string(ascii == NULL ? "" : ascii);
    }
    if (fault != FAULT_NONE)
        return fault;
    if (!host_is_valid(host, bracketed))
        return refuse_host(host, ret_failure);
    *ret_host = strndup(host.data, host.len);
    /* DNS knows no case, and one account must not have two caches. */
    for (char *c = *ret_host; c != NULL && *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return *ret_host == NULL ? failure_set(ret_failure, FAULT_MEMORY, "out of memory") : FAULT_NONE;
}

/* Takes the host off the front of *text; what stays is empty or begins with what follows the host.
 */
static bool take_host(struct slice *text, struct slice *ret_host, bool *ret_bracketed)
{
    bool bracketed = text->len > 0 && text->data[0] == '[';
    if (bracketed)
        *text = slice_skip(*text, 1);
    const char *end = text->len > 0 ? memchr(text->data, bracketed ? ']' : ':', text->len) : NULL;
    if (end == NULL && bracketed)
        return false;
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    *ret_host = (struct slice){text->data, len};
    *text = slice_skip(*text, bracketed ? len + 1 : len);
    *ret_bracketed = bracketed;
    return true;
}

static enum fault take_host_and_port(struct slice text, struct url *url,
                                     struct failure *ret_failure)
{
    struct slice host;
    bool bracketed;
    uint64_t port = 0;
    if (!take_host(&text, &host, &bracketed))
        return refuse_host(text, ret_failure);
    enum fault fault = copy_host(host, bracketed, &url->host, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    if (text.len > 0 && (text.data[0] != ':' ||
                         !slice_to_number(slice_skip(text, 1), UINT16_MAX, &port) || port == 0))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "after the host in the source only ':' and a port from 1 to 65535 may "
                           "follow, such as :995");
    url->port = (uint16_t)port;
    return FAULT_NONE;
}

enum fault url_parse(const char *text, struct url *ret_url, struct failure *ret_failure)
{
    struct slice rest = slice_from_string(text);
    struct url url = {0};
    enum fault fault = take_scheme(&rest, &url.tls_first, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    if (rest.len > 0 && rest.data[rest.len - 1] == '/')
        rest.len--;
    fault = take_user(&rest, &url.user, ret_failure);
    if (fault == FAULT_NONE)
        fault = take_host_and_port(rest, &url, ret_failure);
    if (fault != FAULT_NONE) {
        url_done(&url);
        return fault;
    }
    *ret_url = url;
    return FAULT_NONE;
}

void url_done(struct url *url)
{
    free(url->user);
    free(url->host);
    *url = (struct url){0};
}
