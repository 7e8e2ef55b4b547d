/* SPDX-License-Identifier: MIT */
/* All output passes here, and is made harmless here. Refuses to know what happened. */
#include "report.h"

#include "exit.h"
#include "harmless.h"

#include <stdio.h>

enum { LINE_OCTETS = 8192 }; /* a name, a reason, a sender and a subject, each bounded by popfs */

static void put(FILE *file, struct slice text, enum harmless_style style)
{
    CLEANUP_BUFFER struct buffer shown = {0};
    if (harmless_append(&shown, text, style) && shown.len > 0)
        fwrite(shown.data, 1, shown.len, file);
}

void report_start(struct report *report, const char *command, const char *mountpoint, bool json)
{
    if (!json)
        return;
    report->object = json_object_new_object();
    report_set(report, "command", json_object_new_string(command));
    report_set(report, "mountpoint", json_object_new_string(mountpoint));
    report_set(report, "problems", json_object_new_array());
}

void report_line(const struct report *report, const char *format, ...)
{
    char line[LINE_OCTETS];
    va_list args;
    if (report->quiet || report->object != NULL)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    put(stdout, slice_from_string(line), HARMLESS_LINE);
    fputc('\n', stdout);
    fflush(stdout); /* before what stderr says next */
}

void report_problem(struct report *report, const char *format, ...)
{
    char line[LINE_OCTETS];
    struct json_object *problems;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(stderr, "%s: ", report->program);
    put(stderr, slice_from_string(line), HARMLESS_LINE);
    fputc('\n', stderr);
    if (json_object_object_get_ex(report->object, "problems", &problems))
        json_object_array_add(problems, json_object_new_string(line));
}

void report_set(struct report *report, const char *key, struct json_object *value)
{
    if (report->object == NULL)
        json_object_put(value);
    else
        json_object_object_add(report->object, key, value);
}

void report_set_count(struct report *report, const char *key, int64_t count)
{
    report_set(report, key, json_object_new_int64(count));
}

void report_text(struct slice text, bool json)
{
    put(stdout, text, json ? HARMLESS_JSON : HARMLESS_LINES);
}

int report_end(struct report *report, int code)
{
    if (report->object != NULL) {
        const int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE;
        report_set_count(report, "exit_code", code);
        report_text(slice_from_string(json_object_to_json_string_ext(report->object, flags)), true);
        fputc('\n', stdout);
        json_object_put(report->object);
        report->object = NULL;
    }
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return code;
    report_problem(report, "cannot write the output");
    return code == EXIT_DONE ? EXIT_SYSTEM : code;
}

const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}
