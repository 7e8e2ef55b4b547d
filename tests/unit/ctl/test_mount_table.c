/* SPDX-License-Identifier: MIT */
/* Which row of the kernel's table a path belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"

/* The folder of this test, with "mail" and "mail/cur" and "my mail" in it. */
static char folder[] = "/tmp/popfs-place-XXXXXX", table[64];

/* "@" stands for the folder. */
static void write_table(const char *rows)
{
    FILE *file = fopen(table, "we");
    assert_non_null(file);
    fprintf(file, "/dev/vda / ext4 rw 0 0\n");
    for (; *rows != '\0'; rows++)
        if (*rows == '@')
            fputs(folder, file);
        else
            fputc(*rows, file);
    assert_int_equal(fclose(file), 0);
}

static const char *below(const char *name)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void a_mount_is_found_from_itself_and_from_below(void **state)
{
    struct place place;
    (void)state;
    write_table("pops://a @/mail fuse.popfs rw,nosuid,user_id=1000,group_id=100 0 0\n");
    assert_int_equal(place_find(table, below("mail"), &place), 0);
    assert_string_equal(place.path, below("mail"));
    assert_true(place.is_root);
    assert_int_equal(place.owner, 1000);
    assert_int_equal(place.group, 100);
    assert_int_equal(place_find(table, below("mail/cur"), &place), 0);
    assert_string_equal(place.path, below("mail"));
    assert_false(place.is_root);
}

static void elsewhere_is_no_popfs(void **state)
{
    struct place place;
    (void)state;
    write_table("pops://a @/mail fuse.popfs rw 0 0\n");
    assert_int_equal(place_find(table, folder, &place), ENODEV);
    assert_int_equal(place_find(table, below("mail2"), &place), ENODEV);
    assert_int_equal(place_find(table, below("nowhere"), &place), ENOENT);
}

static void another_type_is_no_popfs(void **state)
{
    struct place place;
    (void)state;
    write_table("host:/ @/mail fuse.sshfs rw 0 0\n");
    assert_int_equal(place_find(table, below("mail"), &place), ENODEV);
}

static void the_last_and_innermost_row_counts(void **state)
{
    struct place place;
    (void)state;
    write_table("pops://a @/mail fuse.popfs rw 0 0\ntmpfs @/mail tmpfs rw 0 0\n");
    assert_int_equal(place_find(table, below("mail"), &place), ENODEV);
    write_table("tmpfs @/mail tmpfs rw 0 0\npops://a @/mail fuse.popfs rw 0 0\n");
    assert_int_equal(place_find(table, below("mail/cur"), &place), 0);
    write_table("tmpfs @/mail/cur tmpfs rw 0 0\npops://a @/mail fuse.popfs rw 0 0\n");
    assert_int_equal(place_find(table, below("mail/cur"), &place), ENODEV);
    assert_int_equal(place_find(table, below("mail"), &place), 0);
}

static void a_blank_is_written_as_octal(void **state)
{
    struct place place;
    (void)state;
    write_table("pops://a @/my\\040mail fuse.popfs rw 0 0\n");
    assert_int_equal(place_find(table, below("my mail"), &place), 0);
    assert_string_equal(place.path, below("my mail"));
}

static void the_source_finds_the_last_mount(void **state)
{
    struct place place;
    (void)state;
    write_table("pops://a @/mail fuse.popfs rw 0 0\npops://a @/mail2 fuse.popfs rw 0 0\n");
    assert_int_equal(place_find_source(table, "pops://a", &place), 0);
    assert_string_equal(place.path, below("mail2"));
    assert_true(place.is_root);
    assert_int_equal(place_find_source(table, "pops://b", &place), ENODEV);
    assert_int_equal(place_find_source(table, "/dev/vda", &place), ENODEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_is_found_from_itself_and_from_below),
        cmocka_unit_test(elsewhere_is_no_popfs),
        cmocka_unit_test(another_type_is_no_popfs),
        cmocka_unit_test(the_last_and_innermost_row_counts),
        cmocka_unit_test(a_blank_is_written_as_octal),
        cmocka_unit_test(the_source_finds_the_last_mount),
    };
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(table, sizeof(table), "%s/table", folder);
    if (mkdir(below("mail"), 0700) != 0 || mkdir(below("mail/cur"), 0700) != 0 ||
        mkdir(below("mail2"), 0700) != 0 || mkdir(below("my mail"), 0700) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(table);
    rmdir(below("mail/cur"));
    rmdir(below("mail"));
    rmdir(below("mail2"));
    rmdir(below("my mail"));
    return rmdir(folder) == 0 ? failed : 1;
}
