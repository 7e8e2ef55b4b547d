/* SPDX-License-Identifier: MIT */
/* status: what sync says about itself, written for a person (status_text.c) and for a program
 * (status_json.c). Refuses to know FUSE. */
#ifndef POPFS_FS_STATUS_H
#define POPFS_FS_STATUS_H

#include "popfs/base.h"
#include "popfs/sync.h"

#include <sys/types.h>

/* What is shown; borrowed for the call. */
struct status_view {
    const struct sync_status *sync;
    pid_t pid;
    const char *mountpoint;
    bool read_only;
    const char *sandbox;                         /* NULL: not known */
    const struct sync_removal_failure *failures; /* of the last commit: the first of them */
    size_t failure_count;
    struct maildrop_message *const *damages; /* sync_damages() */
    size_t damage_count;
};

/* They append to `content`; false for want of memory. */
bool status_render_text(const struct status_view *view, struct buffer *content);
bool status_render_json(const struct status_view *view, struct buffer *content);

/* Words that both use. */
const char *status_link_name(enum sync_link link);
const char *status_work_name(enum sync_work work);

#endif
