/* SPDX-License-Identifier: MIT */
/* history: a plan is carried out, mount after mount; at the end the server and the disk behave, and
 * all has to come right. */
#ifndef POPFS_SIM_HISTORY_H
#define POPFS_SIM_HISTORY_H

#include "plan.h"

/* Returns if nothing was found; a finding ends the process. */
void history_run(const struct plan *plan, bool trace);

#endif
