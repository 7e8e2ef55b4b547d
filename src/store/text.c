/* SPDX-License-Identifier: MIT */
#include "text.h"

struct slice text_cut(struct slice text)
{
    if (text.len <= STORE_TEXT_OCTETS_MAX)
        return text;
    text.len = STORE_TEXT_OCTETS_MAX;
    while (text.len > 0 && ((unsigned char)text.data[text.len] & 0xc0) == 0x80)
        text.len--;
    return slice_trim(text);
}
