/* SPDX-License-Identifier: MIT */
/* What is going and not gone: the trash, and the way there and back, as the kernel sees them. */
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
    {SLICE_LITERAL("first"), 100}, {SLICE_LITERAL("second"), 200}, {SLICE_LITERAL("third"), 300}};
enum { ROW_COUNT = 3 };

static const struct slice body = SLICE_LITERAL("Subject: x\r\n\r\nbody\r\n");
static struct reply reply;

static int set_up_as(void **state, bool read_only)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    assert_non_null(kernel);
    struct sync *sync = fake_sync_new();
    fake_sync_list(sync, rows, ROW_COUNT);
    /* Removed in an earlier mount. */
    maildrop_message_set_going(fake_sync_message(sync, 2), true);
    sync->read_only = read_only;
    kernel_init(kernel, sync, read_only);
    *state = kernel;
    return 0;
}

static int set_up(void **state)
{
    return set_up_as(state, false);
}

static int set_up_read_only(void **state)
{
    return set_up_as(state, true);
}

static int tear_down(void **state)
{
    struct kernel *kernel = *state;
    kernel_done(kernel);
    fake_sync_free(kernel->sync);
    free(kernel);
    return 0;
}

static uint64_t trash_ino(struct kernel *kernel)
{
    kernel_lookup(kernel, kernel_ino(kernel, ".popfs"), "trash", &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.entry.nodeid, TREE_TRASH_INO);
    return reply.entry.nodeid;
}

/* 0: it is not there. */
static uint64_t ino_in(struct kernel *kernel, uint64_t parent, const char *name)
{
    kernel_lookup(kernel, parent, name, &reply);
    if (reply.error == ENOENT)
        return 0;
    assert_int_equal(reply.error, 0);
    return reply.entry.nodeid;
}

static int unlink_error(struct kernel *kernel, uint64_t parent, const char *name)
{
    kernel_ask(kernel, FUSE_UNLINK, parent, (struct slice){name, strlen(name) + 1}, &reply);
    return reply.error;
}

static int rename_error(struct kernel *kernel, uint64_t parent, const char *name,
                        uint64_t new_parent, const char *new_name, uint32_t flags)
{
    struct {
        struct fuse_rename2_in in;
        char names[64];
    } rename = {.in = {.newdir = new_parent, .flags = flags}};
    int len = snprintf(rename.names, sizeof(rename.names), "%s%c%s", name, '\0', new_name);
    kernel_ask(kernel, FUSE_RENAME2, parent,
               (struct slice){(const char *)&rename, sizeof(rename.in) + (size_t)len + 1}, &reply);
    return reply.error;
}

/* Out of the trash; the thread of sync answers with the fault. */
static int restore_error(struct kernel *kernel, const char *name, enum fault fault)
{
    struct {
        struct fuse_rename2_in in;
        char names[64];
    } rename = {.in = {.newdir = FUSE_ROOT_ID}};
    int len = snprintf(rename.names, sizeof(rename.names), "%s%c%s", name, '\0', name);
    uint64_t unique =
        kernel_send(kernel, FUSE_RENAME2, TREE_TRASH_INO,
                    (struct slice){(const char *)&rename, sizeof(rename.in) + (size_t)len + 1});
    kernel_expect_silence(kernel);
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    assert_int_equal(request->want, SYNC_WANT_RESTORE);
    if (fault == FAULT_NONE)
        fake_sync_restore(kernel->sync, request->message);
    request->answer(request, fault, EXTENT_NONE);
    do
        assert_true(kernel_receive(kernel, &reply));
    while (reply.unique != unique);
    return reply.error;
}

static void drain(struct kernel *kernel)
{
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
}

/* The names in a folder, each followed by a blank. */
static const char *listed(struct kernel *kernel, uint64_t ino, uint32_t opcode)
{
    static char names[1024];
    const struct fuse_open_in open = {0};
    kernel_ask(kernel, FUSE_OPENDIR, ino, PAYLOAD(open), &reply);
    uint64_t handle = reply.open.fh;
    const struct fuse_read_in read_in = {.fh = handle, .size = 8192};
    kernel_ask(kernel, opcode, ino, PAYLOAD(read_in), &reply);
    assert_int_equal(reply.error, 0);
    names[0] = '\0';
    size_t skip = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
    for (size_t at = 0; at < reply.len;) {
        struct fuse_dirent dirent;
        memcpy(&dirent, reply.bytes + at + skip, FUSE_NAME_OFFSET);
        strncat(names, reply.bytes + at + skip + FUSE_NAME_OFFSET, dirent.namelen);
        strcat(names, " ");
        at += FUSE_DIRENT_ALIGN(skip + FUSE_NAME_OFFSET + dirent.namelen);
    }
    const struct fuse_release_in release = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASEDIR, ino, PAYLOAD(release), &reply);
    return names;
}

/* ---- what it shows ---- */

static void what_is_removed_moves_to_the_trash_with_its_inode(void **state)
{
    struct kernel *kernel = *state;
    uint64_t trash = trash_ino(kernel);
    uint64_t ino = kernel_ino(kernel, "first.eml");
    assert_int_equal(ino_in(kernel, trash, "first.eml"), 0);
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    assert_int_equal(ino_in(kernel, trash, "first.eml"), ino);
    assert_int_equal(reply.entry.attr.nlink, 1);
    assert_int_equal(reply.entry.attr.size, 100);
    assert_int_equal(reply.entry.entry_valid, 0);
}

static void what_an_earlier_mount_removed_is_in_the_trash_and_not_in_the_root(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "third.eml"), 0);
    assert_int_equal(ino_in(kernel, trash_ino(kernel), "third.eml"),
                     inode_of_message(fake_sync_message(kernel->sync, 2)));
}

static void each_folder_lists_its_own(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    assert_string_equal(listed(kernel, FUSE_ROOT_ID, FUSE_READDIR), ". .. second.eml ");
    assert_string_equal(listed(kernel, TREE_TRASH_INO, FUSE_READDIR), ". .. first.eml third.eml ");
    assert_string_equal(listed(kernel, TREE_TRASH_INO, FUSE_READDIRPLUS),
                        ". .. first.eml third.eml ");
    const struct fuse_open_in open = {0};
    kernel_ask(kernel, FUSE_OPENDIR, TREE_TRASH_INO, PAYLOAD(open), &reply);
    assert_int_equal(reply.open.open_flags & (FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE), 0);
}

static void the_kernel_remembers_no_name_in_the_trash(void **state)
{
    struct kernel *kernel = *state;
    uint64_t trash = trash_ino(kernel);
    assert_int_equal(reply.entry.attr_valid, 0);
    assert_int_not_equal(ino_in(kernel, trash, "third.eml"), 0);
    assert_int_equal(reply.entry.entry_valid, 0);
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, trash, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.attr.attr.mode, S_IFDIR | 0700);
    assert_int_equal(reply.attr.attr_valid, 0);
}

static void a_message_in_the_trash_is_read_like_any(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 2);
    fake_sync_store(kernel->sync, message, body);
    uint64_t ino = ino_in(kernel, trash_ino(kernel), "third.eml");
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.error, 0);
    const struct fuse_release_in release = {.fh = reply.open.fh};
    kernel_read(kernel, ino, release.fh, 0, 4096, &reply);
    assert_int_equal(reply.len, body.len);
    assert_memory_equal(reply.bytes, body.data, body.len);
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
}

static void what_has_gone_is_nowhere(void **state)
{
    struct kernel *kernel = *state;
    fake_sync_forget(kernel->sync, fake_sync_message(kernel->sync, 2));
    drain(kernel);
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "third.eml"), 0);
    assert_int_equal(ino_in(kernel, TREE_TRASH_INO, "third.eml"), 0);
    assert_string_equal(listed(kernel, TREE_TRASH_INO, FUSE_READDIR), ". .. ");
}

static void nothing_can_be_removed_from_the_trash(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(unlink_error(kernel, TREE_TRASH_INO, "third.eml"), EPERM);
    assert_true(maildrop_message_is_going(fake_sync_message(kernel->sync, 2)));
}

/* ---- mv ---- */

static void mv_out_of_the_trash_restores_with_the_same_inode(void **state)
{
    struct kernel *kernel = *state;
    uint64_t trash = trash_ino(kernel);
    uint64_t ino = ino_in(kernel, trash, "third.eml");
    assert_int_equal(restore_error(kernel, "third.eml", FAULT_NONE), 0);
    assert_false(maildrop_message_is_going(fake_sync_message(kernel->sync, 2)));
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "third.eml"), ino);
    assert_int_equal(reply.entry.entry_valid, 3600);
    assert_int_equal(ino_in(kernel, trash, "third.eml"), 0);
    assert_string_equal(listed(kernel, FUSE_ROOT_ID, FUSE_READDIR),
                        ". .. first.eml second.eml third.eml ");
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "third.eml"), 0);
}

static void an_open_file_is_read_on_while_its_message_goes_and_comes_back(void **state)
{
    struct kernel *kernel = *state;
    fake_sync_store(kernel->sync, fake_sync_message(kernel->sync, 0), body);
    uint64_t ino = kernel_ino(kernel, "first.eml");
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    const struct fuse_release_in release = {.fh = reply.open.fh};
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    assert_int_equal(restore_error(kernel, "first.eml", FAULT_NONE), 0);
    kernel_read(kernel, ino, release.fh, 0, 4096, &reply);
    assert_int_equal(reply.len, body.len);
    assert_memory_equal(reply.bytes, body.data, body.len);
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
}

/* mv(1) asks not to replace anything. */
static void mv_into_the_trash_removes(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "first.eml");
    assert_int_equal(rename_error(kernel, FUSE_ROOT_ID, "first.eml", TREE_TRASH_INO, "first.eml",
                                  RENAME_NOREPLACE),
                     0);
    assert_true(maildrop_message_is_going(fake_sync_message(kernel->sync, 0)));
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    assert_int_equal(ino_in(kernel, TREE_TRASH_INO, "first.eml"), ino);
}

static void mv_to_another_name_or_folder_is_not_permitted(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        uint64_t parent;
        const char *name;
        uint64_t new_parent;
        const char *new_name;
    } cases[] = {
        {FUSE_ROOT_ID, "first.eml", FUSE_ROOT_ID, "x.eml"},
        {FUSE_ROOT_ID, "first.eml", FUSE_ROOT_ID, "second.eml"},
        {FUSE_ROOT_ID, "first.eml", TREE_TRASH_INO, "x.eml"},
        {FUSE_ROOT_ID, "first.eml", TREE_FOLDER_INO, "first.eml"},
        {FUSE_ROOT_ID, ".popfs", TREE_TRASH_INO, ".popfs"},
        {TREE_TRASH_INO, "third.eml", FUSE_ROOT_ID, "x.eml"},
        {TREE_TRASH_INO, "third.eml", TREE_TRASH_INO, "x.eml"},
        {TREE_TRASH_INO, "third.eml", TREE_FOLDER_INO, "third.eml"},
        {TREE_FOLDER_INO, "status", FUSE_ROOT_ID, "status"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(rename_error(kernel, cases[i].parent, cases[i].name, cases[i].new_parent,
                                      cases[i].new_name, 0),
                         EPERM);
    assert_string_equal(listed(kernel, FUSE_ROOT_ID, FUSE_READDIR), ". .. first.eml second.eml ");
}

static void mv_of_what_is_not_there_or_onto_what_is_there_fails(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(rename_error(kernel, TREE_TRASH_INO, "x.eml", FUSE_ROOT_ID, "x.eml", 0),
                     ENOENT);
    assert_int_equal(
        rename_error(kernel, FUSE_ROOT_ID, "third.eml", TREE_TRASH_INO, "third.eml", 0), ENOENT);
    assert_int_equal(restore_error(kernel, "third.eml", FAULT_DISK), ENOSPC);
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "third.eml"), 0);
}

static void names_cannot_be_exchanged(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(rename_error(kernel, TREE_TRASH_INO, "third.eml", FUSE_ROOT_ID, "third.eml",
                                  RENAME_EXCHANGE),
                     EINVAL);
}

static void a_read_only_mount_moves_nothing(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(
        rename_error(kernel, TREE_TRASH_INO, "third.eml", FUSE_ROOT_ID, "third.eml", 0), EROFS);
    assert_int_equal(
        rename_error(kernel, FUSE_ROOT_ID, "first.eml", TREE_TRASH_INO, "first.eml", 0), EROFS);
    assert_int_equal(unlink_error(kernel, TREE_TRASH_INO, "third.eml"), EROFS);
    assert_string_equal(listed(kernel, TREE_TRASH_INO, FUSE_READDIR), ". .. third.eml ");
}

/* ---- what sync brings back ---- */

static void what_sync_restores_is_told_to_the_kernel_and_found(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    assert_int_equal(ino_in(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    fake_sync_restore(kernel->sync, NULL);
    struct fuse_notify_inval_inode_out inode;
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.error, FUSE_NOTIFY_INVAL_INODE);
    memcpy(&inode, reply.bytes, sizeof(inode));
    assert_int_equal(inode.ino, FUSE_ROOT_ID);
    kernel_ino(kernel, "first.eml");
    kernel_ino(kernel, "third.eml");
    assert_string_equal(listed(kernel, TREE_TRASH_INO, FUSE_READDIR), ". .. ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_removed_moves_to_the_trash_with_its_inode),
        TEST(what_an_earlier_mount_removed_is_in_the_trash_and_not_in_the_root),
        TEST(each_folder_lists_its_own),
        TEST(the_kernel_remembers_no_name_in_the_trash),
        TEST(a_message_in_the_trash_is_read_like_any),
        TEST(what_has_gone_is_nowhere),
        TEST(nothing_can_be_removed_from_the_trash),
        TEST(mv_out_of_the_trash_restores_with_the_same_inode),
        TEST(an_open_file_is_read_on_while_its_message_goes_and_comes_back),
        TEST(mv_into_the_trash_removes),
        TEST(mv_to_another_name_or_folder_is_not_permitted),
        TEST(mv_of_what_is_not_there_or_onto_what_is_there_fails),
        TEST(names_cannot_be_exchanged),
        cmocka_unit_test_setup_teardown(a_read_only_mount_moves_nothing, set_up_read_only,
                                        tear_down),
        TEST(what_sync_restores_is_told_to_the_kernel_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
