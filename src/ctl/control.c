/* SPDX-License-Identifier: MIT */
/* .popfs/control: one write is one command, and it returns when that is done. Refuses to know what
 * the commands mean. */
#include "control.h"

#include "popfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "word name\n"; false if it is too long, or if the name would make two commands of it. */
static bool make_line(const char *word, const char *name, char *line, size_t capacity)
{
    int len = snprintf(line, capacity, "%s%s%s\n", word, name == NULL ? "" : " ",
                       name == NULL ? "" : name);
    return len > 0 && (size_t)len < capacity && strchr(line, '\n') == line + len - 1;
}

/* On a mount that is read-only. popfs 0.1 has no ioctl there, and the answer is the same. */
static int run_reading(const struct place *place, const char *path, const char *line)
{
    struct control_line asked = {0};
    CLEANUP_CLOSE int control = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (control < 0)
        return EROFS;
    if (!place_has_file(place, control))
        return ENODEV;
    snprintf(asked.text, sizeof(asked.text), "%s", line);
    if (ioctl(control, CONTROL_COMMAND, &asked) == 0)
        return 0;
    return errno == ENOTTY || errno == ENOSYS ? EROFS : errno;
}

int control_run(const struct place *place, const char *word, const char *name)
{
    char path[PATH_MAX], line[NAME_MAX + 32];
    int len = snprintf(path, sizeof(path), "%s/.popfs/control", place->path);
    if (len < 0 || (size_t)len >= sizeof(path))
        return ENAMETOOLONG;
    if (!make_line(word, name, line, sizeof(line)))
        return EINVAL;
    CLEANUP_CLOSE int control = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (control < 0 && errno == EROFS)
        return run_reading(place, path, line);
    if (control < 0)
        return errno == ENOENT ? ENXIO : errno;
    if (!place_has_file(place, control))
        return ENODEV;
    size_t octets = strlen(line);
    ssize_t written = write(control, line, octets);
    if (written < 0)
        return errno;
    return (size_t)written == octets ? 0 : EIO;
}
