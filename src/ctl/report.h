/* SPDX-License-Identifier: MIT */
/* What the caller gets to read: lines for a person, or one object for a program. */
#ifndef POPFS_CTL_REPORT_H
#define POPFS_CTL_REPORT_H

#include "popfs/base.h"

#include <json-c/json.h>

struct report {
    const char *program; /* what lines on stderr begin with */
    bool quiet;
    struct json_object *object; /* NULL: lines */
};

/* `command` and `mountpoint` are the first members of the object, if there is to be one. */
void report_start(struct report *report, const char *command, const char *mountpoint, bool json);
/* On stdout, for a person only. */
void report_line(const struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* On stderr, and a row of "problems". */
void report_problem(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* For a program only. Takes over the reference to `value`. */
void report_set(struct report *report, const char *key, struct json_object *value);
void report_set_count(struct report *report, const char *key, int64_t count);
/* Writes the object, with "exit_code". Returns `code`, or EXIT_SYSTEM if stdout did not take all.
 */
int report_end(struct report *report, int code);

/* Text from the mount as it is, but for what could harm a terminal. */
void report_text(struct slice text, bool json);

/* "s", or "" for 1. */
const char *plural(int64_t count);

#endif
