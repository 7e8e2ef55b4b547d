/* SPDX-License-Identifier: MIT */
/* What has been asked and not been answered yet: first in, first out. */
#ifndef POPFS_POP3_QUEUE_H
#define POPFS_POP3_QUEUE_H

#include "popfs/pop3.h"

struct pop3_pending {
    enum pop3_command command;
    void *tag;
    uint64_t
        asked_at; /* octets that had been fed when it was asked: its answer cannot start before */
    uint64_t sent_at; /* octets that have been sent once all of it is */
};

struct pop3_queue {
    struct pop3_pending *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t first;
    size_t count;
};

void pop3_queue_done(struct pop3_queue *queue);
/* False for want of memory. */
bool pop3_queue_push(struct pop3_queue *queue, const struct pop3_pending *pending);
/* NULL if nothing is outstanding; valid until the next push or pop. */
struct pop3_pending *pop3_queue_front(const struct pop3_queue *queue);
void pop3_queue_pop(struct pop3_queue *queue);

#endif
