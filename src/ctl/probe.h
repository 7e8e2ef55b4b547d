/* SPDX-License-Identifier: MIT */
/* Questions to a popfs that may hang: the kernel keeps who asks such a one waiting without end. */
#ifndef POPFS_CTL_PROBE_H
#define POPFS_CTL_PROBE_H

#include "place.h"

#include <json-c/json.h>
#include <sys/types.h>

struct probe {
    pid_t child;   /* 0: there is none any more */
    bool as_owner; /* root was kept out, and the one who mounted was let in */
};

/*
 * As status_load(), in a child process; with `keeps`, removals that are pending are kept by the
 * command "keep". ETIMEDOUT after two seconds without an answer: the child goes on waiting.
 */
int probe_status(struct probe *probe, const struct place *place, bool keeps,
                 struct json_object **ret_status);
/* Ends a child that waits still, and with it its use of the mount. False: it cannot be ended,
 * because popfs has taken its request and does not answer it. */
bool probe_end(struct probe *probe);

#endif
