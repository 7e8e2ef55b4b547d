/* SPDX-License-Identifier: MIT */
/*
 * A body whose size is not what LIST said (POP3.md 31). LIST counts as right until the answers to
 * two messages differ from it, and come alike each time. Pure.
 */
#ifndef SYNC_SIZE_H
#define SYNC_SIZE_H

#include <stdbool.h>
#include <stdint.h>

enum { SIZE_NEAR_OCTETS = 3 }; /* servers count a missing last line end, or not */

struct size_view {
    uint64_t listed_octets;  /* 0: LIST said nothing usable */
    uint64_t octets;         /* that came, as they were sent */
    bool came_before;        /* as many were taken for the whole before */
    bool list_is_wrong;      /* that is known */
    bool was_doubted;        /* it was asked for once more, alone, */
    uint64_t doubted_octets; /* because it came with so many */
};

enum size_verdict {
    SIZE_KEEP,
    SIZE_ASK_AGAIN, /* alone */
    SIZE_FAIL,      /* it may be a part */
};

enum size_verdict size_judge(const struct size_view *view);
/* The message tells that LIST is wrong: it came twice with the same size, which is not LIST's. */
bool size_accuses_list(const struct size_view *view);

#endif
