/* SPDX-License-Identifier: MIT */
/* Commands to a mount. */
#ifndef POPFS_CTL_CONTROL_H
#define POPFS_CTL_CONTROL_H

#include "place.h"

/*
 * Has the mount carry out `word`, with the name of a message or NULL. Blocks until that is done,
 * which may take as long as a transfer; a signal ends it with EINTR. 0, or an errno: ENXIO if the
 * mount takes no commands, ENOENT if it knows no message of this name.
 */
int control_run(const struct place *place, const char *word, const char *name);

#endif
