/* SPDX-License-Identifier: MIT */
/* Asks a person for the password. */
#ifndef POPFS_CLI_PROMPT_H
#define POPFS_CLI_PROMPT_H

#include "secret.h"

/*
 * Writes `question` to the terminal and reads one line without echo. FAULT_GONE if there is no such
 * terminal, FAULT_LOGIN if the answer was an end of file. A signal that ends or stops the process
 * does so after the terminal is as it was.
 */
enum fault prompt_ask(const char *terminal, const char *question, struct secret *secret,
                      struct failure *ret_failure);

#endif
