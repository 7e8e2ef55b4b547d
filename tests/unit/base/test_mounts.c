/* SPDX-License-Identifier: MIT */
/* The kernel's table of mounts. */
#include "popfs/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void assert_slice(struct slice slice, const char *text)
{
    assert_true(slice_equal(slice, slice_from_string(text)));
}

static void a_row_has_all_its_fields_whatever_tags_and_texts_it_has(void **state)
{
    (void)state;
    static const char *const tags[] = {"", "shared:7 ", "shared:1 master:2 unbindable "};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        CLEANUP_BUFFER struct buffer text = {0};
        struct mount_row row;
        assert_true(buffer_printf(&text, "41 22 0:38 /sub /a\\040b rw,nodev %s- fuse.popfs x rw,a",
                                  tags[i]));
        struct slice table = buffer_slice(&text);
        assert_true(mounts_take_row(&table, &row));
        assert_int_equal(row.id, 41);
        assert_int_equal(row.parent_id, 22);
        assert_slice(row.device, "0:38");
        assert_slice(row.root, "/sub");
        assert_slice(row.mountpoint, "/a\\040b");
        assert_slice(row.flags, "rw,nodev");
        assert_slice(row.type, "fuse.popfs");
        assert_slice(row.source, "x");
        assert_slice(row.options, "rw,a");
        assert_true(mounts_row_is_popfs(&row));
        assert_false(mounts_take_row(&table, &row));
    }
}

static void an_empty_source_shifts_nothing(void **state)
{
    (void)state;
    struct mount_row row;
    struct slice table = SLICE_LITERAL("41 22 0:38 / /a rw - tmpfs  rw,size=4k\n");
    assert_true(mounts_take_row(&table, &row));
    assert_slice(row.source, "");
    assert_slice(row.options, "rw,size=4k");
}

static void a_line_that_is_no_row_is_left_out(void **state)
{
    (void)state;
    struct slice table = SLICE_LITERAL("\n\n42\n42 22 0:39 / /mnt\n42 22 0:39 / /mnt rw -\n"
                                       "x 22 0:39 / /mnt rw - fuse.popfs x rw\n"
                                       "42 22 123456789012:123456789012 / /mnt rw - ext4 x rw\n"
                                       "42 22 0:39 / /mnt rw - fuse.popfs x\n"
                                       "43 22 0:40 / /mnt rw - fuse.popfs x rw");
    struct mount_row row;
    assert_true(mounts_take_row(&table, &row));
    assert_int_equal(row.id, 43);
    assert_false(mounts_take_row(&table, &row));
}

static void a_mount_is_found_by_both_of_its_numbers(void **state)
{
    (void)state;
    struct slice table = SLICE_LITERAL("41 1 0:38 / /a rw - fuse.popfs a rw\n"
                                       "42 41 0:39 / /a rw - fuse.popfs b rw\n");
    struct mount_row row;
    struct slice rows = table;
    assert_true(mounts_take_row(&rows, &row));
    struct mount_identity lower = mounts_row_identity(&row), reused = lower, bound = lower;
    assert_int_equal(lower.id, 41);
    assert_string_equal(lower.device, "0:38");
    reused.id = 42;
    bound.id = 43;
    assert_true(mounts_find_row(table, &lower, &row));
    assert_slice(row.source, "a");
    assert_false(mounts_find_row(table, &reused, &row));
    assert_false(mounts_find_row(table, &bound, &row));
}

/* The kernel gives the numbers of a mount that has gone to the next one. */
static void a_mount_with_both_numbers_of_another_is_not_taken_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        bool same_mount, same_file_system;
    } cases[] = {
        {"41 1 0:38 / /elsewhere ro shared:1 - fuse.popfs a@host ro\n", true, true},
        {"42 1 0:38 / /bound rw - fuse.popfs a@host rw\n", false, true},
        {"41 1 0:38 / /a rw - tmpfs a@host rw\n", false, false},
        {"41 1 0:38 / /a rw - fuse.sshfs a@host rw\n", false, false},
        {"41 1 0:38 / /a rw - fuse.popfs b@host rw\n", false, false},
        {"41 1 0:38 / /a rw - fuse.popfs  rw\n", false, false},
        {"41 1 0:39 / /a rw - fuse.popfs a@host rw\n", false, false},
    };
    struct slice table = SLICE_LITERAL("41 1 0:38 / /a rw - fuse.popfs a@host rw\n");
    struct mount_row row;
    assert_true(mounts_take_row(&table, &row));
    struct mount_identity own = mounts_row_identity(&row);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice later = slice_from_string(cases[i].row);
        assert_int_equal(mounts_find_row(later, &own, &row), cases[i].same_mount);
        assert_true(mounts_take_row(&later, &row));
        assert_int_equal(mounts_row_is_same_popfs(&row, &own), cases[i].same_file_system);
    }
}

/* Before Linux 6.8 there is none. */
static void a_unique_number_is_that_of_the_mount(void **state)
{
    (void)state;
    uint64_t of_folder = 0, of_file = 0, of_other = 0;
    int folder = open("/proc", O_PATH), file = open("/proc/self/status", O_PATH),
        other = open("/", O_PATH);
    int error = mounts_unique_id_of(folder, &of_folder);
    assert_true(error == 0 || error == ENOSYS);
    assert_int_equal(mounts_unique_id_of(file, &of_file), error);
    assert_int_equal(mounts_unique_id_of(other, &of_other), error);
    assert_int_equal(of_folder, of_file);
    assert_true(error != 0 || of_folder != of_other);
    assert_int_equal(mounts_unique_id_of(-1, &of_file), EBADF);
    close(folder);
    close(file);
    close(other);
}

static void options_are_whole_words(void **state)
{
    (void)state;
    assert_true(mounts_options_have(SLICE_LITERAL("rw,ro"), "ro"));
    assert_true(mounts_options_have(SLICE_LITERAL("ro"), "ro"));
    assert_false(mounts_options_have(SLICE_LITERAL("rw,root,erro=ro"), "ro"));
    assert_false(mounts_options_have(SLICE_LITERAL(""), "ro"));
}

static void a_path_is_what_it_was_before_the_kernel_escaped_it(void **state)
{
    (void)state;
    static const struct {
        const char *escaped, *plain;
    } cases[] = {{"/a", "/a"},
                 {"/a\\040b", "/a b"},
                 {"/a\\011\\012b", "/a\t\nb"},
                 {"/a\\134040", "/a\\040"},
                 {"/a\\043\303\244", "/a#\303\244"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP_BUFFER struct buffer plain = {0};
        struct slice escaped = slice_from_string(cases[i].escaped);
        assert_true(mounts_text_append(escaped, &plain));
        assert_string_equal(plain.data, cases[i].plain);
        assert_true(mounts_text_is(escaped, cases[i].plain));
        assert_false(mounts_text_is(escaped, ""));
        assert_false(mounts_text_is(SLICE_LITERAL("/a\\04"), "/a "));
    }
}

static void the_table_is_read_whole_and_from_its_start(void **state)
{
    (void)state;
    enum { LEN = 40000 };
    CLEANUP_CLOSE int file = memfd_create("table", MFD_CLOEXEC);
    CLEANUP_BUFFER struct buffer table = {0};
    char *text = malloc(LEN);
    assert_non_null(text);
    memset(text, 'x', LEN);
    assert_int_equal(write(file, text, LEN), LEN);
    for (int i = 0; i < 2; i++)
        assert_true(mounts_read(file, &table));
    assert_int_equal(table.len, 2 * LEN);
    assert_false(mounts_read(-1, &table));
    free(text);
}

static void a_path_belongs_to_the_mount_that_it_is_in(void **state)
{
    (void)state;
    CLEANUP_BUFFER struct buffer table = {0};
    CLEANUP_BUFFER struct buffer other = {0};
    struct mount_row row, of_file;
    uint64_t id, unique_id, unique_id_of_file = 0;
    assert_int_equal(mounts_find("/proc", &table, &row, &unique_id), 0);
    assert_slice(row.type, "proc");
    assert_int_equal(mounts_find("/proc/self/status", &other, &of_file, NULL), 0);
    assert_int_equal(of_file.id, row.id);
    CLEANUP_CLOSE int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    assert_int_equal(mounts_id_of(file, &id), 0);
    assert_int_equal(id, row.id);
    (void)mounts_unique_id_of(file, &unique_id_of_file); /* ENOSYS leaves it 0 */
    assert_int_equal(unique_id, unique_id_of_file);
    assert_int_equal(mounts_find("/proc/nonexistent", &other, &row, NULL), ENOENT);
    assert_int_equal(mounts_id_of(-1, &id), EBADF);
}

/* With room for one descriptor, which the table takes. */
static void finding_a_mount_holds_no_file_in_it(void **state)
{
    (void)state;
    CLEANUP_BUFFER struct buffer table = {0};
    struct mount_row row;
    struct rlimit limit, one_more;
    int lowest = open("/", O_PATH | O_CLOEXEC);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    one_more = (struct rlimit){.rlim_cur = (rlim_t)lowest + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one_more), 0);
    int error = mounts_find("/proc", &table, &row, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(error, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_has_all_its_fields_whatever_tags_and_texts_it_has),
        cmocka_unit_test(an_empty_source_shifts_nothing),
        cmocka_unit_test(a_line_that_is_no_row_is_left_out),
        cmocka_unit_test(a_mount_is_found_by_both_of_its_numbers),
        cmocka_unit_test(a_mount_with_both_numbers_of_another_is_not_taken_for_it),
        cmocka_unit_test(a_unique_number_is_that_of_the_mount),
        cmocka_unit_test(options_are_whole_words),
        cmocka_unit_test(a_path_is_what_it_was_before_the_kernel_escaped_it),
        cmocka_unit_test(the_table_is_read_whole_and_from_its_start),
        cmocka_unit_test(a_path_belongs_to_the_mount_that_it_is_in),
        cmocka_unit_test(finding_a_mount_holds_no_file_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
