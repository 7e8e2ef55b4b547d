/* SPDX-License-Identifier: MIT */
/*
 * How malloc() gets its memory from the system. The first touch of each page is a fault, and costs
 * 15 us in some virtual machines (Linux 6.18 on PVM), a thousand times for a listing of 10,000
 * messages. Of pages that the kernel was asked for beforehand, it costs half of that.
 */
#include "popfs/base.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    /* Larger blocks go back to the system as soon as they are freed. Below, a block takes the place
     * of one that was freed, page by page as it is. */
    MAPPED_OCTETS_LEAST = 4 * 1024 * 1024,
    KEPT_OCTETS = 8 * 1024 * 1024, /* free at the end of the heap */
};

void heap_begin(void)
{
    /* Another than the main heap grows by four kilobytes at a time, with a system call for each. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, MAPPED_OCTETS_LEAST);
    mallopt(M_TRIM_THRESHOLD, KEPT_OCTETS);
}

void heap_prepare(size_t octets)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (octets > MAPPED_OCTETS_LEAST - page)
        octets = MAPPED_OCTETS_LEAST - page;
    char *block = malloc(octets);
    if (block == NULL)
        return;
    size_t before = (page - (uintptr_t)block % page) % page;
    size_t whole = octets > before ? (octets - before) / page * page : 0;
    if (whole > 0)
        (void)madvise(block + before, whole, MADV_POPULATE_WRITE);
    for (size_t at = 0; at < whole; at += page)
        ((volatile char *)block)[before + at] = 0;
    free(block);
}
