/* SPDX-License-Identifier: MIT */
/*
 * Bodies: written to a file without a name and linked under their id when whole (where the file
 * system has no such files, under a passing name and renamed: that takes four times as long on
 * ext4), so that what has an id for a name is whole. The bytes are gathered in memory first, so
 * that most mails cost one write.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BODY_NAME_OCTETS = 32,
    BODY_GATHER_OCTETS = 65536, /* one write for a mail of usual size */
    COMPARE_OCTETS = 16384,
};

struct store_body {
    const struct store *store;
    int descriptor;
    char name[BODY_NAME_OCTETS]; /* "" if it has none, or is kept */
    uint64_t octets;
    size_t gathered_octets;
    char gathered[BODY_GATHER_OCTETS];
};

static void body_name(uint64_t id, char ret_name[BODY_NAME_OCTETS])
{
    snprintf(ret_name, BODY_NAME_OCTETS, "%" PRIu64, id);
}

static enum fault write_failure(struct failure *ret)
{
    int error = errno;
    return failure_set(ret, FAULT_DISK, "cannot write to the cache: %s", strerror(error));
}

static void body_create(struct store *store, struct store_body *body)
{
    body->name[0] = '\0';
    body->descriptor = openat(store->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* EISDIR is what a kernel or file system says that does not know O_TMPFILE (open(2)). */
    if (body->descriptor >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return;
    snprintf(body->name, sizeof(body->name), "new-%" PRIu64, ++store->new_bodies_count);
    body->descriptor =
        openat(store->folder, body->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
}

enum fault store_body_new(struct store *store, struct store_body **ret_body,
                          struct failure *ret_failure)
{
    struct store_body *body = malloc(sizeof(*body));
    if (body == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    body->store = store;
    body->octets = 0;
    body->gathered_octets = 0;
    body_create(store, body);
    if (body->descriptor < 0) {
        free(body);
        return write_failure(ret_failure);
    }
    *ret_body = body;
    return FAULT_NONE;
}

static enum fault body_write(const struct store_body *body, struct slice bytes,
                             struct failure *ret_failure)
{
    while (bytes.len > 0) {
        ssize_t count = write(body->descriptor, bytes.data, bytes.len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return write_failure(ret_failure);
        bytes = slice_skip(bytes, (size_t)count);
    }
    return FAULT_NONE;
}

enum fault store_body_flush(struct store_body *body, struct failure *ret_failure)
{
    struct slice gathered = {body->gathered, body->gathered_octets};
    body->gathered_octets = 0;
    return body_write(body, gathered, ret_failure);
}

enum fault store_body_append(struct store_body *body, struct slice bytes,
                             struct failure *ret_failure)
{
    body->octets += bytes.len;
    if (bytes.len > sizeof(body->gathered) - body->gathered_octets) {
        enum fault fault = store_body_flush(body, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
    }
    if (bytes.len >= sizeof(body->gathered))
        return body_write(body, bytes, ret_failure);
    if (bytes.len > 0)
        memcpy(body->gathered + body->gathered_octets, bytes.data, bytes.len);
    body->gathered_octets += bytes.len;
    return FAULT_NONE;
}

uint64_t store_body_octets(const struct store_body *body)
{
    return body->octets;
}

enum fault store_body_share(const struct store_body *body, int *ret_descriptor,
                            struct failure *ret_failure)
{
    int descriptor = fcntl(body->descriptor, F_DUPFD_CLOEXEC, 3);
    if (descriptor < 0)
        return write_failure(ret_failure);
    *ret_descriptor = descriptor;
    return FAULT_NONE;
}

enum fault store_body_compare(struct store_body *body, uint64_t offset, struct slice bytes,
                              bool *ret_equal, struct failure *ret_failure)
{
    char held[COMPARE_OCTETS];
    enum fault fault = store_body_flush(body, ret_failure);
    bool equal = true;
    while (fault == FAULT_NONE && equal && bytes.len > 0) {
        size_t wanted = bytes.len < sizeof(held) ? bytes.len : sizeof(held);
        ssize_t count = pread(body->descriptor, held, wanted, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return write_failure(ret_failure);
        equal = memcmp(held, bytes.data, (size_t)count) == 0;
        offset += (uint64_t)count;
        bytes = slice_skip(bytes, (size_t)count);
    }
    if (fault == FAULT_NONE)
        *ret_equal = equal;
    return fault;
}

void store_body_free(struct store_body *body)
{
    if (body == NULL)
        return;
    if (body->descriptor >= 0)
        close(body->descriptor);
    if (body->name[0] != '\0')
        unlinkat(body->store->folder, body->name, 0);
    free(body);
}

/* By /proc, because AT_EMPTY_PATH wants a privilege (open(2), O_TMPFILE). */
static bool body_link(const struct store_body *body, const char *name)
{
    char path[64];
    int folder = body->store->folder;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", body->descriptor);
    if (linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) == 0)
        return true;
    if (errno != EEXIST || unlinkat(folder, name, 0) != 0)
        return false;
    return linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) == 0;
}

static bool body_publish(struct store_body *body, const char *name)
{
    int folder = body->store->folder;
    if (body->name[0] == '\0')
        return body_link(body, name);
    if (renameat(folder, body->name, folder, name) != 0)
        return false;
    body->name[0] = '\0';
    return true;
}

enum fault store_body_keep(struct store_body *body, uint64_t id, int *ret_descriptor,
                           struct failure *ret_failure)
{
    char name[BODY_NAME_OCTETS];
    body_name(id, name);
    enum fault fault = store_body_flush(body, ret_failure);
    *ret_descriptor = -1;
    if (fault == FAULT_NONE) {
        if (!body_publish(body, name))
            fault = write_failure(ret_failure);
        *ret_descriptor = body->descriptor;
        body->descriptor = -1;
    }
    store_body_free(body);
    return fault;
}

enum fault store_body_open(const struct store *store, uint64_t id, int *ret_descriptor)
{
    char name[BODY_NAME_OCTETS];
    body_name(id, name);
    int descriptor = openat(store->folder, name, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return errno == ENOENT ? FAULT_GONE : FAULT_DISK;
    *ret_descriptor = descriptor;
    return FAULT_NONE;
}

void store_body_remove(struct store *store, uint64_t id)
{
    char name[BODY_NAME_OCTETS];
    body_name(id, name);
    unlinkat(store->folder, name, 0);
}
