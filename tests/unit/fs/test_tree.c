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
    return tree_lookup(parent, slice_from_string(name));
}

static void the_root_is_inode_1_and_lists_messages(void **state)
{
    (void)state;
    const struct tree_entry *root = tree_find(TREE_ROOT_INO);
    assert_non_null(root);
    assert_int_equal(root->parent, TREE_ROOT_INO);
    assert_int_equal(root->listing, TREE_LISTS_MESSAGES);
}

static void the_control_folder_is_found_but_not_listed(void **state)
{
    (void)state;
    const struct tree_entry *control = lookup(TREE_ROOT_INO, ".popfs");
    assert_non_null(control);
    assert_true(S_ISDIR(control->mode));
    assert_null(tree_listed_after(TREE_ROOT_INO, 0));
}

static void the_control_folder_lists_its_files_one_after_the_other(void **state)
{
    (void)state;
    uint64_t parent = lookup(TREE_ROOT_INO, ".popfs")->ino;
    const struct tree_entry *first = tree_listed_after(parent, 0);
    assert_string_equal(first->name, "status");
    const struct tree_entry *second = tree_listed_after(parent, first->ino);
    assert_string_equal(second->name, "status.json");
    assert_null(tree_listed_after(parent, second->ino));
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
        assert_int_equal(S_ISDIR(entry->mode), entry->render == NULL);
        assert_int_equal(S_ISDIR(entry->mode), entry->listing != TREE_LISTS_NOTHING);
        if (ino != TREE_ROOT_INO)
            assert_ptr_equal(lookup(entry->parent, entry->name), entry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_is_inode_1_and_lists_messages),
        cmocka_unit_test(the_control_folder_is_found_but_not_listed),
        cmocka_unit_test(the_control_folder_lists_its_files_one_after_the_other),
        cmocka_unit_test(a_name_counts_only_in_its_own_folder_and_whole),
        cmocka_unit_test(every_row_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
