/* SPDX-License-Identifier: MIT */
/* A program removes a file in order to put another in its place, and the other is refused: each
 * operation that makes a name, in each state of the removal of that name. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct maildrop_row rows[] = {
    {SLICE_LITERAL("here"), 100}, {SLICE_LITERAL("going"), 200}, {SLICE_LITERAL("other"), 300}};
static const char going[] = "going.eml";
static struct reply reply;

static int set_up_with(void **state, bool read_only, enum fs_control control)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    assert_non_null(kernel);
    struct sync *sync = fake_sync_new();
    fake_sync_list(sync, rows, 3);
    maildrop_message_set_going(fake_sync_message(sync, 1), true);
    maildrop_message_set_going(fake_sync_message(sync, 2), true);
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

static int set_up_without_control(void **state)
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

/* ---- the operations ---- */

/* The payload of a request: `head`, which may be empty, then `names`, each with its end. */
static uint64_t send_names(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice head,
                           const char *first, const char *second)
{
    char payload[256] = {0};
    size_t len = head.len;
    if (head.len > 0)
        memcpy(payload, head.data, head.len);
    len += (size_t)snprintf(payload + len, sizeof(payload) - len, "%s", first) + 1;
    if (second != NULL)
        len += (size_t)snprintf(payload + len, sizeof(payload) - len, "%s", second) + 1;
    return kernel_send(kernel, opcode, ino, (struct slice){payload, len});
}

static uint64_t create_at(struct kernel *kernel, uint64_t parent, const char *name)
{
    const struct fuse_create_in in = {.flags = O_WRONLY | O_CREAT | O_EXCL, .mode = 0600};
    return send_names(kernel, FUSE_CREATE, parent, PAYLOAD(in), name, NULL);
}

static uint64_t mknod_at(struct kernel *kernel, uint64_t parent, const char *name)
{
    const struct fuse_mknod_in in = {.mode = S_IFIFO | 0600};
    return send_names(kernel, FUSE_MKNOD, parent, PAYLOAD(in), name, NULL);
}

static uint64_t mkdir_at(struct kernel *kernel, uint64_t parent, const char *name)
{
    const struct fuse_mkdir_in in = {.mode = 0700};
    return send_names(kernel, FUSE_MKDIR, parent, PAYLOAD(in), name, NULL);
}

static uint64_t symlink_at(struct kernel *kernel, uint64_t parent, const char *name)
{
    return send_names(kernel, FUSE_SYMLINK, parent, SLICE_LITERAL(""), name, "/etc/passwd");
}

static uint64_t link_at(struct kernel *kernel, uint64_t parent, const char *name)
{
    const struct fuse_link_in in = {.oldnodeid = kernel_ino(kernel, "here.eml")};
    return send_names(kernel, FUSE_LINK, parent, PAYLOAD(in), name, NULL);
}

static uint64_t rename_to(struct kernel *kernel, uint64_t from, const char *old, uint64_t parent,
                          const char *name, uint32_t flags)
{
    const struct fuse_rename2_in in = {.newdir = parent, .flags = flags};
    return send_names(kernel, FUSE_RENAME2, from, PAYLOAD(in), old, name);
}

static uint64_t rename_at(struct kernel *kernel, uint64_t parent, const char *name)
{
    return rename_to(kernel, FUSE_ROOT_ID, "here.eml", parent, name, 0);
}

static uint64_t rename_at_whiteout(struct kernel *kernel, uint64_t parent, const char *name)
{
    return rename_to(kernel, FUSE_ROOT_ID, "here.eml", parent, name, RENAME_WHITEOUT);
}

static uint64_t rename_at_from_trash(struct kernel *kernel, uint64_t parent, const char *name)
{
    return rename_to(kernel, TREE_TRASH_INO, "other.eml", parent, name, RENAME_NOREPLACE);
}

static uint64_t (*const operations_at[])(struct kernel *kernel, uint64_t parent,
                                         const char *name) = {
    create_at, mknod_at,  mkdir_at,           symlink_at,
    link_at,   rename_at, rename_at_whiteout, rename_at_from_trash,
};
enum { OPERATION_COUNT = sizeof(operations_at) / sizeof(operations_at[0]) };

static void expect_reply(struct kernel *kernel, uint64_t unique, int error)
{
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.unique, unique);
    assert_int_equal(reply.error, error);
}

static struct sync_request *take_restore(struct kernel *kernel)
{
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    assert_int_equal(request->want, SYNC_WANT_RESTORE);
    assert_ptr_equal(request->message, fake_sync_message(kernel->sync, 1));
    return request;
}

/* ---- in each state ---- */

static void a_refused_replacement_takes_the_removal_of_its_name_back(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 1);
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        uint64_t unique = operations_at[i](kernel, FUSE_ROOT_ID, going);
        kernel_expect_silence(kernel);
        struct sync_request *request = take_restore(kernel);
        fake_sync_restore(kernel->sync, message);
        request->answer(request, FAULT_NONE, EXTENT_NONE);
        /* A listing that the kernel has kept lacks the name. */
        assert_true(kernel_receive(kernel, &reply));
        assert_int_equal(reply.error, FUSE_NOTIFY_INVAL_INODE);
        expect_reply(kernel, unique, EPERM);
        kernel_ino(kernel, going);
        assert_int_equal(sync_remove(kernel->sync, message), FAULT_NONE);
        place_settle(kernel->fs, message);
    }
}

static void a_removal_that_cannot_be_taken_back_gives_an_errno_of_its_own(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        enum fault fault;
        int error;
    } cases[] = {
        {FAULT_BUSY, EBUSY},  /* a commit's QUIT is out */
        {FAULT_DISK, ENOSPC}, /* it could not be written down */
        {FAULT_GONE, EPERM},  /* the message has gone, or somebody else has taken it back */
        {FAULT_MEMORY, ENOMEM}, {FAULT_CANCELED, EINTR}, /* the mount has ended */
    };
    for (size_t i = 0; i < OPERATION_COUNT; i++)
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            uint64_t unique = operations_at[i](kernel, FUSE_ROOT_ID, going);
            struct sync_request *request = take_restore(kernel);
            request->answer(request, cases[j].fault, EXTENT_NONE);
            expect_reply(kernel, unique, cases[j].error);
        }
    kernel_lookup(kernel, FUSE_ROOT_ID, going, &reply);
    assert_int_equal(reply.error, ENOENT);
}

static void a_refusal_of_another_name_takes_nothing_back(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        uint64_t parent;
        const char *name;
    } cases[] = {
        {FUSE_ROOT_ID, "new.eml"},   {FUSE_ROOT_ID, ".going.eml.Xa3b"}, {FUSE_ROOT_ID, "going"},
        {FUSE_ROOT_ID, "Going.eml"}, {FUSE_ROOT_ID, "here.eml"},        {TREE_TRASH_INO, going},
        {TREE_FOLDER_INO, going},
    };
    for (size_t i = 0; i < OPERATION_COUNT; i++)
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++)
            expect_reply(kernel, operations_at[i](kernel, cases[j].parent, cases[j].name), EPERM);
    assert_true(maildrop_message_is_going(fake_sync_message(kernel->sync, 1)));
}

/* The name is still there: nothing was removed in order to replace it. */
static void opening_a_message_for_writing_takes_nothing_back(void **state)
{
    struct kernel *kernel = *state;
    kernel_lookup(kernel, TREE_TRASH_INO, going, &reply);
    uint64_t ino = reply.entry.nodeid;
    static const uint32_t flags[] = {O_WRONLY, O_RDWR | O_TRUNC, O_RDONLY | O_TRUNC};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        expect_reply(kernel, kernel_send_open(kernel, ino, flags[i]), EPERM);
}

static void a_message_that_has_gone_is_not_taken_back(void **state)
{
    struct kernel *kernel = *state;
    fake_sync_forget(kernel->sync, fake_sync_message(kernel->sync, 1));
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
    for (size_t i = 0; i < OPERATION_COUNT; i++)
        expect_reply(kernel, operations_at[i](kernel, FUSE_ROOT_ID, going), EPERM);
}

static void a_read_only_mount_takes_nothing_back(void **state)
{
    struct kernel *kernel = *state;
    for (size_t i = 0; i < OPERATION_COUNT; i++)
        expect_reply(kernel, operations_at[i](kernel, FUSE_ROOT_ID, going), EROFS);
}

/* An interrupted program has removed the file all the same. The interrupt may come before the
 * request that it is about. */
static void an_interrupt_does_not_keep_a_removal_from_being_taken_back(void **state)
{
    struct kernel *kernel = *state;
    uint64_t unique = create_at(kernel, FUSE_ROOT_ID, going);
    kernel_interrupt(kernel, unique);
    struct sync_request *request = take_restore(kernel);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    expect_reply(kernel, unique, EPERM);

    unique = kernel->unique_last + 2;
    kernel_interrupt(kernel, unique);
    while (kernel_receive(kernel, &reply))
        continue;
    assert_int_equal(create_at(kernel, FUSE_ROOT_ID, going), unique);
    request = take_restore(kernel);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    do
        assert_true(kernel_receive(kernel, &reply));
    while (reply.unique != unique);
    assert_int_equal(reply.error, EPERM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refused_replacement_takes_the_removal_of_its_name_back),
        cmocka_unit_test_setup_teardown(a_refused_replacement_takes_the_removal_of_its_name_back,
                                        set_up_without_control, tear_down),
        TEST(a_removal_that_cannot_be_taken_back_gives_an_errno_of_its_own),
        TEST(a_refusal_of_another_name_takes_nothing_back),
        TEST(opening_a_message_for_writing_takes_nothing_back),
        TEST(a_message_that_has_gone_is_not_taken_back),
        cmocka_unit_test_setup_teardown(a_read_only_mount_takes_nothing_back, set_up_read_only,
                                        tear_down),
        TEST(an_interrupt_does_not_keep_a_removal_from_being_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
