/* SPDX-License-Identifier: MIT */
/* What keeps a file system that was unmounted here. */
#ifndef POPFS_CTL_HOLDER_H
#define POPFS_CTL_HOLDER_H

#include "place.h"

enum { HOLDER_NAME_OCTETS = 32 };

struct holder {
    pid_t pid; /* of a process that lives in a mount namespace which has the file system mounted */
    char name[HOLDER_NAME_OCTETS];
    char *path; /* of the mount there; NULL for want of memory */
};

/* False if no other mount namespace that can be looked into has it. */
bool holder_find(const struct place *place, struct holder *ret_holder);
void holder_done(struct holder *holder);

#endif
