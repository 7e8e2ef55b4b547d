/* SPDX-License-Identifier: MIT */
/* A signal interrupts the write to the control file, and the kernel tells the mount of it. */
#include "interrupt.h"

#include <signal.h>

static volatile sig_atomic_t caught;

static void catch (int number)
{
    caught = number;
}

void interrupt_prepare(void)
{
    /* Without SA_RESTART, so that write() and poll() return. */
    struct sigaction action = {.sa_handler = catch, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

int interrupt_signal(void)
{
    return caught;
}
