/* SPDX-License-Identifier: MIT */
/* The row of a mount in a table that is not the machine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "utab.h"

static const char *content(char *text, size_t capacity)
{
    FILE *table = fopen(getenv("LIBMOUNT_UTAB"), "re");
    size_t got = table == NULL ? 0 : fread(text, 1, capacity - 1, table);
    text[got] = '\0';
    if (table != NULL)
        fclose(table);
    return text;
}

static void a_mount_is_written_down_and_struck_out(void **state)
{
    char text[1000];
    (void)state;
    assert_true(utab_add("pops://a@example.org", "/mnt/with blank"));
    assert_true(utab_add("pops://b@example.org", "/mnt/b"));
    content(text, sizeof(text));
    assert_non_null(strstr(text, "SRC=pops://a@example.org TARGET=/mnt/with\\040blank ROOT=/"));
    assert_non_null(strstr(text, "TARGET=/mnt/b ROOT=/ OPTS=_netdev,x-popfs"));
    assert_true(utab_remove("/mnt/with blank"));
    content(text, sizeof(text));
    assert_null(strstr(text, "blank"));
    assert_non_null(strstr(text, "/mnt/b"));
    assert_true(utab_remove("/mnt/b"));
    assert_string_equal(content(text, sizeof(text)), "");
}

static void striking_out_what_is_not_there_does_no_harm(void **state)
{
    char text[1000];
    (void)state;
    assert_true(utab_remove("/mnt/nowhere"));
    assert_string_equal(content(text, sizeof(text)), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_is_written_down_and_struck_out),
        cmocka_unit_test(striking_out_what_is_not_there_does_no_harm),
    };
    char folder[] = "/tmp/popfs-utab-XXXXXX", table[64];
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(table, sizeof(table), "%s/utab", folder);
    FILE *empty = fopen(table, "we");
    if (empty == NULL || fclose(empty) != 0 || setenv("LIBMOUNT_UTAB", table, 1) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[100];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command) == 0 ? failed : 1;
}
