/* SPDX-License-Identifier: MIT */
/* The prompt, on a terminal of our own; a child plays the person. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "prompt.h"

struct terminal {
    int master, slave;
    char name[64];
};

static struct terminal open_terminal(void)
{
    struct terminal terminal;
    assert_int_equal(openpty(&terminal.master, &terminal.slave, terminal.name, NULL, NULL), 0);
    return terminal;
}

static void close_terminal(const struct terminal *terminal)
{
    close(terminal->master);
    close(terminal->slave);
}

static bool has_echo(const struct terminal *terminal)
{
    struct termios now;
    assert_int_equal(tcgetattr(terminal->slave, &now), 0);
    return (now.c_lflag & ECHO) != 0;
}

/* Reads what the terminal shows until it ends with `end`. */
static void read_until(int master, char *shown, size_t capacity, const char *end)
{
    size_t len = 0;
    while (len + 1 < capacity) {
        ssize_t got = read(master, shown + len, 1);
        if (got <= 0)
            _exit(3);
        len += (size_t)got;
        shown[len] = '\0';
        if (len >= strlen(end) && strcmp(shown + len - strlen(end), end) == 0)
            return;
    }
    _exit(4);
}

/* The person: waits for the question, types, and looks whether anything but a line end was shown.
 */
static pid_t type_on(const struct terminal *terminal, const char *typed)
{
    pid_t person = fork();
    assert_true(person >= 0);
    if (person > 0)
        return person;
    char shown[256];
    read_until(terminal->master, shown, sizeof(shown), "Who? ");
    if (write(terminal->master, typed, strlen(typed)) != (ssize_t)strlen(typed))
        _exit(5);
    read_until(terminal->master, shown, sizeof(shown), "\n");
    _exit(strcmp(shown, "\r\n") == 0 ? 0 : 6);
}

static void expect_exit(pid_t child, int code)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void a_line_is_read_without_being_shown(void **state)
{
    (void)state;
    struct terminal terminal = open_terminal();
    struct secret secret;
    struct failure failure = {0};
    assert_true(secret_init(&secret));
    pid_t person = type_on(&terminal, "tan staaf\n");
    assert_int_equal(prompt_ask(terminal.name, "Who? ", &secret, &failure), FAULT_NONE);
    assert_string_equal(secret.text, "tan staaf\n");
    assert_true(has_echo(&terminal));
    expect_exit(person, 0);
    secret_done(&secret);
    close_terminal(&terminal);
}

static void an_end_of_file_is_no_password(void **state)
{
    (void)state;
    struct terminal terminal = open_terminal();
    struct secret secret;
    struct failure failure = {0};
    assert_true(secret_init(&secret));
    pid_t person = type_on(&terminal, "\004");
    assert_int_equal(prompt_ask(terminal.name, "Who? ", &secret, &failure), FAULT_LOGIN);
    assert_string_equal(failure.text, "no password was typed");
    assert_true(has_echo(&terminal));
    expect_exit(person, 0);
    secret_done(&secret);
    close_terminal(&terminal);
}

static void a_signal_ends_the_program_with_the_echo_restored(void **state)
{
    (void)state;
    struct terminal terminal = open_terminal();
    pid_t asker = fork();
    assert_true(asker >= 0);
    if (asker == 0) {
        struct secret secret;
        if (secret_init(&secret))
            prompt_ask(terminal.name, "Who? ", &secret, NULL);
        _exit(7);
    }
    char shown[64];
    int status;
    read_until(terminal.master, shown, sizeof(shown), "Who? ");
    assert_false(has_echo(&terminal));
    kill(asker, SIGTERM);
    assert_int_equal(waitpid(asker, &status, 0), asker);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_true(has_echo(&terminal));
    close_terminal(&terminal);
}

static void without_a_terminal_there_is_no_prompt(void **state)
{
    (void)state;
    struct secret secret;
    assert_true(secret_init(&secret));
    assert_int_equal(prompt_ask("/dev/null", "Who? ", &secret, NULL), FAULT_GONE);
    assert_int_equal(prompt_ask("/no/such/terminal", "Who? ", &secret, NULL), FAULT_GONE);
    secret_done(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_without_being_shown),
        cmocka_unit_test(an_end_of_file_is_no_password),
        cmocka_unit_test(a_signal_ends_the_program_with_the_echo_restored),
        cmocka_unit_test(without_a_terminal_there_is_no_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
