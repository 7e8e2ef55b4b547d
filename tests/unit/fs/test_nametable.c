/* SPDX-License-Identifier: MIT */
#include "fake_sync.h"
#include "nametable.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { MANY = 20000, UIDL_OCTETS = 24 };

struct fixture {
    struct sync *sync;
    struct nametable table;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->sync = fake_sync_new();
    struct maildrop_row *rows = calloc(MANY, sizeof(*rows));
    char(*uidls)[UIDL_OCTETS] = calloc(MANY, UIDL_OCTETS);
    assert_non_null(rows);
    assert_non_null(uidls);
    for (size_t i = 0; i < MANY; i++) {
        /* Every seventh is a copy of the one before. */
        snprintf(uidls[i], UIDL_OCTETS, "uidl/%zu", i % 7 == 6 ? i - 1 : i);
        rows[i] = (struct maildrop_row){slice_from_string(uidls[i]), 100};
    }
    fake_sync_list(fixture->sync, rows, MANY);
    free(uidls);
    free(rows);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    nametable_done(&fixture->table);
    fake_sync_free(fixture->sync);
    free(fixture);
    return 0;
}

static struct maildrop_message *message_at(struct fixture *fixture, size_t position)
{
    return fake_sync_message(fixture->sync, position);
}

static uint32_t hash_of(const struct maildrop_message *message, struct name *ret_name)
{
    assert_true(
        name_encode(maildrop_message_uidl(message), maildrop_message_copy(message), ret_name));
    return nametable_hash(name_slice(ret_name));
}

static void add(struct fixture *fixture, size_t position)
{
    struct name name;
    struct maildrop_message *message = message_at(fixture, position);
    assert_true(nametable_add(&fixture->table, hash_of(message, &name), message));
}

static bool take_away(struct fixture *fixture, size_t position)
{
    struct name name;
    struct maildrop_message *message = message_at(fixture, position);
    return nametable_remove(&fixture->table, hash_of(message, &name), message);
}

static bool finds(struct fixture *fixture, size_t position)
{
    struct name name;
    struct maildrop_message *message = message_at(fixture, position);
    uint32_t hash = hash_of(message, &name);
    struct maildrop_message *found = nametable_find(&fixture->table, hash, name_slice(&name));
    bool right = found == message;
    assert_true(right || found == NULL);
    maildrop_message_unref(found);
    return right;
}

static void an_empty_table_finds_and_removes_nothing(void **state)
{
    struct fixture *fixture = *state;
    assert_false(finds(fixture, 0));
    assert_false(take_away(fixture, 0));
}

static void every_message_is_found_by_its_own_name_alone(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MANY; i++)
        add(fixture, i);
    assert_int_equal(fixture->table.count, MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_true(finds(fixture, i));
    struct slice other = SLICE_LITERAL("uidl%2Fx.eml");
    assert_null(nametable_find(&fixture->table, nametable_hash(other), other));
}

static void a_million_would_take_at_most_24_octets_each(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MANY; i++) {
        add(fixture, i);
        size_t octets = fixture->table.capacity * (sizeof(void *) + sizeof(uint32_t));
        if (i > 100)
            assert_true(octets <= (i + 1) * 24);
    }
}

static void adding_a_message_again_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 5);
    add(fixture, 5);
    assert_int_equal(fixture->table.count, 1);
    assert_true(take_away(fixture, 5));
    assert_false(finds(fixture, 5));
}

static void removing_some_keeps_the_others_findable(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MANY; i++)
        add(fixture, i);
    for (size_t i = 0; i < MANY; i++)
        if (i % 3 != 0)
            assert_true(take_away(fixture, i));
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(finds(fixture, i), i % 3 == 0);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(take_away(fixture, i), i % 3 == 0);
    assert_int_equal(fixture->table.count, 0);
}

/* Equal hashes: the worst that a table can be given. */
static void colliding_messages_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t hash = UINT32_MAX;
    for (size_t i = 0; i < 40; i++)
        assert_true(nametable_add(&fixture->table, hash, message_at(fixture, i)));
    for (size_t i = 0; i < 40; i += 2)
        assert_true(nametable_remove(&fixture->table, hash, message_at(fixture, i)));
    for (size_t i = 0; i < 40; i++) {
        struct name name;
        (void)hash_of(message_at(fixture, i), &name);
        struct maildrop_message *found = nametable_find(&fixture->table, hash, name_slice(&name));
        assert_ptr_equal(found, i % 2 == 0 ? NULL : message_at(fixture, i));
        maildrop_message_unref(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_table_finds_and_removes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_message_is_found_by_its_own_name_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_million_would_take_at_most_24_octets_each, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(adding_a_message_again_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removing_some_keeps_the_others_findable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colliding_messages_are_told_apart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
