/* SPDX-License-Identifier: MIT */
/*
 * Challenges to every mechanism. Input: octet 0 the mechanism, then one challenge a line, as
 * base64; a line that starts with '@' is plain, is put into base64 here, and each '@' after the
 * first stands for the nonce that the client has drawn, which no fuzzer could guess.
 *
 * Must hold: a response is one line; a server that does not know the password is never believed by
 * a mechanism that proves it; no failure tells the password, also where a challenge does; the
 * exchange has an end.
 */
#include "mechanisms.h"
#include "sasl.h"
#include "target.h"

#include <gsasl.h>
#include <string.h>

static const char password[] = "0pen-sesame";

/* "r=…" of the client's first message, out of its base64; empty if there is none. */
static void read_nonce(struct slice response, struct buffer *nonce)
{
    char *plain = NULL;
    size_t len = 0;
    if (nonce->len > 0 || gsasl_base64_from(response.data, response.len, &plain, &len) != GSASL_OK)
        return;
    const char *field = len > 0 ? memmem(plain, len, "r=", 2) : NULL;
    if (field != NULL)
        MUST(buffer_append(nonce, (struct slice){field + 2, len - (size_t)(field + 2 - plain)}));
    gsasl_free(plain);
}

/* A million rounds, which are allowed, would take a second. */
static bool takes_long(struct slice text)
{
    const char *field = text.len > 0 ? memmem(text.data, text.len, "i=", 2) : NULL;
    if (field == NULL)
        return false;
    struct slice digits = slice_skip(text, (size_t)(field - text.data) + 2);
    uint64_t count;
    size_t len = 0;
    while (len < digits.len && digits.data[len] >= '0' && digits.data[len] <= '9')
        len++;
    return !slice_to_number((struct slice){digits.data, len}, 100, &count);
}

static void make_challenge(struct slice line, struct slice nonce, struct buffer *challenge)
{
    CLEANUP_BUFFER struct buffer plain = {0};
    for (size_t i = 1; i < line.len; i++)
        MUST(buffer_append(&plain, line.data[i] == '@' ? nonce : (struct slice){line.data + i, 1}));
    char *encoded = NULL;
    size_t len = 0;
    if (plain.len == 0 || takes_long(buffer_slice(&plain)))
        return;
    MUST(gsasl_base64_to(plain.data, plain.len, &encoded, &len) == GSASL_OK);
    MUST(buffer_append(challenge, (struct slice){encoded, len}));
    gsasl_free(encoded);
}

static void check_response(struct slice response)
{
    for (size_t i = 0; i < response.len; i++)
        MUST(response.data[i] > 0x20 && response.data[i] < 0x7f);
}

static void check_failure(const struct failure *failure, enum fault fault)
{
    MUST(failure->fault == fault && failure->text[0] != '\0');
    MUST(strstr(failure->text, password) == NULL);
}

/* False: the exchange is over. */
static bool step(const struct pop3_mechanism *mechanism, struct pop3_sasl *sasl,
                 struct slice challenge, struct buffer *nonce)
{
    /* A copy of its own, so that a sanitizer sees a read past its end. */
    char *copy = malloc(challenge.len + 1);
    MUST(copy != NULL);
    if (challenge.len > 0)
        memcpy(copy, challenge.data, challenge.len);
    struct slice response = SLICE_LITERAL("kept");
    struct failure failure = {0};
    enum fault fault =
        pop3_sasl_step(sasl, (struct slice){copy, challenge.len}, &response, &failure);
    free(copy);
    if (fault != FAULT_NONE) {
        check_failure(&failure, fault);
        MUST(slice_equal(response, SLICE_LITERAL("kept")));
        return false;
    }
    MUST(strstr(pop3_sasl_complaint(sasl), password) == NULL);
    check_response(response);
    read_nonce(response, nonce);
    MUST(!mechanism->proves_server || !pop3_sasl_is_complete(sasl));
    return true;
}

static void converse(const struct pop3_mechanism *mechanism, struct pop3_sasl *sasl,
                     struct slice lines)
{
    CLEANUP_BUFFER struct buffer nonce = {0};
    unsigned steps = 0;
    for (bool more = true; more && lines.len > 0; steps++) {
        CLEANUP_BUFFER struct buffer challenge = {0};
        const char *end = memchr(lines.data, '\n', lines.len);
        struct slice line = {lines.data, end == NULL ? lines.len : (size_t)(end - lines.data)};
        lines = slice_skip(lines, end == NULL ? line.len : line.len + 1);
        if (line.len > 0 && line.data[0] == '@') {
            make_challenge(line, buffer_slice(&nonce), &challenge);
            line = buffer_slice(&challenge);
        }
        more = step(mechanism, sasl, line, &nonce);
    }
    MUST(steps <= POP3_CHALLENGES_MAX + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum pop3_auth auth;
    if (!mechanism_pick(data[0], &auth) || !pop3_mechanism(auth)->sasl)
        return 0;
    const struct pop3_options options = {
        .security = POP3_SECURITY_TLS,
        .auth = auth,
        .host = "pop.example.org",
        .user = "alice",
        .password = password,
    };
    const struct pop3_binding binding = {
        .kind = "tls-exporter", .data = "0123456789abcdef0123456789abcdef", .octets = 32};
    struct pop3_sasl *sasl = NULL;
    struct pop3_veil veil;
    MUST(pop3_veil_init(&veil, password));
    struct failure failure = {0};
    const struct pop3_mechanism *mechanism = pop3_mechanism(auth);
    enum fault fault = pop3_sasl_new(mechanism, &options, &binding, &veil, &sasl, &failure);
    if (fault == FAULT_NONE)
        converse(mechanism, sasl, (struct slice){(const char *)data + 1, size - 1});
    else
        check_failure(&failure, fault);
    pop3_sasl_free(sasl);
    pop3_veil_done(&veil);
    return 0;
}
