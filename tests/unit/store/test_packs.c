/* SPDX-License-Identifier: MIT */
/* Packs: what shares one, what is left of a torn one, what is erased, and what is never served. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { HEADER_OCTETS = 32, SMALL_OCTETS = 1000, CACHE_OCTETS = 32 * 1024 };

static char block[100000];

static struct slice bytes_of(size_t octets)
{
    return (struct slice){block, octets};
}

static bool keep_octets(struct store *store, uint64_t id, size_t octets)
{
    struct extent body = keep_times(store, id, bytes_of(octets), 1);
    cleanup_close(&body.descriptor);
    return body.descriptor >= 0;
}

/* Of all files among the bodies. */
static uint64_t octets_on_disk(const struct fixture *f)
{
    uint64_t octets = 0;
    DIR *list = opendir(bodies_folder(f));
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        struct stat stat;
        assert_int_equal(fstatat(dirfd(list), entry->d_name, &stat, 0), 0);
        octets += S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0;
    }
    closedir(list);
    return octets;
}

static bool pack_holds(const struct fixture *f, uint32_t opening, const char *text)
{
    CLEANUP_BUFFER struct buffer bytes = {0};
    file_read(pack_path(opening, 0, f), &bytes);
    return memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
}

/* ---- sharing ---- */

static void small_bodies_share_a_pack_and_large_ones_do_not(void **state)
{
    struct fixture *f = *state;
    for (unsigned id = 1; id <= 100; id++)
        assert_true(keep_octets(f->store, id, id * 100));
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    assert_true(keep_octets(f->store, 101, 65536));
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    assert_true(keep_octets(f->store, 102, 65537));
    assert_int_equal(entries_count(bodies_folder(f)), 2);
    for (unsigned id = 1; id <= 100; id++) {
        struct extent body;
        assert_int_equal(body_open(f->store, id, id * 100, &body), FAULT_NONE);
        assert_reads(body, bytes_of(id * 100), 1);
        close(body.descriptor);
    }
}

static void
a_pack_that_is_full_is_followed_by_another_and_so_is_one_of_an_earlier_opening(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 1; id <= 150; id++) {
        char uidl[8];
        snprintf(uidl, sizeof(uidl), "u%d", (int)id);
        assert_true(add(f->store, id, uidl, 0) && keep_octets(f->store, id, 60000));
    }
    assert_int_equal(entries_count(bodies_folder(f)), 2);
    store_must_reopen(f);
    assert_true(keep_octets(f->store, 151, 60000));
    assert_int_equal(entries_count(bodies_folder(f)), 3);
    for (uint64_t id = 1; id <= 151; id++)
        assert_true(is_kept(f->store, id, 60000));
}

static void a_pack_of_which_nothing_is_of_use_goes_at_once(void **state)
{
    struct fixture *f = *state;
    assert_true(keep(f->store, 1, "one") && keep(f->store, 2, "two"));
    store_body_remove(f->store, 1);
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    store_body_remove(f->store, 2);
    assert_int_equal(entries_count(bodies_folder(f)), 0);
    assert_true(keep(f->store, 3, "three"));
    assert_kept(f->store, 3, "three");
}

/* ---- eviction ---- */

static void whole_packs_are_evicted_and_stay_readable_where_they_are_open(void **state)
{
    struct fixture *f = *state;
    struct extent first = keep_times(f->store, 1, bytes_of(SMALL_OCTETS), 1);
    uint64_t id = 1;
    while (is_kept(f->store, 1, SMALL_OCTETS)) {
        store_body_note_used(f->store, 5); /* and with it those in its pack */
        assert_true(++id < 100);
        assert_true(keep_octets(f->store, id, SMALL_OCTETS));
    }
    assert_reads(first, bytes_of(SMALL_OCTETS), 1);
    close(first.descriptor);
    assert_false(is_kept(f->store, 2, SMALL_OCTETS));
    assert_true(is_kept(f->store, 5, SMALL_OCTETS) && is_kept(f->store, id, SMALL_OCTETS));
}

static void the_cache_stays_within_its_size(void **state)
{
    struct fixture *f = *state;
    struct store_usage usage;
    for (unsigned id = 1; id <= 3000; id++) {
        assert_true(keep_octets(f->store, id, id * 7919 % 3000));
        if (id % 3 == 0)
            store_body_remove(f->store, id - 1);
        if (id % 5 == 0)
            store_body_note_used(f->store, id - 4);
        store_usage(f->store, &usage);
        assert_true(usage.octets <= CACHE_OCTETS);
        if (id % 100 == 0)
            assert_int_equal(octets_on_disk(f), usage.octets);
    }
    assert_true(usage.octets > CACHE_OCTETS / 2);
}

static void the_use_of_a_pack_lasts_from_one_opening_to_the_next(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 1; id <= 30; id++) {
        char uidl[8];
        snprintf(uidl, sizeof(uidl), "u%d", (int)id);
        assert_true(add(f->store, id, uidl, 0) && keep_octets(f->store, id, SMALL_OCTETS));
    }
    store_body_note_used(f->store, 1);
    store_must_reopen(f);
    assert_true(keep_octets(f->store, 31, SMALL_OCTETS) &&
                keep_octets(f->store, 32, SMALL_OCTETS) && keep_octets(f->store, 33, SMALL_OCTETS));
    assert_true(is_kept(f->store, 1, SMALL_OCTETS));
    assert_false(is_kept(f->store, 4, SMALL_OCTETS));
}

/* ---- killed ---- */

static void keep_three(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 0) && add(f->store, 2, "b", 0) && add(f->store, 3, "c", 0));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
    CHILD_MUST(keep(f->store, 1, "one") && keep(f->store, 2, "two") && keep(f->store, 3, "three"));
}

static size_t torn_at;

/* A child looks and is killed in its turn, so that nothing is ever closed. */
static void look_at_torn(struct fixture *f)
{
    int count = (torn_at >= HEADER_OCTETS + 3) + (torn_at >= 2 * HEADER_OCTETS + 6) +
                (torn_at >= 3 * HEADER_OCTETS + 11);
    CHILD_MUST(is_kept(f->store, 1, 3) == (count >= 1));
    CHILD_MUST(is_kept(f->store, 2, 3) == (count >= 2));
    CHILD_MUST(is_kept(f->store, 3, 5) == (count >= 3));
    CHILD_MUST(octets_on_disk(f) ==
               (size_t)(count * HEADER_OCTETS + (count == 3 ? 11 : count * 3)));
}

static void of_a_torn_pack_the_whole_records_are_kept(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer whole = {0};
    char path[600];
    killed_after(f, keep_three);
    snprintf(path, sizeof(path), "%s", pack_path(1, 0, f));
    file_read(path, &whole);
    assert_int_equal(whole.len, 3 * HEADER_OCTETS + 11);
    for (torn_at = 0; torn_at <= whole.len; torn_at++) {
        file_write(path, (struct slice){whole.data, torn_at});
        killed_after(f, look_at_torn);
    }
}

static void remove_the_second(struct fixture *f)
{
    CHILD_MUST(is_kept(f->store, 2, 3));
    store_body_remove(f->store, 2);
}

static void what_was_removed_does_not_come_back_when_popfs_is_killed(void **state)
{
    struct fixture *f = *state;
    killed_after(f, keep_three);
    killed_after(f, remove_the_second);
    store_must_open(f);
    assert_kept(f->store, 1, "one");
    assert_false(is_kept(f->store, 2, 3));
    assert_kept(f->store, 3, "three");
}

static void replace_the_first(struct fixture *f)
{
    CHILD_MUST(keep(f->store, 1, "eins"));
}

static void of_two_records_for_one_message_the_newer_counts(void **state)
{
    struct fixture *f = *state;
    killed_after(f, keep_three);
    killed_after(f, replace_the_first);
    store_must_open(f);
    assert_kept(f->store, 1, "eins");
    assert_false(is_kept(f->store, 1, 3));
    assert_kept(f->store, 2, "two");
    store_must_reopen(f);
    assert_kept(f->store, 1, "eins");
    assert_false(pack_holds(f, 1, "one"));
}

/* The third message is never committed, and its id is given again. */
static void keep_before_the_row_is_there(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 0) && add(f->store, 2, "b", 0));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
    CHILD_MUST(add(f->store, 3, "old", 0));
    CHILD_MUST(keep(f->store, 3, "her") && keep(f->store, 1, "one"));
}

static void add_another(struct fixture *f)
{
    CHILD_MUST(add(f->store, 3, "new", 0) && store_flush(f->store, NULL) == FAULT_NONE);
}

static void a_new_message_never_finds_the_record_of_one_that_had_its_id(void **state)
{
    struct fixture *f = *state;
    killed_after(f, keep_before_the_row_is_there);
    killed_after(f, add_another);
    store_must_open(f);
    assert_loads(f->store, "a- b- new- ");
    assert_kept(f->store, 1, "one");
    assert_false(is_kept(f->store, 3, 3));
    store_must_reopen(f);
    assert_false(is_kept(f->store, 3, 3));
    assert_false(pack_holds(f, 1, "her"));
}

/* ---- erasing ---- */

static bool holes_are_unknown;

int __real_disk_fallocate(int file, int mode, off_t offset, off_t octets);
int __wrap_disk_fallocate(int file, int mode, off_t offset, off_t octets);

int __wrap_disk_fallocate(int file, int mode, off_t offset, off_t octets)
{
    if (!holes_are_unknown)
        return __real_disk_fallocate(file, mode, offset, octets);
    errno = EOPNOTSUPP;
    return -1;
}

static void keep_secrets(struct fixture *f)
{
    static const char *const texts[] = {"first",  "secret 1", "secret 2",
                                        "middle", "secret 3", "last"};
    for (uint64_t id = 1; id <= 6; id++) {
        char uidl[8];
        snprintf(uidl, sizeof(uidl), "u%d", (int)id);
        assert_true(add(f->store, id, uidl, 0) && keep(f->store, id, texts[id - 1]));
    }
}

static void forget_secrets(struct fixture *f)
{
    CHILD_MUST(forget(f->store, 2, "u2", 0));
    CHILD_MUST(forget(f->store, 3, "u3", 0));
    CHILD_MUST(forget(f->store, 5, "u5", 0));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
}

static void assert_secrets_are_erased(struct fixture *f)
{
    assert_false(pack_holds(f, 1, "secret"));
    store_must_open(f);
    assert_kept(f->store, 1, "first");
    assert_kept(f->store, 4, "middle");
    assert_kept(f->store, 6, "last");
    store_must_close(f);
}

static void closing_erases_what_was_removed(void **state)
{
    struct fixture *f = *state;
    keep_secrets(f);
    forget_secrets(f);
    assert_true(pack_holds(f, 1, "secret 1")); /* somebody may be reading it */
    store_must_close(f);
    assert_secrets_are_erased(f);
}

static void it_does_so_where_files_have_no_holes(void **state)
{
    holes_are_unknown = true;
    closing_erases_what_was_removed(state);
    holes_are_unknown = false;
}

static void what_a_killed_popfs_did_not_erase_the_next_does(void **state)
{
    struct fixture *f = *state;
    keep_secrets(f);
    store_must_close(f);
    killed_after(f, forget_secrets);
    assert_true(pack_holds(f, 1, "secret 1"));
    store_must_open(f);
    store_must_close(f);
    assert_secrets_are_erased(f);
}

static void what_has_been_erased_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct stat before, after;
    keep_secrets(f);
    forget_secrets(f);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT erased FROM pack"), 3 * HEADER_OCTETS + 24);
    assert_int_equal(lstat(pack_path(1, 0, f), &before), 0);
    store_must_open(f);
    store_must_close(f);
    assert_int_equal(lstat(pack_path(1, 0, f), &after), 0);
    assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof(after.st_mtim));
}

/* ---- damage ---- */

static void a_header_with_any_octet_changed_gives_nothing(void **state)
{
    struct fixture *f = *state;
    assert_true(keep(f->store, 1, "one") && keep(f->store, 2, "two"));
    CLEANUP_CLOSE int file = open(pack_path(1, 0, f), O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    for (off_t at = 0; at < HEADER_OCTETS; at++) {
        char octet, other;
        assert_int_equal(pread(file, &octet, 1, at), 1);
        other = (char)(octet ^ 6); /* + and - are six apart */
        assert_int_equal(pwrite(file, &other, 1, at), 1);
        assert_false(is_kept(f->store, 1, 3));
        assert_int_equal(pwrite(file, &octet, 1, at), 1);
    }
    assert_kept(f->store, 1, "one");
    assert_kept(f->store, 2, "two");
}

static void a_record_counts_in_its_place_alone(void **state)
{
    struct fixture *f = *state;
    char record[HEADER_OCTETS + 3];
    assert_true(keep(f->store, 1, "one") && keep(f->store, 1, "uno"));
    CLEANUP_CLOSE int file = open(pack_path(1, 0, f), O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(file, record, sizeof(record), 0), sizeof(record));
    assert_int_equal(pwrite(file, record, sizeof(record), sizeof(record)), sizeof(record));
    assert_false(is_kept(f->store, 1, 3));
}

static void a_pack_in_the_place_of_another_gives_nothing(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer bytes = {0};
    assert_true(add(f->store, 1, "a", 0) && keep(f->store, 1, "one"));
    store_must_reopen(f);
    assert_true(add(f->store, 2, "b", 0) && keep(f->store, 1, "two") && keep(f->store, 2, "x"));
    file_read(pack_path(2, 0, f), &bytes);
    store_must_reopen(f);
    assert_true(keep(f->store, 1, "new") && keep(f->store, 2, "y"));
    file_write(pack_path(3, 0, f), buffer_slice(&bytes));
    assert_false(is_kept(f->store, 1, 3) || is_kept(f->store, 2, 1));
    assert_true(keep(f->store, 1, "new"));
    assert_kept(f->store, 1, "new");
}

static void rows_that_lead_nowhere_give_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = {"pack = 5 << 32",  "pack = -1",  "pack = 'x'",
                                        "place = 1",       "place = -1", "place = 1 << 40",
                                        "place = NULL",    "exact = -1", "exact = 1 << 62",
                                        "exact = 1 << 20", "id = 9"};
    assert_true(add(f->store, 1, "a", 0) && add(f->store, 2, "b", 0));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[200];
        assert_true(keep(f->store, 1, "one") && keep(f->store, 2, "two"));
        store_must_close(f);
        snprintf(text, sizeof(text), "UPDATE message SET %s WHERE id = 1", wrong[i]);
        sql_run(f, text);
        store_must_open(f);
        assert_false(is_kept(f->store, 1, 3) || is_kept(f->store, 9, 3));
        assert_kept(f->store, 2, "two");
        store_must_close(f);
        sql_run(f, "UPDATE message SET id = 1 WHERE id = 9");
        store_must_open(f);
    }
}

static int set_up_small(void **state)
{
    if (set_up_closed(state) != 0)
        return 1;
    struct fixture *f = *state;
    f->options.octets_max = CACHE_OCTETS;
    return open_and_begin(f, &f->store, NULL) != FAULT_NONE;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_CLOSED(name) cmocka_unit_test_setup_teardown(name, set_up_closed, tear_down)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_bodies_share_a_pack_and_large_ones_do_not),
        TEST(a_pack_that_is_full_is_followed_by_another_and_so_is_one_of_an_earlier_opening),
        TEST(a_pack_of_which_nothing_is_of_use_goes_at_once),
        TEST_SMALL(whole_packs_are_evicted_and_stay_readable_where_they_are_open),
        TEST_SMALL(the_cache_stays_within_its_size),
        TEST_SMALL(the_use_of_a_pack_lasts_from_one_opening_to_the_next),
        TEST_CLOSED(of_a_torn_pack_the_whole_records_are_kept),
        TEST_CLOSED(what_was_removed_does_not_come_back_when_popfs_is_killed),
        TEST_CLOSED(of_two_records_for_one_message_the_newer_counts),
        TEST_CLOSED(a_new_message_never_finds_the_record_of_one_that_had_its_id),
        TEST(closing_erases_what_was_removed),
        TEST(what_a_killed_popfs_did_not_erase_the_next_does),
        TEST(it_does_so_where_files_have_no_holes),
        TEST(what_has_been_erased_is_left_alone),
        TEST(a_header_with_any_octet_changed_gives_nothing),
        TEST(a_record_counts_in_its_place_alone),
        TEST(a_pack_in_the_place_of_another_gives_nothing),
        TEST(rows_that_lead_nowhere_give_nothing),
    };
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 + i / 251);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
