/* SPDX-License-Identifier: MIT */
/* Ctrl-C, and what a terminal or a service manager sends when it has had enough. */
#ifndef POPFS_CTL_INTERRUPT_H
#define POPFS_CTL_INTERRUPT_H

/* From now on the first SIGINT, SIGTERM or SIGHUP ends the wait for the mount; a second one ends
 * the process. */
void interrupt_prepare(void);
/* The number of the signal that came; 0: none. */
int interrupt_signal(void);

#endif
