/* SPDX-License-Identifier: MIT */
/*
 * How long to wait before the next attempt to log in (POP3.md rule 22), and since when no attempt
 * has worked. Pure: the time and the dice are the caller's.
 */
#ifndef SYNC_BACKOFF_H
#define SYNC_BACKOFF_H

#include "popfs/base.h"

struct backoff {
    unsigned failure_count;
    bool is_away; /* the server: no session could be had since */
    int64_t away_from_ms;
};

void backoff_succeeded(struct backoff *backoff);
/*
 * Counts a failed attempt and gives the delay before the next, in ms: a link that failed 1 s
 * doubling to 60 s, a busy maildrop 5 s doubling to 120 s, a refused account 60 s. `dice` is any
 * random number: a quarter of the delay is jitter.
 */
int64_t backoff_failed(struct backoff *backoff, enum fault fault, uint32_t dice);

/* True of a failure that may be over the next moment: nobody said why. */
bool backoff_is_outage(enum fault fault);
/* A session could not be had, and the attempt began then. What is no outage ends one: the server
 * answers. */
void backoff_note_failure(struct backoff *backoff, enum fault fault, int64_t begun_ms);
/* A session could be had. */
void backoff_note_session(struct backoff *backoff);
/* The outage that goes on began so early. */
bool backoff_is_away_since(const struct backoff *backoff, int64_t time_ms);

#endif
