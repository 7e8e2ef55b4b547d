/* SPDX-License-Identifier: MIT */
/* What is not a popfs is not taken for one; tests/ctl has what is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "place.h"

static void another_type_is_no_popfs(void **state)
{
    (void)state;
    struct place place;
    assert_int_equal(place_find("/", &place), ENODEV);
    assert_int_equal(place_find("/proc", &place), ENODEV);
    assert_int_equal(place_find("/proc/self", &place), ENODEV);
    assert_int_equal(place_find("/proc/nonexistent/x", &place), ENOENT);
    assert_int_equal(place_find("/proc/version/x", &place), ENOTDIR);
}

static void a_source_of_another_type_is_no_popfs(void **state)
{
    (void)state;
    struct place place;
    assert_int_equal(place_find_source("proc", &place), ENODEV);
    assert_int_equal(place_find_source("", &place), ENODEV);
}

/* A place made of the mount of /proc, as if that were a popfs. */
static void a_place_is_its_mount_and_not_its_path(void **state)
{
    (void)state;
    CLEANUP_BUFFER struct buffer table = {0};
    CLEANUP_CLOSE int inside = open("/proc/version", O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int outside = open("/", O_RDONLY | O_CLOEXEC);
    struct mount_row row;
    struct place place = {.path = "/proc"};
    assert_int_equal(mounts_find(place.path, &table, &row, NULL), 0);
    place.mount = mounts_row_identity(&row);
    assert_true(place_is_there(&place));
    assert_true(place_has_file(&place, inside));
    assert_false(place_has_file(&place, outside));
    assert_false(place_has_file(&place, -1));
    struct place covered = place;
    covered.mount.id++;
    assert_false(place_is_there(&covered));
    struct place replaced = place;
    snprintf(replaced.mount.device, sizeof(replaced.mount.device), "0:0");
    assert_false(place_is_there(&replaced));
    struct place moved = place;
    snprintf(moved.path, sizeof(moved.path), "/");
    assert_false(place_is_there(&moved));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_type_is_no_popfs),
        cmocka_unit_test(a_source_of_another_type_is_no_popfs),
        cmocka_unit_test(a_place_is_its_mount_and_not_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
