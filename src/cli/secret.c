/* SPDX-License-Identifier: MIT */
/*
 * Where the password comes from, in which order, and what it may hold. Refuses to know what it is
 * for. Nothing here copies a secret to memory that is not locked, and no message holds one.
 */
#include "secret.h"

#include "netrc.h"
#include "passcmd.h"
#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAPPED_OCTETS = SECRET_OCTETS_MAX + 1, PASSCMD_MS = 60000 };

/* ---- memory ---- */

bool secret_init(struct secret *secret)
{
    void *memory =
        mmap(NULL, MAPPED_OCTETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    *secret = (struct secret){.text = memory};
    secret_lock(secret);
    return true;
}

void secret_lock(const struct secret *secret)
{
    /* Neither is a reason to fail: containers often allow no locked memory, and core files are off
     * anyway. */
    (void)mlock(secret->text, MAPPED_OCTETS);
    (void)madvise(secret->text, MAPPED_OCTETS, MADV_DONTDUMP);
}

void secret_done(struct secret *secret)
{
    if (secret->text != NULL) {
        secret_wipe(secret->text, MAPPED_OCTETS);
        munmap(secret->text, MAPPED_OCTETS);
    }
    *secret = (struct secret){0};
}

/* ---- reading ---- */

enum fault secret_read(struct secret *secret, int descriptor, bool one_line, const char *what,
                       struct failure *ret_failure)
{
    secret->len = 0;
    for (;;) {
        size_t room = SECRET_OCTETS_MAX - secret->len;
        if (room == 0)
            return failure_set(ret_failure, FAULT_REFUSED, "%s: longer than 64 KiB", what);
        /* One by one for a line: what follows on stdin is for somebody else. */
        ssize_t got = read(descriptor, secret->text + secret->len, one_line ? 1 : room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failure_set(ret_failure, FAULT_LOGIN, "%s: %s", what, strerror(errno));
        secret->len += (size_t)got;
        secret->text[secret->len] = '\0';
        if (got == 0 || (one_line && secret->text[secret->len - 1] == '\n'))
            return FAULT_NONE;
    }
}

static void cut(struct secret *secret, size_t len)
{
    secret_wipe(secret->text + len, MAPPED_OCTETS - len);
    secret->len = len;
}

enum fault secret_keep_first_line(struct secret *secret, const char *what,
                                  struct failure *ret_failure)
{
    const char *end = memchr(secret->text, '\n', secret->len);
    size_t len = end == NULL ? secret->len : (size_t)(end - secret->text);
    if (end != NULL && len > 0 && secret->text[len - 1] == '\r')
        len--;
    cut(secret, len);
    if (len == 0)
        return failure_set(ret_failure, FAULT_REFUSED, "%s: the password is empty", what);
    if (memchr(secret->text, '\0', len) != NULL || memchr(secret->text, '\r', len) != NULL)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "%s: the password holds a CR or NUL, which POP3 cannot send", what);
    return FAULT_NONE;
}

static enum fault check_file(int descriptor, bool private, const char *path, const char *what,
                             struct failure *ret_failure)
{
    struct stat stat;
    if (fstat(descriptor, &stat) != 0)
        return failure_set(ret_failure, FAULT_LOGIN, "%s: %s: %s", what, path, strerror(errno));
    if (!S_ISREG(stat.st_mode))
        return failure_set(ret_failure, FAULT_REFUSED, "%s: %s is not a regular file", what, path);
    if (private && (stat.st_mode & 077) != 0)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "%s: others can get at %s: run chmod 600 on it", what, path);
    return FAULT_NONE;
}

enum fault secret_read_file(struct secret *secret, const char *path, bool private, const char *what,
                            struct failure *ret_failure)
{
    /* O_NONBLOCK: a FIFO with nobody at the other end must not hold us here. */
    CLEANUP_CLOSE int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0)
        return failure_set(ret_failure, errno == ENOENT ? FAULT_GONE : FAULT_LOGIN, "%s: %s: %s",
                           what, path, strerror(errno));
    enum fault fault = check_file(descriptor, private, path, what, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    return secret_read(secret, descriptor, false, what, ret_failure);
}

/* ---- the sources; each says FAULT_GONE when it has nothing to give ---- */

static enum fault from_passcmd(struct secret *secret, const struct secret_sources *sources,
                               struct failure *ret_failure)
{
    if (sources->passcmd == NULL)
        return FAULT_GONE;
    enum fault fault = passcmd_run(sources->passcmd, PASSCMD_MS, secret, ret_failure);
    return fault == FAULT_NONE ? secret_keep_first_line(secret, "passcmd", ret_failure) : fault;
}

static enum fault from_passfile(struct secret *secret, const struct secret_sources *sources,
                                struct failure *ret_failure)
{
    if (sources->passfile == NULL)
        return FAULT_GONE;
    enum fault fault = secret_read_file(secret, sources->passfile, true, "passfile", ret_failure);
    if (fault == FAULT_GONE) /* it was named, so it has to be there */
        return FAULT_LOGIN;
    return fault == FAULT_NONE ? secret_keep_first_line(secret, "passfile", ret_failure) : fault;
}

static enum fault from_stdin(struct secret *secret, const struct secret_sources *sources,
                             struct failure *ret_failure)
{
    if (!sources->password_stdin)
        return FAULT_GONE;
    enum fault fault = secret_read(secret, STDIN_FILENO, true, "password_stdin", ret_failure);
    return fault == FAULT_NONE ? secret_keep_first_line(secret, "password_stdin", ret_failure)
                               : fault;
}

static enum fault from_credentials(struct secret *secret, const struct secret_sources *sources,
                                   struct failure *ret_failure)
{
    /* systemd has no credential with a slash in its name, and a path made of one would lead
     * elsewhere. */
    if (sources->credentials_folder == NULL || strchr(sources->user, '/') != NULL)
        return FAULT_GONE;
    CLEANUP_FREE char *path = NULL;
    if (asprintf(&path, "%s/popfs.%s@%s", sources->credentials_folder, sources->user,
                 sources->host) < 0)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    /* Not `private`: systemd gives the user access by an ACL, which shows as group bits; the folder
     * is closed. */
    enum fault fault = secret_read_file(secret, path, false, "credential", ret_failure);
    return fault == FAULT_NONE ? secret_keep_first_line(secret, "credential", ret_failure) : fault;
}

static bool is_private(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & 077) == 0;
}

static enum fault take_netrc_password(struct secret *secret, struct secret *file,
                                      const struct secret_sources *sources,
                                      struct failure *ret_failure)
{
    struct netrc_entry entry;
    enum fault fault = secret_read_file(file, sources->netrc, false, "netrc", ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    if (!netrc_find(file->text, file->len, sources->host, sources->user, &entry))
        return FAULT_GONE;
    /* Only now: a file without our password is none of our business. */
    if (!is_private(sources->netrc))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "netrc: others can get at %s: run chmod 600 on it", sources->netrc);
    memcpy(secret->text, entry.password.data, entry.password.len);
    secret->text[entry.password.len] = '\0';
    secret->len = entry.password.len;
    return secret_keep_first_line(secret, "netrc", ret_failure);
}

static enum fault from_netrc(struct secret *secret, const struct secret_sources *sources,
                             struct failure *ret_failure)
{
    struct secret file = {0};
    if (sources->netrc == NULL)
        return FAULT_GONE;
    if (!secret_init(&file))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    enum fault fault = take_netrc_password(secret, &file, sources, ret_failure);
    secret_done(&file);
    return fault;
}

static enum fault from_terminal(struct secret *secret, const struct secret_sources *sources,
                                struct failure *ret_failure)
{
    char user[256], question[600];
    if (sources->terminal == NULL)
        return FAULT_GONE;
    text_escape(slice_from_string(sources->user), user, sizeof(user));
    snprintf(question, sizeof(question), "Password for %s@%s: ", user, sources->host);
    enum fault fault = prompt_ask(sources->terminal, question, secret, ret_failure);
    return fault == FAULT_NONE ? secret_keep_first_line(secret, "password", ret_failure) : fault;
}

/* The order of the enum is the order of asking. */
static enum fault (*const readers[])(struct secret *, const struct secret_sources *,
                                     struct failure *) = {
    [SECRET_FROM_PASSCMD] = from_passcmd, [SECRET_FROM_PASSFILE] = from_passfile,
    [SECRET_FROM_STDIN] = from_stdin,     [SECRET_FROM_CREDENTIAL] = from_credentials,
    [SECRET_FROM_NETRC] = from_netrc,     [SECRET_FROM_TERMINAL] = from_terminal,
};

enum fault secret_obtain(struct secret *secret, const struct secret_sources *sources,
                         struct failure *ret_failure)
{
    for (enum secret_source i = SECRET_FROM_PASSCMD; i <= SECRET_FROM_TERMINAL; i++) {
        enum fault fault = readers[i](secret, sources, ret_failure);
        if (fault == FAULT_NONE)
            secret->source = i;
        if (fault != FAULT_GONE)
            return fault;
    }
    return failure_set(ret_failure, FAULT_REFUSED,
                       "no password and no terminal to ask on: use passcmd=, passfile=, "
                       "password_stdin or ~/.netrc");
}

const char *secret_source_show(const struct secret *secret, const struct secret_sources *sources,
                               char *out, size_t capacity)
{
    char shown[200];
    switch (secret->source) {
    case SECRET_FROM_NOWHERE:
        return NULL;
    case SECRET_FROM_PASSCMD:
        snprintf(out, capacity, "passcmd=");
        break;
    case SECRET_FROM_PASSFILE:
        snprintf(out, capacity, "passfile=%s",
                 text_show(slice_from_string(sources->passfile), shown, sizeof(shown)));
        break;
    case SECRET_FROM_STDIN:
        snprintf(out, capacity, "standard input");
        break;
    case SECRET_FROM_CREDENTIAL:
        snprintf(out, capacity, "systemd's credential");
        break;
    case SECRET_FROM_NETRC:
        snprintf(out, capacity, "%s",
                 text_show(slice_from_string(sources->netrc), shown, sizeof(shown)));
        break;
    case SECRET_FROM_TERMINAL:
        snprintf(out, capacity, "the terminal");
        break;
    }
    return out;
}

bool secret_can_refetch(const struct secret *secret)
{
    return secret->source == SECRET_FROM_PASSCMD || secret->source == SECRET_FROM_PASSFILE ||
           secret->source == SECRET_FROM_CREDENTIAL || secret->source == SECRET_FROM_NETRC;
}

enum fault secret_refetch(struct secret *secret, const struct secret_sources *sources,
                          struct failure *ret_failure)
{
    struct secret fresh = {0};
    if (!secret_can_refetch(secret))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the password cannot be had again: use passcmd= or passfile=");
    if (!secret_init(&fresh))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    enum fault fault = readers[secret->source](&fresh, sources, ret_failure);
    if (fault == FAULT_GONE)
        fault =
            failure_set(ret_failure, FAULT_LOGIN, "the password is no longer where it came from");
    /* With the zeros behind it, so that nothing of a longer old one is left. */
    if (fault == FAULT_NONE) {
        memcpy(secret->text, fresh.text, MAPPED_OCTETS);
        secret->len = fresh.len;
    }
    secret_done(&fresh);
    return fault;
}

char *secret_netrc_login(const char *netrc, const char *host)
{
    struct secret file = {0};
    struct netrc_entry entry;
    char *login = NULL;
    if (!secret_init(&file))
        return NULL;
    if (secret_read_file(&file, netrc, false, "netrc", NULL) == FAULT_NONE &&
        netrc_find(file.text, file.len, host, NULL, &entry))
        login = strndup(entry.login.data, entry.login.len);
    secret_done(&file);
    return login;
}
