/* SPDX-License-Identifier: MIT */
/*
 * reply: the answers that carry attributes, as the kernel reads them (<linux/fuse.h>).
 *
 * libfuse has functions for these that take a struct stat. Where a time has 32 bits in the system's
 * libraries and 64 in popfs (Debian on i386), the two do not agree on what a struct stat looks
 * like. filesystem.h makes a call of them an error.
 */
#ifndef POPFS_FS_REPLY_H
#define POPFS_FS_REPLY_H

#include "filesystem.h"

struct reply_entry {
    uint64_t ino; /* 0 in a listing: the kernel counts no look-up */
    struct stat attr;
    double attr_timeout_s;
    double entry_timeout_s;
};

/* These return what libfuse does: 0, or a negative errno where the kernel did not take it. */
int reply_entry(fuse_req_t req, const struct reply_entry *entry);
int reply_attributes(fuse_req_t req, const struct stat *attr, double timeout_s);

/* Append a row of READDIR or READDIRPLUS. They return the octets that the row takes and write
 * nothing if that is more than `room`. */
size_t reply_add_name(char *out, size_t room, const char *name, const struct stat *attr,
                      off_t cookie);
size_t reply_add_entry(char *out, size_t room, const char *name, const struct reply_entry *entry,
                       off_t cookie);

#endif
