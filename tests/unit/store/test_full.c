/* SPDX-License-Identifier: MIT */
/*
 * A disk that is full or broken: the reader gets his bytes all the same. The small disk is a tmpfs
 * that this process alone sees, so that it goes with the process.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
    setenv("TMPDIR", f->base, 1);
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
    assert_false(store_is_keeping(f->store));
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
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    assert_false(is_kept(f->store, 5, sizeof(block)));
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

static void what_is_too_large_for_memory_goes_to_another_disk(void **state)
{
    struct fixture *f = *state;
    fill(f, 0);
    struct extent small = write_unkept(f->store, 1, 600, NULL);
    assert_lies_in(small.descriptor, "/memfd:");
    close(small.descriptor);
    struct extent large = write_unkept(f->store, 1, 680, NULL); /* 64 MiB are 671 */
    assert_lies_in(large.descriptor, f->base);
    assert_reads(large, (struct slice){block, sizeof(block)}, 680);
    close(large.descriptor);
    assert_int_equal(entries_count(f->base), 1);
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
        TEST(what_is_too_large_for_memory_goes_to_another_disk),
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
