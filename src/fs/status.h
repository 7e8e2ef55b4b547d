/* SPDX-License-Identifier: MIT */
/* status: what sync says about itself, written for a person and for a program. Refuses to know
 * FUSE. */
#ifndef POPFS_FS_STATUS_H
#define POPFS_FS_STATUS_H

#include "popfs/base.h"
#include "popfs/sync.h"

/* They append to `content`; false for want of memory. */
bool status_render_text(const struct sync_status *status, struct buffer *content);
bool status_render_json(const struct sync_status *status, struct buffer *content);

#endif
