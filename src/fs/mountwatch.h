/* SPDX-License-Identifier: MIT */
/*
 * mountwatch: whether the file system is still mounted, by /proc/self/mountinfo.
 *
 * A plain umount(2) ends the connection to the kernel at once. A lazy one takes the mount out of
 * the tree and leaves the connection to whoever has a file open; a cut connection leaves the mount.
 * Refuses to know FUSE and what follows from it.
 */
#ifndef POPFS_FS_MOUNTWATCH_H
#define POPFS_FS_MOUNTWATCH_H

#include "popfs/base.h"

/* The kernel ends the connection right after a plain umount; but a machine can be very busy. */
enum { MOUNTWATCH_PLAIN_MS = 5000 };

enum mountwatch_state {
    MOUNTWATCH_NOTHING_KNOWN,
    MOUNTWATCH_MOUNTED,
    MOUNTWATCH_UNMOUNTED, /* a moment ago: the connection is about to end */
    MOUNTWATCH_UNMOUNTED_LAZILY,
};

struct mountwatch {
    int descriptor; /* of mountinfo: poll() it for POLLPRI; -1: nothing is known */
    struct mount_identity identity;
    /* As the table said when it was last read: of the file system, which may have other mounts. */
    size_t mount_count;
    bool read_only; /* be it by a remount; stays when no mount is left */
    enum mountwatch_state state;
    int64_t unmounted_at_ms;
};

#define MOUNTWATCH_OFF ((struct mountwatch){.descriptor = -1})

/* Just after mounting. `session_descriptor` is of /dev/fuse; `source` is what popfs would have
 * named the mount. */
void mountwatch_start(struct mountwatch *watch, int session_descriptor, const char *mountpoint,
                      const char *source);
/* The same for a mountinfo that is open, which becomes the watch's, and a mount that it holds. */
void mountwatch_start_at(struct mountwatch *watch, int descriptor,
                         const struct mount_identity *identity);
void mountwatch_done(struct mountwatch *watch);

/* Looks again. */
void mountwatch_read(struct mountwatch *watch);
enum mountwatch_state mountwatch_state(const struct mountwatch *watch);
/* Until an unmounted one whose connection lives on must be called lazy: 0 now, -1 not at all. */
int mountwatch_left_ms(const struct mountwatch *watch);
void mountwatch_be_lazy(struct mountwatch *watch);

/* ---- pure ---- */

/*
 * Finds the popfs that has just been mounted on `mountpoint`; `device` is its file system where
 * that is known, else NULL. A shared parent folder gives one file system several mounts at once.
 * "/dev/fd/N" without a device finds the one file system that mountwatch_may_be_handed_over(), if
 * there is only one.
 */
bool mountwatch_find(struct slice table, const char *device, const char *mountpoint,
                     const char *source, struct mount_identity *ret_identity);
/* True if mount.fuse3 may have made this mount for a popfs that would have named it `source` (may
 * be NULL): with drop_privileges it names each of them "popfs". */
bool mountwatch_may_be_handed_over(const struct mount_row *row, const char *source);
/* What /proc/self/fdinfo/N says of a descriptor of /dev/fuse; older kernels do not. */
bool mountwatch_connection(struct slice fdinfo, char ret_device[MOUNT_DEVICE_OCTETS]);

#endif
