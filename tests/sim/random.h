/* SPDX-License-Identifier: MIT */
/*
 * random: chance that a seed repeats exactly. xoshiro256**, seeded by splitmix64.
 *
 * Everything that a simulated world draws comes from one seed. Parts of the world draw from forks
 * of their own, so that a part which draws once more than before does not change all the others.
 */
#ifndef POPFS_SIM_RANDOM_H
#define POPFS_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Owned by the caller, no memory behind it: it may be copied, and the copy draws the same. */
struct sim_random {
    uint64_t state[4];
    uint64_t origin; /* what it was seeded with; forks are made from it, not from the state */
};

struct sim_random sim_random_from_seed(uint64_t seed);

/*
 * A stream of its own for `name` ("server", "disk", "users"). It depends on the seed of `parent`
 * and on the name alone, never on how much was drawn from `parent` before, which stays as it was.
 */
struct sim_random sim_random_fork(const struct sim_random *parent, const char *name);
/* The same for the number `index` of several parts of one kind: message 7, session 3. */
struct sim_random sim_random_fork_index(const struct sim_random *parent, const char *name,
                                        uint64_t index);

uint64_t sim_random_next(struct sim_random *random);
/* From 0 to bound - 1, all as likely as each other. `bound` 0 gives 0. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);
/* From `low` to `high`, both included. */
int64_t sim_random_between(struct sim_random *random, int64_t low, int64_t high);
/* True in `per_mille` of 1000 cases. Draws even where 0 or 1000 leave no doubt, so that a weight
 * which changes moves no other draw. */
bool sim_random_chance(struct sim_random *random, uint32_t per_mille);
/* From 0 to `most`, small numbers far more often: each power of two is as likely as the next. */
uint64_t sim_random_skewed(struct sim_random *random, uint64_t most);
void sim_random_fill(struct sim_random *random, void *memory, size_t octets);

#endif
