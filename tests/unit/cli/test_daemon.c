/* SPDX-License-Identifier: MIT */
/* The process that waits, and the one that stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"

/* What the waiting process printed on stderr, at most one line. */
static int fork_and_listen(void (*child)(struct daemon *), char *said, size_t capacity)
{
    int ends[2], old = dup(STDERR_FILENO);
    struct daemon daemon = {.pipe = -1};
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    assert_true(daemon_fork(&daemon));
    if (daemon.child == 0) {
        child(&daemon);
        _exit(0);
    }
    int code = daemon_wait(&daemon);
    dup2(old, STDERR_FILENO);
    close(old);
    ssize_t got = read(ends[0], said, capacity - 1);
    said[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    return code;
}

static void fail_to_mount(struct daemon *daemon)
{
    daemon_report_failure(daemon, EXIT_MOUNT, "the server refused the password");
}

static void die(struct daemon *daemon)
{
    (void)daemon;
    raise(SIGKILL);
}

static void succeed(struct daemon *daemon)
{
    daemon_report_success(daemon, "");
}

static void succeed_with_a_notice(struct daemon *daemon)
{
    daemon_report_success(daemon, "3 messages are to go");
}

static void the_users_process_prints_the_failure_and_ends_with_its_code(void **state)
{
    (void)state;
    char said[256];
    assert_int_equal(fork_and_listen(fail_to_mount, said, sizeof(said)), EXIT_MOUNT);
    assert_string_equal(said, "popfs: the server refused the password\n");
}

static void a_child_that_dies_is_noticed(void **state)
{
    (void)state;
    char said[256];
    assert_int_equal(fork_and_listen(die, said, sizeof(said)), EXIT_SYSTEM);
    assert_string_equal(said, "popfs: the background process died (signal 9) before it had "
                              "mounted\n");
}

static void success_is_silent(void **state)
{
    (void)state;
    char said[256];
    assert_int_equal(fork_and_listen(succeed, said, sizeof(said)), EXIT_OK);
    assert_string_equal(said, "");
}

static void the_users_process_prints_what_a_success_has_to_say(void **state)
{
    (void)state;
    char said[256];
    assert_int_equal(fork_and_listen(succeed_with_a_notice, said, sizeof(said)), EXIT_OK);
    assert_string_equal(said, "popfs: 3 messages are to go\n");
}

static void success_leaves_the_session_the_folder_and_the_terminal(void **state)
{
    (void)state;
    int ends[2];
    char told[256] = {0};
    struct daemon daemon = {.pipe = -1};
    assert_int_equal(pipe(ends), 0);
    assert_true(daemon_fork(&daemon));
    if (daemon.child == 0) {
        char folder[64] = "", target[64] = "";
        bool fine = daemon_report_success(&daemon, "") && getsid(0) == getpid() &&
                    getcwd(folder, sizeof(folder)) != NULL && strcmp(folder, "/") == 0;
        for (int i = 0; i < 3; i++) {
            char name[32];
            snprintf(name, sizeof(name), "/proc/self/fd/%d", i);
            memset(target, 0, sizeof(target));
            fine = fine && readlink(name, target, sizeof(target) - 1) > 0 &&
                   strcmp(target, "/dev/null") == 0;
        }
        ssize_t written = write(ends[1], fine ? "yes" : "no", 3);
        _exit(written == 3 ? 0 : 1);
    }
    assert_int_equal(daemon_wait(&daemon), EXIT_OK);
    assert_int_equal(read(ends[0], told, sizeof(told) - 1), 3);
    assert_string_equal(told, "yes");
    close(ends[0]);
    close(ends[1]);
}

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) >= 0;
}

static void what_was_inherited_is_closed_but_for_what_is_kept(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool fine = true;
        for (int i = 3; i < 40; i++)
            fine = fine && dup2(STDIN_FILENO, i) == i;
        fine = fine && daemon_close_inherited((const int[]){20, 3, 20, 2, 21}, 5);
        for (int i = 0; i < 64; i++)
            fine = fine && is_open(i) == (i <= 3 || i == 20 || i == 21);
        fine = fine && daemon_close_inherited(NULL, 0) && is_open(2) && !is_open(3);
        _exit(fine ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* The user's process is killed while it waits: the child hears of it, and its success is not
 * believed. */
static void a_child_whose_parent_was_killed_gives_up(void **state)
{
    (void)state;
    int ends[2];
    char told = '?';
    assert_int_equal(pipe(ends), 0);
    pid_t user = fork();
    assert_true(user >= 0);
    if (user == 0) {
        struct daemon daemon = {.pipe = -1};
        sigset_t set;
        int signal = 0;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        if (!daemon_fork(&daemon))
            _exit(1);
        if (daemon.child > 0)
            _exit(daemon_wait(&daemon));
        signal = kill(getppid(), SIGKILL);
        sigwait(&set, &signal);
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
        told = signal == SIGTERM && !daemon_report_success(&daemon, "") ? 'y' : 'n';
        ssize_t written = write(ends[1], &told, 1);
        _exit(written == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(user, NULL, 0), user);
    assert_int_equal(read(ends[0], &told, 1), 1);
    assert_int_equal(told, 'y');
    close(ends[0]);
    close(ends[1]);
}

static void in_the_foreground_success_changes_nothing(void **state)
{
    (void)state;
    struct daemon daemon = {.pipe = -1};
    pid_t session = getsid(0);
    assert_true(daemon_report_success(&daemon, ""));
    assert_int_equal(getsid(0), session);
}

static void missing_standard_descriptors_are_filled(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDIN_FILENO);
        close(STDERR_FILENO);
        bool fine = daemon_open_standard_descriptors();
        for (int i = 0; i < 3; i++)
            fine = fine && fcntl(i, F_GETFD) >= 0;
        _exit(fine ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_users_process_prints_the_failure_and_ends_with_its_code),
        cmocka_unit_test(a_child_that_dies_is_noticed),
        cmocka_unit_test(success_is_silent),
        cmocka_unit_test(the_users_process_prints_what_a_success_has_to_say),
        cmocka_unit_test(success_leaves_the_session_the_folder_and_the_terminal),
        cmocka_unit_test(what_was_inherited_is_closed_but_for_what_is_kept),
        cmocka_unit_test(a_child_whose_parent_was_killed_gives_up),
        cmocka_unit_test(in_the_foreground_success_changes_nothing),
        cmocka_unit_test(missing_standard_descriptors_are_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
