/* SPDX-License-Identifier: MIT */
#include "inode.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>
#include <sys/stat.h>

static const struct tree_entry *lookup(uint64_t parent, const char *name)
{
    return tree_lookup(FS_CONTROL_HIDDEN, parent, slice_from_string(name));
}

static void the_root_is_inode_1_and_lists_messages(void **state)
{
    (void)state;
    const struct tree_entry *root = tree_find(TREE_ROOT_INO);
    assert_non_null(root);
    assert_int_equal(root->parent, TREE_ROOT_INO);
    assert_int_equal(root->listing, TREE_LISTS_MESSAGES);
}

static void the_folder_of_popfs_is_found_and_listed_as_the_user_wishes(void **state)
{
    (void)state;
    const struct slice name = SLICE_LITERAL(".popfs");
    const struct tree_entry *folder = tree_find(TREE_FOLDER_INO);
    assert_true(S_ISDIR(folder->mode));
    assert_ptr_equal(tree_lookup(FS_CONTROL_HIDDEN, TREE_ROOT_INO, name), folder);
    assert_null(tree_listed_after(FS_CONTROL_HIDDEN, TREE_ROOT_INO, 0));
    assert_ptr_equal(tree_lookup(FS_CONTROL_VISIBLE, TREE_ROOT_INO, name), folder);
    assert_ptr_equal(tree_listed_after(FS_CONTROL_VISIBLE, TREE_ROOT_INO, 0), folder);
    assert_null(tree_listed_after(FS_CONTROL_VISIBLE, TREE_ROOT_INO, folder->ino));
    assert_null(tree_lookup(FS_CONTROL_OFF, TREE_ROOT_INO, name));
    assert_null(tree_listed_after(FS_CONTROL_OFF, TREE_ROOT_INO, 0));
}

static void the_folder_of_popfs_lists_what_it_holds_one_after_the_other(void **state)
{
    (void)state;
    static const char *const names[] = {"trash", "control", "status", "status.json"};
    uint64_t ino = 0;
    for (size_t i = 0; i < 4; i++) {
        const struct tree_entry *entry = tree_listed_after(FS_CONTROL_HIDDEN, TREE_FOLDER_INO, ino);
        assert_string_equal(entry->name, names[i]);
        ino = entry->ino;
    }
    assert_null(tree_listed_after(FS_CONTROL_HIDDEN, TREE_FOLDER_INO, ino));
}

static void a_name_counts_only_in_its_own_folder_and_whole(void **state)
{
    (void)state;
    uint64_t control = lookup(TREE_ROOT_INO, ".popfs")->ino;
    assert_non_null(lookup(control, "status"));
    assert_null(lookup(TREE_ROOT_INO, "status"));
    assert_null(lookup(control, ".popfs"));
    assert_null(lookup(control, "stat"));
    assert_null(lookup(control, "status.json2"));
    assert_null(lookup(TREE_ROOT_INO, ""));
}

/* Rows that are added later must keep what the inode numbers and the folders promise. */
static void every_row_is_consistent(void **state)
{
    (void)state;
    for (uint64_t ino = 1; ino <= INODE_MESSAGE_FIRST; ino++) {
        const struct tree_entry *entry = tree_find(ino);
        if (entry == NULL)
            continue;
        assert_false(inode_is_message(ino));
        assert_true(S_ISDIR(tree_find(entry->parent)->mode));
        assert_int_equal((entry->mode & 0444) != 0 && S_ISREG(entry->mode), entry->render != NULL);
        assert_int_equal(S_ISDIR(entry->mode), entry->listing != TREE_LISTS_NOTHING);
        if (ino != TREE_ROOT_INO)
            assert_ptr_equal(lookup(entry->parent, entry->name), entry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_is_inode_1_and_lists_messages),
        cmocka_unit_test(the_folder_of_popfs_is_found_and_listed_as_the_user_wishes),
        cmocka_unit_test(the_folder_of_popfs_lists_what_it_holds_one_after_the_other),
        cmocka_unit_test(a_name_counts_only_in_its_own_folder_and_whole),
        cmocka_unit_test(every_row_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
