/* SPDX-License-Identifier: MIT */
/* Nothing learnt in clear outlives STLS, and no refusal makes popfs say a password in a weaker way.
 */
#include "login.h"

#include "capability.h"

#include <stdio.h>

void pop3_login_init(struct pop3_login *login, const struct pop3_options *options,
                     struct pop3_veil *veil)
{
    *login = (struct pop3_login){
        .options = *options,
        .veil = veil,
        .step = POP3_LOGIN_GREETING,
        .tls = options->security == POP3_SECURITY_TLS,
    };
    if (options->user == NULL)
        login->options.user = "";
    if (options->password == NULL)
        login->options.password = "";
}

void pop3_login_done(struct pop3_login *login)
{
    pop3_sasl_free(login->sasl);
    login->sasl = NULL;
    buffer_done(&login->stamp);
    secret_wipe(login->digest, sizeof(login->digest));
    login->line = (struct pop3_login_line){0};
    login->options.user = NULL;
    login->options.password = NULL;
    login->options.host = NULL;
}

/* ---- verdicts ---- */

static enum pop3_login_verdict login_fail(struct pop3_login *login, enum fault fault,
                                          const char *text)
{
    failure_set(&login->failure, fault, "%s", text);
    return POP3_LOGIN_FAILED;
}

/* `what` the server did, and its own words for it. */
static enum pop3_login_verdict login_fail_with(struct pop3_login *login, enum fault fault,
                                               const char *what, const struct pop3_reply *reply)
{
    char said[FAILURE_TEXT_OCTETS];
    pop3_veil_escape(login->veil, reply->text, said, sizeof(said));
    if (said[0] == '\0')
        snprintf(said, sizeof(said), "-ERR");
    failure_set(&login->failure, fault, "%s: %s", what, said);
    login->code = reply->code;
    return POP3_LOGIN_FAILED;
}

/* Or has proven one; so only from here on may a refusal be about the password. */
static bool login_has_said_secret(const struct pop3_login *login)
{
    switch (login->step) {
    case POP3_LOGIN_GREETING:
    case POP3_LOGIN_CAPA:
    case POP3_LOGIN_STLS:
    case POP3_LOGIN_HANDSHAKE:
    case POP3_LOGIN_UTF8:
    case POP3_LOGIN_USER:
        return false;
    case POP3_LOGIN_SASL:
    case POP3_LOGIN_SASL_ABORT:
        return login->response_count >= login->mechanism->secret_at;
    case POP3_LOGIN_PASS:
    case POP3_LOGIN_APOP:
    case POP3_LOGIN_CAPA_LAST:
        break;
    }
    return true;
}

enum fault pop3_login_outage(const struct pop3_login *login, const struct pop3_reply *reply,
                             enum fault codeless)
{
    enum fault fault = pop3_reply_fault(reply, codeless);
    bool nothing_said =
        !login_has_said_secret(login) || login->anticipation == POP3_ANTICIPATION_OPEN;
    return fault == FAULT_LOGIN && nothing_said ? FAULT_OFFLINE : fault;
}

/* What there is to choose from: under auto, a mechanism that cannot carry the password, or has
 * nothing to bind to, is no choice. */
static struct pop3_capabilities login_offer(const struct pop3_login *login)
{
    struct pop3_capabilities offer = login->capabilities;
    if (login->options.auth != POP3_AUTH_AUTO)
        return offer;
    if (login->binding.kind == NULL || (login->unbound && offer.sasl_scram_sha_256))
        offer.sasl_scram_sha_256_plus = false;
    if (pop3_sasl_can_prepare(&login->options))
        return offer;
    offer.sasl_cram_md5 = false;
    offer.sasl_scram_sha_1 = false;
    offer.sasl_scram_sha_256 = false;
    offer.sasl_scram_sha_256_plus = false;
    return offer;
}

static void login_note_refusal(struct pop3_login *login)
{
    const struct pop3_capabilities offer = login_offer(login);
    login->refused = true;
    login->other = POP3_AUTH_AUTO;
    if (login->mechanism->bearer == POP3_BEARER_NONE)
        (void)pop3_mechanism_next(login->chosen, &offer, login->stamp.len > 0, login->tls,
                                  &login->other);
}

static enum pop3_login_verdict login_refused(struct pop3_login *login,
                                             const struct pop3_reply *reply)
{
    char what[FAILURE_TEXT_OCTETS];
    const char *complaint = login->sasl == NULL ? "" : pop3_sasl_complaint(login->sasl);
    login_note_refusal(login);
    snprintf(what, sizeof(what), "the server refused the %s%s%s",
             complaint[0] == '\0' ? "login" : "token (", complaint,
             complaint[0] == '\0' ? "" : ")");
    return login_fail_with(login, pop3_login_outage(login, reply, FAULT_LOGIN), what, reply);
}

static void line_add(struct pop3_login_line *line, struct slice part)
{
    line->parts[line->count++] = part;
}

static void line_add_shown(struct pop3_login_line *line, const char *part)
{
    line_add(line, slice_from_string(part));
    line->shown_count = line->count;
}

static void login_line(struct pop3_login *login, enum pop3_command command)
{
    login->line = (struct pop3_login_line){.command = command};
    line_add_shown(&login->line, pop3_command_name(command));
}

static enum pop3_login_verdict login_send(struct pop3_login *login, enum pop3_login_step step,
                                          enum pop3_command command)
{
    login->step = step;
    login_line(login, command);
    return POP3_LOGIN_SEND;
}

static size_t line_octets(const struct pop3_login_line *line)
{
    size_t octets = 2;
    for (size_t i = 0; i < line->count; i++)
        octets += line->parts[i].len;
    return octets;
}

/* ---- USER, APOP, SASL ---- */

static enum pop3_login_verdict login_user(struct pop3_login *login)
{
    login_send(login, POP3_LOGIN_USER, POP3_USER);
    line_add_shown(&login->line, " ");
    line_add_shown(&login->line, login->options.user);
    if (line_octets(&login->line) > POP3_COMMAND_OCTETS_MAX)
        return login_fail(login, FAULT_OFFLINE, "the user name is too long for POP3");
    return POP3_LOGIN_SEND;
}

static enum pop3_login_verdict login_pass(struct pop3_login *login)
{
    /* Longer than RFC 2449 allows if the password is: many servers take it, and no other way is
     * left. */
    login_send(login, POP3_LOGIN_PASS, POP3_PASS);
    line_add_shown(&login->line, " ");
    line_add(&login->line, slice_from_string(login->options.password));
    return POP3_LOGIN_SEND;
}

static enum pop3_login_verdict login_apop(struct pop3_login *login)
{
    struct slice password = slice_from_string(login->options.password);
    if (!digest_md5_hex(buffer_slice(&login->stamp), password, login->digest))
        return login_fail(login, FAULT_MEMORY, "MD5, which APOP needs, cannot be computed here");
    login_send(login, POP3_LOGIN_APOP, POP3_APOP);
    line_add_shown(&login->line, " ");
    line_add_shown(&login->line, login->options.user);
    line_add_shown(&login->line, " ");
    line_add(&login->line, slice_from_string(login->digest));
    if (line_octets(&login->line) > POP3_COMMAND_OCTETS_MAX)
        return login_fail(login, FAULT_OFFLINE, "the user name is too long for POP3");
    return POP3_LOGIN_SEND;
}

static enum pop3_login_verdict login_sasl_abort(struct pop3_login *login)
{
    if (login->failure.fault == FAULT_MEMORY)
        return POP3_LOGIN_FAILED;
    login->step = POP3_LOGIN_SASL_ABORT;
    login->line = (struct pop3_login_line){.command = POP3_AUTH, .continues = true};
    line_add_shown(&login->line, "*");
    return POP3_LOGIN_SEND;
}

static enum pop3_login_verdict login_sasl_start(struct pop3_login *login)
{
    if (pop3_sasl_new(login->mechanism, &login->options, &login->binding, login->veil, &login->sasl,
                      &login->failure) != FAULT_NONE)
        return POP3_LOGIN_FAILED;
    login_send(login, POP3_LOGIN_SASL, POP3_AUTH);
    login->response_count = 0;
    line_add_shown(&login->line, " ");
    line_add_shown(&login->line, login->mechanism->name);
    if (!login->mechanism->client_first)
        return POP3_LOGIN_SEND;
    if (pop3_sasl_step(login->sasl, (struct slice){NULL, 0}, &login->response, &login->failure) !=
        FAULT_NONE)
        return POP3_LOGIN_FAILED;
    struct pop3_login_line longer = login->line;
    line_add_shown(&longer, " ");
    /* RFC 5034, 4: an empty response is written so where none would mean "not yet". */
    line_add(&longer, login->response.len > 0 ? login->response : SLICE_LITERAL("="));
    login->response_held =
        login->mechanism->two_steps || line_octets(&longer) > POP3_COMMAND_OCTETS_MAX;
    login->response_count = !login->response_held;
    if (!login->response_held)
        login->line = longer;
    return POP3_LOGIN_SEND;
}

static enum pop3_login_verdict login_sasl_respond(struct pop3_login *login, struct slice challenge)
{
    if (!login->response_held &&
        pop3_sasl_step(login->sasl, challenge, &login->response, &login->failure) != FAULT_NONE) {
        if (login->failure.fault == FAULT_LOGIN || login->failure.fault == FAULT_OFFLINE)
            login_note_refusal(login);
        return login_sasl_abort(login);
    }
    login->response_held = false;
    login->response_count++;
    login->line = (struct pop3_login_line){.command = POP3_AUTH, .continues = true};
    line_add(&login->line, login->response);
    return POP3_LOGIN_SEND;
}

/* A server may offer less for a while, one of several backends may offer less always: an outage. */
static enum pop3_login_verdict login_nothing_to_choose(struct pop3_login *login)
{
    const struct pop3_capabilities *set = &login->capabilities;
    enum pop3_auth wanted = login->options.auth;
    if (wanted == POP3_AUTH_AUTO && (set->sasl_xoauth2 || set->sasl_oauthbearer))
        return login_fail(login, FAULT_OFFLINE,
                          set->sasl_xoauth2
                              ? "the server wants an access token: auth=xoauth2 and passcmd="
                              : "the server wants an access token: auth=oauthbearer and passcmd=");
    if (wanted == POP3_AUTH_AUTO)
        return login_fail(login, FAULT_OFFLINE,
                          "the server offers no login that popfs can do (try auth=)");
    failure_set(&login->failure, FAULT_OFFLINE, "the server does not offer auth=%s%s",
                pop3_mechanism(wanted)->word,
                wanted == POP3_AUTH_APOP ? ": its greeting holds no time stamp" : "");
    return POP3_LOGIN_FAILED;
}

static bool login_choose(const struct pop3_login *login, enum pop3_auth *ret_auth)
{
    const struct pop3_capabilities offer = login_offer(login);
    return pop3_mechanism_choose(login->options.auth, &offer, login->stamp.len > 0, login->tls,
                                 ret_auth);
}

static enum pop3_login_verdict login_begin(struct pop3_login *login, enum pop3_auth auth)
{
    login->chosen = auth;
    login->mechanism = pop3_mechanism(auth);
    if (login->mechanism->binds && login->binding.kind == NULL)
        return login_fail(login, FAULT_OFFLINE,
                          login->tls ? "this TLS connection has nothing that a login could be "
                                       "bound to; try auth=scram-sha-256"
                                     : "without TLS there is nothing that a login could be bound "
                                       "to; try auth=scram-sha-256");
    if (auth == POP3_AUTH_APOP)
        return login_apop(login);
    return login->mechanism->sasl ? login_sasl_start(login) : login_user(login);
}

/* RFC 6856 has it before login; courier leaves 8-bit headers alone only after it, in clear, too. */
static bool login_says_utf8(const struct pop3_login *login)
{
    return login->capabilities.utf8;
}

static enum pop3_login_verdict login_authenticate(struct pop3_login *login)
{
    enum pop3_auth auth;
    if (!login_choose(login, &auth))
        return login_nothing_to_choose(login);
    login->repeatable = login->capabilities.pipelining && !login_says_utf8(login);
    return login_begin(login, auth);
}

/* ---- the login that is begun together with CAPA ---- */

static bool login_can_anticipate(const struct pop3_login *login)
{
    enum pop3_auth expected = login->expected;
    const struct pop3_mechanism *mechanism = pop3_mechanism(expected);
    if (expected == POP3_AUTH_AUTO ||
        (login->options.auth != POP3_AUTH_AUTO && login->options.auth != expected))
        return false;
    if (login->options.security == POP3_SECURITY_STLS && !login->tls)
        return false;
    /* Something that hides the password better may be offered by now. */
    if (login->options.auth == POP3_AUTH_AUTO && !login->tls)
        return false;
    return (!mechanism->binds || login->binding.kind != NULL) &&
           (!mechanism->prepares || pop3_sasl_can_prepare(&login->options)) &&
           (expected != POP3_AUTH_APOP || login->stamp.len > 0);
}

enum pop3_login_verdict pop3_login_go_on(struct pop3_login *login)
{
    login->anticipation = POP3_ANTICIPATION_OPEN;
    return login_begin(login, login->expected);
}

/* CAPA was answered, and the login that it would have led to has begun. */
static enum pop3_login_verdict login_compare(struct pop3_login *login)
{
    enum pop3_auth auth;
    if (login_says_utf8(login) || !login_choose(login, &auth) || auth != login->chosen) {
        login->anticipation = POP3_ANTICIPATION_WRONG;
        return login_fail(login, FAULT_OFFLINE,
                          "the server offers other logins than in the last session");
    }
    login->anticipation = POP3_ANTICIPATION_RIGHT;
    login->repeatable = login->capabilities.pipelining;
    return POP3_LOGIN_WAIT;
}

static enum pop3_login_verdict login_capa(struct pop3_login *login)
{
    login_send(login, POP3_LOGIN_CAPA, POP3_CAPA);
    return login_can_anticipate(login) ? POP3_LOGIN_SEND_ON : POP3_LOGIN_SEND;
}

/* ---- capabilities and TLS ---- */

static enum pop3_login_verdict login_after_capa(struct pop3_login *login)
{
    const struct pop3_capabilities *set = &login->capabilities;
    if (login->anticipation == POP3_ANTICIPATION_OPEN)
        return login_compare(login);
    if (login->options.security == POP3_SECURITY_STLS && !login->tls) {
        if (set->known && !set->stls)
            return login_fail(login, FAULT_UNTRUSTED,
                              "the server does not offer STLS, so the password was not sent");
        return login_send(login, POP3_LOGIN_STLS, POP3_STLS);
    }
    if (login_says_utf8(login))
        return login_send(login, POP3_LOGIN_UTF8, POP3_UTF8);
    return login_authenticate(login);
}

static bool code_ends_session(enum pop3_code code)
{
    return code != POP3_CODE_NONE && code != POP3_CODE_OTHER && code != POP3_CODE_UTF8;
}

/* CAPA was answered with -ERR. */
static enum pop3_login_verdict login_hear_capa(struct pop3_login *login,
                                               const struct pop3_reply *reply)
{
    /* Dovecot can follow +OK to PASS with an -ERR that nobody asked for; it looks like CAPA's
     * answer. */
    if (code_ends_session(reply->code))
        return login_fail_with(login, pop3_login_outage(login, reply, FAULT_OFFLINE),
                               "the server ended the session", reply);
    if (login->step == POP3_LOGIN_CAPA_LAST) {
        if (login->assumes_pipelining)
            login->capabilities = login->offered;
        /* Only what is offered after login may be pipelined. */
        login->capabilities.pipelining = false;
        return POP3_LOGIN_FINISHED;
    }
    pop3_capability_assume(&login->capabilities);
    return login_after_capa(login);
}

enum pop3_login_verdict pop3_login_learn(struct pop3_login *login,
                                         const struct pop3_capabilities *set)
{
    login->capabilities = *set;
    return login->step == POP3_LOGIN_CAPA_LAST ? POP3_LOGIN_FINISHED : login_after_capa(login);
}

enum pop3_login_verdict pop3_login_secured(struct pop3_login *login)
{
    login->tls = true;
    login->stamp.len = 0;
    login->capabilities = (struct pop3_capabilities){0};
    return login_capa(login);
}

/* ---- what the server says ---- */

static enum pop3_login_verdict login_hear_greeting(struct pop3_login *login,
                                                   const struct pop3_reply *reply)
{
    if (reply->kind != POP3_REPLY_OK)
        return login_fail_with(login, pop3_login_outage(login, reply, FAULT_OFFLINE),
                               "the server refused the connection", reply);
    if (!buffer_append(&login->stamp, pop3_reply_stamp(reply->text)))
        return login_fail(login, FAULT_MEMORY, "out of memory");
    return login_capa(login);
}

static enum pop3_login_verdict login_hear_stls(struct pop3_login *login,
                                               const struct pop3_reply *reply)
{
    bool for_now = reply->code == POP3_CODE_SYS_TEMP || reply->code == POP3_CODE_IN_USE;
    if (reply->kind != POP3_REPLY_OK)
        return login_fail_with(login, for_now ? FAULT_BUSY : FAULT_UNTRUSTED,
                               "the server refused STLS, so the password was not sent", reply);
    login->step = POP3_LOGIN_HANDSHAKE;
    return POP3_LOGIN_SECURE;
}

static enum pop3_login_verdict login_accepted(struct pop3_login *login)
{
    pop3_sasl_free(login->sasl);
    login->sasl = NULL;
    login_send(login, POP3_LOGIN_CAPA_LAST, POP3_CAPA);
    if (!login->assumes_pipelining)
        return POP3_LOGIN_SEND;
    login->offered = login->capabilities;
    login->capabilities.known = true;
    login->capabilities.pipelining = true;
    login->capabilities.top = true;
    login->capabilities.uidl = true;
    return POP3_LOGIN_ENTER;
}

/* ---- giving up the binding ---- */

enum pop3_binding_state pop3_login_binding(const struct pop3_login *login)
{
    if (login->mechanism == NULL || login->options.auth != POP3_AUTH_AUTO)
        return POP3_BINDING_OF_NO_MATTER;
    if (login->unbound && login->chosen == POP3_AUTH_SCRAM_SHA_256)
        return login->binding_refused ? POP3_BINDING_REFUSED : POP3_BINDING_FORGONE;
    if (login->mechanism->binds && !login_has_said_secret(login) &&
        login->capabilities.sasl_scram_sha_256)
        return POP3_BINDING_OPEN;
    return POP3_BINDING_OF_NO_MATTER;
}

/*
 * Cyrus lists -PLUS and refuses tls-exporter. The form without it follows as long as nothing was
 * proven: a proof that is refused counts towards a lockout, and is never followed by another try.
 * It says "n" and not "y": "y" claims that the server has no -PLUS, and one that has it must refuse
 * that (RFC 5802, 6). Nothing is lost to an attacker: whoever could have -PLUS refused inside a TLS
 * connection that was verified could as well take it off the list.
 */
static bool login_may_unbind(const struct pop3_login *login, const struct pop3_reply *reply)
{
    return reply->kind == POP3_REPLY_ERR && pop3_login_binding(login) == POP3_BINDING_OPEN &&
           pop3_reply_fault(reply, FAULT_LOGIN) == FAULT_LOGIN && reply->code != POP3_CODE_SYS_PERM;
}

static enum pop3_login_verdict login_unbind(struct pop3_login *login)
{
    pop3_sasl_free(login->sasl);
    login->sasl = NULL;
    login->failure = (struct failure){0};
    login->refused = false;
    login->unbound = true;
    login->binding_refused = true;
    return login_begin(login, POP3_AUTH_SCRAM_SHA_256);
}

static enum pop3_login_verdict login_hear_sasl(struct pop3_login *login,
                                               const struct pop3_reply *reply)
{
    if (login_may_unbind(login, reply))
        return login_unbind(login);
    if (reply->kind == POP3_REPLY_ERR)
        return login_refused(login, reply);
    if (reply->kind == POP3_REPLY_CHALLENGE)
        return login_sasl_respond(login, reply->text);
    /* Some servers write +OK where RFC 5034 has an empty challenge. */
    if (login->response_held || pop3_sasl_wants_empty_challenge(login->sasl))
        return login_sasl_respond(login, (struct slice){NULL, 0});
    if (pop3_sasl_is_complete(login->sasl))
        return login_accepted(login);
    if (pop3_sasl_complaint(login->sasl)[0] != '\0')
        return login_fail(login, FAULT_GARBLED,
                          "the server complained about the token and then said +OK");
    if (login->mechanism->proves_server)
        return login_fail(login, FAULT_UNTRUSTED,
                          "the server did not prove that it knows the password");
    return login_fail(login, FAULT_GARBLED, "the server said +OK before it asked for the password");
}

enum pop3_login_verdict pop3_login_hear(struct pop3_login *login, const struct pop3_reply *reply)
{
    bool ok = reply->kind == POP3_REPLY_OK;
    if (login->anticipation == POP3_ANTICIPATION_OPEN)
        return login_hear_capa(login, reply);
    if (login->anticipation == POP3_ANTICIPATION_RIGHT && reply->kind != POP3_REPLY_ERR)
        login->anticipation = POP3_ANTICIPATION_PROVEN;
    switch (login->step) {
    case POP3_LOGIN_GREETING:
        return login_hear_greeting(login, reply);
    case POP3_LOGIN_CAPA:
    case POP3_LOGIN_CAPA_LAST:
        return login_hear_capa(login, reply);
    case POP3_LOGIN_STLS:
        return login_hear_stls(login, reply);
    case POP3_LOGIN_UTF8:
        return login_authenticate(login);
    case POP3_LOGIN_USER:
        return ok ? login_pass(login) : login_refused(login, reply);
    case POP3_LOGIN_PASS:
    case POP3_LOGIN_APOP:
        return ok ? login_accepted(login) : login_refused(login, reply);
    case POP3_LOGIN_SASL:
        return login_hear_sasl(login, reply);
    case POP3_LOGIN_SASL_ABORT: /* why is known already */
        if (login->failure.fault == FAULT_OFFLINE && login_may_unbind(login, reply))
            return login_unbind(login);
        login->code = reply->code;
        break;
    case POP3_LOGIN_HANDSHAKE:
        break;
    }
    return POP3_LOGIN_FAILED;
}
