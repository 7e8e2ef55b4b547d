/* SPDX-License-Identifier: MIT */
/*
 * bin: what the mount has kept of deleted messages is read from its folder, which status.json
 * names, with the rights of the caller: the daemon can write no file for him, and whoever may not
 * read the folder has no business there. Nothing that lies in it is trusted.
 */
#include "commands.h"

#include "exit.h"
#include "interrupt.h"
#include "status.h"

#include "popfs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TIME_OCTETS = 40, SIZE_OCTETS = 32, TEXT_OCTETS = STORE_TEXT_OCTETS_MAX + 1 };

static const char suffix[] = ".eml";

/* Borrowed from `status`; NULL, and a code to exit with, if there is none. */
static const char *folder_of(struct job *job, struct json_object **status, int *ret_code)
{
    int64_t begun_s = job_now_s();
    int error = status_load(&job->place, status);
    if (error != 0) {
        *ret_code = job_explain(job, "bin", error, begun_s);
        return NULL;
    }
    const char *folder = status_text(*status, "/bin/folder");
    if (folder[0] != '\0')
        return folder;
    report_problem(&job->report, "this mount keeps no deleted messages (bin=0, or no state or "
                                 "cache folder)");
    *ret_code = EXIT_INCOMPLETE;
    return NULL;
}

/* No folder: nothing has been deleted yet. */
static int code_of(struct job *job, int error)
{
    if (interrupt_signal() != 0)
        return EXIT_SIGNAL + interrupt_signal();
    if (error == 0 || error == ENOENT)
        return EXIT_DONE;
    report_problem(&job->report, "cannot read the bin: %s",
                   error == EACCES    ? "only the owner of the mount may"
                   : error == EBADMSG ? "something there is not a file of popfs"
                                      : strerror(error));
    return error == ENOMEM ? EXIT_SYSTEM : EXIT_INCOMPLETE;
}

/* ---- the list ---- */

static const char *time_text(int64_t time_s, char out[TIME_OCTETS])
{
    struct tm local;
    time_t seconds = (time_t)time_s;
    if (time_s == STORE_TIME_UNKNOWN || localtime_r(&seconds, &local) == NULL ||
        strftime(out, TIME_OCTETS, "%Y-%m-%d %H:%M", &local) == 0)
        strcpy(out, "-");
    return out;
}

static const char *size_text(uint64_t octets, char out[SIZE_OCTETS])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    double amount = (double)octets;
    size_t unit = 0;
    for (; amount >= 1024 && unit < 3; unit++)
        amount /= 1024;
    snprintf(out, SIZE_OCTETS, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return out;
}

static const char *text_of(struct slice text, char *out, size_t capacity)
{
    size_t len = text.len < capacity ? text.len : capacity - 1;
    if (len > 0)
        memcpy(out, text.data, len);
    out[len] = '\0';
    return out;
}

struct list {
    struct job *job;
    struct json_object *entries; /* NULL: lines */
    size_t count;
    uint64_t octets;
};

static struct json_object *json_text(struct slice text)
{
    return json_object_new_string_len(text.data, (int)text.len);
}

static void add_entry(struct json_object *entries, const struct store_deleted *deleted)
{
    struct json_object *entry = json_object_new_object();
    bool has_time = deleted->time_s != STORE_TIME_UNKNOWN;
    json_object_object_add(entry, "name", json_text(deleted->name));
    json_object_object_add(entry, "deleted_s", json_object_new_int64(deleted->deleted_s));
    json_object_object_add(entry, "date_s",
                           has_time ? json_object_new_int64(deleted->time_s) : NULL);
    json_object_object_add(entry, "octets", json_object_new_int64((int64_t)deleted->octets));
    json_object_object_add(entry, "eol", json_object_new_string(deleted->lf ? "lf" : "crlf"));
    json_object_object_add(entry, "from", json_text(deleted->from));
    json_object_object_add(entry, "subject", json_text(deleted->subject));
    json_object_array_add(entries, entry);
}

static bool list_one(void *context, const struct store_deleted *deleted)
{
    struct list *list = context;
    char name[STORE_NAME_OCTETS_MAX + 1], deleted_at[TIME_OCTETS], date[TIME_OCTETS];
    char size[SIZE_OCTETS], from[TEXT_OCTETS], subject[TEXT_OCTETS];
    list->count++;
    list->octets += deleted->octets;
    if (list->entries != NULL)
        add_entry(list->entries, deleted);
    report_line(
        &list->job->report, "%s  %s  %s  %s  %s  %s", text_of(deleted->name, name, sizeof(name)),
        time_text(deleted->deleted_s, deleted_at), time_text(deleted->time_s, date),
        size_text(deleted->octets, size),
        deleted->from.len == 0 ? "-" : text_of(deleted->from, from, sizeof(from)),
        deleted->subject.len == 0 ? "-" : text_of(deleted->subject, subject, sizeof(subject)));
    return interrupt_signal() == 0;
}

static int list_all(struct job *job, const char *folder)
{
    struct list list = {.job = job};
    if (job->json)
        list.entries = json_object_new_array();
    int code = code_of(job, store_bin_each(folder, list_one, &list));
    report_set_count(&job->report, "count", (int64_t)list.count);
    report_set_count(&job->report, "octets", (int64_t)list.octets);
    report_set(&job->report, "bin", list.entries);
    if (list.count == 0 && code == EXIT_DONE)
        report_line(&job->report, "the bin is empty");
    return code;
}

/* ---- copying out ---- */

/* A name that was asked for. */
struct wanted {
    const char *name;
    size_t found_count, met_count;
};

struct copy {
    struct job *job;
    const char *folder;
    struct wanted *wanted; /* sorted by name */
    size_t wanted_count;
    struct json_object *copied; /* NULL: lines */
    int64_t copied_count;
    int code;
};

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static struct wanted *find_exactly(const struct copy *copy, const char *name)
{
    const struct wanted key = {.name = name};
    return bsearch(&key, copy->wanted, copy->wanted_count, sizeof(key), compare_wanted);
}

static bool has_suffix(const char *name)
{
    size_t len = strlen(name);
    return len > strlen(suffix) && strcmp(name + len - strlen(suffix), suffix) == 0;
}

/* "1" may be asked for as well as "1.eml". No name that is asked for holds a slash. */
static struct wanted *find_without_suffix(const struct copy *copy, const char *name)
{
    char stem[STORE_NAME_OCTETS_MAX + 1];
    if (!has_suffix(name))
        return NULL;
    snprintf(stem, sizeof(stem), "%.*s", (int)(strlen(name) - strlen(suffix)), name);
    return find_exactly(copy, stem);
}

/* Somebody may ask for both. */
static bool count_one(void *context, const struct store_deleted *deleted)
{
    char name[STORE_NAME_OCTETS_MAX + 1];
    struct wanted *found[2];
    text_of(deleted->name, name, sizeof(name));
    found[0] = find_exactly(context, name);
    found[1] = find_without_suffix(context, name);
    for (size_t i = 0; i < 2; i++)
        if (found[i] != NULL)
            found[i]->found_count++;
    return interrupt_signal() == 0;
}

/* Of several by one name the one that was deleted last has it, and those before are "1~bin2.eml",
 * "1~bin3.eml", as no message is ever called. */
static void name_file(const char *name, size_t later_count, char out[NAME_MAX + 64])
{
    int stem = (int)strlen(name) - (has_suffix(name) ? (int)strlen(suffix) : 0);
    if (later_count == 0)
        snprintf(out, NAME_MAX + 64, "%s", name);
    else
        snprintf(out, NAME_MAX + 64, "%.*s~bin%zu%s", stem, name, later_count + 1, name + stem);
}

/* A file that is there stays as it is. Nothing is left of one that could not be written whole. */
static int write_file(const struct copy *copy, const struct store_deleted *deleted,
                      const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return errno;
    int error = fchmod(file, 0600) == 0 ? 0 : errno;
    if (error == 0)
        error = store_bin_read(copy->folder, deleted, file);
    if (close(file) != 0 && error == 0)
        error = errno;
    if (error != 0)
        unlink(path);
    return error;
}

static const char *words_of(int error)
{
    switch (error) {
    case EEXIST:
        return "it is in this folder already";
    case EBADMSG:
        return "what is in the bin is damaged";
    case ENOENT:
        return "it has just been dropped from the bin";
    default:
        return strerror(error);
    }
}

static void note_copied(struct copy *copy, const struct store_deleted *deleted, const char *path)
{
    char deleted_at[TIME_OCTETS], from[TEXT_OCTETS], subject[TEXT_OCTETS];
    copy->copied_count++;
    if (copy->copied != NULL) {
        struct json_object *entry = json_object_new_object();
        json_object_object_add(entry, "name", json_text(deleted->name));
        json_object_object_add(entry, "file", json_object_new_string(path));
        json_object_object_add(entry, "deleted_s", json_object_new_int64(deleted->deleted_s));
        json_object_array_add(copy->copied, entry);
    }
    report_line(&copy->job->report, "%s: deleted %s (%s, %s)", path,
                time_text(deleted->deleted_s, deleted_at),
                text_of(deleted->from, from, sizeof(from)),
                text_of(deleted->subject, subject, sizeof(subject)));
}

static bool copy_one(void *context, const struct store_deleted *deleted)
{
    struct copy *copy = context;
    char name[STORE_NAME_OCTETS_MAX + 1], path[NAME_MAX + 64];
    text_of(deleted->name, name, sizeof(name));
    struct wanted *wanted = find_exactly(copy, name);
    if (wanted == NULL)
        wanted = find_without_suffix(copy, name);
    if (wanted == NULL || wanted->met_count == wanted->found_count)
        return interrupt_signal() == 0;
    wanted->met_count++;
    name_file(name, wanted->found_count - wanted->met_count, path);
    int error = write_file(copy, deleted, path);
    if (error == 0) {
        note_copied(copy, deleted, path);
    } else {
        report_problem(&copy->job->report, "could not copy %s: %s", path, words_of(error));
        copy->code = EXIT_INCOMPLETE;
    }
    return interrupt_signal() == 0;
}

static void say_what_is_missing(struct copy *copy)
{
    for (size_t i = 0; i < copy->wanted_count; i++) {
        if (copy->wanted[i].found_count > 0)
            continue;
        report_problem(&copy->job->report, "could not copy %s: the bin has no message of this name",
                       copy->wanted[i].name);
        copy->code = EXIT_INCOMPLETE;
    }
}

static void want_all(struct copy *copy)
{
    size_t count = (size_t)copy->job->name_count;
    for (size_t i = 0; i < count; i++)
        copy->wanted[i].name = job_message_name(copy->job->names[i]);
    qsort(copy->wanted, count, sizeof(copy->wanted[0]), compare_wanted);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(copy->wanted[i].name, copy->wanted[i - 1].name) != 0)
            copy->wanted[copy->wanted_count++] = copy->wanted[i];
}

static int copy_all(struct job *job, const char *folder)
{
    struct copy copy = {.job = job, .folder = folder, .code = EXIT_DONE};
    CLEANUP_FREE struct wanted *wanted = calloc((size_t)job->name_count, sizeof(wanted[0]));
    if (wanted == NULL)
        return code_of(job, ENOMEM);
    copy.wanted = wanted;
    if (job->json)
        copy.copied = json_object_new_array();
    want_all(&copy);
    int code = code_of(job, store_bin_each(folder, count_one, &copy));
    if (code < EXIT_SIGNAL) {
        say_what_is_missing(&copy);
        /* What cannot be read has been said. */
        (void)store_bin_each(folder, copy_one, &copy);
    }
    if (interrupt_signal() != 0)
        code = EXIT_SIGNAL + interrupt_signal();
    report_set_count(&job->report, "count", copy.copied_count);
    report_set(&job->report, "copied", copy.copied);
    return code == EXIT_DONE ? copy.code : code;
}

int command_bin(struct job *job)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    int code = EXIT_DONE;
    const char *folder = folder_of(job, &status, &code);
    if (folder == NULL)
        return code;
    return job->name_count > 0 ? copy_all(job, folder) : list_all(job, folder);
}
