/* SPDX-License-Identifier: MIT */
#include "failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALLOCATIONS_MAX = 20000 };

static struct {
    bool counts;
    bool all_that_follow;
    unsigned left; /* allocations until the one that fails */
    unsigned failed_count;
} failing;

void failing_pause(void)
{
    failing.counts = false;
}

void failing_go_on(void)
{
    failing.counts = true;
}

static bool may_allocate(void)
{
    if (!failing.counts)
        return true;
    if (failing.left > 0) {
        failing.left--;
        return true;
    }
    if (failing.failed_count > 0 && !failing.all_that_follow)
        return true;
    failing.failed_count++;
    return false;
}

static unsigned count_runs(bool (*scenario)(void), bool all_that_follow)
{
    for (unsigned nth = 0; nth < ALLOCATIONS_MAX; nth++) {
        failing.all_that_follow = all_that_follow;
        failing.left = nth;
        failing.failed_count = 0;
        failing.counts = true;
        bool done = scenario();
        failing.counts = false;
        if (failing.failed_count == 0) {
            assert_true(done);
            return nth;
        }
    }
    fail_msg("the scenario does not end");
    return 0;
}

void fail_each_allocation(bool (*scenario)(void))
{
    /* A scenario that allocates nothing would prove nothing. */
    assert_true(count_runs(scenario, false) > 0);
    assert_true(count_runs(scenario, true) > 0);
}

/* ---- what the linker puts in place of the allocator ---- */

void *__real_malloc(size_t octets);
void *__real_calloc(size_t count, size_t octets);
void *__real_realloc(void *memory, size_t octets);
void *__real_reallocarray(void *memory, size_t count, size_t octets);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t octets);
void *__wrap_calloc(size_t count, size_t octets);
void *__wrap_realloc(void *memory, size_t octets);
void *__wrap_reallocarray(void *memory, size_t count, size_t octets);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

void *__wrap_malloc(size_t octets)
{
    return may_allocate() ? __real_malloc(octets) : NULL;
}

void *__wrap_calloc(size_t count, size_t octets)
{
    return may_allocate() ? __real_calloc(count, octets) : NULL;
}

void *__wrap_realloc(void *memory, size_t octets)
{
    return may_allocate() ? __real_realloc(memory, octets) : NULL;
}

void *__wrap_reallocarray(void *memory, size_t count, size_t octets)
{
    return may_allocate() ? __real_reallocarray(memory, count, octets) : NULL;
}

char *__wrap_strdup(const char *text)
{
    return may_allocate() ? __real_strdup(text) : NULL;
}

char *__wrap_strndup(const char *text, size_t len)
{
    return may_allocate() ? __real_strndup(text, len) : NULL;
}
