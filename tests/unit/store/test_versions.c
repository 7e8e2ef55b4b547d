/* SPDX-License-Identifier: MIT */
/*
 * Stores that a release of popfs has left are opened as they are: stores/VERSION.tar.gz, each made
 * by a true build of that version, which was then killed. 0.1.0 wrote the same octets as 0.1.1.
 *
 * They hold: message 1 "one" (10 octets listed, a small body, date, sender and subject, and a wish
 * that only the journal knows), 2 "two" (a body in a file of its own, an empty header), 3 "three"
 * (going, in the index as well), 4 "four" (going in the index, taken back in the journal); id 9 was
 * given to a message that has left; the journal has a wish for "un known", which has no row.
 */
#include "fixture.h"

#include <stdlib.h>

static void unpack(const struct fixture *f, const char *version)
{
    char command[600];
    snprintf(command, sizeof(command), "mkdir -p '%s' && tar -C '%s' -xzf '" STORES "/%s.tar.gz'",
             f->folder, f->folder, version);
    assert_int_equal(system(command), 0);
}

static bool look(void *context, const struct store_removal *removal)
{
    char *uidls = context;
    size_t len = strlen(uidls);
    assert_true(removal->going);
    assert_false(evidence_is_known(&removal->evidence));
    snprintf(uidls + len, 100 - len, "%.*s:%d ", (int)removal->uidl.len, removal->uidl.data,
             (int)removal->listed_octets);
    return true;
}

static void check_messages(struct fixture *f)
{
    struct loaded loaded;
    struct store_summary summary;
    int64_t value;
    char uidls[100] = "";
    assert_loads(f->store, "one+ two- three+ four- un known+ ");
    assert_int_equal(store_load_removals(f->store, look, uidls, NULL), FAULT_NONE);
    assert_string_equal(uidls, "three:30 one:10 un known:60 ");
    load(f->store, &loaded);
    assert_int_equal(loaded.last.id, 10);
    assert_int_equal(store_last_id(f->store), 10);
    store_summary(f->store, 1, &summary);
    assert_string_equal(summary.from, "Jan Nov\xc3\xa1k");
    assert_string_equal(summary.subject, "Offer");
    assert_true(store_fact(f->store, "list-truths", &value));
    assert_int_equal(value, 3);
}

static void check_bodies(struct fixture *f)
{
    struct extent extent = EXTENT_NONE;
    assert_kept(f->store, 1, "body of one\r\n");
    assert_int_equal(body_open(f->store, 2, 200000, &extent), FAULT_NONE);
    assert_reads(extent, SLICE_LITERAL("twenty octets, twice"), 10000);
    close(extent.descriptor);
}

static void check_rows(const struct fixture *f)
{
    assert_int_equal(sql_number(f, "PRAGMA user_version"), 2);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM message WHERE id <= 4 AND"
                                   " listed = 10 * id AND first_seen = 1700000000000000000 + id"),
                     4);
    assert_int_equal(sql_number(f, "SELECT exact * 10000 + time FROM message WHERE id = 1"),
                     131234);
    assert_int_equal(sql_number(f, "SELECT exact * 10000 + time FROM message WHERE id = 2"),
                     2000005678);
    /* The texts of a header that an earlier version kept are not whole. */
    assert_int_equal(sql_number(f, "SELECT count(*) FROM header WHERE author IS NULL"), 2);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM sqlite_master WHERE name = 'message_1'"),
                     0);
}

static void a_store_of_popfs_0_1_1_is_taken_over_whole(void **state)
{
    struct fixture *f = *state;
    unpack(f, "0.1.1");
    store_must_open(f);
    assert_string_equal(f->notice, "");
    check_messages(f);
    check_bodies(f);
    store_must_close(f);
    check_rows(f);
    store_must_open(f);
    assert_string_equal(f->notice, "");
    check_messages(f);
    check_bodies(f);
}

static bool count_removal(void *context, const struct store_removal *removal)
{
    assert_false(evidence_is_known(&removal->evidence));
    ++*(int *)context;
    return true;
}

/* The folder was that of mounts with and without TLS. */
static void of_what_may_have_come_without_tls_only_messages_and_wishes_are_taken_over(void **state)
{
    struct fixture *f = *state;
    struct store_summary summary;
    int64_t value;
    int count = 0;
    unpack(f, "0.1.1");
    f->options.doubts_old = true;
    store_must_open(f);
    assert_non_null(strstr(f->notice, "without TLS"));
    assert_loads(f->store, "one+ two- three+ four- un known+ ");
    assert_int_equal(store_load_removals(f->store, count_removal, &count, NULL), FAULT_NONE);
    assert_int_equal(count, 3);
    assert_int_equal(store_last_id(f->store), 10);
    assert_false(is_kept(f->store, 1, 13) || is_kept(f->store, 2, 200000));
    store_summary(f->store, 1, &summary);
    assert_string_equal(summary.subject, "");
    assert_false(store_fact(f->store, "list-truths", &value));
    store_must_close(f);
    assert_int_equal(entries_count(bodies_folder(f)), 0);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM message WHERE id <= 4 AND listed = 10 * id"
                                   " AND first_seen = 1700000000000000000 + id AND exact IS NULL"
                                   " AND time IS NULL AND pack IS NULL AND used IS NULL"),
                     4);
    /* What is learnt from now on stays. */
    store_must_open(f);
    assert_string_equal(f->notice, "");
    assert_true(keep(f->store, 1, "it came again"));
    store_must_reopen(f);
    assert_kept(f->store, 1, "it came again");
}

static void the_first_mount_without_tls_takes_over_the_folder_that_both_kinds_had(void **state)
{
    struct fixture *f = *state;
    unpack(f, "0.1.1");
    f->options.clear = true;
    for (int opening = 0; opening < 2; opening++) {
        store_must_open(f);
        assert_string_equal(f->notice, "");
        check_messages(f);
        check_bodies(f);
        store_must_close(f);
    }
    f->options.clear = false;
    store_must_open(f);
    assert_loads(f->store, "");
    store_must_close(f);
    /* The folder of a mount with TLS is not for mounts without it. */
    char command[600];
    snprintf(command, sizeof(command), "rm -r '%s/alice@host:995+clear'", f->folder);
    assert_int_equal(system(command), 0);
    f->options.clear = true;
    store_must_open(f);
    assert_loads(f->store, "three+ one+ un known+ "); /* the state has the wishes */
    snprintf(command, sizeof(command), "test -d '%s/alice@host:995'", f->folder);
    assert_int_equal(system(command), 0);
}

static void open_and_look(struct fixture *f)
{
    struct loaded loaded;
    load(f->store, &loaded);
    CHILD_MUST(loaded.count == 5);
}

static void a_kill_after_the_migration_loses_nothing(void **state)
{
    struct fixture *f = *state;
    unpack(f, "0.1.1");
    killed_after(f, open_and_look);
    store_must_open(f);
    check_messages(f);
    check_bodies(f);
}

static void without_a_state_what_was_going_waits_for_a_mount_with_one(void **state)
{
    struct fixture *f = *state;
    unpack(f, "0.1.1");
    f->options.state_folder = NULL;
    for (int i = 0; i < 2; i++) {
        store_must_open(f);
        assert_string_equal(f->notice, "");
        assert_loads(f->store, "one- two- three- four- ");
        store_must_close(f);
    }
    f->options.state_folder = f->state_folder;
    store_must_open(f);
    assert_string_equal(f->notice, "");
    check_messages(f);
}

static void an_index_of_a_later_version_is_set_aside(void **state)
{
    struct fixture *f = *state;
    unpack(f, "0.1.1");
    sql_run(f, "PRAGMA user_version = 3");
    store_must_open(f);
    assert_non_null(strstr(f->notice, "another version"));
    /* Wishes alone outlive the index. */
    assert_loads(f->store, "three+ one+ un known+ ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_of_popfs_0_1_1_is_taken_over_whole, set_up_closed,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            of_what_may_have_come_without_tls_only_messages_and_wishes_are_taken_over,
            set_up_closed, tear_down),
        cmocka_unit_test_setup_teardown(
            the_first_mount_without_tls_takes_over_the_folder_that_both_kinds_had, set_up_closed,
            tear_down),
        cmocka_unit_test_setup_teardown(a_kill_after_the_migration_loses_nothing, set_up_closed,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_state_what_was_going_waits_for_a_mount_with_one,
                                        set_up_closed, tear_down),
        cmocka_unit_test_setup_teardown(an_index_of_a_later_version_is_set_aside, set_up_closed,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
