/* SPDX-License-Identifier: MIT */
/* What the header of a kept body says about the identity of its message. */
#include "engine.h"

#include "header.h"
#include "popfs/mail.h"

#include <unistd.h>

enum { PIECE_OCTETS = 4096 };

static void read_header(struct extent body, struct header *header)
{
    char piece[PIECE_OCTETS];
    uint64_t at = 0;
    while (at < body.octets && !header->complete) {
        uint64_t left = body.octets - at;
        ssize_t count =
            pread(body.descriptor, piece, left < sizeof(piece) ? (size_t)left : sizeof(piece),
                  (off_t)(body.offset + at));
        if (count <= 0) {
            header->is_cut = true;
            return;
        }
        header_feed(header, (struct slice){piece, (size_t)count});
        at += (uint64_t)count;
    }
}

bool engine_kept_evidence(const struct sync *sync, const struct maildrop_message *message,
                          struct evidence *ret_evidence)
{
    struct extent body;
    struct header header = {0};
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    *ret_evidence = (struct evidence){0};
    if (!exact || !engine_has_body_probably(sync, message) ||
        store_body_peek(sync->store, maildrop_message_id(message), octets, &body) != FAULT_NONE)
        return false;
    read_header(body, &header);
    close(body.descriptor);
    if (!header.is_cut)
        mail_evidence(buffer_slice(&header.bytes), ret_evidence);
    bool says = evidence_is_known(ret_evidence) || header_is_none(&header);
    header_done(&header);
    return says;
}
