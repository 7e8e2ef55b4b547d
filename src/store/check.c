/* SPDX-License-Identifier: MIT */
/*
 * Whether a kept body is what it was when it arrived. Its bytes are compared with the checksum when
 * it is opened for the first time since the store was; later the kernel's cache has them, and to
 * read them twice each time would cost too much. A body without a checksum, which an older popfs
 * kept or whose row was lost with a killed one, gets it then.
 *
 * The result is told to the thread that changes the store (store_body_note_sound()). If the note
 * gets lost, the next open reads the body once more.
 */
#include "store.h"

#include "disk.h"
#include "sum.h"

#include <errno.h>
#include <stdlib.h>

enum { CHUNK_OCTETS = 16384 };

struct store_check {
    struct extent extent;
    struct sum *sum;
    uint64_t read_octets;
    uint64_t expected;
};

/* False: it cannot be read, or ends too early. */
static bool read_whole(const struct extent *extent, uint64_t from, char *buffer, size_t size)
{
    size_t filled = 0;
    while (filled < size) {
        ssize_t got = disk_pread(extent->descriptor, buffer + filled, size - filled,
                                 (off_t)(extent->offset + from + filled));
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0)
            filled += (size_t)got;
    }
    return true;
}

static enum fault verdict(uint64_t expected, uint64_t sum, uint64_t *ret_sum)
{
    if (expected != SUM_NONE && expected != sum)
        return FAULT_GARBLED;
    *ret_sum = sum;
    return FAULT_NONE;
}

/* ---- in parts ---- */

/* Takes the descriptor over, also on failure. */
static enum fault check_new(struct extent extent, uint64_t expected, struct store_check **ret_check)
{
    struct store_check *check = malloc(sizeof(*check));
    struct sum *sum = sum_new();
    if (check == NULL || sum == NULL) {
        free(check);
        sum_free(sum);
        cleanup_close(&extent.descriptor);
        return FAULT_MEMORY;
    }
    *check = (struct store_check){.extent = extent, .sum = sum, .expected = expected};
    *ret_check = check;
    return FAULT_NONE;
}

enum fault store_check_new(const struct store *store, uint64_t id, uint64_t octets,
                           struct store_check **ret_check)
{
    struct shelf_entry entry;
    struct extent extent;
    enum fault fault = bodies_find(store, id, octets, &entry, &extent);
    return fault == FAULT_NONE ? check_new(extent, entry.sum, ret_check) : fault;
}

enum fault store_check_go_on(struct store_check *check, uint64_t *ret_sum)
{
    char chunk[CHUNK_OCTETS];
    uint64_t upto = check->read_octets + STORE_CHECK_OCTETS;
    if (upto > check->extent.octets)
        upto = check->extent.octets;
    while (check->read_octets < upto) {
        uint64_t left = upto - check->read_octets;
        size_t size = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
        if (!read_whole(&check->extent, check->read_octets, chunk, size))
            return FAULT_GARBLED;
        sum_add(check->sum, (struct slice){chunk, size});
        check->read_octets += size;
    }
    if (upto < check->extent.octets)
        return FAULT_BUSY;
    return verdict(check->expected, sum_value(check->sum), ret_sum);
}

void store_check_free(struct store_check *check)
{
    if (check == NULL)
        return;
    cleanup_close(&check->extent.descriptor);
    sum_free(check->sum);
    free(check);
}

/* ---- at the open ---- */

/* Most mails fit into one chunk, for which nothing need be made. */
static enum fault check_small(const struct extent *extent, uint64_t expected, uint64_t *ret_sum)
{
    char chunk[CHUNK_OCTETS];
    size_t size = (size_t)extent->octets;
    if (!read_whole(extent, 0, chunk, size))
        return FAULT_GARBLED;
    return verdict(expected, sum_of((struct slice){chunk, size}), ret_sum);
}

static enum fault check_at_once(const struct extent *extent, uint64_t expected, uint64_t *ret_sum)
{
    struct store_check *check;
    if (extent->octets <= CHUNK_OCTETS)
        return check_small(extent, expected, ret_sum);
    struct extent copy = *extent;
    copy.descriptor = disk_dup(extent->descriptor);
    if (copy.descriptor < 0)
        return FAULT_DISK;
    enum fault fault = check_new(copy, expected, &check);
    if (fault != FAULT_NONE)
        return fault;
    fault = store_check_go_on(check, ret_sum);
    store_check_free(check);
    return fault;
}

enum fault store_body_peek(const struct store *store, uint64_t id, uint64_t octets,
                           struct extent *ret_extent)
{
    struct shelf_entry entry;
    return bodies_find(store, id, octets, &entry, ret_extent);
}

enum fault store_body_open(const struct store *store, uint64_t id, uint64_t octets,
                           struct extent *ret_extent, uint64_t *ret_sum)
{
    struct shelf_entry entry;
    struct extent extent;
    uint64_t sum = SUM_NONE;
    enum fault fault = bodies_find(store, id, octets, &entry, &extent);
    if (fault != FAULT_NONE)
        return fault;
    if (!entry.is_checked)
        fault = octets > STORE_CHECK_OCTETS ? FAULT_BUSY : check_at_once(&extent, entry.sum, &sum);
    if (fault != FAULT_NONE) {
        cleanup_close(&extent.descriptor);
        return fault;
    }
    extent.sum = entry.sum != SUM_NONE ? entry.sum : sum;
    *ret_extent = extent;
    *ret_sum = sum;
    return FAULT_NONE;
}

void store_body_note_sound(struct store *store, uint64_t id, uint64_t sum)
{
    struct shelf_entry entry;
    if (!shelf_find(store->shelf, id, &entry) || (entry.sum != SUM_NONE && entry.sum != sum))
        return;
    entry.is_dirty |= entry.sum == SUM_NONE;
    entry.sum = sum;
    entry.is_checked = true;
    shelf_put(store->shelf, &entry);
}
