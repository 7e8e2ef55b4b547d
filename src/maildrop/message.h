/* SPDX-License-Identifier: MIT */
/* A message as the maildrop itself sees it; others go through popfs/maildrop.h. */
#ifndef MAILDROP_MESSAGE_H
#define MAILDROP_MESSAGE_H

#include "popfs/maildrop.h"

#include <stdatomic.h>

struct maildrop_message {
    atomic_uint refs;
    uint32_t copy;
    uint64_t id;
    int64_t first_seen_ns;
    uint64_t listed_octets;
    _Atomic uint64_t exact_octets; /* MESSAGE_OCTETS_UNKNOWN until RETR has told */
    _Atomic int64_t time_s;        /* MESSAGE_TIME_UNKNOWN until a header has told */
    atomic_bool going;
    atomic_bool leaving;
    atomic_bool gone;
    atomic_bool withdrawn;
    atomic_bool replaced; /* gone, but its UIDL was still listed */
    bool unique;          /* no other message of the listing has this UIDL */
    bool kept;            /* scratch of maildrop_apply(): the new listing still has it */
    uint16_t uidl_octets;
    char uidl[];
};

#define MESSAGE_OCTETS_UNKNOWN UINT64_MAX
#define MESSAGE_TIME_UNKNOWN INT64_MIN

/* One reference; NULL for want of memory. */
struct maildrop_message *message_new(struct slice uidl, uint32_t copy, bool unique, uint64_t id,
                                     uint64_t listed_octets, int64_t first_seen_ns);

#endif
