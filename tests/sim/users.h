/* SPDX-License-Identifier: MIT */
/* users: who reads, removes, takes back and commits, at the level of popfs/sync.h, as fs would for
 * them. */
#ifndef POPFS_SIM_USERS_H
#define POPFS_SIM_USERS_H

#include "plan.h"
#include "server.h"

#include "popfs/sync.h"

void users_begin(struct sim_server *server, struct sync *sync);
void users_act(const struct action *action);
/* Readers go on with what they were answered, and the ledger looks at what is new. */
void users_go_on(void);
size_t users_waiting_count(void);
/* "read of serial 7, and 2 more" */
const char *users_describe_waiting(void);
/* Nobody reads any more. */
void users_close_streams(void);
/* The process has ended, its memory is lost. */
void users_forget(void);

/* Reads each message to its end. False: a read failed. */
void users_read_all(void);
/* How many reads have failed since the mount began, and why the last one did. */
size_t users_failed_count(enum fault *ret_last);
void users_refresh(void);
/* What is shown is what the session lists that there is, if there is one. */
void users_check_shown(void);
/* Asks for a commit; users_commit_fault() is what it was answered, and FAULT_CANCELED before. */
void users_commit(void);
/* Takes back what is pending, and removes it again. */
void users_renew_removals(void);
bool users_commit_is_answered(enum fault *ret_fault);

#endif
