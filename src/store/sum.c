/* SPDX-License-Identifier: MIT */
#include "sum.h"

#include <xxhash.h>

static XXH3_state_t *state_of(struct sum *sum)
{
    return (XXH3_state_t *)sum;
}

static uint64_t not_none(uint64_t value)
{
    return value == SUM_NONE ? 1 : value;
}

struct sum *sum_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL)
        XXH3_64bits_reset(state);
    return (struct sum *)state;
}

void sum_free(struct sum *sum)
{
    XXH3_freeState(state_of(sum));
}

void sum_add(struct sum *sum, struct slice bytes)
{
    if (bytes.len > 0)
        XXH3_64bits_update(state_of(sum), bytes.data, bytes.len);
}

uint64_t sum_value(const struct sum *sum)
{
    return not_none(XXH3_64bits_digest((const XXH3_state_t *)sum));
}

uint64_t sum_of(struct slice bytes)
{
    return not_none(XXH3_64bits(bytes.data, bytes.len));
}
