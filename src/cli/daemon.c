/* SPDX-License-Identifier: MIT */
/*
 * Forks before anything is connected or mounted, and keeps the first process waiting until the
 * second can say how it went: fuse_daemonize() of libfuse would let it end with 0 too early.
 * Refuses to know what is being mounted.
 *
 * On the pipe: one octet, the exit code, then what the user should read, then the end. An end
 * without an octet: the child died.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool daemon_open_standard_descriptors(void)
{
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor < 0)
        return false;
    close(descriptor);
    return true;
}

/* The least of `kept` that is not below `from`; -1 if there is none. */
static int next_kept(const int *kept, size_t count, int from)
{
    int next = -1;
    for (size_t i = 0; i < count; i++)
        if (kept[i] >= from && (next < 0 || kept[i] < next))
            next = kept[i];
    return next;
}

bool daemon_close_inherited(const int *kept, size_t count)
{
    int from = STDERR_FILENO + 1;
    for (int next; (next = next_kept(kept, count, from)) >= 0; from = next + 1)
        if (next > from && close_range((unsigned)from, (unsigned)next - 1, 0) != 0)
            return false;
    return close_range((unsigned)from, ~0U, 0) == 0;
}

static size_t read_report(int descriptor, char *report, size_t capacity)
{
    size_t len = 0;
    while (len < capacity) {
        ssize_t got = read(descriptor, report + len, capacity - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    return len;
}

int daemon_wait(struct daemon *daemon)
{
    char report[1 + FAILURE_TEXT_OCTETS];
    size_t len = read_report(daemon->pipe, report, sizeof(report) - 1);
    report[len] = '\0';
    close(daemon->pipe);
    daemon->pipe = -1;
    if (len == 0) {
        int status = 0;
        waitpid(daemon->child, &status, 0);
        fprintf(stderr, "popfs: the background process died (%s %d) before it had mounted\n",
                WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return EXIT_SYSTEM;
    }
    if (report[1] != '\0')
        fprintf(stderr, "popfs: %s\n", report + 1);
    /* Until it is gone it holds the cache, and the user may try again at once. */
    if (report[0] != EXIT_OK)
        waitpid(daemon->child, NULL, 0);
    return report[0];
}

bool daemon_fork(struct daemon *daemon)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0) {
        fprintf(stderr, "popfs: pipe: %s\n", strerror(errno));
        return false;
    }
    daemon->child = fork();
    if (daemon->child < 0) {
        fprintf(stderr, "popfs: fork: %s\n", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    bool is_parent = daemon->child > 0;
    daemon->pipe = ends[is_parent ? 0 : 1];
    close(ends[is_parent ? 1 : 0]);
    if (is_parent)
        return true;
    /* A user who stops waiting does not want the mount any more. The parent may be dead already. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        raise(SIGTERM);
    return true;
}

static bool write_report(struct daemon *daemon, int code, const char *text)
{
    char report[1 + FAILURE_TEXT_OCTETS];
    size_t octets = 1 + strnlen(text, FAILURE_TEXT_OCTETS);
    report[0] = (char)code;
    memcpy(report + 1, text, octets - 1);
    ssize_t written;
    do
        written = write(daemon->pipe, report, octets); /* below PIPE_BUF: whole or not at all */
    while (written < 0 && errno == EINTR);
    close(daemon->pipe);
    daemon->pipe = -1;
    return written == (ssize_t)octets;
}

static void leave_terminal(void)
{
    /* Not earlier: until now Ctrl-C on the terminal was to reach us. */
    setsid();
    if (chdir("/") != 0)
        log_write(LOG_LEVEL_WARNING, "chdir /: %s", strerror(errno));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) {
        log_write(LOG_LEVEL_WARNING, "/dev/null: %s", strerror(errno));
        return;
    }
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        dup2(null, descriptor);
    close(null);
}

bool daemon_report_success(struct daemon *daemon, const char *notice)
{
    if (daemon->pipe < 0)
        return true;
    leave_terminal();
    prctl(PR_SET_PDEATHSIG, 0);
    return write_report(daemon, EXIT_OK, notice);
}

void daemon_report_failure(struct daemon *daemon, int code, const char *text)
{
    if (daemon->pipe < 0)
        fprintf(stderr, "popfs: %s\n", text);
    else
        write_report(daemon, code, text);
}
