/* SPDX-License-Identifier: MIT */
#include "world_parts.h"

#include "popfs/base.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    COROUTINES_MAX = 64, /* of one process of popfs: each password that is fetched is one */
    DOORS_MAX = 16,
    STACK_OCTETS = 1024 * 1024,
    STEPS_AT_ONCE_MAX = 20000, /* without time passing: then it goes round in circles */
    STEPS_MAX = 8000000,
    LINE_OCTETS = 4096,
};

/* 2026-01-01 00:00:00 UTC. */
#define WALL_BEGIN_NS INT64_C(1767225600000000000)
#define NEVER INT64_MAX

enum coroutine_state { COROUTINE_RUNNABLE, COROUTINE_WAITING, COROUTINE_ENDED };

struct coroutine {
    ucontext_t context;
    void *(*run)(void *argument);
    void *argument;
    enum coroutine_state state;
    int door; /* -1: none */
    bool network;
    int joined; /* the coroutine that it waits for; -1: none */
    int64_t until_ms;
    void *stack;
};

static struct {
    struct sim_random random;
    bool is_traced;
    int report;
    int64_t now_ms, slept_ms;
    struct world_events events;

    jmp_buf process;
    ucontext_t main;
    enum world_end end; /* asked for by a coroutine */
    struct coroutine coroutines[COROUTINES_MAX];
    int coroutine_count, running; /* -1: the main stack */
    bool knocked[DOORS_MAX];
    int door_count;
    int64_t last_step_ms;
    size_t steps_at_once, steps;

    void (*heard)(void *context, const char *line);
    void *heard_context;
} world = {.report = -1, .running = -1};

void world_begin(const struct sim_random *random, bool trace)
{
    world.random = sim_random_fork(random, "chance");
    world.is_traced = trace;
    world.now_ms = 1000000;
    world.slept_ms = world.last_step_ms = 0;
    world.steps = world.steps_at_once = 0;
    world_forget_process();
}

void world_set_events(const struct world_events *events)
{
    world.events = *events;
}

void world_report_to(int descriptor)
{
    world.report = descriptor;
}

/* ---- time and chance ---- */

void world_note_progress(void)
{
    world.steps_at_once = 0;
}

int64_t world_now_ms(void)
{
    return world.now_ms;
}

int64_t world_wall_ns(void)
{
    return WALL_BEGIN_NS + (world.now_ms + world.slept_ms) * 1000000;
}

int64_t world_slept_ms(void)
{
    return world.slept_ms;
}

void world_pass_ms(int64_t ms)
{
    world.now_ms += ms;
}

void world_suspend_ms(int64_t ms)
{
    world.slept_ms += ms;
}

void world_draw(void *memory, size_t octets)
{
    sim_random_fill(&world.random, memory, octets);
}

/* ---- coroutines ---- */

#ifdef __SANITIZE_ADDRESS__
static const void *main_stack;
static size_t main_stack_octets;

static void begin_switch(void **fake, const void *stack, size_t octets)
{
    __sanitizer_start_switch_fiber(fake, stack, octets);
}

static void end_switch(void *fake, bool note_main)
{
    const void *stack;
    size_t octets;
    __sanitizer_finish_switch_fiber(fake, &stack, &octets);
    if (note_main) {
        main_stack = stack;
        main_stack_octets = octets;
    }
}
#endif

static void to_main(struct coroutine *coroutine)
{
#ifdef __SANITIZE_ADDRESS__
    void *fake = NULL;
    begin_switch(coroutine->state == COROUTINE_ENDED ? NULL : &fake, main_stack, main_stack_octets);
    swapcontext(&coroutine->context, &world.main);
    end_switch(fake, true);
#else
    swapcontext(&coroutine->context, &world.main);
#endif
}

static void resume(int number)
{
    struct coroutine *coroutine = &world.coroutines[number];
    coroutine->state = COROUTINE_RUNNABLE;
    world.running = number;
#ifdef __SANITIZE_ADDRESS__
    void *fake = NULL;
    begin_switch(&fake, coroutine->stack, STACK_OCTETS);
    swapcontext(&world.main, &coroutine->context);
    end_switch(fake, false);
#else
    swapcontext(&world.main, &coroutine->context);
#endif
    world.running = -1;
    if (world.end != WORLD_GOES_ON)
        longjmp(world.process, (int)world.end);
}

static void enter(void)
{
    struct coroutine *coroutine = &world.coroutines[world.running];
#ifdef __SANITIZE_ADDRESS__
    end_switch(NULL, true);
#endif
    coroutine->run(coroutine->argument);
    coroutine->state = COROUTINE_ENDED;
    to_main(coroutine);
    abort();
}

int world_start(void *(*run)(void *argument), void *argument)
{
    if (world.coroutine_count == COROUTINES_MAX)
        world_finding("too many threads", "popfs starts more than %d threads", COROUTINES_MAX);
    int number = world.coroutine_count++;
    struct coroutine *coroutine = &world.coroutines[number];
    void *stack = coroutine->stack;
    if (stack == NULL)
        stack = mmap(NULL, STACK_OCTETS, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        abort();
    *coroutine = (struct coroutine){
        .run = run, .argument = argument, .door = -1, .joined = -1, .stack = stack};
    getcontext(&coroutine->context);
    coroutine->context.uc_stack.ss_sp = stack;
    coroutine->context.uc_stack.ss_size = STACK_OCTETS;
    makecontext(&coroutine->context, enter, 0);
    return number;
}

bool world_has_ended(int number)
{
    return world.coroutines[number].state == COROUTINE_ENDED;
}

static void pause_running(int door, bool network, int joined, int64_t until_ms)
{
    struct coroutine *coroutine = &world.coroutines[world.running];
    coroutine->state = COROUTINE_WAITING;
    coroutine->door = door;
    coroutine->network = network;
    coroutine->joined = joined;
    coroutine->until_ms = until_ms;
    to_main(coroutine);
}

void world_wait(int door, bool network, int64_t timeout_ms)
{
    pause_running(door, network, -1, timeout_ms < 0 ? NEVER : world.now_ms + timeout_ms);
}

void world_sleep_ms(int64_t ms)
{
    pause_running(-1, false, -1, world.now_ms + ms);
}

static bool joined_has_ended(void *context)
{
    const int *number = context;
    return world_has_ended(*number);
}

void world_join(int number)
{
    if (world_has_ended(number))
        return;
    if (world.running >= 0)
        pause_running(-1, false, number, NEVER);
    else if (!world_run(joined_has_ended, &number, world.now_ms + INT64_C(86400000)))
        world_finding("a wait does not end", "the end of a thread is waited for a day");
}

/* ---- doors ---- */

int world_door_new(void)
{
    if (world.door_count == DOORS_MAX)
        abort();
    world.knocked[world.door_count] = false;
    return world.door_count++;
}

void world_door_knock(int door)
{
    world.knocked[door] = true;
}

bool world_door_was_knocked(int door)
{
    return world.knocked[door];
}

void world_door_forget_knock(int door)
{
    world.knocked[door] = false;
}

/* ---- the course of things ---- */

static int64_t ready_at_ms(const struct coroutine *coroutine)
{
    if (coroutine->state == COROUTINE_ENDED)
        return NEVER;
    if (coroutine->state == COROUTINE_RUNNABLE ||
        (coroutine->door >= 0 && world.knocked[coroutine->door]) ||
        (coroutine->joined >= 0 && world_has_ended(coroutine->joined)))
        return world.now_ms;
    int64_t network_ms = coroutine->network ? net_next_ms() : -1;
    return network_ms >= 0 && network_ms < coroutine->until_ms ? network_ms : coroutine->until_ms;
}

static void count_step(void)
{
    if (world.now_ms > world.last_step_ms)
        world.steps_at_once = 0;
    world.last_step_ms = world.now_ms;
    if (++world.steps_at_once > STEPS_AT_ONCE_MAX)
        world_finding("it spins", "%d turns without a wait", STEPS_AT_ONCE_MAX);
    if (++world.steps > STEPS_MAX)
        world_finding("it is too busy", "%d turns in one history", STEPS_MAX);
}

bool world_step(int64_t until_ms)
{
    int next = -1;
    int64_t at_ms = NEVER;
    for (int i = 0; i < world.coroutine_count; i++) {
        int64_t ready_ms = ready_at_ms(&world.coroutines[i]);
        if (ready_ms < at_ms) {
            at_ms = ready_ms;
            next = i;
        }
    }
    int64_t event_ms =
        world.events.next_ms == NULL ? -1 : world.events.next_ms(world.events.context);
    bool event = event_ms >= 0 && event_ms <= at_ms;
    if (event)
        at_ms = event_ms;
    if (at_ms > until_ms) {
        if (until_ms > world.now_ms)
            world.now_ms = until_ms;
        return false;
    }
    if (at_ms > world.now_ms)
        world.now_ms = at_ms;
    count_step();
    if (event)
        world.events.happen(world.events.context);
    else
        resume(next);
    return true;
}

bool world_run(bool (*is_over)(void *context), void *context, int64_t until_ms)
{
    for (;;) {
        if (is_over != NULL && is_over(context))
            return true;
        if (!world_step(until_ms))
            return is_over != NULL && is_over(context);
    }
}

jmp_buf *world_process(void)
{
    return &world.process;
}

void world_end_process(enum world_end end)
{
    world.end = end;
    if (world.running < 0)
        longjmp(world.process, (int)end);
    to_main(&world.coroutines[world.running]);
    abort();
}

void world_forget_process(void)
{
    world.end = WORLD_GOES_ON;
    world.running = -1;
    world.coroutine_count = 0;
    world.door_count = 0;
}

/* ---- the trace ---- */

bool world_is_traced(void)
{
    return world.is_traced;
}

static void write_line(const char *text)
{
    printf("%7" PRId64 ".%03d %s\n", world.now_ms / 1000, (int)(world.now_ms % 1000), text);
}

void world_trace(const char *format, ...)
{
    char line[LINE_OCTETS];
    va_list args;
    if (!world.is_traced)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    write_line(line);
}

void world_log(const char *line)
{
    world_trace("log   %s", line);
    if (world.heard != NULL)
        world.heard(world.heard_context, line);
}

void world_on_log(void (*heard)(void *context, const char *line), void *context)
{
    world.heard = heard;
    world.heard_context = context;
}

/* ---- findings ---- */

void world_finding(const char *kind, const char *format, ...)
{
    char text[LINE_OCTETS], line[LINE_OCTETS + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    world_trace("FOUND %s: %s", kind, text);
    fflush(stdout);
    int count = snprintf(line, sizeof(line), "%s\n%s\n", kind, text);
    if (world.report >= 0 && write(world.report, line, (size_t)count) < 0)
        _exit(3);
    _exit(1);
}
