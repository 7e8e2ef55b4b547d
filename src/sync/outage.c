/* SPDX-License-Identifier: MIT */
#include "outage.h"

/* OUTAGES_MAX: not there. */
static size_t find(const struct outages *outages, uint64_t id)
{
    size_t count = outages->count < OUTAGES_MAX ? outages->count : OUTAGES_MAX;
    for (size_t i = 0; i < count; i++)
        if (outages->list[i].id == id)
            return i;
    return OUTAGES_MAX;
}

unsigned outages_note(struct outages *outages, uint64_t id)
{
    size_t i = find(outages, id);
    if (i == OUTAGES_MAX) {
        i = outages->count++ % OUTAGES_MAX;
        outages->list[i] = (struct outage){.id = id};
    }
    return ++outages->list[i].count;
}

unsigned outages_of(const struct outages *outages, uint64_t id)
{
    size_t i = find(outages, id);
    return i == OUTAGES_MAX ? 0 : outages->list[i].count;
}

bool outages_are_many(const struct outages *outages)
{
    return outages->count >= OUTAGES_MAX;
}

void outages_forget(struct outages *outages)
{
    outages->count = 0;
}
