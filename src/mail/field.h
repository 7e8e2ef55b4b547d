/* SPDX-License-Identifier: MIT */
/* The fields of a header, found one after the other without a copy. Refuses to know what they mean.
 */
#ifndef MAIL_FIELD_H
#define MAIL_FIELD_H

#include "popfs/mail.h"

enum {
    FIELD_OCTETS_MAX = MAIL_FIELD_OCTETS_MAX + 1, /* with the NUL behind it */
};

/* At most MAIL_HEADER_KEPT_MAX of it. */
struct slice field_header(struct slice header);
/*
 * Takes one line off the front; without CR and LF in *ret_line. False where the header ends. The
 * further lines of a folded field come as lines that start with a blank.
 */
bool field_take_line(struct slice *rest, struct slice *ret_line);
/*
 * If `line` starts the field `name` (with its colon): its body, unfolded, NULs as spaces, cut and
 * terminated, in `text`; *rest then stands behind it. `text` is as it was otherwise.
 */
bool field_read(struct slice line, struct slice name, struct slice *rest,
                char text[FIELD_OCTETS_MAX]);

#endif
