/* SPDX-License-Identifier: MIT */
/* What options, source and environment together come to, and what contradicts itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account.h"

struct fixture {
    char home[64], mountpoint[80];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->home, "/tmp/popfs-account-XXXXXX");
    assert_non_null(mkdtemp(fixture->home));
    snprintf(fixture->mountpoint, sizeof(fixture->mountpoint), "%s/mail", fixture->home);
    assert_int_equal(mkdir(fixture->mountpoint, 0700), 0);
    setenv("HOME", fixture->home, 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("XDG_STATE_HOME");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", fixture->home);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static enum fault resolve(const char *source, const char *mountpoint, const char *list,
                          struct account *account, struct failure *failure)
{
    char *argv[] = {strdup("popfs"), strdup(source), strdup(mountpoint),
                    strdup("-o"),    strdup(list),   NULL};
    struct options options;
    assert_int_equal(options_parse(5, argv, &options, failure), FAULT_NONE);
    enum fault fault = account_resolve(&options, account, failure);
    options_done(&options);
    for (int i = 0; i < 5; i++)
        free(argv[i]);
    return fault;
}

static struct account expect_fine(const struct fixture *fixture, const char *source,
                                  const char *list)
{
    struct account account;
    struct failure failure = {0};
    if (resolve(source, fixture->mountpoint, list, &account, &failure) != FAULT_NONE)
        fail_msg("%s", failure.text);
    return account;
}

static void expect_failure(const char *source, const char *mountpoint, const char *list,
                           enum fault fault, const char *because)
{
    struct account account;
    struct failure failure = {0};
    assert_int_equal(resolve(source, mountpoint, list, &account, &failure), fault);
    if (strstr(failure.text, because) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", failure.text, because);
    account_done(&account);
}

static void scheme_and_options_choose_tls_and_port(void **state)
{
    static const struct {
        const char *source, *list;
        enum sync_tls tls;
        uint16_t port;
    } cases[] = {
        {"pops://a@h", "rw", SYNC_TLS_ON, 995},
        {"pop3://a@h", "rw", SYNC_TLS_STARTTLS, 110},
        {"pop3://a@h", "tls=off", SYNC_TLS_OFF, 110},
        {"pop3://a@h", "tls=on", SYNC_TLS_ON, 995},
        {"pops://a@h:7", "tls=starttls", SYNC_TLS_STARTTLS, 7},
        {"pops://a@h:7", "port=8", SYNC_TLS_ON, 8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct account account = expect_fine(*state, cases[i].source, cases[i].list);
        assert_int_equal(account.tls, cases[i].tls);
        assert_int_equal(account.port, cases[i].port);
        account_done(&account);
    }
}

static void the_user_comes_from_the_option_then_the_source_then_netrc(void **state)
{
    const struct fixture *fixture = *state;
    char netrc[96];
    snprintf(netrc, sizeof(netrc), "%s/.netrc", fixture->home);
    FILE *file = fopen(netrc, "w");
    assert_non_null(file);
    fputs("machine h login carol password x\n", file);
    fclose(file);
    struct account account = expect_fine(fixture, "pops://bob@h", "user=alice");
    assert_string_equal(account.user, "alice");
    account_done(&account);
    account = expect_fine(fixture, "pops://bob@h", "rw");
    assert_string_equal(account.user, "bob");
    account_done(&account);
    account = expect_fine(fixture, "pops://h", "rw");
    assert_string_equal(account.user, "carol");
    account_done(&account);
    expect_failure("pops://i", fixture->mountpoint, "rw", FAULT_REFUSED, "no user");
    expect_failure("pops://i", fixture->mountpoint, "user=a\nb", FAULT_REFUSED, "control");
}

static void the_account_has_a_name_for_mount(void **state)
{
    struct account account = expect_fine(*state, "pops://a%40b@h", "rw");
    assert_string_equal(account.shown, "a@b@h:995");
    account_done(&account);
    account = expect_fine(*state, "pop3://a@[::1]", "rw");
    assert_string_equal(account.shown, "a@[::1]:110");
    assert_string_equal(account.host, "::1");
    account_done(&account);
}

static void checks_without_tls_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    expect_failure("pop3://a@h", fixture->mountpoint, "tls=off,pin=sha256//x", FAULT_REFUSED,
                   "tls=off");
    expect_failure("pop3://a@h", fixture->mountpoint, "tls=off,cafile=/x", FAULT_REFUSED,
                   "tls=off");
    expect_failure("pop3://a@h", fixture->mountpoint, "tls=off,cert=/x", FAULT_REFUSED, "tls=off");
}

static void a_login_by_certificate_needs_one_and_no_password(void **state)
{
    const struct fixture *fixture = *state;
    struct account account = expect_fine(fixture, "pops://a@h", "auth=external,cert=/x");
    assert_false(account.needs_password);
    account_done(&account);
    account = expect_fine(fixture, "pops://a@h", "cert=/x");
    assert_true(account.needs_password);
    account_done(&account);
    account = expect_fine(fixture, "pops://a@h", "auth=xoauth2");
    assert_true(account.needs_password);
    account_done(&account);
    expect_failure("pops://a@h", fixture->mountpoint, "auth=external", FAULT_REFUSED, "cert=");
    expect_failure("pop3://a@h", fixture->mountpoint, "auth=external,tls=off", FAULT_REFUSED,
                   "TLS");
}

static void the_mountpoint_must_be_a_folder(void **state)
{
    const struct fixture *fixture = *state;
    char missing[96];
    snprintf(missing, sizeof(missing), "%s/no", fixture->home);
    expect_failure("pops://a@h", missing, "rw", FAULT_OFFLINE, "mkdir");
    expect_failure("pops://a@h", "/dev/null", "rw", FAULT_OFFLINE, "not a folder");
}

static void a_descriptor_from_mount_fuse3_is_left_as_it_is(void **state)
{
    (void)state;
    struct account account;
    struct failure failure = {0};
    assert_int_equal(resolve("pops://a@h", "/dev/fd/77", "rw", &account, &failure), FAULT_NONE);
    assert_string_equal(account.mountpoint, "/dev/fd/77");
    account_done(&account);
}

static void the_cache_and_the_mountpoint_do_not_contain_each_other(void **state)
{
    const struct fixture *fixture = *state;
    char list[128];
    struct account account = expect_fine(fixture, "pops://a@h", "rw");
    snprintf(list, sizeof(list), "%s/.cache/popfs", fixture->home);
    assert_string_equal(account.cache, list);
    account_done(&account);
    snprintf(list, sizeof(list), "cache=%s/cache", fixture->mountpoint);
    expect_failure("pops://a@h", fixture->mountpoint, list, FAULT_REFUSED, "inside each other");
    snprintf(list, sizeof(list), "cache=%s", fixture->home);
    expect_failure("pops://a@h", fixture->mountpoint, list, FAULT_REFUSED, "inside each other");
    snprintf(list, sizeof(list), "cache=%s/mail-cache", fixture->home);
    account = expect_fine(fixture, "pops://a@h", list);
    account_done(&account);
}

static void the_state_lies_neither_in_the_mountpoint_nor_in_the_cache(void **state)
{
    const struct fixture *fixture = *state;
    char list[256];
    struct account account = expect_fine(fixture, "pops://a@h", "rw");
    snprintf(list, sizeof(list), "%s/.local/state/popfs", fixture->home);
    assert_string_equal(account.state, list);
    account_done(&account);
    account = expect_fine(fixture, "pops://a@h", "state=off");
    assert_null(account.state);
    account_done(&account);
    snprintf(list, sizeof(list), "state=%s/state", fixture->mountpoint);
    expect_failure("pops://a@h", fixture->mountpoint, list, FAULT_REFUSED, "inside each other");
    snprintf(list, sizeof(list), "state=%s", fixture->home);
    expect_failure("pops://a@h", fixture->mountpoint, list, FAULT_REFUSED, "inside each other");
    snprintf(list, sizeof(list), "cache=%s/c,state=%s/c", fixture->home, fixture->home);
    expect_failure("pops://a@h", fixture->mountpoint, list, FAULT_REFUSED, "in the cache folder");
    snprintf(list, sizeof(list), "cache=%s/c,state=%s/c/s", fixture->home, fixture->home);
    expect_failure("pops://a@h", fixture->mountpoint, list, FAULT_REFUSED, "in the cache folder");
    snprintf(list, sizeof(list), "cache=%s/s/c,state=%s/s", fixture->home, fixture->home);
    account = expect_fine(fixture, "pops://a@h", list);
    account_done(&account);
}

static void without_a_home_somebody_who_is_not_root_is_asked_for_a_state(void **state)
{
    const struct fixture *fixture = *state;
    struct account account;
    struct failure failure = {0};
    unsetenv("HOME");
    enum fault fault = resolve("pops://a@h", fixture->mountpoint, "rw", &account, &failure);
    if (getuid() == 0) {
        assert_string_equal(account.state, "/var/lib/popfs");
    } else {
        assert_int_equal(fault, FAULT_REFUSED);
        assert_non_null(strstr(failure.text, "-o state=FOLDER, or state=off"));
    }
    account_done(&account);
    account = expect_fine(fixture, "pops://a@h", "state=off");
    account_done(&account);
    account = expect_fine(fixture, "pops://a@h", "ro");
    account_done(&account);
    setenv("HOME", fixture->home, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scheme_and_options_choose_tls_and_port),
        TEST(the_user_comes_from_the_option_then_the_source_then_netrc),
        TEST(the_account_has_a_name_for_mount),
        TEST(checks_without_tls_are_refused),
        TEST(a_login_by_certificate_needs_one_and_no_password),
        TEST(the_mountpoint_must_be_a_folder),
        TEST(a_descriptor_from_mount_fuse3_is_left_as_it_is),
        TEST(the_cache_and_the_mountpoint_do_not_contain_each_other),
        TEST(the_state_lies_neither_in_the_mountpoint_nor_in_the_cache),
        TEST(without_a_home_somebody_who_is_not_root_is_asked_for_a_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
