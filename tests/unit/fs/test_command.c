/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

static struct command parsed(struct slice line)
{
    struct command command = {.verb = COMMAND_COMMIT};
    assert_true(command_parse(line, &command));
    return command;
}

static void expect_refused(struct slice line)
{
    struct command command;
    assert_false(command_parse(line, &command));
}

static void a_word_is_a_command_with_or_without_a_line_end(void **state)
{
    (void)state;
    assert_int_equal(parsed(SLICE_LITERAL("commit")).verb, COMMAND_COMMIT);
    assert_int_equal(parsed(SLICE_LITERAL("refresh\n")).verb, COMMAND_REFRESH);
    assert_int_equal(parsed(SLICE_LITERAL(" rollback \n")).verb, COMMAND_ROLLBACK);
    assert_int_equal(parsed(SLICE_LITERAL("prefetch\n")).verb, COMMAND_PREFETCH);
    assert_int_equal(parsed(SLICE_LITERAL("keep\n")).verb, COMMAND_KEEP);
    assert_int_equal(parsed(SLICE_LITERAL("prefetch\n")).name.len, 0);
}

static void a_name_is_the_rest_of_the_line(void **state)
{
    (void)state;
    struct command command = parsed(SLICE_LITERAL("undelete a b%2F.eml\n"));
    assert_int_equal(command.verb, COMMAND_UNDELETE);
    assert_true(slice_equal(command.name, SLICE_LITERAL("a b%2F.eml")));
    command = parsed(SLICE_LITERAL("prefetch\tx.eml"));
    assert_int_equal(command.verb, COMMAND_PREFETCH);
    assert_true(slice_equal(command.name, SLICE_LITERAL("x.eml")));
}

static void what_is_not_one_known_line_is_refused(void **state)
{
    (void)state;
    expect_refused(SLICE_LITERAL(""));
    expect_refused(SLICE_LITERAL("\n"));
    expect_refused(SLICE_LITERAL("commi"));
    expect_refused(SLICE_LITERAL("commits"));
    expect_refused(SLICE_LITERAL("COMMIT"));
    expect_refused(SLICE_LITERAL("commit\ncommit\n"));
    expect_refused(SLICE_LITERAL("commit\n\n"));
    expect_refused(SLICE_LITERAL("undelete a\0b"));
    expect_refused(SLICE_LITERAL("undelete"));
    expect_refused(SLICE_LITERAL("undelete \n"));
    expect_refused(SLICE_LITERAL("commit now"));
    expect_refused(SLICE_LITERAL("refresh x.eml"));
    expect_refused(SLICE_LITERAL("rollback x.eml"));
}

static void a_line_of_more_than_a_page_is_refused(void **state)
{
    (void)state;
    static char line[COMMAND_OCTETS_MAX + 1];
    memset(line, 'x', sizeof(line));
    memcpy(line, "prefetch ", 9);
    assert_int_equal(parsed((struct slice){line, COMMAND_OCTETS_MAX}).name.len,
                     COMMAND_OCTETS_MAX - 9);
    expect_refused((struct slice){line, COMMAND_OCTETS_MAX + 1});
}

static void what_a_read_only_mount_refuses_is_about_removal(void **state)
{
    (void)state;
    assert_true(command_is_about_removal(COMMAND_COMMIT));
    assert_true(command_is_about_removal(COMMAND_ROLLBACK));
    assert_true(command_is_about_removal(COMMAND_UNDELETE));
    assert_true(command_is_about_removal(COMMAND_KEEP));
    assert_false(command_is_about_removal(COMMAND_REFRESH));
    assert_false(command_is_about_removal(COMMAND_PREFETCH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_a_command_with_or_without_a_line_end),
        cmocka_unit_test(a_name_is_the_rest_of_the_line),
        cmocka_unit_test(what_is_not_one_known_line_is_refused),
        cmocka_unit_test(a_line_of_more_than_a_page_is_refused),
        cmocka_unit_test(what_a_read_only_mount_refuses_is_about_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
