/* SPDX-License-Identifier: MIT */
#include "attributes.h"
#include "fake_sync.h"
#include "inode.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct attributes_owner owner = {
    .uid = 1000, .gid = 1001, .umask = 077, .read_only = false};

static int set_up(void **state)
{
    struct sync *sync = fake_sync_new();
    const struct maildrop_row rows[] = {
        {SLICE_LITERAL("known"), 1025}, {SLICE_LITERAL("unknown"), 0}, {SLICE_LITERAL("next"), 10}};
    fake_sync_list(sync, rows, 3);
    *state = sync;
    return 0;
}

static int tear_down(void **state)
{
    fake_sync_free(*state);
    return 0;
}

static void a_message_is_a_private_file_of_its_owner(void **state)
{
    struct maildrop_message *message = fake_sync_message(*state, 0);
    struct stat stat;
    attributes_of_message(&owner, message, true, &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0600);
    assert_int_equal(stat.st_uid, 1000);
    assert_int_equal(stat.st_gid, 1001);
    assert_int_equal(stat.st_nlink, 1);
    assert_int_equal(stat.st_ino, maildrop_message_id(message) + 4096);
    assert_int_equal(stat.st_size, 1025);
    assert_int_equal(stat.st_blocks, 3);
    assert_int_equal(stat.st_blksize, 4096);
}

static void a_read_only_mount_has_no_write_bits(void **state)
{
    struct attributes_owner reader = owner;
    reader.read_only = true;
    reader.umask = 022;
    struct stat stat;
    attributes_of_message(&reader, fake_sync_message(*state, 0), true, &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0444);
}

static void an_unknown_size_is_never_shown_as_0(void **state)
{
    struct maildrop_message *message = fake_sync_message(*state, 1);
    struct stat stat;
    assert_true(attributes_of_message(&owner, message, false, &stat) == 0);
    assert_int_equal(stat.st_size, 1);
}

static void a_message_that_really_is_empty_is_shown_so(void **state)
{
    struct maildrop_message *message = fake_sync_message(*state, 1);
    struct stat stat;
    maildrop_message_learn_octets(message, 0);
    attributes_of_message(&owner, message, true, &stat);
    assert_int_equal(stat.st_size, 0);
    assert_int_equal(stat.st_blocks, 0);
}

static void the_kernel_may_cache_only_what_is_known_and_believed(void **state)
{
    struct maildrop_message *message = fake_sync_message(*state, 0);
    struct stat stat;
    assert_true(attributes_of_message(&owner, message, true, &stat) == 0);
    maildrop_message_learn_time(message, 5);
    assert_true(attributes_of_message(&owner, message, true, &stat) == ATTRIBUTES_FOREVER_S);
    assert_true(attributes_of_message(&owner, message, false, &stat) == 0);
    assert_int_equal(stat.st_size, 1025);
}

static void the_date_becomes_mtime_and_the_first_sight_ctime(void **state)
{
    struct maildrop_message *message = fake_sync_message(*state, 0);
    int64_t seen_ns = maildrop_message_first_seen_ns(message);
    struct stat stat;
    attributes_of_message(&owner, message, true, &stat);
    assert_int_equal(stat.st_mtim.tv_sec, seen_ns / 1000000000);
    assert_int_equal(stat.st_mtim.tv_nsec, 0);
    maildrop_message_learn_time(message, 1234567890);
    attributes_of_message(&owner, message, true, &stat);
    assert_int_equal(stat.st_mtim.tv_sec, 1234567890);
    assert_int_equal(stat.st_atim.tv_sec, 1234567890);
    assert_int_equal(stat.st_ctim.tv_sec * 1000000000 + stat.st_ctim.tv_nsec, seen_ns);
}

static void no_two_messages_have_the_same_ctime(void **state)
{
    struct stat first;
    struct stat second;
    attributes_of_message(&owner, fake_sync_message(*state, 0), true, &first);
    attributes_of_message(&owner, fake_sync_message(*state, 1), true, &second);
    assert_true(first.st_ctim.tv_nsec != second.st_ctim.tv_nsec);
}

static void a_removed_message_keeps_its_link_until_it_has_gone(void **state)
{
    struct maildrop_message *message = maildrop_message_ref(fake_sync_message(*state, 0));
    struct stat stat;
    maildrop_message_set_going(message, true);
    attributes_of_message(&owner, message, true, &stat);
    assert_int_equal(stat.st_nlink, 1);
    fake_sync_forget(*state, message);
    attributes_of_message(&owner, message, true, &stat);
    assert_int_equal(stat.st_nlink, 0);
    maildrop_message_unref(message);
}

static void folders_and_virtual_files_have_masked_modes(void **state)
{
    (void)state;
    struct stat stat;
    attributes_of_entry(&owner, tree_find(TREE_ROOT_INO), 0, 1700000000000000007, &stat);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
    assert_int_equal(stat.st_mtim.tv_sec, 1700000000);
    assert_int_equal(stat.st_mtim.tv_nsec, 7);
    const struct tree_entry *control =
        tree_lookup(FS_CONTROL_HIDDEN, TREE_ROOT_INO, SLICE_LITERAL(".popfs"));
    const struct tree_entry *status =
        tree_lookup(FS_CONTROL_HIDDEN, control->ino, SLICE_LITERAL("status"));
    attributes_of_entry(&owner, status, 321, 0, &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0400);
    assert_int_equal(stat.st_size, 321);
    attributes_of_entry(&owner, tree_find(TREE_COMMANDS_INO), 0, 0, &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0200);
    struct attributes_owner reader = {.read_only = true};
    attributes_of_entry(&reader, tree_find(TREE_COMMANDS_INO), 0, 0, &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_is_a_private_file_of_its_owner, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_read_only_mount_has_no_write_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_size_is_never_shown_as_0, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_that_really_is_empty_is_shown_so, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_kernel_may_cache_only_what_is_known_and_believed,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_date_becomes_mtime_and_the_first_sight_ctime, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_two_messages_have_the_same_ctime, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_message_keeps_its_link_until_it_has_gone, set_up,
                                        tear_down),
        cmocka_unit_test(folders_and_virtual_files_have_masked_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
