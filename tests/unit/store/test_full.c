/* SPDX-License-Identifier: MIT */
/*
 * A disk that is full or broken: the reader gets his bytes all the same. The small disk is a tmpfs
 * that this process alone sees, so that it goes with the process.
 */
#include "fixture.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { BLOCK_OCTETS = 100000 };

static char block[BLOCK_OCTETS];

static int set_up_disk(void **state)
{
    struct fixture *f;
    if (set_up_closed(state) != 0)
        return 1;
    f = *state;
    snprintf(f->folder, sizeof(f->folder), "%s/disk", f->base);
    snprintf(f->state_folder, sizeof(f->state_folder), "%s/disk/state", f->base);
    if (mkdir(f->folder, 0700) != 0 ||
        mount("popfs-test", f->folder, "tmpfs", 0, "size=3m,mode=700") != 0)
        return 1;
    return open_and_begin(f, &f->store, NULL) != FAULT_NONE;
}

static int tear_down_disk(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    umount2(f->folder, MNT_DETACH);
    return tear_down(state);
}

/* Takes what is left of the disk, but for `less`. */
static void fill(struct fixture *f, off_t less)
{
    char path[100];
    struct stat stat;
    ssize_t count;
    snprintf(path, sizeof(path), "%s/filler", f->folder);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    do
        count = write(file, block, sizeof(block));
    while (count > 0);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(fstat(file, &stat), 0);
    assert_int_equal(ftruncate(file, stat.st_size - less), 0);
    close(file);
}

static void make_free(struct fixture *f)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/filler", f->folder);
    assert_int_equal(unlink(path), 0);
}

/* What could not be kept, but is all there; -1 if bytes are missing. */
static struct extent write_unkept(struct store *store, uint64_t id, int times,
                                  struct failure *ret_failure)
{
    struct store_body *body;
    struct extent extent = {.descriptor = -7};
    assert_int_equal(store_body_new(store, &body, NULL), FAULT_NONE);
    for (int i = 0; i < times; i++)
        assert_int_equal(store_body_append(body, (struct slice){block, sizeof(block)}, NULL),
                         FAULT_NONE);
    assert_int_equal(store_body_keep(body, id, &extent, ret_failure), FAULT_DISK);
    return extent;
}

static void a_body_that_finds_no_room_is_read_all_the_same_and_not_kept(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    assert_true(store_is_keeping(f->store));
    fill(f, 250000);
    struct extent body = write_unkept(f->store, 1, 5, &failure);
    assert_non_null(strstr(failure.text, "No space left on device"));
    assert_reads(body, (struct slice){block, sizeof(block)}, 5);
    close(body.descriptor);
    assert_false(is_kept(f->store, 1, 5 * sizeof(block)));
    assert_int_equal(entries_count(bodies_folder(f)), 0);
    assert_true(store_could_keep(f->store, 2 * sizeof(block)));
    assert_false(store_could_keep(f->store, 5 * sizeof(block)));
    /* Each new body tries the disk again. */
    make_free(f);
    assert_true(keep(f->store, 1, "one"));
    assert_true(store_is_keeping(f->store));
    assert_kept(f->store, 1, "one");
}

static void a_small_body_that_finds_no_room_is_read_all_the_same_and_not_kept(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    struct extent extent;
    struct failure failure;
    const struct slice bytes = {block, 50000};
    fill(f, 20000);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, bytes, NULL), FAULT_NONE);
    assert_int_equal(store_body_keep(body, 1, &extent, &failure), FAULT_DISK);
    assert_non_null(strstr(failure.text, "No space left on device"));
    assert_reads(extent, bytes, 1);
    close(extent.descriptor);
    assert_false(is_kept(f->store, 1, bytes.len));
    assert_false(store_is_keeping(f->store));
    make_free(f);
    assert_true(keep(f->store, 1, "one"));
    assert_true(store_is_keeping(f->store));
    assert_kept(f->store, 1, "one");
}

static void other_small_bodies_make_room_first(void **state)
{
    struct fixture *f = *state;
    const struct slice bytes = {block, 50000};
    assert_true(add(f->store, 6, "u", 0) && store_flush(f->store, NULL) == FAULT_NONE);
    for (uint64_t id = 1; id <= 5; id++)
        close(keep_times(f->store, id, bytes, 1).descriptor);
    fill(f, 20000);
    struct extent body = keep_times(f->store, 6, bytes, 1);
    assert_reads(body, bytes, 1);
    assert_true(is_kept(f->store, 6, bytes.len));
    assert_false(is_kept(f->store, 5, bytes.len));
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    close(body.descriptor);
}

static void other_bodies_make_room_first(void **state)
{
    struct fixture *f = *state;
    const struct slice bytes = {block, sizeof(block)};
    for (uint64_t id = 1; id <= 5; id++)
        close(keep_times(f->store, id, bytes, 1).descriptor);
    fill(f, 0);
    struct extent body = keep_times(f->store, 6, bytes, 3);
    assert_reads(body, bytes, 3);
    close(body.descriptor);
    assert_true(is_kept(f->store, 6, 3 * sizeof(block)));
    assert_true(store_is_keeping(f->store));
    assert_int_equal(entries_count(bodies_folder(f)), 3);
    assert_true(is_kept(f->store, 5, sizeof(block)));
    assert_false(is_kept(f->store, 3, sizeof(block)));
}

static void whoever_reads_a_body_while_it_arrives_does_not_notice(void **state)
{
    struct fixture *f = *state;
    const struct slice bytes = {block, sizeof(block)};
    struct store_body *body;
    struct extent unkept = EXTENT_NONE;
    int shared = -1;
    bool equal = false;
    fill(f, 250000);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_share(body, &shared, NULL), FAULT_NONE);
    for (int times = 1; times <= 5; times++) {
        assert_int_equal(store_body_append(body, bytes, NULL), FAULT_NONE);
        assert_int_equal(store_body_flush(body, NULL), FAULT_NONE);
        assert_file_reads(shared, bytes, times);
    }
    assert_int_equal(fcntl(shared, F_GETFD), FD_CLOEXEC);
    assert_int_equal(store_body_compare(body, 3 * sizeof(block), bytes, &equal, NULL), FAULT_NONE);
    assert_true(equal);
    assert_int_equal(store_body_keep(body, 1, &unkept, NULL), FAULT_DISK);
    assert_file_reads(shared, bytes, 5);
    assert_reads(unkept, bytes, 5);
    close(shared);
    close(unkept.descriptor);
}

static void assert_lies_in(int descriptor, const char *where)
{
    char link[64], target[300];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    assert_true(len > 0);
    target[len] = '\0';
    if (strstr(target, where) != target)
        fail_msg("%s", target);
}

/* How many blocks the body takes before a fault, of so many at most. */
static int append_blocks(struct store_body *body, int times, enum fault *ret_fault,
                         struct failure *ret_failure)
{
    const struct slice bytes = {block, sizeof(block)};
    int taken = 0;
    for (*ret_fault = FAULT_NONE; taken < times; taken++) {
        *ret_fault = store_body_append(body, bytes, ret_failure);
        if (*ret_fault == FAULT_NONE)
            *ret_fault = store_body_flush(body, ret_failure);
        if (*ret_fault != FAULT_NONE)
            break;
    }
    return taken;
}

static void what_is_too_large_for_memory_finds_no_room(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    struct failure failure;
    enum fault fault;
    fill(f, 0);
    struct extent small = write_unkept(f->store, 1, 600, NULL);
    assert_lies_in(small.descriptor, "/memfd:");
    close(small.descriptor);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(append_blocks(body, 700, &fault, &failure), 671); /* 64 MiB */
    assert_int_equal(fault, FAULT_FULL);
    assert_non_null(strstr(failure.text, "No space left on device"));
    assert_non_null(strstr(failure.text, "64 MiB at most"));
    assert_int_equal(store_body_append(body, SLICE_LITERAL("x"), NULL), FAULT_FULL);
    store_body_free(body);
    assert_int_equal(entries_count(f->base), 1);
}

/* ---- what stays free ---- */

enum { FREE_OCTETS = 1 << 20 };

static uint64_t free_octets(const struct fixture *f)
{
    struct statvfs said;
    assert_int_equal(statvfs(f->folder, &said), 0);
    return (uint64_t)said.f_bavail * said.f_frsize;
}

/* Five bodies of a block each, on a disk of which a mebibyte is to stay free. */
static void keep_five(struct fixture *f)
{
    char uidl[8];
    f->options.free_octets_min = FREE_OCTETS;
    store_must_reopen(f);
    for (uint64_t id = 1; id <= 5; id++) {
        snprintf(uidl, sizeof(uidl), "u%d", (int)id);
        assert_true(add(f->store, id, uidl, 3));
        close(keep_times(f->store, id, (struct slice){block, sizeof(block)}, 1).descriptor);
    }
}

static size_t kept_count(struct fixture *f)
{
    size_t count = 0;
    for (uint64_t id = 1; id <= 5; id++)
        count += is_kept(f->store, id, sizeof(block));
    return count;
}

static void bodies_leave_a_part_of_the_disk_free(void **state)
{
    struct fixture *f = *state;
    keep_five(f);
    for (uint64_t id = 6; id <= 60; id++) {
        close(keep_times(f->store, id, (struct slice){block, sizeof(block)}, 1).descriptor);
        assert_true(is_kept(f->store, id, sizeof(block)));
        assert_true(free_octets(f) >= FREE_OCTETS - 4096);
    }
    for (uint64_t id = 100; id < 1000; id++) {
        close(keep_times(f->store, id, (struct slice){block, 5000}, 1).descriptor);
        assert_true(is_kept(f->store, id, 5000));
        assert_true(free_octets(f) >= FREE_OCTETS - 4096);
    }
    assert_true(store_is_keeping(f->store));
}

static void the_index_and_wishes_may_take_what_bodies_leave_free(void **state)
{
    struct fixture *f = *state;
    keep_five(f);
    fill(f, FREE_OCTETS / 2);
    struct extent body = write_unkept(f->store, 6, 10, NULL);
    assert_lies_in(body.descriptor, "/memfd:");
    close(body.descriptor);
    assert_int_equal(kept_count(f), 5);
    assert_true(add(f->store, 7, "g", 3) && note(f->store, "g", 3, true));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
}

static void a_body_without_an_end_drives_nobody_out(void **state)
{
    struct fixture *f = *state;
    const uint64_t said[] = {0, 3, 1000000000000, INT64_MAX};
    keep_five(f);
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        struct store_body *body;
        enum fault fault;
        assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
        store_body_expect(body, said[i]);
        assert_int_equal(append_blocks(body, 700, &fault, NULL), 671);
        assert_int_equal(fault, FAULT_FULL);
        assert_int_equal(kept_count(f), 5);
        assert_true(free_octets(f) >= FREE_OCTETS);
        store_body_free(body);
        assert_true(store_has_room(f->store, 500000));
        assert_true(store_is_keeping(f->store) && store_could_keep(f->store, 1000000));
        assert_false(store_could_keep(f->store, 3000000));
    }
}

static void a_body_drives_out_no_more_than_its_size_was_said_to_need(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    enum fault fault;
    keep_five(f);
    fill(f, FREE_OCTETS);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    store_body_expect(body, 2 * sizeof(block));
    assert_int_equal(append_blocks(body, 700, &fault, NULL), 671);
    assert_int_equal(fault, FAULT_FULL);
    store_body_free(body);
    assert_in_range(kept_count(f), 2, 3);
}

static void a_body_that_arrived_in_memory_is_kept_once_its_size_is_known(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    struct extent extent;
    int shared;
    enum fault fault;
    const struct slice bytes = {block, sizeof(block)};
    keep_five(f);
    fill(f, FREE_OCTETS);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_share(body, &shared, NULL), FAULT_NONE);
    assert_int_equal(append_blocks(body, 3, &fault, NULL), 3);
    assert_lies_in(shared, "/memfd:");
    assert_int_equal(kept_count(f), 5);
    assert_int_equal(store_body_keep(body, 6, &extent, NULL), FAULT_NONE);
    assert_in_range(kept_count(f), 1, 2);
    assert_true(is_kept(f->store, 6, 3 * sizeof(block)) && store_is_keeping(f->store));
    assert_lies_in(extent.descriptor, f->folder);
    assert_reads(extent, bytes, 3);
    assert_file_reads(shared, bytes, 3);
    assert_true(free_octets(f) >= FREE_OCTETS - 4096);
    close(shared);
    close(extent.descriptor);
}

static void what_does_not_fit_when_it_is_whole_drives_nobody_out(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    keep_five(f);
    struct extent body = write_unkept(f->store, 6, 40, &failure);
    assert_non_null(strstr(failure.text, "popfs leaves a part of it free"));
    assert_lies_in(body.descriptor, "/memfd:");
    close(body.descriptor);
    assert_int_equal(kept_count(f), 5);
}

static void the_limit_of_the_cache_counts_what_is_arriving(void **state)
{
    struct fixture *f = *state;
    struct store_body *body, *large;
    struct store_usage usage;
    struct failure failure;
    struct extent extent;
    enum fault fault;
    f->options.octets_max = 6 * sizeof(block);
    keep_five(f);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    store_body_expect(body, 3 * sizeof(block));
    assert_int_equal(append_blocks(body, 3, &fault, NULL), 3);
    store_usage(f->store, &usage);
    assert_int_equal(usage.octets, 3 * sizeof(block));
    assert_false(store_has_room(f->store, 1));
    /* One that may never be kept lies in memory and not on the disk. */
    assert_int_equal(store_body_new(f->store, &large, NULL), FAULT_NONE);
    store_body_expect(large, 700 * sizeof(block));
    uint64_t before = free_octets(f);
    assert_int_equal(append_blocks(large, 700, &fault, &failure), 671);
    assert_int_equal(fault, FAULT_FULL);
    assert_non_null(strstr(failure.text, "cache_size"));
    assert_true(free_octets(f) >= before);
    assert_int_equal(kept_count(f), 3);
    store_body_free(large);
    assert_int_equal(store_body_keep(body, 6, &extent, NULL), FAULT_NONE);
    close(extent.descriptor);
    assert_true(is_kept(f->store, 6, 3 * sizeof(block)));
    assert_int_equal(kept_count(f), 3);
    store_body_remove(f->store, 6);
    assert_true(store_has_room(f->store, 3 * sizeof(block)));
}

static void how_much_stays_free_follows_the_size_of_the_disk(void **state)
{
    const uint64_t mib = 1 << 20;
    struct store store = {.free_octets_min = STORE_FREE_OCTETS_MIN};
    (void)state;
    assert_int_equal(room_reserve(&store, 1000000 * mib), 10000 * mib);
    assert_int_equal(room_reserve(&store, 6400 * mib), 64 * mib);
    assert_int_equal(room_reserve(&store, 128 * mib), 64 * mib);
    assert_int_equal(room_reserve(&store, 100 * mib), 50 * mib);
    store.free_octets_min = 0;
    assert_int_equal(room_reserve(&store, 1000000 * mib), 0);
}

static void a_wish_that_cannot_be_noted_is_a_fault_and_spoils_no_other(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    char uidl[1000];
    size_t noted_count = 0;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    fill(f, 0);
    memset(uidl, 'x', sizeof(uidl));
    enum fault fault = FAULT_NONE;
    while (fault == FAULT_NONE && noted_count < 100) {
        const struct store_removal removal = {
            .uidl = {uidl, sizeof(uidl) - noted_count}, .listed_octets = 3, .going = true};
        fault = store_note_removal(f->store, &removal, &failure);
        noted_count++;
    }
    assert_int_equal(fault, FAULT_DISK);
    assert_non_null(strstr(failure.text, "No space left on device"));
    make_free(f);
    assert_true(note(f->store, "b", 3, true));
    store_must_reopen(f);
    struct loaded loaded;
    load(f->store, &loaded);
    assert_int_equal(loaded.going_count, 2 + noted_count - 1);
    assert_true(strncmp(loaded.uidls, "a+ b+ ", 6) == 0);
}

/* What is mounted on cannot be renamed. */
static void a_journal_that_cannot_be_replaced_is_not_taken_for_an_empty_one(void **state)
{
    struct fixture *f = *state;
    const char *new = state_path_of("removals.new", f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    file_write(new, SLICE_LITERAL(""));
    assert_int_equal(mount(new, new, NULL, MS_BIND, NULL), 0);
    assert_int_equal(store_clear_removals(f->store, store_removals_mark(f->store), NULL),
                     FAULT_DISK);
    assert_int_equal(umount(new), 0);
    assert_true(forget(f->store, 1, "a", 3) && add(f->store, 2, "a", 3));
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
}

static enum fault add_many(struct fixture *f, uint64_t first, struct failure *ret_failure)
{
    char uidl[16];
    enum fault fault = FAULT_NONE;
    for (uint64_t id = first; id < first + 5000 && fault == FAULT_NONE; id++) {
        snprintf(uidl, sizeof(uidl), "u%d", (int)id);
        struct store_message message = message_of(id, uidl, 3);
        fault = store_add(f->store, &message, ret_failure);
    }
    return fault == FAULT_NONE ? store_flush(f->store, ret_failure) : fault;
}

static void an_index_that_cannot_be_written_is_readable_and_works_again_later(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    struct loaded loaded;
    assert_true(add(f->store, 1, "a", 3));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    fill(f, 0);
    assert_int_equal(add_many(f, 10, &failure), FAULT_DISK);
    assert_non_null(strstr(failure.text, "the index: "));
    assert_loads(f->store, "a- ");
    make_free(f);
    assert_int_equal(add_many(f, 10, &failure), FAULT_NONE);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_int_equal(loaded.count, 5001);
    assert_string_equal(f->notice, "");
}

static void a_store_whose_bodies_fill_the_disk_is_opened_without_them(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3));
    close(keep_times(f->store, 1, (struct slice){block, sizeof(block)}, 5).descriptor);
    store_must_close(f);
    fill(f, 0);
    store_must_open(f);
    assert_loads(f->store, "a- ");
    assert_false(is_kept(f->store, 1, 5 * sizeof(block)));
    assert_true(keep(f->store, 1, "one"));
}

static void a_disk_that_is_full_of_other_things_is_a_fault_of_the_opening(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    store_must_close(f);
    fill(f, 0);
    f->options.account = "bob@host:995";
    assert_int_equal(open_and_begin(f, &f->store, &failure), FAULT_DISK);
    assert_non_null(strstr(failure.text, "full"));
    f->store = NULL;
}

/* No file of this process, wherever it is, may be longer than that. */
static void limit_files(rlim_t octets)
{
    const struct rlimit limit = {octets, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_wish_that_could_not_be_taken_back_is_taken_back_later(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true) && note(f->store, "b", 3, true));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    limit_files(1);
    bool forgotten = forget(f->store, 1, "a", 3);
    enum fault fault = store_flush(f->store, NULL);
    limit_files(RLIM_INFINITY);
    assert_false(forgotten);
    assert_int_equal(fault, FAULT_DISK);
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    store_must_reopen(f);
    assert_loads(f->store, "a- b+ ");
}

static void when_nothing_takes_the_bytes_that_is_a_fault(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    struct failure failure;
    assert_true(keep(f->store, 1, "one"));
    limit_files(BLOCK_OCTETS / 2);
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    enum fault fault = store_body_append(body, (struct slice){block, sizeof(block)}, &failure);
    limit_files(RLIM_INFINITY);
    assert_int_equal(fault, FAULT_DISK);
    assert_non_null(strstr(failure.text, "File too large"));
    store_body_free(body);
    assert_kept(f->store, 1, "one"); /* dropping it would not have helped */
    assert_false(store_is_keeping(f->store));
}

static void a_body_that_has_lost_bytes_is_at_fault_for_ever(void **state)
{
    struct fixture *f = *state;
    const struct slice bytes = {block, 20000};
    struct store_body *body;
    struct extent extent = {.descriptor = -7};
    bool equal;
    int shared;
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, bytes, NULL), FAULT_NONE);
    limit_files(10000);
    enum fault fault = store_body_flush(body, NULL);
    limit_files(RLIM_INFINITY);
    assert_int_equal(fault, FAULT_DISK);
    assert_int_equal(store_body_append(body, bytes, NULL), FAULT_DISK);
    assert_int_equal(store_body_flush(body, NULL), FAULT_DISK);
    assert_int_equal(store_body_compare(body, 0, bytes, &equal, NULL), FAULT_DISK);
    assert_int_equal(store_body_share(body, &shared, NULL), FAULT_DISK);
    assert_int_equal(store_body_keep(body, 1, &extent, NULL), FAULT_DISK);
    assert_int_equal(extent.descriptor, -1);
    assert_false(is_kept(f->store, 1, 2 * bytes.len));
}

static void no_file_at_all_for_a_body_is_a_loss_as_well(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit;
    struct store_body *body;
    struct extent extent = {.descriptor = -7};
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, (struct slice){block, 50000}, NULL), FAULT_NONE);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {3, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum fault fault = store_body_flush(body, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fault, FAULT_DISK);
    assert_int_equal(store_body_keep(body, 1, &extent, NULL), FAULT_DISK);
    assert_int_equal(extent.descriptor, -1);
    assert_false(is_kept(f->store, 1, 50000));
}

static void a_keep_whose_last_bytes_are_lost_gives_no_descriptor(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    struct extent extent = {.descriptor = -7};
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, (struct slice){block, 50000}, NULL), FAULT_NONE);
    limit_files(10000);
    enum fault fault = store_body_keep(body, 1, &extent, NULL);
    limit_files(RLIM_INFINITY);
    assert_int_equal(fault, FAULT_DISK);
    assert_int_equal(extent.descriptor, -1);
    assert_int_equal(entries_count(bodies_folder(f)), 0);
}

static void too_many_open_files_are_a_fault_that_evicts_nobody(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit;
    struct store_body *body;
    int shared;
    assert_true(keep(f->store, 1, "one"));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {3, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum fault fault = store_body_new(f->store, &body, NULL);
    if (fault == FAULT_NONE)
        fault = store_body_share(body, &shared, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fault, FAULT_DISK);
    store_body_free(body);
    assert_kept(f->store, 1, "one");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_disk, tear_down_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_body_that_finds_no_room_is_read_all_the_same_and_not_kept),
        TEST(a_small_body_that_finds_no_room_is_read_all_the_same_and_not_kept),
        TEST(other_small_bodies_make_room_first),
        TEST(other_bodies_make_room_first),
        TEST(whoever_reads_a_body_while_it_arrives_does_not_notice),
        TEST(what_is_too_large_for_memory_finds_no_room),
        TEST(bodies_leave_a_part_of_the_disk_free),
        TEST(the_index_and_wishes_may_take_what_bodies_leave_free),
        TEST(a_body_without_an_end_drives_nobody_out),
        TEST(a_body_drives_out_no_more_than_its_size_was_said_to_need),
        TEST(a_body_that_arrived_in_memory_is_kept_once_its_size_is_known),
        TEST(what_does_not_fit_when_it_is_whole_drives_nobody_out),
        TEST(the_limit_of_the_cache_counts_what_is_arriving),
        TEST(how_much_stays_free_follows_the_size_of_the_disk),
        TEST(a_wish_that_cannot_be_noted_is_a_fault_and_spoils_no_other),
        TEST(a_journal_that_cannot_be_replaced_is_not_taken_for_an_empty_one),
        TEST(an_index_that_cannot_be_written_is_readable_and_works_again_later),
        TEST(a_store_whose_bodies_fill_the_disk_is_opened_without_them),
        TEST(a_disk_that_is_full_of_other_things_is_a_fault_of_the_opening),
        TEST(a_wish_that_could_not_be_taken_back_is_taken_back_later),
        TEST(when_nothing_takes_the_bytes_that_is_a_fault),
        TEST(a_body_that_has_lost_bytes_is_at_fault_for_ever),
        TEST(no_file_at_all_for_a_body_is_a_loss_as_well),
        TEST(a_keep_whose_last_bytes_are_lost_gives_no_descriptor),
        TEST(too_many_open_files_are_a_fault_that_evicts_nobody),
    };
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 + i / 251);
    signal(SIGXFSZ, SIG_IGN);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        perror("this test mounts a small disk and needs root");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
