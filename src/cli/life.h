/* SPDX-License-Identifier: MIT */
/* The life of one mount, from the login to the commit. */
#ifndef POPFS_CLI_LIFE_H
#define POPFS_CLI_LIFE_H

#include "account.h"
#include "daemon.h"
#include "options.h"
#include "secret.h"

/*
 * Logs in, mounts, reports to `daemon`, answers until the end, commits. Wipes the secret as soon as
 * sync has its own copy. Returns the code to exit with. Call it in the process that stays.
 */
int life_run(const struct options *options, const struct account *account,
             const struct secret *secret, struct daemon *daemon);

#endif
