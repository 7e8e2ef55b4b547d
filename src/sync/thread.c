/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include "popfs/base.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

int thread_start(struct thread *thread, void *(*run)(void *argument), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->id, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void thread_join(const struct thread *thread)
{
    pthread_join(thread->id, NULL);
}

bool door_init(struct door *door)
{
    door->wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    door->ready_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return door->wake_descriptor >= 0 && door->ready_descriptor >= 0;
}

void door_done(struct door *door)
{
    cleanup_close(&door->wake_descriptor);
    cleanup_close(&door->ready_descriptor);
    *door = DOOR_NONE;
}

static void knock(int descriptor)
{
    uint64_t one = 1;
    /* It fails only when the counter is full, and then the other side will wake anyway. */
    ssize_t written = write(descriptor, &one, sizeof(one));
    (void)written;
}

void door_wake(const struct door *door)
{
    knock(door->wake_descriptor);
}

void door_wait(const struct door *door, struct pollfd fds[], size_t count, int64_t timeout_ms)
{
    uint64_t wakes;
    fds[count] = (struct pollfd){.fd = door->wake_descriptor, .events = POLLIN};
    if (timeout_ms > INT32_MAX)
        timeout_ms = INT32_MAX;
    poll(fds, count + 1, (int)timeout_ms);
    if ((fds[count].revents & POLLIN) != 0 &&
        read(door->wake_descriptor, &wakes, sizeof(wakes)) < 0)
        log_write(LOG_LEVEL_ERROR, "cannot read the wake-up");
}

void door_say_ready(const struct door *door)
{
    knock(door->ready_descriptor);
}

bool door_wait_ready(const struct door *door, int stop_descriptor)
{
    struct pollfd fds[2] = {{.fd = door->ready_descriptor, .events = POLLIN},
                            {.fd = stop_descriptor, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        if ((fds[0].revents & POLLIN) != 0)
            return true;
        if ((fds[1].revents & (POLLIN | POLLHUP)) != 0)
            return false;
        fds[0].revents = fds[1].revents = 0;
    }
}
