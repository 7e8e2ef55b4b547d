/* SPDX-License-Identifier: MIT */
/*
 * How long to wait before the next attempt to log in (POP3.md rule 22). Pure: the time and the dice
 * are the caller's.
 */
#ifndef SYNC_BACKOFF_H
#define SYNC_BACKOFF_H

#include "popfs/base.h"

struct backoff {
    unsigned failure_count;
};

void backoff_succeeded(struct backoff *backoff);
/*
 * Counts a failed attempt and gives the delay before the next, in ms: a link that failed 1 s
 * doubling to 60 s, a busy maildrop 5 s doubling to 120 s, a refused account 60 s. `dice` is any
 * random number: a quarter of the delay is jitter.
 */
int64_t backoff_failed(struct backoff *backoff, enum fault fault, uint32_t dice);

#endif
