/* SPDX-License-Identifier: MIT */
/* The commands of popfsctl, all but umount. Each returns the code to exit with. */
#ifndef POPFS_CTL_COMMANDS_H
#define POPFS_CTL_COMMANDS_H

#include "job.h"

int command_status(struct job *job);
int command_refresh(struct job *job);
int command_commit(struct job *job);
/* By that word to popfs: "settle" leaves alone what waits for `popfsctl commit`. *ret_ended: popfs
 * has ended meanwhile, and that was said. */
int command_commit_by(struct job *job, const char *word, bool *ret_ended);
int command_undelete(struct job *job);
int command_rollback(struct job *job);
int command_prefetch(struct job *job);
int command_verify(struct job *job);
int command_bin(struct job *job);

#endif
