/* SPDX-License-Identifier: MIT */
/* What every command does: have it done, and put a refusal into words. */
#include "job.h"

#include "control.h"
#include "exit.h"
#include "interrupt.h"
#include "progress.h"
#include "status.h"

#include <errno.h>
#include <string.h>

int64_t job_now_s(void)
{
    return clock_wall_ns() / 1000000000;
}

const char *job_message_name(const char *argument)
{
    const char *slash = strrchr(argument, '/');
    return slash == NULL ? argument : slash + 1;
}

int job_control(struct job *job, const char *word, const char *name)
{
    struct progress progress;
    progress_start(&progress, &job->place, !job->report.quiet);
    int error = control_run(&job->place, word, name);
    progress_stop(&progress);
    return error;
}

static const char *words_of(int error)
{
    switch (error) {
    case EIO:
        return "the server refused, or could not be reached";
    case EROFS:
        return "mounted read-only";
    case EBUSY:
        return "the maildrop is locked by another session";
    case EINPROGRESS:
        return "too late, the server has been asked to delete it";
    case ETIMEDOUT:
        return "the server did not answer in time";
    case EACCES:
        return "permission denied, or the server refused the login";
    case EINVAL:
        return "the popfs there does not know this command";
    case ENOENT:
    case ENXIO:
        return "there is no .popfs here (mounted with control=off?)";
    case ENOSPC:
        return "the cache is full (its disk, or cache_size=)";
    case ENOTCONN:
    case ECONNABORTED:
        return "popfs has died; clear the place with fusermount3 -uz";
    case ENODEV:
        return "another file system has been mounted here meanwhile";
    case EBADMSG:
    case EFBIG:
        return "status.json makes no sense";
    default:
        return strerror(error);
    }
}

/* The server's own words, which only the mount has heard. */
static bool is_about_the_server(int error)
{
    return error == EIO || error == EBUSY || error == ETIMEDOUT || error == EACCES;
}

int job_explain(struct job *job, const char *what, int error, int64_t since_s)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    const char *reason = words_of(error);
    if (error == EINTR && interrupt_signal() != 0) {
        report_problem(&job->report, "%s: interrupted; the mount goes on", what);
        return EXIT_SIGNAL + interrupt_signal();
    }
    /* While popfs waits for its next attempt, the failure of the last one is the reason. */
    if (is_about_the_server(error) && status_load(&job->place, &status) == 0 &&
        (status_number(status, "/last_error/at_s") >= since_s ||
         strcmp(status_text(status, "/state"), "offline") == 0) &&
        status_text(status, "/last_error/text")[0] != '\0')
        reason = status_text(status, "/last_error/text");
    report_problem(&job->report, "%s: %s", what, reason);
    return error == ENOMEM ? EXIT_SYSTEM : EXIT_INCOMPLETE;
}
