/* SPDX-License-Identifier: MIT */
#include "pace.h"

enum {
    COUNT_LEAST = 32,    /* answers that tell something: fewer may have come in one packet */
    PER_S_MAX = 1000000, /* so that nothing overflows */
};

void pace_note_start(struct pace *pace, int64_t now_ms)
{
    pace->since_ms = now_ms;
    pace->count = 0;
}

void pace_note_answer(struct pace *pace, int64_t now_ms)
{
    uint64_t elapsed_ms = now_ms > pace->since_ms ? (uint64_t)(now_ms - pace->since_ms) + 1 : 1;
    if (++pace->count < COUNT_LEAST)
        return;
    uint64_t per_s = pace->count * 1000 / elapsed_ms;
    pace->per_s = per_s < PER_S_MAX ? per_s : PER_S_MAX;
}

uint64_t pace_count_in(const struct pace *pace, int64_t ms)
{
    return ms <= 0 ? 0 : pace->per_s * (uint64_t)ms / 1000;
}
