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
#include "utab.h"

#include "popfs/fs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    UNMOUNT_MS = 10000,
    FETCH_MS = 70000, /* a passcmd has a minute */
    READ_MS = 10000,
    OWNER_POLL_MS = 50,
    SILENT_MS = 1000,
    UNMOUNTED_MS = 7000, /* then it says that it ends, or that the unmount was a lazy one */
    ENDING_MS = 150000,  /* a commit, and a QUIT that rewrites the mbox */
};

/* What is left of the process's rights, and who has the rest. */
struct confinement {
    struct sandbox sandbox;
    /* Not started where there is no sandbox, or no need. */
    struct helper unmounter, fetcher, reader;
    bool has_unmounter; /* was started; it may have died */
    bool auto_unmount;
    const char *mountpoint;
    struct unmount_own *own; /* the unmounter has another copy */
    struct secret *secret;
    struct secret_sources sources; /* of it */
    char source_shown[300];
    const char *cafile;
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
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a fault of the disk like another */
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

/* ---- what needs more rights than the mount has ---- */

/* The first time, right after mounting, it is noted which mount is to be taken away later. */
static enum fault run_unmount(const void *context, struct secret *secret,
                              struct failure *ret_failure)
{
    const struct confinement *confinement = context;
    (void)secret;
    if (confinement->own->is_noted)
        return unmount_run(confinement->own, ret_failure);
    return unmount_note(confinement->mountpoint, confinement->own, ret_failure);
}

/* For the mounts of others than root, umount(8) looks for the helper anyway. What it is to know of
 * another popfs that is mounted at the same place stays. */
static void forget_for_umount(const char *mountpoint)
{
    if (geteuid() == 0 && !unmount_is_needed(mountpoint))
        utab_remove(mountpoint);
}

/* After an orderly end the mount has gone, and another one may have its place and its numbers. */
static void end_unmounter(const void *context, bool is_orderly)
{
    const struct confinement *confinement = context;
    struct failure failure;
    if (confinement->auto_unmount && confinement->own->is_noted && !is_orderly)
        (void)unmount_run(confinement->own, &failure);
    forget_for_umount(confinement->mountpoint);
}

static enum fault run_refetch(const void *context, struct secret *secret,
                              struct failure *ret_failure)
{
    const struct confinement *confinement = context;
    secret->source = confinement->secret->source;
    return secret_refetch(secret, &confinement->sources, ret_failure);
}

static enum fault run_read(const void *context, struct buffer *ret_octets,
                           struct failure *ret_failure)
{
    const struct confinement *confinement = context;
    return sync_read_authorities(confinement->cafile, ret_octets, ret_failure);
}

/* A descriptor has been read to its end, and is closed in the helper. */
static bool can_reread(const struct options *options, const struct account *account)
{
    return account->tls != SYNC_TLS_OFF &&
           (options->cafile == NULL || path_descriptor(options->cafile) < 0);
}

static enum fault start_helpers(const struct options *options, const struct account *account,
                                struct confinement *confinement, struct failure *ret_failure)
{
    const struct helper_work unmounting = {.name = "popfs-unmount",
                                           .run = run_unmount,
                                           .end = end_unmounter,
                                           .context = confinement,
                                           .foreground = options->foreground,
                                           .outlives = options->auto_unmount};
    const struct helper_work fetching = {.name = "popfs-password",
                                         .run = run_refetch,
                                         .context = confinement,
                                         .foreground = options->foreground};
    const struct helper_work reading = {.name = "popfs-trust",
                                        .read = run_read,
                                        .context = confinement,
                                        .foreground = options->foreground};
    enum fault fault = FAULT_NONE;
    bool confines = sandbox_confines(&confinement->sandbox);
    /* What mount.fuse3 has mounted is not ours to unmount. */
    confinement->has_unmounter =
        (confines || options->auto_unmount) && path_descriptor(account->mountpoint) < 0;
    if (confinement->has_unmounter)
        fault =
            helper_start(&confinement->unmounter, &unmounting, confinement->secret, ret_failure);
    if (fault == FAULT_NONE && confines && secret_can_refetch(confinement->secret))
        fault = helper_start(&confinement->fetcher, &fetching, confinement->secret, ret_failure);
    if (fault == FAULT_NONE && confines && can_reread(options, account))
        fault = helper_start(&confinement->reader, &reading, confinement->secret, ret_failure);
    return fault;
}

static enum fault prepare_confinement(const struct options *options, const struct account *account,
                                      struct secret *secret, struct confinement *confinement,
                                      struct failure *ret_failure)
{
    confinement->secret = secret;
    confinement->sources = account_secret_sources(options, account);
    confinement->mountpoint = account->mountpoint;
    confinement->cafile = options->cafile;
    confinement->auto_unmount = options->auto_unmount;
    sandbox_init(&confinement->sandbox, options->sandbox == OPTION_SANDBOX_AUTO, account->cache,
                 getenv("TMPDIR"));
    return start_helpers(options, account, confinement, ret_failure);
}

static void end_helpers(struct confinement *confinement)
{
    helper_end(&confinement->unmounter);
    helper_end(&confinement->fetcher);
    helper_end(&confinement->reader);
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

static enum fault ask_unmounter(struct confinement *confinement, struct failure *ret_failure)
{
    if (!confinement->has_unmounter)
        return run_unmount(confinement, NULL, ret_failure);
    return helper_ask(&confinement->unmounter, UNMOUNT_MS, NULL, ret_failure);
}

static void note_mount(void *context)
{
    struct failure failure = {0};
    if (ask_unmounter(context, &failure) != FAULT_NONE)
        log_write(LOG_LEVEL_WARNING, "%s", failure.text);
}

static void unmount_it(void *context)
{
    struct failure failure = {0};
    enum fault fault = ask_unmounter(context, &failure);
    if (fault == FAULT_BUSY)
        log_write(LOG_LEVEL_WARNING, "%s", failure.text);
    else if (fault != FAULT_NONE)
        log_write(LOG_LEVEL_ERROR, "%s; fusermount3 -uz clears the place", failure.text);
}

/* On a thread of sync's, while nobody reads the secret. */
static enum sync_fetched refetch(void *context, struct failure *ret_failure)
{
    struct confinement *confinement = context;
    struct secret *secret = confinement->secret;
    uint64_t before = hash_bytes((struct slice){secret->text, secret->len});
    enum fault fault = confinement->fetcher.child != 0
                           ? helper_ask(&confinement->fetcher, FETCH_MS, secret, ret_failure)
                           : secret_refetch(secret, &confinement->sources, ret_failure);
    if (fault != FAULT_NONE)
        return SYNC_FETCHED_NOTHING;
    bool same = hash_bytes((struct slice){secret->text, secret->len}) == before;
    return same ? SYNC_FETCHED_THE_SAME : SYNC_FETCHED_ANOTHER;
}

static enum fault reread(void *context, struct buffer *ret_pem, struct failure *ret_failure)
{
    struct confinement *confinement = context;
    return sandbox_confines(&confinement->sandbox)
               ? helper_ask_octets(&confinement->reader, READ_MS, ret_pem, ret_failure)
               : run_read(confinement, ret_pem, ret_failure);
}

/* ---- the parts ---- */

static struct sync_options sync_options(const struct options *options,
                                        const struct account *account,
                                        struct confinement *confinement)
{
    return (struct sync_options){
        .host = account->host,
        .port = account->port,
        .tls = account->tls,
        .cafile = options->cafile,
        .cert = options->cert,
        .key = options->key,
        .pin = options->pin,
        .auth = options->auth,
        .user = account->user,
        .password_source =
            secret_source_show(confinement->secret, &confinement->sources,
                               confinement->source_shown, sizeof(confinement->source_shown)),
        .password = confinement->secret->text,
        .fetch_password = secret_can_refetch(confinement->secret) ? refetch : NULL,
        .fetch_authorities = can_reread(options, account) ? reread : NULL,
        .fetch_context = confinement,
        .account = account->shown,
        .mountpoint = account->mountpoint,
        .cache_folder = account->cache,
        .cache_off = account->cache_off,
        .state_folder = account->state,
        .cache_octets_max = (uint64_t)options->cache_octets_max,
        .bin_s = options->bin_days * 86400,
        .name_of = fs_name_of,
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
        .thread_begin = confine_thread,
        .thread_context = &confinement->sandbox,
    };
}

/* A moment later; false if a signal asks for the end meanwhile. */
static bool pause_for_owner(int stop)
{
    struct pollfd polled = {.fd = stop, .events = POLLIN};
    return poll(&polled, 1, OWNER_POLL_MS) == 0;
}

/* How long to wait for a process that has the account, in all. */
static int64_t patience_ms(enum sync_hold hold)
{
    switch (hold) {
    case SYNC_HOLD_KEEPS:
        break;
    case SYNC_HOLD_UNMOUNTED:
        return UNMOUNTED_MS;
    case SYNC_HOLD_ENDS:
        return ENDING_MS;
    }
    return 0;
}

/*
 * umount(2) returns before the process behind the mount has ended its session. Whoever mounts the
 * same account again right after it waits for that process.
 */
static enum fault make_sync(const struct sync_options *wanted, int stop, struct sync **ret_sync,
                            struct failure *ret_failure)
{
    int64_t begun_ms = clock_now_ms();
    bool is_said = false;
    for (;;) {
        /* Asked first: the other may let go in between, and is then no reason to refuse. */
        enum sync_hold hold = sync_hold(wanted);
        enum fault fault = sync_new(wanted, ret_sync, ret_failure);
        int64_t waited_ms = clock_now_ms() - begun_ms;
        if (fault != FAULT_BUSY || waited_ms >= patience_ms(hold))
            return fault;
        if (waited_ms >= SILENT_MS && !is_said)
            fprintf(stderr, "popfs: waiting for the end of the last mount: %s\n",
                    ret_failure->text);
        is_said = waited_ms >= SILENT_MS;
        if (!pause_for_owner(stop))
            return failure_set(ret_failure, FAULT_CANCELED, "interrupted");
    }
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
                           const char *mount_options, struct sync *sync,
                           struct confinement *confinement, struct fs **ret_fs,
                           struct failure *ret_failure)
{
    bool is_ours = path_descriptor(account->mountpoint) < 0;
    const struct fs_options wanted = {
        .mountpoint = account->mountpoint,
        .lazy_octets = (uint64_t)options->lazy_octets,
        .source = options->source,
        .mount_options = mount_options,
        .control = control_of(options),
        .sandbox = confinement->sandbox.text,
        .read_only = options->read_only,
        .debug = options->debug,
        .allow_other = options->allow_other,
        .uid = (uid_t)options->uid,
        .gid = (gid_t)options->gid,
        .umask = (mode_t)options->umask,
        .mounted = is_ours ? note_mount : NULL,
        .unmount = is_ours ? unmount_it : NULL,
        .unmount_context = confinement,
    };
    return fs_new(&wanted, sync, ret_fs, ret_failure);
}

static int code_of(enum fault fault)
{
    return fault == FAULT_MEMORY || fault == FAULT_DISK ? EXIT_SYSTEM : EXIT_MOUNT;
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* sync has said why for each that failed. With state=off the next mount knows nothing of them. */
static int log_report(const struct sync_report *report, bool state_off)
{
    size_t forgotten = state_off ? report->failed_count : report->forgotten_count;
    size_t kept = report->failed_count - forgotten;
    if (forgotten > 0)
        log_write(LOG_LEVEL_ERROR, "%zu message%s could not be deleted", forgotten,
                  plural(forgotten));
    if (kept > 0)
        log_write(LOG_LEVEL_ERROR,
                  "%zu message%s could not be deleted, and will be tried again in the next mount",
                  kept, plural(kept));
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
    size_t len = strlen(notice);
    if (status.held_count > 0)
        snprintf(notice + len, capacity - len,
                 "; %zu wait%s for popfsctl commit, for the journal of removals has lost lines",
                 status.held_count, status.held_count == 1 ? "s" : "");
    log_write(LOG_LEVEL_INFO, "%s", notice);
}

static void note_for_umount(const struct options *options, const struct account *account)
{
    if (geteuid() == 0 && path_descriptor(account->mountpoint) < 0 &&
        !utab_add(options->source, account->mountpoint))
        log_write(LOG_LEVEL_WARNING, "umount will not wait for the commit: no entry in utab");
}

/*
 * The middle: the kernel is answered until somebody unmounts. Only an orderly end commits: when the
 * kernel's side broke, nobody can say what the user still wanted.
 */
static int serve(const struct account *account, struct confinement *confinement, struct sync *sync,
                 struct fs *fs, int stop, bool wanted)
{
    struct failure failure = {0};
    struct sync_report report = {0};
    bool may_commit = false;
    enum fault fault = wanted ? fs_run(fs, stop, &may_commit, &failure) : FAULT_CANCELED;
    fs_unmount(fs);
    helper_say_orderly_end(&confinement->unmounter); /* before QUIT, which may take its time */
    if (!confinement->has_unmounter)
        forget_for_umount(account->mountpoint);
    sync_stop(sync, may_commit, &report);
    fs_free(fs);
    int code = log_report(&report, account->state == NULL);
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
    char notice[FAILURE_TEXT_OCTETS];
    CLEANUP_BUFFER struct buffer words = {0};
    confinement->sandbox.state_folder = sync_state_path(sync);
    enum fault fault = sandbox_prepare(&confinement->sandbox, &failure);
    if (fault == FAULT_NONE)
        fault = sync_start(sync, stop, &failure);
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
        note_for_umount(options, account);
    if (fault == FAULT_NONE)
        fault = confine(&confinement->sandbox, &failure);
    sandbox_done(&confinement->sandbox); /* other threads inherit it */
    if (fault == FAULT_NONE) {
        say_what_is_pending(sync, options, notice, sizeof(notice));
        return serve(account, confinement, sync, fs, stop,
                     daemon_report_success(daemon, options->foreground ? "" : notice));
    }

    struct sync_report report;
    if (fs != NULL)
        fs_unmount(fs);
    helper_say_orderly_end(&confinement->unmounter);
    sync_stop(sync, false, &report);
    fs_free(fs);
    int code = fault == FAULT_MEMORY ? EXIT_SYSTEM : EXIT_MOUNT;
    daemon_report_failure(daemon, code, failure.text);
    return code;
}

int life_run(const struct options *options, const struct account *account, struct secret *secret,
             struct daemon *daemon)
{
    struct failure failure = {0};
    struct sync *sync = NULL;
    struct unmount_own own = {0};
    struct confinement confinement = {.own = &own};
    CLEANUP_CLOSE int stop = take_signals();
    enum fault fault;
    log_start(options->foreground ? LOG_SINK_STDERR : LOG_SINK_SYSLOG,
              options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "popfs");
    log_name(account->shown);
    if (stop < 0)
        fault = failure_set(&failure, FAULT_MEMORY, "signalfd: %s", strerror(errno));
    else
        fault = prepare_confinement(options, account, secret, &confinement, &failure);
    raise_descriptor_limit();
    const struct sync_options wanted = sync_options(options, account, &confinement);
    if (fault == FAULT_NONE)
        fault = make_sync(&wanted, stop, &sync, &failure);
    if (fault != FAULT_NONE) {
        end_helpers(&confinement);
        int code = fault == FAULT_REFUSED ? EXIT_USAGE : code_of(fault); /* a word of an option */
        daemon_report_failure(daemon, code, failure.text);
        return code;
    }
    int code = mount_and_serve(options, account, &confinement, sync, stop, daemon);
    sync_free(sync); /* first: it may still be asking one of them for the password */
    sandbox_done(&confinement.sandbox);
    end_helpers(&confinement);
    return code;
}
