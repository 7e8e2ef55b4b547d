/* SPDX-License-Identifier: MIT */
/* All that would change a message or make a file: no, and for a reason that touch and mv print
 * well. */
#include "ops.h"

#include <errno.h>

void ops_refuse(fuse_req_t req)
{
    const struct fs *fs = fuse_req_userdata(req);
    fuse_reply_err(req, fs->owner.read_only ? EROFS : EPERM);
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    (void)parent;
    (void)name;
    (void)mode;
    (void)device;
    ops_refuse(req);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent;
    (void)name;
    (void)mode;
    ops_refuse(req);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    (void)name;
    ops_refuse(req);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target;
    (void)parent;
    (void)name;
    ops_refuse(req);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    (void)ino;
    (void)new_parent;
    (void)new_name;
    ops_refuse(req);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *info)
{
    (void)parent;
    (void)name;
    (void)mode;
    (void)info;
    ops_refuse(req);
}
