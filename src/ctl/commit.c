/* SPDX-License-Identifier: MIT */
/* popfsctl commit: what was deleted, and by name what could not be. */
#include "commands.h"
#include "exit.h"
#include "status.h"

#include <errno.h>
#include <inttypes.h>

static void report_failure(struct report *report, struct json_object *failure)
{
    const char *from = status_text(failure, "/from"), *subject = status_text(failure, "/subject");
    const char *reason = status_text(failure, "/reason");
    bool has_both = from[0] != '\0' && subject[0] != '\0';
    report_problem(report, "could not delete %s: %s%s%s%s%s%s", status_text(failure, "/name"),
                   reason[0] == '\0' ? "no reason given" : reason,
                   from[0] != '\0' || subject[0] != '\0' ? " (" : "", from, has_both ? ", " : "",
                   subject, from[0] != '\0' || subject[0] != '\0' ? ")" : "");
}

/* Of those that failed, popfs names a hundred at most. */
static void report_failures(struct report *report, struct json_object *failures, int64_t failed)
{
    size_t named =
        json_object_is_type(failures, json_type_array) ? json_object_array_length(failures) : 0;
    for (size_t i = 0; i < named; i++)
        report_failure(report, json_object_array_get_idx(failures, i));
    if (failed > (int64_t)named)
        report_problem(report, "could not delete %" PRId64 "%s message%s; the log names them",
                       failed - (int64_t)named, named > 0 ? " more" : "",
                       plural(failed - (int64_t)named));
    report_set(report, "failures",
               failures == NULL ? json_object_new_array() : json_object_get(failures));
}

static int report_outcome(struct job *job, struct json_object *last)
{
    struct report *report = &job->report;
    int64_t deleted = status_number(last, "/deleted"), failed = status_number(last, "/failed");
    report_set_count(report, "deleted", deleted);
    report_set_count(report, "failed", failed);
    if (deleted > 0)
        report_line(report, "deleted %" PRId64 " message%s", deleted, plural(deleted));
    report_failures(report, status_object(last, "/failures"), failed);
    return failed > 0 ? EXIT_INCOMPLETE : EXIT_DONE;
}

/* Nobody is left who could say what the server has done. */
static int report_lost(struct job *job, struct json_object *before)
{
    int64_t pending = status_number(before, "/pending_removal_count");
    bool is_dead = place_is_there(&job->place);
    report_problem(&job->report,
                   "commit: popfs %s with %" PRId64 " removal%s pending; what the server has not "
                   "deleted %s%s",
                   is_dead ? "has died" : "has ended", pending, plural(pending),
                   status_is_forgetful(before) ? "is forgotten (state=off)"
                                               : "stays pending for the next mount",
                   is_dead ? "; clear the place with fusermount3 -uz" : "");
    return EXIT_INCOMPLETE;
}

int command_commit_by(struct job *job, const char *word, bool *ret_ended)
{
    CLEANUP_CLOSE int folder = -1;
    CLEANUP_STATUS struct json_object *before = NULL;
    CLEANUP_STATUS struct json_object *after = NULL;
    int64_t begun_s = job_now_s();
    int error = status_open(&job->place, &folder);
    if (error == 0)
        error = status_load_in(folder, &before);
    if (error != 0)
        return job_explain(job, "commit", error, begun_s);
    int result = job_control(job, word, NULL);
    error = status_load_in(folder, &after);
    *ret_ended = error == ENOTCONN || error == ECONNABORTED;
    if (*ret_ended)
        return report_lost(job, before);
    if (error != 0)
        return job_explain(job, "commit", result != 0 ? result : error, begun_s);

    struct json_object *last = status_object(after, "/last_commit");
    /* A commit that had nothing to delete leaves none. */
    bool was_ours =
        status_number(after, "/last_commit/number") != status_number(before, "/last_commit/number");
    int code = report_outcome(job, was_ours ? last : NULL);
    report_set_count(&job->report, "pending_removal_count",
                     status_number(after, "/pending_removal_count"));
    if (result != 0)
        return code == EXIT_DONE ? job_explain(job, "commit", result, begun_s) : code;
    if (code == EXIT_DONE && (!was_ours || status_number(last, "/deleted") == 0))
        report_line(&job->report, "nothing to delete");
    return code;
}

int command_commit(struct job *job)
{
    bool has_ended;
    return command_commit_by(job, "commit", &has_ended);
}
