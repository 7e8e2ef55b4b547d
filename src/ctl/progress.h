/* SPDX-License-Identifier: MIT */
/* A bar on the terminal while a command runs. */
#ifndef POPFS_CTL_PROGRESS_H
#define POPFS_CTL_PROGRESS_H

#include "place.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const struct place *place;
    pthread_t thread;
    int stop; /* an eventfd; -1: nothing is drawn */
};

/* Draws on stderr five times a second if that is a terminal and `wanted`. `place` is borrowed until
 * progress_stop(). */
void progress_start(struct progress *progress, const struct place *place, bool wanted);
/* Takes the bar away. */
void progress_stop(struct progress *progress);

struct progress_facts {
    const char *kind;
    int64_t done, total;
    int64_t octets_per_s; /* 0: not known */
};

/* One line of at most `columns` characters, without what does not fit. */
void progress_render(const struct progress_facts *facts, size_t columns, char *out,
                     size_t capacity);

#endif
