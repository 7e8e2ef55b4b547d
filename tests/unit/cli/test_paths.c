/* SPDX-License-Identifier: MIT */
/* Paths: made absolute, resolved as far as they exist, compared, and the default cache and state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "paths.h"

static void expect_and_free(char *path, const char *wanted)
{
    assert_non_null(path);
    assert_string_equal(path, wanted);
    free(path);
}

static void a_relative_path_gets_the_current_folder_in_front(void **state)
{
    (void)state;
    expect_and_free(path_absolute("/a/../b"), "/a/../b");
    assert_int_equal(chdir("/"), 0);
    expect_and_free(path_absolute("x/y"), "/x/y");
    assert_int_equal(chdir("/usr"), 0);
    expect_and_free(path_absolute("x"), "/usr/x");
}

static void links_are_followed_in_what_exists(void **state)
{
    (void)state;
    char folder[] = "/tmp/popfs-paths-XXXXXX", link[64], below[96], wanted[96];
    assert_non_null(mkdtemp(folder));
    snprintf(link, sizeof(link), "%s/link", folder);
    snprintf(below, sizeof(below), "%s/link/not/there", folder);
    snprintf(wanted, sizeof(wanted), "%s/not/there", folder);
    assert_int_equal(symlink(folder, link), 0);
    expect_and_free(path_resolve(below), wanted);
    expect_and_free(path_resolve(link), folder);
    expect_and_free(path_resolve("/"), "/");
    expect_and_free(path_resolve("/does-not-exist-here/x"), "/does-not-exist-here/x");
    unlink(link);
    rmdir(folder);
}

static void a_path_is_inside_only_at_a_slash(void **state)
{
    (void)state;
    assert_true(path_is_inside("/a/b", "/a"));
    assert_true(path_is_inside("/a", "/a"));
    assert_true(path_is_inside("/a", "/"));
    assert_true(path_is_inside("/a/b", "/a/"));
    assert_false(path_is_inside("/ab", "/a"));
    assert_false(path_is_inside("/a", "/a/b"));
}

static void the_cache_is_where_the_user_keeps_caches(void **state)
{
    (void)state;
    expect_and_free(path_cache_default("/x", "/home/a", NULL, 5), "/x/popfs");
    expect_and_free(path_cache_default("x", "/home/a", NULL, 5), "/home/a/.cache/popfs");
    expect_and_free(path_cache_default(NULL, "/home/a", "/t", 0), "/home/a/.cache/popfs");
}

static void without_a_home_there_is_still_a_cache(void **state)
{
    (void)state;
    expect_and_free(path_cache_default(NULL, NULL, "/t", 0), "/var/cache/popfs");
    expect_and_free(path_cache_default("", "", "/t", 5), "/t/popfs-5");
    expect_and_free(path_cache_default(NULL, NULL, NULL, 5), "/tmp/popfs-5");
}

static void expect_state(const char *xdg, const char *home, uid_t uid, const char *wanted)
{
    char *path = NULL;
    assert_true(path_state_default(xdg, home, uid, &path));
    expect_and_free(path, wanted);
}

static void the_state_is_never_where_temporary_files_are(void **state)
{
    (void)state;
    char *path = NULL;
    expect_state("/x", "/home/a", 5, "/x/popfs");
    expect_state("x", "/home/a", 5, "/home/a/.local/state/popfs");
    expect_state(NULL, "/home/a", 0, "/home/a/.local/state/popfs");
    expect_state("", "", 0, "/var/lib/popfs");
    assert_false(path_state_default(NULL, NULL, 5, &path));
    assert_null(path);
}

static void a_descriptor_is_told_from_a_path(void **state)
{
    (void)state;
    assert_int_equal(path_descriptor("/dev/fd/0"), 0);
    assert_int_equal(path_descriptor("/dev/fd/63"), 63);
    const char *const others[] = {"/dev/fd/",   "/dev/fd/-1",        "/dev/fd/3/x",
                                  "/dev/fd/ 3", "/dev/fdx3",         "/etc/passwd",
                                  "",           "/dev/fd/2147483647"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(path_descriptor(others[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relative_path_gets_the_current_folder_in_front),
        cmocka_unit_test(links_are_followed_in_what_exists),
        cmocka_unit_test(a_path_is_inside_only_at_a_slash),
        cmocka_unit_test(the_cache_is_where_the_user_keeps_caches),
        cmocka_unit_test(without_a_home_there_is_still_a_cache),
        cmocka_unit_test(the_state_is_never_where_temporary_files_are),
        cmocka_unit_test(a_descriptor_is_told_from_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
