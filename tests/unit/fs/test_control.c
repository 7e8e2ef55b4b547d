/* SPDX-License-Identifier: MIT */
/* Commands, fsync() of the root, and the option control=, as the kernel and sync see them. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct maildrop_row rows[] = {{SLICE_LITERAL("here"), 100},
                                           {SLICE_LITERAL("going"), 200}};
static struct reply reply;

static int set_up_with(void **state, bool read_only, enum fs_control control)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    assert_non_null(kernel);
    struct sync *sync = fake_sync_new();
    fake_sync_list(sync, rows, 2);
    maildrop_message_set_going(fake_sync_message(sync, 1), true);
    sync->read_only = read_only;
    kernel_init_with(kernel, sync, read_only, control);
    *state = kernel;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, false, FS_CONTROL_HIDDEN);
}

static int set_up_read_only(void **state)
{
    return set_up_with(state, true, FS_CONTROL_HIDDEN);
}

static int set_up_visible(void **state)
{
    return set_up_with(state, false, FS_CONTROL_VISIBLE);
}

static int set_up_off(void **state)
{
    return set_up_with(state, false, FS_CONTROL_OFF);
}

static int tear_down(void **state)
{
    struct kernel *kernel = *state;
    assert_null(fake_sync_take(kernel->sync));
    kernel_done(kernel);
    fake_sync_free(kernel->sync);
    free(kernel);
    return 0;
}

static uint64_t control_ino(struct kernel *kernel)
{
    kernel_lookup(kernel, kernel_ino(kernel, ".popfs"), "control", &reply);
    assert_int_equal(reply.error, 0);
    return reply.entry.nodeid;
}

static int open_error(struct kernel *kernel, uint64_t ino, uint32_t flags)
{
    kernel_send_open(kernel, ino, flags);
    assert_true(kernel_receive(kernel, &reply));
    return reply.error;
}

static uint64_t send_write(struct kernel *kernel, uint64_t ino, struct slice text)
{
    static char payload[sizeof(struct fuse_write_in) + 4096];
    const struct fuse_write_in in = {.size = (uint32_t)text.len, .offset = 1000};
    assert_true(text.len <= 4000);
    memcpy(payload, &in, sizeof(in));
    memcpy(payload + sizeof(in), text.data, text.len);
    return kernel_send(kernel, FUSE_WRITE, ino, (struct slice){payload, sizeof(in) + text.len});
}

static void expect_reply(struct kernel *kernel, uint64_t unique, int error)
{
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.unique, unique);
    assert_int_equal(reply.error, error);
}

static uint64_t command(struct kernel *kernel, const char *text)
{
    return send_write(kernel, control_ino(kernel), slice_from_string(text));
}

static void expect_error(struct kernel *kernel, const char *text, int error)
{
    expect_reply(kernel, command(kernel, text), error);
}

/* The command asks this of sync, and returns its whole length when that is done. */
static void expect_want(struct kernel *kernel, const char *text, enum sync_want want,
                        const struct maildrop_message *message)
{
    uint64_t unique = command(kernel, text);
    kernel_expect_silence(kernel);
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    assert_int_equal(request->want, want);
    assert_ptr_equal(request->message, message);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    expect_reply(kernel, unique, 0);
    struct fuse_write_out out;
    memcpy(&out, reply.bytes, sizeof(out));
    assert_int_equal(out.size, strlen(text));
}

/* ---- the file ---- */

static void control_is_for_the_owner_and_for_writing_alone(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = control_ino(kernel);
    assert_int_equal(reply.entry.attr.mode, S_IFREG | 0200);
    assert_int_equal(reply.entry.attr.ino, TREE_COMMANDS_INO);
    assert_int_equal(open_error(kernel, ino, O_RDONLY), EACCES);
    assert_int_equal(open_error(kernel, ino, O_RDWR), EACCES);
    static const uint32_t flags[] = {O_WRONLY, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(open_error(kernel, ino, flags[i]), 0);
        assert_int_equal(reply.open.open_flags, FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
        const struct fuse_release_in release = {.fh = reply.open.fh};
        kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
        assert_int_equal(reply.error, 0);
    }
}

/* The kernel lets one writer at a time into an inode, and the others wait where no signal reaches
 * them. */
static void each_look_up_of_control_gives_an_inode_of_its_own(void **state)
{
    struct kernel *kernel = *state;
    uint64_t first = control_ino(kernel);
    assert_int_equal(reply.entry.entry_valid, 0);
    uint64_t second = control_ino(kernel);
    assert_true(first != second);
    uint64_t fetching = send_write(kernel, first, SLICE_LITERAL("prefetch\n"));
    uint64_t committing = send_write(kernel, second, SLICE_LITERAL("commit\n"));
    struct sync_request *prefetch = fake_sync_take(kernel->sync);
    struct sync_request *commit = fake_sync_take(kernel->sync);
    commit->answer(commit, FAULT_NONE, EXTENT_NONE);
    expect_reply(kernel, committing, 0);
    prefetch->answer(prefetch, FAULT_NONE, EXTENT_NONE);
    expect_reply(kernel, fetching, 0);
    const struct fuse_forget_in forget = {.nlookup = 1};
    kernel_send(kernel, FUSE_FORGET, first, PAYLOAD(forget));
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, second, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.attr.attr.ino, TREE_COMMANDS_INO);
}

static void a_shell_may_empty_control_and_change_nothing_else(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = control_ino(kernel);
    struct fuse_setattr_in setattr = {.valid = FATTR_SIZE};
    kernel_ask(kernel, FUSE_SETATTR, ino, PAYLOAD(setattr), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.attr.attr.size, 0);
    setattr.size = 1;
    kernel_ask(kernel, FUSE_SETATTR, ino, PAYLOAD(setattr), &reply);
    assert_int_equal(reply.error, EPERM);
    setattr.size = UINT64_C(1) << 32;
    kernel_ask(kernel, FUSE_SETATTR, ino, PAYLOAD(setattr), &reply);
    assert_int_equal(reply.error, EPERM);
    setattr = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_MODE, .mode = 0777};
    kernel_ask(kernel, FUSE_SETATTR, ino, PAYLOAD(setattr), &reply);
    assert_int_equal(reply.error, EPERM);
    setattr = (struct fuse_setattr_in){.valid = FATTR_SIZE};
    kernel_ask(kernel, FUSE_SETATTR, kernel_ino(kernel, "here.eml"), PAYLOAD(setattr), &reply);
    assert_int_equal(reply.error, EPERM);
}

/* ---- commands ---- */

static void each_command_asks_sync_and_returns_when_it_is_done(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *here = fake_sync_message(kernel->sync, 0);
    struct maildrop_message *going = fake_sync_message(kernel->sync, 1);
    expect_want(kernel, "commit\n", SYNC_WANT_COMMIT, NULL);
    expect_want(kernel, "refresh", SYNC_WANT_REFRESH, NULL);
    expect_want(kernel, "rollback\n", SYNC_WANT_RESTORE, NULL);
    expect_want(kernel, "undelete going.eml\n", SYNC_WANT_RESTORE, going);
    expect_want(kernel, "prefetch\n", SYNC_WANT_PREFETCH, NULL);
    expect_want(kernel, "prefetch here.eml\n", SYNC_WANT_BODY, here);
    expect_want(kernel, "prefetch going.eml\n", SYNC_WANT_BODY, going);
    expect_want(kernel, "verify\n", SYNC_WANT_VERIFY, NULL);
    expect_want(kernel, "verify here.eml\n", SYNC_WANT_VERIFY, here);
    expect_want(kernel, "verify going.eml\n", SYNC_WANT_VERIFY, going);
}

static void a_fetched_body_is_closed_again(void **state)
{
    struct kernel *kernel = *state;
    uint64_t unique = command(kernel, "prefetch here.eml\n");
    struct sync_request *request = fake_sync_take(kernel->sync);
    struct extent given = fake_sync_extent(SLICE_LITERAL("body"));
    request->answer(request, FAULT_NONE, given);
    expect_reply(kernel, unique, 0);
    assert_int_equal(fcntl(given.descriptor, F_GETFD), -1);
}

static void an_unknown_command_or_name_is_an_error_at_once(void **state)
{
    struct kernel *kernel = *state;
    expect_error(kernel, "delete\n", EINVAL);
    expect_error(kernel, "\n", EINVAL);
    expect_error(kernel, "commit\nrefresh\n", EINVAL);
    expect_error(kernel, "undelete\n", EINVAL);
    expect_error(kernel, "undelete none.eml\n", ENOENT);
    expect_error(kernel, "undelete here.eml\n", ENOENT);
    expect_error(kernel, "prefetch none.eml\n", ENOENT);
}

static void a_command_that_fails_says_why(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        const char *text;
        enum fault fault;
        int error;
    } cases[] = {{"commit\n", FAULT_REFUSED, EIO},   {"commit\n", FAULT_TIMEOUT, ETIMEDOUT},
                 {"commit\n", FAULT_BUSY, EBUSY},    {"refresh\n", FAULT_LOGIN, EACCES},
                 {"rollback\n", FAULT_DISK, ENOSPC}, {"undelete going.eml\n", FAULT_GONE, ENOENT},
                 {"prefetch\n", FAULT_REFUSED, EIO}, {"prefetch here.eml\n", FAULT_DISK, EIO}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t unique = command(kernel, cases[i].text);
        struct sync_request *request = fake_sync_take(kernel->sync);
        request->answer(request, cases[i].fault, EXTENT_NONE);
        expect_reply(kernel, unique, cases[i].error);
    }
}

static void a_command_can_be_interrupted(void **state)
{
    struct kernel *kernel = *state;
    uint64_t unique = command(kernel, "prefetch\n");
    kernel_interrupt(kernel, unique);
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_true(request->canceled);
    request->answer(request, FAULT_CANCELED, EXTENT_NONE);
    expect_reply(kernel, unique, EINTR);
}

static void undelete_brings_the_name_back_before_it_returns(void **state)
{
    struct kernel *kernel = *state;
    uint64_t unique = command(kernel, "undelete going.eml\n");
    struct sync_request *request = fake_sync_take(kernel->sync);
    fake_sync_restore(kernel->sync, request->message);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.error, FUSE_NOTIFY_INVAL_INODE);
    expect_reply(kernel, unique, 0);
    kernel_ino(kernel, "going.eml");
}

static void a_read_only_mount_takes_no_command_about_removal(void **state)
{
    struct kernel *kernel = *state;
    expect_error(kernel, "commit\n", EROFS);
    expect_error(kernel, "rollback\n", EROFS);
    expect_error(kernel, "undelete going.eml\n", EROFS);
    expect_want(kernel, "refresh\n", SYNC_WANT_REFRESH, NULL);
    expect_want(kernel, "prefetch\n", SYNC_WANT_PREFETCH, NULL);
}

/* ---- fsync of the root ---- */

static uint64_t send_fsync(struct kernel *kernel, uint64_t ino)
{
    const struct fuse_fsync_in fsync = {.fsync_flags = 0};
    return kernel_send(kernel, FUSE_FSYNCDIR, ino, PAYLOAD(fsync));
}

static void answer_commit(struct kernel *kernel, enum fault fault)
{
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    assert_int_equal(request->want, SYNC_WANT_COMMIT);
    request->answer(request, fault, EXTENT_NONE);
}

static void fsync_of_the_root_commits(void **state)
{
    struct kernel *kernel = *state;
    uint64_t unique = send_fsync(kernel, FUSE_ROOT_ID);
    kernel_expect_silence(kernel);
    answer_commit(kernel, FAULT_NONE);
    expect_reply(kernel, unique, 0);
    unique = send_fsync(kernel, FUSE_ROOT_ID);
    answer_commit(kernel, FAULT_REFUSED);
    expect_reply(kernel, unique, EIO);
    unique = send_fsync(kernel, FUSE_ROOT_ID);
    kernel_interrupt(kernel, unique);
    answer_commit(kernel, FAULT_CANCELED);
    expect_reply(kernel, unique, EINTR);
}

static void fsync_with_nothing_to_delete_returns_at_once(void **state)
{
    struct kernel *kernel = *state;
    expect_reply(kernel, send_fsync(kernel, TREE_TRASH_INO), 0);
    maildrop_message_set_going(fake_sync_message(kernel->sync, 1), false);
    expect_reply(kernel, send_fsync(kernel, FUSE_ROOT_ID), 0);
}

/* A reader may open the folder, and could make the removals of others final. */
static void fsync_of_the_root_is_for_the_owner_and_root_alone(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        uint32_t uid, data_only;
        bool may;
    } cases[] = {{0, 0, true},    {0, 1, true},     {1000, 0, true},  {1000, 1, true},
                 {999, 0, false}, {1001, 0, false}, {1001, 1, false}, {UINT32_MAX, 0, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fuse_fsync_in fsync = {.fsync_flags = cases[i].data_only};
        kernel->uid = cases[i].uid;
        uint64_t unique = kernel_send(kernel, FUSE_FSYNCDIR, FUSE_ROOT_ID, PAYLOAD(fsync));
        if (cases[i].may)
            answer_commit(kernel, FAULT_NONE);
        expect_reply(kernel, unique, cases[i].may ? 0 : EACCES);
    }
    expect_reply(kernel, send_fsync(kernel, TREE_FOLDER_INO), 0);
    expect_reply(kernel, send_fsync(kernel, TREE_TRASH_INO), 0);
}

static void fsync_of_a_read_only_mount_says_that_nothing_can_be_deleted(void **state)
{
    expect_reply(*state, send_fsync(*state, FUSE_ROOT_ID), EROFS);
}

/* By the table, which is read for each of them; the options say nothing of it. */
static void a_mount_that_became_read_only_commits_nothing_until_it_is_writable(void **state)
{
    struct kernel *kernel = *state;
    static const char row[] = "42 22 0:39 / /mnt rw - fuse.popfs x rw\n";
    int table = kernel->fs->mountwatch.descriptor;
    assert_int_equal(pwrite(table, "o", 1, (off_t)(strchr(row, 'w') - row)), 1);
    expect_reply(kernel, send_fsync(kernel, FUSE_ROOT_ID), EROFS);
    a_read_only_mount_takes_no_command_about_removal(state);
    assert_int_equal(pwrite(table, row, strlen(row), 0), (ssize_t)strlen(row));
    uint64_t unique = send_fsync(kernel, FUSE_ROOT_ID);
    answer_commit(kernel, FAULT_NONE);
    expect_reply(kernel, unique, 0);
}

/* It may have been remounted to ro. */
static void a_mount_that_is_not_known_commits_by_command_alone(void **state)
{
    struct kernel *kernel = *state;
    mountwatch_done(&kernel->fs->mountwatch);
    expect_reply(kernel, send_fsync(kernel, FUSE_ROOT_ID), EPERM);
    expect_want(kernel, "commit\n", SYNC_WANT_COMMIT, NULL);
}

/* ---- control= ---- */

static void the_folder_can_be_listed(void **state)
{
    struct kernel *kernel = *state;
    const struct fuse_open_in open = {0};
    kernel_ask(kernel, FUSE_OPENDIR, FUSE_ROOT_ID, PAYLOAD(open), &reply);
    const struct fuse_read_in read_in = {.fh = reply.open.fh, .size = 4096};
    kernel_ask(kernel, FUSE_READDIR, FUSE_ROOT_ID, PAYLOAD(read_in), &reply);
    assert_non_null(memmem(reply.bytes, reply.len, ".popfs", 6));
    assert_non_null(memmem(reply.bytes, reply.len, "here.eml", 8));
    assert_null(memmem(reply.bytes, reply.len, "going.eml", 9));
}

static void the_folder_can_be_left_out(void **state)
{
    struct kernel *kernel = *state;
    kernel_lookup(kernel, FUSE_ROOT_ID, ".popfs", &reply);
    assert_int_equal(reply.error, ENOENT);
    kernel_ino(kernel, "here.eml");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(control_is_for_the_owner_and_for_writing_alone),
        TEST(each_look_up_of_control_gives_an_inode_of_its_own),
        TEST(a_shell_may_empty_control_and_change_nothing_else),
        TEST(each_command_asks_sync_and_returns_when_it_is_done),
        TEST(a_fetched_body_is_closed_again),
        TEST(an_unknown_command_or_name_is_an_error_at_once),
        TEST(a_command_that_fails_says_why),
        TEST(a_command_can_be_interrupted),
        TEST(undelete_brings_the_name_back_before_it_returns),
        cmocka_unit_test_setup_teardown(a_read_only_mount_takes_no_command_about_removal,
                                        set_up_read_only, tear_down),
        TEST(fsync_of_the_root_commits),
        TEST(fsync_with_nothing_to_delete_returns_at_once),
        TEST(fsync_of_the_root_is_for_the_owner_and_root_alone),
        TEST(a_mount_that_became_read_only_commits_nothing_until_it_is_writable),
        TEST(a_mount_that_is_not_known_commits_by_command_alone),
        cmocka_unit_test_setup_teardown(fsync_of_a_read_only_mount_says_that_nothing_can_be_deleted,
                                        set_up_read_only, tear_down),
        cmocka_unit_test_setup_teardown(the_folder_can_be_listed, set_up_visible, tear_down),
        cmocka_unit_test_setup_teardown(the_folder_can_be_left_out, set_up_off, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
