/* SPDX-License-Identifier: MIT */
/* Chance: nothing else asks the kernel for it, so that tests/sim puts a seed in the place of this
 * file. */
#include "popfs/base.h"

#include <sys/random.h>

bool chance_draw(void *memory, size_t octets)
{
    /* The kernel gives up to 256 octets at once or not at all. */
    return getrandom(memory, octets, 0) == (ssize_t)octets;
}
