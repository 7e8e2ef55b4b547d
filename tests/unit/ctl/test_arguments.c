/* SPDX-License-Identifier: MIT */
/* The command line of popfsctl, and the one that umount(8) gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "arguments.h"

enum { WORDS_MAX = 12 };

/* Splits "a b c" into argv, in place. */
static int split(char *line, char **argv)
{
    int count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        argv[count++] = word;
    argv[count] = NULL;
    return count;
}

static void options_may_stand_anywhere(void **state)
{
    char line[] = "popfsctl umount --json /mnt -q -l", *argv[WORDS_MAX];
    struct arguments arguments;
    struct failure failure;
    (void)state;
    assert_true(arguments_parse(split(line, argv), argv, &arguments, &failure));
    assert_true(arguments.json && arguments.quiet && !arguments.help && !arguments.version);
    assert_int_equal(arguments.how, UMOUNT_LAZY);
    assert_int_equal(arguments.operand_count, 2);
    assert_string_equal(arguments.operands[0], "umount");
    assert_string_equal(arguments.operands[1], "/mnt");
}

static void what_umount_passes_is_taken(void **state)
{
    char line[] = "umount.fuse.popfs /mnt -n -f -v -r -N /proc/1/ns/mnt -t fuse.popfs";
    char *argv[WORDS_MAX];
    struct arguments arguments;
    struct failure failure;
    (void)state;
    assert_true(arguments_parse_helper(split(line, argv), argv, &arguments, &failure));
    assert_int_equal(arguments.how, UMOUNT_FORCE);
    assert_string_equal(arguments.namespace, "/proc/1/ns/mnt");
    assert_int_equal(arguments.operand_count, 1);
    assert_string_equal(arguments.operands[0], "/mnt");
}

static void expect_refused(const char *text, const char *named)
{
    char line[80], *argv[WORDS_MAX];
    struct arguments arguments;
    struct failure failure = {0};
    memcpy(line, text, strlen(text) + 1);
    assert_false(arguments_parse(split(line, argv), argv, &arguments, &failure));
    assert_non_null(strstr(failure.text, named));
}

static void what_is_unknown_is_named(void **state)
{
    (void)state;
    expect_refused("popfsctl -x", "'-x'");
    expect_refused("popfsctl commit --jsn /mnt", "'--jsn'");
    expect_refused("popfsctl --json=yes", "'--json=yes'");
    expect_refused("popfsctl -n /mnt", "'-n'"); /* of umount(8) alone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(what_umount_passes_is_taken),
        cmocka_unit_test(what_is_unknown_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
