/* SPDX-License-Identifier: MIT */
/* What a mount says of itself. */
#ifndef POPFS_CTL_STATUS_H
#define POPFS_CTL_STATUS_H

#include "place.h"
#include "popfs/base.h"

#include <json-c/json.h>

/* Appends .popfs/NAME to `content`. 0, or an errno: EFBIG beyond 4 MiB. */
int status_read(const struct place *place, const char *name, struct buffer *content);

/* A new reference to the object that the text of status.json is; EBADMSG if it is none. */
int status_parse(struct slice text, struct json_object **ret_status);
/* Both at once. */
int status_load(const struct place *place, struct json_object **ret_status);

/* The folder .popfs, kept open, so that a mount that is unmounted lazily meanwhile still answers;
 * the caller's to close, for it keeps the mount busy. Returns 0 or an errno. */
int status_open(const struct place *place, int *ret_folder);
/* As status_load(). */
int status_load_in(int folder, struct json_object **ret_status);

/* The removals of the mount end with it (state=off). */
bool status_is_forgetful(struct json_object *status);

/* `pointer` is a JSON pointer (RFC 6901). What is not there, or of another kind, is 0, false, ""
 * and NULL. The text and the object belong to `status`. */
int64_t status_number(struct json_object *status, const char *pointer);
bool status_flag(struct json_object *status, const char *pointer);
const char *status_text(struct json_object *status, const char *pointer);
struct json_object *status_object(struct json_object *status, const char *pointer);

/* For CLEANUP_STATUS. */
void cleanup_status(struct json_object **status);
#define CLEANUP_STATUS __attribute__((cleanup(cleanup_status)))

#endif
