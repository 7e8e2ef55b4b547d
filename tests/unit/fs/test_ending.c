/* SPDX-License-Identifier: MIT */
/* How a mount ends, and whether what is going may then be deleted. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct mount_identity own = {42, "0:39"};
static const struct slice table = SLICE_LITERAL("42 22 0:39 / /mnt rw - fuse.popfs x rw\n");

struct fixture {
    struct kernel kernel;
    int table;
    int stop;
};

/* Mounted, as far as the table says. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    kernel_init(&fixture->kernel, fake_sync_new(), false);
    fixture->stop = eventfd(0, EFD_CLOEXEC);
    fixture->table = memfd_create("mountinfo", MFD_CLOEXEC);
    assert_int_equal(write(fixture->table, table.data, table.len), (ssize_t)table.len);
    mountwatch_start_at(&fixture->kernel.fs->mountwatch, fixture->table, &own);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct sync *sync = fixture->kernel.sync;
    kernel_done(&fixture->kernel);
    fake_sync_free(sync);
    close(fixture->stop);
    free(fixture);
    return 0;
}

static void end_connection(struct fixture *fixture)
{
    close(fixture->kernel.descriptor);
    fixture->kernel.descriptor = -1;
}

static void take_out_of_the_table(struct fixture *fixture)
{
    assert_int_equal(ftruncate(fixture->table, 0), 0);
}

static void change_the_table(struct fixture *fixture, const char *rows)
{
    take_out_of_the_table(fixture);
    assert_int_equal(pwrite(fixture->table, rows, strlen(rows), 0), (ssize_t)strlen(rows));
}

static bool may_commit(struct fixture *fixture)
{
    struct failure failure;
    bool may = false;
    assert_int_equal(fs_run(fixture->kernel.fs, fixture->stop, &may, &failure), FAULT_NONE);
    return may;
}

static void a_plain_unmount_commits(void **state)
{
    struct fixture *fixture = *state;
    take_out_of_the_table(fixture);
    end_connection(fixture);
    assert_true(may_commit(fixture));
}

static void a_connection_that_is_cut_under_a_mount_does_not(void **state)
{
    struct fixture *fixture = *state;
    end_connection(fixture);
    assert_false(may_commit(fixture));
}

static void a_mount_that_was_out_of_the_table_for_long_does_not(void **state)
{
    struct fixture *fixture = *state;
    take_out_of_the_table(fixture);
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    fixture->kernel.fs->mountwatch.unmounted_at_ms -= MOUNTWATCH_PLAIN_MS;
    end_connection(fixture);
    assert_false(may_commit(fixture));
}

static void without_a_table_every_unmount_commits(void **state)
{
    struct fixture *fixture = *state;
    mountwatch_done(&fixture->kernel.fs->mountwatch);
    end_connection(fixture);
    assert_true(may_commit(fixture));
}

static void a_signal_commits(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_true(may_commit(fixture));
}

static void a_signal_after_a_lazy_unmount_does_not(void **state)
{
    struct fixture *fixture = *state;
    mountwatch_be_lazy(&fixture->kernel.fs->mountwatch);
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_false(may_commit(fixture));
}

static void a_signal_right_after_a_lazy_unmount_does_not(void **state)
{
    struct fixture *fixture = *state;
    take_out_of_the_table(fixture);
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    fixture->kernel.fs->mountwatch.unmounted_at_ms -= MOUNTWATCH_PLAIN_MS - 200;
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_false(may_commit(fixture));
}

static void a_signal_amid_a_plain_unmount_commits(void **state)
{
    struct fixture *fixture = *state;
    take_out_of_the_table(fixture);
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    end_connection(fixture);
    assert_true(may_commit(fixture));
}

static void a_signal_to_a_mount_that_was_moved_or_covered_commits(void **state)
{
    struct fixture *fixture = *state;
    change_the_table(fixture, "42 22 0:39 / /elsewhere rw - fuse.popfs x rw\n"
                              "43 42 0:40 / /elsewhere rw - tmpfs x rw\n");
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_true(may_commit(fixture));
}

static void a_mount_that_became_read_only_does_not_however_it_ends(void **state)
{
    struct fixture *fixture = *state;
    change_the_table(fixture, "42 22 0:39 / /mnt ro - fuse.popfs x rw\n");
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_false(may_commit(fixture));
    change_the_table(fixture, "42 22 0:39 / /mnt rw - fuse.popfs x ro\n");
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    take_out_of_the_table(fixture);
    end_connection(fixture);
    assert_false(may_commit(fixture));
}

static void a_mount_that_became_writable_again_commits(void **state)
{
    struct fixture *fixture = *state;
    change_the_table(fixture, "42 22 0:39 / /mnt ro - fuse.popfs x rw\n");
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    change_the_table(fixture, "42 22 0:39 / /mnt rw - fuse.popfs x rw\n");
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_true(may_commit(fixture));
}

static size_t unmounts;

static void count_unmount(void *context)
{
    (void)context;
    unmounts++;
}

static void only_a_connection_that_stands_is_unmounted(void **state)
{
    struct fixture *fixture = *state;
    fixture->kernel.fs->unmount = count_unmount;
    unmounts = 0;
    fs_unmount(fixture->kernel.fs);
    assert_int_equal(unmounts, 1);
    fs_unmount(fixture->kernel.fs);
    assert_int_equal(unmounts, 1);
}

static void a_mount_that_has_left_the_table_is_not_unmounted(void **state)
{
    struct fixture *fixture = *state;
    fixture->kernel.fs->unmount = count_unmount;
    unmounts = 0;
    take_out_of_the_table(fixture);
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    fs_unmount(fixture->kernel.fs);
    assert_int_equal(unmounts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plain_unmount_commits),
        TEST(a_connection_that_is_cut_under_a_mount_does_not),
        TEST(a_mount_that_was_out_of_the_table_for_long_does_not),
        TEST(without_a_table_every_unmount_commits),
        TEST(a_signal_commits),
        TEST(a_signal_after_a_lazy_unmount_does_not),
        TEST(a_signal_right_after_a_lazy_unmount_does_not),
        TEST(a_signal_amid_a_plain_unmount_commits),
        TEST(a_signal_to_a_mount_that_was_moved_or_covered_commits),
        TEST(a_mount_that_became_read_only_does_not_however_it_ends),
        TEST(a_mount_that_became_writable_again_commits),
        TEST(only_a_connection_that_stands_is_unmounted),
        TEST(a_mount_that_has_left_the_table_is_not_unmounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
