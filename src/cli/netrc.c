/* SPDX-License-Identifier: MIT */
/* Reads words and the entries they form. Refuses to know files, permissions and what a password may
 * hold. */
#include "netrc.h"

#include <string.h>

struct reader {
    char *at;
    char *end;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* A word in "…", with curl's escapes. False if the closing quote is missing. */
static bool take_quoted(struct reader *reader, struct slice *ret_word)
{
    char *out = ++reader->at;
    const char *start = out;
    for (; reader->at < reader->end && *reader->at != '"'; reader->at++) {
        if (*reader->at == '\\' && reader->at + 1 < reader->end)
            *out++ = unescape(*++reader->at);
        else
            *out++ = *reader->at;
    }
    if (reader->at == reader->end)
        return false;
    reader->at++;
    *ret_word = (struct slice){start, (size_t)(out - start)};
    return true;
}

static bool take_word(struct reader *reader, struct slice *ret_word)
{
    while (reader->at < reader->end && is_space(*reader->at))
        reader->at++;
    if (reader->at == reader->end)
        return false;
    if (*reader->at == '"')
        return take_quoted(reader, ret_word);
    const char *start = reader->at;
    while (reader->at < reader->end && !is_space(*reader->at))
        reader->at++;
    *ret_word = (struct slice){start, (size_t)(reader->at - start)};
    return true;
}

static void skip_line(struct reader *reader)
{
    char *end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    reader->at = end == NULL ? reader->end : end;
}

/* A macro ends with an empty line. */
static void skip_macro(struct reader *reader)
{
    char *end = memmem(reader->at, (size_t)(reader->end - reader->at), "\n\n", 2);
    reader->at = end == NULL ? reader->end : end;
}

static bool word_is(struct slice word, const char *text)
{
    return slice_equal(word, slice_from_string(text));
}

/* An entry under way, and whether its machine is ours. */
struct candidate {
    bool is_ours;
    struct netrc_entry entry;
};

static bool helps(const struct candidate *candidate, const char *user)
{
    const struct netrc_entry *entry = &candidate->entry;
    if (!candidate->is_ours)
        return false;
    if (user == NULL)
        return entry->login.len > 0;
    return entry->password.len > 0 && (entry->login.len == 0 || word_is(entry->login, user));
}

/* What follows "machine", "login" … False at the end of the text. */
static bool take_field(struct reader *reader, struct slice keyword, const char *host,
                       struct candidate *candidate)
{
    struct slice value;
    if (word_is(keyword, "machine")) {
        if (!take_word(reader, &value))
            return false;
        *candidate =
            (struct candidate){.is_ours = slice_equal_nocase(value, slice_from_string(host))};
        return true;
    }
    if (word_is(keyword, "default")) {
        *candidate = (struct candidate){.is_ours = true};
        return true;
    }
    if (word_is(keyword, "login") || word_is(keyword, "user"))
        return take_word(reader, &candidate->entry.login);
    if (word_is(keyword, "password"))
        return take_word(reader, &candidate->entry.password);
    return !word_is(keyword, "account") || take_word(reader, &value);
}

bool netrc_find(char *text, size_t len, const char *host, const char *user,
                struct netrc_entry *ret_entry)
{
    struct reader reader = {text, text + len};
    struct candidate candidate = {0};
    struct slice keyword;
    bool more = true;
    while (more && take_word(&reader, &keyword)) {
        if (keyword.len > 0 && keyword.data[0] == '#') {
            skip_line(&reader);
            continue;
        }
        if (word_is(keyword, "macdef")) {
            skip_macro(&reader);
            continue;
        }
        bool begins = word_is(keyword, "machine") || word_is(keyword, "default");
        if (begins && helps(&candidate, user))
            break;
        more = take_field(&reader, keyword, host, &candidate);
    }
    if (!helps(&candidate, user))
        return false;
    *ret_entry = candidate.entry;
    return true;
}
