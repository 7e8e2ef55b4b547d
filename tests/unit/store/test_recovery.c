/* SPDX-License-Identifier: MIT */
/* What a killed popfs, a power cut and a damaged index leave, and what is made of it. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void flush(struct fixture *f)
{
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
}

/* As if the machine had been started anew since. */
static void cut_power(struct fixture *f)
{
    sql_run(f, "UPDATE state SET boot = 'of another time'");
}

/* ---- killed ---- */

static void work_in_a_transaction(struct fixture *f)
{
    char uidl[16];
    CHILD_MUST(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    CHILD_MUST(store_set_fact(f->store, "x", 1, NULL) == FAULT_NONE);
    flush(f);
    CHILD_MUST(store_set_fact(f->store, "x", 2, NULL) == FAULT_NONE);
    CHILD_MUST(store_learn_octets(f->store, 1, 5, NULL) == FAULT_NONE);
    CHILD_MUST(forget(f->store, 2, "b", 3));
    /* More than SQLite keeps in memory. */
    for (uint64_t id = 3; id < 30000; id++) {
        snprintf(uidl, sizeof(uidl), "%d", (int)(id * 7919 % 30000));
        CHILD_MUST(add(f->store, id, uidl, 3));
    }
}

static void what_was_not_flushed_has_not_happened(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    int64_t value;
    killed_after(f, work_in_a_transaction);
    store_must_open(f);
    assert_loads(f->store, "a- b- ");
    load(f->store, &loaded);
    assert_true(loaded.last.exact_octets == STORE_OCTETS_UNKNOWN);
    assert_true(store_fact(f->store, "x", &value));
    assert_int_equal(value, 1);
    assert_int_equal(store_last_id(f->store), 2);
}

static void keep_before_the_row_is_there(struct fixture *f)
{
    CHILD_MUST(add(f->store, 3, "old", 3) && keep(f->store, 3, "abc"));
}

static void a_new_message_does_not_find_the_body_of_one_that_had_its_id(void **state)
{
    struct fixture *f = *state;
    killed_after(f, keep_before_the_row_is_there);
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    store_must_open(f);
    assert_int_equal(entries_count(bodies_folder(f)), 0);
    assert_true(add(f->store, 3, "new", 3));
    assert_false(is_kept(f->store, 3, 3));
}

static void keep_without_a_word(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    flush(f);
    CHILD_MUST(keep(f->store, 1, "four") && keep(f->store, 2, "five!"));
}

static void bodies_that_the_index_was_not_told_of_give_their_messages_their_sizes(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    killed_after(f, keep_without_a_word);
    store_must_open(f);
    assert_kept(f->store, 1, "four");
    assert_kept(f->store, 2, "five!");
    load(f->store, &loaded);
    assert_int_equal(loaded.last.exact_octets, 5);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM message WHERE pack > 0"), 2);
}

static void write_half(struct fixture *f)
{
    struct store_body *body;
    CHILD_MUST(store_body_new(f->store, &body, NULL) == FAULT_NONE);
    CHILD_MUST(store_body_append(body, SLICE_LITERAL("half"), NULL) == FAULT_NONE);
    CHILD_MUST(store_body_flush(body, NULL) == FAULT_NONE);
}

static void nothing_is_left_of_a_body_that_was_not_whole(void **state)
{
    struct fixture *f = *state;
    killed_after(f, write_half);
    assert_int_equal(entries_count(bodies_folder(f)), 0);
}

/* Too large for a pack. */
static struct slice large_body(char octet)
{
    static char bytes[100000];
    memset(bytes, octet, sizeof(bytes));
    return (struct slice){bytes, sizeof(bytes)};
}

static void replace_one(struct fixture *f)
{
    CHILD_MUST(keep_times(f->store, 1, large_body('b'), 2).descriptor >= 0);
}

static void of_two_bodies_for_one_message_the_newer_stays(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer bytes = {0};
    char older[400];
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3));
    close(keep_times(f->store, 1, large_body('a'), 1).descriptor);
    store_must_close(f);
    snprintf(older, sizeof(older), "%s", body_path(1, f));
    killed_after(f, replace_one);
    /* Killed a moment earlier it would have left both. */
    file_write(older, SLICE_LITERAL("old"));
    assert_int_equal(entries_count(bodies_folder(f)), 2);
    store_must_open(f);
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    file_read(body_path(1, f), &bytes);
    assert_int_equal(bytes.len, 200000);
}

static void strange_files_among_the_bodies_are_removed(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {
        "new-1",    "1",       "1.",         "1.0",          "1.1.1",    "x.1",
        "1.1x",     ".1",      "-1.1",       "1.4294967296", "pack",     "pack.1",
        "pack.0.0", "pack.1.", "pack.1.0.0", "pack.1.1x",    "pack.9.0", "pack.1.4294967296"};
    char path[500];
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && keep(f->store, 1, "one"));
    store_must_close(f);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", bodies_folder(f), names[i]);
        file_write(path, SLICE_LITERAL("bad"));
    }
    store_must_open(f);
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    assert_kept(f->store, 1, "one");
}

/* ---- after a power cut ---- */

static void keep_two_more(struct fixture *f)
{
    CHILD_MUST(add(f->store, 2, "b", 3) && add(f->store, 3, "c", 3));
    CHILD_MUST(keep(f->store, 2, "two") && keep(f->store, 3, "three"));
    flush(f);
}

static void begin_with_one(struct fixture *f)
{
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && keep(f->store, 1, "one"));
    store_must_close(f);
}

static void bodies_that_were_not_synced_are_dropped_and_those_that_were_stay(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    begin_with_one(f);
    killed_after(f, keep_two_more);
    assert_int_equal(truncate(pack_path(2, 0, f), 0), 0);
    cut_power(f);
    store_must_open(f);
    assert_kept(f->store, 1, "one");
    assert_false(is_kept(f->store, 2, 3) || is_kept(f->store, 2, 0));
    assert_false(is_kept(f->store, 3, 5));
    /* What was learned of them is true all the same. */
    load(f->store, &loaded);
    assert_int_equal(loaded.count, 3);
    assert_int_equal(loaded.last.exact_octets, 5);
}

static void without_a_power_cut_all_stay(void **state)
{
    struct fixture *f = *state;
    begin_with_one(f);
    killed_after(f, keep_two_more);
    store_must_open(f);
    assert_kept(f->store, 1, "one");
    assert_kept(f->store, 2, "two");
    assert_kept(f->store, 3, "three");
    /* And when this popfs has synced them, they outlive a power cut, too. */
    store_must_close(f);
    cut_power(f);
    store_must_open(f);
    assert_kept(f->store, 3, "three");
}

static void look(struct fixture *f)
{
    CHILD_MUST(is_kept(f->store, 2, 3));
}

static void look_at_one(struct fixture *f)
{
    CHILD_MUST(is_kept(f->store, 1, 3));
}

static void bodies_of_a_killed_popfs_stay_unsynced_through_the_next(void **state)
{
    struct fixture *f = *state;
    begin_with_one(f);
    killed_after(f, keep_two_more);
    killed_after(f, look);
    cut_power(f);
    store_must_open(f);
    assert_kept(f->store, 1, "one");
    assert_false(is_kept(f->store, 2, 3) || is_kept(f->store, 3, 5));
}

static size_t syncs_count;

int __real_disk_syncfs(int descriptor);
int __wrap_disk_syncfs(int descriptor);

int __wrap_disk_syncfs(int descriptor)
{
    syncs_count++;
    return __real_disk_syncfs(descriptor);
}

static void closing_syncs_what_this_popfs_has_kept_or_a_killed_one_has_left(void **state)
{
    struct fixture *f = *state;
    syncs_count = 0;
    begin_with_one(f);
    assert_int_equal(syncs_count, 1);
    store_must_open(f);
    assert_true(is_kept(f->store, 1, 3));
    store_must_close(f);
    assert_int_equal(syncs_count, 1);
    killed_after(f, look_at_one);
    store_must_open(f);
    store_must_close(f);
    assert_int_equal(syncs_count, 2);
}

static void fetch_again_without_a_word(struct fixture *f)
{
    store_body_remove(f->store, 1);
    CHILD_MUST(keep(f->store, 1, "one"));
}

static void a_body_that_was_fetched_again_does_not_pass_for_the_synced_one(void **state)
{
    struct fixture *f = *state;
    begin_with_one(f);
    killed_after(f, fetch_again_without_a_word);
    cut_power(f);
    store_must_open(f);
    assert_false(is_kept(f->store, 1, 3));
}

static void a_truncated_body_is_fetched_anew(void **state)
{
    struct fixture *f = *state;
    begin_with_one(f);
    assert_int_equal(truncate(pack_path(1, 0, f), 34), 0);
    cut_power(f);
    store_must_open(f);
    assert_false(is_kept(f->store, 1, 3));
    assert_true(keep(f->store, 1, "one"));
    assert_kept(f->store, 1, "one");
    store_must_reopen(f);
    assert_kept(f->store, 1, "one");
}

/* ---- an index that is no good ---- */

/* The name that it was given. */
static const char *aside(const struct fixture *f)
{
    static char name[300];
    const char *word = strstr(f->notice, "index.sqlite.unreadable-");
    assert_non_null(word);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, ","), word);
    return name;
}

static void note_and_keep(struct fixture *f)
{
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(keep(f->store, 1, "one") && note(f->store, "b", 3, true));
    store_must_reopen(f);
    assert_loads(f->store, "a- b+ ");
    store_must_close(f);
}

static void assert_begun_anew(struct fixture *f, const char *why)
{
    store_must_open(f);
    if (strstr(f->notice, why) == NULL)
        fail_msg("%s", f->notice);
    assert_int_equal(access(path_of(aside(f), f), F_OK), 0);
    assert_loads(f->store, "b+ ");
    assert_int_equal(entries_count(bodies_folder(f)), 0);
    assert_true(add(f->store, 2, "c", 3) && keep(f->store, 2, "two"));
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "b+ c- ");
    assert_kept(f->store, 2, "two");
    store_must_close(f);
}

static void an_index_that_is_a_text_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    file_write(path_of("index.sqlite", f), SLICE_LITERAL("Dear index,\nhow are you?\n"));
    assert_begun_anew(f, "not a database");
}

static void an_index_of_a_newer_popfs_is_set_aside_whole(void **state)
{
    struct fixture *f = *state;
    char name[300];
    note_and_keep(f);
    sql_run(f, "PRAGMA user_version = 3");
    store_must_open(f);
    assert_non_null(strstr(f->notice, "another version"));
    snprintf(name, sizeof(name), "%s", aside(f));
    store_must_close(f);
    assert_int_equal(rename(path_of(name, f), path_of("index.sqlite", f)), 0);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM message"), 2);
    assert_begun_anew(f, "another version");
}

static void a_database_of_another_program_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    sql_run(f, "PRAGMA application_id = 7");
    assert_begun_anew(f, "not one of popfs");
}

static void an_index_without_a_table_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    sql_run(f, "DROP TABLE fact");
    assert_begun_anew(f, "no such table");
}

static void an_index_without_its_state_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    sql_run(f, "DELETE FROM state");
    assert_begun_anew(f, "state is missing");
}

static void an_index_whose_state_would_lead_elsewhere_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    sql_run(f, "UPDATE state SET generation = '../../elsewhere'");
    assert_begun_anew(f, "makes no sense");
}

static void an_index_that_refuses_what_ours_takes_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    sql_run(f, "CREATE TRIGGER never BEFORE UPDATE ON state BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_begun_anew(f, "the index: no");
}

static void an_index_in_a_format_of_the_future_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    /* SQLite's header: the schema format, of which it knows four. */
    CLEANUP_CLOSE int file = open(path_of("index.sqlite", f), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(file, "\0\0\0\x09", 4, 44), 4);
    assert_begun_anew(f, "unsupported file format");
}

/* Of which SQLite 3.40 says that it has no memory. */
static void an_index_whose_schema_has_a_record_of_gigabytes_is_set_aside(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer bytes = {0};
    note_and_keep(f);
    file_read(path_of("index.sqlite", f), &bytes);
    /* The record's length, the lengths of its columns, and the first of these. */
    char *columns = memmem(bytes.data, bytes.len, "tablestatestate", 15);
    assert_non_null(columns);
    memset(columns - 15, 0xff, 24);
    file_write(path_of("index.sqlite", f), buffer_slice(&bytes));
    assert_begun_anew(f, "the index: ");
}

/* All but the first page. */
static void spoil(const struct fixture *f)
{
    struct stat stat;
    char junk[4096];
    memset(junk, 0x5a, sizeof(junk));
    int file = open(path_of("index.sqlite", f), O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &stat), 0);
    for (off_t at = sizeof(junk); at < stat.st_size; at += (off_t)sizeof(junk))
        assert_int_equal(pwrite(file, junk, sizeof(junk), at), sizeof(junk));
    close(file);
}

static void an_index_with_bad_pages_is_set_aside(void **state)
{
    struct fixture *f = *state;
    note_and_keep(f);
    spoil(f);
    assert_begun_anew(f, "malformed");
}

static void die(struct fixture *f)
{
    (void)f;
}

static void add_twenty_thousand(struct fixture *f)
{
    char uidl[16];
    for (uint64_t id = 1; id <= 20000; id++) {
        snprintf(uidl, sizeof(uidl), "%d", (int)id);
        CHILD_MUST(add(f->store, id, uidl, 3));
    }
    flush(f);
}

/* One page of the table, where no query of an opening looks. */
static void after_a_power_cut_damage_is_looked_for(void **state)
{
    struct fixture *f = *state;
    struct stat stat;
    const char junk[64] = {0x5a};
    killed_after(f, add_twenty_thousand);
    cut_power(f);
    store_must_open(f);
    assert_string_equal(f->notice, "");
    store_must_close(f);
    killed_after(f, die);
    cut_power(f);
    int file = open(path_of("index.sqlite", f), O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &stat), 0);
    assert_int_equal(pwrite(file, junk, sizeof(junk), stat.st_size / 8192 * 4096), sizeof(junk));
    close(file);
    store_must_open(f);
    assert_non_null(strstr(f->notice, "damaged"));
    assert_loads(f->store, "");
}

static void damage_that_is_found_later_is_a_fault_and_sets_the_index_aside(void **state)
{
    struct fixture *f = *state;
    struct failure failure = {0};
    killed_after(f, add_twenty_thousand);
    store_must_open(f);
    store_must_reopen(f);
    spoil(f);
    const struct store_message gone = message_of(10000, "10000", 3);
    assert_int_equal(store_forget(f->store, &gone, 1, &failure), FAULT_DISK);
    assert_non_null(strstr(failure.text, "malformed"));
    assert_true(note(f->store, "1", 3, true));
    store_must_close(f);
    assert_int_equal(access(path_of("index.sqlite", f), F_OK), -1);
    store_must_open(f);
    assert_loads(f->store, "1+ ");
}

static void bodies_of_another_index_are_never_served(void **state)
{
    struct fixture *f = *state;
    char folder[300], body[400];
    begin_with_one(f);
    snprintf(folder, sizeof(folder), "%s", path_of("bodies-0123456789abcdef", f));
    snprintf(body, sizeof(body), "%s/1.1", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    file_write(body, SLICE_LITERAL("her"));
    store_must_open(f);
    assert_int_equal(access(folder, F_OK), -1);
    assert_kept(f->store, 1, "one");
}

static void copy_file(const char *from, const char *to)
{
    CLEANUP_BUFFER struct buffer bytes = {0};
    file_read(from, &bytes);
    file_write(to, buffer_slice(&bytes));
}

static void bodies_that_are_younger_than_the_index_are_dropped(void **state)
{
    struct fixture *f = *state;
    begin_with_one(f);
    copy_file(path_of("index.sqlite", f), path_of("backup", f));
    store_must_open(f);
    assert_true(add(f->store, 2, "b", 3) && keep(f->store, 2, "two"));
    store_must_close(f);
    copy_file(path_of("backup", f), path_of("index.sqlite", f));
    store_must_open(f);
    assert_true(add(f->store, 2, "c", 3));
    assert_false(is_kept(f->store, 2, 3));
    assert_kept(f->store, 1, "one");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_closed, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_flushed_has_not_happened),
        TEST(a_new_message_does_not_find_the_body_of_one_that_had_its_id),
        TEST(bodies_that_the_index_was_not_told_of_give_their_messages_their_sizes),
        TEST(nothing_is_left_of_a_body_that_was_not_whole),
        TEST(of_two_bodies_for_one_message_the_newer_stays),
        TEST(strange_files_among_the_bodies_are_removed),
        TEST(bodies_that_were_not_synced_are_dropped_and_those_that_were_stay),
        TEST(without_a_power_cut_all_stay),
        TEST(bodies_of_a_killed_popfs_stay_unsynced_through_the_next),
        TEST(closing_syncs_what_this_popfs_has_kept_or_a_killed_one_has_left),
        TEST(a_body_that_was_fetched_again_does_not_pass_for_the_synced_one),
        TEST(a_truncated_body_is_fetched_anew),
        TEST(an_index_that_is_a_text_is_set_aside),
        TEST(an_index_of_a_newer_popfs_is_set_aside_whole),
        TEST(a_database_of_another_program_is_set_aside),
        TEST(an_index_without_a_table_is_set_aside),
        TEST(an_index_without_its_state_is_set_aside),
        TEST(an_index_whose_state_would_lead_elsewhere_is_set_aside),
        TEST(an_index_that_refuses_what_ours_takes_is_set_aside),
        TEST(an_index_in_a_format_of_the_future_is_set_aside),
        TEST(an_index_whose_schema_has_a_record_of_gigabytes_is_set_aside),
        TEST(an_index_with_bad_pages_is_set_aside),
        TEST(after_a_power_cut_damage_is_looked_for),
        TEST(damage_that_is_found_later_is_a_fault_and_sets_the_index_aside),
        TEST(bodies_of_another_index_are_never_served),
        TEST(bodies_that_are_younger_than_the_index_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
