/* SPDX-License-Identifier: MIT */
/* The life of one mount, from the login to the commit. */
#ifndef POPFS_CLI_LIFE_H
#define POPFS_CLI_LIFE_H

#include "account.h"
#include "daemon.h"
#include "options.h"
#include "secret.h"

/*
 * Logs in, mounts, reports to `daemon`, answers until the end, commits. The
 * secret is fetched anew when the server has refused it. Returns the code to exit with. Call it in
 * the process that stays.
 */
int life_run(const struct options *options, const struct account *account, struct secret *secret,
             struct daemon *daemon);

#endif
