/* SPDX-License-Identifier: MIT */
/*
 * popfs escapes what servers and senders wrote, but popfsctl does not rely on it: anybody may mount
 * something that calls itself popfs. Refuses to know where the text came from.
 */
#include "harmless.h"

/* Octets of the character at the front; 0 if it is not UTF-8 (RFC 3629, 4). */
static size_t decode(struct slice text, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)text.data[0];
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

static bool is_harmless(uint32_t code, enum harmless_style style)
{
    static const struct {
        uint32_t first, last;
    } harmful[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    };
    if (code == '\n')
        return style != HARMLESS_LINE;
    if (code == '\t')
        return style == HARMLESS_JSON;
    for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++)
        if (code >= harmful[i].first && code <= harmful[i].last)
            return false;
    return true;
}

static bool append_escaped(struct buffer *out, struct slice octets, uint32_t code,
                           enum harmless_style style)
{
    if (style == HARMLESS_JSON)
        return buffer_printf(out, "\\u%04x", (unsigned)code); /* none of them is beyond 16 bits */
    bool good = true;
    for (size_t i = 0; good && i < octets.len; i++)
        good = buffer_printf(out, "\\x%02x", (unsigned char)octets.data[i]);
    return good;
}

bool harmless_append(struct buffer *out, struct slice text, enum harmless_style style)
{
    enum { REPLACEMENT = 0xfffd };
    bool good = true;
    while (good && text.len > 0) {
        uint32_t code = REPLACEMENT;
        size_t octets = decode(text, &code);
        bool escape = octets == 0 || !is_harmless(code, style);
        struct slice character = {text.data, octets == 0 ? 1 : octets};
        good = escape ? append_escaped(out, character, code, style) : buffer_append(out, character);
        text = slice_skip(text, character.len);
    }
    return good;
}
