/* SPDX-License-Identifier: MIT */
/* Messages that were asked for when the server ended the session, and how often: what is asked
 * together with one of them is lost with it. The last few are remembered. */
#ifndef SYNC_OUTAGE_H
#define SYNC_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTAGES_MAX = 16 };

struct outage {
    uint64_t id; /* of the message */
    unsigned count;
};

struct outages {
    struct outage list[OUTAGES_MAX];
    size_t count; /* ever noted; the oldest makes room */
};

/* Once more; says how often by now. */
unsigned outages_note(struct outages *outages, uint64_t id);
/* How often that has been; 0: never. */
unsigned outages_of(const struct outages *outages, uint64_t id);
/* There is room for no other message. */
bool outages_are_many(const struct outages *outages);
void outages_forget(struct outages *outages);

#endif
