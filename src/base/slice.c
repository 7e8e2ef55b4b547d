/* SPDX-License-Identifier: MIT */
/* Borrowed bytes: compare, cut, read numbers. Never allocates. */
#include "popfs/base.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

struct slice slice_from_string(const char *text)
{
    return (struct slice){text, strlen(text)};
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && slice_has_prefix_nocase(a, b);
}

bool slice_has_prefix_nocase(struct slice text, struct slice prefix)
{
    if (text.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (to_lower(text.data[i]) != to_lower(prefix.data[i]))
            return false;
    return true;
}

struct slice slice_skip(struct slice text, size_t count)
{
    if (count > text.len)
        count = text.len;
    if (count == 0)
        return text;
    return (struct slice){text.data + count, text.len - count};
}

struct slice slice_trim(struct slice text)
{
    while (text.len > 0 && is_blank(text.data[0]))
        text = slice_skip(text, 1);
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

struct slice slice_take_word(struct slice *text)
{
    struct slice rest = *text;
    while (rest.len > 0 && is_blank(rest.data[0]))
        rest = slice_skip(rest, 1);
    struct slice word = {rest.data, 0};
    while (word.len < rest.len && !is_blank(rest.data[word.len]))
        word.len++;
    *text = slice_skip(rest, word.len);
    return word;
}

bool slice_to_number(struct slice text, uint64_t max, uint64_t *ret)
{
    if (text.len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}
