/* SPDX-License-Identifier: MIT */
/* The kernel's end of a FUSE connection, over a socket pair: speaks the protocol of <linux/fuse.h>
 * to a struct fs. */
#ifndef POPFS_TEST_KERNEL_H
#define POPFS_TEST_KERNEL_H

#include "filesystem.h"

#include "fake_sync.h"

#include <linux/fuse.h>

enum { KERNEL_REPLY_OCTETS = 65536 };

struct kernel {
    struct sync *sync;
    struct fs *fs;
    int descriptor;
    uint64_t unique_last;
    uint32_t uid; /* who asks; root unless a test says otherwise */
};

/* Starts and has said INIT. A `sync` whose listing is there already. */
void kernel_init(struct kernel *kernel, struct sync *sync, bool read_only);
void kernel_init_with(struct kernel *kernel, struct sync *sync, bool read_only,
                      enum fs_control control);
/* The two halves of it: a mount that the kernel has not spoken to, and FUSE_INIT. */
void kernel_open(struct kernel *kernel, struct sync *sync, bool read_only, enum fs_control control);
void kernel_say_init(struct kernel *kernel);
void kernel_done(struct kernel *kernel);

struct reply {
    uint64_t unique; /* 0: a notification; its code is in `error` */
    int error;       /* 0, or an errno */
    size_t len;
    union {
        char bytes[KERNEL_REPLY_OCTETS];
        struct fuse_entry_out entry;
        struct fuse_attr_out attr;
        struct fuse_open_out open;
        struct fuse_statfs_out statfs;
        struct fuse_init_out init;
    };
};

/* Sends a request, which waits until the fs is served; returns its number. */
uint64_t kernel_queue(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload);
/* Sends a request and has the fs work on it; returns its number. */
uint64_t kernel_send(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload);
/* The next thing that the fs has said; false if it has said nothing. */
bool kernel_receive(struct kernel *kernel, struct reply *reply);
/* Both; the reply must be there at once. */
void kernel_ask(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload,
                struct reply *reply);
/* What is parked must not be answered. */
void kernel_expect_silence(struct kernel *kernel);

void kernel_interrupt(struct kernel *kernel, uint64_t unique);
void kernel_lookup(struct kernel *kernel, uint64_t parent, const char *name, struct reply *reply);
/* Looks it up, which must succeed; the inode number. */
uint64_t kernel_ino(struct kernel *kernel, const char *name);
uint64_t kernel_send_open(struct kernel *kernel, uint64_t ino, uint32_t flags);
void kernel_read(struct kernel *kernel, uint64_t ino, uint64_t handle, uint64_t offset,
                 uint32_t size, struct reply *reply);

#define PAYLOAD(object) ((struct slice){(const char *)&(object), sizeof(object)})

#endif
