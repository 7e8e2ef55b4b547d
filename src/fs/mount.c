/* SPDX-License-Identifier: MIT */
/* See mount.h. Knows options and paths, refuses to know sessions and requests. */
#include "mount.h"

#include "mountwatch.h"

#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fuse_log.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- options ---- */

/* A comma would end the option, and a backslash is how one is escaped. */
static bool write_escaped(struct buffer *text, const char *value)
{
    for (; *value != '\0'; value++) {
        if ((*value == ',' || *value == '\\') && !buffer_append_string(text, "\\"))
            return false;
        if (!buffer_append(text, (struct slice){value, 1}))
            return false;
    }
    return true;
}

bool mount_options_write(const struct fs_options *options, struct buffer *text)
{
    /* Everybody may come in: then the kernel has to look at the mode bits. */
    const char *others = options->allow_other ? ",allow_other,default_permissions" : "";
    const char *writing = options->read_only ? ",ro" : "";
    bool more = options->mount_options[0] != '\0';
    return buffer_append_string(text, "subtype=popfs,fsname=") &&
           write_escaped(text, options->source) && buffer_append_string(text, others) &&
           buffer_append_string(text, writing) && buffer_append_string(text, more ? "," : "") &&
           buffer_append_string(text, options->mount_options) &&
           buffer_append(text, (struct slice){"", 1});
}

unsigned mount_options_max_read(const char *mount_options)
{
    static const char key[] = "max_read=";
    const char *at = mount_options;
    while (at != NULL && strncmp(at, key, sizeof(key) - 1) != 0) {
        at = strchr(at, ',');
        if (at != NULL)
            at++;
    }
    if (at == NULL)
        return 0;
    struct slice value = slice_from_string(at + sizeof(key) - 1);
    value.len = strcspn(value.data, ",");
    uint64_t number;
    return slice_to_number(value, UINT32_MAX, &number) ? (unsigned)number : 0;
}

/* ---- the mount point ---- */

/* mount.fuse3 has opened the device and mounted already (drop_privileges). */
static bool is_mounted_descriptor(const char *mountpoint)
{
    return strncmp(mountpoint, "/dev/fd/", strlen("/dev/fd/")) == 0;
}

enum fault mount_point_check(const char *mountpoint, struct failure *ret_failure)
{
    struct stat stat_of;
    if (is_mounted_descriptor(mountpoint))
        return FAULT_NONE;
    if (stat(mountpoint, &stat_of) == 0) {
        if (S_ISDIR(stat_of.st_mode))
            return FAULT_NONE;
        return failure_set(ret_failure, FAULT_DISK, "%s is not a directory", mountpoint);
    }
    if (errno == ENOTCONN)
        return failure_set(ret_failure, FAULT_DISK,
                           "%s is still mounted by a program that has died; "
                           "run 'fusermount3 -uz %s' first",
                           mountpoint, mountpoint);
    if (errno == ENOENT)
        return failure_set(ret_failure, FAULT_DISK, "%s does not exist; run 'mkdir %s' first",
                           mountpoint, mountpoint);
    return failure_set(ret_failure, FAULT_DISK, "cannot mount on %s: %s", mountpoint,
                       strerror(errno));
}

/* ---- who may come in ---- */

bool mount_is_guarded(struct slice table, const struct mount_identity *own, const char *source,
                      bool is_wanted)
{
    struct mount_row row;
    bool is_seen = false;
    while (mounts_take_row(&table, &row)) {
        bool is_own = own == NULL ? mounts_row_is_popfs(&row)
                                  : slice_equal(row.device, slice_from_string(own->device));
        if (!is_own || !mounts_options_have(row.options, "allow_other"))
            continue;
        if (!mounts_options_have(row.options, "default_permissions"))
            return false;
        is_seen |= own != NULL || mountwatch_may_be_handed_over(&row, source);
    }
    return is_seen || !is_wanted;
}

enum fault mount_guard_check(const struct mount_identity *own, const char *source, bool is_wanted,
                             struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer table = {0};
    /* A table that cannot be read shows nothing. */
    struct slice rows = mounts_load(&table) == 0 ? buffer_slice(&table) : SLICE_LITERAL("");
    if (mount_is_guarded(rows, own, source, is_wanted))
        return FAULT_NONE;
    return failure_set(ret_failure, FAULT_DISK,
                       "allow_other lets everybody read and remove everything here, because the "
                       "kernel checks no permissions: unmount, and add default_permissions");
}

/* ---- what libfuse says ---- */

/* libfuse's callback has no argument of ours. */
static bool keeping;
static char kept[FAILURE_TEXT_OCTETS];

static enum log_level level_from_fuse(enum fuse_log_level level)
{
    if (level <= FUSE_LOG_ERR)
        return LOG_LEVEL_ERROR;
    if (level <= FUSE_LOG_WARNING)
        return LOG_LEVEL_WARNING;
    return level <= FUSE_LOG_INFO ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

__attribute__((format(printf, 2, 0))) static void take_message(enum fuse_log_level level,
                                                               const char *format, va_list args)
{
    char line[FAILURE_TEXT_OCTETS];
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    /* libfuse says one line in several pieces. */
    size_t used = strlen(kept);
    if (keeping)
        snprintf(kept + used, sizeof(kept) - used, "%s", line);
    else
        log_write(level_from_fuse(level), "%s", line);
}

void mount_messages_keep(void)
{
    kept[0] = '\0';
    keeping = true;
    fuse_set_log_func(take_message);
}

const char *mount_messages_kept(void)
{
    keeping = false;
    return kept;
}
