/* SPDX-License-Identifier: MIT */
/*
 * SOURCE. Input: the text.
 *
 * Must hold: what is read can be sent and looked up; written again it is read as the same; a
 * refusal tells nothing of a source that has a ':', behind which a password may stand.
 */
#include "target.h"
#include "url.h"

#include <string.h>

static const char host_characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    "-._:";

static void check_url(const struct url *url)
{
    MUST(url->host != NULL && url->host[0] != '\0');
    MUST(strspn(url->host, host_characters) == strlen(url->host));
    MUST(url->user == NULL || url_user_is_valid(url->user));
}

/* Every octet of the user as %XX, the port always. */
static void write_url(const struct url *url, struct buffer *text)
{
    MUST(buffer_append_string(text, url->tls_first ? "pops://" : "pop3://"));
    for (const char *at = url->user; at != NULL && *at != '\0'; at++)
        MUST(buffer_printf(text, "%%%02x", (unsigned)(unsigned char)*at));
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    MUST(buffer_printf(text, "%s%s%s%s", url->user != NULL ? "@" : "", is_ipv6 ? "[" : "",
                       url->host, is_ipv6 ? "]" : ""));
    if (url->port != 0)
        MUST(buffer_printf(text, ":%u", (unsigned)url->port));
    MUST(buffer_append(text, (struct slice){"", 1}));
}

static void check_again(const struct url *url)
{
    CLEANUP_BUFFER struct buffer text = {0};
    struct url again;
    write_url(url, &text);
    MUST(url_parse(text.data, &again, NULL) == FAULT_NONE);
    MUST(again.tls_first == url->tls_first && again.port == url->port);
    MUST(strcmp(again.host, url->host) == 0);
    MUST((again.user == NULL) == (url->user == NULL));
    MUST(url->user == NULL || strcmp(again.user, url->user) == 0);
    url_done(&again);
}

/* It is one of a few. */
static void check_refusal(const struct failure *failure, enum fault fault, bool may_tell)
{
    static const char *const starts[] = {
        "the source must be ",           "no password in the source",
        "the user in the source ",       "the source names no usable host",
        "after the host in the source ", "the host in the source is no international domain name: ",
    };
    MUST(fault == FAULT_REFUSED && failure->fault == fault);
    bool known = false;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        known = known || strncmp(failure->text, starts[i], strlen(starts[i])) == 0;
    MUST(known);
    MUST(may_tell || strstr(failure->text, "0pen-sesame") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    struct url url;
    struct failure failure;
    enum fault fault = url_parse(text, &url, &failure);
    bool may_tell = strchr(text, ':') == NULL;
    free(text);
    if (fault != FAULT_NONE) {
        check_refusal(&failure, fault, may_tell);
        return 0;
    }
    check_url(&url);
    check_again(&url);
    url_done(&url);
    return 0;
}
