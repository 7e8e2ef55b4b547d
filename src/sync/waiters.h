/* SPDX-License-Identifier: MIT */
/* Requests that wait for something which is not a job: a commit, a listing, the end of a prefetch.
 */
#ifndef SYNC_WAITERS_H
#define SYNC_WAITERS_H

#include "popfs/sync.h"

/* A zeroed one is empty. */
struct waiters {
    struct sync_request *first;
    size_t count;
};

void waiters_add(struct waiters *waiters, struct sync_request *request);
/* All of `from` go over to `to`. */
void waiters_move(struct waiters *to, struct waiters *from);
void waiters_answer(struct waiters *waiters, enum fault fault);
/* Answers those that have waited since before `expired_ms`. */
void waiters_expire(struct waiters *waiters, int64_t expired_ms, enum fault fault);
/* When the first of them was submitted; `none_ms` if there is none. */
int64_t waiters_oldest_ms(const struct waiters *waiters, int64_t none_ms);
/* Something was done for them until now. */
void waiters_wait_from(struct waiters *waiters, int64_t now_ms);
/* Answers those that were canceled. */
void waiters_answer_canceled(struct waiters *waiters);

#endif
