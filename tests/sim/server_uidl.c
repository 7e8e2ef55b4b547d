/* SPDX-License-Identifier: MIT */
/* What the server calls its messages, and when it calls them something else. */
#include "mail.h"
#include "server_parts.h"

#include <stdio.h>
#include <string.h>

enum { UIDL_OCTETS_MAX = 600 };

static uint64_t header_hash(const struct message *message)
{
    struct slice octets = message->truth.octets;
    size_t header = sim_mail_header_octets(octets);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < header; i++)
        hash = (hash ^ (unsigned char)octets.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Slashes, percent signs, blanks, 8-bit octets, names that a file system knows, up to 500 octets.
 */
static size_t write_odd(struct sim_server *server, uint64_t number, char *out, size_t capacity)
{
    static const char *const forms[] = {
        "INBOX/%llu/cur", "../%llu",      "%%2e%llu%%00", "a b\tc %llu", "\xc3\xa9\xff%llu",
        ".%llu",          "%llu\"'`$(x)", "-%llu",        "%llu",
    };
    uint64_t form = sim_random_below(fault_random(server, SIM_FAULT_UIDL_ODD), 10);
    if (form < sizeof(forms) / sizeof(forms[0])) {
        const char *at = strstr(forms[form], "%llu");
        int before = (int)(at - forms[form]);
        return (size_t)snprintf(out, capacity, "%.*s%llu%s", before, forms[form],
                                (unsigned long long)number, at + 4);
    }
    size_t octets = (size_t)sim_random_between(fault_random(server, SIM_FAULT_UIDL_ODD), 71, 500);
    memset(out, 'x', octets);
    int len = snprintf(out, capacity, "%llu-", (unsigned long long)number);
    out[len] = 'x';
    return octets;
}

static struct slice uidl_of_number(struct sim_server *server, uint64_t number)
{
    char text[UIDL_OCTETS_MAX];
    size_t len = 0;
    if (server->takes_part[SIM_FAULT_UIDL_ODD]) {
        len = write_odd(server, number, text, sizeof(text));
    } else {
        switch (server->style.uidl) {
        case UIDL_STYLE_HEX:
            len =
                (size_t)snprintf(text, sizeof(text), "%08llx5f3b2a10", (unsigned long long)number);
            break;
        case UIDL_STYLE_MAILDIR:
            len = (size_t)snprintf(text, sizeof(text), "1796068453.M%lluP41.mx.example.org,S=1:2,",
                                   (unsigned long long)number);
            break;
        case UIDL_STYLE_NUMBER:
        case UIDL_STYLE_COUNT:
            len = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
            break;
        }
    }
    return sim_arena_copy(&server->arena, (struct slice){text, len});
}

static bool is_taken(const struct sim_server *server, struct slice uidl, const struct message *but)
{
    for (size_t i = 0; i < server->message_count; i++)
        if (server->messages[i] != but && message_is_there(server->messages[i]) &&
            slice_equal(server->messages[i]->truth.uidl, uidl))
            return true;
    return false;
}

/* The message, gone, that was the last to have this UIDL. */
static const struct message *last_owner(const struct sim_server *server, struct slice uidl)
{
    size_t i = server->message_count;
    while (i > 0 && (message_is_there(server->messages[i - 1]) ||
                     !slice_equal(server->messages[i - 1]->truth.uidl, uidl)))
        i--;
    return i == 0 ? NULL : server->messages[i - 1];
}

/* mailutils gives new mail the lowest number that is free. */
const struct message *server_next_owner(const struct sim_server *server)
{
    if (!server->takes_part[SIM_FAULT_UIDL_REUSE] || server->takes_part[SIM_FAULT_UIDL_OF_HEADER])
        return NULL;
    for (size_t i = 0; i < server->message_count; i++) {
        const struct message *message = server->messages[i];
        if (!message_is_there(message) && !is_taken(server, message->truth.uidl, message))
            return last_owner(server, message->truth.uidl);
    }
    return NULL;
}

struct slice server_new_uidl(struct sim_server *server, const struct message *message,
                             uint64_t *ret_replaced)
{
    *ret_replaced = 0;
    if (server->takes_part[SIM_FAULT_UIDL_OF_HEADER]) {
        char text[24];
        int len = snprintf(text, sizeof(text), "%016llx", (unsigned long long)header_hash(message));
        return sim_arena_copy(&server->arena, (struct slice){text, (size_t)len});
    }
    const struct message *before = server_next_owner(server);
    if (before == NULL)
        return uidl_of_number(server, server->next_uidl++);
    *ret_replaced = before->truth.serial;
    server_note(server, NULL, message->truth.serial, SIM_FAULT_UIDL_REUSE);
    return before->truth.uidl;
}

/* Numbers start anew, so that UIDLs go to other messages than before. */
static void shift_all(struct sim_server *server)
{
    uint64_t number = 1;
    for (size_t i = 0; i < server->message_count; i++)
        if (message_is_there(server->messages[i]))
            server->messages[i]->truth.uidl = uidl_of_number(server, number++);
    if (server->next_uidl < number)
        server->next_uidl = number;
}

static void renew_all(struct sim_server *server)
{
    server->next_uidl += 100000;
    for (size_t i = 0; i < server->message_count; i++)
        if (message_is_there(server->messages[i]))
            server->messages[i]->truth.uidl = uidl_of_number(server, server->next_uidl++);
}

/* The next mail takes over the UIDL of a message that was listed before. */
static void replace_some(struct sim_session *session)
{
    struct sim_server *server = session->server;
    size_t count = server->message_count;
    for (size_t i = 0; i < count; i++) {
        struct message *message = server->messages[i];
        if (!message_is_there(message) || message->listed_session == 0 ||
            !message_fault(session, message, SIM_FAULT_BODY_CHANGES))
            continue;
        server_remove(server, message, SIM_GONE_TAKEN, 0);
        (void)server_deliver(server, message);
    }
}

void server_rename_all(struct sim_session *session)
{
    replace_some(session);
    if (session_fault(session, SIM_FAULT_UIDL_SHIFTED))
        shift_all(session->server);
    if (session_fault(session, SIM_FAULT_UIDL_ALL_NEW))
        renew_all(session->server);
}
