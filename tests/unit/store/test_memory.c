/* SPDX-License-Identifier: MIT */
/* Want of memory in SQLite, at each allocation in turn: it costs no good index, and no body. */
#include "fixture.h"

#include <sqlite3.h>

enum { ALLOCATIONS_MAX = 20000 };

static sqlite3_mem_methods allocator;

static struct {
    bool counts;
    bool all_that_follow;
    unsigned left; /* allocations until the one that fails */
    unsigned failed_count;
} failing;

static bool may_allocate(void)
{
    if (!failing.counts)
        return true;
    if (failing.left > 0) {
        failing.left--;
        return true;
    }
    if (failing.failed_count > 0 && !failing.all_that_follow)
        return true;
    failing.failed_count++;
    return false;
}

static void *failing_malloc(int octets)
{
    return may_allocate() ? allocator.xMalloc(octets) : NULL;
}

static void *failing_realloc(void *memory, int octets)
{
    return may_allocate() ? allocator.xRealloc(memory, octets) : NULL;
}

/* Before the store asks anything of SQLite. */
static int put_in_place(void **state)
{
    (void)state;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &allocator) != SQLITE_OK)
        return -1;
    sqlite3_mem_methods methods = allocator;
    methods.xMalloc = failing_malloc;
    methods.xRealloc = failing_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK ? 0 : -1;
}

/* False if the store did not open; if it did, all is there. */
static bool opens(struct fixture *f)
{
    failing.failed_count = 0;
    failing.counts = true;
    enum fault fault = open_and_begin(f, &f->store, NULL);
    failing.counts = false;
    if (fault != FAULT_NONE) {
        f->store = NULL;
        assert_true(failing.failed_count > 0);
        /* SQLite also calls it a fault of the disk. */
        assert_true(fault == FAULT_MEMORY || fault == FAULT_DISK);
        return false;
    }
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "a- b+ ");
    assert_kept(f->store, 1, "one");
    store_must_close(f);
    return true;
}

static void opens_or_fails_at_each_allocation(struct fixture *f, bool all_that_follow)
{
    failing.all_that_follow = all_that_follow;
    unsigned nth = 0, refused_count = 0;
    do {
        assert_true(nth < ALLOCATIONS_MAX);
        failing.left = nth++;
        refused_count += !opens(f);
    } while (failing.failed_count > 0);
    assert_true(refused_count > 0);
}

static void want_of_memory_costs_no_index(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(keep(f->store, 1, "one") && note(f->store, "b", 3, true));
    store_must_close(f);
    opens_or_fails_at_each_allocation(f, false);
    opens_or_fails_at_each_allocation(f, true);
    store_must_open(f);
    assert_loads(f->store, "a- b+ ");
    assert_kept(f->store, 1, "one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(want_of_memory_costs_no_index, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, put_in_place, NULL);
}
