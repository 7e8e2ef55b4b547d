/* SPDX-License-Identifier: MIT */
/* popfsctl commit: what was deleted, and by name what could not be. */
#include "commands.h"
#include "exit.h"
#include "status.h"

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

int command_commit_by(struct job *job, const char *word)
{
    CLEANUP_STATUS struct json_object *before = NULL;
    CLEANUP_STATUS struct json_object *after = NULL;
    int64_t begun_s = job_now_s();
    int error = status_load(&job->place, &before);
    if (error != 0)
        return job_explain(job, "commit", error, begun_s);
    int result = job_control(job, word, NULL);
    error = status_load(&job->place, &after);
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
    return command_commit_by(job, "commit");
}
