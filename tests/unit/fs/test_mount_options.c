/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <fuse_log.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect_options(const struct fs_options *options, const char *expected)
{
    CLEANUP_BUFFER struct buffer text = {0};
    assert_true(mount_options_write(options, &text));
    assert_string_equal(text.data, expected);
}

static void the_source_and_the_type_are_what_mount_shows(void **state)
{
    (void)state;
    const struct fs_options options = {.source = "alice@host:995", .mount_options = ""};
    expect_options(&options, "subtype=popfs,fsname=alice@host:995");
}

static void a_comma_in_the_source_cannot_smuggle_an_option_in(void **state)
{
    (void)state;
    const struct fs_options options = {.source = "a,allow_other\\@h", .mount_options = "nodev"};
    expect_options(&options, "subtype=popfs,fsname=a\\,allow_other\\\\@h,nodev");
}

static void whoever_lets_others_in_has_the_kernel_check_permissions(void **state)
{
    (void)state;
    const struct fs_options options = {
        .source = "s", .mount_options = "nosuid", .allow_other = true, .read_only = true};
    expect_options(&options, "subtype=popfs,fsname=s,allow_other,default_permissions,ro,nosuid");
}

static void max_read_is_found_wherever_it_stands(void **state)
{
    (void)state;
    assert_int_equal(mount_options_max_read(""), 0);
    assert_int_equal(mount_options_max_read("max_read=4096"), 4096);
    assert_int_equal(mount_options_max_read("nodev,max_read=65536,noexec"), 65536);
    assert_int_equal(mount_options_max_read("nodev,xmax_read=65536"), 0);
    assert_int_equal(mount_options_max_read("max_read=lots"), 0);
}

static void expect_fault(const char *mountpoint, const char *expected)
{
    struct failure failure = {0};
    assert_int_equal(mount_point_check(mountpoint, &failure), FAULT_DISK);
    assert_int_equal(failure.fault, FAULT_DISK);
    assert_string_equal(failure.text, expected);
}

static void a_folder_is_a_mount_point(void **state)
{
    (void)state;
    assert_int_equal(mount_point_check("/", NULL), FAULT_NONE);
    assert_int_equal(mount_point_check("/dev/fd/7", NULL), FAULT_NONE);
}

static void a_bad_mount_point_is_refused_in_one_line_that_helps(void **state)
{
    (void)state;
    expect_fault("/popfs-nonexistent/x",
                 "/popfs-nonexistent/x does not exist; run 'mkdir /popfs-nonexistent/x' first");
    expect_fault("/dev/null", "/dev/null is not a directory");
    expect_fault("/dev/null/x", "cannot mount on /dev/null/x: Not a directory");
}

static void others_may_come_in_only_where_the_kernel_checks_modes(void **state)
{
    (void)state;
    static const struct mount_identity own = {.id = 42, .device = "0:39"};
    static const struct {
        const char *row;
        bool of_own, of_any, wanted_of_own; /* whether that is guarded */
    } cases[] = {
        {"42 1 0:39 / /m rw - fuse.popfs x rw,user_id=0", true, true, false},
        {"42 1 0:39 / /m rw - fuse.popfs x rw,allow_other", false, false, false},
        {"42 1 0:39 / /m rw - fuse.popfs x rw,default_permissions,allow_other", true, true, true},
        {"42 1 0:39 / /m rw - fuse.popfs x rw,default_permissions", true, true, false},
        /* words that merely look like it, or stand where anybody may write them */
        {"42 1 0:39 / /m rw - fuse.popfs default_permissions rw,allow_other", false, false, false},
        {"42 1 0:39 / /m rw - fuse.popfs x rw,no_default_permissions,allow_other", false, false,
         false},
        {"42 1 0:39 / /default_permissions rw,default_permissions - fuse.popfs x rw,allow_other",
         false, false, false},
        /* of another mount */
        {"43 1 0:40 / /m rw - fuse.popfs x rw,allow_other", true, false, false},
        {"43 1 0:40 / /m rw - fuse.popfs x rw,default_permissions,allow_other", true, true, false},
        {"43 1 0:40 / /m rw - fuse.sshfs x rw,allow_other", true, true, false},
        /* of the same file system, bound elsewhere */
        {"49 1 0:39 / /m rw - fuse.popfs x rw,allow_other", false, false, false},
        {"", true, true, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice table = slice_from_string(cases[i].row);
        assert_int_equal(mount_is_guarded(table, &own, "x", false), cases[i].of_own);
        assert_int_equal(mount_is_guarded(table, NULL, "x", false), cases[i].of_any);
        assert_int_equal(mount_is_guarded(table, &own, "x", true), cases[i].wanted_of_own);
    }
}

static void a_mount_that_is_not_known_is_guarded_by_no_mount_of_another_name(void **state)
{
    (void)state;
    static const struct {
        const char *table;
        bool is_guarded; /* where allow_other is wanted */
    } cases[] = {
        {"42 1 0:39 / /m rw - fuse.popfs x rw,default_permissions,allow_other", true},
        {"42 1 0:39 / /m rw - fuse.popfs popfs rw,default_permissions,allow_other", true},
        {"42 1 0:39 / /m rw - fuse.popfs y rw,default_permissions,allow_other", false},
        {"42 1 0:39 / /m rw - fuse.popfs popfs rw,default_permissions", false},
        {"42 1 0:39 / /m rw - fuse.popfs popfs rw,default_permissions,allow_other\n"
         "43 1 0:40 / /n rw - fuse.popfs popfs rw,allow_other",
         false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(mount_is_guarded(slice_from_string(cases[i].table), NULL, "x", true),
                         cases[i].is_guarded);
}

static void a_message_of_libfuse_in_pieces_becomes_one_line(void **state)
{
    (void)state;
    mount_messages_keep();
    fuse_log(FUSE_LOG_ERR, "unknown option: `%s", "-o ");
    fuse_log(FUSE_LOG_ERR, "%s'\n", "bogus");
    assert_string_equal(mount_messages_kept(), "unknown option: `-o bogus'");
    mount_messages_keep();
    assert_string_equal(mount_messages_kept(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_source_and_the_type_are_what_mount_shows),
        cmocka_unit_test(a_comma_in_the_source_cannot_smuggle_an_option_in),
        cmocka_unit_test(whoever_lets_others_in_has_the_kernel_check_permissions),
        cmocka_unit_test(max_read_is_found_wherever_it_stands),
        cmocka_unit_test(a_folder_is_a_mount_point),
        cmocka_unit_test(a_bad_mount_point_is_refused_in_one_line_that_helps),
        cmocka_unit_test(others_may_come_in_only_where_the_kernel_checks_modes),
        cmocka_unit_test(a_mount_that_is_not_known_is_guarded_by_no_mount_of_another_name),
        cmocka_unit_test(a_message_of_libfuse_in_pieces_becomes_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
