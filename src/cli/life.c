/* SPDX-License-Identifier: MIT */
/*
 * Starts sync and fs in order, ends them in the opposite order, and says how it went: to the
 * waiting user before the mount is there, to the log after that. Refuses to know how either does
 * its work.
 */
#include "life.h"

#include "helper.h"
#include "paths.h"
#include "sandbox.h"
#include "unmount.h"

#include "popfs/fs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

enum { UNMOUNT_MS = 10000 };

/* What is left of the process's rights, and who has the rest. */
struct confinement {
    struct sandbox sandbox;
    struct helper unmounter; /* not started if libfuse can unmount */
};

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

/* ---- the sandbox ---- */

static enum fault run_unmount(const void *context, struct secret *secret,
                              struct failure *ret_failure)
{
    (void)secret;
    return unmount_run(context, ret_failure);
}

static enum fault prepare_confinement(const struct options *options, const struct account *account,
                                      const struct secret *secret, struct confinement *confinement,
                                      struct failure *ret_failure)
{
    const struct helper_work work = {.name = "popfs-unmount",
                                     .run = run_unmount,
                                     .context = account->mountpoint,
                                     .foreground = options->foreground};
    sandbox_init(&confinement->sandbox, options->sandbox == OPTION_SANDBOX_AUTO, account->cache,
                 getenv("TMPDIR"));
    /* What mount.fuse3 has mounted is not ours to unmount. */
    if (!sandbox_confines(&confinement->sandbox) || path_descriptor(account->mountpoint) >= 0)
        return FAULT_NONE;
    return helper_start(&confinement->unmounter, &work, secret, ret_failure);
}

/* The thread that is to answer the kernel. */
static enum fault confine(const struct sandbox *sandbox, struct failure *ret_failure)
{
    enum fault fault = sandbox_enter(sandbox, ret_failure);
    if (fault == FAULT_NONE)
        log_write(LOG_LEVEL_INFO, "sandbox: %s", sandbox->text);
    return fault;
}

static enum fault confine_thread(const void *context, struct failure *ret_failure)
{
    return sandbox_enter(context, ret_failure);
}

static void unmount_from_outside(void *context)
{
    struct helper *unmounter = context;
    struct failure failure = {0};
    if (helper_ask(unmounter, UNMOUNT_MS, NULL, &failure) != FAULT_NONE)
        log_write(LOG_LEVEL_ERROR, "%s; fusermount3 -uz clears the place", failure.text);
}

/* ---- the parts ---- */

static enum fault make_sync(const struct options *options, const struct account *account,
                            const struct secret *secret, const struct sandbox *sandbox,
                            struct sync **ret_sync, struct failure *ret_failure)
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
        .password = secret->text,
        .cache_folder = account->cache,
        .timeout_s = options->timeout_s,
        .keepalive_s = options->keepalive_s,
        .pipeline = options->pipeline == OPTION_USE_AUTO,
        .top = options->top == OPTION_USE_AUTO,
        .lazy_octets = (uint64_t)options->lazy_octets,
        .prefetch = options->prefetch,
        .read_only = options->read_only,
        .trace = options->debug,
        .thread_begin = confine_thread,
        .thread_context = sandbox,
    };
    return sync_new(&wanted, ret_sync, ret_failure);
}

static enum fault mount_it(const struct options *options, const struct account *account,
                           const char *mount_options, struct sync *sync,
                           struct confinement *confinement, struct fs **ret_fs,
                           struct failure *ret_failure)
{
    const struct fs_options wanted = {
        .mountpoint = account->mountpoint,
        .lazy_octets = (uint64_t)options->lazy_octets,
        .source = account->shown,
        .mount_options = mount_options,
        .read_only = options->read_only,
        .debug = options->debug,
        .allow_other = options->allow_other,
        .uid = (uid_t)options->uid,
        .gid = (gid_t)options->gid,
        .umask = (mode_t)options->umask,
        .unmount = confinement->unmounter.child == 0 ? NULL : unmount_from_outside,
        .unmount_context = &confinement->unmounter,
    };
    return fs_new(&wanted, sync, ret_fs, ret_failure);
}

static int code_of(enum fault fault)
{
    return fault == FAULT_MEMORY || fault == FAULT_DISK ? EXIT_SYSTEM : EXIT_MOUNT;
}

/* sync has said why for each that failed. */
static int log_report(const struct sync_report *report)
{
    if (report->removed_count > 0)
        log_write(LOG_LEVEL_INFO, "deleted %zu message%s", report->removed_count,
                  report->removed_count == 1 ? "" : "s");
    if (report->failed_count > 0)
        log_write(LOG_LEVEL_ERROR, "%zu message%s could not be deleted", report->failed_count,
                  report->failed_count == 1 ? "" : "s");
    return report->failed_count > 0 ? EXIT_INCOMPLETE : EXIT_OK;
}

/*
 * The middle: the kernel is answered until somebody unmounts. Only an orderly end commits: when the
 * kernel's side broke, nobody can say what the user still wanted.
 */
static int serve(const struct options *options, struct sync *sync, struct fs *fs, int stop,
                 bool wanted)
{
    struct failure failure = {0};
    struct sync_report report = {0};
    enum fault fault = wanted ? fs_run(fs, stop, &failure) : FAULT_CANCELED;
    fs_unmount(fs);
    sync_stop(sync, fault == FAULT_NONE && !options->read_only, &report);
    fs_free(fs);
    int code = log_report(&report);
    if (fault == FAULT_NONE)
        return code;
    if (wanted)
        log_write(LOG_LEVEL_ERROR, "%s; nothing was deleted on the server", failure.text);
    return EXIT_INCOMPLETE;
}

static int mount_and_serve(const struct options *options, const struct account *account,
                           struct confinement *confinement, struct sync *sync, int stop,
                           struct daemon *daemon)
{
    struct failure failure = {0};
    struct fs *fs = NULL;
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
        fault = mount_it(options, account, words.data, sync, confinement, &fs, &failure);
    if (fault == FAULT_NONE)
        fault = confine(&confinement->sandbox, &failure);
    if (fault == FAULT_NONE)
        return serve(options, sync, fs, stop, daemon_report_success(daemon));

    struct sync_report report;
    if (fs != NULL)
        fs_unmount(fs);
    sync_stop(sync, false, &report);
    fs_free(fs);
    int code = fault == FAULT_MEMORY ? EXIT_SYSTEM : EXIT_MOUNT;
    daemon_report_failure(daemon, code, failure.text);
    return code;
}

int life_run(const struct options *options, const struct account *account,
             const struct secret *secret, struct daemon *daemon)
{
    struct failure failure = {0};
    struct sync *sync = NULL;
    struct confinement confinement = {0};
    CLEANUP_CLOSE int stop = take_signals();
    enum fault fault;
    log_start(options->foreground ? LOG_SINK_STDERR : LOG_SINK_SYSLOG,
              options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "popfs");
    if (stop < 0)
        fault = failure_set(&failure, FAULT_MEMORY, "signalfd: %s", strerror(errno));
    else
        fault = prepare_confinement(options, account, secret, &confinement, &failure);
    raise_descriptor_limit();
    if (fault == FAULT_NONE)
        fault = make_sync(options, account, secret, &confinement.sandbox, &sync, &failure);
    if (fault != FAULT_NONE) {
        helper_end(&confinement.unmounter);
        int code = fault == FAULT_REFUSED ? EXIT_USAGE : code_of(fault); /* a word of an option */
        daemon_report_failure(daemon, code, failure.text);
        return code;
    }
    int code = mount_and_serve(options, account, &confinement, sync, stop, daemon);
    helper_end(&confinement.unmounter);
    sync_free(sync);
    return code;
}
