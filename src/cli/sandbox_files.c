/* SPDX-License-Identifier: MIT */
/*
 * A list of folders, and what may be done below each. Whole folders, because the files that look-up
 * and TLS read are replaced by renaming while popfs runs (resolv.conf, when a laptop moves), and a
 * rule holds for a file, not for its name. So a daemon that runs as root can read all of /etc; one
 * that does not run as root is stopped there by the permissions.
 *
 * Nothing can be executed, no device opened but four, and nothing is written outside the cache,
 * the state of this account and the folders for temporary files. Ports are left alone: which ones
 * the name services of a machine need is not ours to know, and the server's own port may be any.
 */
#include "sandbox_files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_TEMPORARY                                                                           \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |  \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define ACCESS_CACHE                                                                               \
    (ACCESS_READ | ACCESS_TEMPORARY | LANDLOCK_ACCESS_FS_MAKE_DIR |                                \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER)
/* What can be allowed for a file that is not a folder. */
#define ACCESS_OF_FILES                                                                            \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

struct rule {
    const char *path;
    uint64_t access;
};

/* What is not there is left out. */
static const struct rule rules[] = {
    /* name look-up, certificates, the time zone */
    {"/etc", ACCESS_READ},
    /* modules of glibc and OpenSSL that are loaded when first needed, certificates, time zones */
    {"/usr", ACCESS_READ},
    {"/lib", ACCESS_READ},
    {"/lib64", ACCESS_READ},
    {"/nix/store", ACCESS_READ},
    {"/gnu/store", ACCESS_READ},
    {"/var/lib/ca-certificates", ACCESS_READ},
    /* where /etc/resolv.conf may lead */
    {"/run/systemd/resolve", ACCESS_READ},
    {"/run/resolvconf", ACCESS_READ},
    {"/run/NetworkManager", ACCESS_READ},
    {"/run/connman", ACCESS_READ},
    /* All of it, because a rule for /proc/self is lost when the kernel wants its memory back.
     * Landlock keeps us out of what belongs to other processes and is private. */
    {"/proc", ACCESS_READ},
    {"/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
    {"/dev/zero", LANDLOCK_ACCESS_FS_READ_FILE},
    {"/dev/random", LANDLOCK_ACCESS_FS_READ_FILE},
    {"/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE},
    {"/tmp", ACCESS_TEMPORARY},
    {"/var/tmp", ACCESS_TEMPORARY},
};

int sandbox_files_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

/* All rights that this kernel knows, so that what no rule allows is refused. */
static uint64_t handled_by(int abi)
{
    uint64_t handled = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    if (abi >= 2)
        handled |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        handled |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= 5)
        handled |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    return handled;
}

/* False only if the kernel did not take it. */
static bool allow(int ruleset, uint64_t handled, const char *path, uint64_t access)
{
    struct stat status;
    CLEANUP_CLOSE int place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0 || fstat(place, &status) != 0)
        return true;
    if (!S_ISDIR(status.st_mode))
        access &= ACCESS_OF_FILES;
    const struct landlock_path_beneath_attr rule = {.allowed_access = access & handled,
                                                    .parent_fd = place};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* The folder that a link in /etc leads to, wherever this system keeps it. */
static bool allow_folder_of(int ruleset, uint64_t handled, const char *link)
{
    CLEANUP_FREE char *real = realpath(link, NULL);
    return real == NULL || allow(ruleset, handled, dirname(real), ACCESS_READ);
}

/* SSL_CERT_DIR: folders with a colon between them, in which OpenSSL looks whenever it has to. */
static bool allow_certificates(int ruleset, uint64_t handled)
{
    const char *given = getenv("SSL_CERT_DIR");
    CLEANUP_FREE char *folders = given == NULL ? NULL : strdup(given);
    char *rest = folders, *folder;
    while ((folder = strsep(&rest, ":")) != NULL)
        if (!allow(ruleset, handled, folder, ACCESS_READ))
            return false;
    return true;
}

static bool allow_all(int ruleset, uint64_t handled, const char *cache_folder,
                      const char *state_folder, const char *tmpdir)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (!allow(ruleset, handled, rules[i].path, rules[i].access))
            return false;
    return allow(ruleset, handled, cache_folder, ACCESS_CACHE) &&
           (state_folder == NULL || allow(ruleset, handled, state_folder, ACCESS_CACHE)) &&
           (tmpdir == NULL || allow(ruleset, handled, tmpdir, ACCESS_TEMPORARY)) &&
           allow_folder_of(ruleset, handled, "/etc/resolv.conf") &&
           allow_folder_of(ruleset, handled, "/etc/hosts") &&
           allow_folder_of(ruleset, handled, "/etc/nsswitch.conf") &&
           allow_folder_of(ruleset, handled, "/etc/localtime") &&
           allow_certificates(ruleset, handled);
}

static enum fault fail(struct failure *ret_failure)
{
    return failure_set(ret_failure, FAULT_MEMORY, "Landlock: %s; try -o sandbox=off",
                       strerror(errno));
}

enum fault sandbox_files_prepare(int abi, const char *cache_folder, const char *state_folder,
                                 const char *tmpdir, int *ret_ruleset, struct failure *ret_failure)
{
    uint64_t handled = handled_by(abi);
    const struct landlock_ruleset_attr attributes = {.handled_access_fs = handled};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset >= 0 && allow_all(ruleset, handled, cache_folder, state_folder, tmpdir)) {
        *ret_ruleset = ruleset;
        return FAULT_NONE;
    }
    enum fault fault = fail(ret_failure);
    if (ruleset >= 0)
        close(ruleset);
    return fault;
}

enum fault sandbox_files_restrict(int ruleset, struct failure *ret_failure)
{
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? FAULT_NONE : fail(ret_failure);
}
