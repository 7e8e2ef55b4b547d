/* SPDX-License-Identifier: MIT */
/* Requests that are parked until sync answers, as the kernel and sync see them. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct slice body = SLICE_LITERAL("From: a@example.org\r\n\r\nhello\r\n");
static const struct fuse_getattr_in getattr = {0};
static struct reply reply;

static int set_up(void **state)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    assert_non_null(kernel);
    struct sync *sync = fake_sync_new();
    const struct maildrop_row rows[] = {{SLICE_LITERAL("honest"), body.len},
                                        {SLICE_LITERAL("liar"), body.len + 10},
                                        {SLICE_LITERAL("silent"), 0}};
    fake_sync_list(sync, rows, 3);
    kernel_init(kernel, sync, false);
    *state = kernel;
    return 0;
}

static int tear_down(void **state)
{
    struct kernel *kernel = *state;
    assert_null(fake_sync_take(kernel->sync));
    kernel_done(kernel);
    fake_sync_free(kernel->sync);
    free(kernel);
    return 0;
}

/* What sync does when a body has arrived: its size is known before the answer is given. */
static void answer_body(struct kernel *kernel)
{
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    assert_true(request->want == SYNC_WANT_OPEN || request->want == SYNC_WANT_BODY);
    maildrop_message_learn_octets(request->message, body.len);
    request->answer(request, FAULT_NONE, fake_sync_extent(body));
}

static void answer_fault(struct kernel *kernel, enum fault fault)
{
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    request->answer(request, fault, EXTENT_NONE);
}

static void expect_reply(struct kernel *kernel, uint64_t unique, int error)
{
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.unique, unique);
    assert_int_equal(reply.error, error);
}

static void release(struct kernel *kernel, uint64_t ino, uint64_t handle)
{
    const struct fuse_release_in release_in = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release_in), &reply);
}

/* ---- OPEN ---- */

static void open_waits_for_the_body_while_others_are_served(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    kernel_expect_silence(kernel);
    kernel_ino(kernel, "liar.eml");
    kernel_ask(kernel, FUSE_STATFS, FUSE_ROOT_ID, (struct slice){NULL, 0}, &reply);
    answer_body(kernel);
    expect_reply(kernel, opening, 0);
    assert_int_equal(reply.open.open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
    uint64_t handle = reply.open.fh;
    kernel_read(kernel, ino, handle, 0, 4096, &reply);
    assert_int_equal(reply.len, body.len);
    assert_memory_equal(reply.bytes, body.data, body.len);
    release(kernel, ino, handle);
}

static void a_failed_fetch_is_a_failed_open(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        enum fault fault;
        int error;
    } cases[] = {{FAULT_GONE, ENOENT},       {FAULT_REFUSED, EIO},   {FAULT_BUSY, EBUSY},
                 {FAULT_TIMEOUT, ETIMEDOUT}, {FAULT_OFFLINE, EIO},   {FAULT_LOGIN, EACCES},
                 {FAULT_DISK, EIO},          {FAULT_CANCELED, EINTR}};
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
        answer_fault(kernel, cases[i].fault);
        expect_reply(kernel, opening, cases[i].error);
    }
}

/* A body whose octets cannot be read; its sum is 17. */
static uint64_t open_unreadable(struct kernel *kernel, uint64_t ino)
{
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    maildrop_message_learn_octets(request->message, body.len);
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    request->answer(request, FAULT_NONE,
                    (struct extent){.descriptor = folder, .octets = body.len, .sum = 17});
    expect_reply(kernel, opening, 0);
    return reply.open.fh;
}

static struct sync_request *expect_wanted(struct kernel *kernel, enum sync_want want)
{
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_non_null(request);
    assert_int_equal(request->want, want);
    assert_true(slice_equal(maildrop_message_uidl(request->message), SLICE_LITERAL("honest")));
    return request;
}

/* It is looked at. */
static void answer_verified(struct kernel *kernel)
{
    struct sync_request *request = expect_wanted(kernel, SYNC_WANT_VERIFY);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
}

/* It is fetched again. */
static void answer_again(struct kernel *kernel, uint64_t sum)
{
    struct extent again = fake_sync_extent(body);
    struct sync_request *request = expect_wanted(kernel, SYNC_WANT_BODY);
    again.sum = sum;
    request->answer(request, FAULT_NONE, again);
}

static void a_body_that_cannot_be_read_comes_again_and_is_read_on_if_it_is_the_same(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    const struct fuse_read_in read_in = {.fh = open_unreadable(kernel, ino), .size = 4096};
    uint64_t first = kernel_send(kernel, FUSE_READ, ino, PAYLOAD(read_in));
    uint64_t second = kernel_send(kernel, FUSE_READ, ino, PAYLOAD(read_in));
    answer_verified(kernel);
    answer_verified(kernel);
    answer_again(kernel, 17);
    expect_reply(kernel, first, 0);
    assert_memory_equal(reply.bytes, body.data, body.len);
    answer_again(kernel, 17);
    expect_reply(kernel, second, 0);
    assert_memory_equal(reply.bytes, body.data, body.len);
    expect_reply(kernel, kernel_send(kernel, FUSE_READ, ino, PAYLOAD(read_in)), 0);
    assert_null(fake_sync_take(kernel->sync));
    release(kernel, ino, read_in.fh);
}

static void a_body_that_comes_again_and_is_another_is_an_error(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    const struct fuse_read_in read_in = {.fh = open_unreadable(kernel, ino), .size = 4096};
    uint64_t reading = kernel_send(kernel, FUSE_READ, ino, PAYLOAD(read_in));
    answer_verified(kernel);
    answer_again(kernel, 18);
    expect_reply(kernel, reading, EIO);
    reading = kernel_send(kernel, FUSE_READ, ino, PAYLOAD(read_in));
    answer_verified(kernel);
    struct sync_request *request = expect_wanted(kernel, SYNC_WANT_BODY);
    request->answer(request, FAULT_OFFLINE, EXTENT_NONE);
    expect_reply(kernel, reading, EIO);
    release(kernel, ino, read_in.fh);
}

static void all_who_waited_for_a_wrong_size_are_sent_round_once_and_nobody_later(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "liar.eml");
    uint64_t first = kernel_send_open(kernel, ino, O_RDONLY);
    uint64_t second = kernel_send_open(kernel, ino, O_RDONLY);
    answer_body(kernel);
    expect_reply(kernel, first, ESTALE);
    answer_body(kernel);
    expect_reply(kernel, second, ESTALE);

    kernel_lookup(kernel, FUSE_ROOT_ID, "liar.eml", &reply);
    assert_int_equal(reply.entry.attr.size, body.len);
    /* Even if the body could not be kept and has to be fetched again. */
    uint64_t third = kernel_send_open(kernel, ino, O_RDONLY);
    answer_body(kernel);
    expect_reply(kernel, third, 0);
    release(kernel, ino, reply.open.fh);
}

/* The server gives its UIDL to another message, of which LIST says a wrong size as well. */
static void replace_liar(struct kernel *kernel)
{
    const struct maildrop_row rows[] = {{SLICE_LITERAL("honest"), body.len},
                                        {SLICE_LITERAL("liar"), body.len + 20}};
    fake_sync_list(kernel->sync, rows, 2);
    fake_sync_replace(kernel->sync, fake_sync_message(kernel->sync, 1));
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
}

static void who_comes_to_another_message_of_wrong_size_is_sent_round_once(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "liar.eml");
    replace_liar(kernel);
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    kernel_expect_silence(kernel);
    answer_body(kernel);
    expect_reply(kernel, opening, ESTALE);
    kernel_lookup(kernel, FUSE_ROOT_ID, "liar.eml", &reply);
    assert_int_equal(reply.entry.attr.size, body.len);
    uint64_t again = kernel_send_open(kernel, reply.entry.nodeid, O_RDONLY);
    ino = reply.entry.nodeid;
    answer_body(kernel);
    expect_reply(kernel, again, 0);
    release(kernel, ino, reply.open.fh);
}

static void who_comes_to_another_message_that_cannot_be_had_is_told_why(void **state)
{
    struct kernel *kernel = *state;
    static const struct {
        enum fault fault;
        int error;
    } cases[] = {{FAULT_OFFLINE, EIO}, {FAULT_CANCELED, EINTR}, {FAULT_TIMEOUT, ETIMEDOUT}};
    uint64_t ino = kernel_ino(kernel, "liar.eml");
    replace_liar(kernel);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
        answer_fault(kernel, cases[i].fault);
        expect_reply(kernel, opening, cases[i].error);
    }
}

/* Its name may be another one's by then. */
static void what_goes_while_its_body_is_awaited_is_stale(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "silent.eml");
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    replace_liar(kernel);
    answer_fault(kernel, FAULT_GONE);
    expect_reply(kernel, opening, ESTALE);
    answer_fault(kernel, FAULT_GONE);
    expect_reply(kernel, asking, ESTALE);
}

/* The program would see the second ESTALE. */
static void who_waits_for_what_is_replaced_waits_for_the_other_before_he_is_sent_round(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "liar.eml");
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    replace_liar(kernel);
    answer_fault(kernel, FAULT_GONE);
    kernel_expect_silence(kernel);
    answer_body(kernel);
    expect_reply(kernel, opening, ESTALE);
    kernel_lookup(kernel, FUSE_ROOT_ID, "liar.eml", &reply);
    assert_int_equal(reply.entry.attr.size, body.len);
}

static void who_waits_for_the_other_can_be_interrupted(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "liar.eml");
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    replace_liar(kernel);
    answer_fault(kernel, FAULT_GONE);
    kernel_interrupt(kernel, opening);
    assert_int_equal(kernel->sync->canceled_count, 1);
    answer_fault(kernel, FAULT_CANCELED);
    expect_reply(kernel, opening, EINTR);
}

/* The date of what has gone is known, but the name may be another one's. */
static void what_goes_while_its_date_is_awaited_is_stale(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    fake_sync_list(kernel->sync, NULL, 0);
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
    answer_fault(kernel, FAULT_GONE);
    expect_reply(kernel, asking, ESTALE);
}

/* stat() of the name and fstat() are the same to popfs, read() is not. */
static void the_size_of_an_open_message_is_not_that_of_its_name_if_another_has_it(void **state)
{
    struct kernel *kernel = *state;
    maildrop_message_learn_time(fake_sync_message(kernel->sync, 0), 5);
    maildrop_message_learn_time(fake_sync_message(kernel->sync, 1), 5);
    fake_sync_store(kernel->sync, fake_sync_message(kernel->sync, 0), body);
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t opening = kernel_send_open(kernel, ino, O_RDONLY);
    expect_reply(kernel, opening, 0);
    uint64_t handle = reply.open.fh;
    const struct maildrop_row other[] = {{SLICE_LITERAL("honest"), body.len + 1}};
    fake_sync_list(kernel->sync, other, 1);
    fake_sync_replace(kernel->sync, fake_sync_message(kernel->sync, 0));
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, ESTALE);
    const struct fuse_getattr_in of_file = {.getattr_flags = FUSE_GETATTR_FH, .fh = handle};
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(of_file), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.attr.attr.size, body.len);
    release(kernel, ino, handle);
}

static void a_right_size_sends_nobody_round(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t first = kernel_send_open(kernel, ino, O_RDONLY);
    uint64_t second = kernel_send_open(kernel, ino, O_RDONLY);
    answer_body(kernel);
    expect_reply(kernel, first, 0);
    release(kernel, ino, reply.open.fh);
    answer_body(kernel);
    expect_reply(kernel, second, 0);
    release(kernel, ino, reply.open.fh);
}

static void a_descriptor_for_a_reply_that_cannot_be_given_is_closed(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    kernel_send_open(kernel, ino, O_RDONLY);
    struct sync_request *request = fake_sync_take(kernel->sync);
    struct extent given = fake_sync_extent(body);
    fs_unmount(kernel->fs);
    assert_int_equal(shutdown(kernel->descriptor, SHUT_RDWR), 0);
    request->answer(request, FAULT_NONE, given);
    assert_int_equal(fcntl(given.descriptor, F_GETFD), -1);
}

/* ---- interrupts ---- */

static void an_interrupt_cancels_the_request_it_names(void **state)
{
    struct kernel *kernel = *state;
    uint64_t honest = kernel_ino(kernel, "honest.eml");
    uint64_t first = kernel_send_open(kernel, honest, O_RDONLY);
    uint64_t second = kernel_send_open(kernel, honest, O_RDONLY);
    kernel_interrupt(kernel, second);
    assert_int_equal(kernel->sync->canceled_count, 1);
    struct sync_request *kept = fake_sync_take(kernel->sync);
    struct sync_request *canceled = fake_sync_take(kernel->sync);
    assert_false(kept->canceled);
    assert_true(canceled->canceled);
    canceled->answer(canceled, FAULT_CANCELED, EXTENT_NONE);
    expect_reply(kernel, second, EINTR);
    kept->answer(kept, FAULT_NONE, fake_sync_extent(body));
    expect_reply(kernel, first, 0);
    release(kernel, honest, reply.open.fh);
}

static void an_interrupt_after_the_answer_finds_nothing(void **state)
{
    struct kernel *kernel = *state;
    uint64_t opening = kernel_send_open(kernel, kernel_ino(kernel, "honest.eml"), O_RDONLY);
    answer_fault(kernel, FAULT_OFFLINE);
    expect_reply(kernel, opening, EIO);
    kernel_interrupt(kernel, opening);
    assert_int_equal(kernel->sync->canceled_count, 0);
    /* libfuse keeps an interrupt that names nothing until the next request, then gives it back. */
    kernel_send(kernel, FUSE_STATFS, FUSE_ROOT_ID, (struct slice){NULL, 0});
    expect_reply(kernel, kernel->unique_last - 1, EAGAIN);
    expect_reply(kernel, kernel->unique_last, 0);
}

/* The kernel may send the interrupt ahead of the request that it is about. */
static void an_interrupt_that_overtakes_its_request_stops_it_before_sync_hears_of_it(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t opening = kernel->unique_last + 2;
    kernel_interrupt(kernel, opening);
    while (kernel_receive(kernel, &reply))
        continue;
    assert_int_equal(kernel_send_open(kernel, ino, O_RDONLY), opening);
    bool answered = false;
    while (kernel_receive(kernel, &reply))
        if (reply.unique == opening) {
            assert_int_equal(reply.error, EINTR);
            answered = true;
        }
    assert_true(answered);
    assert_null(fake_sync_take(kernel->sync));
}

/* ---- GETATTR ---- */

static void stat_waits_for_the_date_of_its_message(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    kernel_expect_silence(kernel);
    struct sync_request *request = fake_sync_take(kernel->sync);
    assert_int_equal(request->want, SYNC_WANT_TIME);
    maildrop_message_learn_time(request->message, 1111111111);
    request->answer(request, FAULT_NONE, EXTENT_NONE);
    expect_reply(kernel, asking, 0);
    assert_int_equal(reply.attr.attr.mtime, 1111111111);
    assert_int_equal(reply.attr.attr.size, body.len);
    assert_true(reply.attr.attr_valid > 1000000);
}

static void stat_without_the_server_shows_the_first_sight_and_is_not_cached(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 0);
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    answer_fault(kernel, FAULT_OFFLINE);
    expect_reply(kernel, asking, 0);
    assert_int_equal(reply.attr.attr.mtime, maildrop_message_first_seen_ns(message) / 1000000000);
    assert_int_equal(reply.attr.attr_valid, 0);
}

static void an_interrupted_stat_says_so(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    kernel_interrupt(kernel, asking);
    answer_fault(kernel, FAULT_CANCELED);
    expect_reply(kernel, asking, EINTR);
}

static void stat_of_a_message_of_unknown_size_waits_for_its_body(void **state)
{
    struct kernel *kernel = *state;
    kernel_lookup(kernel, FUSE_ROOT_ID, "silent.eml", &reply);
    uint64_t ino = reply.entry.nodeid;
    assert_int_equal(reply.entry.attr.size, 1);
    assert_int_equal(reply.entry.attr_valid, 0);
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    maildrop_message_learn_time(fake_sync_message(kernel->sync, 2), 5);
    answer_body(kernel);
    expect_reply(kernel, asking, 0);
    assert_int_equal(reply.attr.attr.size, body.len);
    assert_true(reply.attr.attr_valid > 1000000);
}

static void an_unknown_size_that_cannot_be_had_is_an_error_and_not_a_guess(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "silent.eml");
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    answer_fault(kernel, FAULT_TIMEOUT);
    expect_reply(kernel, asking, ETIMEDOUT);
}

/* size=strict, or a server whose LIST has been wrong. */
static void stat_waits_for_the_body_where_sizes_are_not_believed(void **state)
{
    struct kernel *kernel = *state;
    maildrop_message_learn_time(fake_sync_message(kernel->sync, 1), 5);
    kernel->sync->sizes_disbelieved = true;
    kernel_lookup(kernel, FUSE_ROOT_ID, "liar.eml", &reply);
    uint64_t ino = reply.entry.nodeid;
    assert_int_equal(reply.entry.attr.size, body.len + 10);
    assert_int_equal(reply.entry.attr_valid, 0);
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    kernel_expect_silence(kernel);
    answer_body(kernel);
    expect_reply(kernel, asking, 0);
    assert_int_equal(reply.attr.attr.size, body.len);
    assert_true(reply.attr.attr_valid > 1000000);
    /* Known for sure now, whatever is thought of LIST. */
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.attr.attr.size, body.len);
}

static void a_wait_for_a_size_can_be_interrupted_and_fails_without_a_guess(void **state)
{
    struct kernel *kernel = *state;
    kernel->sync->sizes_disbelieved = true;
    uint64_t ino = kernel_ino(kernel, "honest.eml");
    uint64_t asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    kernel_interrupt(kernel, asking);
    answer_fault(kernel, FAULT_CANCELED);
    expect_reply(kernel, asking, EINTR);
    asking = kernel_send(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr));
    answer_fault(kernel, FAULT_OFFLINE);
    expect_reply(kernel, asking, EIO);
}

/* Who has its name looks it up again, and finds nothing. */
static void a_size_that_nobody_can_know_any_more_is_stale(void **state)
{
    struct kernel *kernel = *state;
    uint64_t ino = kernel_ino(kernel, "silent.eml");
    fake_sync_forget(kernel->sync, fake_sync_message(kernel->sync, 2));
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, ESTALE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_waits_for_the_body_while_others_are_served),
        TEST(a_failed_fetch_is_a_failed_open),
        TEST(a_body_that_cannot_be_read_comes_again_and_is_read_on_if_it_is_the_same),
        TEST(a_body_that_comes_again_and_is_another_is_an_error),
        TEST(all_who_waited_for_a_wrong_size_are_sent_round_once_and_nobody_later),
        TEST(who_comes_to_another_message_of_wrong_size_is_sent_round_once),
        TEST(who_comes_to_another_message_that_cannot_be_had_is_told_why),
        TEST(what_goes_while_its_body_is_awaited_is_stale),
        TEST(who_waits_for_what_is_replaced_waits_for_the_other_before_he_is_sent_round),
        TEST(who_waits_for_the_other_can_be_interrupted),
        TEST(what_goes_while_its_date_is_awaited_is_stale),
        TEST(the_size_of_an_open_message_is_not_that_of_its_name_if_another_has_it),
        TEST(a_right_size_sends_nobody_round),
        TEST(a_descriptor_for_a_reply_that_cannot_be_given_is_closed),
        TEST(an_interrupt_cancels_the_request_it_names),
        TEST(an_interrupt_after_the_answer_finds_nothing),
        TEST(an_interrupt_that_overtakes_its_request_stops_it_before_sync_hears_of_it),
        TEST(stat_waits_for_the_date_of_its_message),
        TEST(stat_without_the_server_shows_the_first_sight_and_is_not_cached),
        TEST(an_interrupted_stat_says_so),
        TEST(stat_of_a_message_of_unknown_size_waits_for_its_body),
        TEST(an_unknown_size_that_cannot_be_had_is_an_error_and_not_a_guess),
        TEST(stat_waits_for_the_body_where_sizes_are_not_believed),
        TEST(a_wait_for_a_size_can_be_interrupted_and_fails_without_a_guess),
        TEST(a_size_that_nobody_can_know_any_more_is_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
