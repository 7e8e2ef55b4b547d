/* SPDX-License-Identifier: MIT */
/*
 * SQLite says SQLITE_NOMEM also of a damaged file: where a record claims a length that it would
 * never allocate, it does not even ask for the memory. To look whether there is memory now would
 * not tell, since what was missing a moment ago may be there again. So its allocator is asked
 * whether it has refused any.
 */
#include "allocator.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

static sqlite3_mem_methods allocator; /* the one that is watched */
static bool is_watched;
static _Atomic unsigned refused_count;

static void *watched(void *memory)
{
    if (memory == NULL)
        refused_count++;
    return memory;
}

static void *watched_malloc(int octets)
{
    return watched(allocator.xMalloc(octets));
}

static void *watched_realloc(void *memory, int octets)
{
    return watched(allocator.xRealloc(memory, octets));
}

static void watch(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &allocator) != SQLITE_OK)
        return;
    sqlite3_mem_methods methods = allocator;
    methods.xMalloc = watched_malloc;
    methods.xRealloc = watched_realloc;
    /* Nobody reads what it counts, under a lock, at each call: 6 % of what an index costs. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    is_watched = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK;
}

void allocator_watch(void)
{
    static pthread_once_t begun = PTHREAD_ONCE_INIT;
    pthread_once(&begun, watch);
}

unsigned allocator_refused_count(void)
{
    return refused_count;
}

bool allocator_has_refused_since(unsigned count)
{
    return !is_watched || refused_count != count;
}
