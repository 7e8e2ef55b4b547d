/* SPDX-License-Identifier: MIT */
/*
 * A whole session against whatever a server may send. Input: octet 0 security and switches, octet 1
 * the mechanism, octet 2 the seed of the chunk sizes (0: as much as may be at once), then what the
 * server sends. With bit 0x20 of octet 0 no chunk goes past a line end before the login is over, as
 * with a server that waits for its turn.
 *
 * Must hold: no secret leaves before TLS unless tls=off, none is ever in a text for people, whoever
 * said it; output is whole lines; events come in an order that makes sense; nothing follows FAILED.
 */
#include "mechanisms.h"
#include "target.h"

#include <gsasl.h>
#include <string.h>

static const char password[] = "0pen-sesame";
struct run {
    struct pop3_session *session;
    bool secrets_allowed;
    bool logged_in;
    bool failed;
    bool secure_asked;
    size_t issued_count;
    size_t answered_count;
    bool in_body;
    uint64_t rows;
};

static bool holds(struct slice text, const char *word)
{
    return text.len > 0 && memmem(text.data, text.len, word, strlen(word)) != NULL;
}

static bool hides_secret(struct slice word)
{
    char *plain = NULL;
    size_t len = 0;
    if (gsasl_base64_from(word.data, word.len, &plain, &len) != GSASL_OK)
        return false;
    bool hides = holds((struct slice){plain, len}, password);
    gsasl_free(plain);
    return hides;
}

/* As it is, or in the base64 of SASL. */
static bool holds_secret(struct slice text)
{
    if (holds(text, password))
        return true;
    for (size_t at = 0; at < text.len;) {
        struct slice word = {text.data + at, 0};
        while (at + word.len < text.len && (unsigned char)word.data[word.len] > ' ')
            word.len++;
        if (word.len > 0 && hides_secret(word))
            return true;
        at += word.len + 1;
    }
    return false;
}

static void check_output(struct run *run)
{
    struct slice output;
    while ((output = pop3_session_output(run->session)).len > 0) {
        MUST(output.len >= 2 && memcmp(output.data + output.len - 2, "\r\n", 2) == 0);
        MUST(run->secrets_allowed ||
             !(holds_secret(output) || holds(output, "USER") || holds(output, "AUTH") ||
               holds(output, "APOP") || holds(output, "PASS")));
        pop3_session_sent(run->session, output.len > 100 ? output.len - 50 : output.len);
    }
}

static void issue_some(struct run *run)
{
    static const enum pop3_command commands[] = {
        POP3_STAT, POP3_UIDL, POP3_LIST, POP3_RETR,     POP3_TOP,
        POP3_DELE, POP3_RSET, POP3_NOOP, POP3_UIDL_ONE,
    };
    while (run->logged_in && run->issued_count < 40 &&
           pop3_session_outstanding_count(run->session) < 5 &&
           pop3_session_may_issue(run->session)) {
        run->issued_count++;
        struct pop3_request request = {
            .command = commands[run->issued_count % 9],
            .msgnum = (uint32_t)run->issued_count,
            .tag = (void *)(uintptr_t)run->issued_count,
        };
        MUST(pop3_session_issue(run->session, &request) == FAULT_NONE);
    }
    struct pop3_request quit = {.command = POP3_QUIT};
    if (run->issued_count == 40 && pop3_session_outstanding_count(run->session) == 0)
        (void)pop3_session_issue(run->session, &quit);
}

/* An answer belongs to the command that has waited longest. */
static void check_answer(struct run *run, const struct pop3_event *event)
{
    MUST(run->logged_in);
    MUST(event->command >= POP3_STAT);
    if (event->command != POP3_QUIT)
        MUST((uintptr_t)event->tag == run->answered_count + 1);
    bool multi_line = event->command == POP3_UIDL || event->command == POP3_LIST ||
                      event->command == POP3_RETR || event->command == POP3_TOP;
    MUST(run->in_body == (event->type != POP3_EVENT_STATUS));
    if (event->type == POP3_EVENT_STATUS)
        run->in_body = event->ok && multi_line;
    else if (event->type == POP3_EVENT_END)
        run->in_body = false;
    if (event->type == POP3_EVENT_DATA)
        MUST(event->text.len > 0 && (event->command == POP3_RETR || event->command == POP3_TOP));
    if (event->type == POP3_EVENT_ROW)
        MUST(event->msgnum >= 1 && event->msgnum <= INT32_MAX &&
             event->text.len <= POP3_UIDL_OCTETS_MAX);
    if (!run->in_body)
        run->answered_count++;
}

static void check_event(struct run *run, const struct pop3_event *event)
{
    MUST(!run->failed);
    if (event->text.len > 0) {
        volatile char last = event->text.data[event->text.len - 1];
        (void)last;
    }
    /* A row is the caller's to veil. */
    if (event->type != POP3_EVENT_ROW && event->type != POP3_EVENT_BAD_ROW &&
        event->type != POP3_EVENT_DATA)
        MUST(!holds_secret(event->text));
    switch (event->type) {
    case POP3_EVENT_NONE:
    case POP3_EVENT_TRACE:
        break;
    case POP3_EVENT_SECURE:
        MUST(!run->secrets_allowed);
        run->secure_asked = true;
        break;
    case POP3_EVENT_LOGGED_IN:
        MUST(run->secrets_allowed && !run->logged_in);
        MUST(pop3_session_state(run->session) == POP3_STATE_TRANSACTION);
        run->logged_in = true;
        break;
    case POP3_EVENT_FAILED:
        MUST(event->fault != FAULT_NONE && event->text.len > 0);
        MUST(pop3_session_state(run->session) == POP3_STATE_CLOSED);
        MUST(pop3_session_output(run->session).len == 0);
        run->failed = true;
        break;
    case POP3_EVENT_STATUS:
    case POP3_EVENT_ROW:
    case POP3_EVENT_BAD_ROW:
    case POP3_EVENT_DATA:
    case POP3_EVENT_END:
        check_answer(run, event);
        break;
    }
}

static void run_chunk(struct run *run, const uint8_t *data, size_t len)
{
    char *chunk = malloc(len + 1);
    MUST(chunk != NULL);
    memcpy(chunk, data, len);
    pop3_session_feed(run->session, (struct slice){chunk, len});
    struct pop3_event event;
    while (pop3_session_next_event(run->session, &event) != POP3_EVENT_NONE) {
        check_event(run, &event);
        issue_some(run);
    }
    free(chunk);
    if (run->secure_asked) {
        run->secure_asked = false;
        run->secrets_allowed = true;
        pop3_session_secured(run->session);
    }
    check_output(run);
}

static enum pop3_auth expected_of(uint8_t octet)
{
    enum pop3_auth auth;
    return mechanism_pick(octet, &auth) ? auth : POP3_AUTH_PLAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum pop3_auth auth;
    if (!mechanism_pick(data[1], &auth))
        return 0;
    const struct pop3_options options = {
        .security = (enum pop3_security)(data[0] % 3),
        .auth = auth,
        .host = "pop.example.org",
        .user = "alice",
        .password = password,
        .pipeline = (data[0] & 0x40) == 0,
        .trace = (data[0] & 0x80) != 0,
    };
    unsigned seed = data[2];
    struct run run = {.secrets_allowed = options.security != POP3_SECURITY_STLS};
    run.session = pop3_session_new(&options);
    MUST(run.session != NULL);
    if ((data[0] & 0x10) != 0)
        pop3_session_assume_pipelining(run.session);
    if ((data[0] & 0x08) != 0)
        pop3_session_expect_auth(run.session,
                                 auth != POP3_AUTH_AUTO ? auth : expected_of(data[2] >> 1));
    if ((data[2] & 1) != 0)
        pop3_session_bind(run.session, "tls-exporter", slice_from_string(password));
    size_t at = 3;
    while (at < size) {
        seed = seed == 0 ? 0 : seed * 1103515245 + 12345;
        size_t len = seed == 0 ? size - at : 1 + (seed >> 16) % 61;
        len = len < size - at ? len : size - at;
        const uint8_t *line_end = memchr(data + at, '\n', len);
        if ((data[0] & 0x20) != 0 && !run.logged_in && line_end != NULL)
            len = (size_t)(line_end - (data + at)) + 1;
        run_chunk(&run, data + at, len);
        at += len;
    }
    pop3_session_free(run.session);
    return 0;
}
