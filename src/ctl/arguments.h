/* SPDX-License-Identifier: MIT */
/* The two command lines: that of popfsctl, and the one that umount(8) gives to its helper. */
#ifndef POPFS_CTL_ARGUMENTS_H
#define POPFS_CTL_ARGUMENTS_H

#include "umount.h"

struct arguments {
    bool help, version;
    bool json, quiet;
    unsigned how;          /* UMOUNT_LAZY and UMOUNT_FORCE */
    const char *namespace; /* -N; NULL: this one */
    char **operands;       /* part of argv */
    int operand_count;
};

/* False, with a line in *ret_failure: unknown option. `argv` is put in another order. */
bool arguments_parse(int argc, char **argv, struct arguments *ret, struct failure *ret_failure);
bool arguments_parse_helper(int argc, char **argv, struct arguments *ret,
                            struct failure *ret_failure);

#endif
