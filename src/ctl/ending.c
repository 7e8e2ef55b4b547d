/* SPDX-License-Identifier: MIT */
/*
 * The kernel does not keep umount(2) waiting for the process behind the mount, which then still has
 * to end its session. Refuses to know what that process does.
 */
#include "ending.h"

#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum {
    LOOK_MS = 1000, /* then something else than its session may keep it */
    PATIENCE_MS = 5000,
    /* A session that has to be made anew for the commit may take five times the timeout, and QUIT a
     * minute. */
    WAIT_MS_MAX = 300 * 1000,
    COMM_OCTETS = 32
};

/* Not by /proc/PID/exe: popfs does not let others read that. The name also holds for a link such as
 * mount.fuse.popfs. */
static bool is_popfs(pid_t pid)
{
    char path[40], name[COMM_OCTETS];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, name, sizeof(name) - 1);
    if (got <= 0)
        return false;
    name[got] = '\0';
    return strstr(name, "popfs") != NULL;
}

int ending_watch(int64_t pid)
{
    if (pid <= 1 || pid > INT32_MAX)
        return -1;
    int watch = pidfd_open((pid_t)pid, 0);
    if (watch >= 0 && !is_popfs((pid_t)pid)) {
        close(watch);
        return -1;
    }
    return watch;
}

static bool is_held(const struct place *place, struct report *report)
{
    struct holder holder;
    if (!holder_find(place, &holder))
        return false;
    report_problem(report,
                   "unmounted here; popfs goes on, because process %d (%s) lives in a mount "
                   "namespace that has it on %s still: nsenter -t %d -m umount takes it away",
                   (int)holder.pid, holder.name, holder.path == NULL ? "some place" : holder.path,
                   (int)holder.pid);
    holder_done(&holder);
    return true;
}

bool ending_wait(int watch, const struct place *place, struct report *report)
{
    struct pollfd end = {.fd = watch, .events = POLLIN};
    int ready = poll(&end, 1, LOOK_MS);
    if (ready == 0 && is_held(place, report))
        return false;
    if (ready == 0)
        ready = poll(&end, 1, PATIENCE_MS - LOOK_MS);
    if (ready == 0) {
        report_problem(report, "unmounted; waiting for popfs to end its session");
        ready = poll(&end, 1, WAIT_MS_MAX - PATIENCE_MS);
    }
    if (ready > 0)
        return true;
    report_problem(report, "%s; popfs has not ended yet, the outcome will be in the log",
                   ready == 0 ? "waited five minutes" : strerror(errno));
    return false;
}
