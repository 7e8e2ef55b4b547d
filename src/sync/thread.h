/* SPDX-License-Identifier: MIT */
/*
 * Threads: where the sync thread waits, and who wakes it. Nothing else in this folder starts,
 * joins, polls or wakes, so that tests/sim puts coroutines in the place of this file.
 */
#ifndef SYNC_THREAD_H
#define SYNC_THREAD_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Has every signal blocked. */
struct thread {
    pthread_t id;
};

/* 0 or an errno value. */
int thread_start(struct thread *thread, void *(*run)(void *argument), void *argument);
void thread_join(const struct thread *thread);

/* The door of the sync thread: any thread may knock. */
struct door {
    int wake_descriptor;  /* eventfd: look at what is shared */
    int ready_descriptor; /* eventfd: the start is over */
};

#define DOOR_NONE ((struct door){.wake_descriptor = -1, .ready_descriptor = -1})

/* False: out of descriptors; door_done() may follow all the same. */
bool door_init(struct door *door);
void door_done(struct door *door);
void door_wake(const struct door *door);
/* On the sync thread: waits until somebody wakes it, one of fds[0 … count) is ready, or the time
 * has run; -1: no end to it. `fds` has room for one more. */
void door_wait(const struct door *door, struct pollfd fds[], size_t count, int64_t timeout_ms);
/* On the sync thread, once. */
void door_say_ready(const struct door *door);
/* True when the thread has said so, false when `stop_descriptor` (-1: none) became readable. */
bool door_wait_ready(const struct door *door, int stop_descriptor);

#endif
