/* SPDX-License-Identifier: MIT */
/* ops: the FUSE operations. All run on the FUSE thread, answer at once or park, and never wait. */
#ifndef POPFS_FS_OPS_H
#define POPFS_FS_OPS_H

#include "filesystem.h"

/* ops_entry.c: names and attributes */
void ops_init(void *userdata, struct fuse_conn_info *conn);
void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookup_count);
void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);
void ops_access(fuse_req_t req, fuse_ino_t ino, int mask);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *info);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_rename.c */
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags);

/* ops_directory.c */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *info);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *info);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);

/* ops_file.c */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *info);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);

/* ops_control.c */
void control_open(fuse_req_t req, struct fs *fs, struct fuse_file_info *info);
void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int command, void *argument,
               struct fuse_file_info *info, unsigned flags, const void *in, size_t in_octets,
               size_t out_octets);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
               struct fuse_file_info *info);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *info);

/* ops_message.c */
void message_open(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                  struct fuse_file_info *info);
void message_read(fuse_req_t req, struct fs *fs, uint64_t handle, size_t size, off_t offset);
void message_release(struct fs *fs, uint64_t handle);
/* The kernel has it open. Any thread. */
bool message_is_open(struct fs *fs, const struct maildrop_message *message);
/* What is still open at the end, when no request is answered any more. */
void messages_close(struct fs *fs);

/* What is known of a message right now, and for how long that may be believed. */
double ops_attributes(const struct fs *fs, const struct maildrop_message *message,
                      struct stat *ret_stat);
/* That of errors.h, but ESTALE for a message that has gone: its name may be another one's by now.
 */
int ops_errno(enum fault fault, const struct maildrop_message *message);
/* The content of a virtual file as of now; false for want of memory. */
bool ops_render(struct fs *fs, const struct tree_entry *entry, struct buffer *content);

/* ops_refused.c: mail cannot be written. Registered, because without them the kernel says ENOSYS.
 */
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *info);
/* Refuses an operation that would make no new name, such as an open for writing. */
void ops_refuse(fuse_req_t req);
/* Refuses an operation that would make this name, and takes the pending removal of it back. */
void ops_refuse_name(fuse_req_t req, fuse_ino_t parent, const char *name);

#endif
