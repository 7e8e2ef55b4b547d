/* SPDX-License-Identifier: MIT */
/* The clocks. Everything else in this folder is given the time, so that tests can be, too. */
#ifndef SYNC_CLOCK_H
#define SYNC_CLOCK_H

#include <stdint.h>

/* Monotonic; for deadlines. */
int64_t clock_now_ms(void);
/* Of the epoch; for first_seen and for people. */
int64_t clock_wall_ns(void);

/* How long the machine has been suspended since it was started. */
int64_t clock_slept_ms(void);

#endif
