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
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int fail(struct job *job, const char *why)
{
    report_problem(&job->report, "%s: %s", job->place.path, why);
    return EXIT_MOUNT;
}

/* ---- taking the mount away ---- */

static int unmount_as_root(struct job *job, unsigned how)
{
    int flags = (how & UMOUNT_LAZY ? MNT_DETACH : 0) | (how & UMOUNT_FORCE ? MNT_FORCE : 0);
    if (umount2(job->place.path, flags | UMOUNT_NOFOLLOW) == 0)
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
 * last looked at; so it is looked at first. Others than root may not ask.
 */
static bool is_busy(const struct place *place)
{
    struct stat attributes;
    if (geteuid() != 0)
        return false;
    (void)!lstat(place->path, &attributes);
    return umount2(place->path, MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 && errno == EBUSY;
}

/* The kernel keeps root out of a mount without allow_other; the one who mounted it is let in. */
static bool become_owner(const struct place *place)
{
    return setgroups(0, NULL) == 0 && setresgid(place->group, place->group, place->group) == 0 &&
           setresuid(place->owner, place->owner, place->owner) == 0;
}

/* ---- the mount's own end ---- */

static int load(struct job *job, struct json_object **ret_status)
{
    int error = status_load(&job->place, ret_status);
    if (error == EACCES && geteuid() == 0 && job->place.owner != 0 && become_owner(&job->place))
        error = status_load(&job->place, ret_status);
    return error;
}

/* With state=off the next mount knows nothing of this one. */
static bool is_forgetful(struct json_object *status)
{
    return status_text(status, "/state_folder")[0] == '\0';
}

static int commit(struct job *job, struct json_object *status)
{
    int64_t pending = status_number(status, "/pending_removal_count");
    if (pending == 0 || status_flag(status, "/read_only")) {
        report_set_count(&job->report, "deleted", 0);
        report_set_count(&job->report, "failed", 0);
        return EXIT_DONE;
    }
    int code = command_commit(job);
    if (code == EXIT_INCOMPLETE)
        report_problem(&job->report, "popfs tries again as it ends; what cannot be deleted then %s",
                       is_forgetful(status)
                           ? "is forgotten (state=off)"
                           : "stays pending for the next mount, if its UIDL is its own");
    return code;
}

/* The file system lives on in another mount of it, and so do its removals. */
static int unmount_one_of_several(struct job *job, unsigned how)
{
    int code = unmount(job, how);
    /* Where mounts are shared, the others may have gone with it. */
    if (code == EXIT_DONE && place_is_elsewhere(&job->place))
        report_line(&job->report, "popfs goes on: it is mounted elsewhere, too");
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
    if (watch >= 0 && !ending_wait(watch, &job->report))
        return EXIT_INCOMPLETE;
    return code;
}

static int unmount_plainly(struct job *job)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    if (is_busy(&job->place))
        return fail(job, "target is busy");
    if (place_is_elsewhere(&job->place))
        return unmount_one_of_several(job, 0);
    int error = load(job, &status);
    if (error == 0)
        return finish(job, status);
    if (error != ENOTCONN && error != ECONNABORTED)
        report_problem(&job->report, "%s: no word from popfs (%s); what it deletes is in the log",
                       job->place.path, strerror(error));
    return unmount(job, 0);
}

static void report_kept(struct job *job, struct json_object *status, int64_t pending)
{
    if (is_forgetful(status))
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
    if (place_is_elsewhere(&job->place))
        return unmount_one_of_several(job, how);
    /* Not for long: status.json is answered from memory, or by nobody. */
    int64_t pending = status_load(&job->place, &status) == 0
                          ? status_number(status, "/pending_removal_count")
                          : 0;
    /* A mount that nobody uses cannot tell this from a plain unmount. */
    if (pending > 0)
        (void)control_run(&job->place, "keep", NULL);
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
