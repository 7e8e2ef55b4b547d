/* SPDX-License-Identifier: MIT */
/*
 * The stacks of a program: that of its first thread grows up to the soft limit of the moment, those
 * of the others are as large as the limit was when the program began. A limit that is too small
 * would end the program with a signal, at any time.
 */
#include "popfs/base.h"

#include <pthread.h>
#include <sys/resource.h>

enum {
    USUAL_OCTETS = 8 * 1024 * 1024, /* as Linux has it where nobody says otherwise */
    LEAST_OCTETS = 512 * 1024,      /* 64 KiB are too few, 128 do */
};

/* Threads that libraries start are meant as well. */
static bool enlarge_threads(void)
{
    pthread_attr_t attributes;
    size_t octets;
    if (pthread_getattr_default_np(&attributes) != 0)
        return false;
    bool good = pthread_attr_getstacksize(&attributes, &octets) == 0;
    if (good && octets < USUAL_OCTETS)
        good = pthread_attr_setstacksize(&attributes, USUAL_OCTETS) == 0 &&
               pthread_setattr_default_np(&attributes) == 0;
    pthread_attr_destroy(&attributes);
    return good;
}

enum fault stack_begin(struct failure *ret_failure)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= USUAL_OCTETS)
        return FAULT_NONE;
    limit.rlim_cur = limit.rlim_max < USUAL_OCTETS ? limit.rlim_max : USUAL_OCTETS;
    if (setrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur < LEAST_OCTETS)
        return failure_set(ret_failure, FAULT_MEMORY,
                           "the hard limit for the stack (ulimit -Hs) is %llu KiB; at least %d are "
                           "needed",
                           (unsigned long long)limit.rlim_max / 1024, LEAST_OCTETS / 1024);
    if (!enlarge_threads())
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for the stacks of threads");
    return FAULT_NONE;
}
