/* SPDX-License-Identifier: MIT */
/* How a mount ends, and whether what is going may then be deleted. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

struct fixture {
    struct kernel kernel;
    int table;
    int stop;
    _Atomic bool is_over;
};

static struct reply reply;

/* Mounted, as far as the table says. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    kernel_init(&fixture->kernel, fake_sync_new(), false);
    fixture->stop = eventfd(0, EFD_CLOEXEC);
    fixture->table = fixture->kernel.fs->mountwatch.descriptor;
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

/* The exit code tells it. */
static void a_connection_that_is_cut_while_removals_are_pending_is_a_failure(void **state)
{
    struct fixture *fixture = *state;
    struct failure failure = {0};
    bool may = true;
    static const struct maildrop_row listed[] = {{SLICE_LITERAL("going"), 100}};
    fake_sync_list(fixture->kernel.sync, listed, 1);
    maildrop_message_set_going(fake_sync_message(fixture->kernel.sync, 0), true);
    end_connection(fixture);
    assert_int_equal(fs_run(fixture->kernel.fs, fixture->stop, &may, &failure), FAULT_DISK);
    assert_false(may);
}

static void a_mount_that_was_out_of_the_table_for_long_does_not(void **state)
{
    struct fixture *fixture = *state;
    take_out_of_the_table(fixture);
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    fixture->kernel.fs->mountwatch.unmounted_at_ms -= MOUNTWATCH_PLAIN_MS;
    end_connection(fixture);
    assert_false(may_commit(fixture));
    assert_int_equal(fixture->kernel.sync->retired_count, 1);
}

static void a_mount_of_which_another_one_is_left_does_not_retire(void **state)
{
    struct fixture *fixture = *state;
    change_the_table(fixture, "43 22 0:39 / /second rw - fuse.popfs x rw\n");
    mountwatch_read(&fixture->kernel.fs->mountwatch);
    fixture->kernel.fs->mountwatch.unmounted_at_ms -= MOUNTWATCH_PLAIN_MS;
    end_connection(fixture);
    assert_false(may_commit(fixture));
    assert_int_equal(fixture->kernel.sync->retired_count, 0);
}

/* It may have been remounted to ro, or unmounted lazily. */
static void a_mount_that_is_not_known_commits_at_no_end(void **state)
{
    struct fixture *fixture = *state;
    mountwatch_done(&fixture->kernel.fs->mountwatch);
    end_connection(fixture);
    assert_false(may_commit(fixture));
}

static void a_signal_to_a_mount_that_is_not_known_does_not(void **state)
{
    struct fixture *fixture = *state;
    mountwatch_done(&fixture->kernel.fs->mountwatch);
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_false(may_commit(fixture));
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

/* ---- a signal while removals are pending ---- */

static const char replaced[] = "replaced.eml", other[] = "other.eml";

static void have_mail(struct fixture *fixture)
{
    const struct maildrop_row rows[] = {{SLICE_LITERAL("replaced"), 100},
                                        {SLICE_LITERAL("other"), 200}};
    fake_sync_list(fixture->kernel.sync, rows, 2);
    while (kernel_receive(&fixture->kernel, &reply))
        assert_int_equal(reply.unique, 0);
}

static void remove_one(struct fixture *fixture)
{
    kernel_ask(&fixture->kernel, FUSE_UNLINK, FUSE_ROOT_ID,
               (struct slice){replaced, sizeof(replaced)}, &reply);
    assert_int_equal(reply.error, 0);
}

static void expect_reply(struct fixture *fixture, uint64_t unique, int error)
{
    assert_true(kernel_receive(&fixture->kernel, &reply));
    assert_int_equal(reply.unique, unique);
    assert_int_equal(reply.error, error);
}

static void a_create_that_waits_when_a_signal_comes_takes_the_removal_back(void **state)
{
    struct fixture *fixture = *state;
    have_mail(fixture);
    remove_one(fixture);
    struct {
        struct fuse_create_in in;
        char name[sizeof(replaced)];
    } create = {.in = {.flags = O_WRONLY | O_CREAT, .mode = 0600}};
    memcpy(create.name, replaced, sizeof(replaced));
    uint64_t unique = kernel_queue(
        &fixture->kernel, FUSE_CREATE, FUSE_ROOT_ID,
        (struct slice){(char *)&create, offsetof(__typeof__(create), name) + sizeof(replaced)});
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_true(may_commit(fixture));
    struct sync_request *request = fake_sync_take(fixture->kernel.sync);
    assert_non_null(request);
    assert_int_equal(request->want, SYNC_WANT_RESTORE);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    expect_reply(fixture, unique, EPERM);
}

/* By rm, and by mv into the trash. */
static void after_a_signal_no_removal_is_accepted(void **state)
{
    struct fixture *fixture = *state;
    have_mail(fixture);
    remove_one(fixture);
    struct {
        struct fuse_rename2_in in;
        char names[2 * sizeof(other)];
    } move = {.in = {.newdir = TREE_TRASH_INO}};
    memcpy(move.names, other, sizeof(other));
    memcpy(move.names + sizeof(other), other, sizeof(other));
    uint64_t unlinked = kernel_queue(&fixture->kernel, FUSE_UNLINK, FUSE_ROOT_ID,
                                     (struct slice){other, sizeof(other)});
    uint64_t moved = kernel_queue(
        &fixture->kernel, FUSE_RENAME2, FUSE_ROOT_ID,
        (struct slice){(char *)&move, offsetof(__typeof__(move), names) + sizeof(move.names)});
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_true(may_commit(fixture));
    expect_reply(fixture, unlinked, EBUSY);
    expect_reply(fixture, moved, EBUSY);
    assert_false(maildrop_message_is_going(fake_sync_message(fixture->kernel.sync, 1)));
}

static int64_t ms_until_the_end(struct fixture *fixture)
{
    int64_t begun_ms = clock_now_ms();
    fixture->kernel.fs->stopped_ns = 0;
    assert_int_equal(eventfd_write(fixture->stop, 1), 0);
    assert_true(may_commit(fixture));
    eventfd_t count;
    assert_int_equal(eventfd_read(fixture->stop, &count), 0);
    return clock_now_ms() - begun_ms;
}

/* The machine may be busy: one of several attempts has to be quick. */
static void a_signal_waits_for_quiet_only_while_removals_are_pending(void **state)
{
    struct fixture *fixture = *state;
    have_mail(fixture);
    remove_one(fixture);
    assert_true(ms_until_the_end(fixture) >= 200);
    fake_sync_restore(fixture->kernel.sync, NULL);
    size_t tries = 0;
    while (ms_until_the_end(fixture) >= 100)
        assert_true(++tries < 10);
}

static void *ask_all_the_time(void *argument)
{
    struct fixture *fixture = argument;
    static struct reply answer;
    while (!fixture->is_over) {
        uint64_t unique =
            kernel_queue(&fixture->kernel, FUSE_STATFS, FUSE_ROOT_ID, (struct slice){"", 0});
        while (!fixture->is_over &&
               !(kernel_receive(&fixture->kernel, &answer) && answer.unique == unique))
            sched_yield();
    }
    return NULL;
}

static void requests_without_end_do_not_hold_up_the_end_for_long(void **state)
{
    struct fixture *fixture = *state;
    have_mail(fixture);
    remove_one(fixture);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_all_the_time, fixture), 0);
    assert_true(ms_until_the_end(fixture) >= 200);
    fixture->is_over = true;
    pthread_join(thread, NULL);
}

/* ---- the place ---- */

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
        TEST(a_connection_that_is_cut_while_removals_are_pending_is_a_failure),
        TEST(a_mount_that_was_out_of_the_table_for_long_does_not),
        TEST(a_mount_of_which_another_one_is_left_does_not_retire),
        TEST(a_mount_that_is_not_known_commits_at_no_end),
        TEST(a_signal_to_a_mount_that_is_not_known_does_not),
        TEST(a_signal_commits),
        TEST(a_signal_after_a_lazy_unmount_does_not),
        TEST(a_signal_right_after_a_lazy_unmount_does_not),
        TEST(a_signal_amid_a_plain_unmount_commits),
        TEST(a_signal_to_a_mount_that_was_moved_or_covered_commits),
        TEST(a_mount_that_became_read_only_does_not_however_it_ends),
        TEST(a_mount_that_became_writable_again_commits),
        TEST(a_create_that_waits_when_a_signal_comes_takes_the_removal_back),
        TEST(after_a_signal_no_removal_is_accepted),
        TEST(a_signal_waits_for_quiet_only_while_removals_are_pending),
        TEST(requests_without_end_do_not_hold_up_the_end_for_long),
        TEST(only_a_connection_that_stands_is_unmounted),
        TEST(a_mount_that_has_left_the_table_is_not_unmounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
