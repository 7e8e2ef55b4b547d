/* SPDX-License-Identifier: MIT */
/* Pure but for the look at which folders exist. Makes none: that is store's business. */
#include "paths.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *folder, const char *rest)
{
    char *path = NULL;
    const char *slash = strcmp(folder, "/") == 0 ? "" : "/";
    if (asprintf(&path, "%s%s%s", folder, slash, rest) < 0)
        return NULL;
    return path;
}

char *path_absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    return here == NULL ? NULL : join(here, path);
}

char *path_resolve(const char *path)
{
    CLEANUP_FREE char *front = path_absolute(path);
    if (front == NULL)
        return NULL;
    /* Cut from the end until what is left exists; at the latest "/" does. */
    size_t len = strlen(front);
    for (;;) {
        char kept = front[len];
        front[len] = '\0';
        CLEANUP_FREE char *real = realpath(len == 0 ? "/" : front, NULL);
        front[len] = kept;
        if (real != NULL) {
            const char *rest = front + len + strspn(front + len, "/");
            return *rest == '\0' ? strdup(real) : join(real, rest);
        }
        if (len == 0)
            return NULL;
        do
            len--;
        while (len > 0 && front[len] != '/');
    }
}

static bool is_usable(const char *folder)
{
    return folder != NULL && folder[0] == '/';
}

char *path_temporary(const char *tmpdir, uid_t uid)
{
    char *path = NULL;
    if (asprintf(&path, "%s/popfs-%lu", is_usable(tmpdir) ? tmpdir : "/tmp", (unsigned long)uid) <
        0)
        return NULL;
    return path;
}

char *path_cache_default(const char *xdg_cache_home, const char *home, const char *tmpdir,
                         uid_t uid)
{
    /* A relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification). */
    if (is_usable(xdg_cache_home))
        return join(xdg_cache_home, "popfs");
    if (is_usable(home))
        return join(home, ".cache/popfs");
    if (uid == 0)
        return strdup("/var/cache/popfs");
    return path_temporary(tmpdir, uid);
}

bool path_state_default(const char *xdg_state_home, const char *home, uid_t uid, char **ret_path)
{
    if (is_usable(xdg_state_home))
        *ret_path = join(xdg_state_home, "popfs");
    else if (is_usable(home))
        *ret_path = join(home, ".local/state/popfs");
    else if (uid == 0)
        *ret_path = strdup("/var/lib/popfs");
    else
        return false;
    return true;
}

bool path_correct_home(void)
{
    struct stat status;
    const char *home = getenv("HOME");
    if (geteuid() == 0 || home == NULL || stat(home, &status) != 0 || status.st_uid == geteuid() ||
        status.st_uid != 0)
        return true;
    const struct passwd *user = getpwuid(geteuid());
    if (user == NULL || !is_usable(user->pw_dir) || stat(user->pw_dir, &status) != 0 ||
        status.st_uid != geteuid())
        return true;
    return setenv("HOME", user->pw_dir, 1) == 0;
}

int path_descriptor(const char *path)
{
    static const struct slice prefix = {"/dev/fd/", 8};
    struct slice text = slice_from_string(path);
    uint64_t number;
    if (strncmp(path, prefix.data, prefix.len) != 0 ||
        !slice_to_number(slice_skip(text, prefix.len), INT_MAX - 1, &number))
        return -1;
    return (int)number;
}

bool path_is_inside(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len > 0 && folder[len - 1] == '/')
        len--;
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}
