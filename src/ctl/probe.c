/* SPDX-License-Identifier: MIT */
/*
 * A process of its own asks, because nothing ends a system call whose request popfs has taken: not
 * even SIGKILL. Refuses to know what is done about a popfs that hangs.
 *
 * On the pipe: struct head, then status.json if its error is 0, then the end. The child finds the
 * mount by a descriptor, and so also when it is unmounted lazily meanwhile: then a popfs that wakes
 * up later is still told what to keep.
 */
#include "probe.h"

#include "control.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct head {
    int error; /* an errno */
    bool as_owner;
};

enum { PATIENCE_MS = 2000, END_MS = 500, END_POLL_MS = 10, READ_OCTETS = 65536 };

/* ---- the child ---- */

/* The caller's caller would wait for the end of what popfsctl prints. */
static void leave_output(void)
{
    CLEANUP_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (null < 0 || dup2(null, descriptor) < 0)
            close(descriptor);
}

static int ask(const struct place *there, bool keeps, struct buffer *answer)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    int error = status_read(there, "status.json", answer);
    if (error != 0 || !keeps)
        return error;
    if (status_parse(buffer_slice(answer), &status) == 0 &&
        status_number(status, "/pending_removal_count") > 0)
        (void)control_run(there, "keep", NULL);
    return 0;
}

static void run_child(const struct place *place, bool keeps, int answers)
{
    struct place there = *place;
    CLEANUP_BUFFER struct buffer answer = {0};
    leave_output();
    CLEANUP_CLOSE int root = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct head head = {.error = root < 0 ? errno : 0};
    snprintf(there.path, sizeof(there.path), "/proc/self/fd/%d", root);
    if (head.error == 0)
        head.error = ask(&there, keeps, &answer);
    if (head.error == EACCES && place_become_owner(place)) {
        head.as_owner = true;
        head.error = ask(&there, keeps, &answer);
    }
    bool told = descriptor_write(answers, &head, sizeof(head));
    if (told && head.error == 0)
        (void)descriptor_write(answers, answer.data, answer.len);
}

/* ---- the parent ---- */

/* Up to the end; false if that does not come in time. */
static bool read_all(int descriptor, struct buffer *answer)
{
    char octets[READ_OCTETS];
    int64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    for (;;) {
        struct pollfd polled = {.fd = descriptor, .events = POLLIN};
        int64_t left_ms = deadline_ms - clock_now_ms();
        int ready = left_ms <= 0 ? 0 : poll(&polled, 1, (int)left_ms);
        if (ready == 0)
            return false;
        ssize_t got = ready < 0 ? -1 : read(descriptor, octets, sizeof(octets));
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR)
            return false;
        if (got > 0 && !buffer_append(answer, (struct slice){octets, (size_t)got}))
            return false;
    }
}

static int take(struct probe *probe, struct slice answer, struct json_object **ret_status)
{
    struct head head;
    if (answer.len < sizeof(head))
        return EIO;
    memcpy(&head, answer.data, sizeof(head));
    probe->as_owner = head.as_owner;
    return head.error != 0 ? head.error
                           : status_parse(slice_skip(answer, sizeof(head)), ret_status);
}

int probe_status(struct probe *probe, const struct place *place, bool keeps,
                 struct json_object **ret_status)
{
    int ends[2];
    CLEANUP_BUFFER struct buffer answer = {0};
    *probe = (struct probe){0};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    CLEANUP_CLOSE int answers = ends[0];
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        run_child(place, keeps, ends[1]);
        _exit(0);
    }
    int error = errno;
    close(ends[1]);
    if (child < 0)
        return error;
    probe->child = child;
    if (!read_all(answers, &answer))
        return ETIMEDOUT;
    (void)probe_end(probe);
    return take(probe, buffer_slice(&answer), ret_status);
}

bool probe_end(struct probe *probe)
{
    const struct timespec pause = {.tv_nsec = END_POLL_MS * 1000000L};
    if (probe->child == 0)
        return true;
    kill(probe->child, SIGKILL);
    for (int waited_ms = 0; waited_ms < END_MS; waited_ms += END_POLL_MS) {
        if (waitpid(probe->child, NULL, WNOHANG) != 0) {
            probe->child = 0;
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}
