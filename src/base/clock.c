/* SPDX-License-Identifier: MIT */
/* The clocks: nothing else reads them, so that tests/sim puts its own time in the place of this
 * file. */
#include "popfs/base.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_now_ms(void)
{
    return clock_now_ns() / 1000000;
}

int64_t clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

int64_t clock_slept_ms(void)
{
    return (read_ns(CLOCK_BOOTTIME) - read_ns(CLOCK_MONOTONIC)) / 1000000;
}
