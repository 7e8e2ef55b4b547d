/* SPDX-License-Identifier: MIT */
/* Each message is made in one piece of memory, which is wiped: it holds the token. */
#include "bearer.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pop3_bearer_is_token(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f)
            return false;
    }
    return *text != '\0';
}

/* As a saslname (RFC 5801, 4), in which commas and equals signs are not themselves. NULL for want
 * of memory. */
static char *saslname(const char *name)
{
    char *out = malloc(3 * strlen(name) + 1);
    char *end = out;
    if (out == NULL)
        return NULL;
    for (; *name != '\0'; name++) {
        if (*name == ',' || *name == '=')
            end = stpcpy(end, *name == ',' ? "=2C" : "=3D");
        else
            *end++ = *name;
    }
    *end = '\0';
    return out;
}

/* As snprintf(3), whose result it gives. */
static int message_write(enum pop3_bearer bearer, const struct pop3_options *options,
                         const char *name, char *out, size_t capacity)
{
    if (bearer == POP3_BEARER_XOAUTH2)
        return snprintf(out, capacity, "user=%s\001auth=Bearer %s\001\001", options->user,
                        options->password);
    char port[16] = "";
    if (options->port != 0)
        snprintf(port, sizeof(port), "port=%u\001", (unsigned)options->port);
    return snprintf(out, capacity, "n,a=%s,\001host=%s\001%sauth=Bearer %s\001\001", name,
                    options->host, port, options->password);
}

char *pop3_bearer_message(enum pop3_bearer bearer, const struct pop3_options *options)
{
    CLEANUP_FREE char *name = saslname(options->user);
    if (name == NULL)
        return NULL;
    int octets = message_write(bearer, options, name, NULL, 0);
    CLEANUP_FREE char *message = octets < 0 ? NULL : malloc((size_t)octets + 1);
    if (message == NULL)
        return NULL;
    message_write(bearer, options, name, message, (size_t)octets + 1);
    char *base64 = NULL;
    if (gsasl_base64_to(message, (size_t)octets, &base64, NULL) != GSASL_OK)
        base64 = NULL;
    secret_wipe(message, (size_t)octets);
    return base64;
}

const char *pop3_bearer_answer(enum pop3_bearer bearer)
{
    /* Nothing, as Google has it; one octet of 1, as RFC 7628, 3.2.3 has it. */
    return bearer == POP3_BEARER_XOAUTH2 ? "" : "AQ==";
}
