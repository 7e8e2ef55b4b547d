/* SPDX-License-Identifier: MIT */
/* What a server or a sender wrote, made harmless before a person sees it. */
#include "popfs/base.h"

#include <string.h>

const char *text_escape(struct slice text, char *out, size_t capacity)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    if (capacity == 0)
        return out;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';
        size_t width = plain ? 1 : 4;
        if (used + width >= capacity)
            break;
        if (plain) {
            out[used] = (char)c;
        } else {
            out[used] = '\\';
            out[used + 1] = 'x';
            out[used + 2] = digits[c >> 4];
            out[used + 3] = digits[c & 15];
        }
        used += width;
    }
    out[used] = '\0';
    return out;
}
