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
    "45 22 0:42 / /ssh rw - fuse.sshfs popfs rw\n"
    "46 22 0:43 / /srv/shared/mail rw shared:9 - fuse.popfs e@host:995 rw\n"
    "47 22 0:43 / /shared/mail rw shared:9 - fuse.popfs e@host:995 rw\n"
    "48 22 0:43 / /bound rw - fuse.popfs e@host:995 rw\n");

/* Of the first popfs in it. */
static struct mount_identity first_identity(void)
{
    struct slice rows = table;
    struct mount_row row;
    while (mounts_take_row(&rows, &row))
        if (row.id == 41)
            return mounts_row_identity(&row);
    fail();
    return (struct mount_identity){0};
}

static void expect(const char *device, const char *mountpoint, uint64_t id, const char *found)
{
    struct mount_identity identity;
    assert_true(mountwatch_find(table, device, mountpoint, "a@host:995", &identity));
    assert_int_equal(identity.id, id);
    assert_string_equal(identity.device, found);
}

static void expect_absent(const char *device, const char *mountpoint)
{
    struct mount_identity identity = {.id = 7, .device = "untouched"};
    assert_false(mountwatch_find(table, device, mountpoint, "a@host:995", &identity));
    assert_string_equal(identity.device, "untouched");
}

static void a_mount_is_found_by_its_path_whatever_bytes_it_has(void **state)
{
    (void)state;
    expect(NULL, "/home/a/my mail", 41, "0:38");
    expect(NULL, "/mnt/x\\y", 44, "0:41");
    expect_absent(NULL, "/home/a/my");
    expect_absent(NULL, "/home/a/my mail/");
    expect_absent(NULL, "/home/a/my\\040mail");
}

static void of_several_on_one_place_the_last_is_meant(void **state)
{
    (void)state;
    expect(NULL, "/mnt", 43, "0:40");
}

static void only_our_own_type_counts(void **state)
{
    (void)state;
    expect_absent(NULL, "/ssh");
    expect_absent(NULL, "/");
}

static void a_known_file_system_is_found_wherever_it_is(void **state)
{
    (void)state;
    expect("0:39", "/mnt", 42, "0:39");
    expect("0:41", "/dev/fd/7", 44, "0:41");
    expect_absent("0:3", "/mnt");
    expect_absent("0:380", "/home/a/my mail");
}

static void of_several_mounts_of_a_file_system_the_one_on_the_mountpoint_is_meant(void **state)
{
    (void)state;
    expect("0:43", "/shared/mail", 47, "0:43");
    expect("0:43", "/srv/shared/mail", 46, "0:43");
    expect("0:43", "/dev/fd/7", 46, "0:43");
}

#define OTHER "41 22 0:38 / /a rw - fuse.popfs b@host:995 rw\n"
#define HANDED_OVER "42 22 0:39 / /b rw - fuse.popfs popfs rw\n"
#define BOUND "43 22 0:39 / /c rw - fuse.popfs popfs rw\n"
#define NAMED "44 22 0:41 / /d rw - fuse.popfs a@host:995 rw\n"

static void without_a_device_a_mount_of_mount_fuse3_is_found_if_no_other_can_be_it(void **state)
{
    (void)state;
    static const struct {
        const char *table;
        uint64_t id; /* 0: none */
    } cases[] = {
        {"", 0},
        {OTHER, 0},
        {OTHER HANDED_OVER, 42},
        {OTHER NAMED, 44},
        {HANDED_OVER BOUND, 42},
        {HANDED_OVER NAMED, 0},
        {HANDED_OVER BOUND NAMED, 0},
        {"45 22 0:42 / /e rw - fuse.sshfs popfs rw\n" HANDED_OVER, 42},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mount_identity found = {.id = 0};
        bool is_found = mountwatch_find(slice_from_string(cases[i].table), NULL, "/dev/fd/7",
                                        "a@host:995", &found);
        assert_int_equal(found.id, cases[i].id);
        assert_int_equal(is_found, cases[i].id != 0);
    }
}

static void the_number_of_a_connection_is_a_device(void **state)
{
    (void)state;
    char device[MOUNT_DEVICE_OCTETS];
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
    const struct mount_identity first = first_identity();
    *ret_descriptor = memfd_create("mountinfo", MFD_CLOEXEC);
    assert_int_equal(write(*ret_descriptor, table.data, table.len), (ssize_t)table.len);
    mountwatch_start_at(&watch, *ret_descriptor, &first);
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

static void write_row(int descriptor, const char *row)
{
    assert_int_equal(ftruncate(descriptor, 0), 0);
    assert_int_equal(pwrite(descriptor, row, strlen(row), 0), (ssize_t)strlen(row));
}

/* Its folder was renamed, or `mount --move` took it elsewhere. */
static void a_mount_that_is_somewhere_else_now_is_still_mounted(void **state)
{
    (void)state;
    int descriptor;
    struct mountwatch watch = watch_of(&descriptor);
    write_row(descriptor, "41 22 0:38 / /elsewhere rw - fuse.popfs a@host:995 rw\n");
    mountwatch_read(&watch);
    assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_MOUNTED);
    mountwatch_done(&watch);
}

/* Whether of the same file system (another mount of it), or with its numbers given away again. */
static void another_mount_at_the_same_place_is_not_taken_for_the_own(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "49 22 0:38 / /home/a/my\\040mail rw - fuse.popfs a@host:995 rw\n",
        "41 22 0:44 / /home/a/my\\040mail rw - fuse.popfs a@host:995 rw\n",
        "41 22 0:38 / /home/a/my\\040mail rw - tmpfs a@host:995 rw\n",
        "41 22 0:38 / /home/a/my\\040mail rw - fuse.popfs b@host:995 rw\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int descriptor;
        struct mountwatch watch = watch_of(&descriptor);
        write_row(descriptor, rows[i]);
        mountwatch_read(&watch);
        assert_int_equal(mountwatch_state(&watch), MOUNTWATCH_UNMOUNTED);
        mountwatch_done(&watch);
    }
}

static void a_remount_shows_in_the_flags_of_the_mount_or_of_its_file_system(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        bool read_only;
    } cases[] = {
        {"41 22 0:38 / /x ro,nosuid - fuse.popfs a@host:995 rw,user_id=0\n", true},
        {"41 22 0:38 / /x nosuid,rw - fuse.popfs a@host:995 user_id=0,ro\n", true},
        {"41 22 0:38 / /x rw,nosuid - fuse.popfs a@host:995 rw,root,rota=1\n", false},
        {"41 22 0:38 / /ro rw - fuse.popfs a@host:995 rw\n"
         "49 22 0:38 / /y ro - fuse.popfs a@host:995 rw\n",
         false},
    };
    int descriptor;
    struct mountwatch watch = watch_of(&descriptor);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_row(descriptor, cases[i].row);
        mountwatch_read(&watch);
        assert_int_equal(watch.read_only, cases[i].read_only);
    }
    mountwatch_done(&watch);
}

/* Once the own mount has gone, the others tell; once all have gone, it stays as it was. */
static void other_mounts_of_the_file_system_tell_whether_it_is_read_only(void **state)
{
    (void)state;
    static const struct {
        const char *rows;
        size_t mount_count;
        bool read_only;
    } cases[] = {
        {"49 22 0:38 / /y rw - fuse.popfs a@host:995 rw\n", 1, false},
        {"49 22 0:38 / /y rw - fuse.popfs a@host:995 ro\n", 1, true},
        {"49 22 0:38 / /y rw - fuse.popfs a@host:995 rw\n", 1, false},
        {"49 22 0:38 / /y ro - fuse.popfs a@host:995 rw\n", 1, true},
        {"49 22 0:38 / /y ro - fuse.popfs a@host:995 rw\n"
         "50 22 0:38 / /z rw - fuse.popfs a@host:995 rw\n",
         2, false},
        {"49 22 0:38 / /y ro - fuse.popfs a@host:995 rw\n", 1, true},
        {"41 22 0:38 / /y rw - tmpfs a@host:995 rw\n", 0, true},
        {"", 0, true},
    };
    int descriptor;
    struct mountwatch watch = watch_of(&descriptor);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_row(descriptor, cases[i].rows);
        mountwatch_read(&watch);
        assert_int_equal(watch.mount_count, cases[i].mount_count);
        assert_int_equal(watch.read_only, cases[i].read_only);
    }
    mountwatch_done(&watch);
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
    mountwatch_start(&watch, -1, "/dev/fd/7", NULL);
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
        cmocka_unit_test(a_known_file_system_is_found_wherever_it_is),
        cmocka_unit_test(of_several_mounts_of_a_file_system_the_one_on_the_mountpoint_is_meant),
        cmocka_unit_test(a_mount_that_is_somewhere_else_now_is_still_mounted),
        cmocka_unit_test(another_mount_at_the_same_place_is_not_taken_for_the_own),
        cmocka_unit_test(a_remount_shows_in_the_flags_of_the_mount_or_of_its_file_system),
        cmocka_unit_test(without_a_device_a_mount_of_mount_fuse3_is_found_if_no_other_can_be_it),
        cmocka_unit_test(the_number_of_a_connection_is_a_device),
        cmocka_unit_test(what_vanishes_is_unmounted_and_after_a_while_lazily),
        cmocka_unit_test(other_mounts_of_the_file_system_tell_whether_it_is_read_only),
        cmocka_unit_test(a_table_that_cannot_be_read_says_nothing),
        cmocka_unit_test(a_mount_that_is_in_no_table_is_not_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
