/* SPDX-License-Identifier: MIT */
/* What a session sees of the maildrop: fixed at its login, told by STAT, UIDL and LIST. */
#include "server_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the view ---- */

static int64_t listed_octets(struct sim_session *session, struct message *message)
{
    struct sim_server *server = session->server;
    struct slice form = session_form(session, message);
    int64_t octets = (int64_t)form.len;
    if (session_trait(session, SIM_FAULT_LIST_STORED))
        octets -= (int64_t)(message->truth.octets.len - message->truth.stored_octets);
    if (session_trait(session, SIM_FAULT_LIST_OFF))
        octets += server->style.list_off;
    if (message_fault(session, message, SIM_FAULT_LIST_WRONG))
        octets += sim_random_between(fault_random(server, SIM_FAULT_LIST_WRONG), -octets, 9000);
    if (octets < 0)
        octets = 0;
    if (!session_trait(session, SIM_FAULT_LIST_NONSENSE))
        return octets;
    switch (server->style.nonsense) {
    case 0:
        return 0;
    case 1:
        return -5;
    case 2:
        return octets % 3 == 0 ? SIM_OCTETS_NONSENSE : octets;
    default:
        return SIM_OCTETS_NONSENSE;
    }
}

static struct sim_row *add_row(struct sim_session *session, struct message *message)
{
    if (session->row_count == session->row_capacity) {
        session->row_capacity = session->row_capacity == 0 ? 32 : session->row_capacity * 2;
        session->rows = sim_grow(session->rows, session->row_capacity * sizeof(session->rows[0]));
    }
    struct sim_row *row = &session->rows[session->row_count++];
    *row = (struct sim_row){.serial = message->truth.serial,
                            .uidl = message->truth.uidl,
                            .listed_octets = listed_octets(session, message),
                            .in_uidl = true,
                            .in_list = true};
    if (message->listed_session == 0)
        message->listed_session = session->number;
    return row;
}

static void shuffle(struct sim_session *session)
{
    struct sim_random *random = fault_random(session->server, SIM_FAULT_REORDERED);
    if (session->row_count < 2 || !session_fault(session, SIM_FAULT_REORDERED))
        return;
    for (uint32_t i = session->row_count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)sim_random_below(random, i + 1);
        struct sim_row row = session->rows[i];
        session->rows[i] = session->rows[other];
        session->rows[other] = row;
    }
}

static uint32_t next_msgnum(struct sim_session *session, uint32_t last)
{
    struct sim_random *random = fault_random(session->server, SIM_FAULT_NUMBER_GAPS);
    bool gap = session->server->takes_part[SIM_FAULT_NUMBER_GAPS] && sim_random_chance(random, 300);
    if (gap)
        (void)session_trait(session, SIM_FAULT_NUMBER_GAPS);
    return last + 1 + (gap ? 1 + (uint32_t)sim_random_skewed(random, 50) : 0);
}

static void number_rows(struct sim_session *session, uint32_t from)
{
    uint32_t last = from == 0 ? 0 : session->rows[from - 1].msgnum;
    for (uint32_t i = from; i < session->row_count; i++)
        last = session->rows[i].msgnum = next_msgnum(session, last);
}

static struct sim_row *some_row(struct sim_session *session, enum sim_fault fault)
{
    struct sim_random *random = fault_random(session->server, fault);
    return &session->rows[sim_random_below(random, session->row_count)];
}

/* Any row but this one; there are two at least. */
static struct sim_row *other_row(struct sim_session *session, enum sim_fault fault,
                                 const struct sim_row *row)
{
    struct sim_random *random = fault_random(session->server, fault);
    uint64_t step = 1 + sim_random_below(random, session->row_count - 1);
    return &session->rows[((uint64_t)(row - session->rows) + step) % session->row_count];
}

static struct slice overlong(struct sim_session *session)
{
    struct sim_random *random = fault_random(session->server, SIM_FAULT_UIDL_OVERLONG);
    size_t octets = 501 + (size_t)sim_random_skewed(random, 12000);
    char *text = sim_arena_take(&session->server->arena, octets);
    memset(text, 'L', octets);
    return (struct slice){text, octets};
}

/* Rows whose id is odd in this session alone. */
static void spoil_uidls(struct sim_session *session)
{
    if (session->row_count == 0)
        return;
    if (session->row_count > 1 && session_fault(session, SIM_FAULT_UIDL_TWICE)) {
        struct sim_row *row = some_row(session, SIM_FAULT_UIDL_TWICE);
        row->uidl = other_row(session, SIM_FAULT_UIDL_TWICE, row)->uidl;
    }
    if (session_fault(session, SIM_FAULT_UIDL_EMPTY))
        some_row(session, SIM_FAULT_UIDL_EMPTY)->uidl = (struct slice){"", 0};
    if (session_fault(session, SIM_FAULT_UIDL_OVERLONG))
        some_row(session, SIM_FAULT_UIDL_OVERLONG)->uidl = overlong(session);
    if (session->row_count > 1 && session_fault(session, SIM_FAULT_NUMBER_TWICE)) {
        struct sim_row *row = some_row(session, SIM_FAULT_NUMBER_TWICE);
        uint64_t other = other_row(session, SIM_FAULT_NUMBER_TWICE, row)->serial;
        struct slice uidl = server_message(session->server, other)->truth.uidl;
        /* Besides a row without an id, or with the same one, it would be a number with one UIDL. */
        if (sim_row_has_id(row) && !slice_equal(row->uidl, uidl))
            row->twice = other;
    }
}

/* Messages that this session does not see at all. */
static void lose_rows(struct sim_session *session)
{
    struct sim_random *random = fault_random(session->server, SIM_FAULT_LISTING_HALF);
    uint32_t kept = 0;
    if (session->row_count == 0)
        return;
    if (session_fault(session, SIM_FAULT_LISTING_EMPTY)) {
        session->row_count = 0;
        return;
    }
    if (!session_fault(session, SIM_FAULT_LISTING_HALF))
        return;
    uint32_t per_mille = (uint32_t)sim_random_below(random, 900);
    for (uint32_t i = 0; i < session->row_count; i++)
        if (sim_random_chance(random, per_mille))
            session->rows[kept++] = session->rows[i];
    session->row_count = kept;
}

static void contradict(struct sim_session *session)
{
    struct sim_random *random = fault_random(session->server, SIM_FAULT_LISTINGS_DISAGREE);
    if (session->row_count == 0 || !session_fault(session, SIM_FAULT_LISTINGS_DISAGREE))
        return;
    uint64_t kind = sim_random_below(random, 5);
    uint32_t lost = kind >= 3 ? 1000 : 100 + (uint32_t)sim_random_below(random, 800);
    if (kind == 0)
        session->stat_off = 1 + (uint32_t)sim_random_below(random, 20);
    for (uint32_t i = 0; kind > 0 && i < session->row_count; i++) {
        bool stays = !sim_random_chance(random, lost);
        if (kind == 1 || kind == 3)
            session->rows[i].in_uidl = stays;
        else
            session->rows[i].in_list = stays;
    }
}

void session_make_view(struct sim_session *session)
{
    struct sim_server *server = session->server;
    session->listed_ms = server->now_ms;
    server_rename_all(session);
    for (size_t i = 0; i < server->message_count; i++)
        if (message_is_there(server->messages[i]))
            add_row(session, server->messages[i]);
    session->last_serial = server->message_count;
    if (session->row_count > 0) {
        (void)session_trait(session, SIM_FAULT_UIDL_ODD);
        (void)session_trait(session, SIM_FAULT_UIDL_OF_HEADER);
    }
    lose_rows(session);
    shuffle(session);
    number_rows(session, 0);
    spoil_uidls(session);
    contradict(session);
}

/* Mail that came after the login, some of it right now: LIST has it, and UIDL where it was not
 * given yet. */
static void see_arrivals(struct sim_session *session)
{
    struct sim_server *server = session->server;
    uint32_t from = session->row_count;
    if (!session->has[SIM_FAULT_SEES_ARRIVALS])
        return;
    if (sim_random_chance(fault_random(server, SIM_FAULT_SEES_ARRIVALS), 400))
        (void)server_deliver(server, NULL);
    if (session->last_serial == server->message_count)
        return;
    (void)session_fault(session, SIM_FAULT_SEES_ARRIVALS);
    for (uint64_t serial = session->last_serial + 1; serial <= server->message_count; serial++)
        if (message_is_there(server_message(server, serial)))
            add_row(session, server_message(server, serial))->in_uidl = !session->has_uidls;
    session->last_serial = server->message_count;
    number_rows(session, from);
}

struct sim_row *session_row(const struct sim_session *session, const struct request *request)
{
    if (!request->has_msgnum)
        return NULL;
    for (uint32_t i = 0; i < session->row_count; i++)
        if (session->rows[i].msgnum == request->msgnum && session->rows[i].dele != SIM_DELE_MARKED)
            return &session->rows[i];
    return NULL;
}

/* ---- STAT ---- */

void answer_stat(struct sim_session *session)
{
    uint64_t count = 0, octets = 0;
    for (uint32_t i = 0; i < session->row_count; i++) {
        if (session->rows[i].dele == SIM_DELE_MARKED)
            continue;
        count++;
        if (session->rows[i].listed_octets > 0)
            octets += (uint64_t)session->rows[i].listed_octets;
    }
    if (answer_fault(session, SIM_FAULT_STAT_REFUSED))
        answer_error(session, "no STAT now");
    else if (!answer_fault(session, SIM_FAULT_STAT_ODD))
        answer_ok(session, "%llu %llu", (unsigned long long)(count + session->stat_off),
                  (unsigned long long)octets);
    else if (sim_random_chance(fault_random(session->server, SIM_FAULT_STAT_ODD), 500))
        answer_ok(session, "%llu -1", (unsigned long long)(count + session->stat_off));
    else
        answer_ok(session, "maildrop ready");
}

/* ---- UIDL and LIST ---- */

/* A row as it should be, or with blanks and words that some servers put there. */
static void put_row(struct sim_session *session, uint32_t msgnum, struct slice text)
{
    static const char *const before[] = {"", "+OK ", " ", ""};
    static const char *const between[] = {" ", " ", "  ", "\t "};
    static const char *const behind[] = {"", " ", "", "  "};
    uint64_t form = 0;
    if (session_fault(session, SIM_FAULT_ODD_ROWS))
        form = sim_random_below(fault_random(session->server, SIM_FAULT_ODD_ROWS), 4);
    char number[48];
    int len = snprintf(number, sizeof(number), "%s%u%s", before[form], msgnum, between[form]);
    session_put(session, (struct slice){number, (size_t)len});
    session_put(session, text);
    session_put(session, slice_from_string(behind[form]));
    session_put(session, session_eol(session));
}

/* Rows that are about no message. */
static void put_odd_row(struct sim_session *session)
{
    static const char *const rows[] = {"0 zero", "-1 minus", "x y", "4294967297 beyond",
                                       "",       "7seven 7"};
    struct sim_random *random = fault_random(session->server, SIM_FAULT_ODD_ROWS);
    if (session->has[SIM_FAULT_ODD_ROWS] && sim_random_chance(random, 150))
        session_put_line(session, "%s", rows[sim_random_below(random, 6)]);
}

/* Courier numbers LIST anew once something is marked. */
static uint32_t shown_msgnum(struct sim_session *session, uint32_t position)
{
    uint32_t marked = 0;
    for (uint32_t i = 0; i < position; i++)
        marked += session->rows[i].dele == SIM_DELE_MARKED;
    if (marked == 0 || !session_trait(session, SIM_FAULT_RENUMBERS_ON_DELE))
        return session->rows[position].msgnum;
    return session->rows[position].msgnum - marked;
}

static struct slice size_text(const struct sim_row *row, char *out, size_t capacity)
{
    int len = row->listed_octets == SIM_OCTETS_NONSENSE
                  ? snprintf(out, capacity, "%%!d(float64=5461)")
                  : snprintf(out, capacity, "%lld", (long long)row->listed_octets);
    return (struct slice){out, (size_t)len};
}

/* True where the rows are not given, whatever they are. */
static bool refuses_rows(struct sim_session *session)
{
    if (session->row_count == 0 && session_trait(session, SIM_FAULT_EMPTY_HAS_NO_ROWS)) {
        if (session->server->style.nonsense % 2 == 0)
            session->is_silent = true;
        else
            answer_error(session, "the maildrop is empty");
        return true;
    }
    if (!answer_fault(session, SIM_FAULT_ROWS_REFUSED))
        return false;
    answer_error(session, "not now");
    return true;
}

static void answer_uidl_one(struct sim_session *session, const struct request *request)
{
    const struct sim_row *row = session_row(session, request);
    if (row == NULL || session_trait(session, SIM_FAULT_NO_UIDL_ONE)) {
        answer_error(session, "no such message");
        return;
    }
    session->answer.serial = row->serial;
    session_put(session, SLICE_LITERAL("+OK "));
    if (!session_trait(session, SIM_FAULT_UIDL_ONE_BARE)) {
        char number[16];
        int len = snprintf(number, sizeof(number), "%u ", row->msgnum);
        session_put(session, (struct slice){number, (size_t)len});
    }
    session_put(session, row->uidl);
    session_put(session, session_eol(session));
}

void answer_uidl(struct sim_session *session, const struct request *request)
{
    if (session_trait(session, SIM_FAULT_NO_UIDL)) {
        answer_error(session, "unknown command");
        return;
    }
    if (request->verb == SIM_VERB_UIDL_ONE) {
        answer_uidl_one(session, request);
        return;
    }
    if (refuses_rows(session))
        return;
    see_arrivals(session);
    session->has_uidls = true;
    answer_ok(session, "unique ids");
    for (uint32_t i = 0; i < session->row_count; i++) {
        const struct sim_row *row = &session->rows[i];
        if (!row->in_uidl || row->dele == SIM_DELE_MARKED)
            continue;
        put_row(session, shown_msgnum(session, i), row->uidl);
        if (row->twice != 0)
            put_row(session, row->msgnum, server_message(session->server, row->twice)->truth.uidl);
        put_odd_row(session);
    }
    answer_dot(session);
}

static void answer_list_one(struct sim_session *session, const struct request *request)
{
    char text[32];
    const struct sim_row *row = session_row(session, request);
    if (row == NULL) {
        answer_error(session, "no such message");
        return;
    }
    session->answer.serial = row->serial;
    (void)size_text(row, text, sizeof(text));
    answer_ok(session, "%u %s", row->msgnum, text);
}

void answer_list(struct sim_session *session, const struct request *request)
{
    char text[32];
    if (request->verb == SIM_VERB_LIST_ONE) {
        answer_list_one(session, request);
        return;
    }
    if (refuses_rows(session))
        return;
    see_arrivals(session);
    answer_ok(session, "sizes");
    for (uint32_t i = 0; i < session->row_count; i++) {
        const struct sim_row *row = &session->rows[i];
        if (!row->in_list)
            continue;
        if (row->dele != SIM_DELE_MARKED)
            put_row(session, shown_msgnum(session, i), size_text(row, text, sizeof(text)));
        else if (session_trait(session, SIM_FAULT_SHOWS_DELETED))
            put_row(session, row->msgnum, SLICE_LITERAL("0"));
        put_odd_row(session);
    }
    answer_dot(session);
}
