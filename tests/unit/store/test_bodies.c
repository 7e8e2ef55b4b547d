/* SPDX-License-Identifier: MIT */
/* Bodies: what is kept, read, evicted, and what is left of one that was not whole. */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum { HEADER_OCTETS = 32, TEN_OCTETS = HEADER_OCTETS + 10 };

static void what_was_kept_is_read_again_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct slice bytes = SLICE_LITERAL("a\r\n\0.\xff\n");
    struct extent body = keep_times(f->store, 7, bytes, 1);
    assert_reads(body, bytes, 1);
    close(body.descriptor);
    assert_int_equal(body_open(f->store, 7, bytes.len, &body), FAULT_NONE);
    assert_reads(body, bytes, 1);
    close(body.descriptor);
}

static void bodies_of_every_size_around_the_gathering_are_whole(void **state)
{
    struct fixture *f = *state;
    static char block[70000];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 + i / 251);
    const size_t sizes[] = {0, 1, 16383, 16384, 16385, 21845, 32768, 65535, 65536, 65537, 70000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct extent body = keep_times(f->store, i + 1, (struct slice){block, sizes[i]}, 4);
        assert_reads(body, (struct slice){block, sizes[i]}, 4);
        close(body.descriptor);
    }
}

static void what_is_not_there_is_gone(void **state)
{
    struct fixture *f = *state;
    struct extent body = {.descriptor = -7};
    assert_int_equal(body_open(f->store, 9, 1, &body), FAULT_GONE);
    assert_int_equal(body.descriptor, -7);
}

static void a_body_that_is_not_whole_cannot_be_opened_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, SLICE_LITERAL("half"), NULL), FAULT_NONE);
    assert_int_equal(store_body_flush(body, NULL), FAULT_NONE);
    assert_false(is_kept(f->store, 1, 4));
    store_body_free(body);
    assert_int_equal(entries_count(bodies_folder(f)), 0);
}

static void a_body_is_read_and_compared_while_it_arrives(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    struct extent kept = EXTENT_NONE;
    int shared = -1;
    bool equal = false;
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_share(body, &shared, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, SLICE_LITERAL("ab"), NULL), FAULT_NONE);
    assert_int_equal(store_body_flush(body, NULL), FAULT_NONE);
    assert_file_reads(shared, SLICE_LITERAL("ab"), 1);
    assert_int_equal(store_body_append(body, SLICE_LITERAL("cd"), NULL), FAULT_NONE);
    assert_int_equal(store_body_compare(body, 1, SLICE_LITERAL("bcd"), &equal, NULL), FAULT_NONE);
    assert_true(equal);
    assert_int_equal(store_body_compare(body, 1, SLICE_LITERAL("bcx"), &equal, NULL), FAULT_NONE);
    assert_false(equal);
    assert_int_equal(store_body_keep(body, 4, &kept, NULL), FAULT_NONE);
    assert_file_reads(shared, SLICE_LITERAL("abcd"), 1);
    close(shared);
    close(kept.descriptor);
    assert_kept(f->store, 4, "abcd");
}

static void a_descriptor_outlives_removal_and_store(void **state)
{
    struct fixture *f = *state;
    struct extent body = keep_times(f->store, 3, SLICE_LITERAL("stay"), 1);
    store_body_remove(f->store, 3);
    assert_false(is_kept(f->store, 3, 4));
    assert_int_equal(entries_count(bodies_folder(f)), 0);
    store_must_close(f);
    assert_reads(body, SLICE_LITERAL("stay"), 1);
    close(body.descriptor);
}

static void a_later_body_of_the_same_id_replaces_the_earlier(void **state)
{
    struct fixture *f = *state;
    struct store_usage usage;
    assert_true(add(f->store, 5, "u", 0));
    assert_true(keep(f->store, 5, "old"));
    assert_true(keep(f->store, 5, "newer"));
    assert_kept(f->store, 5, "newer");
    store_must_reopen(f);
    assert_kept(f->store, 5, "newer");
    assert_true(keep(f->store, 5, "newest"));
    assert_kept(f->store, 5, "newest");
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    store_usage(f->store, &usage);
    assert_int_equal(usage.octets, 6 + HEADER_OCTETS);
    assert_int_equal(usage.body_count, 1);
}

static void a_body_of_another_size_than_expected_is_gone(void **state)
{
    struct fixture *f = *state;
    assert_true(keep(f->store, 5, "four"));
    assert_false(is_kept(f->store, 5, 3));
    assert_false(is_kept(f->store, 5, STORE_OCTETS_UNKNOWN));
    assert_int_equal(truncate(pack_path(1, 0, f), HEADER_OCTETS + 3), 0);
    assert_false(is_kept(f->store, 5, 4));
    assert_true(keep(f->store, 5, "four"));
    assert_kept(f->store, 5, "four");
}

static void a_link_in_the_place_of_a_body_is_not_followed(void **state)
{
    struct fixture *f = *state;
    assert_true(keep(f->store, 5, "four"));
    const char *path = pack_path(1, 0, f);
    char elsewhere[100];
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", f->base);
    file_write(elsewhere, SLICE_LITERAL("evil"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_false(is_kept(f->store, 5, 4));
}

static void bodies_last_from_one_opening_to_the_next(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    struct store_usage usage;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(keep(f->store, 1, "one") && keep(f->store, 2, "two!"));
    store_must_reopen(f);
    assert_kept(f->store, 1, "one");
    assert_kept(f->store, 2, "two!");
    load(f->store, &loaded);
    assert_int_equal(loaded.last.exact_octets, 4);
    store_usage(f->store, &usage);
    assert_int_equal(usage.octets, 7 + 2 * HEADER_OCTETS);
    assert_int_equal(usage.body_count, 2);
    assert_int_equal(usage.octets_max, 0);
    assert_non_null(strstr(usage.folder, "/a/b/" ACCOUNT));
}

static void a_body_without_a_message_does_not_last(void **state)
{
    struct fixture *f = *state;
    assert_true(keep(f->store, 1, "one"));
    assert_kept(f->store, 1, "one");
    store_must_reopen(f);
    assert_false(is_kept(f->store, 1, 3));
    assert_int_equal(entries_count(bodies_folder(f)), 0);
}

/* ---- eviction ---- */

/* Ten bodies of ten octets, of messages 1 to 10, when no more may be kept. So small a cache has a
 * pack for each. */
static void keep_ten(struct fixture *f)
{
    char uidl[8];
    for (uint64_t id = 1; id <= 10; id++) {
        snprintf(uidl, sizeof(uidl), "u%d", (int)id);
        assert_true(add(f->store, id, uidl, 10));
        assert_true(keep(f->store, id, "0123456789"));
    }
}

static void what_was_used_longest_ago_is_evicted_first(void **state)
{
    struct fixture *f = *state;
    struct store_usage usage;
    keep_ten(f);
    store_body_note_used(f->store, 1);
    assert_true(is_kept(f->store, 2, 10));
    assert_true(keep(f->store, 11, "0123456789"));
    store_usage(f->store, &usage);
    assert_int_equal(usage.octets, 10 * TEN_OCTETS);
    assert_int_equal(usage.body_count, 10);
    assert_int_equal(entries_count(bodies_folder(f)), 10);
    assert_true(is_kept(f->store, 1, 10));
    assert_false(is_kept(f->store, 2, 10));
    assert_true(is_kept(f->store, 3, 10) && is_kept(f->store, 11, 10));
}

static void the_order_of_use_lasts_and_a_smaller_cache_evicts_at_once(void **state)
{
    struct fixture *f = *state;
    keep_ten(f);
    store_body_note_used(f->store, 2);
    store_body_note_used(f->store, 1);
    f->options.octets_max = 3 * TEN_OCTETS;
    store_must_reopen(f);
    assert_int_equal(entries_count(bodies_folder(f)), 2);
    assert_true(is_kept(f->store, 1, 10) && is_kept(f->store, 2, 10));
    /* And what is kept now is newer than what was kept then. */
    assert_true(keep(f->store, 3, "0123456789") && keep(f->store, 4, "0123456789"));
    assert_true(is_kept(f->store, 3, 10) && is_kept(f->store, 4, 10));
    assert_false(is_kept(f->store, 2, 10));
}

static void an_evicted_body_stays_readable_where_it_is_open(void **state)
{
    struct fixture *f = *state;
    struct extent body = EXTENT_NONE;
    keep_ten(f);
    assert_int_equal(body_open(f->store, 1, 10, &body), FAULT_NONE);
    assert_true(keep(f->store, 11, "0123456789"));
    assert_false(is_kept(f->store, 1, 10));
    assert_reads(body, SLICE_LITERAL("0123456789"), 1);
    close(body.descriptor);
}

static void a_body_larger_than_the_cache_is_readable_and_drives_nobody_out(void **state)
{
    struct fixture *f = *state;
    keep_ten(f);
    struct extent body = keep_times(f->store, 11, SLICE_LITERAL("0123456789"), 43);
    assert_reads(body, SLICE_LITERAL("0123456789"), 43);
    close(body.descriptor);
    assert_false(is_kept(f->store, 11, 430));
    assert_int_equal(entries_count(bodies_folder(f)), 10);
    assert_true(store_is_keeping(f->store));
}

static void thousands_of_bodies_are_found_and_evicted(void **state)
{
    struct fixture *f = *state;
    struct store_usage usage;
    f->options.octets_max = 10 * 2000;
    store_must_reopen(f);
    for (uint64_t id = 1; id <= 5000; id++)
        assert_true(keep(f->store, id * 7, "0123456789"));
    store_usage(f->store, &usage);
    assert_true(usage.octets <= 20000 && usage.octets >= 16000);
    for (uint64_t id = 1; id <= 5000; id++)
        assert_int_equal(is_kept(f->store, id * 7, 10), id > 5000 - usage.body_count);
}

/* Ids that fall where they like, as those of a long-lived index may. */
static void no_body_is_lost_when_others_are_removed(void **state)
{
    struct fixture *f = *state;
    enum { IDS_COUNT = 1500 };
    uint64_t ids[IDS_COUNT], seed = 1;
    for (size_t i = 0; i < IDS_COUNT; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        ids[i] = seed >> 20;
        assert_true(keep(f->store, ids[i], "x"));
        if (i % 3 == 2)
            store_body_remove(f->store, ids[i / 2]);
    }
    for (size_t i = 0; i < IDS_COUNT; i++) {
        bool removed = false;
        for (size_t j = 2; j < IDS_COUNT; j += 3)
            removed |= j / 2 == i;
        assert_int_equal(is_kept(f->store, ids[i], 1), !removed);
    }
}

/* ---- threads ---- */

struct reader {
    struct store *store;
    atomic_bool stop;
    size_t opened_count;
    bool failed;
};

/* Whatever happens meanwhile, a body is whole or not there. */
static void *read_on(void *argument)
{
    struct reader *reader = argument;
    char held[10];
    for (uint64_t i = 0; !atomic_load(&reader->stop); i++) {
        struct extent body = EXTENT_NONE;
        enum fault fault = body_open(reader->store, i % 40 + 1, 10, &body);
        if (fault == FAULT_NONE) {
            reader->failed |= pread(body.descriptor, held, 10, (off_t)body.offset) != 10 ||
                              memcmp(held, "0123456789", 10) != 0;
            reader->opened_count++;
        }
        /* The mark of a dead record may be half written when it is looked at. */
        reader->failed |= fault != FAULT_NONE && fault != FAULT_GONE && fault != FAULT_GARBLED;
        cleanup_close(&body.descriptor);
    }
    return NULL;
}

static void bodies_are_opened_while_others_are_kept_and_evicted(void **state)
{
    struct fixture *f = *state;
    struct reader reader = {.store = f->store};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (uint64_t i = 0; i < 3000; i++) {
        assert_true(keep(f->store, i * 7 % 40 + 1, "0123456789"));
        store_body_note_used(f->store, i % 40 + 1);
        store_body_remove(f->store, i * 11 % 40 + 1);
        if (i % 100 == 0)
            assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    assert_false(reader.failed);
    assert_true(reader.opened_count > 0);
}

static int set_up_small(void **state)
{
    if (set_up_closed(state) != 0)
        return 1;
    struct fixture *f = *state;
    f->options.octets_max = 10 * TEN_OCTETS;
    return open_and_begin(f, &f->store, NULL) != FAULT_NONE;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_kept_is_read_again_byte_for_byte),
        TEST(bodies_of_every_size_around_the_gathering_are_whole),
        TEST(what_is_not_there_is_gone),
        TEST(a_body_that_is_not_whole_cannot_be_opened_and_leaves_nothing),
        TEST(a_body_is_read_and_compared_while_it_arrives),
        TEST(a_descriptor_outlives_removal_and_store),
        TEST(a_later_body_of_the_same_id_replaces_the_earlier),
        TEST(a_body_of_another_size_than_expected_is_gone),
        TEST(a_link_in_the_place_of_a_body_is_not_followed),
        TEST(bodies_last_from_one_opening_to_the_next),
        TEST(a_body_without_a_message_does_not_last),
        TEST_SMALL(what_was_used_longest_ago_is_evicted_first),
        TEST_SMALL(the_order_of_use_lasts_and_a_smaller_cache_evicts_at_once),
        TEST_SMALL(an_evicted_body_stays_readable_where_it_is_open),
        TEST_SMALL(a_body_larger_than_the_cache_is_readable_and_drives_nobody_out),
        TEST_SMALL(thousands_of_bodies_are_found_and_evicted),
        TEST(no_body_is_lost_when_others_are_removed),
        TEST_SMALL(bodies_are_opened_while_others_are_kept_and_evicted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
