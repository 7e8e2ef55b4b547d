/* SPDX-License-Identifier: MIT */
/* Who waits for what: sharing, order, expiry, and whose octets have come. */
#include "job.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES_COUNT = 3 };

struct fixture {
    struct jobs jobs;
    struct maildrop *maildrop;
    struct maildrop_message *messages[MESSAGES_COUNT];
    struct extent body; /* as the store gives it */
};

struct reader {
    struct sync_request request; /* first: the answer comes with its address */
    int answers_count;
    enum fault fault;
    struct extent body;
};

static void note_answer(struct sync_request *request, enum fault fault, struct extent body)
{
    struct reader *reader = (struct reader *)request;
    reader->answers_count++;
    reader->fault = fault;
    reader->body = body;
}

static struct reader reader_of(enum sync_want want, struct maildrop_message *message)
{
    return (struct reader){
        .request = {.want = want, .message = message, .answer = note_answer},
        .body = EXTENT_NONE,
    };
}

static void assert_answered(const struct reader *reader, enum fault fault)
{
    assert_int_equal(reader->answers_count, 1);
    assert_int_equal(reader->fault, fault);
}

static int setup(void **state)
{
    const struct maildrop_row rows[MESSAGES_COUNT] = {
        {slice_from_string("a"), 10}, {slice_from_string("b"), 20}, {slice_from_string("c"), 30}};
    struct maildrop_changes changes;
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    fixture->maildrop = maildrop_new();
    fixture->body =
        (struct extent){.descriptor = memfd_create("body", MFD_CLOEXEC), .offset = 7, .octets = 3};
    if (fixture->maildrop == NULL || fixture->body.descriptor < 0 ||
        maildrop_apply(fixture->maildrop, rows, MESSAGES_COUNT, true, 1, fixture->messages,
                       &changes) != FAULT_NONE)
        return -1;
    maildrop_changes_done(&changes);
    *state = fixture;
    return 0;
}

/* Nothing may be left: not in the lists, the table or the sums. */
static void assert_empty(const struct jobs *jobs)
{
    assert_null(jobs->in_flight.first);
    assert_int_equal(jobs->in_flight.count, 0);
    for (size_t i = 0; i < SCHEDULE_CLASSES_COUNT; i++)
        assert_int_equal(jobs->queued[i].count, 0);
    for (size_t i = 0; i < JOB_BUCKETS_COUNT; i++)
        assert_null(jobs->table[i]);
    assert_int_equal(jobs->owed_octets, 0);
    assert_int_equal(jobs->waiting_count, 0);
}

/* The end of each test, whose readers live no longer than it. */
static void settle(struct jobs *jobs)
{
    jobs_fail_waiting(jobs, FAULT_CANCELED);
    while (jobs->in_flight.first != NULL)
        jobs_finish(jobs, jobs->in_flight.first, FAULT_CANCELED, EXTENT_NONE);
    assert_empty(jobs);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    maildrop_free(fixture->maildrop);
    close(fixture->body.descriptor);
    free(fixture);
    return 0;
}

static struct job *add(struct fixture *fixture, enum job_kind kind, enum schedule_class class,
                       int which)
{
    struct job *job = jobs_add(&fixture->jobs, kind, class, fixture->messages[which]);
    assert_non_null(job);
    return job;
}

/* ---- sharing ---- */

static void those_who_want_one_body_share_a_job_and_each_gets_a_descriptor(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader first = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct reader second = reader_of(SYNC_WANT_OPEN, fixture->messages[0]);
    struct job *job = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, job, &first.request, SCHEDULE_READ);
    assert_ptr_equal(jobs_find(jobs, JOB_BODY, fixture->messages[0]), job);
    jobs_wait(jobs, job, &second.request, SCHEDULE_READ);
    assert_int_equal(jobs->waiting_count, 2);
    jobs_set_in_flight(jobs, job, 10);
    assert_ptr_equal(jobs_find(jobs, JOB_BODY, fixture->messages[0]), job);
    jobs_finish(jobs, job, FAULT_NONE, fixture->body);
    assert_answered(&first, FAULT_NONE);
    assert_answered(&second, FAULT_NONE);
    assert_int_not_equal(first.body.descriptor, second.body.descriptor);
    assert_int_not_equal(first.body.descriptor, fixture->body.descriptor);
    assert_int_equal(first.body.offset, 7);
    assert_int_equal(second.body.octets, 3);
    assert_int_equal(close(first.body.descriptor), 0);
    assert_int_equal(close(second.body.descriptor), 0);
    assert_int_not_equal(fcntl(fixture->body.descriptor, F_GETFD), -1);
    assert_empty(jobs);
}

static void a_job_is_for_one_kind_and_one_message(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct job *body = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    struct job *header = add(fixture, JOB_HEADER, SCHEDULE_SWEEP, 0);
    struct job *other = add(fixture, JOB_BODY, SCHEDULE_READ, 1);
    assert_ptr_equal(jobs_find(jobs, JOB_BODY, fixture->messages[0]), body);
    assert_ptr_equal(jobs_find(jobs, JOB_HEADER, fixture->messages[0]), header);
    assert_ptr_equal(jobs_find(jobs, JOB_BODY, fixture->messages[1]), other);
    assert_null(jobs_find(jobs, JOB_START, fixture->messages[0]));
    jobs_finish(jobs, body, FAULT_GONE, EXTENT_NONE);
    assert_null(jobs_find(jobs, JOB_BODY, fixture->messages[0]));
    assert_ptr_equal(jobs_find(jobs, JOB_HEADER, fixture->messages[0]), header);
    settle(&fixture->jobs);
}

static void nobody_gets_a_descriptor_with_a_date_or_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct reader date = reader_of(SYNC_WANT_TIME, fixture->messages[0]);
    struct reader refused = reader_of(SYNC_WANT_BODY, fixture->messages[1]);
    struct job *header = add(fixture, JOB_HEADER, SCHEDULE_STAT, 0);
    struct job *body = add(fixture, JOB_BODY, SCHEDULE_READ, 1);
    jobs_wait(&fixture->jobs, header, &date.request, SCHEDULE_STAT);
    jobs_wait(&fixture->jobs, body, &refused.request, SCHEDULE_READ);
    jobs_finish(&fixture->jobs, header, FAULT_NONE, EXTENT_NONE);
    jobs_finish(&fixture->jobs, body, FAULT_REFUSED, EXTENT_NONE);
    assert_answered(&date, FAULT_NONE);
    assert_answered(&refused, FAULT_REFUSED);
    assert_int_equal(date.body.descriptor, -1);
    assert_int_equal(refused.body.descriptor, -1);
    settle(&fixture->jobs);
}

/* ---- order ---- */

static void a_reader_moves_a_job_up_and_nobody_moves_it_down(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader reader = reader_of(SYNC_WANT_BODY, fixture->messages[1]);
    struct reader late = reader_of(SYNC_WANT_BODY, fixture->messages[1]);
    add(fixture, JOB_BODY, SCHEDULE_AHEAD, 0);
    struct job *wanted = add(fixture, JOB_BODY, SCHEDULE_AHEAD, 1);
    jobs_wait(jobs, wanted, &reader.request, SCHEDULE_READ);
    assert_ptr_equal(jobs->queued[SCHEDULE_READ].first, wanted);
    assert_int_equal(jobs->queued[SCHEDULE_AHEAD].count, 1);
    jobs_wait(jobs, wanted, &late.request, SCHEDULE_STAT);
    assert_ptr_equal(jobs->queued[SCHEDULE_READ].first, wanted);
    assert_int_equal(jobs->queued[SCHEDULE_STAT].count, 0);
    settle(&fixture->jobs);
}

static void a_job_in_flight_comes_back_in_the_class_of_who_waits_for_it(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader reader = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct job *job = add(fixture, JOB_BODY, SCHEDULE_PREFETCH, 0);
    jobs_set_in_flight(jobs, job, 100);
    jobs_wait(jobs, job, &reader.request, SCHEDULE_READ);
    assert_ptr_equal(jobs->in_flight.first, job);
    jobs_requeue(jobs, job);
    assert_ptr_equal(jobs->queued[SCHEDULE_READ].first, job);
    assert_int_equal(reader.answers_count, 0);
    settle(&fixture->jobs);
}

static void what_was_in_flight_is_asked_again_first_and_in_its_old_order(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct job *jobs_in_order[MESSAGES_COUNT];
    for (int i = 0; i < MESSAGES_COUNT; i++)
        jobs_in_order[i] = add(fixture, JOB_BODY, SCHEDULE_READ, i);
    jobs_set_in_flight(jobs, jobs_in_order[0], 10);
    jobs_set_in_flight(jobs, jobs_in_order[1], 20);
    while (jobs->in_flight.last != NULL)
        jobs_requeue(jobs, jobs->in_flight.last);
    const struct job *job = jobs->queued[SCHEDULE_READ].first;
    for (int i = 0; i < MESSAGES_COUNT; i++, job = job->next)
        assert_ptr_equal(job, jobs_in_order[i]);
    assert_null(job);
    assert_int_equal(jobs->queued[SCHEDULE_READ].count, MESSAGES_COUNT);
    assert_int_equal(jobs->owed_octets, 0);
    settle(&fixture->jobs);
}

static void what_is_owed_shrinks_with_what_comes_and_never_below_zero(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct job *first = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    struct job *second = add(fixture, JOB_BODY, SCHEDULE_READ, 1);
    jobs_set_in_flight(jobs, first, 100);
    jobs_set_in_flight(jobs, second, 50);
    assert_int_equal(jobs->owed_octets, 150);
    jobs_note_octets(jobs, first, 60);
    assert_int_equal(jobs->owed_octets, 90);
    jobs_note_octets(jobs, first, 60); /* more than was guessed */
    assert_int_equal(jobs->owed_octets, 50);
    jobs_finish(jobs, second, FAULT_NONE, EXTENT_NONE);
    assert_int_equal(jobs->owed_octets, 0);
    settle(&fixture->jobs);
}

/* ---- giving up ---- */

static void who_waited_too_long_is_told_and_a_queued_job_goes_with_the_last(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader old = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct reader young = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    old.request.submitted_ms = 99;
    young.request.submitted_ms = 100;
    struct job *job = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, job, &old.request, SCHEDULE_READ);
    jobs_wait(jobs, job, &young.request, SCHEDULE_READ);
    jobs_expire(jobs, 100, FAULT_TIMEOUT);
    assert_answered(&old, FAULT_TIMEOUT);
    assert_int_equal(young.answers_count, 0);
    assert_ptr_equal(jobs->queued[SCHEDULE_READ].first, job);
    jobs_expire(jobs, 101, FAULT_TIMEOUT);
    assert_answered(&young, FAULT_TIMEOUT);
    assert_empty(jobs);
}

static void a_cancel_ends_one_wait_and_what_is_in_flight_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader first = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct reader second = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct job *job = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, job, &first.request, SCHEDULE_READ);
    jobs_wait(jobs, job, &second.request, SCHEDULE_READ);
    jobs_set_in_flight(jobs, job, 10);
    atomic_store(&first.request.canceled, true);
    jobs_expire(jobs, INT64_MIN, FAULT_TIMEOUT);
    assert_answered(&first, FAULT_CANCELED);
    assert_int_equal(second.answers_count, 0);
    atomic_store(&second.request.canceled, true);
    jobs_expire(jobs, INT64_MIN, FAULT_TIMEOUT);
    assert_answered(&second, FAULT_CANCELED);
    assert_ptr_equal(jobs->in_flight.first, job);
    assert_int_equal(jobs->waiting_count, 0);
    settle(&fixture->jobs);
}

static void when_all_fails_everybody_is_told_and_only_what_is_in_flight_stays(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader flying = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct reader queued = reader_of(SYNC_WANT_TIME, fixture->messages[1]);
    struct job *job = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, job, &flying.request, SCHEDULE_READ);
    jobs_set_in_flight(jobs, job, 10);
    jobs_wait(jobs, add(fixture, JOB_HEADER, SCHEDULE_STAT, 1), &queued.request, SCHEDULE_STAT);
    jobs_fail_waiting(jobs, FAULT_OFFLINE);
    assert_answered(&flying, FAULT_OFFLINE);
    assert_answered(&queued, FAULT_OFFLINE);
    assert_ptr_equal(jobs->in_flight.first, job);
    assert_int_equal(jobs->queued[SCHEDULE_STAT].count, 0);
    settle(&fixture->jobs);
}

static void what_nobody_waits_for_can_be_dropped_from_a_queue(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader reader = reader_of(SYNC_WANT_TIME, fixture->messages[1]);
    add(fixture, JOB_HEADER, SCHEDULE_SWEEP, 0);
    struct job *wanted = add(fixture, JOB_HEADER, SCHEDULE_SWEEP, 1);
    add(fixture, JOB_HEADER, SCHEDULE_SWEEP, 2);
    jobs_wait(jobs, wanted, &reader.request, SCHEDULE_SWEEP);
    jobs_drop_queued(jobs, SCHEDULE_SWEEP);
    assert_ptr_equal(jobs->queued[SCHEDULE_SWEEP].first, wanted);
    assert_int_equal(jobs->queued[SCHEDULE_SWEEP].count, 1);
    assert_null(jobs_find(jobs, JOB_HEADER, fixture->messages[0]));
    settle(&fixture->jobs);
}

/* ---- streams ---- */

static void who_waited_for_another_message_is_looked_at_anew_and_not_answered(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader own = reader_of(SYNC_WANT_BODY, fixture->messages[0]);
    struct reader foreign = reader_of(SYNC_WANT_OPEN, fixture->messages[1]);
    struct job *probe = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, probe, &own.request, SCHEDULE_READ);
    jobs_wait(jobs, probe, &foreign.request, SCHEDULE_READ);
    jobs_finish(jobs, probe, FAULT_REFUSED, EXTENT_NONE);
    assert_answered(&own, FAULT_REFUSED);
    assert_int_equal(foreign.answers_count, 0);
    assert_ptr_equal(jobs->rerouted, &foreign.request);
    assert_null(foreign.request.next);
    assert_empty(jobs);
}

static void who_waited_for_another_message_can_still_give_up(void **state)
{
    struct fixture *fixture = *state;
    struct reader foreign = reader_of(SYNC_WANT_OPEN, fixture->messages[1]);
    struct job *probe = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(&fixture->jobs, probe, &foreign.request, SCHEDULE_READ);
    atomic_store(&foreign.request.canceled, true);
    jobs_expire(&fixture->jobs, INT64_MIN, FAULT_TIMEOUT);
    assert_answered(&foreign, FAULT_CANCELED);
    assert_null(fixture->jobs.rerouted);
    settle(&fixture->jobs);
}

static char streams[2];
#define STREAM ((struct sync_stream *)(void *)&streams[0])
#define OTHER_STREAM ((struct sync_stream *)(void *)&streams[1])

static struct reader reader_upto(struct fixture *fixture, uint64_t upto)
{
    struct reader reader = reader_of(SYNC_WANT_OCTETS, fixture->messages[0]);
    reader.request.stream = STREAM;
    reader.request.upto = upto;
    return reader;
}

static void readers_are_answered_as_soon_as_their_octets_have_come(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader near = reader_upto(fixture, 100);
    struct reader far = reader_upto(fixture, 101);
    struct reader opener = reader_of(SYNC_WANT_OPEN, fixture->messages[0]);
    struct job *job = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, job, &near.request, SCHEDULE_READ);
    jobs_wait(jobs, job, &far.request, SCHEDULE_READ);
    jobs_wait(jobs, job, &opener.request, SCHEDULE_READ);
    jobs_answer_octets(jobs, fixture->messages[0], STREAM, 99, FAULT_NONE);
    assert_int_equal(near.answers_count, 0);
    jobs_answer_octets(jobs, fixture->messages[0], STREAM, 100, FAULT_NONE);
    assert_answered(&near, FAULT_NONE);
    assert_int_equal(near.body.descriptor, -1);
    assert_int_equal(far.answers_count, 0);
    jobs_answer_octets(jobs, fixture->messages[0], STREAM, UINT64_MAX, FAULT_GARBLED);
    assert_answered(&far, FAULT_GARBLED);
    assert_int_equal(opener.answers_count, 0);
    assert_int_equal(jobs->waiting_count, 1);
    jobs_finish(jobs, job, FAULT_NONE, fixture->body);
    assert_answered(&opener, FAULT_NONE);
    assert_int_equal(close(opener.body.descriptor), 0);
    settle(&fixture->jobs);
}

static void readers_of_one_stream_are_not_answered_for_another(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader at_start = reader_upto(fixture, 100);
    struct reader in_body = reader_upto(fixture, 1000);
    struct reader other = reader_upto(fixture, 100);
    other.request.stream = OTHER_STREAM;
    struct job *start = add(fixture, JOB_START, SCHEDULE_READ, 0);
    struct job *whole = add(fixture, JOB_BODY, SCHEDULE_READ, 0);
    jobs_wait(jobs, start, &at_start.request, SCHEDULE_READ);
    jobs_wait(jobs, whole, &other.request, SCHEDULE_READ);
    jobs_wait(jobs, whole, &in_body.request, SCHEDULE_READ);
    jobs_answer_octets(jobs, fixture->messages[0], STREAM, UINT64_MAX, FAULT_GARBLED);
    assert_answered(&at_start, FAULT_GARBLED);
    assert_answered(&in_body, FAULT_GARBLED);
    assert_int_equal(other.answers_count, 0);
    jobs_answer_octets(jobs, fixture->messages[0], OTHER_STREAM, 100, FAULT_NONE);
    assert_answered(&other, FAULT_NONE);
    settle(&fixture->jobs);
}

static void whom_the_start_does_not_satisfy_waits_for_the_whole(void **state)
{
    struct fixture *fixture = *state;
    struct jobs *jobs = &fixture->jobs;
    struct reader near = reader_upto(fixture, 100);
    struct reader far = reader_upto(fixture, 1000);
    struct job *start = add(fixture, JOB_START, SCHEDULE_READ, 0);
    struct job *whole = add(fixture, JOB_BODY, SCHEDULE_AHEAD, 0);
    jobs_wait(jobs, start, &near.request, SCHEDULE_READ);
    jobs_wait(jobs, start, &far.request, SCHEDULE_READ);
    jobs_answer_octets(jobs, fixture->messages[0], STREAM, 500, FAULT_NONE);
    jobs_hand_over(jobs, start, whole);
    jobs_finish(jobs, start, FAULT_NONE, EXTENT_NONE);
    assert_answered(&near, FAULT_NONE);
    assert_int_equal(far.answers_count, 0);
    assert_int_equal(jobs->waiting_count, 1);
    assert_ptr_equal(jobs->queued[SCHEDULE_READ].first, whole);
    jobs_answer_octets(jobs, fixture->messages[0], STREAM, 1000, FAULT_NONE);
    assert_answered(&far, FAULT_NONE);
    settle(&fixture->jobs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_who_want_one_body_share_a_job_and_each_gets_a_descriptor),
        TEST(a_job_is_for_one_kind_and_one_message),
        TEST(nobody_gets_a_descriptor_with_a_date_or_an_error),
        TEST(a_reader_moves_a_job_up_and_nobody_moves_it_down),
        TEST(a_job_in_flight_comes_back_in_the_class_of_who_waits_for_it),
        TEST(what_was_in_flight_is_asked_again_first_and_in_its_old_order),
        TEST(what_is_owed_shrinks_with_what_comes_and_never_below_zero),
        TEST(who_waited_too_long_is_told_and_a_queued_job_goes_with_the_last),
        TEST(a_cancel_ends_one_wait_and_what_is_in_flight_goes_on),
        TEST(when_all_fails_everybody_is_told_and_only_what_is_in_flight_stays),
        TEST(what_nobody_waits_for_can_be_dropped_from_a_queue),
        TEST(who_waited_for_another_message_is_looked_at_anew_and_not_answered),
        TEST(who_waited_for_another_message_can_still_give_up),
        TEST(readers_are_answered_as_soon_as_their_octets_have_come),
        TEST(readers_of_one_stream_are_not_answered_for_another),
        TEST(whom_the_start_does_not_satisfy_waits_for_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
