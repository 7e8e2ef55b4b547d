/* SPDX-License-Identifier: MIT */
/* Text from a mount, made safe to show. */
#ifndef POPFS_CTL_HARMLESS_H
#define POPFS_CTL_HARMLESS_H

#include "popfs/base.h"

enum harmless_style {
    HARMLESS_LINE,  /* one line: LF is escaped as well */
    HARMLESS_LINES, /* LF stays */
    HARMLESS_JSON,  /* a JSON text: LF and TAB stay, the escapes are those of JSON */
};

/*
 * Appends `text` without what could move a cursor, end a line or turn the direction of writing: C0,
 * DEL, C1, the controls of bidirectional text and bytes that are not UTF-8 become escapes. Other
 * UTF-8 stays. False for want of memory.
 */
bool harmless_append(struct buffer *out, struct slice text, enum harmless_style style);

#endif
