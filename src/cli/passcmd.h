/* SPDX-License-Identifier: MIT */
/* Runs the command that prints the password. */
#ifndef POPFS_CLI_PASSCMD_H
#define POPFS_CLI_PASSCMD_H

#include "secret.h"

/*
 * /bin/sh -c `command` with stdin /dev/null and our stderr; its output, at most SECRET_OCTETS_MAX
 * octets, goes into `secret`. Done when the shell has ended, killed after `timeout_ms`. FAULT_LOGIN
 * when it failed, FAULT_REFUSED when it said too much.
 */
enum fault passcmd_run(const char *command, int64_t timeout_ms, struct secret *secret,
                       struct failure *ret_failure);

#endif
