/* SPDX-License-Identifier: MIT */
/* The terminal, its echo, and the signals that may come while it is off. Refuses to know what is
 * asked. */
#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum answer { ANSWER_LINE, ANSWER_END, ANSWER_SIGNAL };

/* What would leave the terminal without echo if it ended or stopped us in the middle. */
static void fill_signals(sigset_t *set)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(set, signals[i]);
}

/* A terminal in canonical mode gives a whole line at once, at most 4,095 octets. */
static enum answer read_line(int terminal, int signals, struct secret *secret, int *ret_signal)
{
    for (;;) {
        struct pollfd fds[] = {{signals, POLLIN, 0}, {terminal, POLLIN, 0}};
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents != 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            *ret_signal = (int)info.ssi_signo;
            return ANSWER_SIGNAL;
        }
        if (fds[1].revents == 0)
            continue;
        ssize_t got = read(terminal, secret->text, SECRET_OCTETS_MAX);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        secret->len = got > 0 ? (size_t)got : 0;
        secret->text[secret->len] = '\0';
        return got > 0 ? ANSWER_LINE : ANSWER_END;
    }
}

static void write_text(int terminal, const char *text)
{
    /* A terminal that takes no text still gives a line. */
    ssize_t written = write(terminal, text, strlen(text));
    (void)written;
}

static enum answer ask_once(int terminal, int signals, const char *question, struct secret *secret,
                            int *ret_signal)
{
    struct termios before;
    bool has_echo = tcgetattr(terminal, &before) == 0;
    if (has_echo) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
        tcsetattr(terminal, TCSAFLUSH, &silent);
    }
    write_text(terminal, question);
    enum answer answer = read_line(terminal, signals, secret, ret_signal);
    write_text(terminal, "\n");
    if (has_echo)
        tcsetattr(terminal, TCSAFLUSH, &before);
    return answer;
}

/* Lets the signal do to us what it does, now that the terminal is in order; returns after a stop.
 */
static void deliver(int signal, const sigset_t *before, const sigset_t *ours)
{
    raise(signal);
    sigprocmask(SIG_SETMASK, before, NULL);
    sigprocmask(SIG_BLOCK, ours, NULL);
}

static enum answer ask(int terminal, const char *question, struct secret *secret)
{
    sigset_t ours, before;
    enum answer answer = ANSWER_END;
    int signal = 0;
    fill_signals(&ours);
    CLEANUP_CLOSE int signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return answer;
    sigprocmask(SIG_BLOCK, &ours, &before);
    while ((answer = ask_once(terminal, signals, question, secret, &signal)) == ANSWER_SIGNAL)
        deliver(signal, &before, &ours);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return answer;
}

enum fault prompt_ask(const char *terminal, const char *question, struct secret *secret,
                      struct failure *ret_failure)
{
    CLEANUP_CLOSE int descriptor = open(terminal, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0 || !isatty(descriptor))
        return FAULT_GONE;
    if (ask(descriptor, question, secret) != ANSWER_LINE)
        return failure_set(ret_failure, FAULT_LOGIN, "no password was typed");
    return FAULT_NONE;
}
