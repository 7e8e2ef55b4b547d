/* SPDX-License-Identifier: MIT */
/* How many commands a second the server answers where they follow each other closely. Pure. */
#ifndef SYNC_PACE_H
#define SYNC_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    int64_t since_ms; /* since then an answer has always been owed */
    uint64_t count;   /* answers since then */
    uint64_t per_s;   /* as the last of them have shown; 0: not known */
};

/* A command was sent with nothing else owed. */
void pace_note_start(struct pace *pace, int64_t now_ms);
/* An answer is complete. */
void pace_note_answer(struct pace *pace, int64_t now_ms);
/* How many answers that makes in `ms`; 0 if it is not known. */
uint64_t pace_count_in(const struct pace *pace, int64_t ms);

#endif
