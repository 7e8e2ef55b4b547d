/* SPDX-License-Identifier: MIT */
/*
 * Commits while the mount still answers, because the outcome can be learnt only then; unmounts;
 * waits for the process behind it. Refuses to know how messages are deleted.
 */
#include "umount.h"

#include "commands.h"
#include "control.h"
#include "ending.h"
#include "exit.h"
#include "holder.h"
#include "probe.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int fail(struct job *job, const char *why)
{
    report_problem(&job->report, "%s: %s", job->place.path, why);
    return EXIT_MOUNT;
}

/* ---- taking the mount away ---- */

/* What the kernel does for MNT_FORCE, for a mount that has no path any more. */
static void cut_connection(const struct place *place)
{
    char path[64];
    const char *minor = strchr(place->mount.device, ':');
    snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%s/abort",
             minor == NULL ? "" : minor + 1);
    CLEANUP_CLOSE int control = open(path, O_WRONLY | O_CLOEXEC);
    if (control >= 0)
        (void)!write(control, "1", 1);
}

/* A copy in another mount namespace may go with ours, or not. */
static int detach_one_copy(struct job *job)
{
    struct holder holder;
    if (umount2(job->place.path, UMOUNT_NOFOLLOW | MNT_DETACH) != 0)
        return -1;
    if (!holder_find(&job->place, &holder)) {
        cut_connection(&job->place);
        return 0;
    }
    report_line(&job->report, "popfs goes on: the mount namespace of process %d (%s) has it, too",
                (int)holder.pid, holder.name);
    holder_done(&holder);
    return 0;
}

/*
 * MNT_FORCE cuts the connection to popfs first, and then finds the mount busy all the same: what
 * stays is a place that answers nobody. So it is used only where a plain unmount fails and no other
 * namespace has the mount, and the mount is detached with it.
 */
static int force_busy(struct job *job)
{
    struct holder holder;
    if (!holder_find(&job->place, &holder))
        return umount2(job->place.path, UMOUNT_NOFOLLOW | MNT_DETACH | MNT_FORCE);
    holder_done(&holder);
    return detach_one_copy(job);
}

static int unmount_as_root(struct job *job, unsigned how)
{
    int lazily = how == UMOUNT_LAZY ? MNT_DETACH : 0;
    int result = umount2(job->place.path, UMOUNT_NOFOLLOW | lazily);
    if (result != 0 && errno == EBUSY && (how & UMOUNT_FORCE) != 0)
        result = force_busy(job);
    if (result == 0)
        return EXIT_DONE;
    return fail(job, errno == EBUSY ? "target is busy" : strerror(errno));
}

/* fusermount3 says itself what it does not like. */
static int unmount_as_user(struct job *job, unsigned how)
{
    char program[] = "fusermount3", plain[] = "-u", lazy[] = "-uz", end[] = "--";
    char *words[] = {program, how & UMOUNT_LAZY ? lazy : plain, end, job->place.path, NULL};
    pid_t child;
    int status;
    int error = posix_spawnp(&child, program, NULL, NULL, words, environ);
    if (error != 0)
        return fail(job, strerror(error));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return fail(job, strerror(errno));
    return status == 0 ? EXIT_DONE : EXIT_MOUNT;
}

/* Both ways take a path, so the mount must be the one on top there still. */
static int unmount(struct job *job, unsigned how)
{
    if (!place_is_there(&job->place))
        return fail(job, "what was mounted here has gone, or something else is mounted over it");
    int code = geteuid() == 0 ? unmount_as_root(job, how) : unmount_as_user(job, how);
    report_set(&job->report, "unmounted", json_object_new_boolean(code == EXIT_DONE));
    return code;
}

/*
 * Nothing is to be deleted if the mount then stays because somebody uses it. MNT_EXPIRE says
 * whether somebody does without unmounting, if nobody has asked in this way since the mount was
 * last looked at; so it is looked at first, which wakes no popfs. Others than root may not ask.
 */
static bool is_busy(const struct place *place)
{
    return geteuid() == 0 && place_is_there(place) &&
           umount2(place->path, MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 && errno == EBUSY;
}

/* ---- the mount's own end ---- */

static int commit(struct job *job, struct json_object *status)
{
    int64_t pending = status_number(status, "/pending_removal_count");
    if (pending == 0 || status_flag(status, "/read_only")) {
        report_set_count(&job->report, "deleted", 0);
        report_set_count(&job->report, "failed", 0);
        return EXIT_DONE;
    }
    bool has_ended = false;
    int code = command_commit_by(job, "settle", &has_ended);
    if (code == EXIT_INCOMPLETE && !has_ended)
        report_problem(&job->report, "popfs tries again as it ends; what cannot be deleted then %s",
                       status_is_forgetful(status)
                           ? "is forgotten (state=off)"
                           : "stays pending for the next mount, if its UIDL is its own");
    return code;
}

/* The file system lives on in another mount of it, and so do its removals. To cut the connection
 * would make a dead place of that one. */
static int unmount_one_of_several(struct job *job, unsigned how)
{
    CLEANUP_FREE char *path = NULL;
    int code = unmount(job, (how & UMOUNT_FORCE) != 0 ? UMOUNT_LAZY : how);
    /* Where mounts are shared, the others may have gone with it. */
    if (code == EXIT_DONE && place_is_elsewhere(&job->place, &path))
        report_line(&job->report, "popfs goes on: it is mounted on %s, too",
                    path == NULL ? "another place" : path);
    return code;
}

static int finish(struct job *job, struct json_object *status)
{
    int code = commit(job, status);
    if (code >= EXIT_SIGNAL)
        return code;
    CLEANUP_CLOSE int watch = ending_watch(status_number(status, "/pid"));
    if (unmount(job, 0) != EXIT_DONE)
        return EXIT_MOUNT;
    if (watch >= 0 && !ending_wait(watch, &job->place, &job->report))
        return EXIT_INCOMPLETE;
    return code;
}

static int unmount_plainly(struct job *job)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    if (is_busy(&job->place))
        return fail(job, "target is busy");
    if (place_is_elsewhere(&job->place, NULL))
        return unmount_one_of_several(job, 0);
    struct probe probe;
    int error = probe_status(&probe, &job->place, false, &status);
    if (error == 0 && probe.as_owner && !place_become_owner(&job->place))
        error = EACCES;
    if (error == 0)
        return finish(job, status);
    if (!probe_end(&probe))
        return fail(job, "popfs does not answer; -l or -f takes the mount away all the same");
    if (error != ENOTCONN && error != ECONNABORTED)
        report_problem(&job->report, "%s: no word from popfs (%s); what it deletes is in the log",
                       job->place.path,
                       error == ETIMEDOUT ? "it does not answer" : strerror(error));
    return unmount(job, 0);
}

static void report_kept(struct job *job, struct json_object *status, int64_t pending)
{
    if (status_is_forgetful(status))
        report_problem(&job->report,
                       "nothing is deleted; %" PRId64 " removal%s forgotten (state=off)", pending,
                       pending == 1 ? " is" : "s are");
    else
        report_problem(&job->report, "nothing is deleted; %" PRId64 " removal%s stay%s pending",
                       pending, plural(pending), pending == 1 ? "s" : "");
}

static int unmount_at_once(struct job *job, unsigned how)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    /* Before "keep" is said, which nothing takes back. */
    if ((how & UMOUNT_FORCE) != 0 && geteuid() != 0)
        return fail(job, "only root can force it");
    if (place_is_elsewhere(&job->place, NULL))
        return unmount_one_of_several(job, how);
    /* A mount that nobody uses cannot tell this from a plain unmount, so it is told to keep what is
     * removed. */
    struct probe probe;
    int error = probe_status(&probe, &job->place, true, &status);
    int64_t pending = error == 0 ? status_number(status, "/pending_removal_count") : 0;
    if (error == ETIMEDOUT)
        report_problem(&job->report, "%s: popfs does not answer; %s", job->place.path,
                       (how & UMOUNT_FORCE) != 0
                           ? "if it goes on, it may delete what was removed: kill it first if "
                             "nothing is to be deleted"
                           : "if it goes on, it is told to delete nothing");
    int code = unmount(job, how);
    report_set_count(&job->report, "pending_removal_count", pending);
    if (code == EXIT_DONE && pending > 0)
        report_kept(job, status, pending);
    return code;
}

int umount_run(struct job *job, unsigned how)
{
    return how == 0 ? unmount_plainly(job) : unmount_at_once(job, how);
}

bool umount_enter_namespace(struct job *job, const char *path)
{
    CLEANUP_CLOSE int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace >= 0 && setns(namespace, CLONE_NEWNS) == 0)
        return true;
    report_problem(&job->report, "%s: %s", path, strerror(errno));
    return false;
}
