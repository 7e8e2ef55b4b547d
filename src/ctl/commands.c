/* SPDX-License-Identifier: MIT */
/*
 * status, refresh, undelete, rollback, prefetch and verify. Numbers are told by comparing
 * status.json from before with that from after.
 */
#include "commands.h"

#include "exit.h"
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int command_status(struct job *job)
{
    CLEANUP_BUFFER struct buffer content = {0};
    int64_t begun_s = job_now_s();
    int error = status_read(&job->place, job->json ? "status.json" : "status", &content);
    if (error != 0) {
        report_start(&job->report, "status", job->place.path, job->json);
        return job_explain(job, "status", error, begun_s);
    }
    report_text(buffer_slice(&content), job->json);
    return EXIT_DONE;
}

/* Has `word` done, with the facts from before and after, which are the caller's to put even if it
 * failed. */
static int run_between(struct job *job, const char *word, struct json_object **ret_before,
                       struct json_object **ret_after)
{
    int64_t begun_s = job_now_s();
    CLEANUP_CLOSE int folder = -1;
    int error = status_open(&job->place, &folder);
    if (error == 0)
        error = status_load_in(folder, ret_before);
    if (error == 0)
        error = job_control(job, word, NULL);
    if (error == 0)
        error = status_load_in(folder, ret_after);
    return error == 0 ? EXIT_DONE : job_explain(job, word, error, begun_s);
}

int command_refresh(struct job *job)
{
    CLEANUP_STATUS struct json_object *before = NULL;
    CLEANUP_STATUS struct json_object *after = NULL;
    int code = run_between(job, "refresh", &before, &after);
    if (code != EXIT_DONE)
        return code;
    int64_t all = status_number(after, "/message_count");
    int64_t more = all - status_number(before, "/message_count");
    report_set_count(&job->report, "message_count", all);
    report_set_count(&job->report, "more", more);
    if (more > 0)
        report_line(&job->report, "%" PRId64 " new message%s, %" PRId64 " in all", more,
                    plural(more), all);
    else if (more < 0)
        report_line(&job->report, "%" PRId64 " message%s fewer, %" PRId64 " in all", -more,
                    plural(-more), all);
    else
        report_line(&job->report, "%" PRId64 " message%s, as many as before", all, plural(all));
    return EXIT_DONE;
}

static void report_restored(struct job *job, int64_t count)
{
    report_set_count(&job->report, "restored", count);
    if (count == 0)
        report_line(&job->report, "nothing to bring back");
    else
        report_line(&job->report, "brought back %" PRId64 " message%s", count, plural(count));
}

int command_rollback(struct job *job)
{
    CLEANUP_STATUS struct json_object *before = NULL;
    CLEANUP_STATUS struct json_object *after = NULL;
    int code = run_between(job, "rollback", &before, &after);
    if (code == EXIT_DONE)
        report_restored(job, status_number(before, "/pending_removal_count") -
                                 status_number(after, "/pending_removal_count"));
    return code;
}

static int explain_name(struct job *job, const char *doing, const char *name, int error,
                        const char *missing, int64_t begun_s)
{
    char what[NAME_MAX + 64];
    snprintf(what, sizeof(what), "could not %s %s", doing, name);
    if (error != ENOENT)
        return job_explain(job, what, error, begun_s);
    report_problem(&job->report, "%s: %s", what, missing);
    return EXIT_INCOMPLETE;
}

/* Has `word` done for the name, and explains what failed. */
static int run_one(struct job *job, const char *word, const char *doing, const char *missing,
                   const char *name)
{
    int64_t begun_s = job_now_s();
    int error = job_control(job, word, name);
    return error == 0 ? EXIT_DONE : explain_name(job, doing, name, error, missing, begun_s);
}

/* Has `word` done for each name. What fails does not keep the others from their turn, but a signal
 * does. */
static int run_each(struct job *job, const char *word, const char *doing, const char *missing,
                    int64_t *ret_done)
{
    int code = EXIT_DONE;
    *ret_done = 0;
    for (int i = 0; i < job->name_count && code < EXIT_SIGNAL; i++) {
        int one = run_one(job, word, doing, missing, job_message_name(job->names[i]));
        if (one == EXIT_DONE)
            ++*ret_done;
        else
            code = one;
    }
    return code;
}

int command_undelete(struct job *job)
{
    int64_t done;
    int code = run_each(job, "undelete", "bring back", "no removed message has this name", &done);
    if (done > 0 || code == EXIT_DONE)
        report_restored(job, done);
    return code;
}

static int prefetch_names(struct job *job)
{
    int64_t done;
    int code = run_each(job, "prefetch", "fetch", "no message has this name", &done);
    report_set_count(&job->report, "fetched", done);
    if (done > 0)
        report_line(&job->report, "%" PRId64 " message%s on the local disk", done, plural(done));
    return code;
}

int command_prefetch(struct job *job)
{
    CLEANUP_STATUS struct json_object *before = NULL;
    CLEANUP_STATUS struct json_object *after = NULL;
    if (job->name_count > 0)
        return prefetch_names(job);
    int code = run_between(job, "prefetch", &before, &after);
    if (code != EXIT_DONE)
        return code;
    int64_t bodies = status_number(after, "/cache/bodies");
    report_set_count(&job->report, "bodies", bodies);
    report_line(&job->report, "%" PRId64 " message%s on the local disk", bodies, plural(bodies));
    return EXIT_DONE;
}

static const char *const no_message = "no message has this name";

/* Fetches the one that was damaged, as its name in status.json is. */
static int fetch_again(struct job *job, struct json_object *name)
{
    const char *text = json_object_get_string(name);
    if (text == NULL)
        return EXIT_INCOMPLETE;
    int code = run_one(job, "prefetch", "fetch", no_message, text);
    if (code == EXIT_DONE)
        report_line(&job->report, "%s was damaged, and has been fetched again", text);
    return code;
}

/* Fetches the last `count` that the mount names: the others were there before. */
static int fetch_damaged(struct job *job, struct json_object *names, int64_t count)
{
    struct json_object *array = json_object_new_array();
    int64_t named =
        json_object_is_type(names, json_type_array) ? (int64_t)json_object_array_length(names) : 0;
    int code = EXIT_DONE;
    for (int64_t i = named > count ? named - count : 0; i < named && code < EXIT_SIGNAL; i++) {
        struct json_object *name = json_object_array_get_idx(names, (size_t)i);
        json_object_array_add(array, json_object_get(name));
        int one = fetch_again(job, name);
        code = one > code ? one : code;
    }
    report_set(&job->report, "names", array);
    if (named < count)
        report_line(&job->report,
                    "%" PRId64 " more were damaged; they are fetched when they are opened next",
                    count - named);
    return code;
}

static int verify(struct job *job)
{
    int64_t done;
    if (job->name_count > 0)
        return run_each(job, "verify", "verify", no_message, &done);
    int64_t begun_s = job_now_s();
    int error = job_control(job, "verify", NULL);
    return error == 0 ? EXIT_DONE : job_explain(job, "verify", error, begun_s);
}

int command_verify(struct job *job)
{
    CLEANUP_STATUS struct json_object *before = NULL;
    CLEANUP_STATUS struct json_object *after = NULL;
    CLEANUP_CLOSE int folder = -1;
    int64_t begun_s = job_now_s();
    int error = status_open(&job->place, &folder);
    if (error == 0)
        error = status_load_in(folder, &before);
    if (error != 0)
        return job_explain(job, "verify", error, begun_s);
    int code = verify(job);
    error = code < EXIT_SIGNAL ? status_load_in(folder, &after) : 0;
    if (error != 0)
        return job_explain(job, "verify", error, begun_s);
    if (after == NULL)
        return code;
    int64_t checked = status_number(after, "/verification/checked") -
                      status_number(before, "/verification/checked");
    int64_t damaged = status_number(after, "/verification/damaged") -
                      status_number(before, "/verification/damaged");
    report_set_count(&job->report, "checked", checked);
    report_set_count(&job->report, "damaged", damaged);
    int fetched = damaged > 0
                      ? fetch_damaged(job, status_object(after, "/verification/names"), damaged)
                      : EXIT_DONE;
    report_line(&job->report, "checked %" PRId64 " local message%s, %" PRId64 " damaged", checked,
                plural(checked), damaged);
    return fetched > code ? fetched : code;
}
