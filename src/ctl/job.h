/* SPDX-License-Identifier: MIT */
/* One run of popfsctl: on which mount, and how it tells. */
#ifndef POPFS_CTL_JOB_H
#define POPFS_CTL_JOB_H

#include "place.h"
#include "report.h"

struct job {
    struct report report;
    struct place place;
    bool json;
    char **names;
    int name_count;
};

/* control_run() with a bar. */
int job_control(struct job *job, const char *word, const char *name);

/*
 * Says why control_run() or status_load() failed, "WHAT: reason", and returns the code to exit
 * with. `since_s` is when it was called: the last error of the mount is the reason if it is not
 * older.
 */
int job_explain(struct job *job, const char *what, int error, int64_t since_s);

/* Of a path, such as one in .popfs/trash, the last component is the name of the message. */
const char *job_message_name(const char *argument);

/* Epoch seconds. */
int64_t job_now_s(void);

#endif
