/* SPDX-License-Identifier: MIT */
/* Which mount is which, by what the kernel says. Whoever unmounts by a path alone may hit what
 * somebody else has mounted there meanwhile. */
#include "popfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Debian 12's headers lack it. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

enum {
    READ_OCTETS = 16384,
    /* 100,000 mounts, the kernel's own limit, of 200 octets each. */
    TABLE_OCTETS_MAX = 20000000,
};

/* ---- the text ---- */

/* Up to `separator`, which is taken, too. An empty source is an empty field. */
static struct slice take_until(struct slice *text, char separator)
{
    const char *end = memchr(text->data, separator, text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    struct slice taken = {text->data, len};
    *text = slice_skip(*text, len + 1);
    return taken;
}

/* id, parent, device, root, mount point, flags, any number of tags, "-", type, source, options */
static bool parse(struct slice line, struct mount_row *ret_row)
{
    struct mount_row row;
    if (!slice_to_number(take_until(&line, ' '), INT32_MAX, &row.id) ||
        !slice_to_number(take_until(&line, ' '), INT32_MAX, &row.parent_id))
        return false;
    row.device = take_until(&line, ' ');
    row.root = take_until(&line, ' ');
    row.mountpoint = take_until(&line, ' ');
    row.flags = take_until(&line, ' ');
    while (!slice_equal(take_until(&line, ' '), SLICE_LITERAL("-")))
        if (line.len == 0)
            return false;
    row.type = take_until(&line, ' ');
    row.source = take_until(&line, ' ');
    row.options = take_until(&line, ' ');
    if (row.options.len == 0 || row.device.len >= MOUNT_DEVICE_OCTETS)
        return false;
    *ret_row = row;
    return true;
}

bool mounts_take_row(struct slice *table, struct mount_row *ret_row)
{
    while (table->len > 0)
        if (parse(take_until(table, '\n'), ret_row))
            return true;
    return false;
}

bool mounts_find_row(struct slice table, const struct mount_identity *identity,
                     struct mount_row *ret_row)
{
    struct mount_row row;
    while (mounts_take_row(&table, &row)) {
        if (row.id != identity->id || !mounts_row_is_same_popfs(&row, identity))
            continue;
        *ret_row = row;
        return true;
    }
    return false;
}

bool mounts_row_is_popfs(const struct mount_row *row)
{
    return slice_equal(row->type, SLICE_LITERAL("fuse.popfs"));
}

bool mounts_row_is_same_popfs(const struct mount_row *row, const struct mount_identity *identity)
{
    return mounts_row_is_popfs(row) &&
           slice_equal(row->device, slice_from_string(identity->device)) &&
           hash_bytes(row->source) == identity->source_hash;
}

struct mount_identity mounts_row_identity(const struct mount_row *row)
{
    struct mount_identity identity = {.id = row->id, .source_hash = hash_bytes(row->source)};
    memcpy(identity.device, row->device.data, row->device.len);
    return identity;
}

bool mounts_options_have(struct slice options, const char *word)
{
    while (options.len > 0)
        if (slice_equal(take_until(&options, ','), slice_from_string(word)))
            return true;
    return false;
}

static char take_octet(struct slice *text)
{
    char octet = text->data[0];
    *text = slice_skip(*text, 1);
    if (octet != '\\' || text->len < 3)
        return octet;
    octet = (char)((text->data[0] - '0') << 6 | (text->data[1] - '0') << 3 | (text->data[2] - '0'));
    *text = slice_skip(*text, 3);
    return octet;
}

bool mounts_text_is(struct slice text, const char *plain)
{
    while (text.len > 0 && *plain != '\0')
        if (take_octet(&text) != *plain++)
            return false;
    return text.len == 0 && *plain == '\0';
}

bool mounts_text_append(struct slice text, struct buffer *plain)
{
    while (text.len > 0) {
        char octet = take_octet(&text);
        if (!buffer_append(plain, (struct slice){&octet, 1}))
            return false;
    }
    return buffer_append(plain, (struct slice){"", 1});
}

/* ---- the kernel ---- */

bool mounts_read(int descriptor, struct buffer *table)
{
    char part[READ_OCTETS];
    off_t offset = 0;
    ssize_t got;
    while ((got = pread(descriptor, part, sizeof(part), offset)) > 0) {
        offset += got;
        if (offset > TABLE_OCTETS_MAX || !buffer_append(table, (struct slice){part, (size_t)got}))
            return false;
    }
    return got == 0;
}

int mounts_load(struct buffer *table)
{
    CLEANUP_CLOSE int descriptor = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return errno;
    return mounts_read(descriptor, table) ? 0 : EIO;
}

/* With no attribute asked for but this number, FUSE lets everybody in and wakes no daemon. */
static int number_of(int folder, const char *path, unsigned wanted, unsigned told, uint64_t *ret_id)
{
    struct statx found;
    int flags = path[0] == '\0' ? AT_EMPTY_PATH : 0;
    if (statx(folder, path, flags | AT_STATX_DONT_SYNC, wanted, &found) != 0)
        return errno;
    if ((found.stx_mask & told) == 0)
        return ENOSYS;
    *ret_id = found.stx_mnt_id;
    return 0;
}

int mounts_id_of(int descriptor, uint64_t *ret_id)
{
    return number_of(descriptor, "", 0, STATX_MNT_ID, ret_id);
}

int mounts_unique_id_of(int descriptor, uint64_t *ret_id)
{
    return number_of(descriptor, "", STATX_MNT_ID_UNIQUE, STATX_MNT_ID_UNIQUE, ret_id);
}

/* An unsuccessful look at the unique number leaves it 0: before Linux 6.8 there is none. */
static int numbers_at(const char *path, uint64_t *ret_id, uint64_t *ret_unique_id)
{
    *ret_unique_id = 0;
    (void)number_of(AT_FDCWD, path, STATX_MNT_ID_UNIQUE, STATX_MNT_ID_UNIQUE, ret_unique_id);
    return number_of(AT_FDCWD, path, 0, STATX_MNT_ID, ret_id);
}

bool mounts_have_popfs(struct slice table, const char *mountpoint)
{
    struct mount_row row;
    while (mounts_take_row(&table, &row))
        if (mounts_row_is_popfs(&row) && mounts_text_is(row.mountpoint, mountpoint))
            return true;
    return false;
}

static int find_row(uint64_t id, struct buffer *table, struct mount_row *ret_row)
{
    int error = mounts_load(table);
    struct slice rows = buffer_slice(table);
    while (error == 0 && mounts_take_row(&rows, ret_row))
        if (ret_row->id == id)
            return 0;
    return error != 0 ? error : ENODEV;
}

/* No file in the mount is held open while the table is read: umount(2) would find the mount busy.
 * So the numbers are compared afterwards, since the kernel may have given them to another mount. */
int mounts_find(const char *path, struct buffer *table, struct mount_row *ret_row,
                uint64_t *ret_unique_id)
{
    uint64_t id, unique_id, id_after, unique_id_after;
    int error = numbers_at(path, &id, &unique_id);
    if (error == 0)
        error = find_row(id, table, ret_row);
    if (error == 0)
        error = numbers_at(path, &id_after, &unique_id_after);
    if (error != 0)
        return error;
    if (id != id_after || unique_id != unique_id_after)
        return EAGAIN;
    if (ret_unique_id != NULL)
        *ret_unique_id = unique_id;
    return 0;
}
