/* SPDX-License-Identifier: MIT */
#include "fake_sync.h"
#include "inode.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { MANY = 5000, UIDL_OCTETS = 16 };

struct fixture {
    struct sync *sync;
    struct inodes inodes;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->sync = fake_sync_new();
    static struct maildrop_row rows[MANY];
    static char uidls[MANY][UIDL_OCTETS];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(uidls[i], UIDL_OCTETS, "%zu", i);
        rows[i] = (struct maildrop_row){slice_from_string(uidls[i]), 100};
    }
    fake_sync_list(fixture->sync, rows, MANY);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    inodes_done(&fixture->inodes);
    fake_sync_free(fixture->sync);
    free(fixture);
    return 0;
}

static struct maildrop_message *message_at(struct fixture *fixture, size_t position)
{
    return fake_sync_message(fixture->sync, position);
}

static bool knows(struct fixture *fixture, size_t position)
{
    struct maildrop_message *message = message_at(fixture, position);
    struct maildrop_message *found = inodes_find(&fixture->inodes, inode_of_message(message));
    assert_true(found == NULL || found == message);
    return found != NULL;
}

static void inode_numbers_rise_in_listing_order_above_the_virtual_ones(void **state)
{
    struct fixture *fixture = *state;
    uint64_t last = INODE_MESSAGE_FIRST;
    for (size_t i = 0; i < MANY; i++) {
        uint64_t ino = inode_of_message(message_at(fixture, i));
        assert_true(ino > last);
        assert_true(inode_is_message(ino));
        last = ino;
    }
    assert_false(inode_is_message(INODE_MESSAGE_FIRST));
    assert_false(inode_is_message(1));
}

static void nothing_is_known_before_it_is_looked_up(void **state)
{
    struct fixture *fixture = *state;
    assert_false(knows(fixture, 0));
    inodes_forget(&fixture->inodes, inode_of_message(message_at(fixture, 0)), 1);
    assert_int_equal(fixture->inodes.count, 0);
}

static void an_inode_lives_until_every_look_up_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct maildrop_message *message = message_at(fixture, 7);
    for (int i = 0; i < 3; i++)
        assert_true(inodes_remember(&fixture->inodes, message));
    inodes_forget(&fixture->inodes, inode_of_message(message), 2);
    assert_true(knows(fixture, 7));
    inodes_forget(&fixture->inodes, inode_of_message(message), 1);
    assert_false(knows(fixture, 7));
}

static void a_message_that_vanished_stays_while_the_kernel_holds_it(void **state)
{
    struct fixture *fixture = *state;
    struct maildrop_message *message = message_at(fixture, 0);
    uint64_t ino = inode_of_message(message);
    assert_true(inodes_remember(&fixture->inodes, message));
    fake_sync_list(fixture->sync, NULL, 0);
    assert_ptr_equal(inodes_find(&fixture->inodes, ino), message);
    assert_true(maildrop_message_is_gone(message));
}

static void many_are_remembered_and_forgotten_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MANY; i++)
        assert_true(inodes_remember(&fixture->inodes, message_at(fixture, i)));
    assert_int_equal(fixture->inodes.count, MANY);
    for (size_t i = 0; i < MANY; i++)
        if (i % 5 != 0)
            inodes_forget(&fixture->inodes, inode_of_message(message_at(fixture, i)), 1);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(knows(fixture, i), i % 5 == 0);
}

static void the_table_shrinks_when_the_kernel_forgets(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MANY; i++)
        assert_true(inodes_remember(&fixture->inodes, message_at(fixture, i)));
    size_t full = fixture->inodes.capacity;
    for (size_t i = MANY; i > 1; i--)
        inodes_forget(&fixture->inodes, inode_of_message(message_at(fixture, i - 1)), 1);
    assert_true(fixture->inodes.capacity < full / 16);
    assert_true(knows(fixture, 0));
}

static void room_that_was_made_is_enough(void **state)
{
    struct fixture *fixture = *state;
    assert_true(inodes_remember(&fixture->inodes, message_at(fixture, 3)));
    inodes_reserve(&fixture->inodes, MANY);
    size_t reserved = fixture->inodes.capacity;
    for (size_t i = 0; i < MANY; i++)
        assert_true(inodes_remember(&fixture->inodes, message_at(fixture, i)));
    assert_int_equal(fixture->inodes.capacity, reserved);
    inodes_reserve(&fixture->inodes, 1);
    assert_int_equal(fixture->inodes.capacity, reserved);
    for (size_t i = 0; i < MANY; i++)
        assert_true(knows(fixture, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(inode_numbers_rise_in_listing_order_above_the_virtual_ones,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(room_that_was_made_is_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_known_before_it_is_looked_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_inode_lives_until_every_look_up_is_forgotten, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_message_that_vanished_stays_while_the_kernel_holds_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_remembered_and_forgotten_in_any_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_table_shrinks_when_the_kernel_forgets, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
