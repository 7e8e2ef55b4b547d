/* SPDX-License-Identifier: MIT */
/* Lines for people: a seed that fails is read before it is understood. */
#include "server_parts.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_OCTETS = 100, LINE_OCTETS = 800 };

void server_say(struct sim_server *server, const struct sim_session *session, const char *format,
                ...)
{
    char line[LINE_OCTETS];
    va_list args;
    if (server->trace == NULL)
        return;
    int len = snprintf(line, sizeof(line), "%lld.%03lld ", (long long)(server->now_ms / 1000),
                       (long long)(server->now_ms % 1000));
    if (session != NULL)
        len += snprintf(line + len, sizeof(line) - (size_t)len, "s%u ", session->number);
    va_start(args, format);
    vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
    va_end(args);
    server->trace(server->trace_context, line);
}

void trace_command(struct sim_session *session, struct slice line)
{
    char text[SHOWN_OCTETS * 4];
    if (session->server->trace == NULL)
        return;
    if (slice_has_prefix_nocase(line, SLICE_LITERAL("PASS ")))
        line = SLICE_LITERAL("PASS ***");
    if (line.len > SHOWN_OCTETS)
        line.len = SHOWN_OCTETS;
    server_say(session->server, session, "C: %s", text_escape(line, text, sizeof(text)));
}

/* "(fault drip) (fault list-off)", or nothing. */
static void write_noted(const struct answer *answer, char *out, size_t capacity)
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < answer->noted_count && len < capacity; i++)
        len += (size_t)snprintf(out + len, capacity - len, " (fault %s)",
                                sim_fault_row(answer->noted[i])->name);
}

static void write_pace(const struct sim_session *session, char *out, size_t capacity)
{
    int64_t wait_ms = session->answer.delay_ms;
    out[0] = '\0';
    if (session->answer.rate > 0)
        snprintf(out, capacity, ", %.2f octets a second", session->answer.rate / 1000.0);
    else if (wait_ms >= 500)
        snprintf(out, capacity, ", in %lld ms", (long long)wait_ms);
}

void trace_answer(struct sim_session *session)
{
    char text[SHOWN_OCTETS * 4], noted[400], pace[60], more[60] = "";
    const struct answer *answer = &session->answer;
    if (session->server->trace == NULL)
        return;
    write_noted(answer, noted, sizeof(noted));
    write_pace(session, pace, sizeof(pace));
    struct slice made = session->wire_made > answer->begin
                            ? session_made_since(session, answer->begin)
                            : (struct slice){"", 0};
    if (made.len == 0) {
        server_say(session->server, session, "S: (nothing)%s", noted);
        return;
    }
    struct slice first = made;
    const char *newline = memchr(made.data, '\n', made.len);
    if (newline != NULL)
        first.len = (size_t)(newline - made.data) + 1;
    if (first.len < made.len)
        snprintf(more, sizeof(more), " … %zu octets in all", made.len);
    if (first.len > SHOWN_OCTETS)
        first.len = SHOWN_OCTETS;
    while (first.len > 0 &&
           (first.data[first.len - 1] == '\n' || first.data[first.len - 1] == '\r'))
        first.len--;
    server_say(session->server, session, "S: %s%s%s%s", text_escape(first, text, sizeof(text)),
               more, pace, noted);
}

void sim_server_set_trace(struct sim_server *server, sim_trace_line *line, void *context)
{
    server->trace = line;
    server->trace_context = context;
}

/* ---- the description ---- */

static void describe_faults(const struct sim_server *server, sim_trace_line *line, void *context)
{
    static const char *const words[] = {
        [SIM_SCOPE_TRAIT] = "trait",
        [SIM_SCOPE_MESSAGE] = "for messages",
        [SIM_SCOPE_SESSION] = "for sessions",
        [SIM_SCOPE_ANSWER] = "for answers",
    };
    char text[LINE_OCTETS];
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        const struct sim_fault_row *row = sim_fault_row((enum sim_fault)i);
        if (!server->takes_part[i])
            continue;
        snprintf(text, sizeof(text), "server: fault %s (%s, %s): %s", row->name,
                 sim_class_name(row->class), words[row->scope], row->text);
        line(context, text);
    }
}

static void describe_style(const struct sim_server *server, sim_trace_line *line, void *context)
{
    static const char *const locks[] = {
        [LOCK_STYLE_NONE] = "no lock",
        [LOCK_STYLE_REFUSES] = "a lock that refuses",
        [LOCK_STYLE_WAITS] = "a lock that waits and refuses",
    };
    const struct style *style = &server->style;
    char text[LINE_OCTETS];
    snprintf(text, sizeof(text),
             "server: %s, idle limit %lld s before and %lld s after the login, answers in %lld ms, "
             "QUIT in %lld ms%s%s%s",
             locks[style->lock], (long long)(style->idle_before_ms / 1000),
             (long long)(style->idle_after_ms / 1000), (long long)style->thinking_ms,
             (long long)style->quit_ms, style->has_stamp ? ", APOP" : "",
             style->has_plain ? ", AUTH PLAIN" : "", style->has_utf8 ? ", UTF8" : "");
    line(context, text);
}

static void describe_message(const struct message *message, sim_trace_line *line, void *context)
{
    char text[LINE_OCTETS], uidl[200], bad[300] = "";
    size_t len = 0;
    for (size_t i = 0; i < SIM_FAULT_COUNT && len < sizeof(bad); i++)
        if (message->bad[i])
            len += (size_t)snprintf(bad + len, sizeof(bad) - len, ", %s",
                                    sim_fault_row((enum sim_fault)i)->name);
    struct slice shown = message->truth.uidl;
    if (shown.len > 48)
        shown.len = 48;
    snprintf(text, sizeof(text), "server: message %llu, UIDL %s, %zu octets%s",
             (unsigned long long)message->truth.serial, text_escape(shown, uidl, sizeof(uidl)),
             message->truth.octets.len, bad);
    line(context, text);
}

void sim_server_describe(const struct sim_server *server, sim_trace_line *line, void *context)
{
    describe_style(server, line, context);
    describe_faults(server, line, context);
    for (size_t i = 0; i < server->message_count; i++)
        if (message_is_there(server->messages[i]))
            describe_message(server->messages[i], line, context);
}
