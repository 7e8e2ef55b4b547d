/* SPDX-License-Identifier: MIT */
/* The strings that libgsasl gives and keeps are wiped before it frees them, which it does not do
 * itself. */
#include "sasl.h"

#include "bearer.h"

#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

enum { COMPLAINT_OCTETS = 200 };

struct pop3_sasl {
    const struct pop3_mechanism *mechanism;
    struct pop3_veil *veil;
    Gsasl *library;
    Gsasl_session *session;
    char *message;  /* of a token, until it is said */
    char *response; /* libgsasl's, the last one */
    unsigned step_count;
    bool complete;
    char complaint[COMPLAINT_OCTETS];
};

static void wipe(char **text)
{
    if (*text == NULL)
        return;
    secret_wipe(*text, strlen(*text));
    gsasl_free(*text);
    *text = NULL;
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
    wipe(&sasl->message);
    wipe(&sasl->response);
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

/*
 * libgsasl 2.2 has a flaw: given a binding for a mechanism that does not bind, it makes a message
 * that it then refuses itself. So SCRAM without -PLUS says "n", never "y" (which would be wrong
 * anyway after a refused -PLUS), and whoever wants to be sure that nobody took -PLUS off the
 * server's list asks for it with auth=.
 */
static int set_binding(const struct pop3_sasl *sasl, const struct pop3_binding *binding)
{
    char *base64 = NULL;
    if (!sasl->mechanism->binds)
        return GSASL_OK;
    Gsasl_property property =
        strcmp(binding->kind, "tls-exporter") == 0 ? GSASL_CB_TLS_EXPORTER : GSASL_CB_TLS_UNIQUE;
    int code = gsasl_base64_to((const char *)binding->data, binding->octets, &base64, NULL);
    if (code == GSASL_OK)
        code = gsasl_property_set(sasl->session, property, base64);
    gsasl_free(base64);
    return code;
}

static int sasl_start(struct pop3_sasl *sasl, const struct pop3_options *options,
                      const struct pop3_binding *binding)
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
        {sasl->mechanism->vouched ? GSASL_AUTHZID : GSASL_AUTHID, options->user},
        {GSASL_PASSWORD, options->password},
        {GSASL_SERVICE, "pop"},
        {GSASL_HOSTNAME, options->host},
    };
    for (size_t i = 0; i < 4 && code == GSASL_OK; i++)
        code = gsasl_property_set(sasl->session, properties[i].property, properties[i].value);
    return code == GSASL_OK ? set_binding(sasl, binding) : code;
}

static int bearer_start(struct pop3_sasl *sasl, const struct pop3_options *options)
{
    sasl->message = pop3_bearer_message(sasl->mechanism->bearer, options);
    return sasl->message == NULL ? GSASL_MALLOC_ERROR : GSASL_OK;
}

static enum fault check_password(const struct pop3_mechanism *mechanism,
                                 const struct pop3_options *options, struct failure *ret_failure)
{
    if (mechanism->bearer != POP3_BEARER_NONE && !pop3_bearer_is_token(options->password))
        return failure_set(ret_failure, FAULT_LOGIN,
                           "%s wants an access token for a password, and no token is empty or "
                           "holds blanks or 8-bit characters",
                           mechanism->name);
    /* Asked first, because libgsasl leaks the challenge when it finds out later. */
    if (mechanism->prepares && !pop3_sasl_can_prepare(options))
        return failure_set(ret_failure, FAULT_LOGIN,
                           "%s cannot carry this user name or password: SASLprep forbids a "
                           "character of it; try auth=plain or auth=user",
                           mechanism->name);
    return FAULT_NONE;
}

enum fault pop3_sasl_new(const struct pop3_mechanism *mechanism, const struct pop3_options *options,
                         const struct pop3_binding *binding, struct pop3_veil *veil,
                         struct pop3_sasl **ret_sasl, struct failure *ret_failure)
{
    enum fault fault = check_password(mechanism, options, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    struct pop3_sasl *sasl = calloc(1, sizeof(*sasl));
    if (sasl == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    sasl->mechanism = mechanism;
    sasl->veil = veil;
    int code = mechanism->bearer != POP3_BEARER_NONE ? bearer_start(sasl, options)
                                                     : sasl_start(sasl, options, binding);
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

const char *pop3_sasl_complaint(const struct pop3_sasl *sasl)
{
    return sasl->complaint;
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

/* What a challenge holds, escaped, without a token that it repeats: its own octets where they are
 * not base64. */
static void challenge_show(const struct pop3_sasl *sasl, struct slice challenge, char *out,
                           size_t capacity)
{
    char *message = NULL;
    size_t octets = 0;
    if (challenge.len == 0 ||
        gsasl_base64_from(challenge.data, challenge.len, &message, &octets) != GSASL_OK) {
        pop3_veil_escape(sasl->veil, challenge, out, capacity);
        return;
    }
    pop3_veil_escape(sasl->veil, (struct slice){message, octets}, out, capacity);
    secret_wipe(message, octets);
    gsasl_free(message);
}

/* RFC 5802, 7: "e=invalid-proof" in place of the server's proof; some have it in place of the salt,
 * where nothing has been proven yet. Asked of the challenge itself: the veil may cover the "e=". */
static bool challenge_refuses(const struct pop3_sasl *sasl, struct slice challenge)
{
    char *message = NULL;
    size_t octets = 0;
    if (!sasl->mechanism->proves_server || sasl->step_count == 0 ||
        gsasl_base64_from(challenge.data, challenge.len, &message, &octets) != GSASL_OK)
        return false;
    bool refuses = octets >= 2 && memcmp(message, "e=", 2) == 0;
    secret_wipe(message, octets);
    gsasl_free(message);
    return refuses;
}

static enum fault step_failure(const struct pop3_sasl *sasl, int code, struct slice challenge,
                               struct failure *ret_failure)
{
    const char *name = sasl->mechanism->name;
    char said[COMPLAINT_OCTETS];
    if (code == GSASL_MALLOC_ERROR)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    challenge_show(sasl, challenge, said, sizeof(said));
    if (challenge_refuses(sasl, challenge))
        return failure_set(ret_failure, sasl->step_count == 1 ? FAULT_OFFLINE : FAULT_LOGIN,
                           "the server refused the login: %s",
                           said + (strncmp(said, "e=", 2) == 0 ? 2 : 0));
    if (sasl->mechanism->proves_server && sasl->step_count == 2)
        return failure_set(ret_failure, FAULT_UNTRUSTED,
                           "the server did not prove that it knows the password (%s)", name);
    return failure_set(ret_failure, FAULT_GARBLED, "the server's %s challenge makes no sense: %s",
                       name, gsasl_strerror(code));
}

static int library_step(struct pop3_sasl *sasl, struct slice challenge)
{
    CLEANUP_FREE char *input = strndup(challenge.len > 0 ? challenge.data : "", challenge.len);
    return input == NULL ? GSASL_MALLOC_ERROR : gsasl_step64(sasl->session, input, &sasl->response);
}

/* The message, and the answer to one complaint; after that +OK cannot be. */
static int bearer_step(struct pop3_sasl *sasl, struct slice challenge)
{
    if (sasl->step_count == 0) {
        sasl->response = sasl->message;
        sasl->message = NULL;
        return GSASL_OK;
    }
    if (sasl->step_count > 1)
        return GSASL_MECHANISM_CALLED_TOO_MANY_TIMES;
    challenge_show(sasl, challenge, sasl->complaint, sizeof(sasl->complaint));
    sasl->response = strdup(pop3_bearer_answer(sasl->mechanism->bearer));
    return sasl->response == NULL ? GSASL_MALLOC_ERROR : GSASL_NEEDS_MORE;
}

enum fault pop3_sasl_step(struct pop3_sasl *sasl, struct slice challenge,
                          struct slice *ret_response, struct failure *ret_failure)
{
    wipe(&sasl->response);
    if (sasl->step_count >= POP3_CHALLENGES_MAX || !challenge_is_bearable(sasl, challenge))
        return failure_set(ret_failure, FAULT_GARBLED, "the server's %s challenges ask too much",
                           sasl->mechanism->name);
    if (pop3_sasl_wants_empty_challenge(sasl))
        challenge.len = 0;
    int code = sasl->mechanism->bearer != POP3_BEARER_NONE ? bearer_step(sasl, challenge)
                                                           : library_step(sasl, challenge);
    if (code != GSASL_OK && code != GSASL_NEEDS_MORE) {
        sasl->response = NULL;
        return step_failure(sasl, code, challenge, ret_failure);
    }
    sasl->step_count++;
    sasl->complete = code == GSASL_OK;
    *ret_response = slice_from_string(sasl->response == NULL ? "" : sasl->response);
    return FAULT_NONE;
}
