/* SPDX-License-Identifier: MIT */
/* Nothing but +OK is success: "+Okay", "+ERR" or an empty line are garbage, not leniency. */
#include "reply.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* `status` and then a blank or the end of the line. */
static bool has_status(struct slice line, struct slice status)
{
    if (!slice_has_prefix_nocase(line, status))
        return false;
    return line.len == status.len || is_blank(line.data[status.len]);
}

/* Of a status that has been cut off, its start. */
static bool begins_as(struct slice octets, struct slice status)
{
    if (octets.len < status.len)
        status.len = octets.len;
    if (!slice_has_prefix_nocase(octets, status))
        return false;
    char next = octets.len > status.len ? octets.data[status.len] : ' ';
    return is_blank(next) || next == '\r' || next == '\n';
}

bool pop3_begins_as_status(struct slice octets)
{
    return octets.len > 0 &&
           (begins_as(octets, SLICE_LITERAL("+OK")) || begins_as(octets, SLICE_LITERAL("-ERR")));
}

static const struct {
    struct slice word;
    enum pop3_code code;
} codes[] = {
    {{"IN-USE", 6}, POP3_CODE_IN_USE},     {{"LOGIN-DELAY", 11}, POP3_CODE_LOGIN_DELAY},
    {{"SYS/TEMP", 8}, POP3_CODE_SYS_TEMP}, {{"SYS/PERM", 8}, POP3_CODE_SYS_PERM},
    {{"AUTH", 4}, POP3_CODE_AUTH},         {{"UTF8", 4}, POP3_CODE_UTF8},
};

static enum pop3_code parse_code(struct slice text)
{
    if (text.len == 0 || text.data[0] != '[')
        return POP3_CODE_NONE;
    const char *close = memchr(text.data, ']', text.len);
    if (close == NULL || close == text.data + 1)
        return POP3_CODE_NONE;
    struct slice code = {text.data + 1, (size_t)(close - text.data) - 1};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct slice word = codes[i].word;
        /* Codes are hierarchical: what follows a further slash only refines (RFC 2449, 8). */
        if (slice_has_prefix_nocase(code, word) &&
            (code.len == word.len || code.data[word.len] == '/'))
            return codes[i].code;
    }
    return POP3_CODE_OTHER;
}

bool pop3_reply_parse(struct slice line, bool may_be_challenge, struct pop3_reply *ret_reply)
{
    struct pop3_reply reply = {.kind = POP3_REPLY_OK};
    size_t status_octets = 3;
    if (has_status(line, SLICE_LITERAL("-ERR"))) {
        reply.kind = POP3_REPLY_ERR;
        status_octets = 4;
    } else if (may_be_challenge && has_status(line, SLICE_LITERAL("+"))) {
        reply.kind = POP3_REPLY_CHALLENGE;
        status_octets = 1;
    } else if (!has_status(line, SLICE_LITERAL("+OK"))) {
        return false;
    }
    reply.text = slice_trim(slice_skip(line, status_octets));
    if (reply.kind != POP3_REPLY_CHALLENGE)
        reply.code = parse_code(reply.text);
    *ret_reply = reply;
    return true;
}

static bool contains_nocase(struct slice text, struct slice word)
{
    for (; text.len >= word.len; text = slice_skip(text, 1))
        if (slice_has_prefix_nocase(text, word))
            return true;
    return false;
}

enum fault pop3_reply_fault(const struct pop3_reply *reply, enum fault codeless)
{
    switch (reply->code) {
    case POP3_CODE_IN_USE:
    case POP3_CODE_LOGIN_DELAY:
    case POP3_CODE_SYS_TEMP:
        return FAULT_BUSY;
    case POP3_CODE_AUTH:
    case POP3_CODE_SYS_PERM:
        return FAULT_LOGIN;
    case POP3_CODE_NONE:
    case POP3_CODE_UTF8:
    case POP3_CODE_OTHER:
        break;
    }
    /* Servers older than RFC 2449 tell a lock only by its text. */
    if (contains_nocase(reply->text, SLICE_LITERAL("lock")) ||
        contains_nocase(reply->text, SLICE_LITERAL("busy")) ||
        contains_nocase(reply->text, SLICE_LITERAL("in use")))
        return FAULT_BUSY;
    return codeless;
}

/* The octets from `<` to `>` if they are a msg-id: something, one @, something, all printable. */
static struct slice stamp_at(struct slice text)
{
    size_t at_sign = 0;
    for (size_t i = 1; i < text.len; i++) {
        char c = text.data[i];
        if (c == '>') {
            bool valid = at_sign > 1 && i > at_sign + 1;
            return (struct slice){text.data, valid ? i + 1 : 0};
        }
        if (c <= ' ' || c > '~' || c == '<' || (c == '@' && at_sign > 0))
            break;
        if (c == '@')
            at_sign = i;
    }
    return (struct slice){text.data, 0};
}

struct slice pop3_reply_stamp(struct slice text)
{
    for (; text.len > 0; text = slice_skip(text, 1)) {
        if (text.data[0] != '<')
            continue;
        struct slice stamp = stamp_at(text);
        if (stamp.len > 0)
            return stamp;
    }
    return text;
}
