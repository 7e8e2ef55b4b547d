/* SPDX-License-Identifier: MIT */
/*
 * Want of memory, at every allocation in turn: FAULT_MEMORY comes back or what is documented
 * happens, what was promised to stay stays, and (under AddressSanitizer) nothing leaks.
 */
#include "failing.h"
#include "header.h"
#include "inode.h"
#include "job.h"
#include "listing.h"
#include "names.h"
#include "nametable.h"
#include "popfs/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- base ---- */

static bool grow_a_buffer(void)
{
    struct buffer buffer = {0};
    bool had_all = true;
    for (unsigned i = 0; i < 300; i++) {
        size_t before = buffer.len;
        bool done = i % 2 == 0 ? buffer_append_string(&buffer, "0123456789")
                               : buffer_printf(&buffer, "%09u\n", i);
        assert_int_equal(buffer.len, done ? before + 10 : before);
        had_all = had_all && done;
    }
    for (size_t at = 0; at < buffer.len; at += 10)
        assert_true(buffer.data[at + 9] == '9' || buffer.data[at + 9] == '\n');
    buffer_done(&buffer);
    return had_all;
}

static void a_buffer_stays_as_it_was(void **state)
{
    (void)state;
    fail_each_allocation(grow_a_buffer);
}

/* ---- a listing becomes a maildrop ---- */

enum { ROWS_COUNT = 200 };

/* Numbers fall, so that the rows must be sorted, and each tenth UIDL is shared by two messages. */
static enum fault add_rows(struct listing *listing, unsigned first_uidl)
{
    for (uint32_t msgnum = ROWS_COUNT; msgnum > 0; msgnum--) {
        char uidl[40];
        unsigned number = first_uidl + msgnum - (msgnum % 10 == 0);
        snprintf(uidl, sizeof(uidl), "a-uidl-of-some-length-%u", number);
        if (listing_add_uidl(listing, msgnum, slice_from_string(uidl)) != FAULT_NONE ||
            listing_add_octets(listing, msgnum, 1000 + number) != FAULT_NONE)
            return FAULT_MEMORY;
    }
    return FAULT_NONE;
}

/* What is promised to stay if the listing is not applied. */
struct state {
    struct maildrop_snapshot *snapshot;
    size_t gone_count;
};

static struct state state_of(struct maildrop *maildrop)
{
    struct state state = {.snapshot = maildrop_snapshot(maildrop)};
    for (size_t i = 0; i < maildrop_snapshot_count(state.snapshot); i++)
        state.gone_count += maildrop_message_is_gone(maildrop_snapshot_at(state.snapshot, i)) ||
                            maildrop_message_is_replaced(maildrop_snapshot_at(state.snapshot, i));
    return state;
}

static void assert_unchanged(struct maildrop *maildrop, const struct state *before)
{
    struct state now = state_of(maildrop);
    assert_ptr_equal(now.snapshot, before->snapshot);
    assert_int_equal(now.gone_count, before->gone_count);
    maildrop_snapshot_unref(now.snapshot);
}

static bool apply_rows(struct maildrop *maildrop, const struct maildrop_row *rows, size_t count)
{
    struct maildrop_message *by_row[ROWS_COUNT];
    struct maildrop_changes changes = {.appeared_count = 77};
    struct state before = state_of(maildrop);
    enum fault fault = maildrop_apply(maildrop, rows, count, true, 1000, by_row, &changes);
    if (fault == FAULT_NONE) {
        maildrop_changes_done(&changes);
    } else {
        assert_int_equal(fault, FAULT_MEMORY);
        assert_int_equal(changes.appeared_count, 77);
        assert_unchanged(maildrop, &before);
    }
    maildrop_snapshot_unref(before.snapshot);
    return fault == FAULT_NONE;
}

static bool list(struct maildrop *maildrop, unsigned first_uidl, bool made_up)
{
    struct listing *listing = listing_new();
    if (listing == NULL)
        return false;
    const struct maildrop_row *rows;
    const uint32_t *msgnums;
    size_t count;
    bool done = add_rows(listing, first_uidl) == FAULT_NONE &&
                listing_join(listing, made_up, &rows, &msgnums, &count) == FAULT_NONE;
    if (done) {
        assert_int_equal(count, ROWS_COUNT);
        done = apply_rows(maildrop, rows, count);
    }
    listing_free(listing);
    return done;
}

static bool forget_some(struct maildrop *maildrop)
{
    struct maildrop_message *some[10];
    struct state before = state_of(maildrop);
    size_t count = maildrop_snapshot_count(before.snapshot);
    count = count < 10 ? count : 10;
    for (size_t i = 0; i < count; i++)
        some[i] = maildrop_snapshot_at(before.snapshot, i);
    enum fault fault = maildrop_forget(maildrop, some, count);
    if (fault != FAULT_NONE) {
        assert_int_equal(fault, FAULT_MEMORY);
        assert_unchanged(maildrop, &before);
    }
    maildrop_snapshot_unref(before.snapshot);
    return fault == FAULT_NONE;
}

static bool list_twice_and_forget(void)
{
    struct maildrop *maildrop = maildrop_new();
    if (maildrop == NULL)
        return false;
    bool first = list(maildrop, 0, false);
    bool second = list(maildrop, 50, false);
    bool third = list(maildrop, 0, true);
    bool forgot = forget_some(maildrop);
    maildrop_free(maildrop);
    return first && second && third && forgot;
}

static void a_listing_is_applied_whole_or_not_at_all(void **state)
{
    (void)state;
    fail_each_allocation(list_twice_and_forget);
}

/* ---- names, inodes, jobs: of messages that are there ---- */

static struct maildrop *maildrop_of_rows;
static struct maildrop_snapshot *messages;

static int make_messages(void **state)
{
    (void)state;
    maildrop_of_rows = maildrop_new();
    if (maildrop_of_rows == NULL || !list(maildrop_of_rows, 0, false))
        return -1;
    messages = maildrop_snapshot(maildrop_of_rows);
    return 0;
}

static int drop_messages(void **state)
{
    (void)state;
    maildrop_snapshot_unref(messages);
    maildrop_free(maildrop_of_rows);
    return 0;
}

static uint32_t hash_of(const struct maildrop_message *message, struct name *ret_name)
{
    assert_true(
        name_encode(maildrop_message_uidl(message), maildrop_message_copy(message), ret_name));
    return nametable_hash(name_slice(ret_name));
}

static bool is_found(const struct nametable *table, struct maildrop_message *message)
{
    struct name name;
    uint32_t hash = hash_of(message, &name);
    struct maildrop_message *found = nametable_find(table, hash, name_slice(&name));
    maildrop_message_unref(found);
    assert_true(found == NULL || found == message);
    return found != NULL;
}

static bool fill_a_nametable(void)
{
    struct nametable table = {0};
    bool had_all = true;
    bool added[ROWS_COUNT];
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(messages, i);
        struct name name;
        added[i] = nametable_add(&table, hash_of(message, &name), message);
        had_all = had_all && added[i];
    }
    for (size_t i = 0; i < ROWS_COUNT; i++)
        assert_int_equal(is_found(&table, maildrop_snapshot_at(messages, i)), added[i]);
    nametable_done(&table);
    return had_all;
}

static void a_nametable_keeps_what_it_has(void **state)
{
    (void)state;
    fail_each_allocation(fill_a_nametable);
}

static bool fill_and_empty_inodes(void)
{
    struct inodes inodes = {0};
    bool had_all = true;
    bool known[ROWS_COUNT];
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        known[i] = inodes_remember(&inodes, maildrop_snapshot_at(messages, i));
        had_all = had_all && known[i];
    }
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(messages, i);
        uint64_t ino = inode_of_message(message);
        assert_ptr_equal(inodes_find(&inodes, ino), known[i] ? message : NULL);
        /* The table shrinks on the way; that it cannot is no fault. */
        inodes_forget(&inodes, ino, 1);
        assert_null(inodes_find(&inodes, ino));
    }
    assert_int_equal(inodes.count, 0);
    inodes_done(&inodes);
    return had_all;
}

static void inodes_keep_what_they_have(void **state)
{
    (void)state;
    fail_each_allocation(fill_and_empty_inodes);
}

static bool add_jobs(void)
{
    struct jobs jobs = {0};
    bool had_all = true;
    for (size_t i = 0; i < 20; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(messages, i);
        struct job *job = jobs_add(&jobs, JOB_BODY, SCHEDULE_PREFETCH, message);
        had_all = had_all && job != NULL;
        assert_ptr_equal(jobs_find(&jobs, JOB_BODY, message), job);
        if (job != NULL && i % 2 == 0)
            jobs_set_in_flight(&jobs, job, 100);
    }
    jobs_abandon_in_flight(&jobs);
    jobs_drop_queued(&jobs, SCHEDULE_PREFETCH);
    for (size_t i = 0; i < 20; i++)
        assert_null(jobs_find(&jobs, JOB_BODY, maildrop_snapshot_at(messages, i)));
    return had_all;
}

static void a_job_is_there_or_not(void **state)
{
    (void)state;
    fail_each_allocation(add_jobs);
}

/* ---- headers ---- */

static bool read_a_header(void)
{
    static const char text[] = "Subject: =?utf-8?q?J=C3=B6rg?=\r\nFrom: Jan <a@b>\r\n"
                               "Date: Sun, 22 Nov 2026 14:30:00 +0100\r\n\r\n";
    struct header header = {0};
    struct buffer from = {0};
    struct buffer subject = {0};
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        header_feed(&header, (struct slice){text + i, 1});
    assert_true(header.complete);
    bool whole = header.bytes.len == sizeof(text) - 1;
    bool had_all = whole && mail_header_summary(buffer_slice(&header.bytes), 100, &from, &subject);
    if (had_all)
        assert_memory_equal(subject.data, "Jörg", 5);
    else
        assert_true(from.len == 0 && subject.len == 0);
    header_done(&header);
    buffer_done(&from);
    buffer_done(&subject);
    return had_all;
}

static void a_header_just_ends_early(void **state)
{
    (void)state;
    fail_each_allocation(read_a_header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_stays_as_it_was),
        cmocka_unit_test(a_listing_is_applied_whole_or_not_at_all),
        cmocka_unit_test(a_nametable_keeps_what_it_has),
        cmocka_unit_test(inodes_keep_what_they_have),
        cmocka_unit_test(a_job_is_there_or_not),
        cmocka_unit_test(a_header_just_ends_early),
    };
    return cmocka_run_group_tests(tests, make_messages, drop_messages);
}
