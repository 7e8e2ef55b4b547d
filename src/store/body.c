/* SPDX-License-Identifier: MIT */
/*
 * A body that is being written. The bytes are gathered in memory, and most bodies go from there
 * into a pack when they are whole, by one write. One that is too large for that, or is read while
 * it arrives, is a file without a name that is linked under its name when whole (where the file
 * system has no such files, under a passing name and renamed: that takes four times as long on
 * ext4), so that what has the name of a body is whole.
 *
 * When the disk takes no more, the other bodies make room for it; when that does not help, it goes
 * on elsewhere (refuge.h) and is not kept. Each new body tries the disk again.
 */
#include "store.h"

#include "disk.h"
#include "refuge.h"
#include "sum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BODY_GATHER_OCTETS = 65536, /* so much goes into a pack */
    COMPARE_OCTETS = 16384,
};

struct store_body {
    struct store *store;
    int descriptor;              /* -1: all that has been appended is gathered */
    int shared;                  /* the caller's; -1: none was given out */
    enum refuge refuge;          /* where it is; NONE: on the disk of the cache */
    int disk_error;              /* why it is not there; 0: it is */
    bool is_broken;              /* nothing took some of its bytes: it has a hole for ever */
    char name[BODY_NAME_OCTETS]; /* "" if it has none, or is kept */
    struct sum *sum;
    uint64_t octets;
    uint64_t written_octets; /* of them, in the file */
    size_t gathered_octets;
    char record[PACK_HEADER_OCTETS + BODY_GATHER_OCTETS]; /* gathered behind room for a header */
};

static char *gathered(struct store_body *body)
{
    return body->record + PACK_HEADER_OCTETS;
}

static enum fault write_failure(struct failure *ret, int error)
{
    return failure_set(ret, FAULT_DISK, "cannot write to the cache: %s", strerror(error));
}

/* Whether dropping what is kept may help; it does not against a broken disk, or too many open
 * files. */
static bool make_room(struct store *store, int error)
{
    if ((error != ENOSPC && error != EDQUOT) || shelf_count(store->shelf) == 0)
        return false;
    bodies_evict(store, 0);
    return true;
}

/* ---- making and moving ---- */

static bool create(struct store_body *body)
{
    struct store *store = body->store;
    body->name[0] = '\0';
    body->descriptor = disk_openat(store->bodies, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* EISDIR is what a kernel or file system says that does not know O_TMPFILE (open(2)). */
    if (body->descriptor >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return body->descriptor >= 0;
    snprintf(body->name, sizeof(body->name), "new-%" PRIu64, ++store->new_bodies_count);
    body->descriptor =
        disk_openat(store->bodies, body->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (body->descriptor < 0)
        body->name[0] = '\0';
    return body->descriptor >= 0;
}

static void remove_name(struct store_body *body)
{
    if (body->name[0] != '\0')
        disk_unlinkat(body->store->bodies, body->name, 0);
    body->name[0] = '\0';
}

/* `upto` is what the body is to have. Who reads the shared descriptor sees the same bytes in
 * another file from now on. */
static bool move(struct store_body *body, uint64_t upto)
{
    if (body->disk_error == 0)
        body->disk_error = errno;
    body->store->is_keeping = false;
    for (;;) {
        body->refuge = refuge_after(body->refuge, upto);
        if (body->refuge == REFUGE_NONE)
            return false;
        int file = refuge_open(body->refuge, body->descriptor, body->written_octets);
        if (file < 0)
            continue;
        remove_name(body);
        cleanup_close(&body->descriptor);
        body->descriptor = file;
        return body->shared < 0 || disk_dup3(file, body->shared, O_CLOEXEC) >= 0;
    }
}

static bool has_file(struct store_body *body)
{
    return body->descriptor >= 0 || create(body) ||
           (make_room(body->store, errno) && create(body)) || move(body, 0);
}

static enum fault need_file(struct store_body *body, struct failure *ret_failure)
{
    body->is_broken = body->is_broken || !has_file(body);
    return body->is_broken ? write_failure(ret_failure, body->disk_error) : FAULT_NONE;
}

enum fault store_body_new(struct store *store, struct store_body **ret_body,
                          struct failure *ret_failure)
{
    struct store_body *body = malloc(sizeof(*body));
    struct sum *sum = sum_new();
    if (body == NULL || sum == NULL) {
        free(body);
        sum_free(sum);
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    body->store = store;
    body->sum = sum;
    body->descriptor = -1;
    body->shared = -1;
    body->refuge = REFUGE_NONE;
    body->disk_error = 0;
    body->is_broken = false;
    body->name[0] = '\0';
    body->octets = 0;
    body->written_octets = 0;
    body->gathered_octets = 0;
    *ret_body = body;
    return FAULT_NONE;
}

/* ---- writing ---- */

static bool write_some(struct store_body *body, struct slice *bytes)
{
    ssize_t count =
        disk_pwrite(body->descriptor, bytes->data, bytes->len, (off_t)body->written_octets);
    if (count < 0)
        return errno == EINTR;
    body->written_octets += (uint64_t)count;
    *bytes = slice_skip(*bytes, (size_t)count);
    return true;
}

static enum fault body_write(struct store_body *body, struct slice bytes,
                             struct failure *ret_failure)
{
    enum fault fault = need_file(body, ret_failure);
    while (fault == FAULT_NONE && bytes.len > 0) {
        uint64_t upto = body->written_octets + bytes.len;
        bool written = false;
        errno = EFBIG;
        if (body->refuge != REFUGE_MEMORY || upto <= REFUGE_MEMORY_OCTETS_MAX)
            written = write_some(body, &bytes);
        if (written || (body->refuge == REFUGE_NONE && make_room(body->store, errno)))
            continue;
        body->is_broken = !move(body, upto);
        fault = need_file(body, ret_failure);
    }
    return fault;
}

enum fault store_body_flush(struct store_body *body, struct failure *ret_failure)
{
    struct slice bytes = {gathered(body), body->gathered_octets};
    body->gathered_octets = 0;
    return body_write(body, bytes, ret_failure);
}

enum fault store_body_append(struct store_body *body, struct slice bytes,
                             struct failure *ret_failure)
{
    body->octets += bytes.len;
    sum_add(body->sum, bytes);
    if (body->is_broken || bytes.len > BODY_GATHER_OCTETS - body->gathered_octets) {
        enum fault fault = store_body_flush(body, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
    }
    if (bytes.len > BODY_GATHER_OCTETS)
        return body_write(body, bytes, ret_failure);
    if (bytes.len > 0)
        memcpy(gathered(body) + body->gathered_octets, bytes.data, bytes.len);
    body->gathered_octets += bytes.len;
    return FAULT_NONE;
}

uint64_t store_body_octets(const struct store_body *body)
{
    return body->octets;
}

enum fault store_body_share(struct store_body *body, int *ret_descriptor,
                            struct failure *ret_failure)
{
    enum fault fault = need_file(body, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    int descriptor = disk_dup(body->descriptor);
    if (descriptor < 0)
        return write_failure(ret_failure, errno);
    body->shared = descriptor;
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
        ssize_t count = disk_pread(body->descriptor, held, wanted, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return failure_set(ret_failure, FAULT_DISK, "cannot read from the cache: %s",
                               strerror(count < 0 ? errno : EIO));
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
    cleanup_close(&body->descriptor);
    remove_name(body);
    sum_free(body->sum);
    free(body);
}

/* ---- keeping ---- */

/* By /proc, because AT_EMPTY_PATH wants a privilege (open(2), O_TMPFILE). */
static bool body_link(const struct store_body *body, const char *name)
{
    char path[64];
    int folder = body->store->bodies;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", body->descriptor);
    if (disk_linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) == 0)
        return true;
    if (errno != EEXIST || disk_unlinkat(folder, name, 0) != 0)
        return false;
    return disk_linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) == 0;
}

static bool publish(struct store_body *body, const char *name)
{
    int folder = body->store->bodies;
    if (body->name[0] == '\0')
        return body_link(body, name);
    if (disk_renameat(folder, body->name, folder, name) != 0)
        return false;
    body->name[0] = '\0';
    return true;
}

static void shelve(struct store *store, const struct shelf_entry *entry)
{
    struct shelf_entry old;
    bool is_replaced = shelf_find(store->shelf, entry->id, &old);
    shelf_put(store->shelf, entry);
    /* A file of this opening has the same name. */
    if (is_replaced && (old.is_packed || entry->is_packed || old.opening != entry->opening)) {
        bodies_disown(store, &old);
        packs_drop_dead(&store->packs);
    }
    store->is_keeping = true;
    store->is_synced = false;
    bodies_evict_surplus(store);
}

static bool append_record(struct store_body *body, uint64_t id, struct pack **ret_pack,
                          struct extent *ret_extent)
{
    return packs_append(&body->store->packs, id, body->record, body->gathered_octets, ret_pack,
                        ret_extent);
}

/* False: it may do better in a file of its own. */
static bool keep_packed(struct store_body *body, uint64_t id, struct extent *ret_extent)
{
    struct store *store = body->store;
    struct pack *pack;
    if (store->octets_max > 0 && bodies_record_octets(body->octets) > store->octets_max)
        return false;
    if (!shelf_reserve(store->shelf))
        return false;
    if (!append_record(body, id, &pack, ret_extent) &&
        !(make_room(store, errno) && append_record(body, id, &pack, ret_extent)))
        return false;
    pack->used = shelf_tick(store->shelf);
    pack->is_dirty = true;
    const struct shelf_entry entry = {
        .id = id,
        .octets = body->octets,
        .pack = pack->number,
        .offset = (uint32_t)(ret_extent->offset - PACK_HEADER_OCTETS),
        .sum = sum_value(body->sum),
        .opening = pack->opening,
        .is_packed = true,
        .is_claimed = true,
        .is_dirty = true,
    };
    shelve(store, &entry);
    return true;
}

/* One that is larger than the cache may be would drive out all others and then itself. */
static enum fault keep_file(struct store_body *body, uint64_t id, struct failure *ret_failure)
{
    struct store *store = body->store;
    char name[BODY_NAME_OCTETS];
    if (body->refuge != REFUGE_NONE)
        return write_failure(ret_failure, body->disk_error);
    if (store->octets_max > 0 && body->octets > store->octets_max) {
        store_body_remove(store, id);
        return FAULT_NONE;
    }
    if (!shelf_reserve(store->shelf))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    body_name(id, store->state.opening, name);
    if (!publish(body, name) && !(make_room(store, errno) && publish(body, name))) {
        int error = errno;
        store->is_keeping = false;
        return write_failure(ret_failure, error);
    }
    const struct shelf_entry entry = {.id = id,
                                      .octets = body->octets,
                                      .used = shelf_tick(store->shelf),
                                      .sum = sum_value(body->sum),
                                      .opening = store->state.opening,
                                      .is_claimed = true,
                                      .is_dirty = true};
    shelve(store, &entry);
    return FAULT_NONE;
}

enum fault store_body_keep(struct store_body *body, uint64_t id, struct extent *ret_extent,
                           struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    *ret_extent = EXTENT_NONE;
    if (body->is_broken || body->descriptor >= 0 || !keep_packed(body, id, ret_extent)) {
        fault = store_body_flush(body, ret_failure);
        if (fault == FAULT_NONE) {
            fault = keep_file(body, id, ret_failure);
            *ret_extent = (struct extent){.descriptor = body->descriptor, .octets = body->octets};
            body->descriptor = -1;
        }
    }
    ret_extent->sum = ret_extent->descriptor < 0 ? SUM_NONE : sum_value(body->sum);
    store_body_free(body);
    return fault;
}

bool store_is_keeping(const struct store *store)
{
    return store->is_keeping;
}
