/* SPDX-License-Identifier: MIT */
/* shrink: runs a seed in a process of its own, and makes a history that fails shorter. */
#ifndef POPFS_SIM_SHRINK_H
#define POPFS_SIM_SHRINK_H

#include "plan.h"

enum { SEEDS_MAX = 50 };

struct finding {
    char kind[128];
    char text[512];
};

/* Once, before all others. */
void seeds_prepare(void);
/* Runs these seeds one after the other in one process, until something is found: returns how many
 * went well. `count` is at most SEEDS_MAX. */
uint64_t seeds_run(uint64_t first, uint64_t count, const struct plan_edits *edits, bool trace,
                   struct finding *ret_finding);
/* True if something was found. */
bool seed_run(uint64_t seed, const struct plan_edits *edits, bool trace,
              struct finding *ret_finding);
/* Drops what is not needed for a finding of the same kind, says what is left, and shows its trace.
 * Returns the exit code. */
int shrink(uint64_t seed, const struct plan_edits *edits);

#endif
