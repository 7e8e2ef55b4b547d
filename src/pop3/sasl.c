/* SPDX-License-Identifier: MIT */
/* The strings that libgsasl gives and keeps are wiped before it frees them, which it does not do
 * itself. */
#include "sasl.h"

#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

struct pop3_sasl {
    const struct pop3_mechanism *mechanism;
    Gsasl *library;
    Gsasl_session *session;
    char *response; /* libgsasl's, the last one */
    unsigned step_count;
    bool complete;
};

static void wipe_response(struct pop3_sasl *sasl)
{
    if (sasl->response == NULL)
        return;
    secret_wipe(sasl->response, strlen(sasl->response));
    gsasl_free(sasl->response);
    sasl->response = NULL;
}

/* libgsasl keeps its own copy of the password and gives it out as const; the memory is the heap's.
 */
static void wipe_password(Gsasl_session *session)
{
    const char *copy = gsasl_property_fast(session, GSASL_PASSWORD);
    if (copy != NULL)
        secret_wipe((void *)(uintptr_t)copy, strlen(copy));
}

void pop3_sasl_free(struct pop3_sasl *sasl)
{
    if (sasl == NULL)
        return;
    wipe_response(sasl);
    if (sasl->session != NULL) {
        wipe_password(sasl->session);
        gsasl_finish(sasl->session);
    }
    if (sasl->library != NULL)
        gsasl_done(sasl->library);
    free(sasl);
}

static bool can_prepare(const char *text, Gsasl_saslprep_flags flags)
{
    char *prepared = NULL;
    if (gsasl_saslprep(text, flags, &prepared, NULL) != GSASL_OK)
        return false;
    secret_wipe(prepared, strlen(prepared));
    gsasl_free(prepared);
    return true;
}

bool pop3_sasl_can_prepare(const struct pop3_options *options)
{
    /* With and without unassigned code points: the mechanisms of libgsasl do not agree on which. */
    return can_prepare(options->user, 0) && can_prepare(options->user, GSASL_ALLOW_UNASSIGNED) &&
           can_prepare(options->password, 0) &&
           can_prepare(options->password, GSASL_ALLOW_UNASSIGNED);
}

static enum fault start_failure(const struct pop3_mechanism *mechanism, int code,
                                struct failure *ret_failure)
{
    if (code == GSASL_MALLOC_ERROR)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return failure_set(ret_failure, FAULT_LOGIN, "cannot log in with %s here: %s", mechanism->name,
                       gsasl_strerror(code));
}

static int sasl_start(struct pop3_sasl *sasl, const struct pop3_options *options)
{
    int code = gsasl_init(&sasl->library);
    if (code != GSASL_OK) {
        sasl->library = NULL;
        return code;
    }
    code = gsasl_client_start(sasl->library, sasl->mechanism->name, &sasl->session);
    if (code != GSASL_OK) {
        sasl->session = NULL;
        return code;
    }
    const struct {
        Gsasl_property property;
        const char *value;
    } properties[] = {
        {GSASL_AUTHID, options->user},
        {GSASL_PASSWORD, options->password},
        {GSASL_SERVICE, "pop"},
        {GSASL_HOSTNAME, options->host},
    };
    for (size_t i = 0; i < 4 && code == GSASL_OK; i++)
        code = gsasl_property_set(sasl->session, properties[i].property, properties[i].value);
    return code;
}

enum fault pop3_sasl_new(const struct pop3_mechanism *mechanism, const struct pop3_options *options,
                         struct pop3_sasl **ret_sasl, struct failure *ret_failure)
{
    /* Asked first, because libgsasl leaks the challenge when it finds out later. */
    if (mechanism->prepares && !pop3_sasl_can_prepare(options))
        return failure_set(ret_failure, FAULT_LOGIN,
                           "%s cannot carry this user name or password: SASLprep forbids a "
                           "character of it; try auth=plain or auth=user",
                           mechanism->name);
    struct pop3_sasl *sasl = calloc(1, sizeof(*sasl));
    if (sasl == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    sasl->mechanism = mechanism;
    int code = sasl_start(sasl, options);
    if (code != GSASL_OK) {
        pop3_sasl_free(sasl);
        return start_failure(mechanism, code, ret_failure);
    }
    *ret_sasl = sasl;
    return FAULT_NONE;
}

bool pop3_sasl_is_complete(const struct pop3_sasl *sasl)
{
    return sasl->complete;
}

bool pop3_sasl_wants_empty_challenge(const struct pop3_sasl *sasl)
{
    if (sasl->complete)
        return false;
    return sasl->mechanism->any_challenge ||
           (sasl->mechanism->client_first && sasl->step_count == 0);
}

/* The iteration count of SCRAM's server-first message, "r=…,s=…,i=4096" (RFC 5802, 5.1). */
static bool iterations_are_bearable(const char *message, size_t octets)
{
    const char *field = memmem(message, octets, ",i=", 3);
    if (field == NULL)
        return true;
    struct slice digits =
        slice_skip((struct slice){message, octets}, (size_t)(field - message) + 3);
    size_t len = 0;
    while (len < digits.len && digits.data[len] != ',')
        len++;
    uint64_t count;
    return slice_to_number((struct slice){digits.data, len}, POP3_SCRAM_ITERATIONS_MAX, &count);
}

/* libgsasl computes as long as the server wishes, and nothing could interrupt it. */
static bool challenge_is_bearable(const struct pop3_sasl *sasl, struct slice challenge)
{
    char *message = NULL;
    size_t octets = 0;
    if (!sasl->mechanism->proves_server ||
        gsasl_base64_from(challenge.data, challenge.len, &message, &octets) != GSASL_OK)
        return true;
    bool bearable = iterations_are_bearable(message, octets);
    gsasl_free(message);
    return bearable;
}

static enum fault step_failure(const struct pop3_sasl *sasl, int code, struct failure *ret_failure)
{
    const char *name = sasl->mechanism->name;
    if (code == GSASL_MALLOC_ERROR)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    if (sasl->mechanism->proves_server && sasl->step_count == 2)
        return failure_set(ret_failure, FAULT_UNTRUSTED,
                           "the server did not prove that it knows the password (%s)", name);
    return failure_set(ret_failure, FAULT_GARBLED, "the server's %s challenge makes no sense: %s",
                       name, gsasl_strerror(code));
}

enum fault pop3_sasl_step(struct pop3_sasl *sasl, struct slice challenge,
                          struct slice *ret_response, struct failure *ret_failure)
{
    wipe_response(sasl);
    if (sasl->step_count >= POP3_CHALLENGES_MAX || !challenge_is_bearable(sasl, challenge))
        return failure_set(ret_failure, FAULT_GARBLED, "the server's %s challenges ask too much",
                           sasl->mechanism->name);
    if (pop3_sasl_wants_empty_challenge(sasl))
        challenge.len = 0;
    CLEANUP_FREE char *input = strndup(challenge.len > 0 ? challenge.data : "", challenge.len);
    if (input == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    int code = gsasl_step64(sasl->session, input, &sasl->response);
    if (code != GSASL_OK && code != GSASL_NEEDS_MORE) {
        sasl->response = NULL;
        return step_failure(sasl, code, ret_failure);
    }
    sasl->step_count++;
    sasl->complete = code == GSASL_OK;
    *ret_response = slice_from_string(sasl->response == NULL ? "" : sasl->response);
    return FAULT_NONE;
}
