/* SPDX-License-Identifier: MIT */
#include "link.h"

#include "flow.h"

#include <stdlib.h>

enum {
    INPUT_OCTETS = 65536,
    TURN_READS = 4,           /* 256 KiB at most before the engine looks round, and asks on */
    LOGIN_PATIENCE = 5,       /* time-outs of silence: PASS on a large mbox takes minutes */
    QUIT_PATIENCE_MS = 60000, /* QUIT rewrites the mbox */
};

struct link {
    struct net_connection *connection;
    struct pop3_session *session;
    int64_t timeout_ms;
    int64_t heard_ms;
    int64_t active_ms;
    struct flow flow;
    uint64_t lines_seen;
    uint64_t received_octets;
    unsigned reads_left;
    enum pop3_code failure_code;
    bool securing; /* the handshake that POP3_EVENT_SECURE asked for */
    char input[INPUT_OCTETS];
};

enum fault link_new(const struct link_options *options, int64_t now_ms, struct link **ret_link,
                    struct failure *ret_failure)
{
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    link->timeout_ms = options->timeout_ms;
    link->heard_ms = now_ms;
    link->active_ms = now_ms;
    flow_line(&link->flow, now_ms);
    link->session = pop3_session_new(&options->pop3);
    enum fault fault =
        link->session == NULL
            ? failure_set(ret_failure, FAULT_MEMORY, "out of memory")
            : net_connection_new(&options->net, now_ms, &link->connection, ret_failure);
    /* At once, where no name has to be looked up: the caller may be busy with other things next. */
    if (fault == FAULT_NONE)
        fault = net_connection_progress(link->connection, now_ms, ret_failure);
    if (fault != FAULT_NONE) {
        link_free(link);
        return fault;
    }
    *ret_link = link;
    return FAULT_NONE;
}

void link_free(struct link *link)
{
    if (link == NULL)
        return;
    net_connection_free(link->connection);
    pop3_session_free(link->session);
    free(link);
}

void link_close(struct link *link)
{
    net_connection_close(link->connection);
    link->connection = NULL;
    link_free(link);
}

void link_reset(struct link *link)
{
    const struct pop3_request reset = {.command = POP3_RSET};
    struct failure failure;
    if (link_issue(link, &reset, link->active_ms) == FAULT_NONE)
        (void)link_flush(link, link->active_ms, &failure);
}

enum pop3_code link_failure_code(const struct link *link)
{
    return link->failure_code;
}

bool link_has_refused_certificate(const struct link *link)
{
    return net_connection_has_refused_certificate(link->connection);
}

void link_begin_turn(struct link *link)
{
    link->reads_left = TURN_READS;
}

static void trace(const struct pop3_event *event)
{
    char text[1024];
    log_write(LOG_LEVEL_DEBUG, "%s %s",
              event->from_client ? "C:" : "S:", text_escape(event->text, text, sizeof(text)));
}

bool link_is_anticipating(const struct link *link)
{
    enum pop3_anticipation anticipation = pop3_session_anticipation(link->session);
    return anticipation != POP3_ANTICIPATION_NONE && anticipation != POP3_ANTICIPATION_PROVEN;
}

static int64_t patience_ms(const struct link *link)
{
    switch (pop3_session_state(link->session)) {
    case POP3_STATE_AUTHORIZATION:
        /* Something on the way may have lost what was said so early. */
        return link_is_anticipating(link) ? link->timeout_ms : link->timeout_ms * LOGIN_PATIENCE;
    case POP3_STATE_UPDATE:
        /* Only QUIT itself may take so long, not what it follows. */
        if (pop3_session_outstanding_count(link->session) > 1)
            break;
        return link->timeout_ms > QUIT_PATIENCE_MS ? link->timeout_ms : QUIT_PATIENCE_MS;
    case POP3_STATE_GREETING:
    case POP3_STATE_TRANSACTION:
    case POP3_STATE_CLOSED:
        break;
    }
    return link->timeout_ms;
}

static bool is_owed(const struct link *link)
{
    return net_connection_is_ready(link->connection) &&
           (pop3_session_state(link->session) == POP3_STATE_GREETING ||
            pop3_session_outstanding_count(link->session) > 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When what has come is too little; INT64_MAX: nothing is owed. */
static int64_t give_up_ms(const struct link *link)
{
    if (!is_owed(link))
        return INT64_MAX;
    return earlier(link->heard_ms + patience_ms(link),
                   earlier(flow_line_by_ms(&link->flow, patience_ms(link)),
                           flow_answer_by_ms(&link->flow, link->timeout_ms)));
}

static enum fault check_silence(const struct link *link, int64_t now_ms,
                                struct failure *ret_failure)
{
    if (now_ms < give_up_ms(link))
        return FAULT_NONE;
    if (now_ms - link->heard_ms < patience_ms(link))
        return failure_set(ret_failure, FAULT_TIMEOUT,
                           now_ms < flow_line_by_ms(&link->flow, patience_ms(link))
                               ? "the server sends less than 1 KiB in a minute"
                               : "the server does not come to the end of a line");
    const char *hint = "";
    if (pop3_session_state(link->session) == POP3_STATE_GREETING)
        hint = net_connection_is_secure(link->connection)
                   ? "; a POP3 server speaks first: is this its port? (995)"
                   : "; if this port wants TLS, use pops://";
    return failure_set(ret_failure, FAULT_TIMEOUT, "the server has been silent for %lld seconds%s",
                       (long long)((now_ms - link->heard_ms) / 1000), hint);
}

static void bind_login(const struct link *link)
{
    struct net_binding binding;
    if (net_connection_binding(link->connection, &binding))
        pop3_session_bind(link->session, binding.kind,
                          (struct slice){(const char *)binding.data, binding.octets});
}

/* True in *ret_ready when bytes may be moved. */
static enum fault make_ready(struct link *link, int64_t now_ms, bool *ret_ready,
                             struct failure *ret_failure)
{
    if (!net_connection_is_ready(link->connection)) {
        enum fault fault = net_connection_progress(link->connection, now_ms, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        *ret_ready = net_connection_is_ready(link->connection);
        if (!*ret_ready)
            return FAULT_NONE;
        link->heard_ms = now_ms;
        flow_line(&link->flow, now_ms);
        bind_login(link);
    }
    if (link->securing) {
        link->securing = false;
        pop3_session_secured(link->session);
    }
    *ret_ready = true;
    return FAULT_NONE;
}

/* Reads once and feeds; *ret_count is 0 when nothing was there. */
static enum fault read_once(struct link *link, int64_t now_ms, size_t *ret_count,
                            struct failure *ret_failure)
{
    enum fault fault = net_connection_read(link->connection, link->input, sizeof(link->input),
                                           ret_count, ret_failure);
    if (fault != FAULT_NONE || *ret_count == 0)
        return fault;
    link->reads_left--;
    link->received_octets += *ret_count;
    flow_octets(&link->flow, *ret_count, now_ms);
    link->heard_ms = now_ms;
    link->active_ms = now_ms;
    pop3_session_feed(link->session, (struct slice){link->input, *ret_count});
    return FAULT_NONE;
}

/* No event is ready: moves bytes. *ret_more is false when there is nothing to do but wait. */
static enum fault move_bytes(struct link *link, int64_t now_ms, bool *ret_more,
                             struct failure *ret_failure)
{
    size_t count;
    *ret_more = false;
    enum fault fault = make_ready(link, now_ms, ret_more, ret_failure);
    if (fault != FAULT_NONE || !*ret_more)
        return fault;
    fault = link_flush(link, now_ms, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    *ret_more = link->reads_left > 0;
    if (!*ret_more)
        return FAULT_NONE;
    fault = read_once(link, now_ms, &count, ret_failure);
    *ret_more = fault == FAULT_NONE && count > 0;
    return fault;
}

/* What the event, or what led to it, says of how answers come on. */
static void note_flow(struct link *link, enum pop3_event_type type, int64_t now_ms)
{
    uint64_t lines = pop3_session_line_count(link->session);
    if (lines != link->lines_seen)
        flow_line(&link->flow, now_ms);
    link->lines_seen = lines;
    if (type == POP3_EVENT_DATA || type == POP3_EVENT_ROW || type == POP3_EVENT_BAD_ROW)
        flow_answer(&link->flow, type == POP3_EVENT_DATA, now_ms);
    else if (type == POP3_EVENT_END)
        flow_answer_end(&link->flow, now_ms);
}

enum fault link_next_event(struct link *link, int64_t now_ms, struct pop3_event *ret_event,
                           struct failure *ret_failure)
{
    for (;;) {
        enum fault fault = FAULT_NONE;
        bool more = true;
        enum pop3_event_type type = pop3_session_next_event(link->session, ret_event);
        note_flow(link, type, now_ms);
        if (type == POP3_EVENT_TRACE) {
            trace(ret_event);
        } else if (type == POP3_EVENT_SECURE) {
            /* The STLS line was sent and answered, so nothing is left to send in the clear. */
            fault = net_connection_start_tls(link->connection, now_ms, ret_failure);
            link->securing = true;
        } else if (type == POP3_EVENT_FAILED) {
            link->failure_code = ret_event->code;
            return failure_set(ret_failure, ret_event->fault, "%.*s", (int)ret_event->text.len,
                               ret_event->text.data);
        } else if (type == POP3_EVENT_NONE) {
            fault = move_bytes(link, now_ms, &more, ret_failure);
            if (fault == FAULT_NONE && !more)
                return check_silence(link, now_ms, ret_failure);
        } else {
            return FAULT_NONE;
        }
        if (fault != FAULT_NONE)
            return fault;
    }
}

void link_assume_pipelining(struct link *link)
{
    pop3_session_assume_pipelining(link->session);
}

void link_expect_auth(struct link *link, enum pop3_auth auth)
{
    pop3_session_expect_auth(link->session, auth);
}

void link_forgo_binding(struct link *link)
{
    pop3_session_forgo_binding(link->session);
}

bool link_may_issue(const struct link *link)
{
    return pop3_session_may_issue(link->session);
}

bool link_pipelines(const struct link *link)
{
    return pop3_session_pipelines(link->session);
}

enum fault link_issue(struct link *link, const struct pop3_request *request, int64_t now_ms)
{
    bool first = pop3_session_outstanding_count(link->session) == 0;
    enum fault fault = pop3_session_issue(link->session, request);
    if (fault != FAULT_NONE)
        return fault;
    link->active_ms = now_ms;
    if (first) {
        link->heard_ms = now_ms;
        flow_line(&link->flow, now_ms);
    }
    return FAULT_NONE;
}

enum fault link_flush(struct link *link, int64_t now_ms, struct failure *ret_failure)
{
    if (!net_connection_is_ready(link->connection))
        return FAULT_NONE;
    for (;;) {
        struct slice output = pop3_session_output(link->session);
        size_t count = 0;
        if (output.len == 0)
            return FAULT_NONE;
        enum fault fault = net_connection_write(link->connection, output, &count, ret_failure);
        if (fault != FAULT_NONE || count == 0)
            return fault;
        pop3_session_sent(link->session, count);
        link->active_ms = now_ms;
    }
}

size_t link_poll(const struct link *link, int64_t now_ms, struct pollfd fds[NET_POLL_MAX],
                 int64_t *ret_timeout_ms)
{
    bool want_write = pop3_session_output(link->session).len > 0;
    size_t count = net_connection_poll(link->connection, want_write, now_ms, fds, ret_timeout_ms);
    if (link->reads_left == 0)
        *ret_timeout_ms =
            0; /* the turn ended with bytes unread, which poll() may not see under TLS */
    int64_t until_ms = give_up_ms(link);
    if (until_ms < INT64_MAX) {
        int64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        if (*ret_timeout_ms < 0 || left_ms < *ret_timeout_ms)
            *ret_timeout_ms = left_ms;
    }
    return count;
}

size_t link_outstanding_count(const struct link *link)
{
    return pop3_session_outstanding_count(link->session);
}

int64_t link_heard_ms(const struct link *link)
{
    return link->heard_ms;
}

int64_t link_active_ms(const struct link *link)
{
    return link->active_ms;
}

bool link_is_slow(const struct link *link, int64_t now_ms)
{
    return flow_is_slow(&link->flow, now_ms);
}

int64_t link_rest_ms(const struct link *link, uint64_t octets, int64_t now_ms)
{
    return flow_rest_ms(&link->flow, octets, now_ms);
}

uint64_t link_received_octets(const struct link *link)
{
    return link->received_octets;
}

struct net_connection *link_connection(struct link *link)
{
    return link->connection;
}

const struct pop3_session *link_session(const struct link *link)
{
    return link->session;
}

const char *link_show(struct link *link, struct slice text, char *out, size_t capacity)
{
    return pop3_session_show(link->session, text, out, capacity);
}
