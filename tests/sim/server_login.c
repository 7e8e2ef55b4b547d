/* SPDX-License-Identifier: MIT */
/* From the greeting to the lock on the maildrop. */
#include "server_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- greeting and CAPA ---- */

static void write_stamp(const struct sim_session *session, char *out, size_t capacity)
{
    snprintf(out, capacity, "<%u.%lld@mx.example.org>", session->number,
             (long long)session->accepted_ms);
}

void answer_greeting(struct sim_session *session)
{
    static const char *const refusals[] = {
        "",
        "try again later",
        "[SYS/TEMP] no more processes",
        "[IN-USE] too many connections",
        "[SYS/PERM] your address is blocked",
    };
    static const char *const garbage[] = {
        "* OK IMAP4rev1 ready", "220 mx.example.org ESMTP", "+Okay", "", "SSH-2.0-x",
    };
    struct sim_random *random = fault_random(session->server, SIM_FAULT_GREETING_REFUSED);
    (void)session_trait(session, SIM_FAULT_BARE_LF);
    if (session_fault(session, SIM_FAULT_GREETING_REFUSED)) {
        answer_error(session, "%s", refusals[sim_random_below(random, 5)]);
        session_close(session);
    } else if (session_fault(session, SIM_FAULT_GREETING_GARBLED)) {
        session_put_line(session, "%s", garbage[sim_random_below(random, 5)]);
    } else if (session->server->style.has_stamp) {
        char stamp[64];
        write_stamp(session, stamp, sizeof(stamp));
        answer_ok(session, "the model server is ready %s", stamp);
    } else {
        answer_ok(session, "the model server is ready");
    }
}

/* What comes before the answer has been read is lost, if the server is like that. */
static void be_deaf(struct sim_session *session, enum sim_fault trait)
{
    if (session->server->takes_part[trait])
        session->deaf_until = session->wire_made;
}

void answer_capa(struct sim_session *session)
{
    struct sim_server *server = session->server;
    bool logged_in = session->phase == PHASE_TRANSACTION;
    if (session_trait(session, SIM_FAULT_NO_CAPA)) {
        answer_error(session, "unknown command");
        return;
    }
    answer_ok(session, "what I can do:");
    if (!session_trait(session, SIM_FAULT_NO_TOP) &&
        !session_trait(session, SIM_FAULT_CAPA_HIDES_TOP))
        session_put_line(session, "TOP");
    if (!session_trait(session, SIM_FAULT_NO_UIDL))
        session_put_line(session, "UIDL");
    session_put_line(session, "USER");
    session_put_line(session, "RESP-CODES");
    session_put_line(session, "AUTH-RESP-CODE");
    if (!session_trait(session, SIM_FAULT_NO_PIPELINING) &&
        (logged_in || !session_trait(session, SIM_FAULT_PIPELINING_LATE)))
        session_put_line(session, "PIPELINING");
    if (server->style.has_utf8 || session_trait(session, SIM_FAULT_UTF8_REFUSED))
        session_put_line(session, "UTF8");
    if (server->style.has_plain)
        session_put_line(session, "SASL PLAIN");
    if (session_trait(session, SIM_FAULT_LOGIN_DELAY))
        session_put_line(session, "LOGIN-DELAY %lld",
                         (long long)(server->style.login_delay_ms / 1000));
    session_put_line(session, "IMPLEMENTATION model");
    answer_dot(session);
    if (!logged_in)
        be_deaf(session, SIM_FAULT_DEAF_BEHIND_CAPA);
}

void answer_utf8(struct sim_session *session)
{
    if (session_trait(session, SIM_FAULT_UTF8_REFUSED) || !session->server->style.has_utf8) {
        answer_error(session, "unknown command");
        return;
    }
    session->is_utf8 = true;
    answer_ok(session, "UTF8 it is");
}

/* ---- credentials ---- */

void answer_user(struct sim_session *session)
{
    session->has_user = true;
    answer_ok(session, "and the password?");
}

struct refusal {
    enum sim_fault fault;
    const char *text;
};

static const struct refusal refusals[] = {
    {SIM_FAULT_LOGIN_TEMP, "[SYS/TEMP] the password database is away"},
    {SIM_FAULT_LOGIN_PERM, "[SYS/PERM] the maildrop is disabled"},
    {SIM_FAULT_LOGIN_IN_USE, "[IN-USE] too many sessions"},
    {SIM_FAULT_LOGIN_LOCKED, "cannot lock the maildrop"},
    {SIM_FAULT_LOGIN_AUTH, "[AUTH] authentication failed"},
    {SIM_FAULT_LOGIN_REFUSED, "access denied"},
};

/* True where the login is refused whatever the password is. `said` is the command. */
static bool refuses(struct sim_session *session, const char *verb, struct slice said)
{
    struct sim_server *server = session->server;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (!session_fault(session, refusals[i].fault))
            continue;
        answer_error(session, "%s", refusals[i].text);
        return true;
    }
    if (session_fault(session, SIM_FAULT_LOGIN_ECHOES)) {
        answer_error(session, "unknown command: %s %.*s", verb, (int)said.len, said.data);
        return true;
    }
    if (server->now_ms - server->last_login_ms < server->style.login_delay_ms &&
        session_trait(session, SIM_FAULT_LOGIN_DELAY)) {
        answer_error(session, "[LOGIN-DELAY] too soon after the last login");
        return true;
    }
    return false;
}

/* True where another session holds the lock. */
static bool is_locked(struct sim_session *session)
{
    struct sim_server *server = session->server;
    if (server->style.lock == LOCK_STYLE_NONE || server->holder == NULL)
        return false;
    answer_error(session, "[IN-USE] another session holds the maildrop");
    if (server->style.lock == LOCK_STYLE_WAITS) {
        session->answer.delay_ms += 11000 + (int64_t)sim_random_below(&server->random, 1500);
        session_close(session);
    }
    return true;
}

static void enter(struct sim_session *session)
{
    struct sim_server *server = session->server;
    session->phase = PHASE_TRANSACTION;
    if (server->holder == NULL)
        server->holder = session;
    server->last_login_ms = server->now_ms;
    answer_ok(session, "logged in");
    session_make_view(session);
    if (session_fault(session, SIM_FAULT_LOGIN_AND_ERROR)) {
        session_put_line(session, "-ERR [SYS/TEMP] the maildrop cannot be opened");
        session_close(session);
    }
}

/* After a credential that is right, or not. */
static void log_in(struct sim_session *session, const char *verb, struct slice said, bool is_right)
{
    if (session_fault(session, SIM_FAULT_LOGIN_SLOW))
        session->answer.delay_ms +=
            (int64_t)(1000 + sim_random_skewed(fault_random(session->server, SIM_FAULT_LOGIN_SLOW),
                                               240000));
    if (!refuses(session, verb, said)) {
        if (!is_right) {
            session->answer.delay_ms += 2000;
            answer_error(session, "[AUTH] authentication failed");
        } else if (!is_locked(session)) {
            enter(session);
        }
    }
    be_deaf(session, SIM_FAULT_DEAF_BEHIND_PASS);
}

/* The password changes as somebody tries the old one. */
static void receive_credential(struct sim_session *session)
{
    session->login_count++;
    if (session_fault(session, SIM_FAULT_PASSWORD_CHANGED)) {
        session->has[SIM_FAULT_PASSWORD_CHANGED] = false;
        server_change_password(session->server);
    }
}

void answer_pass(struct sim_session *session, const struct request *request)
{
    receive_credential(session);
    bool is_right = session->has_user &&
                    slice_equal(request->argument, slice_from_string(session->server->password));
    session->has_user = false;
    log_in(session, "PASS", request->argument, is_right);
}

void answer_apop(struct sim_session *session, const struct request *request)
{
    char stamp[64], digest[DIGEST_MD5_HEX_OCTETS];
    if (!session->server->style.has_stamp) {
        answer_error(session, "unknown command");
        return;
    }
    receive_credential(session);
    write_stamp(session, stamp, sizeof(stamp));
    struct slice rest = request->argument;
    struct slice user = slice_take_word(&rest);
    bool is_right = slice_equal(user, SLICE_LITERAL(SIM_SERVER_USER)) &&
                    digest_md5_hex(slice_from_string(stamp),
                                   slice_from_string(session->server->password), digest) &&
                    slice_equal(slice_trim(rest), slice_from_string(digest));
    log_in(session, "APOP", request->argument, is_right);
}

static int base64_value(char octet)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = octet == '\0' ? NULL : strchr(digits, octet);
    return at == NULL ? -1 : (int)(at - digits);
}

/* As far as the text is base64 and there is room. */
static size_t decode_base64(struct slice text, char *out, size_t capacity)
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t len = 0;
    for (size_t i = 0; i < text.len && base64_value(text.data[i]) >= 0 && len < capacity; i++) {
        bits = bits << 6 | (uint32_t)base64_value(text.data[i]);
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        out[len++] = (char)(bits >> bit_count & 0xff);
    }
    return len;
}

/* AUTH PLAIN with an initial response: a NUL, the user, a NUL, the password. */
void answer_auth(struct sim_session *session, const struct request *request)
{
    char said[256], right[128];
    struct slice rest = request->argument;
    if (!session->server->style.has_plain ||
        !slice_equal_nocase(slice_take_word(&rest), SLICE_LITERAL("PLAIN"))) {
        answer_error(session, "no such mechanism");
        return;
    }
    receive_credential(session);
    size_t len = decode_base64(slice_trim(rest), said, sizeof(said));
    int right_len = snprintf(right, sizeof(right), "%c%s%c%s", '\0', SIM_SERVER_USER, '\0',
                             session->server->password);
    log_in(session, "AUTH", request->argument,
           slice_equal((struct slice){said, len}, (struct slice){right, (size_t)right_len}));
}
