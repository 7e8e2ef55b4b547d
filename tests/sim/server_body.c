/* SPDX-License-Identifier: MIT */
/* RETR and TOP, and a record of each octet that they sent. */
#include "mail.h"
#include "server_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORM_LF = 1, FORM_STATUS = 2, FORM_READ = 4, FORM_GROWN = 8 };

/* ---- forms of a message ---- */

static struct slice joined(struct sim_session *session, struct slice a, struct slice b,
                           struct slice c)
{
    char *all = sim_arena_take(&session->server->arena, a.len + b.len + c.len);
    memcpy(all, a.data, a.len);
    memcpy(all + a.len, b.data, b.len);
    if (c.len > 0)
        memcpy(all + a.len + b.len, c.data, c.len);
    return (struct slice){all, a.len + b.len + c.len};
}

/* `field`, a line with its end, as the last one of the header; a message without one stays as is.
 */
static struct slice with_field(struct sim_session *session, struct slice octets, struct slice field)
{
    size_t at = sim_mail_header_octets(octets);
    if (at == 0)
        return octets;
    if (at >= 4 && memcmp(octets.data + at - 4, "\r\n\r\n", 4) == 0)
        at -= 2;
    return joined(session, (struct slice){octets.data, at}, field, slice_skip(octets, at));
}

static struct slice with_bare_lf(struct sim_session *session, struct slice octets)
{
    char *out = sim_arena_take(&session->server->arena, octets.len);
    size_t len = 0;
    for (size_t i = 0; i < octets.len; i++)
        if (octets.data[i] != '\r' || i + 1 == octets.len || octets.data[i + 1] != '\n')
            out[len++] = octets.data[i];
    return (struct slice){out, len};
}

/* As it goes over the wire: with the line ends of this server. */
static struct slice for_wire(struct sim_session *session, struct slice octets)
{
    return session_trait(session, SIM_FAULT_BARE_LF) ? with_bare_lf(session, octets) : octets;
}

static uint32_t form_key(struct sim_session *session, const struct message *message)
{
    uint32_t key = 0;
    bool read_before = message->read_session != 0 && message->read_session != session->number;
    bool listed_before = message->listed_session != 0 && message->listed_session != session->number;
    if (session_trait(session, SIM_FAULT_STATUS_HEADER))
        key |= FORM_STATUS | (read_before ? (uint32_t)FORM_READ : 0);
    if (listed_before && session_trait(session, SIM_FAULT_SIZE_CHANGES))
        key |= FORM_GROWN;
    return key;
}

/* With the fields that the server adds, still with CRLF. */
static struct slice make_form(struct sim_session *session, const struct message *message,
                              uint32_t key)
{
    struct slice octets = message->truth.octets;
    if (key & FORM_STATUS)
        octets = with_field(session, octets,
                            key & FORM_READ ? SLICE_LITERAL("Status: RO\r\n")
                                            : SLICE_LITERAL("Status: O \r\n"));
    if (key & FORM_GROWN)
        octets = with_field(session, octets, SLICE_LITERAL("X-UIDL: seen-by-the-server\r\n"));
    return octets;
}

static struct slice cached_form(struct sim_session *session, struct message *message, uint32_t key)
{
    for (uint32_t i = 0; i < message->form_count; i++)
        if (message->forms[i].key == key)
            return message->forms[i].octets;
    struct slice octets = make_form(session, message, key & ~(uint32_t)FORM_LF);
    if (key & FORM_LF)
        octets = with_bare_lf(session, octets);
    if (message->form_count < MESSAGE_FORMS_MAX)
        message->forms[message->form_count++] = (struct message_form){key, octets};
    return octets;
}

struct slice session_form(struct sim_session *session, struct message *message)
{
    uint32_t key = form_key(session, message);
    if (session_trait(session, SIM_FAULT_BARE_LF))
        key |= FORM_LF;
    return key == 0 ? message->truth.octets : cached_form(session, message, key);
}

/* The 8-bit octets of a header make Courier rewrite the message, each time with a new boundary. */
static bool is_rewritten(struct sim_session *session, const struct message *message)
{
    struct slice octets = message->truth.octets;
    size_t header = sim_mail_header_octets(octets);
    if (session->is_utf8 || !session->server->takes_part[SIM_FAULT_REWRITES_8BIT])
        return false;
    for (size_t i = 0; i < header; i++)
        if ((unsigned char)octets.data[i] >= 0x80)
            return session_trait(session, SIM_FAULT_REWRITES_8BIT);
    return false;
}

/* What RETR and TOP are made from, with CRLF. */
static struct slice given_form(struct sim_session *session, struct message *message)
{
    uint32_t key = form_key(session, message);
    struct slice octets = key == 0 ? message->truth.octets : cached_form(session, message, key);
    if (!is_rewritten(session, message))
        return octets;
    char field[80];
    int len = snprintf(field, sizeof(field), "X-Boundary: =_%016llx\r\n",
                       (unsigned long long)sim_random_next(
                           fault_random(session->server, SIM_FAULT_REWRITES_8BIT)));
    return with_field(session, octets, (struct slice){field, (size_t)len});
}

/* ---- the wire ---- */

/* Where the next line that begins with a dot begins; octets.len if there is none. */
static size_t next_dot_line(const struct sim_session *session, struct slice octets, size_t from)
{
    bool lf_is_enough = session->server->takes_part[SIM_FAULT_BARE_LF];
    if (from == 0 && octets.len > 0 && octets.data[0] == '.')
        return 0;
    size_t at = from == 0 ? 0 : from - 1;
    while (at < octets.len) {
        const char *found = memmem(octets.data + at, octets.len - at, "\n.", 2);
        if (found == NULL)
            break;
        at = (size_t)(found - octets.data) + 1;
        if (at >= from && (lf_is_enough || (at >= 2 && octets.data[at - 2] == '\r')))
            return at;
    }
    return octets.len;
}

static void put_stuffed(struct sim_session *session, struct slice octets)
{
    size_t done = 0;
    size_t dot = next_dot_line(session, octets, 0);
    while (dot < octets.len) {
        session_put(session, (struct slice){octets.data + done, dot - done});
        session_put(session, SLICE_LITERAL("."));
        done = dot;
        dot = next_dot_line(session, octets, dot + 1);
    }
    session_put(session, slice_skip(octets, done));
}

/* What a client makes of octets from the wire: one dot of two goes, one alone on its line is the
 * end
 * (*ret_ended), and one that is not followed by anything yet is not known. */
static struct slice as_client(struct sim_session *session, struct slice wire, bool *ret_ended)
{
    struct slice eol = session_eol(session);
    char *out = sim_arena_take(&session->server->arena, wire.len);
    size_t len = 0, done = 0;
    *ret_ended = false;
    for (;;) {
        size_t dot = next_dot_line(session, wire, done);
        if (dot > done || done == 0) {
            memcpy(out + len, wire.data + done, dot - done);
            len += dot - done;
        }
        if (dot >= wire.len)
            break;
        struct slice rest = slice_skip(wire, dot + 1);
        *ret_ended = rest.len >= eol.len && memcmp(rest.data, eol.data, eol.len) == 0;
        if (*ret_ended || (rest.len < eol.len && memcmp(rest.data, eol.data, rest.len) == 0))
            break;
        /* The dot stays where it is not stuffed; what follows it is copied with the next run. */
        if (rest.data[0] != '.')
            out[len++] = '.';
        done = dot + 1;
    }
    return (struct slice){out, len};
}

void sent_cut(struct sim_session *session, struct sim_sent *sent, uint64_t wire_end)
{
    bool ended;
    struct slice wire = session_made_since(session, sent->wire_begin);
    if (wire_end < sent->wire_begin)
        wire_end = sent->wire_begin;
    if (wire.len > wire_end - sent->wire_begin)
        wire.len = (size_t)(wire_end - sent->wire_begin);
    sent->octets = as_client(session, wire, &ended);
    sent->wire_end = sent->wire_begin + wire.len;
    sent->is_ended = false;
}

static bool has_dot_line(const struct sim_session *session, struct slice octets)
{
    return next_dot_line(session, octets, 0) < octets.len;
}

/* Sends the octets, which end a line, and the final dot, and remembers it. */
static void put_body(struct sim_session *session, struct message *message, struct slice octets)
{
    struct sim_sent *sent = sim_arena_take_zeroed(&session->server->arena, sizeof(*sent));
    *sent = (struct sim_sent){.verb = session->answer.verb,
                              .session = session->number,
                              .serial = message->truth.serial,
                              .octets = octets,
                              .is_ended = true,
                              .wire_begin = session->wire_made,
                              .previous = message->last_sent};
    message->last_sent = sent;
    session->answer.sent = sent;
    if (has_dot_line(session, octets) && session_trait(session, SIM_FAULT_NO_STUFFING)) {
        bool ended;
        session_put(session, octets);
        sent->octets = as_client(session, octets, &ended);
        sent->is_ended = !ended;
    } else {
        put_stuffed(session, octets);
    }
    answer_dot(session);
    sent->wire_end = session->wire_made;
}

/* ---- RETR ---- */

/* The first octets of a body whose rest the server could not read, as a line. */
static struct slice shortened(struct sim_session *session, struct slice octets, uint64_t keep)
{
    return joined(session, (struct slice){octets.data, (size_t)keep}, session_eol(session),
                  (struct slice){"", 0});
}

static void retr_whole(struct sim_session *session, struct message *message)
{
    struct slice octets = for_wire(session, given_form(session, message));
    answer_ok(session, "%zu octets", octets.len);
    if (octets.len > 2 && message_fault(session, message, SIM_FAULT_RETR_ALWAYS_SHORT)) {
        struct sim_random random =
            sim_random_fork_index(fault_random(session->server, SIM_FAULT_RETR_ALWAYS_SHORT), "cut",
                                  message->truth.serial);
        uint64_t keep = sim_random_below(&random, octets.len - 2);
        put_body(session, message, shortened(session, octets, keep));
    } else if (octets.len > 2 && answer_fault(session, SIM_FAULT_RETR_SHORT)) {
        struct sim_random *random = fault_random(session->server, SIM_FAULT_RETR_SHORT);
        uint64_t keep = sim_random_below(random, octets.len - 2);
        put_body(session, message, shortened(session, octets, keep));
    } else if (answer_fault(session, SIM_FAULT_RETR_EMPTY)) {
        put_body(session, message, (struct slice){"", 0});
    } else {
        put_body(session, message, octets);
    }
}

/* A message that another client has deleted meanwhile: servers do what they like. */
static void retr_vanished(struct sim_session *session, struct message *message)
{
    switch (session->server->style.vanished) {
    case 0:
        answer_ok(session, "0 octets");
        put_body(session, message, (struct slice){"", 0});
        break;
    case 1:
        session_close(session);
        break;
    case 2:
        session->is_silent = true;
        break;
    default:
        answer_error(session, "the message has gone");
        break;
    }
}

void answer_retr(struct sim_session *session, const struct request *request)
{
    struct sim_row *row = session_row(session, request);
    struct message *message = row == NULL ? NULL : server_message(session->server, row->serial);
    if (message == NULL) {
        answer_error(session, "no such message");
        return;
    }
    session->answer.serial = row->serial;
    session->retr_count++;
    if (!message_is_there(message)) {
        retr_vanished(session, message);
    } else if (message_fault(session, message, SIM_FAULT_RETR_KILLS)) {
        session_close(session);
    } else if (message_fault(session, message, SIM_FAULT_RETR_HANGS)) {
        session->is_silent = true;
    } else if (message_fault(session, message, SIM_FAULT_RETR_POISON)) {
        answer_error(session, "the message cannot be read");
    } else if (session->retr_count > session->retr_limit &&
               session_fault(session, SIM_FAULT_RETR_LIMIT)) {
        answer_error(session, "enough for one session");
    } else if (answer_fault(session, SIM_FAULT_RETR_REFUSED)) {
        answer_error(session, "not this one, not now");
    } else if (answer_fault(session, SIM_FAULT_BODY_TEMP)) {
        answer_error(session, "[SYS/TEMP] the disk is slow today");
    } else {
        row->read_count++;
        retr_whole(session, message);
        if (message->read_session == 0)
            message->read_session = session->number;
    }
}

/* ---- TOP ---- */

/* The header, the blank line and `lines` lines of the body. */
static struct slice top_octets(struct sim_session *session, struct slice octets, uint32_t lines)
{
    size_t at = sim_mail_header_octets(octets);
    if (at == 0)
        at = octets.len < 2 ? octets.len : 2;
    size_t header = at;
    if (lines == 0 && at < octets.len && session_trait(session, SIM_FAULT_TOP_BODY))
        return octets;
    for (; lines > 0 && at < octets.len; lines--) {
        const char *end = memmem(octets.data + at, octets.len - at, "\r\n", 2);
        at = end == NULL ? octets.len : (size_t)(end - octets.data) + 2;
    }
    if (at == header && header >= 4 && memcmp(octets.data + header - 4, "\r\n\r\n", 4) == 0 &&
        session_trait(session, SIM_FAULT_TOP_NO_BLANK))
        at -= 2;
    return (struct slice){octets.data, at};
}

/* A header that a proxy has touched, or one with another subject than RETR's. */
static struct slice top_differing(struct sim_session *session, struct slice octets)
{
    size_t header = sim_mail_header_octets(octets);
    const char *subject = memmem(octets.data, header, "\r\nSubject: ", 11);
    if (header == 0)
        return octets;
    if (!session->server->style.changes_subject || subject == NULL)
        return joined(session, SLICE_LITERAL("X-Proxy: passed by\r\n"), octets,
                      (struct slice){"", 0});
    size_t at = (size_t)(subject - octets.data) + 11;
    return joined(session, (struct slice){octets.data, at}, SLICE_LITERAL("[list] "),
                  slice_skip(octets, at));
}

static void top_whole(struct sim_session *session, struct message *message, uint32_t lines)
{
    struct slice octets = given_form(session, message);
    if (sim_mail_header_octets(octets) > 0 && session_trait(session, SIM_FAULT_TOP_DIFFERS))
        octets = top_differing(session, octets);
    octets = top_octets(session, octets, lines);
    uint64_t most = (uint64_t)session->server->style.top_cut_octets;
    if (octets.len > most && session_trait(session, SIM_FAULT_TOP_CUT))
        octets = joined(session, (struct slice){octets.data, (size_t)most}, SLICE_LITERAL("\r\n"),
                        (struct slice){"", 0});
    answer_ok(session, "the top of it");
    put_body(session, message, for_wire(session, octets));
}

void answer_top(struct sim_session *session, const struct request *request)
{
    const struct sim_row *row = session_row(session, request);
    struct message *message = row == NULL ? NULL : server_message(session->server, row->serial);
    if (session_trait(session, SIM_FAULT_NO_TOP)) {
        answer_error(session, "unknown command");
        return;
    }
    if (message == NULL || !request->has_lines) {
        answer_error(session, "no such message");
        return;
    }
    session->answer.serial = row->serial;
    if (!message_is_there(message))
        retr_vanished(session, message);
    else if (message_fault(session, message, SIM_FAULT_TOP_POISON))
        answer_error(session, "the header cannot be read");
    else if (answer_fault(session, SIM_FAULT_TOP_REFUSED))
        answer_error(session, "not this one, not now");
    else if (answer_fault(session, SIM_FAULT_BODY_TEMP))
        answer_error(session, "[SYS/TEMP] the disk is slow today");
    else
        top_whole(session, message, request->lines);
}
