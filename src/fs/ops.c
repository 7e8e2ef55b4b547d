/* SPDX-License-Identifier: MIT */
/*
 * The operations by name. What is not here is answered ENOSYS by libfuse, which the kernel takes
 * for the default: fsync of a file as done, no extended attributes, locks
 * and seeks by itself; it asks once and never again.
 */
#include "ops.h"

const struct fuse_lowlevel_ops operations = {
    .init = ops_init,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .access = ops_access,
    .unlink = ops_unlink,
    .statfs = ops_statfs,
    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .readdirplus = ops_readdirplus,
    .releasedir = ops_releasedir,
    .open = ops_open,
    .read = ops_read,
    .write = ops_write,
    .release = ops_release,
    .ioctl = ops_ioctl,
    .fsyncdir = ops_fsyncdir,
    .setattr = ops_setattr,
    .mknod = ops_mknod,
    .mkdir = ops_mkdir,
    .rmdir = ops_rmdir,
    .symlink = ops_symlink,
    .rename = ops_rename,
    .link = ops_link,
    .create = ops_create,
};
