/* SPDX-License-Identifier: MIT */
/*
 * The two threads at once: one serves, the other answers, cancels come in between and listings
 * change. What is tested is that every request gets exactly one reply; ThreadSanitizer and
 * AddressSanitizer see the rest.
 */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { ROUNDS = 2000, ASKED_AT_ONCE = 8 };

static const struct slice body = SLICE_LITERAL("body");

struct serving {
    struct kernel *kernel;
    int stop;
    _Atomic bool ending;
};

static void *serve(void *argument)
{
    struct serving *serving = argument;
    struct failure failure;
    bool may_commit = false;
    assert_int_equal(fs_run(serving->kernel->fs, serving->stop, &may_commit, &failure), FAULT_NONE);
    assert_true(may_commit);
    return NULL;
}

/* The part of the sync thread: answers what waits, and now and then has a new listing. */
static void *answer(void *argument)
{
    struct serving *serving = argument;
    struct sync *sync = serving->kernel->sync;
    const struct maildrop_row rows[] = {{SLICE_LITERAL("a"), 4}, {SLICE_LITERAL("b"), 4}};
    for (size_t round = 0; !serving->ending; round++) {
        struct sync_request *request = fake_sync_take(sync);
        if (request == NULL) {
            sched_yield();
            continue;
        }
        if (request->canceled)
            request->answer(request, FAULT_CANCELED, EXTENT_NONE);
        else
            request->answer(request, FAULT_NONE, fake_sync_extent(body));
        if (round % 16 == 0)
            fake_sync_list(sync, rows, 1 + round / 16 % 2);
    }
    return NULL;
}

/* Waits for the reply to one of `first` to `last`; false: it was interrupted, or what was asked for
 * is not there just now. */
static bool take_reply(struct kernel *kernel, uint64_t first, uint64_t last, struct reply *reply)
{
    do {
        struct pollfd polled = {.fd = kernel->descriptor, .events = POLLIN};
        assert_int_equal(poll(&polled, 1, 60000), 1);
        assert_true(kernel_receive(kernel, reply));
    } while (reply->unique < first || reply->unique > last);
    assert_true(reply->error == 0 || reply->error == EINTR || reply->error == ENOENT);
    return reply->error == 0;
}

static void ask(struct kernel *kernel, uint32_t opcode, uint64_t ino, struct slice payload,
                struct reply *reply)
{
    kernel_queue(kernel, opcode, ino, payload);
    assert_true(take_reply(kernel, kernel->unique_last, kernel->unique_last, reply));
}

static void ask_interrupt_and_collect(struct kernel *kernel, uint64_t ino, struct reply *reply)
{
    struct fuse_release_in opened[ASKED_AT_ONCE] = {0};
    size_t opened_count = 0;
    const struct fuse_open_in open = {.flags = O_RDONLY};
    uint64_t first = kernel->unique_last + 1;
    for (int i = 0; i < ASKED_AT_ONCE; i++)
        kernel_queue(kernel, FUSE_OPEN, ino, PAYLOAD(open));
    uint64_t last = kernel->unique_last;
    for (uint64_t unique = first; unique <= last; unique += 2) {
        const struct fuse_interrupt_in interrupt = {.unique = unique};
        kernel_queue(kernel, FUSE_INTERRUPT, 0, PAYLOAD(interrupt));
    }
    for (int i = 0; i < ASKED_AT_ONCE; i++)
        if (take_reply(kernel, first, last, reply))
            opened[opened_count++].fh = reply->open.fh;
    for (size_t i = 0; i < opened_count; i++)
        ask(kernel, FUSE_RELEASE, ino, PAYLOAD(opened[i]), reply);
}

/* Reads names and the listing while both change. */
static void look_around(struct kernel *kernel, struct reply *reply)
{
    const struct fuse_open_in open = {0};
    kernel_queue(kernel, FUSE_LOOKUP, FUSE_ROOT_ID, SLICE_LITERAL("b.eml\0"));
    (void)take_reply(kernel, kernel->unique_last, kernel->unique_last, reply);
    ask(kernel, FUSE_OPENDIR, FUSE_ROOT_ID, PAYLOAD(open), reply);
    const struct fuse_read_in read_in = {.fh = reply->open.fh, .size = 4096};
    const struct fuse_release_in release = {.fh = reply->open.fh};
    ask(kernel, FUSE_READDIRPLUS, FUSE_ROOT_ID, PAYLOAD(read_in), reply);
    assert_true(reply->len > 0);
    ask(kernel, FUSE_RELEASEDIR, FUSE_ROOT_ID, PAYLOAD(release), reply);
}

/* libfuse keeps interrupts that came too late, and gives one back before each later request. */
static void flush_late_interrupts(struct kernel *kernel, struct reply *reply)
{
    for (int i = 0; i < ASKED_AT_ONCE; i++)
        ask(kernel, FUSE_STATFS, FUSE_ROOT_ID, (struct slice){"", 0}, reply);
}

static void every_request_is_answered_once_whatever_comes_in_between(void **state)
{
    (void)state;
    static struct reply reply;
    struct kernel kernel;
    struct sync *sync = fake_sync_new();
    const struct maildrop_row rows[] = {{SLICE_LITERAL("a"), 4}, {SLICE_LITERAL("b"), 4}};
    fake_sync_list(sync, rows, 2);
    kernel_init(&kernel, sync, false);
    uint64_t ino = kernel_ino(&kernel, "a.eml");
    struct serving serving = {.kernel = &kernel, .stop = eventfd(0, EFD_CLOEXEC)};
    pthread_t fuse_thread;
    pthread_t sync_thread;
    assert_int_equal(pthread_create(&fuse_thread, NULL, serve, &serving), 0);
    assert_int_equal(pthread_create(&sync_thread, NULL, answer, &serving), 0);
    for (int round = 0; round < ROUNDS / ASKED_AT_ONCE; round++) {
        ask_interrupt_and_collect(&kernel, ino, &reply);
        look_around(&kernel, &reply);
    }
    flush_late_interrupts(&kernel, &reply);
    assert_int_equal(eventfd_write(serving.stop, 1), 0);
    pthread_join(fuse_thread, NULL);
    fs_unmount(kernel.fs);
    serving.ending = true;
    pthread_join(sync_thread, NULL);
    kernel_done(&kernel);
    fake_sync_free(sync);
    close(serving.stop);
}

/* The sync thread would use the descriptor of the device while the other thread still opens it. */
static void nothing_is_told_to_the_kernel_before_it_has_said_init_nor_after_the_end(void **state)
{
    (void)state;
    struct kernel kernel;
    struct sync *sync = fake_sync_new();
    fake_sync_list(sync, NULL, 0);
    kernel_open(&kernel, sync, false, FS_CONTROL_HIDDEN);
    assert_false(gate_enter_to_notify(kernel.fs));
    kernel_say_init(&kernel);
    assert_true(gate_enter_to_notify(kernel.fs));
    gate_leave(kernel.fs);
    gate_close(kernel.fs);
    gate_begin(kernel.fs);
    assert_false(gate_enter_to_notify(kernel.fs));
    kernel_done(&kernel);
    fake_sync_free(sync);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_to_the_kernel_before_it_has_said_init_nor_after_the_end),
        cmocka_unit_test(every_request_is_answered_once_whatever_comes_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
