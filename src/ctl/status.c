/* SPDX-License-Identifier: MIT */
/* .popfs/status and .popfs/status.json, read whole. Refuses to know what is done with it. */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json_pointer.h>
#include <stdio.h>
#include <unistd.h>

/* A hundred failures with every text as long as may be and every octet escaped are a sixth of it.
 */
enum { STATUS_OCTETS_MAX = 4 * 1024 * 1024, READ_OCTETS = 65536, DEPTH_MAX = 16 };

int status_open(const struct place *place, int *ret_folder)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/.popfs", place->path);
    if (len < 0 || (size_t)len >= sizeof(path))
        return ENAMETOOLONG;
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno;
    if (!place_has_file(place, folder)) {
        close(folder);
        return ENODEV;
    }
    *ret_folder = folder;
    return 0;
}

static int read_in(int folder, const char *name, struct buffer *content)
{
    char octets[READ_OCTETS];
    CLEANUP_CLOSE int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return errno;
    for (;;) {
        ssize_t got = read(file, octets, sizeof(octets));
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        if (content->len + (size_t)got > STATUS_OCTETS_MAX)
            return EFBIG;
        if (!buffer_append(content, (struct slice){octets, (size_t)got}))
            return ENOMEM;
    }
}

int status_read(const struct place *place, const char *name, struct buffer *content)
{
    CLEANUP_CLOSE int folder = -1;
    int error = status_open(place, &folder);
    return error != 0 ? error : read_in(folder, name, content);
}

int status_parse(struct slice text, struct json_object **ret_status)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (tokener == NULL)
        return ENOMEM;
    struct json_object *object = json_tokener_parse_ex(tokener, text.data, (int)text.len);
    json_tokener_free(tokener);
    if (json_object_is_type(object, json_type_object)) {
        *ret_status = object;
        return 0;
    }
    json_object_put(object);
    return EBADMSG;
}

int status_load(const struct place *place, struct json_object **ret_status)
{
    CLEANUP_BUFFER struct buffer content = {0};
    int error = status_read(place, "status.json", &content);
    return error != 0 ? error : status_parse(buffer_slice(&content), ret_status);
}

int status_load_in(int folder, struct json_object **ret_status)
{
    CLEANUP_BUFFER struct buffer content = {0};
    int error = read_in(folder, "status.json", &content);
    return error != 0 ? error : status_parse(buffer_slice(&content), ret_status);
}

struct json_object *status_object(struct json_object *status, const char *pointer)
{
    struct json_object *value = NULL;
    if (status == NULL || json_pointer_get(status, pointer, &value) != 0)
        return NULL;
    return value;
}

int64_t status_number(struct json_object *status, const char *pointer)
{
    struct json_object *value = status_object(status, pointer);
    return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}

bool status_is_forgetful(struct json_object *status)
{
    return status_text(status, "/state_folder")[0] == '\0';
}

bool status_flag(struct json_object *status, const char *pointer)
{
    struct json_object *value = status_object(status, pointer);
    return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

const char *status_text(struct json_object *status, const char *pointer)
{
    struct json_object *value = status_object(status, pointer);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

void cleanup_status(struct json_object **status)
{
    json_object_put(*status);
}
