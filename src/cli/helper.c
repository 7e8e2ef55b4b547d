/* SPDX-License-Identifier: MIT */
/*
 * Three things have to be done outside of the sandbox: unmounting, which takes the right to mount
 * or the setuid fusermount3, getting the password again, which may run a command of the user's, and
 * reading cafile=, which may be anywhere. Processes that were forked before the daemon confined
 * itself do them, one for each, because one may take a minute and the others must not wait. A
 * helper never hears the server, and nothing but "now" and "this is an orderly end" comes from the
 * daemon, so whoever has taken the daemon over can have nothing else done. Refuses to know what it
 * is that is done.
 *
 *     daemon -- requests: one octet -----------------------------------> helper's stdin
 *            <- answers: struct answer, then the octets it tells of -- helper's stdout
 *
 * The helper holds no other descriptor but stderr, ends with the daemon, and not by the signals
 * that end the daemon: systemd and terminals send them to all processes, and the daemon still needs
 * it then.
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_MS = 1000 /* a helper that is at work then ends when the daemon has ended */ };

struct answer {
    enum fault fault;
    size_t len; /* of the secret, or what else was read, that follows */
    char text[FAILURE_TEXT_OCTETS];
};

/* ---- the helper's side ---- */

static bool read_once(const struct helper_work *work)
{
    CLEANUP_BUFFER struct buffer octets = {0};
    struct failure failure = {0};
    struct answer answer = {.fault = work->read(work->context, &octets, &failure)};
    answer.len = answer.fault == FAULT_NONE ? octets.len : 0;
    memcpy(answer.text, failure.text, sizeof(answer.text));
    return descriptor_write(STDOUT_FILENO, &answer, sizeof(answer)) &&
           descriptor_write(STDOUT_FILENO, octets.data, answer.len);
}

static bool work_once(const struct helper_work *work)
{
    struct secret secret = {0};
    struct failure failure = {0};
    struct answer answer;
    if (!secret_init(&secret))
        return false;
    answer = (struct answer){.fault = work->run(work->context, &secret, &failure)};
    answer.len = answer.fault == FAULT_NONE ? secret.len : 0;
    memcpy(answer.text, failure.text, sizeof(answer.text));
    bool told = descriptor_write(STDOUT_FILENO, &answer, sizeof(answer)) &&
                descriptor_write(STDOUT_FILENO, secret.text, answer.len);
    secret_done(&secret);
    return told;
}

/* Whether the daemon came to an orderly end. */
static bool serve(const struct helper_work *work)
{
    bool is_orderly = false;
    for (;;) {
        char request;
        ssize_t got = read(STDIN_FILENO, &request, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return is_orderly;
        if (request == HELPER_ORDERLY_END)
            is_orderly = true;
        else if (!(work->read != NULL ? read_once(work) : work_once(work)))
            return is_orderly;
    }
}

static void leave_terminal(void)
{
    /* The daemon's user would wait for ever for the end of what popfs prints. */
    CLEANUP_CLOSE int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0)
        close(STDERR_FILENO);
    setsid();
    if (chdir("/") != 0)
        log_write(LOG_LEVEL_WARNING, "chdir /: %s", strerror(errno));
}

static bool take_place(int requests, int answers)
{
    /* Both are above 2, so that neither is overwritten before it is copied. */
    return dup2(requests, STDIN_FILENO) >= 0 && dup2(answers, STDOUT_FILENO) >= 0 &&
           close_range(STDERR_FILENO + 1, ~0U, 0) == 0;
}

static void live(const struct helper_work *work, const struct secret *inherited, pid_t daemon,
                 int requests, int answers)
{
    sigset_t set;
    struct secret secret = *inherited;
    if (!work->outlives)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, work->name);
    secret_done(&secret);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (getppid() != daemon || !take_place(requests, answers))
        return;
    if (!work->foreground)
        leave_terminal();
    bool is_orderly = serve(work);
    if (work->end != NULL)
        work->end(work->context, is_orderly);
}

/* ---- the daemon's side ---- */

enum fault helper_start(struct helper *helper, const struct helper_work *work,
                        const struct secret *inherited, struct failure *ret_failure)
{
    int requests[2], answers[2];
    pid_t daemon = getpid();
    if (pipe2(requests, O_CLOEXEC) != 0)
        return failure_set(ret_failure, FAULT_MEMORY, "pipe: %s", strerror(errno));
    if (pipe2(answers, O_CLOEXEC) != 0) {
        close(requests[0]);
        close(requests[1]);
        return failure_set(ret_failure, FAULT_MEMORY, "pipe: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child == 0) {
        live(work, inherited, daemon, requests[0], answers[1]);
        _exit(0);
    }
    int error = errno;
    close(requests[0]);
    close(answers[1]);
    *helper = (struct helper){.child = child, .requests = requests[1], .answers = answers[0]};
    fcntl(helper->answers, F_SETFL, O_NONBLOCK);
    if (child > 0)
        return FAULT_NONE;
    close(helper->requests);
    close(helper->answers);
    *helper = (struct helper){0};
    return failure_set(ret_failure, FAULT_MEMORY, "fork: %s", strerror(error));
}

static bool read_all(const struct helper *helper, void *bytes, size_t len, int64_t deadline_ms)
{
    char *next = bytes;
    while (len > 0) {
        struct pollfd polled = {.fd = helper->answers, .events = POLLIN};
        int64_t left_ms = deadline_ms - clock_now_ms();
        int ready = left_ms <= 0 ? 0 : poll(&polled, 1, (int)left_ms);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return false;
        ssize_t got = ready < 0 ? -1 : read(helper->answers, next, len);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return false;
        next += got;
        len -= (size_t)got;
    }
    return true;
}

static bool send_request(const struct helper *helper, enum helper_request request)
{
    char octet = (char)request;
    return descriptor_write(helper->requests, &octet, 1);
}

static bool ask(struct helper *helper, struct answer *ret_answer, int64_t deadline_ms)
{
    return send_request(helper, HELPER_WORK) &&
           read_all(helper, ret_answer, sizeof(*ret_answer), deadline_ms);
}

/* A late answer must not be taken for that to the next request. */
static enum fault give_up(struct helper *helper, struct failure *ret_failure)
{
    helper_end(helper);
    return failure_set(ret_failure, FAULT_MEMORY,
                       "the process outside of the sandbox has died or does not answer");
}

static enum fault repeat(const struct answer *answer, struct failure *ret_failure)
{
    return failure_set(ret_failure, answer->fault, "%.*s", (int)sizeof(answer->text) - 1,
                       answer->text);
}

static bool take_answer(struct helper *helper, int64_t timeout_ms, struct answer *ret_answer,
                        struct secret *ret_secret)
{
    int64_t deadline_ms = clock_now_ms() + timeout_ms;
    if (!ask(helper, ret_answer, deadline_ms) || ret_answer->len > SECRET_OCTETS_MAX ||
        !read_all(helper, ret_secret->text, ret_answer->len, deadline_ms))
        return false;
    ret_secret->len = ret_answer->len;
    return true;
}

static void replace(struct secret *secret, const struct secret *new)
{
    secret_wipe(secret->text, secret->len);
    memcpy(secret->text, new->text, new->len);
    secret->len = new->len;
    secret->text[secret->len] = '\0';
}

enum fault helper_ask(struct helper *helper, int64_t timeout_ms, struct secret *secret,
                      struct failure *ret_failure)
{
    struct answer answer;
    struct secret new = {0};
    enum fault fault = FAULT_NONE;
    if (helper->child == 0 || !secret_init(&new))
        return failure_set(ret_failure, FAULT_MEMORY, "there is no process outside of the sandbox");
    if (!take_answer(helper, timeout_ms, &answer, &new))
        fault = give_up(helper, ret_failure);
    else if (answer.fault != FAULT_NONE)
        fault = repeat(&answer, ret_failure);
    else if (secret != NULL)
        replace(secret, &new);
    secret_done(&new);
    return fault;
}

enum fault helper_ask_octets(struct helper *helper, int64_t timeout_ms, struct buffer *ret_octets,
                             struct failure *ret_failure)
{
    struct answer answer;
    int64_t deadline_ms = clock_now_ms() + timeout_ms;
    if (helper->child == 0)
        return failure_set(ret_failure, FAULT_MEMORY, "there is no process outside of the sandbox");
    if (!ask(helper, &answer, deadline_ms) || answer.len > HELPER_OCTETS_MAX)
        return give_up(helper, ret_failure);
    if (answer.fault != FAULT_NONE)
        return repeat(&answer, ret_failure);
    char part[16384];
    while (answer.len > 0) {
        size_t len = answer.len < sizeof(part) ? answer.len : sizeof(part);
        if (!read_all(helper, part, len, deadline_ms)) {
            buffer_done(ret_octets);
            return give_up(helper, ret_failure);
        }
        if (!buffer_append(ret_octets, (struct slice){part, len})) {
            buffer_done(ret_octets);
            helper_end(helper); /* the rest would be taken for the next answer */
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
        }
        answer.len -= len;
    }
    return FAULT_NONE;
}

void helper_say_orderly_end(struct helper *helper)
{
    /* A helper that has died ends nothing. */
    if (helper->child != 0)
        (void)send_request(helper, HELPER_ORDERLY_END);
}

void helper_end(struct helper *helper)
{
    if (helper->child == 0)
        return;
    close(helper->requests);
    struct pollfd polled = {.fd = helper->answers};
    (void)poll(&polled, 1, END_MS);
    close(helper->answers);
    waitpid(helper->child, NULL, WNOHANG);
    *helper = (struct helper){0};
}
