/* SPDX-License-Identifier: MIT */
/*
 * A body that is being written. The bytes are gathered in memory, and most bodies go from there
 * into a pack when they are whole, by one write. One that is too large for that, or is read while
 * it arrives, is a file without a name that is linked under its name when whole (where the file
 * system has no such files, under a passing name and renamed: that takes four times as long on
 * ext4), so that what has the name of a body is whole.
 *
 * When the cache takes no more (room.h), the other bodies make room for it, as far as it is known
 * to fit then: by what was said of its size while it arrives, so that one without an end drives
 * nobody out, and by its size when it is whole. Otherwise it goes on in memory (refuge.h), up to a
 * bound, and is not kept. Each new body tries the cache again.
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
    EXPECTED_PART_MORE = 8, /* LIST may leave out line ends: a body may be larger by such a part */
};

struct store_body {
    struct store *store;
    int descriptor;              /* -1: all that has been appended is gathered */
    int shared;                  /* the caller's; -1: none was given out */
    bool is_in_memory;           /* and not on the disk of the cache */
    int disk_error;              /* why it is not there; 0: it is */
    enum room lack;              /* the same, where the disk was not even asked */
    bool has_evicted;            /* for an error of the disk, which may not mean that others help */
    bool is_broken;              /* nothing took some of its bytes: it has a hole for ever */
    char name[BODY_NAME_OCTETS]; /* "" if it has none, or is kept */
    struct sum *sum;
    uint64_t octets;
    uint64_t expected_octets; /* in all; 0: nobody has said */
    uint64_t written_octets;  /* of them, in the file */
    uint64_t counted_octets;  /* of them, among those that arrive in the cache */
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

static bool is_want_of_room(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

/* Why it is not in the cache. */
static enum fault body_failure(const struct store_body *body, struct failure *ret)
{
    const struct store *store = body->store;
    switch (body->lack) {
    case ROOM_NONE_BY_LIMIT:
        return failure_set(ret, FAULT_DISK,
                           "cannot write to the cache: more than %" PRIu64
                           " octets would be in it (cache_size)",
                           store->octets_max);
    case ROOM_NONE_ON_DISK:
        return failure_set(ret, FAULT_DISK,
                           "cannot write to the cache: %s (popfs leaves a part of it free)",
                           strerror(body->disk_error));
    case ROOM_THERE:
        break;
    }
    return write_failure(ret, body->disk_error);
}

static enum fault loss(const struct store_body *body, struct failure *ret)
{
    struct failure failure;
    body_failure(body, &failure);
    return is_want_of_room(body->disk_error)
               ? failure_set(ret, FAULT_FULL,
                             "%s, and a message that is not in it may have %d MiB at most",
                             failure.text, REFUGE_OCTETS_MAX >> 20)
               : failure_set(ret, FAULT_DISK, "%s", failure.text);
}

/* So many octets of the body are in a file in the cache. */
static void count_arriving(struct store_body *body, uint64_t octets)
{
    body->store->arriving_octets += octets - body->counted_octets;
    body->counted_octets = octets;
}

/* So many octets are still to come, of a body that is to have `upto` now. 0: that is more than it
 * was said to have, so that nobody knows. */
static uint64_t wanted_octets(const struct store_body *body, uint64_t upto)
{
    uint64_t expected = body->expected_octets;
    if (upto > BODY_GATHER_OCTETS && upto > expected &&
        upto - expected > expected / EXPECTED_PART_MORE)
        return 0;
    return (upto > expected ? upto : expected) - body->written_octets;
}

/* Whether to try once more. Dropping what is kept helps neither against a broken disk nor against
 * too many open files. */
static bool make_room(struct store_body *body, int error, uint64_t octets)
{
    bool again = is_want_of_room(error) && !body->has_evicted && octets > 0 &&
                 room_evict(body->store, octets);
    body->has_evicted |= again;
    body->store->granted_octets = 0;
    return again;
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

/* Who reads the shared descriptor sees the same bytes in this file from now on. */
static bool go_on_in(struct store_body *body, int file)
{
    cleanup_close(&body->descriptor);
    body->descriptor = file;
    return body->shared < 0 || disk_dup3(file, body->shared, O_CLOEXEC) >= 0;
}

/* `upto` is what the body is to have, errno why it cannot stay where it is. */
static bool move(struct store_body *body, uint64_t upto)
{
    bool is_too_large = upto > REFUGE_OCTETS_MAX;
    if (body->disk_error == 0)
        body->disk_error = errno;
    int file = body->is_in_memory || is_too_large
                   ? -1
                   : refuge_open(body->descriptor, body->written_octets);
    if (file < 0)
        return false;
    body->is_in_memory = true;
    remove_name(body);
    count_arriving(body, 0);
    return go_on_in(body, file);
}

static bool leave(struct store_body *body, uint64_t upto)
{
    struct store *store = body->store;
    bool moved = move(body, upto);
    /* One that is too large says nothing about others. */
    if (body->lack == ROOM_THERE ||
        (body->lack == ROOM_NONE_ON_DISK && !room_could_be(store, BODY_GATHER_OCTETS)))
        store->is_keeping = false;
    return moved;
}

static bool has_file(struct store_body *body)
{
    return body->descriptor >= 0 || create(body) || (make_room(body, errno, 1) && create(body)) ||
           leave(body, 0);
}

static enum fault need_file(struct store_body *body, struct failure *ret_failure)
{
    body->is_broken = body->is_broken || !has_file(body);
    return body->is_broken ? loss(body, ret_failure) : FAULT_NONE;
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
    body->is_in_memory = false;
    body->disk_error = 0;
    body->lack = ROOM_THERE;
    body->has_evicted = false;
    body->is_broken = false;
    body->name[0] = '\0';
    body->octets = 0;
    body->expected_octets = 0;
    body->written_octets = 0;
    body->counted_octets = 0;
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
    if (!body->is_in_memory)
        count_arriving(body, body->written_octets);
    *bytes = slice_skip(*bytes, (size_t)count);
    return true;
}

/* False and errno. */
static bool finds_room(struct store_body *body, uint64_t upto)
{
    if (body->is_in_memory)
        return upto <= REFUGE_OCTETS_MAX;
    enum room room = room_make(body->store, upto - body->written_octets, wanted_octets(body, upto));
    if (room == ROOM_THERE)
        return true;
    body->lack = room;
    errno = ENOSPC;
    return false;
}

static enum fault body_write(struct store_body *body, struct slice bytes,
                             struct failure *ret_failure)
{
    enum fault fault = need_file(body, ret_failure);
    while (fault == FAULT_NONE && bytes.len > 0) {
        uint64_t upto = body->written_octets + bytes.len;
        bool finds = finds_room(body, upto);
        if (finds && write_some(body, &bytes))
            continue;
        if (finds && !body->is_in_memory && make_room(body, errno, wanted_octets(body, upto)))
            continue;
        body->is_broken = !leave(body, upto);
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

void store_body_expect(struct store_body *body, uint64_t octets)
{
    body->expected_octets = octets;
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
    count_arriving(body, 0);
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
    uint64_t octets = bodies_record_octets(body->octets);
    if (room_make(store, octets, octets) != ROOM_THERE || !shelf_reserve(store->shelf))
        return false;
    if (!append_record(body, id, &pack, ret_extent) &&
        !(make_room(body, errno, octets) && append_record(body, id, &pack, ret_extent)))
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

/* The descriptor of a copy in the cache; -1 and errno. */
static int copy_back(struct store_body *body)
{
    int in_memory = body->descriptor;
    bool is_there = create(body) && refuge_copy(in_memory, body->descriptor, body->octets);
    int copy = body->descriptor, error = errno;
    body->descriptor = in_memory;
    if (is_there)
        return copy;
    remove_name(body);
    if (copy != in_memory)
        cleanup_close(&copy);
    errno = error;
    return -1;
}

/* Now that it is known how large it is, others may make room for it. */
static void bring_back(struct store_body *body)
{
    uint64_t octets = body->octets;
    if (!body->is_in_memory || !is_want_of_room(body->disk_error) ||
        room_make(body->store, octets, octets) != ROOM_THERE)
        return;
    int file = copy_back(body);
    if (file < 0 && make_room(body, errno, octets))
        file = copy_back(body);
    if (file < 0)
        return;
    (void)go_on_in(body, file); /* else who shares it keeps the memory: it is whole */
    body->is_in_memory = false;
}

/* One that is larger than the cache may be would drive out all others and then itself. */
static enum fault keep_file(struct store_body *body, uint64_t id, struct failure *ret_failure)
{
    struct store *store = body->store;
    char name[BODY_NAME_OCTETS];
    if (store->octets_max > 0 && body->octets > store->octets_max) {
        store_body_remove(store, id);
        return FAULT_NONE;
    }
    bring_back(body);
    if (body->is_in_memory)
        return body_failure(body, ret_failure);
    count_arriving(body, 0);
    if (!shelf_reserve(store->shelf))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    body_name(id, store->state.opening, name);
    if (!publish(body, name) && !(make_room(body, errno, 1) && publish(body, name))) {
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
    body->expected_octets = body->octets;
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

bool store_could_keep(struct store *store, uint64_t octets)
{
    return store->is_keeping && room_could_be(store, octets);
}

bool store_has_room(struct store *store, uint64_t octets)
{
    return room_now(store, octets) == ROOM_THERE;
}
