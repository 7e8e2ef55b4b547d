/* SPDX-License-Identifier: MIT */
/* Life of the file system: mount, loop, unmount. */
#include "filesystem.h"

#include "mount.h"
#include "names.h"
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    DRAIN_POLL_MS = 10,
    /* Whoever reads many files asks again some microseconds after an answer. To stay awake for so
     * long costs no more processor time than to fall asleep and be woken, and takes a third off the
     * time of `grep -r`. */
    LINGER_NS = 20000,
    BURST_COUNT_MAX = 64, /* requests before the other descriptors are looked at */
    NS_PER_MS = 1000000,
};

/* How long popfs goes on serving after a signal: see quiet_left_ms(). */
static const int64_t quiet_ns = 200 * NS_PER_MS, quiet_ns_max = 2000LL * NS_PER_MS;

/* ---- creation ---- */

static enum fault session_open(struct fs *fs, const struct fs_options *options,
                               struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer text = {0};
    if (!mount_options_write(options, &text))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    char program[] = "popfs";
    char option[] = "-o";
    char debug[] = "-d";
    char *argv[] = {program, option, text.data, debug, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(options->debug ? 4 : 3, argv);
    mount_messages_keep();
    fs->session = fuse_session_new(&args, &operations, sizeof(operations), fs);
    const char *said = mount_messages_kept();
    fuse_opt_free_args(&args);
    if (fs->session == NULL)
        return failure_set(ret_failure, FAULT_DISK, "libfuse refuses the mount options: %s", said);
    return FAULT_NONE;
}

static enum fault fs_fill(struct fs *fs, const struct fs_options *options,
                          struct failure *ret_failure)
{
    enum fault fault = session_open(fs, options, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    fs_root_touch(fs);
    if (listener_start(fs) != FAULT_NONE)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for the names of messages");
    return FAULT_NONE;
}

enum fault fs_create(const struct fs_options *options, struct sync *sync, struct fs **ret_fs,
                     struct failure *ret_failure)
{
    struct fs *fs = calloc(1, sizeof(*fs));
    if (fs == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    fs->sync = sync;
    fs->max_read = mount_options_max_read(options->mount_options);
    fs->lazy_octets = options->lazy_octets;
    fs->mountpoint = options->mountpoint;
    fs->sandbox = options->sandbox;
    fs->control = options->control;
    fs->commands_ino_last = INODE_COMMANDS_FIRST;
    fs->mountwatch = MOUNTWATCH_OFF;
    fs->mounted = options->mounted;
    fs->unmount = options->unmount;
    fs->unmount_context = options->unmount_context;
    fs->owner = (struct attributes_owner){.uid = options->uid,
                                          .gid = options->gid,
                                          .umask = options->umask,
                                          .read_only = options->read_only};
    pthread_mutex_init(&fs->lock, NULL);
    pthread_cond_init(&fs->gate_opened, NULL);
    enum fault fault = fs_fill(fs, options, ret_failure);
    if (fault != FAULT_NONE) {
        fs_free(fs);
        return fault;
    }
    *ret_fs = fs;
    return FAULT_NONE;
}

/* Others than root need it, and libfuse does not say that it is not there. */
static bool needs_fusermount(void)
{
    return geteuid() != 0 && access("/usr/bin/fusermount3", X_OK) != 0 &&
           access("/usr/local/bin/fusermount3", X_OK) != 0;
}

/* fusermount3 merely says "Permission denied" when it may not look into what is there. */
bool fs_name_of(struct slice uidl, uint32_t copy, char ret_name[SYNC_NAME_OCTETS])
{
    struct name name;
    if (!name_encode(uidl, copy, &name))
        return false;
    memcpy(ret_name, name.data, name.len + 1);
    return true;
}

static bool is_mounted_already(const char *mountpoint)
{
    struct statfs file_system;
    return statfs(mountpoint, &file_system) == 0 && file_system.f_type == FUSE_SUPER_MAGIC;
}

/* On which the kernel's client can go on while the FUSE thread is awake. */
static bool has_other_processors(void)
{
    cpu_set_t processors;
    return sched_getaffinity(0, sizeof(processors), &processors) != 0 || CPU_COUNT(&processors) > 1;
}

static enum fault fs_mount(struct fs *fs, const struct fs_options *options,
                           struct failure *ret_failure)
{
    const char *mountpoint = options->mountpoint;
    mount_messages_keep();
    int result = fuse_session_mount(fs->session, mountpoint);
    const char *said = mount_messages_kept();
    if (result != 0 && is_mounted_already(mountpoint))
        return failure_set(ret_failure, FAULT_DISK,
                           "something is mounted on %s already: run 'fusermount3 -u %s' first",
                           mountpoint, mountpoint);
    if (result != 0)
        return failure_set(ret_failure, FAULT_DISK, "cannot mount on %s%s%s%s", mountpoint,
                           said[0] == '\0' ? "" : ": ", said,
                           needs_fusermount()
                               ? ": fusermount3 is missing: install it, in Debian's package fuse3"
                               : "");
    if (fs->mounted != NULL)
        fs->mounted(fs->unmount_context);
    /* A request may be taken back between poll() and read(): then read() must not wait for the
     * next. */
    int descriptor = fuse_session_fd(fs->session);
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0)
        return failure_set(ret_failure, FAULT_DISK, "cannot use the FUSE device: %s",
                           strerror(errno));
    fs->lingers = has_other_processors();
    mountwatch_start(&fs->mountwatch, descriptor, mountpoint, options->source);
    return mount_guard_check(fs_knows_its_mount(fs) ? &fs->mountwatch.identity : NULL,
                             options->source, options->allow_other, ret_failure);
}

enum fault fs_new(const struct fs_options *options, struct sync *sync, struct fs **ret_fs,
                  struct failure *ret_failure)
{
    enum fault fault = mount_point_check(options->mountpoint, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    struct fs *fs;
    fault = fs_create(options, sync, &fs, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    fault = fs_mount(fs, options, ret_failure);
    if (fault != FAULT_NONE) {
        fs_unmount(fs);
        fs_free(fs);
        return fault;
    }
    *ret_fs = fs;
    return FAULT_NONE;
}

/* ---- the loop ---- */

static enum serve_result serve_received(struct fs *fs, int received, int *ret_errno)
{
    if (received == -EINTR || received == -EAGAIN)
        return SERVE_GOES_ON;
    if (received < 0) {
        *ret_errno = -received;
        return SERVE_BROKEN;
    }
    if (received == 0)
        return SERVE_UNMOUNTED;
    fuse_session_process_buf(fs->session, &fs->received);
    fs->served_ns = clock_now_ns();
    return fuse_session_exited(fs->session) ? SERVE_UNMOUNTED : SERVE_GOES_ON;
}

/* -EAGAIN: no request has come soon after the last one. */
static int receive_soon(struct fs *fs)
{
    int received = -EAGAIN;
    if (!fs->lingers || ++fs->burst_count % BURST_COUNT_MAX == 0)
        return received;
    do
        received = fuse_session_receive_buf(fs->session, &fs->received);
    while (received == -EAGAIN && clock_now_ns() - fs->served_ns < LINGER_NS);
    return received;
}

enum serve_result fs_serve(struct fs *fs, int stop_descriptor, int timeout_ms, int *ret_errno)
{
    int received = receive_soon(fs);
    if (received != -EAGAIN)
        return serve_received(fs, received, ret_errno);
    struct pollfd polled[] = {{.fd = stop_descriptor, .events = POLLIN},
                              {.fd = fuse_session_fd(fs->session), .events = POLLIN},
                              {.fd = fs->mountwatch.descriptor, .events = POLLPRI}};
    int ready = poll(polled, 3, timeout_ms);
    if (ready < 0 && errno != EINTR) {
        *ret_errno = errno;
        return SERVE_BROKEN;
    }
    if (ready <= 0)
        return SERVE_GOES_ON;
    if (polled[0].revents != 0)
        return SERVE_STOPPED;
    if (polled[2].revents != 0)
        mountwatch_read(&fs->mountwatch);
    if (polled[1].revents == 0)
        return SERVE_GOES_ON;
    return serve_received(fs, fuse_session_receive_buf(fs->session, &fs->received), ret_errno);
}

static void warn_of_no_commit(struct fs *fs, const char *why)
{
    struct sync_status status;
    sync_status(fs->sync, &status);
    log_write(LOG_LEVEL_WARNING, "%s: nothing will be deleted; %zu removal%s pending", why,
              status.going_count, status.going_count == 1 ? " stays" : "s stay");
}

bool fs_is_read_only(struct fs *fs)
{
    mountwatch_read(&fs->mountwatch);
    return fs->owner.read_only || fs->mountwatch.read_only;
}

int fs_commit_refusal(struct fs *fs)
{
    if (fs_is_read_only(fs))
        return EROFS;
    return fs_knows_its_mount(fs) && fs->mountwatch.mount_count == 0 ? ENODEV : 0;
}

bool fs_knows_its_mount(const struct fs *fs)
{
    return mountwatch_state(&fs->mountwatch) != MOUNTWATCH_NOTHING_KNOWN;
}

/* Whoever ended the mount wants what is going to be deleted. */
static bool is_to_commit(struct fs *fs)
{
    struct sync_status status;
    sync_status(fs->sync, &status);
    if (fs->keeps)
        warn_of_no_commit(fs, "as was asked for");
    else if (fs_is_read_only(fs) && status.going_count > 0)
        warn_of_no_commit(fs, "mounted read-only");
    else if (status.held_count > 0)
        log_write(LOG_LEVEL_WARNING,
                  "%zu removal%s pending until popfsctl commit: the journal of removals has lost "
                  "lines",
                  status.held_count, status.held_count == 1 ? " stays" : "s stay");
    return !fs->keeps && !fs_is_read_only(fs);
}

/* Neither a remount to ro nor a lazy unmount is seen, after which nothing may be deleted. */
static bool say_unknown(struct fs *fs)
{
    struct sync_status status;
    sync_status(fs->sync, &status);
    if (status.going_count > 0)
        warn_of_no_commit(fs, "the kernel does not tell which mount is this one, so only popfsctl "
                              "commit deletes");
    return false;
}

/* The connection to the kernel has come to its end, or a signal asks for it. */
static bool was_ended_in_order(struct fs *fs, bool by_signal)
{
    mountwatch_read(&fs->mountwatch);
    switch (mountwatch_state(&fs->mountwatch)) {
    case MOUNTWATCH_NOTHING_KNOWN:
        return say_unknown(fs);
    case MOUNTWATCH_UNMOUNTED:
        return is_to_commit(fs);
    case MOUNTWATCH_MOUNTED:
        if (by_signal)
            return is_to_commit(fs);
        return false; /* is said by cut_off() */
    case MOUNTWATCH_UNMOUNTED_LAZILY:
        return false; /* has been said */
    }
    return false;
}

/* The kernel has ended the connection and still has the mount. That is a failure where removals are
 * left by it. */
static enum fault cut_off(struct fs *fs, struct failure *ret_failure)
{
    struct sync_status status;
    if (mountwatch_state(&fs->mountwatch) != MOUNTWATCH_MOUNTED)
        return FAULT_NONE;
    sync_status(fs->sync, &status);
    warn_of_no_commit(fs, "the connection was cut while the file system was mounted");
    if (status.going_count == 0)
        return FAULT_NONE;
    return failure_set(ret_failure, FAULT_DISK, "the connection to the kernel was cut");
}

/* Nobody can look for new mail any more, and the next mount may want the maildrop. */
static void retire_if_detached(struct fs *fs)
{
    if (fs->is_retired || mountwatch_state(&fs->mountwatch) != MOUNTWATCH_UNMOUNTED_LAZILY ||
        fs->mountwatch.mount_count > 0)
        return;
    fs->is_retired = true;
    sync_retire(fs->sync);
}

/* How long to wait for the kernel: the end of a lazy unmount shows itself by nothing. */
static int wait_ms(struct fs *fs)
{
    int left_ms = mountwatch_left_ms(&fs->mountwatch);
    if (left_ms == 0) {
        mountwatch_be_lazy(&fs->mountwatch);
        warn_of_no_commit(fs, "unmounted lazily");
        left_ms = -1;
    }
    retire_if_detached(fs);
    return left_ms;
}

/*
 * A signal that comes right after an unmount has to wait: whether that was lazy, so that nothing
 * may be deleted, only the time or the kernel's end of the connection tells.
 */
static bool is_unmounting(struct fs *fs)
{
    mountwatch_read(&fs->mountwatch);
    return mountwatch_state(&fs->mountwatch) == MOUNTWATCH_UNMOUNTED;
}

/*
 * How long to wait for another request after a signal; 0: the mount can end.
 *
 * A program may have removed a file in order to replace it, and its create may wait in the kernel's
 * queue or not have been sent yet. The commit would delete that message. So popfs serves until no
 * request has come for quiet_ns. Readers can keep it busy: it ends after quiet_ns_max in any case.
 * A request that waits for the network has been received before, and delays nothing.
 */
static int quiet_left_ms(struct fs *fs)
{
    struct sync_status status;
    sync_status(fs->sync, &status);
    if (status.going_count == 0)
        return 0;
    int64_t busy_ns = fs->served_ns > fs->stopped_ns ? fs->served_ns : fs->stopped_ns;
    int64_t end_ns = busy_ns + quiet_ns;
    if (end_ns > fs->stopped_ns + quiet_ns_max)
        end_ns = fs->stopped_ns + quiet_ns_max;
    int64_t left_ns = end_ns - clock_now_ns();
    return left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0;
}

enum fault fs_run(struct fs *fs, int stop_descriptor, bool *ret_may_commit,
                  struct failure *ret_failure)
{
    *ret_may_commit = false;
    for (;;) {
        int error = 0;
        int timeout_ms = wait_ms(fs);
        bool is_stopped = fs->stopped_ns != 0;
        if (is_stopped && !is_unmounting(fs)) {
            timeout_ms = quiet_left_ms(fs);
            if (timeout_ms == 0) {
                *ret_may_commit = was_ended_in_order(fs, true);
                return FAULT_NONE;
            }
        }
        switch (fs_serve(fs, is_stopped ? -1 : stop_descriptor, timeout_ms, &error)) {
        case SERVE_GOES_ON:
            break;
        case SERVE_UNMOUNTED:
            *ret_may_commit = was_ended_in_order(fs, false);
            return cut_off(fs, ret_failure);
        case SERVE_STOPPED:
            fs->stopped_ns = clock_now_ns();
            break;
        case SERVE_BROKEN:
            return failure_set(ret_failure, FAULT_DISK, "lost the connection to the kernel: %s",
                               strerror(error));
        }
    }
}

/* ---- the end ---- */

/* False once somebody has unmounted, be it lazily: another mount may have its numbers by now. */
static bool is_attached(const struct fs *fs)
{
    enum mountwatch_state state = mountwatch_state(&fs->mountwatch);
    if (state == MOUNTWATCH_UNMOUNTED || state == MOUNTWATCH_UNMOUNTED_LAZILY)
        return false;
    struct pollfd polled = {.fd = fuse_session_fd(fs->session)};
    return polled.fd >= 0 && poll(&polled, 1, 0) >= 0 && (polled.revents & POLLERR) == 0;
}

/*
 * Closes the device, so that who still has a file open gets errors, and puts a pipe that nobody
 * reads in its place: poll() calls that an error as well, and libfuse takes it for a mount that has
 * gone. Otherwise libfuse would unmount whatever stands at the path. False: the device is still
 * open, and ends with the session.
 */
static bool close_device(const struct fs *fs)
{
    int ends[2], device = fuse_session_fd(fs->session);
    if (device < 0 || pipe2(ends, O_CLOEXEC) != 0)
        return false;
    close(ends[0]);
    bool is_closed = dup3(ends[1], device, O_CLOEXEC) >= 0;
    close(ends[1]);
    return is_closed;
}

void fs_unmount(struct fs *fs)
{
    int error;
    gate_close(fs);
    while (!gate_shut(fs))
        (void)fs_serve(fs, -1, DRAIN_POLL_MS, &error);
    fuse_session_exit(fs->session);
    if (fs->unmount != NULL && is_attached(fs))
        fs->unmount(fs->unmount_context);
    if (close_device(fs))
        fuse_session_unmount(fs->session);
    gate_open(fs);
}

void fs_free(struct fs *fs)
{
    if (fs == NULL)
        return;
    sync_set_listener(fs->sync, NULL);
    mountwatch_done(&fs->mountwatch);
    if (fs->session != NULL)
        fuse_session_destroy(fs->session);
    messages_close(fs);
    while (fs->handles != NULL)
        handle_free(fs->handles);
    inodes_done(&fs->inodes);
    for (size_t i = 0; i < PLACE_COUNT; i++)
        nametable_done(&fs->names[i]);
    free(fs->received.mem);
    free(fs->scratch);
    pthread_cond_destroy(&fs->gate_opened);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

/* ---- small services ---- */

bool fs_scratch(struct fs *fs, size_t octets)
{
    if (octets <= fs->scratch_octets)
        return true;
    char *wider = realloc(fs->scratch, octets);
    if (wider == NULL)
        return false;
    fs->scratch = wider;
    fs->scratch_octets = octets;
    return true;
}

void fs_root_touch(struct fs *fs)
{
    int64_t changed_ns = clock_wall_ns();
    fs->root_changed_ns = changed_ns > fs->root_changed_ns ? changed_ns : fs->root_changed_ns + 1;
}
