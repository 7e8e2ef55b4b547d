/* SPDX-License-Identifier: MIT */
#include "mountwatch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct slice table = SLICE_LITERAL(
    "22 1 254:1 / / rw,relatime - ext4 /dev/root rw\n"
    "41 22 0:38 / /home/a/my\\040mail rw,nosuid,nodev shared:7 - fuse.popfs a@host:995 rw\n"
    "42 22 0:39 / /mnt rw - fuse.popfs b@host:995 rw\n"
    "43 22 0:40 / /mnt rw shared:1 master:2 - fuse.popfs c@host:995 rw\n"
    "44 22 0:41 / /mnt/x\\134y rw - fuse.popfs d@host:995 rw\n"
    "45 22 0:42 / /ssh rw - fuse.sshfs popfs rw\n");

static void expect_found(const char *mountpoint, const char *device)
{
    char found[MOUNTWATCH_DEVICE_OCTETS] = "";
    assert_true(mountwatch_find(table, mountpoint, found));
    assert_string_equal(found, device);
}

static void expect_absent(struct slice mountinfo, const char *mountpoint)
{
    char found[MOUNTWATCH_DEVICE_OCTETS] = "untouched";
    assert_false(mountwatch_find(mountinfo, mountpoint, found));
    assert_string_equal(found, "untouched");
}

static void a_mount_is_found_by_its_path_whatever_bytes_it_has(void **state)
{
    (void)state;
    expect_found("/home/a/my mail", "0:38");
    expect_found("/mnt/x\\y", "0:41");
    expect_absent(table, "/home/a/my");
    expect_absent(table, "/home/a/my mail/");
    expect_absent(table, "/home/a/my\\040mail");
    expect_absent(table, "/dev/fd/7");
}

static void of_several_on_one_place_the_last_is_meant(void **state)
{
    (void)state;
    expect_found("/mnt", "0:40");
}

static void only_our_own_type_counts(void **state)
{
    (void)state;
    expect_absent(table, "/ssh");
    expect_absent(table, "/");
}

static void lines_that_are_cut_short_are_no_mounts(void **state)
{
    (void)state;
    expect_absent(SLICE_LITERAL(""), "/mnt");
    expect_absent(SLICE_LITERAL("\n\n42\n42 22\n42 22 0:39 / /mnt\n"), "/mnt");
    expect_absent(SLICE_LITERAL("42 22 0:39 / /mnt rw -"), "/mnt");
    expect_absent(SLICE_LITERAL("42 22 0:39 / /mnt\\04 rw - fuse.popfs x rw"), "/mnt ");
    expect_absent(SLICE_LITERAL("42 22 1234567890123:1234567890123 / /mnt rw - fuse.popfs x rw"),
                  "/mnt");
}

static void a_device_is_held_as_long_as_any_mount_has_it(void **state)
{
    (void)state;
    uint64_t place;
    assert_true(mountwatch_place(table, "0:38", &place));
    assert_true(mountwatch_holds(table, "0:38", place));
    assert_false(mountwatch_holds(SLICE_LITERAL(""), "0:38", place));
    assert_true(mountwatch_place(table, "254:1", &place));
    assert_false(mountwatch_place(table, "0:3", &place));
    assert_false(mountwatch_place(table, "0:380", &place));
    /* The device went to another mount as soon as this one was gone. */
    assert_false(mountwatch_holds(table, "0:38", place));
}

static void the_number_of_a_connection_is_a_device(void **state)
{
    (void)state;
    char device[MOUNTWATCH_DEVICE_OCTETS];
    assert_true(mountwatch_connection(
        SLICE_LITERAL("pos:\t0\nflags:\t02100002\nfuse_connection:\t38\n"), device));
    assert_string_equal(device, "0:38");
    assert_true(mountwatch_connection(SLICE_LITERAL("fuse_connection:\t8388609"), device));
    assert_string_equal(device, "8:1");
    assert_false(mountwatch_connection(SLICE_LITERAL("pos:\t0\nflags:\t02\nino:\t89\n"), device));
    assert_false(mountwatch_connection(SLICE_LITERAL("fuse_connection:\tx\n"), device));
}

static struct mountwatch watch_of(int *ret_descriptor)
{
    struct mountwatch watch;
    *ret_descriptor = memfd_create("mountinfo", MFD_CLOEXEC);
    assert_int_equal(write(*ret_descriptor, table.data, table.len), (ssize_t)table.len);
    mountwatch_start_at(&watch, *ret_descriptor, "0:38");
    return watch;
}

static void what_vanishes_is_unmounted_and_after_a_while_lazily(void **state)
{
    (void)state;
    int descriptor;
    struct mountwatch watch = watch_of(&descriptor);
    mountwatch_read(&watch);
    assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_MOUNTED);
    assert_int_equal(mountwatch_left_ms(&watch), -1);
    assert_int_equal(ftruncate(descriptor, 48), 0);
    mountwatch_read(&watch);
    assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_UNMOUNTED);
    assert_in_range(mountwatch_left_ms(&watch), 1, MOUNTWATCH_PLAIN_MS);
    watch.unmounted_at_ms -= MOUNTWATCH_PLAIN_MS;
    assert_int_equal(mountwatch_left_ms(&watch), 0);
    mountwatch_be_lazy(&watch);
    mountwatch_read(&watch);
    assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_UNMOUNTED_LAZILY);
    assert_int_equal(mountwatch_left_ms(&watch), -1);
    mountwatch_done(&watch);
    assert_int_equal(fcntl(descriptor, F_GETFD), -1);
}

static void a_table_that_cannot_be_read_says_nothing(void **state)
{
    (void)state;
    int descriptor;
    struct mountwatch watch = watch_of(&descriptor);
    close(descriptor);
    mountwatch_read(&watch);
    assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_MOUNTED);
}

static void a_mount_that_is_in_no_table_is_not_watched(void **state)
{
    (void)state;
    struct mountwatch watch;
    mountwatch_start(&watch, -1, "/dev/fd/7");
    assert_int_equal(watch.descriptor, -1);
    mountwatch_read(&watch);
    assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_NOTHING_KNOWN);
    assert_int_equal(mountwatch_left_ms(&watch), -1);
    mountwatch_done(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_is_found_by_its_path_whatever_bytes_it_has),
        cmocka_unit_test(of_several_on_one_place_the_last_is_meant),
        cmocka_unit_test(only_our_own_type_counts),
        cmocka_unit_test(lines_that_are_cut_short_are_no_mounts),
        cmocka_unit_test(a_device_is_held_as_long_as_any_mount_has_it),
        cmocka_unit_test(the_number_of_a_connection_is_a_device),
        cmocka_unit_test(what_vanishes_is_unmounted_and_after_a_while_lazily),
        cmocka_unit_test(a_table_that_cannot_be_read_says_nothing),
        cmocka_unit_test(a_mount_that_is_in_no_table_is_not_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
