/* SPDX-License-Identifier: MIT */
/* What a server or a sender wrote, made harmless before a person sees it. */
#include "popfs/base.h"

#include <string.h>

size_t text_character(struct slice text, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text.len == 0 ? 0xff : (unsigned char)text.data[0];
    size_t octets = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (octets == 0 || octets > text.len || first >= 0xf8)
        return 0;
    uint32_t code = octets == 1 ? first : first & (0x7fU >> octets);
    for (size_t i = 1; i < octets; i++) {
        unsigned char next = (unsigned char)text.data[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (next & 0x3f);
    }
    if (code < least[octets] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return octets;
}

bool text_is_harmless(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } harmful[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    };
    for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++)
        if (code >= harmful[i].first && code <= harmful[i].last)
            return false;
    return true;
}

/* How many octets at the front of `text` may be shown as they are; 0: none. */
typedef size_t shown_octets(struct slice text);

static size_t shown_ascii(struct slice text)
{
    unsigned char c = (unsigned char)text.data[0];
    return c >= 0x20 && c < 0x7f && c != '\\' ? 1 : 0;
}

static size_t shown_utf8(struct slice text)
{
    uint32_t code = 0;
    size_t octets = text_character(text, &code);
    return octets > 0 && code != '\\' && text_is_harmless(code) ? octets : 0;
}

static const char *escape(struct slice text, shown_octets *shown, char *out, size_t capacity)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    if (capacity == 0)
        return out;
    while (text.len > 0) {
        unsigned char c = (unsigned char)text.data[0];
        size_t octets = shown(text);
        size_t width = octets > 0 ? octets : 4;
        if (used + width >= capacity)
            break;
        if (octets > 0)
            memcpy(out + used, text.data, octets);
        else
            memcpy(out + used, (const char[]){'\\', 'x', digits[c >> 4], digits[c & 15]}, 4);
        used += width;
        text = slice_skip(text, octets > 0 ? octets : 1);
    }
    out[used] = '\0';
    return out;
}

const char *text_escape(struct slice text, char *out, size_t capacity)
{
    return escape(text, shown_ascii, out, capacity);
}

const char *text_show(struct slice text, char *out, size_t capacity)
{
    return escape(text, shown_utf8, out, capacity);
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t text_distance(struct slice a, struct slice b)
{
    enum { WORD_MAX = 32 };
    size_t rows[WORD_MAX + 1][WORD_MAX + 1];
    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= a.len; i++)
        for (size_t j = 0; j <= b.len; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            size_t differs = a.data[i - 1] != b.data[j - 1];
            rows[i][j] = least_of(rows[i - 1][j - 1] + differs,
                                  least_of(rows[i - 1][j], rows[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                rows[i][j] = least_of(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    return rows[a.len][b.len];
}
