/* SPDX-License-Identifier: MIT */
/* names: the file name of a message, an injective image of its UIDL. Refuses to know messages and
 * tables. */
#ifndef POPFS_FS_NAMES_H
#define POPFS_FS_NAMES_H

#include "popfs/base.h"

enum {
    NAME_OCTETS_MAX = 255, /* what statfs promises and every Linux file system allows */
    NAME_UIDL_OCTETS_MAX = NAME_OCTETS_MAX, /* a name that was not cut never says more */
};

/* Terminated, for libfuse. */
struct name {
    size_t len;
    char data[NAME_OCTETS_MAX + 1];
};

/*
 * The name of the message with this UIDL; `copy` counts earlier messages that have the same one.
 * Different arguments give different names (long UIDLs: as far as SHA-256 does). False for want of
 * memory, and only for a UIDL that must be cut.
 */
bool name_encode(struct slice uidl, uint32_t copy, struct name *ret_name);

/*
 * The way back: true if and only if name_encode() gives exactly this name without cutting. ret_uidl
 * is not terminated.
 */
bool name_decode(struct slice name, char ret_uidl[NAME_UIDL_OCTETS_MAX], size_t *ret_len,
                 uint32_t *ret_copy);

struct slice name_slice(const struct name *name);

#endif
