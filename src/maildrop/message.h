/* SPDX-License-Identifier: MIT */
/* A message as the maildrop itself sees it; others go through popfs/maildrop.h. */
#ifndef MAILDROP_MESSAGE_H
#define MAILDROP_MESSAGE_H

#include "popfs/maildrop.h"

#include <stdatomic.h>

enum { MESSAGE_EVIDENCE_PARTS = DIGEST_SHA256_OCTETS / 8 };

struct maildrop_message {
    atomic_uint refs;
    uint32_t copy;
    uint64_t id;
    int64_t first_seen_ns;
    _Atomic uint64_t listed_octets;
    _Atomic uint64_t exact_octets; /* MESSAGE_OCTETS_UNKNOWN until RETR has told */
    _Atomic int64_t time_s;        /* MESSAGE_TIME_UNKNOWN until a header has told */
    atomic_bool unsized;           /* the newest listing that had it said no size */
    atomic_bool going, held;
    atomic_bool leaving;
    atomic_bool gone;
    atomic_bool withdrawn;
    atomic_bool replaced; /* gone, but its UIDL was still listed */
    /* What its header proves, by parts; all 0: not known. */
    _Atomic uint64_t evidence[MESSAGE_EVIDENCE_PARTS];
    atomic_bool doubted;       /* it may be another one, until it has been proven */
    atomic_uint listed_in;     /* the newest listing that had it; 0: one of an earlier mount */
    atomic_uint wished_in;     /* the same, when it was set going */
    atomic_uint proven_in;     /* the same, when it was proven */
    atomic_uint unprovable_in; /* the same, when it could not be */
    atomic_uint renewed_in;    /* the same, when it was set going after that */
    /* Rows of this UIDL in the listing that the message appeared in; 0: its UIDL was made up. */
    uint32_t copies_count;
    uint32_t place; /* its row in the newest listing */
    uint32_t rank;  /* scratch of maildrop_apply(): its place among those that stay */
    /* Scratch of maildrop_apply(): a copy that another one resembles; the new listing still has it.
     */
    bool kept;
    uint16_t uidl_octets;
    char uidl[];
};

#define MESSAGE_OCTETS_UNKNOWN UINT64_MAX
#define MESSAGE_TIME_UNKNOWN INT64_MIN

struct message_row {
    struct slice uidl;
    uint32_t copy, copies_count;
    uint32_t listed_in, place;
    uint64_t octets;
};

/* One reference; NULL for want of memory. */
struct maildrop_message *message_new(const struct message_row *row, uint64_t id,
                                     int64_t first_seen_ns);

#endif
