/* SPDX-License-Identifier: MIT */
/* A ring that doubles. The caller bounds how much it lets stand out. */
#include "queue.h"

#include <stdlib.h>

void pop3_queue_done(struct pop3_queue *queue)
{
    free(queue->ring);
    *queue = (struct pop3_queue){0};
}

static bool queue_grow(struct pop3_queue *queue)
{
    size_t capacity = queue->capacity == 0 ? 16 : queue->capacity * 2;
    struct pop3_pending *ring = calloc(capacity, sizeof(*ring));
    if (ring == NULL)
        return false;
    for (size_t i = 0; i < queue->count; i++)
        ring[i] = queue->ring[(queue->first + i) & (queue->capacity - 1)];
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->first = 0;
    return true;
}

bool pop3_queue_push(struct pop3_queue *queue, const struct pop3_pending *pending)
{
    if (queue->count == queue->capacity && !queue_grow(queue))
        return false;
    queue->ring[(queue->first + queue->count) & (queue->capacity - 1)] = *pending;
    queue->count++;
    return true;
}

struct pop3_pending *pop3_queue_front(const struct pop3_queue *queue)
{
    return queue->count == 0 ? NULL : &queue->ring[queue->first];
}

void pop3_queue_pop(struct pop3_queue *queue)
{
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
}
