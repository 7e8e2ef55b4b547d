/* SPDX-License-Identifier: MIT */
/* The process beside the daemon: what it answers, what it holds, and when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"
#include "passcmd.h"

enum { TIMEOUT_MS = 20000 };

static struct secret inherited;

static void start(struct helper *helper, const struct helper_work *work)
{
    struct failure failure;
    assert_int_equal(helper_start(helper, work, &inherited, &failure), FAULT_NONE);
}

static void put(struct secret *secret, const char *text)
{
    strcpy(secret->text, text);
    secret->len = strlen(text);
}

static enum fault say_a_token(const void *context, struct secret *secret,
                              struct failure *ret_failure)
{
    (void)ret_failure;
    put(secret, context);
    return FAULT_NONE;
}

static void what_the_work_gives_replaces_the_secret(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct secret secret = {0};
    struct failure failure;
    const struct helper_work work = {
        .name = "popfs-test", .run = say_a_token, .context = "token", .foreground = true};
    assert_true(secret_init(&secret));
    put(&secret, "an older and longer one");
    start(&helper, &work);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(helper_ask(&helper, TIMEOUT_MS, &secret, &failure), FAULT_NONE);
        assert_string_equal(secret.text, "token");
        assert_int_equal(secret.len, 5);
        assert_int_equal(secret.text[6], '\0');
    }
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, NULL, &failure), FAULT_NONE);
    helper_end(&helper);
    secret_done(&secret);
}

static enum fault say_much(const void *context, struct secret *secret, struct failure *ret_failure)
{
    (void)context, (void)ret_failure;
    memset(secret->text, 'x', SECRET_OCTETS_MAX);
    secret->len = SECRET_OCTETS_MAX;
    return FAULT_NONE;
}

static void the_longest_secret_passes(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct secret secret = {0};
    struct failure failure;
    const struct helper_work work = {.name = "popfs-test", .run = say_much, .foreground = true};
    assert_true(secret_init(&secret));
    start(&helper, &work);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, &secret, &failure), FAULT_NONE);
    assert_int_equal(secret.len, SECRET_OCTETS_MAX);
    assert_int_equal(strlen(secret.text), SECRET_OCTETS_MAX);
    helper_end(&helper);
    secret_done(&secret);
}

static enum fault read_much(const void *context, struct buffer *ret_octets,
                            struct failure *ret_failure)
{
    char part[4096];
    (void)ret_failure;
    for (size_t i = 0; i < *(const size_t *)context; i++) {
        memset(part, 'a' + (int)(i % 26), sizeof(part));
        if (!buffer_append(ret_octets, (struct slice){part, sizeof(part)}))
            return FAULT_MEMORY;
    }
    return FAULT_NONE;
}

static void what_is_read_passes_up_to_its_bound(void **state)
{
    (void)state;
    size_t parts = HELPER_OCTETS_MAX / 4096;
    struct helper helper = {0};
    struct failure failure;
    CLEANUP_BUFFER struct buffer octets = {0};
    const struct helper_work work = {
        .name = "popfs-test", .read = read_much, .context = &parts, .foreground = true};
    start(&helper, &work);
    assert_int_equal(helper_ask_octets(&helper, TIMEOUT_MS, &octets, &failure), FAULT_NONE);
    helper_end(&helper);
    assert_int_equal(octets.len, HELPER_OCTETS_MAX);
    for (size_t i = 0; i < octets.len; i += 4096)
        assert_int_equal(octets.data[i], 'a' + (int)(i / 4096 % 26));
    buffer_done(&octets);
    parts++;
    start(&helper, &work);
    assert_int_equal(helper_ask_octets(&helper, TIMEOUT_MS, &octets, &failure), FAULT_MEMORY);
    assert_int_equal(octets.len, 0);
    assert_int_equal(helper.child, 0);
}

static enum fault say_that_it_is_missing(const void *context, struct buffer *ret_octets,
                                         struct failure *ret_failure)
{
    (void)buffer_append_string(ret_octets, "half");
    return failure_set(ret_failure, FAULT_UNTRUSTED, "%s", (const char *)context);
}

static void a_failure_to_read_is_repeated_and_gives_nothing(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct failure failure;
    CLEANUP_BUFFER struct buffer octets = {0};
    const struct helper_work work = {.name = "popfs-test",
                                     .read = say_that_it_is_missing,
                                     .context = "ca.pem: No such file or directory",
                                     .foreground = true};
    start(&helper, &work);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(helper_ask_octets(&helper, TIMEOUT_MS, &octets, &failure),
                         FAULT_UNTRUSTED);
        assert_string_equal(failure.text, "ca.pem: No such file or directory");
        assert_int_equal(octets.len, 0);
    }
    helper_end(&helper);
}

static enum fault refuse(const void *context, struct secret *secret, struct failure *ret_failure)
{
    put(secret, "half");
    return failure_set(ret_failure, FAULT_LOGIN, "%s", (const char *)context);
}

static void a_failure_leaves_the_secret_as_it_was(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct secret secret = {0};
    struct failure failure;
    const struct helper_work work = {.name = "popfs-test",
                                     .run = refuse,
                                     .context = "passcmd failed with status 1",
                                     .foreground = true};
    assert_true(secret_init(&secret));
    put(&secret, "old");
    start(&helper, &work);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, &secret, &failure), FAULT_LOGIN);
    assert_string_equal(failure.text, "passcmd failed with status 1");
    assert_string_equal(secret.text, "old");
    helper_end(&helper);
    secret_done(&secret);
}

static enum fault run_a_command(const void *context, struct secret *secret,
                                struct failure *ret_failure)
{
    return passcmd_run(context, TIMEOUT_MS, secret, ret_failure);
}

static void a_command_runs_with_the_signals_of_a_new_process(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct secret secret = {0};
    struct failure failure;
    const struct helper_work work = {.name = "popfs-test",
                                     .run = run_a_command,
                                     .context = "kill -TERM $$; echo alive",
                                     .foreground = true};
    assert_true(secret_init(&secret));
    start(&helper, &work);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, &secret, &failure), FAULT_LOGIN);
    assert_string_equal(failure.text, "passcmd was ended by signal 15");
    helper_end(&helper);
    secret_done(&secret);
}

static void a_command_sees_no_descriptor_of_popfs(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct secret secret = {0};
    struct failure failure;
    const struct helper_work work = {.name = "popfs-test",
                                     .run = run_a_command,
                                     .context = "echo /proc/$$/fd/*",
                                     .foreground = true};
    int open_here = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC */
    assert_true(open_here > 2 && secret_init(&secret));
    start(&helper, &work);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, &secret, &failure), FAULT_NONE);
    assert_non_null(strstr(secret.text, "/fd/2"));
    for (int i = 3; i <= 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "/fd/%d ", i);
        assert_null(strstr(secret.text, name));
    }
    helper_end(&helper);
    secret_done(&secret);
    close(open_here);
}

static enum fault list_descriptors(const void *context, struct secret *secret,
                                   struct failure *ret_failure)
{
    (void)context, (void)ret_failure;
    for (int i = 0; i < 100; i++)
        if (fcntl(i, F_GETFD) >= 0)
            secret->len += (size_t)snprintf(secret->text + secret->len, 16, "%d ", i);
    return FAULT_NONE;
}

static void it_holds_two_pipes_and_stderr(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct secret secret = {0};
    struct failure failure;
    for (int foreground = 0; foreground < 2; foreground++) {
        const struct helper_work work = {
            .name = "popfs-test", .run = list_descriptors, .foreground = foreground != 0};
        assert_true(secret_init(&secret));
        start(&helper, &work);
        assert_int_equal(helper_ask(&helper, TIMEOUT_MS, &secret, &failure), FAULT_NONE);
        assert_string_equal(secret.text, "0 1 2 ");
        helper_end(&helper);
        secret_done(&secret);
    }
}

static void the_signals_that_end_a_daemon_do_not_end_it(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct failure failure;
    const struct helper_work work = {
        .name = "popfs-test", .run = say_a_token, .context = "", .foreground = true};
    start(&helper, &work);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, NULL, &failure), FAULT_NONE);
    for (int i = 0; i < 3; i++)
        kill(helper.child, (int[]){SIGTERM, SIGINT, SIGHUP}[i]);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, NULL, &failure), FAULT_NONE);
    helper_end(&helper);
}

static void wait_for_end(int watch)
{
    struct pollfd end = {.fd = watch, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1);
    close(watch);
}

static void it_ends_when_it_is_let_go(void **state)
{
    (void)state;
    struct helper helper = {0};
    const struct helper_work work = {
        .name = "popfs-test", .run = say_a_token, .context = "", .foreground = true};
    start(&helper, &work);
    int watch = pidfd_open(helper.child, 0);
    helper_end(&helper);
    assert_int_equal(helper.child, 0);
    wait_for_end(watch);
    helper_end(&helper);
}

static enum fault sleep_long(const void *context, struct secret *secret,
                             struct failure *ret_failure)
{
    (void)context, (void)secret, (void)ret_failure;
    sleep(60);
    return FAULT_NONE;
}

static void it_ends_with_the_daemon_even_at_work(void **state)
{
    (void)state;
    int ends[2];
    pid_t child = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t daemon = fork();
    assert_true(daemon >= 0);
    if (daemon == 0) {
        struct helper helper = {0};
        const struct helper_work work = {
            .name = "popfs-test", .run = sleep_long, .foreground = true};
        if (helper_start(&helper, &work, &inherited, NULL) != FAULT_NONE ||
            write(helper.requests, "", 1) != 1 ||
            write(ends[1], &helper.child, sizeof(helper.child)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &child, sizeof(child)), sizeof(child));
    int watch = pidfd_open(child, 0);
    assert_true(watch >= 0);
    kill(daemon, SIGKILL);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    wait_for_end(watch);
    close(ends[0]);
    close(ends[1]);
}

static void write_at_the_end(const void *context, bool is_orderly)
{
    const char *text = is_orderly ? "left" : context;
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* Starts a daemon that kills itself, before an orderly end or in it, and checks what the helper
 * says at its own end. */
static void expect_at_the_end(bool is_orderly, const char *expected)
{
    int ends[2];
    char text[8] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t daemon = fork();
    assert_true(daemon >= 0);
    if (daemon == 0) {
        struct helper helper = {0};
        const struct helper_work work = {.name = "popfs-test",
                                         .run = say_a_token,
                                         .end = write_at_the_end,
                                         .context = "done",
                                         .foreground = true,
                                         .outlives = true};
        if (dup2(ends[1], STDERR_FILENO) < 0 ||
            helper_start(&helper, &work, &inherited, NULL) != FAULT_NONE ||
            helper_ask(&helper, TIMEOUT_MS, NULL, NULL) != FAULT_NONE)
            _exit(1);
        if (is_orderly)
            helper_say_orderly_end(&helper);
        raise(SIGKILL);
    }
    close(ends[1]);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    assert_int_equal(read(ends[0], text, sizeof(text)), 4);
    assert_string_equal(text, expected);
    assert_int_equal(read(ends[0], text, sizeof(text)), 0);
    close(ends[0]);
}

/* What it has to do at the end is done whatever ends the daemon, if it outlives that. */
static void one_that_outlives_a_killed_daemon_still_does_what_is_to_be_done_at_the_end(void **state)
{
    (void)state;
    expect_at_the_end(false, "done");
}

static void one_that_was_told_of_an_orderly_end_knows_it_at_its_own(void **state)
{
    (void)state;
    struct helper none = {0};
    expect_at_the_end(true, "left");
    helper_say_orderly_end(&none);
}

static void one_that_is_too_slow_is_given_up(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct failure failure;
    const struct helper_work work = {.name = "popfs-test", .run = sleep_long, .foreground = true};
    start(&helper, &work);
    pid_t child = helper.child;
    assert_int_equal(helper_ask(&helper, 50, NULL, &failure), FAULT_MEMORY);
    assert_int_equal(helper.child, 0);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, NULL, &failure), FAULT_MEMORY);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void one_that_has_died_is_an_error_and_no_wait(void **state)
{
    (void)state;
    struct helper helper = {0};
    struct failure failure;
    const struct helper_work work = {
        .name = "popfs-test", .run = say_a_token, .context = "", .foreground = true};
    start(&helper, &work);
    kill(helper.child, SIGKILL);
    assert_int_equal(helper_ask(&helper, TIMEOUT_MS, NULL, &failure), FAULT_MEMORY);
    assert_int_equal(helper.child, 0);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as life_run() has it */
    return secret_init(&inherited) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    secret_done(&inherited);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_work_gives_replaces_the_secret),
        cmocka_unit_test(the_longest_secret_passes),
        cmocka_unit_test(what_is_read_passes_up_to_its_bound),
        cmocka_unit_test(a_failure_to_read_is_repeated_and_gives_nothing),
        cmocka_unit_test(a_failure_leaves_the_secret_as_it_was),
        cmocka_unit_test(a_command_runs_with_the_signals_of_a_new_process),
        cmocka_unit_test(a_command_sees_no_descriptor_of_popfs),
        cmocka_unit_test(it_holds_two_pipes_and_stderr),
        cmocka_unit_test(the_signals_that_end_a_daemon_do_not_end_it),
        cmocka_unit_test(it_ends_when_it_is_let_go),
        cmocka_unit_test(it_ends_with_the_daemon_even_at_work),
        cmocka_unit_test(one_that_was_told_of_an_orderly_end_knows_it_at_its_own),
        cmocka_unit_test(
            one_that_outlives_a_killed_daemon_still_does_what_is_to_be_done_at_the_end),
        cmocka_unit_test(one_that_is_too_slow_is_given_up),
        cmocka_unit_test(one_that_has_died_is_an_error_and_no_wait),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
