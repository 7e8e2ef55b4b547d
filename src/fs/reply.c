/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <linux/fuse.h>
#include <string.h>

enum { TYPE_SHIFT = 12, NS_PER_S = 1000000000 };

static struct fuse_attr attr_out(const struct stat *attr)
{
    return (struct fuse_attr){
        .ino = attr->st_ino,
        .size = (uint64_t)attr->st_size,
        .blocks = (uint64_t)attr->st_blocks,
        .atime = (uint64_t)attr->st_atim.tv_sec,
        .mtime = (uint64_t)attr->st_mtim.tv_sec,
        .ctime = (uint64_t)attr->st_ctim.tv_sec,
        .atimensec = (uint32_t)attr->st_atim.tv_nsec,
        .mtimensec = (uint32_t)attr->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)attr->st_ctim.tv_nsec,
        .mode = attr->st_mode,
        .nlink = (uint32_t)attr->st_nlink,
        .uid = attr->st_uid,
        .gid = attr->st_gid,
        .rdev = (uint32_t)attr->st_rdev,
        .blksize = (uint32_t)attr->st_blksize,
    };
}

static uint32_t ns_of(double timeout_s)
{
    return (uint32_t)((timeout_s - (double)(uint64_t)timeout_s) * NS_PER_S);
}

static struct fuse_entry_out entry_out(const struct reply_entry *entry)
{
    return (struct fuse_entry_out){
        .nodeid = entry->ino,
        .entry_valid = (uint64_t)entry->entry_timeout_s,
        .entry_valid_nsec = ns_of(entry->entry_timeout_s),
        .attr_valid = (uint64_t)entry->attr_timeout_s,
        .attr_valid_nsec = ns_of(entry->attr_timeout_s),
        .attr = attr_out(&entry->attr),
    };
}

int reply_entry(fuse_req_t req, const struct reply_entry *entry)
{
    const struct fuse_entry_out out = entry_out(entry);
    return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

int reply_attributes(fuse_req_t req, const struct stat *attr, double timeout_s)
{
    const struct fuse_attr_out out = {
        .attr_valid = (uint64_t)timeout_s,
        .attr_valid_nsec = ns_of(timeout_s),
        .attr = attr_out(attr),
    };
    return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/* `before` is what stands in front of the row's name part: nothing, or an entry. */
static size_t add_row(char *out, size_t room, struct slice before, const char *name,
                      const struct stat *attr, off_t cookie)
{
    const struct fuse_dirent row = {.ino = attr->st_ino,
                                    .off = (uint64_t)cookie,
                                    .namelen = (uint32_t)strlen(name),
                                    .type = (attr->st_mode & S_IFMT) >> TYPE_SHIFT};
    size_t name_at = before.len + FUSE_NAME_OFFSET;
    size_t octets = FUSE_DIRENT_ALIGN(name_at + row.namelen);
    if (octets > room)
        return octets;
    if (before.len > 0)
        memcpy(out, before.data, before.len);
    memcpy(out + before.len, &row, FUSE_NAME_OFFSET);
    memcpy(out + name_at, name, row.namelen);
    memset(out + name_at + row.namelen, 0, octets - name_at - row.namelen);
    return octets;
}

size_t reply_add_name(char *out, size_t room, const char *name, const struct stat *attr,
                      off_t cookie)
{
    return add_row(out, room, (struct slice){0}, name, attr, cookie);
}

size_t reply_add_entry(char *out, size_t room, const char *name, const struct reply_entry *entry,
                       off_t cookie)
{
    const struct fuse_entry_out before = entry_out(entry);
    return add_row(out, room, (struct slice){(const char *)&before, sizeof(before)}, name,
                   &entry->attr, cookie);
}
