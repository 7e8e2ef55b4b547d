/* SPDX-License-Identifier: MIT */
#include "eol.h"

#include <string.h>

void eol_begin(struct eol *eol)
{
    eol->cr = false;
    eol->out.len = 0;
}

void eol_done(struct eol *eol)
{
    buffer_done(&eol->out);
}

/* The CR that was held back, unless an LF follows. */
static bool settle_cr(struct eol *eol, char next)
{
    bool keep = eol->cr && next != '\n';
    eol->cr = false;
    return !keep || buffer_append(&eol->out, SLICE_LITERAL("\r"));
}

bool eol_feed(struct eol *eol, struct slice bytes, struct slice *ret_bytes)
{
    eol->out.len = 0;
    while (bytes.len > 0) {
        if (!settle_cr(eol, bytes.data[0]))
            return false;
        const char *cr = memchr(bytes.data, '\r', bytes.len);
        size_t plain = cr == NULL ? bytes.len : (size_t)(cr - bytes.data);
        if (!buffer_append(&eol->out, (struct slice){bytes.data, plain}))
            return false;
        bytes = slice_skip(bytes, plain);
        if (bytes.len > 0) {
            eol->cr = true;
            bytes = slice_skip(bytes, 1);
        }
    }
    *ret_bytes = buffer_slice(&eol->out);
    return true;
}

struct slice eol_end(struct eol *eol)
{
    bool cr = eol->cr;
    eol->cr = false;
    return cr ? SLICE_LITERAL("\r") : (struct slice){0};
}
