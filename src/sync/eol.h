/* SPDX-License-Identifier: MIT */
/* eol=lf: each CRLF becomes LF, and nothing else changes. Pure. */
#ifndef SYNC_EOL_H
#define SYNC_EOL_H

#include "popfs/base.h"

/* A zeroed one stands at the start of a message. */
struct eol {
    bool cr; /* the last octet was a CR, and what follows decides */
    struct buffer out;
};

void eol_begin(struct eol *eol);
void eol_done(struct eol *eol);
/* What of the message is certain after these octets; it lives until the next call. False for want
 * of memory. */
bool eol_feed(struct eol *eol, struct slice bytes, struct slice *ret_bytes);
/* The message is over: a CR that was its last octet. */
struct slice eol_end(struct eol *eol);

#endif
