/* SPDX-License-Identifier: MIT */
/*
 * world: virtual time, one thread of control, the trace, and findings.
 *
 * popfs's threads are coroutines here. Each runs until it waits; then the world lets time pass up
 * to the next thing that happens. Nothing in it depends on the machine: a seed gives the same
 * history each time, to the octet.
 */
#ifndef POPFS_SIM_WORLD_H
#define POPFS_SIM_WORLD_H

#include "random.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/* How popfs's process ended, if not by itself. */
enum world_end {
    WORLD_GOES_ON,
    WORLD_KILLED,    /* its memory is lost, its descriptors are closed */
    WORLD_POWER_CUT, /* so is what was not synced */
};

/* What happens by itself: mail arrives, somebody kills popfs. */
struct world_events {
    int64_t (*next_ms)(void *context); /* -1: never */
    void (*happen)(void *context);     /* what is due */
    void *context;
};

/* `trace`: every line goes to standard output. */
void world_begin(const struct sim_random *random, bool trace);
void world_set_events(const struct world_events *events);

int64_t world_now_ms(void);
/* Time in which nothing else happens: a disk that is slow. */
void world_pass_ms(int64_t ms);
/* The machine sleeps: its monotonic clock stands, all others go on. */
void world_suspend_ms(int64_t ms);

/* ---- the course of things: on the main stack ---- */

/* Where world_end_process() goes on: setjmp() gives its enum world_end. */
jmp_buf *world_process(void);
/* Lets things happen until `is_over` says so or it is `until_ms`; then that is the time. NULL: only
 * time ends it. Returns what `is_over` said last. */
bool world_run(bool (*is_over)(void *context), void *context, int64_t until_ms);
/* Lets one coroutine go on, or one event happen; false: nothing did until `until_ms`. */
bool world_step(int64_t until_ms);
/* popfs's process is no more, at once, whoever calls this. */
_Noreturn void world_end_process(enum world_end end);
/* The coroutines of a process that has ended are dropped. */
void world_forget_process(void);
/* For a coroutine: others go on meanwhile. */
void world_sleep_ms(int64_t ms);

/* ---- the trace ---- */

bool world_is_traced(void);
void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Called with each line that popfs logs. */
void world_on_log(void (*heard)(void *context, const char *line), void *context);

/* ---- findings ---- */

/* A rule is broken: says so to whoever runs the seed and ends the process of the simulation.
 * `kind` is one word or a few, the same for all findings of one kind. */
_Noreturn void world_finding(const char *kind, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Where findings go: a descriptor. */
void world_report_to(int descriptor);

#endif
