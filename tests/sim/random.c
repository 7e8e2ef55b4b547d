/* SPDX-License-Identifier: MIT */
#include "random.h"

#include <string.h>

static uint64_t rotated(uint64_t value, unsigned count)
{
    return (value << count) | (value >> (64 - count));
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

struct sim_random sim_random_from_seed(uint64_t seed)
{
    struct sim_random random = {.origin = seed};
    for (size_t i = 0; i < sizeof(random.state) / sizeof(random.state[0]); i++)
        random.state[i] = splitmix64(&seed);
    return random;
}

struct sim_random sim_random_fork(const struct sim_random *parent, const char *name)
{
    return sim_random_fork_index(parent, name, 0);
}

struct sim_random sim_random_fork_index(const struct sim_random *parent, const char *name,
                                        uint64_t index)
{
    /* FNV-1a of the name; splitmix64 then spreads it over all bits. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    uint64_t state = parent->origin;
    state = splitmix64(&state) ^ hash;
    state = splitmix64(&state) ^ index;
    return sim_random_from_seed(splitmix64(&state));
}

uint64_t sim_random_next(struct sim_random *random)
{
    uint64_t *state = random->state;
    uint64_t result = rotated(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotated(state[3], 45);
    return result;
}

uint64_t sim_random_below(struct sim_random *random, uint64_t bound)
{
    uint64_t drawn = sim_random_next(random);
    if (bound == 0)
        return 0;
    /* Drawn anew from the last, incomplete run of `bound` numbers, which would favour small ones.
     */
    uint64_t excess = (UINT64_MAX % bound + 1) % bound;
    while (drawn > UINT64_MAX - excess)
        drawn = sim_random_next(random);
    return drawn % bound;
}

int64_t sim_random_between(struct sim_random *random, int64_t low, int64_t high)
{
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;
    return (int64_t)((uint64_t)low + sim_random_below(random, span));
}

bool sim_random_chance(struct sim_random *random, uint32_t per_mille)
{
    return sim_random_below(random, 1000) < per_mille;
}

uint64_t sim_random_skewed(struct sim_random *random, uint64_t most)
{
    unsigned bits = 0;
    while (bits < 64 && most >> bits != 0)
        bits++;
    unsigned drawn = (unsigned)sim_random_below(random, bits + 1);
    uint64_t value = drawn == 0 ? 0 : sim_random_next(random) >> (64 - drawn);
    return value > most ? most : value;
}

void sim_random_fill(struct sim_random *random, void *memory, size_t octets)
{
    unsigned char *to = memory;
    for (; octets >= sizeof(uint64_t); octets -= sizeof(uint64_t), to += sizeof(uint64_t)) {
        uint64_t drawn = sim_random_next(random);
        memcpy(to, &drawn, sizeof(drawn));
    }
    uint64_t drawn = sim_random_next(random);
    memcpy(to, &drawn, octets);
}
