/* SPDX-License-Identifier: MIT */
#include "mountwatch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_OCTETS = 16384,
    /* 100,000 mounts, the kernel's own limit, of 200 octets each. */
    MOUNTINFO_OCTETS_MAX = 20000000,
};

/* ---- pure ---- */

static struct slice take_line(struct slice *text)
{
    const char *end = memchr(text->data, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    struct slice line = {text->data, len};
    *text = slice_skip(*text, len + 1);
    return line;
}

/* A blank, a tab, a line end or a backslash in a path is \ and three octal digits. */
static bool path_is(struct slice field, const char *path)
{
    size_t i = 0;
    for (; i < field.len && *path != '\0'; path++) {
        char byte = field.data[i++];
        if (byte == '\\' && field.len - i >= 3) {
            byte = (char)((field.data[i] - '0') << 6 | (field.data[i + 1] - '0') << 3 |
                          (field.data[i + 2] - '0'));
            i += 3;
        }
        if (byte != *path)
            return false;
    }
    return i == field.len && *path == '\0';
}

/* id, parent, device, root, mount point, options, any number of tags, "-", type */
static bool type_is(struct slice rest, struct slice type)
{
    struct slice word;
    do
        word = slice_take_word(&rest);
    while (word.len > 0 && !slice_equal(word, SLICE_LITERAL("-")));
    return slice_equal(slice_take_word(&rest), type);
}

static struct slice take_device(struct slice *line)
{
    (void)slice_take_word(line);
    (void)slice_take_word(line);
    return slice_take_word(line);
}

static bool copy_device(struct slice device, char ret_device[MOUNTWATCH_DEVICE_OCTETS])
{
    if (device.len == 0 || device.len >= MOUNTWATCH_DEVICE_OCTETS)
        return false;
    memcpy(ret_device, device.data, device.len);
    ret_device[device.len] = '\0';
    return true;
}

bool mountwatch_find(struct slice mountinfo, const char *mountpoint,
                     char ret_device[MOUNTWATCH_DEVICE_OCTETS])
{
    bool found = false;
    while (mountinfo.len > 0) {
        struct slice line = take_line(&mountinfo);
        struct slice device = take_device(&line);
        (void)slice_take_word(&line);
        if (path_is(slice_take_word(&line), mountpoint) &&
            type_is(line, SLICE_LITERAL("fuse.popfs")))
            found |= copy_device(device, ret_device);
    }
    return found;
}

/* The next mount of the device; false at the end. */
static bool take_place(struct slice *mountinfo, const char *device, uint64_t *ret_place)
{
    while (mountinfo->len > 0) {
        struct slice line = take_line(mountinfo);
        if (!slice_equal(take_device(&line), slice_from_string(device)))
            continue;
        (void)slice_take_word(&line);
        *ret_place = hash_bytes(slice_take_word(&line));
        return true;
    }
    return false;
}

bool mountwatch_place(struct slice mountinfo, const char *device, uint64_t *ret_place)
{
    return take_place(&mountinfo, device, ret_place);
}

bool mountwatch_holds(struct slice mountinfo, const char *device, uint64_t place)
{
    uint64_t other;
    while (take_place(&mountinfo, device, &other))
        if (other == place)
            return true;
    return false;
}

bool mountwatch_connection(struct slice fdinfo, char ret_device[MOUNTWATCH_DEVICE_OCTETS])
{
    enum { MINOR_BITS = 20 }; /* in the kernel's own dev_t */
    while (fdinfo.len > 0) {
        struct slice line = take_line(&fdinfo);
        uint64_t number;
        if (!slice_equal(slice_take_word(&line), SLICE_LITERAL("fuse_connection:")) ||
            !slice_to_number(slice_trim(line), UINT32_MAX, &number))
            continue;
        snprintf(ret_device, MOUNTWATCH_DEVICE_OCTETS, "%u:%u", (unsigned)(number >> MINOR_BITS),
                 (unsigned)number & ((1U << MINOR_BITS) - 1));
        return true;
    }
    return false;
}

/* ---- files of /proc ---- */

static bool read_all(int descriptor, struct buffer *text)
{
    char part[READ_OCTETS];
    ssize_t got;
    while ((got = pread(descriptor, part, sizeof(part), (off_t)text->len)) > 0)
        if (text->len > MOUNTINFO_OCTETS_MAX ||
            !buffer_append(text, (struct slice){part, (size_t)got}))
            return false;
    return got == 0;
}

static bool connection_of(int session_descriptor, char ret_device[MOUNTWATCH_DEVICE_OCTETS])
{
    char path[64];
    CLEANUP_BUFFER struct buffer text = {0};
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", session_descriptor);
    CLEANUP_CLOSE int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    return descriptor >= 0 && read_all(descriptor, &text) &&
           mountwatch_connection(buffer_slice(&text), ret_device);
}

static int64_t clock_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The number of the connection tells the mount for sure. Where the kernel does not say it, the path
 * does, but for a mount that mount.fuse3 has made before it started popfs: its path is "/dev/fd/N",
 * and nothing is known of it. Nor is of a mount that another namespace holds.
 */
void mountwatch_start(struct mountwatch *watch, int session_descriptor, const char *mountpoint)
{
    char device[MOUNTWATCH_DEVICE_OCTETS];
    uint64_t place;
    CLEANUP_BUFFER struct buffer text = {0};
    int descriptor = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    *watch = MOUNTWATCH_OFF;
    if (descriptor < 0)
        return;
    if (read_all(descriptor, &text) &&
        (connection_of(session_descriptor, device)
             ? mountwatch_place(buffer_slice(&text), device, &place)
             : mountwatch_find(buffer_slice(&text), mountpoint, device)))
        mountwatch_start_at(watch, descriptor, device);
    else
        close(descriptor);
}

void mountwatch_start_at(struct mountwatch *watch, int descriptor, const char *device)
{
    CLEANUP_BUFFER struct buffer text = {0};
    *watch = (struct mountwatch){.descriptor = descriptor, .state = MOUNTWATCH_MOUNTED};
    snprintf(watch->device, sizeof(watch->device), "%s", device);
    if (!read_all(descriptor, &text) ||
        !mountwatch_place(buffer_slice(&text), device, &watch->place))
        mountwatch_done(watch);
}

void mountwatch_done(struct mountwatch *watch)
{
    if (watch->descriptor >= 0)
        close(watch->descriptor);
    *watch = MOUNTWATCH_OFF;
}

void mountwatch_read(struct mountwatch *watch)
{
    CLEANUP_BUFFER struct buffer text = {0};
    /* What cannot be read says nothing: the next look will. */
    if (watch->state != MOUNTWATCH_MOUNTED || !read_all(watch->descriptor, &text) ||
        mountwatch_holds(buffer_slice(&text), watch->device, watch->place))
        return;
    watch->state = MOUNTWATCH_UNMOUNTED;
    watch->unmounted_at_ms = clock_now_ms();
}

enum mountwatch_state mountwatch_state(const struct mountwatch *watch)
{
    return watch->state;
}

int mountwatch_left_ms(const struct mountwatch *watch)
{
    if (watch->state != MOUNTWATCH_UNMOUNTED)
        return -1;
    int64_t left_ms = watch->unmounted_at_ms + MOUNTWATCH_PLAIN_MS - clock_now_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

void mountwatch_be_lazy(struct mountwatch *watch)
{
    watch->state = MOUNTWATCH_UNMOUNTED_LAZILY;
}
