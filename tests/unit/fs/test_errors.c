/* SPDX-License-Identifier: MIT */
#include "errors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

static void each_fault_has_the_errno_that_the_contract_names(void **state)
{
    (void)state;
    assert_int_equal(errno_from_fault(FAULT_NONE), 0);
    assert_int_equal(errno_from_fault(FAULT_GONE), ENOENT);
    assert_int_equal(errno_from_fault(FAULT_REFUSED), EIO);
    assert_int_equal(errno_from_fault(FAULT_CANCELED), EINTR);
    assert_int_equal(errno_from_fault(FAULT_BUSY), EBUSY);
    assert_int_equal(errno_from_fault(FAULT_GARBLED), EIO);
    assert_int_equal(errno_from_fault(FAULT_TIMEOUT), ETIMEDOUT);
    assert_int_equal(errno_from_fault(FAULT_OFFLINE), EIO);
    assert_int_equal(errno_from_fault(FAULT_LOGIN), EACCES);
    assert_int_equal(errno_from_fault(FAULT_UNTRUSTED), EACCES);
    assert_int_equal(errno_from_fault(FAULT_DISK), EIO);
    assert_int_equal(errno_from_fault(FAULT_FULL), ENOSPC);
    assert_int_equal(errno_from_fault(FAULT_MEMORY), ENOMEM);
}

static void a_refused_removal_is_not_permitted_or_read_only(void **state)
{
    (void)state;
    assert_int_equal(errno_from_fault_of_removal(FAULT_REFUSED, false), EPERM);
    assert_int_equal(errno_from_fault_of_removal(FAULT_REFUSED, true), EROFS);
}

static void a_removal_that_is_being_committed_cannot_be_taken_back(void **state)
{
    (void)state;
    assert_int_equal(errno_from_fault_of_removal(FAULT_BUSY, false), EINPROGRESS);
}

static void a_removal_that_cannot_be_noted_lacks_space_and_a_second_one_finds_nothing(void **state)
{
    (void)state;
    assert_int_equal(errno_from_fault_of_removal(FAULT_DISK, false), ENOSPC);
    assert_int_equal(errno_from_fault_of_removal(FAULT_GONE, false), ENOENT);
    assert_int_equal(errno_from_fault_of_removal(FAULT_NONE, false), 0);
}

static void a_replacement_is_refused_whatever_becomes_of_the_removal(void **state)
{
    (void)state;
    assert_int_equal(errno_from_fault_of_replacement(FAULT_NONE), EPERM);
    assert_int_equal(errno_from_fault_of_replacement(FAULT_GONE), EPERM);
    assert_int_equal(errno_from_fault_of_replacement(FAULT_REFUSED), EPERM);
    assert_int_equal(errno_from_fault_of_replacement(FAULT_BUSY), EBUSY);
    assert_int_equal(errno_from_fault_of_replacement(FAULT_DISK), ENOSPC);
    assert_int_equal(errno_from_fault_of_replacement(FAULT_MEMORY), ENOMEM);
    assert_int_equal(errno_from_fault_of_replacement(FAULT_CANCELED), EINTR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_has_the_errno_that_the_contract_names),
        cmocka_unit_test(a_refused_removal_is_not_permitted_or_read_only),
        cmocka_unit_test(a_removal_that_is_being_committed_cannot_be_taken_back),
        cmocka_unit_test(a_removal_that_cannot_be_noted_lacks_space_and_a_second_one_finds_nothing),
        cmocka_unit_test(a_replacement_is_refused_whatever_becomes_of_the_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
