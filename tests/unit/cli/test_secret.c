/* SPDX-License-Identifier: MIT */
/* Passwords: the first line, who may read a file, which source comes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passcmd.h"
#include "secret.h"

struct fixture {
    char folder[64];
    struct secret secret;
    struct failure failure;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->folder, "/tmp/popfs-secret-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    assert_true(secret_init(&fixture->secret));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", fixture->folder);
    assert_int_equal(system(command), 0);
    secret_done(&fixture->secret);
    free(fixture);
    return 0;
}

/* Valid until the next call. */
static const char *path_of(const struct fixture *fixture, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
    return path;
}

static const char *write_file(const struct fixture *fixture, const char *name, const char *text,
                              mode_t mode)
{
    const char *path = path_of(fixture, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static void set_text(struct secret *secret, const char *text, size_t len)
{
    memcpy(secret->text, text, len);
    secret->text[len] = '\0';
    secret->len = len;
}

static void expect_line(struct fixture *fixture, const char *text, size_t len, const char *line)
{
    set_text(&fixture->secret, text, len);
    assert_int_equal(secret_keep_first_line(&fixture->secret, "x", &fixture->failure), FAULT_NONE);
    assert_string_equal(fixture->secret.text, line);
    assert_int_equal(fixture->secret.len, strlen(line));
}

static void expect_line_refused(struct fixture *fixture, const char *text, size_t len,
                                const char *message)
{
    set_text(&fixture->secret, text, len);
    assert_int_equal(secret_keep_first_line(&fixture->secret, "x", &fixture->failure),
                     FAULT_REFUSED);
    assert_string_equal(fixture->failure.text, message);
}

#define TEXT(text) (text), sizeof(text) - 1

static void the_first_line_is_the_password(void **state)
{
    struct fixture *fixture = *state;
    expect_line(fixture, TEXT("tanstaaf"), "tanstaaf");
    expect_line(fixture, TEXT("tanstaaf\n"), "tanstaaf");
    expect_line(fixture, TEXT("tanstaaf\r\n"), "tanstaaf");
    expect_line(fixture, TEXT("tanstaaf\nurl: example.org\n"), "tanstaaf");
    expect_line(fixture, TEXT(" t n%20\xc3\xa9 \n"), " t n%20\xc3\xa9 ");
}

static void what_followed_the_first_line_is_wiped(void **state)
{
    struct fixture *fixture = *state;
    expect_line(fixture, TEXT("one\ntwo"), "one");
    for (size_t i = 3; i < 16; i++)
        assert_int_equal(fixture->secret.text[i], 0);
}

static void a_password_that_pop3_cannot_send_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char odd[] = "x: the password holds a CR or NUL, which POP3 cannot send";
    expect_line_refused(fixture, TEXT("a\rb\n"), odd);
    expect_line_refused(fixture, TEXT("a\r"), odd);
    expect_line_refused(fixture, TEXT("a\r\r\n"), odd);
    expect_line_refused(fixture, TEXT("a\0b\n"), odd);
    expect_line_refused(fixture, TEXT(""), "x: the password is empty");
    expect_line_refused(fixture, TEXT("\nabc"), "x: the password is empty");
    expect_line_refused(fixture, TEXT("\r\n"), "x: the password is empty");
}

static void stdin_is_read_to_the_line_end_and_no_further(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    char rest[16] = {0};
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "one\ntwo", 7), 7);
    assert_int_equal(secret_read(&fixture->secret, ends[0], true, "x", &fixture->failure),
                     FAULT_NONE);
    assert_string_equal(fixture->secret.text, "one\n");
    assert_int_equal(read(ends[0], rest, sizeof(rest)), 3);
    assert_string_equal(rest, "two");
    close(ends[0]);
    close(ends[1]);
}

static void a_source_that_never_ends_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    int zero = open("/dev/zero", O_RDONLY);
    assert_int_equal(secret_read(&fixture->secret, zero, false, "x", &fixture->failure),
                     FAULT_REFUSED);
    assert_string_equal(fixture->failure.text, "x: longer than 64 KiB");
    close(zero);
}

static void a_file_that_others_can_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const mode_t open_modes[] = {0640, 0604, 0620, 0777, 0601};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        const char *path = write_file(fixture, "p", "x\n", open_modes[i]);
        assert_int_equal(secret_read_file(&fixture->secret, path, true, "f", &fixture->failure),
                         FAULT_REFUSED);
        assert_non_null(strstr(fixture->failure.text, "chmod 600"));
    }
    const char *path = write_file(fixture, "p", "x\n", 0400);
    assert_int_equal(secret_read_file(&fixture->secret, path, true, "f", &fixture->failure),
                     FAULT_NONE);
    assert_string_equal(fixture->secret.text, "x\n");
}

static void only_a_regular_file_is_read(void **state)
{
    struct fixture *fixture = *state;
    const char *path = path_of(fixture, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(secret_read_file(&fixture->secret, path, true, "f", &fixture->failure),
                     FAULT_REFUSED);
    assert_int_equal(
        secret_read_file(&fixture->secret, fixture->folder, true, "f", &fixture->failure),
        FAULT_REFUSED);
    assert_non_null(strstr(fixture->failure.text, "not a regular file"));
    assert_int_equal(
        secret_read_file(&fixture->secret, path_of(fixture, "no"), true, "f", &fixture->failure),
        FAULT_GONE);
}

/* ---- passcmd ---- */

static enum fault run(struct fixture *fixture, const char *command)
{
    return passcmd_run(command, 20000, &fixture->secret, &fixture->failure);
}

static void the_output_of_passcmd_is_taken(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "printf 'a b\\nrest\\n'"), FAULT_NONE);
    assert_string_equal(fixture->secret.text, "a b\nrest\n");
    assert_int_equal(run(fixture, "cat"), FAULT_NONE); /* stdin is /dev/null */
    assert_int_equal(fixture->secret.len, 0);
}

static void a_passcmd_that_fails_is_an_error_whatever_it_printed(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "echo x; exit 3"), FAULT_LOGIN);
    assert_string_equal(fixture->failure.text, "passcmd failed with status 3");
    assert_int_equal(run(fixture, "kill -9 $$"), FAULT_LOGIN);
    assert_string_equal(fixture->failure.text, "passcmd was ended by signal 9");
    assert_int_equal(run(fixture, "exec /no/such/program 2>&-"), FAULT_LOGIN);
    assert_string_equal(fixture->failure.text, "passcmd failed with status 127");
}

static void a_passcmd_that_prints_without_end_is_stopped(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "cat /dev/zero"), FAULT_REFUSED);
    assert_string_equal(fixture->failure.text, "passcmd printed more than 64 KiB");
}

static void a_passcmd_that_hangs_is_ended(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(passcmd_run("exec sleep 1000", 20, &fixture->secret, &fixture->failure),
                     FAULT_LOGIN);
    assert_string_equal(fixture->failure.text, "passcmd took too long and was ended");
}

static void what_passcmd_leaves_in_the_background_is_not_waited_for(void **state)
{
    struct fixture *fixture = *state;
    /* The sleeper holds the pipe; it ends itself when the test's folder goes. */
    char command[256];
    snprintf(command, sizeof(command),
             "echo x; while test -d %s; do sleep 0.1; done 2>/dev/null & exit 0", fixture->folder);
    assert_int_equal(run(fixture, command), FAULT_NONE);
    assert_string_equal(fixture->secret.text, "x\n");
}

/* ---- the order ---- */

static struct secret_sources sources_none(void)
{
    return (struct secret_sources){.user = "alice", .host = "h"};
}

static void expect_password(struct fixture *fixture, const struct secret_sources *sources,
                            const char *password)
{
    if (secret_obtain(&fixture->secret, sources, &fixture->failure) != FAULT_NONE)
        fail_msg("%s", fixture->failure.text);
    assert_string_equal(fixture->secret.text, password);
}

static void sources_are_asked_in_order(void **state)
{
    struct fixture *fixture = *state;
    char passfile[128], netrc[128];
    strcpy(netrc, write_file(fixture, "netrc", "machine h login alice password five\n", 0600));
    struct secret_sources sources = sources_none();
    sources.netrc = netrc;
    expect_password(fixture, &sources, "five");

    write_file(fixture, "popfs.alice@h", "four\n", 0440);
    sources.credentials_folder = fixture->folder;
    expect_password(fixture, &sources, "four");

    strcpy(passfile, write_file(fixture, "passfile", "two\n", 0600));
    sources.passfile = passfile;
    expect_password(fixture, &sources, "two");

    sources.passcmd = "echo one";
    expect_password(fixture, &sources, "one");
}

static void a_source_that_fails_is_not_passed_over(void **state)
{
    struct fixture *fixture = *state;
    char passfile[128];
    strcpy(passfile, write_file(fixture, "passfile", "two\n", 0600));
    struct secret_sources sources = sources_none();
    sources.passfile = passfile;
    sources.passcmd = "false";
    assert_int_equal(secret_obtain(&fixture->secret, &sources, &fixture->failure), FAULT_LOGIN);
    sources.passcmd = NULL;
    unlink(passfile);
    assert_int_equal(secret_obtain(&fixture->secret, &sources, &fixture->failure), FAULT_LOGIN);
    assert_non_null(strstr(fixture->failure.text, "No such file"));
}

static void an_open_netrc_is_refused_only_if_it_holds_the_password(void **state)
{
    struct fixture *fixture = *state;
    struct secret_sources sources = sources_none();
    sources.netrc = write_file(fixture, "netrc", "machine h password p\n", 0644);
    assert_int_equal(secret_obtain(&fixture->secret, &sources, &fixture->failure), FAULT_REFUSED);
    assert_non_null(strstr(fixture->failure.text, "chmod 600"));
    sources.netrc = write_file(fixture, "netrc", "machine i password p\n", 0644);
    assert_int_equal(secret_obtain(&fixture->secret, &sources, &fixture->failure), FAULT_REFUSED);
    assert_non_null(strstr(fixture->failure.text, "no password and no terminal"));
}

static void netrc_names_the_user(void **state)
{
    struct fixture *fixture = *state;
    char *login = secret_netrc_login(
        write_file(fixture, "netrc", "machine h login bob password p\n", 0600), "h");
    assert_string_equal(login, "bob");
    free(login);
    assert_null(secret_netrc_login(path_of(fixture, "netrc"), "i"));
    assert_null(secret_netrc_login(path_of(fixture, "none"), "h"));
}

static void a_user_with_a_slash_does_not_leave_the_credentials(void **state)
{
    struct fixture *fixture = *state;
    struct secret_sources sources = sources_none();
    assert_int_equal(mkdir(path_of(fixture, "popfs.a"), 0700), 0);
    write_file(fixture, "b@h", "stolen\n", 0600);
    sources.user = "a/../b";
    sources.credentials_folder = fixture->folder;
    assert_int_equal(secret_obtain(&fixture->secret, &sources, &fixture->failure), FAULT_REFUSED);
}

static void without_any_source_the_user_is_told_them(void **state)
{
    struct fixture *fixture = *state;
    struct secret_sources sources = sources_none();
    sources.terminal = "/dev/null";
    assert_int_equal(secret_obtain(&fixture->secret, &sources, &fixture->failure), FAULT_REFUSED);
    assert_non_null(strstr(fixture->failure.text, "passcmd="));
}

/* ---- once more ---- */

static void expect_refetched(struct fixture *fixture, const struct secret_sources *sources,
                             const char *password)
{
    assert_true(secret_can_refetch(&fixture->secret));
    if (secret_refetch(&fixture->secret, sources, &fixture->failure) != FAULT_NONE)
        fail_msg("%s", fixture->failure.text);
    assert_string_equal(fixture->secret.text, password);
    assert_int_equal(fixture->secret.len, strlen(password));
}

static void passcmd_is_run_again_and_nothing_of_the_old_token_stays(void **state)
{
    struct fixture *fixture = *state;
    char command[256];
    snprintf(command, sizeof(command), "cat %s",
             write_file(fixture, "token", "a-long-token\n", 0600));
    struct secret_sources sources = sources_none();
    sources.passcmd = command;
    expect_password(fixture, &sources, "a-long-token");
    const char *before = fixture->secret.text;

    write_file(fixture, "token", "short\nexpires: soon\n", 0600);
    expect_refetched(fixture, &sources, "short");
    assert_ptr_equal(fixture->secret.text, before);
    for (size_t i = strlen("short"); i <= SECRET_OCTETS_MAX; i++)
        assert_int_equal(fixture->secret.text[i], 0);
}

static void what_cannot_be_fetched_leaves_the_old_password(void **state)
{
    struct fixture *fixture = *state;
    struct secret_sources sources = sources_none();
    char passfile[128];
    strcpy(passfile, write_file(fixture, "passfile", "old\n", 0600));
    sources.passfile = passfile;
    expect_password(fixture, &sources, "old");

    write_file(fixture, "passfile", "ne\rw\n", 0600);
    assert_int_equal(secret_refetch(&fixture->secret, &sources, &fixture->failure), FAULT_REFUSED);
    assert_string_equal(fixture->secret.text, "old");
    unlink(passfile);
    assert_int_equal(secret_refetch(&fixture->secret, &sources, &fixture->failure), FAULT_LOGIN);
    assert_string_equal(fixture->secret.text, "old");
    write_file(fixture, "passfile", "new\n", 0600);
    expect_refetched(fixture, &sources, "new");
}

/* Another source may hold another password by now: it is not the one that was meant. */
static void only_the_source_that_it_came_from_is_asked_again(void **state)
{
    struct fixture *fixture = *state;
    struct secret_sources sources = sources_none();
    char netrc[128];
    strcpy(netrc, write_file(fixture, "netrc", "machine h login alice password five\n", 0600));
    sources.netrc = netrc;
    expect_password(fixture, &sources, "five");
    sources.terminal = "/dev/null";
    write_file(fixture, "popfs.alice@h", "four\n", 0440);
    sources.credentials_folder = fixture->folder;
    write_file(fixture, "netrc", "machine h login alice password six\n", 0600);
    expect_refetched(fixture, &sources, "six");
    write_file(fixture, "netrc", "machine i login alice password six\n", 0600);
    assert_int_equal(secret_refetch(&fixture->secret, &sources, &fixture->failure), FAULT_LOGIN);
    assert_string_equal(fixture->failure.text, "the password is no longer where it came from");
    assert_string_equal(fixture->secret.text, "six");
}

static void what_was_typed_or_piped_is_not_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    struct secret_sources sources = sources_none();
    static const enum secret_source once[] = {SECRET_FROM_NOWHERE, SECRET_FROM_STDIN,
                                              SECRET_FROM_TERMINAL};
    set_text(&fixture->secret, "typed", 5);
    sources.passcmd = "echo another";
    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        fixture->secret.source = once[i];
        assert_false(secret_can_refetch(&fixture->secret));
        assert_int_equal(secret_refetch(&fixture->secret, &sources, &fixture->failure),
                         FAULT_REFUSED);
        assert_string_equal(fixture->secret.text, "typed");
    }
}

static void passcmd_has_the_signals_that_a_mount_blocks(void **state)
{
    struct fixture *fixture = *state;
    sigset_t all, before;
    sigfillset(&all);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, &before);
    enum fault fault = run(fixture, "grep -E '^Sig(Blk|Ign)' /proc/self/status");
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, pipe_before);
    assert_int_equal(fault, FAULT_NONE);
    assert_non_null(strstr(fixture->secret.text, "SigBlk:\t0000000000000000\n"));
    const char *ignored = strstr(fixture->secret.text, "SigIgn:\t");
    assert_non_null(ignored);
    unsigned long long mask = strtoull(ignored + strlen("SigIgn:\t"), NULL, 16);
    assert_int_equal(mask & (1ULL << (SIGPIPE - 1)), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_line_is_the_password),
        TEST(what_followed_the_first_line_is_wiped),
        TEST(a_password_that_pop3_cannot_send_is_refused),
        TEST(stdin_is_read_to_the_line_end_and_no_further),
        TEST(a_source_that_never_ends_is_cut_off),
        TEST(a_file_that_others_can_read_is_refused),
        TEST(only_a_regular_file_is_read),
        TEST(the_output_of_passcmd_is_taken),
        TEST(a_passcmd_that_fails_is_an_error_whatever_it_printed),
        TEST(a_passcmd_that_prints_without_end_is_stopped),
        TEST(a_passcmd_that_hangs_is_ended),
        TEST(what_passcmd_leaves_in_the_background_is_not_waited_for),
        TEST(sources_are_asked_in_order),
        TEST(a_source_that_fails_is_not_passed_over),
        TEST(an_open_netrc_is_refused_only_if_it_holds_the_password),
        TEST(netrc_names_the_user),
        TEST(a_user_with_a_slash_does_not_leave_the_credentials),
        TEST(without_any_source_the_user_is_told_them),
        TEST(passcmd_is_run_again_and_nothing_of_the_old_token_stays),
        TEST(what_cannot_be_fetched_leaves_the_old_password),
        TEST(only_the_source_that_it_came_from_is_asked_again),
        TEST(what_was_typed_or_piped_is_not_asked_for_again),
        TEST(passcmd_has_the_signals_that_a_mount_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
