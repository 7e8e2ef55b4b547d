/* SPDX-License-Identifier: MIT */
/* Damage to kept bodies is found when they are opened for the first time, and never served. */
#include "fixture.h"

#include <fcntl.h>
#include <inttypes.h>

enum { PACKED_OCTETS = 5000, FILE_OCTETS = 100000, LARGE_OCTETS = 1000000 };

static const struct {
    uint64_t id;
    size_t octets;
} kept[] = {{1, PACKED_OCTETS}, {2, FILE_OCTETS}, {3, LARGE_OCTETS}, {4, 0}};

enum { KEPT_COUNT = sizeof(kept) / sizeof(kept[0]) };

static char bytes[LARGE_OCTETS];

static void keep_all(struct fixture *f)
{
    for (size_t i = 0; i < LARGE_OCTETS; i++)
        bytes[i] = (char)(i * 31 + i / 1000);
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        char uidl[8];
        snprintf(uidl, sizeof(uidl), "u%d", (int)i);
        CHILD_MUST(add(f->store, kept[i].id, uidl, 0));
        struct extent body =
            keep_times(f->store, kept[i].id, (struct slice){bytes, kept[i].octets}, 1);
        CHILD_MUST(body.descriptor >= 0);
        close(body.descriptor);
    }
}

static enum fault check(struct store *store, uint64_t id, uint64_t octets)
{
    struct store_check *reading;
    uint64_t sum = 0;
    enum fault fault = store_check_new(store, id, octets, &reading);
    if (fault != FAULT_NONE)
        return fault;
    while ((fault = store_check_go_on(reading, &sum)) == FAULT_BUSY)
        continue;
    store_check_free(reading);
    if (fault == FAULT_NONE)
        store_body_note_sound(store, id, sum);
    return fault;
}

/* As sync does it: those that are too large for the open are read in parts before it. */
static enum fault open_checked(struct store *store, uint64_t id, uint64_t octets)
{
    struct extent body = EXTENT_NONE;
    enum fault fault = body_open(store, id, octets, &body);
    if (fault == FAULT_BUSY) {
        assert_true(octets > STORE_CHECK_OCTETS);
        fault = check(store, id, octets);
        if (fault == FAULT_NONE)
            fault = body_open(store, id, octets, &body);
    }
    if (fault == FAULT_NONE)
        assert_reads(body, (struct slice){bytes, octets}, 1);
    cleanup_close(&body.descriptor);
    return fault;
}

static void assert_all_open(struct fixture *f)
{
    for (size_t i = 0; i < KEPT_COUNT; i++)
        assert_int_equal(open_checked(f->store, kept[i].id, kept[i].octets), FAULT_NONE);
}

/* Where a body lies on the disk. */
static const char *path_of_body(const struct fixture *f, uint64_t id, off_t *ret_offset)
{
    *ret_offset = id == 1 ? 32 : 0;
    return id == 1 ? pack_path(1, 0, f) : body_path(id, f);
}

static void damage(const struct fixture *f, uint64_t id, off_t at, const void *octets, size_t count)
{
    off_t offset;
    int file = open(path_of_body(f, id, &offset), O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, octets, count, offset + at), count);
    close(file);
}

static void flip_a_bit(const struct fixture *f, uint64_t id, off_t at)
{
    off_t offset;
    char octet;
    int file = open(path_of_body(f, id, &offset), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(file, &octet, 1, offset + at), 1);
    close(file);
    octet ^= 4;
    damage(f, id, at, &octet, 1);
}

/* ---- sums ---- */

static void every_body_has_a_sum_in_the_index_and_opens_again_and_again(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    assert_all_open(f);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM message WHERE sum IS NOT NULL"),
                     KEPT_COUNT);
    for (int i = 0; i < 2; i++) {
        store_must_open(f);
        assert_all_open(f);
        assert_all_open(f);
        store_must_close(f);
    }
}

static void the_parts_in_which_a_body_comes_make_no_other_sum(void **state)
{
    struct fixture *f = *state;
    struct extent body = keep_times(f->store, 1, SLICE_LITERAL("abc"), 7);
    cleanup_close(&body.descriptor);
    assert_true(add(f->store, 1, "one", 0) && add(f->store, 2, "two", 0));
    assert_true(keep(f->store, 2, "abcabcabcabcabcabcabc"));
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT count(DISTINCT sum) FROM message"), 1);
}

static void a_body_without_a_sum_gets_it_at_its_first_open(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    store_must_close(f);
    int64_t sums = sql_number(f, "SELECT sum(sum / 1000) FROM message");
    sql_run(f, "UPDATE message SET sum = NULL");
    store_must_open(f);
    assert_all_open(f);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT sum(sum / 1000) FROM message"), sums);
    store_must_open(f);
    flip_a_bit(f, 2, 7);
    assert_int_equal(open_checked(f->store, 2, FILE_OCTETS), FAULT_GARBLED);
}

static void keep_and_flush(struct fixture *f)
{
    keep_all(f);
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
}

static void keep_and_commit_rows_only(struct fixture *f)
{
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        char uidl[8];
        snprintf(uidl, sizeof(uidl), "u%d", (int)i);
        CHILD_MUST(add(f->store, kept[i].id, uidl, 0));
    }
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
    keep_all(f);
}

static void sums_that_were_flushed_outlive_a_kill_and_others_are_made_anew(void **state)
{
    struct fixture *f = *state;
    store_must_close(f);
    killed_after(f, keep_and_flush);
    memset(bytes, 0, sizeof(bytes));
    store_must_open(f);
    keep_all(f);
    store_must_close(f);
    killed_after(f, keep_and_commit_rows_only);
    store_must_open(f);
    assert_all_open(f);
}

/* ---- damage ---- */

static void a_flipped_bit_is_found_at_the_first_open_wherever_it_is(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        size_t octets = kept[i].octets;
        const off_t places[] = {0, (off_t)(octets / 2), (off_t)octets - 1};
        for (size_t at = 0; octets > 0 && at < 3; at++) {
            store_must_reopen(f);
            flip_a_bit(f, kept[i].id, places[at]);
            assert_int_equal(open_checked(f->store, kept[i].id, octets), FAULT_GARBLED);
            flip_a_bit(f, kept[i].id, places[at]);
            assert_int_equal(open_checked(f->store, kept[i].id, octets), FAULT_NONE);
        }
    }
}

static void damage_is_found_in_the_opening_in_which_the_body_came_too(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    flip_a_bit(f, 1, 100);
    assert_int_equal(open_checked(f->store, 1, PACKED_OCTETS), FAULT_GARBLED);
}

static void a_zeroed_block_is_found(void **state)
{
    struct fixture *f = *state;
    static const char zeros[4096];
    keep_all(f);
    for (uint64_t id = 1; id <= 3; id++) {
        damage(f, id, 300, zeros, sizeof(zeros));
        assert_int_equal(open_checked(f->store, id, kept[id - 1].octets), FAULT_GARBLED);
    }
}

static void a_torn_file_or_record_is_found_at_any_open(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    assert_all_open(f);
    for (uint64_t id = 1; id <= 3; id++) {
        off_t offset;
        const char *path = path_of_body(f, id, &offset);
        assert_int_equal(truncate(path, offset + 2000), 0);
        assert_int_equal(open_checked(f->store, id, kept[id - 1].octets), FAULT_GARBLED);
    }
}

static void a_header_of_a_record_that_is_garbage_is_damage_and_not_an_absence(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    damage(f, 1, -20, "garbage", 7);
    assert_int_equal(open_checked(f->store, 1, PACKED_OCTETS), FAULT_GARBLED);
    assert_false(store_body_is_there(f->store, 1, PACKED_OCTETS));
}

static void later_opens_read_nothing_and_a_check_does(void **state)
{
    struct fixture *f = *state;
    struct extent body = EXTENT_NONE;
    keep_all(f);
    assert_all_open(f);
    flip_a_bit(f, 2, 50);
    assert_int_equal(body_open(f->store, 2, FILE_OCTETS, &body), FAULT_NONE);
    close(body.descriptor);
    assert_int_equal(check(f->store, 2, FILE_OCTETS), FAULT_GARBLED);
}

static void what_was_removed_is_no_damage_in_a_later_opening(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    assert_true(add(f->store, 5, "five", 0) && keep(f->store, 5, "another in the pack"));
    store_must_reopen(f);
    store_body_remove(f->store, 1);
    store_must_reopen(f);
    assert_int_equal(open_checked(f->store, 1, PACKED_OCTETS), FAULT_GONE);
    assert_kept(f->store, 5, "another in the pack");
}

static void what_is_kept_after_damage_has_a_sum_of_its_own(void **state)
{
    struct fixture *f = *state;
    keep_all(f);
    store_must_reopen(f);
    flip_a_bit(f, 1, 9);
    assert_int_equal(open_checked(f->store, 1, PACKED_OCTETS), FAULT_GARBLED);
    store_body_remove(f->store, 1);
    assert_true(keep(f->store, 1, "it came again"));
    assert_kept(f->store, 1, "it came again");
    store_must_reopen(f);
    assert_kept(f->store, 1, "it came again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(every_body_has_a_sum_in_the_index_and_opens_again_and_again),
        TEST(the_parts_in_which_a_body_comes_make_no_other_sum),
        TEST(a_body_without_a_sum_gets_it_at_its_first_open),
        TEST(sums_that_were_flushed_outlive_a_kill_and_others_are_made_anew),
        TEST(a_flipped_bit_is_found_at_the_first_open_wherever_it_is),
        TEST(damage_is_found_in_the_opening_in_which_the_body_came_too),
        TEST(a_zeroed_block_is_found),
        TEST(a_torn_file_or_record_is_found_at_any_open),
        TEST(a_header_of_a_record_that_is_garbage_is_damage_and_not_an_absence),
        TEST(later_opens_read_nothing_and_a_check_does),
        TEST(what_was_removed_is_no_damage_in_a_later_opening),
        TEST(what_is_kept_after_damage_has_a_sum_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
