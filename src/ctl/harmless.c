/* SPDX-License-Identifier: MIT */
/*
 * popfs escapes what servers and senders wrote, but popfsctl does not rely on it: anybody may mount
 * something that calls itself popfs. Refuses to know where the text came from.
 */
#include "harmless.h"

static bool is_harmless(uint32_t code, enum harmless_style style)
{
    if (code == '\n')
        return style != HARMLESS_LINE;
    if (code == '\t')
        return style == HARMLESS_JSON;
    return text_is_harmless(code);
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
        size_t octets = text_character(text, &code);
        bool escape = octets == 0 || !is_harmless(code, style);
        struct slice character = {text.data, octets == 0 ? 1 : octets};
        good = escape ? append_escaped(out, character, code, style) : buffer_append(out, character);
        text = slice_skip(text, character.len);
    }
    return good;
}
