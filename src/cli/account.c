/* SPDX-License-Identifier: MIT */
/* Turns options into decisions and refuses what contradicts itself, before any secret is read or
 * any host is asked. */
#include "account.h"

#include "paths.h"
#include "url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PORT_POP3 = 110, PORT_POPS = 995 };

static enum fault out_of_memory(struct failure *ret_failure)
{
    return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

static enum fault resolve_tls(const struct options *options, bool tls_first,
                              struct account *account, struct failure *ret_failure)
{
    static const enum sync_tls given[] = {
        [OPTION_TLS_ON] = SYNC_TLS_ON,
        [OPTION_TLS_STARTTLS] = SYNC_TLS_STARTTLS,
        [OPTION_TLS_OFF] = SYNC_TLS_OFF,
    };
    account->tls = tls_first ? SYNC_TLS_ON : SYNC_TLS_STARTTLS;
    if (options->tls != OPTION_NOT_GIVEN)
        account->tls = given[options->tls];
    /* Whoever asks for a check must not be left without it. */
    if (account->tls == SYNC_TLS_OFF &&
        (options->pin != NULL || options->cafile != NULL || options->cert != NULL))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "tls=off leaves nothing for pin, cafile or cert to check: drop one");
    return FAULT_NONE;
}

/* Asked for here, because the password is asked for before anybody else looks at the word. */
static enum fault resolve_auth(const struct options *options, struct account *account,
                               struct failure *ret_failure)
{
    account->needs_password = options->auth == NULL || strcmp(options->auth, "external") != 0;
    if (account->needs_password)
        return FAULT_NONE;
    if (account->tls == SYNC_TLS_OFF || options->cert == NULL)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "auth=external logs in by a client certificate: it needs cert= and TLS");
    return FAULT_NONE;
}

static void resolve_port(const struct options *options, uint16_t url_port, struct account *account)
{
    account->port = account->tls == SYNC_TLS_ON ? PORT_POPS : PORT_POP3;
    if (url_port != 0)
        account->port = url_port;
    if (options->port != OPTION_NOT_GIVEN)
        account->port = (uint16_t)options->port;
}

/* Takes url->user over. */
static enum fault resolve_user(const struct options *options, struct url *url,
                               struct account *account, struct failure *ret_failure)
{
    if (options->user != NULL) {
        account->user = strdup(options->user);
        if (account->user == NULL)
            return out_of_memory(ret_failure);
    } else if (url->user != NULL) {
        account->user = url->user;
        url->user = NULL;
    } else if (account->netrc != NULL) {
        account->user = secret_netrc_login(account->netrc, url->host);
    }
    if (account->user == NULL)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "no user: write pops://USER@%s or use -o user=", url->host);
    if (!url_user_is_valid(account->user))
        return failure_set(ret_failure, FAULT_REFUSED, "the user holds a control character");
    return FAULT_NONE;
}

static enum fault resolve_server(const struct options *options, struct account *account,
                                 struct failure *ret_failure)
{
    struct url url;
    enum fault fault = url_parse(options->source, &url, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    fault = resolve_tls(options, url.tls_first, account, ret_failure);
    if (fault == FAULT_NONE)
        fault = resolve_auth(options, account, ret_failure);
    if (fault == FAULT_NONE) {
        resolve_port(options, url.port, account);
        fault = resolve_user(options, &url, account, ret_failure);
    }
    account->host = url.host;
    url.host = NULL;
    url_done(&url);
    return fault;
}

static enum fault name_account(struct account *account, struct failure *ret_failure)
{
    bool is_ipv6 = strchr(account->host, ':') != NULL;
    if (asprintf(&account->shown, "%s@%s%s%s:%u", account->user, is_ipv6 ? "[" : "", account->host,
                 is_ipv6 ? "]" : "", account->port) < 0) {
        account->shown = NULL;
        return out_of_memory(ret_failure);
    }
    return FAULT_NONE;
}

static enum fault check_mountpoint(const char *path, struct failure *ret_failure)
{
    struct stat status;
    struct statfs file_system;
    char shown[200];
    text_show(slice_from_string(path), shown, sizeof(shown));
    /* statfs() as well: stat() of a dead mount may be answered from the kernel's cache. */
    if (stat(path, &status) != 0 || statfs(path, &file_system) != 0) {
        if (errno == ENOTCONN)
            return failure_set(ret_failure, FAULT_OFFLINE,
                               "%s holds a dead mount: run fusermount3 -uz on it first", shown);
        if (errno == ENOENT)
            return failure_set(ret_failure, FAULT_OFFLINE,
                               "the mountpoint %s does not exist: make it with mkdir", shown);
        return failure_set(ret_failure, FAULT_OFFLINE, "the mountpoint %s: %s", shown,
                           strerror(errno));
    }
    if (!S_ISDIR(status.st_mode))
        return failure_set(ret_failure, FAULT_OFFLINE, "the mountpoint %s is not a folder", shown);
    return FAULT_NONE;
}

static enum fault resolve_mountpoint(const struct options *options, struct account *account,
                                     struct failure *ret_failure)
{
    /* mount.fuse3 with drop_privileges has mounted already. */
    if (path_descriptor(options->mountpoint) >= 0) {
        account->mountpoint = strdup(options->mountpoint);
        return account->mountpoint == NULL ? out_of_memory(ret_failure) : FAULT_NONE;
    }
    enum fault fault = check_mountpoint(options->mountpoint, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    account->mountpoint = path_resolve(options->mountpoint);
    return account->mountpoint == NULL ? out_of_memory(ret_failure) : FAULT_NONE;
}

static enum fault resolve_cache(const struct options *options, struct account *account,
                                struct failure *ret_failure)
{
    const char *tmpdir = getenv("TMPDIR");
    CLEANUP_FREE char *wanted = NULL;
    account->cache_off = options->cache != NULL && strcmp(options->cache, "off") == 0;
    /* Bodies need a place all the same, as long as the mount lasts. */
    if (account->cache_off)
        wanted = path_temporary(tmpdir, getuid());
    else if (options->cache != NULL)
        wanted = strdup(options->cache);
    else
        wanted = path_cache_default(getenv("XDG_CACHE_HOME"), getenv("HOME"), tmpdir, getuid());
    if (wanted != NULL)
        account->cache = path_resolve(wanted);
    if (account->cache == NULL)
        return out_of_memory(ret_failure);
    /* Either way popfs would wait for itself. */
    if (path_is_inside(account->cache, account->mountpoint) ||
        path_is_inside(account->mountpoint, account->cache))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the cache folder and the mountpoint lie inside each other: use "
                           "another one with -o cache=");
    return FAULT_NONE;
}

static enum fault check_state(const struct account *account, struct failure *ret_failure)
{
    if (path_is_inside(account->state, account->mountpoint) ||
        path_is_inside(account->mountpoint, account->state))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the state folder and the mountpoint lie inside each other: use "
                           "another one with -o state=");
    /* Whoever wipes the cache must not wipe what was to be deleted. */
    if (path_is_inside(account->state, account->cache))
        return failure_set(ret_failure, FAULT_REFUSED,
                           "the state folder lies in the cache folder, which may be emptied at any "
                           "time: use another one with -o state=");
    return FAULT_NONE;
}

/* Where nothing is ever removed, nothing has to be kept. */
static enum fault no_state(const struct options *options, struct failure *ret_failure)
{
    if (options->read_only)
        return FAULT_NONE;
    return failure_set(ret_failure, FAULT_REFUSED,
                       "HOME is not set, and removals need a place until they are carried out: "
                       "use -o state=FOLDER, or state=off to forget them at the end");
}

static enum fault resolve_state(const struct options *options, struct account *account,
                                struct failure *ret_failure)
{
    CLEANUP_FREE char *wanted = NULL;
    if (options->state != NULL && strcmp(options->state, "off") == 0)
        return FAULT_NONE;
    if (options->state != NULL)
        wanted = strdup(options->state);
    else if (!path_state_default(getenv("XDG_STATE_HOME"), getenv("HOME"), getuid(), &wanted))
        return no_state(options, ret_failure);
    if (wanted != NULL)
        account->state = path_resolve(wanted);
    return account->state == NULL ? out_of_memory(ret_failure) : check_state(account, ret_failure);
}

static enum fault resolve_netrc(struct account *account, struct failure *ret_failure)
{
    const char *home = getenv("HOME");
    if (home == NULL || *home == '\0')
        return FAULT_NONE;
    if (asprintf(&account->netrc, "%s/.netrc", home) < 0) {
        account->netrc = NULL;
        return out_of_memory(ret_failure);
    }
    return FAULT_NONE;
}

enum fault account_resolve(const struct options *options, struct account *ret_account,
                           struct failure *ret_failure)
{
    *ret_account = (struct account){0};
    enum fault fault = resolve_netrc(ret_account, ret_failure);
    if (fault == FAULT_NONE)
        fault = resolve_server(options, ret_account, ret_failure);
    if (fault == FAULT_NONE)
        fault = name_account(ret_account, ret_failure);
    if (fault == FAULT_NONE)
        fault = resolve_mountpoint(options, ret_account, ret_failure);
    if (fault == FAULT_NONE)
        fault = resolve_cache(options, ret_account, ret_failure);
    if (fault == FAULT_NONE)
        fault = resolve_state(options, ret_account, ret_failure);
    return fault;
}

struct secret_sources account_secret_sources(const struct options *options,
                                             const struct account *account)
{
    return (struct secret_sources){
        .user = account->user,
        .host = account->host,
        .passcmd = options->passcmd,
        .passfile = options->passfile,
        .password_stdin = options->password_stdin,
        .credentials_folder = getenv("CREDENTIALS_DIRECTORY"),
        .netrc = account->netrc,
        .terminal = "/dev/tty",
    };
}

void account_done(struct account *account)
{
    free(account->user);
    free(account->host);
    free(account->shown);
    free(account->mountpoint);
    free(account->cache);
    free(account->state);
    free(account->netrc);
    *account = (struct account){0};
}
