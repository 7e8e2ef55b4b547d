/* SPDX-License-Identifier: MIT */
/* A child, a pipe, a deadline. Refuses to know what the output means. */
#include "passcmd.h"

#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct run {
    pid_t child;
    int output; /* non-blocking */
    int exited; /* a pidfd */
    int64_t deadline_ms;
};

static int spawn_shell(const char *command, int output, pid_t *ret_child)
{
    char shell[] = "sh", flag[] = "-c";
    CLEANUP_FREE char *copy = strdup(command);
    char *const arguments[] = {shell, flag, copy, NULL};
    return copy == NULL ? ENOMEM : program_start("/bin/sh", arguments, output, ret_child);
}

static enum fault start(struct run *run, const char *command, struct failure *ret_failure)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return failure_set(ret_failure, FAULT_LOGIN, "passcmd: %s", strerror(errno));
    int error = spawn_shell(command, ends[1], &run->child);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return failure_set(ret_failure, FAULT_LOGIN, "passcmd: /bin/sh: %s", strerror(error));
    }
    run->output = ends[0];
    fcntl(run->output, F_SETFL, O_NONBLOCK);
    run->exited = pidfd_open(run->child, 0);
    return FAULT_NONE;
}

/* Reads what is there. Sets *ret_end at the end of the output. */
static enum fault drain(struct run *run, struct secret *secret, bool *ret_end,
                        struct failure *ret_failure)
{
    for (;;) {
        size_t room = SECRET_OCTETS_MAX - secret->len;
        if (room == 0)
            return failure_set(ret_failure, FAULT_REFUSED, "passcmd printed more than 64 KiB");
        ssize_t got = read(run->output, secret->text + secret->len, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return FAULT_NONE;
        if (got <= 0) {
            *ret_end = true;
            return FAULT_NONE;
        }
        secret->len += (size_t)got;
        secret->text[secret->len] = '\0';
    }
}

/* Until the shell ends: something that it left in the background (an agent) may hold the pipe open
 * for ever. */
static enum fault collect(struct run *run, struct secret *secret, struct failure *ret_failure)
{
    bool end = false;
    for (;;) {
        struct pollfd fds[] = {{run->exited, POLLIN, 0}, {end ? -1 : run->output, POLLIN, 0}};
        int64_t left_ms = run->deadline_ms - clock_now_ms();
        int ready = left_ms <= 0 ? 0 : poll(fds, 2, (int)left_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return failure_set(ret_failure, FAULT_LOGIN, "passcmd took too long and was ended");
        /* A shell that has ended has written all, so this order misses nothing. */
        enum fault fault = end ? FAULT_NONE : drain(run, secret, &end, ret_failure);
        if (fault != FAULT_NONE || fds[0].revents != 0)
            return fault;
    }
}

static enum fault finish(const struct run *run, enum fault fault, struct failure *ret_failure)
{
    int status = 0;
    if (fault != FAULT_NONE)
        kill(run->child, SIGKILL);
    while (waitpid(run->child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (fault != FAULT_NONE)
        return fault;
    if (WIFSIGNALED(status))
        return failure_set(ret_failure, FAULT_LOGIN, "passcmd was ended by signal %d",
                           WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return failure_set(ret_failure, FAULT_LOGIN, "passcmd failed with status %d",
                           WEXITSTATUS(status));
    return FAULT_NONE;
}

enum fault passcmd_run(const char *command, int64_t timeout_ms, struct secret *secret,
                       struct failure *ret_failure)
{
    struct run run = {.deadline_ms = clock_now_ms() + timeout_ms};
    enum fault fault = start(&run, command, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    secret->len = 0;
    if (run.exited < 0)
        fault = failure_set(ret_failure, FAULT_LOGIN, "passcmd: pidfd: %s", strerror(errno));
    else
        fault = collect(&run, secret, ret_failure);
    fault = finish(&run, fault, ret_failure);
    if (run.exited >= 0)
        close(run.exited);
    close(run.output);
    return fault;
}
