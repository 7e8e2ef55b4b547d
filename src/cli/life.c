/* SPDX-License-Identifier: MIT */
/*
 * Starts sync and fs in order, ends them in the opposite order, and says how it went: to the
 * waiting user before the mount is there, to the log after that. Refuses to know how either does
 * its work.
 */
#include "life.h"

#include "utab.h"

#include "popfs/fs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* From now on they are read from the descriptor, or never: a second Ctrl-C must not cut a commit
 * short. */
static int take_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Every open message is a descriptor, and the soft limit of 1,024 is soon met by a parallel reader.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_write(LOG_LEVEL_WARNING, "descriptor limit: %s", strerror(errno));
}

struct refetch {
    struct secret *secret;
    struct secret_sources sources;
};

/* On a thread of sync's, while nobody reads the secret. */
static bool refetch(void *context, struct failure *ret_failure)
{
    struct refetch *refetch = context;
    return secret_refetch(refetch->secret, &refetch->sources, ret_failure) == FAULT_NONE;
}

static enum fault make_sync(const struct options *options, const struct account *account,
                            struct refetch *context, struct sync **ret_sync,
                            struct failure *ret_failure)
{
    const struct sync_options wanted = {
        .host = account->host,
        .port = account->port,
        .tls = account->tls,
        .cafile = options->cafile,
        .cert = options->cert,
        .key = options->key,
        .pin = options->pin,
        .auth = options->auth,
        .user = account->user,
        .password = context->secret->text,
        .fetch_password = secret_can_refetch(context->secret) ? refetch : NULL,
        .fetch_context = context,
        .account = account->shown,
        .mountpoint = account->mountpoint,
        .cache_folder = account->cache,
        .cache_off = account->cache_off,
        .cache_octets_max = (uint64_t)options->cache_octets_max,
        .refresh_s = options->refresh_s,
        .idle_s = options->idle_s,
        .noquit = options->noquit,
        .strict = options->size == OPTION_SIZE_STRICT,
        .lf = options->eol == OPTION_EOL_LF,
        .timeout_s = options->timeout_s,
        .keepalive_s = options->keepalive_s,
        .pipeline = options->pipeline == OPTION_USE_AUTO,
        .top = options->top == OPTION_USE_AUTO,
        .lazy_octets = (uint64_t)options->lazy_octets,
        .prefetch = options->prefetch,
        .read_only = options->read_only,
        .trace = options->debug,
    };
    return sync_new(&wanted, ret_sync, ret_failure);
}

static enum fs_control control_of(const struct options *options)
{
    static const enum fs_control given[] = {
        [OPTION_CONTROL_HIDDEN] = FS_CONTROL_HIDDEN,
        [OPTION_CONTROL_VISIBLE] = FS_CONTROL_VISIBLE,
        [OPTION_CONTROL_OFF] = FS_CONTROL_OFF,
    };
    return given[options->control];
}

static enum fault mount_it(const struct options *options, const struct account *account,
                           const char *mount_options, struct sync *sync, struct fs **ret_fs,
                           struct failure *ret_failure)
{
    const struct fs_options wanted = {
        .mountpoint = account->mountpoint,
        .lazy_octets = (uint64_t)options->lazy_octets,
        .source = account->shown,
        .mount_options = mount_options,
        .control = control_of(options),
        .read_only = options->read_only,
        .debug = options->debug,
        .allow_other = options->allow_other,
        .uid = (uid_t)options->uid,
        .gid = (gid_t)options->gid,
        .umask = (mode_t)options->umask,
    };
    return fs_new(&wanted, sync, ret_fs, ret_failure);
}

static int code_of(enum fault fault)
{
    return fault == FAULT_MEMORY || fault == FAULT_DISK ? EXIT_SYSTEM : EXIT_MOUNT;
}

/* sync has said why for each that failed. */
static int log_report(const struct sync_report *report, bool cache_off)
{
    if (report->failed_count > 0)
        log_write(LOG_LEVEL_ERROR, "%zu message%s could not be deleted%s", report->failed_count,
                  report->failed_count == 1 ? "" : "s",
                  cache_off ? "" : ", and will be tried again in the next mount");
    return report->failed_count > 0 ? EXIT_INCOMPLETE : EXIT_OK;
}

/* What an earlier mount was to delete and did not: the user may have forgotten. */
static void say_what_is_pending(struct sync *sync, const struct options *options, char *notice,
                                size_t capacity)
{
    struct sync_status status;
    sync_status(sync, &status);
    notice[0] = '\0';
    if (status.going_count == 0)
        return;
    snprintf(notice, capacity,
             "%zu message%s removed in an earlier mount %s still to be deleted%s; see .popfs/trash",
             status.going_count, status.going_count == 1 ? "" : "s",
             status.going_count == 1 ? "is" : "are",
             options->read_only ? ", but this mount is read-only" : "");
    log_write(LOG_LEVEL_INFO, "%s", notice);
}

/* For the mounts of others than root, umount(8) looks for the helper anyway. */
static void note_for_umount(const struct account *account)
{
    if (geteuid() == 0 && !utab_add(account->shown, account->mountpoint))
        log_write(LOG_LEVEL_WARNING, "umount will not wait for the commit: no entry in utab");
}

static void forget_for_umount(const struct account *account)
{
    if (geteuid() == 0)
        utab_remove(account->mountpoint);
}

/*
 * The middle: the kernel is answered until somebody unmounts. Only an orderly end commits: when the
 * kernel's side broke, nobody can say what the user still wanted.
 */
static int serve(const struct options *options, const struct account *account, struct sync *sync,
                 struct fs *fs, int stop, bool wanted)
{
    struct failure failure = {0};
    struct sync_report report = {0};
    bool may_commit = false;
    enum fault fault = wanted ? fs_run(fs, stop, &may_commit, &failure) : FAULT_CANCELED;
    fs_unmount(fs);
    forget_for_umount(account);
    sync_stop(sync, may_commit && !options->read_only, &report);
    fs_free(fs);
    int code = log_report(&report, account->cache_off);
    if (fault == FAULT_NONE)
        return code;
    if (wanted)
        log_write(LOG_LEVEL_ERROR, "%s; nothing was deleted on the server", failure.text);
    return EXIT_INCOMPLETE;
}

static int mount_and_serve(const struct options *options, const struct account *account,
                           struct sync *sync, int stop, struct daemon *daemon)
{
    struct failure failure = {0};
    struct fs *fs = NULL;
    char notice[FAILURE_TEXT_OCTETS];
    CLEANUP_BUFFER struct buffer words = {0};
    enum fault fault = sync_start(sync, stop, &failure);
    if (fault != FAULT_NONE) {
        daemon_report_failure(daemon, code_of(fault), failure.text);
        return code_of(fault);
    }
    if (!buffer_append(&words, buffer_slice(&options->kernel)) ||
        !buffer_append(&words, (struct slice){"", 1}))
        fault = failure_set(&failure, FAULT_MEMORY, "out of memory");
    else
        fault = mount_it(options, account, words.data, sync, &fs, &failure);
    if (fault == FAULT_NONE) {
        say_what_is_pending(sync, options, notice, sizeof(notice));
        note_for_umount(account);
        return serve(options, account, sync, fs, stop,
                     daemon_report_success(daemon, options->foreground ? "" : notice));
    }

    struct sync_report report;
    sync_stop(sync, false, &report);
    int code = fault == FAULT_MEMORY ? EXIT_SYSTEM : EXIT_MOUNT;
    daemon_report_failure(daemon, code, failure.text);
    return code;
}

int life_run(const struct options *options, const struct account *account, struct secret *secret,
             struct daemon *daemon)
{
    struct refetch context = {secret, account_secret_sources(options, account)};
    struct failure failure = {0};
    struct sync *sync = NULL;
    CLEANUP_CLOSE int stop = take_signals();
    enum fault fault;
    log_start(options->foreground ? LOG_SINK_STDERR : LOG_SINK_SYSLOG,
              options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "popfs");
    raise_descriptor_limit();
    if (stop < 0)
        fault = failure_set(&failure, FAULT_MEMORY, "signalfd: %s", strerror(errno));
    else
        fault = make_sync(options, account, &context, &sync, &failure);
    if (fault != FAULT_NONE) {
        int code = fault == FAULT_REFUSED ? EXIT_USAGE : code_of(fault); /* a word of an option */
        daemon_report_failure(daemon, code, failure.text);
        return code;
    }
    int code = mount_and_serve(options, account, sync, stop, daemon);
    sync_free(sync);
    return code;
}
