/* SPDX-License-Identifier: MIT */
/* Clock, chance, log and threads of popfs, as the world has them: in the place of base/clock.c,
 * base/chance.c, base/log.c and sync/thread.c. */
#include "world_parts.h"

#include "popfs/base.h"
#include "thread.h"

#include <stdio.h>

/* ---- base/clock.c ---- */

int64_t clock_now_ns(void)
{
    return world_now_ms() * 1000000;
}

int64_t clock_now_ms(void)
{
    return world_now_ms();
}

int64_t clock_wall_ns(void)
{
    return world_wall_ns();
}

int64_t clock_slept_ms(void)
{
    return world_slept_ms();
}

/* ---- base/chance.c ---- */

bool chance_draw(void *memory, size_t octets)
{
    world_draw(memory, octets);
    return true;
}

/* ---- base/log.c ---- */

void log_start(enum log_sink sink, enum log_level most, const char *ident)
{
    (void)sink;
    (void)most;
    (void)ident;
}

void log_name(const char *what)
{
    (void)what;
}

void log_write_args(enum log_level level, const char *format, va_list args)
{
    char line[1024];
    if (level == LOG_LEVEL_DEBUG)
        return;
    vsnprintf(line, sizeof(line), format, args);
    world_log(line);
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_write_args(level, format, args);
    va_end(args);
}

/* ---- sync/thread.c ---- */

int thread_start(struct thread *thread, void *(*run)(void *argument), void *argument)
{
    thread->id = (pthread_t)world_start(run, argument);
    return 0;
}

void thread_join(const struct thread *thread)
{
    world_join((int)thread->id);
}

bool door_init(struct door *door)
{
    door->wake_descriptor = world_door_new();
    door->ready_descriptor = world_door_new();
    return true;
}

void door_done(struct door *door)
{
    *door = DOOR_NONE;
}

void door_wake(const struct door *door)
{
    world_door_knock(door->wake_descriptor);
}

/* What net.c would have polled is not in `fds`: it tells the world itself. */
void door_wait(const struct door *door, struct pollfd fds[], size_t count, int64_t timeout_ms)
{
    (void)fds;
    (void)count;
    world_wait(door->wake_descriptor, true, timeout_ms);
    world_door_forget_knock(door->wake_descriptor);
}

void door_say_ready(const struct door *door)
{
    world_door_knock(door->ready_descriptor);
}

static bool is_ready(void *context)
{
    const struct door *door = context;
    return world_door_was_knocked(door->ready_descriptor);
}

bool door_wait_ready(const struct door *door, int stop_descriptor)
{
    struct door copy = *door;
    /* An hour: login and listing have ten minutes, and some failures lead to another attempt. */
    int64_t until_ms = world_now_ms() + INT64_C(3600000);
    (void)stop_descriptor;
    if (!world_run(is_ready, &copy, until_ms))
        world_finding("a wait does not end", "the mount is waited for an hour");
    return true;
}
