/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t socket_write(int descriptor, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    return writev(descriptor, iov, count);
}

static ssize_t socket_read(int descriptor, void *buffer, size_t octets, void *userdata)
{
    (void)userdata;
    ssize_t got = read(descriptor, buffer, octets);
    if (got != 0)
        return got;
    errno = ENODEV; /* the kernel's end is closed: this is how /dev/fuse says "unmounted" */
    return -1;
}

void kernel_say_init(struct kernel *kernel)
{
    static struct reply reply;
    const struct fuse_init_in init = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = 131072,
        .flags = FUSE_ASYNC_READ | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
                 FUSE_READDIRPLUS_AUTO | FUSE_BIG_WRITES | FUSE_MAX_PAGES,
    };
    kernel_ask(kernel, FUSE_INIT, 0, PAYLOAD(init), &reply);
    assert_int_equal(reply.error, 0);
    assert_true((reply.init.flags & FUSE_AUTO_INVAL_DATA) != 0);
    assert_true((reply.init.flags & FUSE_DO_READDIRPLUS) != 0);
    assert_true(reply.init.max_background >= 1024);
}

/* Mounted, as far as a table of its own says, which the watch then has. */
static void begin_to_watch(struct mountwatch *watch)
{
    static const struct slice table = SLICE_LITERAL("42 22 0:39 / /mnt rw - fuse.popfs x rw\n");
    struct slice rows = table;
    struct mount_row row;
    int descriptor = memfd_create("mountinfo", MFD_CLOEXEC);
    assert_int_equal(write(descriptor, table.data, table.len), (ssize_t)table.len);
    assert_true(mounts_take_row(&rows, &row));
    const struct mount_identity own = mounts_row_identity(&row);
    mountwatch_start_at(watch, descriptor, &own);
}

void kernel_init(struct kernel *kernel, struct sync *sync, bool read_only)
{
    kernel_init_with(kernel, sync, read_only, FS_CONTROL_HIDDEN);
}

void kernel_init_with(struct kernel *kernel, struct sync *sync, bool read_only,
                      enum fs_control control)
{
    kernel_open(kernel, sync, read_only, control);
    kernel_say_init(kernel);
}

void kernel_open(struct kernel *kernel, struct sync *sync, bool read_only, enum fs_control control)
{
    static const struct fuse_custom_io io = {.writev = socket_write, .read = socket_read};
    const struct fs_options options = {.mountpoint = "/nonexistent",
                                       .source = "test",
                                       .mount_options = "",
                                       .read_only = read_only,
                                       .control = control,
                                       .sandbox = "none",
                                       .uid = 1000,
                                       .gid = 1001,
                                       .umask = 077};
    struct failure failure = {0};
    int pair[2];
    signal(SIGPIPE, SIG_IGN); /* as popfs does: what is said after unmounting goes into a pipe */
    *kernel = (struct kernel){.sync = sync};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    kernel->descriptor = pair[0];
    if (fs_create(&options, sync, &kernel->fs, &failure) != FAULT_NONE)
        fail_msg("%s", failure.text);
    begin_to_watch(&kernel->fs->mountwatch);
    assert_int_equal(fuse_session_custom_io(kernel->fs->session, &io, pair[1]), 0);
}

void kernel_done(struct kernel *kernel)
{
    fs_unmount(kernel->fs);
    fs_free(kernel->fs);
    close(kernel->descriptor);
}

uint64_t kernel_queue(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload)
{
    struct fuse_in_header header = {.len = (uint32_t)(sizeof(header) + payload.len),
                                    .opcode = opcode,
                                    .unique = ++kernel->unique_last,
                                    .nodeid = ino,
                                    .uid = kernel->uid};
    char message[sizeof(header) + 4096];
    assert_true(payload.len <= 4096);
    memcpy(message, &header, sizeof(header));
    if (payload.len > 0)
        memcpy(message + sizeof(header), payload.data, payload.len);
    assert_int_equal(send(kernel->descriptor, message, header.len, 0), header.len);
    return header.unique;
}

uint64_t kernel_send(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload)
{
    uint64_t unique = kernel_queue(kernel, opcode, ino, payload);
    int error = 0;
    assert_int_equal(fs_serve(kernel->fs, -1, 0, &error), SERVE_GOES_ON);
    return unique;
}

bool kernel_receive(struct kernel *kernel, struct reply *reply)
{
    struct fuse_out_header header;
    struct iovec iov[] = {{&header, sizeof(header)}, {reply->bytes, sizeof(reply->bytes)}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t got = recvmsg(kernel->descriptor, &message, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno == EAGAIN)) /* 0: the fs has closed its end */
        return false;
    assert_true(got >= (ssize_t)sizeof(header));
    assert_int_equal(header.len, got);
    reply->unique = header.unique;
    reply->error = header.unique == 0 ? header.error : -header.error;
    reply->len = (size_t)got - sizeof(header);
    return true;
}

void kernel_ask(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload,
                struct reply *reply)
{
    uint64_t unique = kernel_send(kernel, opcode, ino, payload);
    assert_true(kernel_receive(kernel, reply));
    assert_int_equal(reply->unique, unique);
}

void kernel_expect_silence(struct kernel *kernel)
{
    static struct reply reply;
    assert_false(kernel_receive(kernel, &reply));
}

void kernel_interrupt(struct kernel *kernel, uint64_t unique)
{
    const struct fuse_interrupt_in interrupt = {.unique = unique};
    kernel_send(kernel, FUSE_INTERRUPT, 0, PAYLOAD(interrupt));
}

void kernel_lookup(struct kernel *kernel, uint64_t parent, const char *name, struct reply *reply)
{
    kernel_ask(kernel, FUSE_LOOKUP, parent, (struct slice){name, strlen(name) + 1}, reply);
}

uint64_t kernel_ino(struct kernel *kernel, const char *name)
{
    static struct reply reply;
    kernel_lookup(kernel, FUSE_ROOT_ID, name, &reply);
    assert_int_equal(reply.error, 0);
    assert_true(reply.entry.nodeid != 0);
    return reply.entry.nodeid;
}

uint64_t kernel_send_open(struct kernel *kernel, uint64_t ino, uint32_t flags)
{
    const struct fuse_open_in open = {.flags = flags};
    return kernel_send(kernel, FUSE_OPEN, ino, PAYLOAD(open));
}

void kernel_read(struct kernel *kernel, uint64_t ino, uint64_t handle, uint64_t offset,
                 uint32_t size, struct reply *reply)
{
    const struct fuse_read_in read_in = {.fh = handle, .offset = offset, .size = size};
    kernel_ask(kernel, FUSE_READ, ino, PAYLOAD(read_in), reply);
}
