/* SPDX-License-Identifier: MIT */
/* What belongs to another user is none of ours. Needs root, who alone can give a file away. */
#include "fixture.h"

enum { ANOTHER_USER = 12345 };

static void a_folder_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;
    store_must_close(f);
    assert_int_equal(chown(f->folder, ANOTHER_USER, 0), 0);
    store_must_refuse(f, "/a/b belongs to another user");
    assert_int_equal(chown(f->folder, 0, 0), 0);
    assert_int_equal(chown(path_of("", f), ANOTHER_USER, 0), 0);
    store_must_refuse(f, "belongs to another user");
}

static void a_link_of_another_user_is_not_followed(void **state)
{
    struct fixture *f = *state;
    char link[90];
    snprintf(link, sizeof(link), "%s/link", f->base);
    assert_int_equal(symlink(f->folder, link), 0);
    store_must_close(f);
    f->options.folder = link;
    assert_int_equal(lchown(link, ANOTHER_USER, ANOTHER_USER), 0);
    store_must_refuse(f, "link");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_of_another_user_is_refused),
        TEST(a_link_of_another_user_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
