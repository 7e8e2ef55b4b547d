/* SPDX-License-Identifier: MIT */
/* The command line: order, escapes, what is known, ignored, handed on and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

enum { WORDS_MAX = 16 };

/* Parses the words up to the NULL. */
static enum fault parse(const char *const *words, struct options *options, struct failure *failure)
{
    char *argv[WORDS_MAX + 2] = {strdup("popfs")};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        assert_true(argc <= WORDS_MAX);
        argv[argc] = strdup(words[argc - 1]);
    }
    enum fault fault = options_parse(argc, argv, options, failure);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return fault;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct options expect_fine(const char *const *words)
{
    struct options options;
    struct failure failure = {0};
    if (parse(words, &options, &failure) != FAULT_NONE)
        fail_msg("%s", failure.text);
    return options;
}

static void expect_refused(const char *const *words, const char *message)
{
    struct options options;
    struct failure failure = {0};
    assert_int_equal(parse(words, &options, &failure), FAULT_REFUSED);
    assert_string_equal(failure.text, message);
    options_done(&options);
}

/* One -o list, with operands. */
static struct options expect_list(const char *list)
{
    return expect_fine(WORDS("pops://h", "/mnt", "-o", list));
}

static void expect_list_refused(const char *list, const char *message)
{
    expect_refused(WORDS("pops://h", "/mnt", "-o", list), message);
}

static void expect_kernel(const char *list, const char *words)
{
    struct options options = expect_list(list);
    assert_int_equal(options.kernel.len, strlen(words));
    if (*words != '\0')
        assert_memory_equal(options.kernel.data, words, options.kernel.len);
    options_done(&options);
}

static void operands_and_options_stand_in_any_order(void **state)
{
    (void)state;
    const char *const *orders[] = {
        WORDS("-o", "port=1", "pops://h", "/mnt"),  WORDS("pops://h", "/mnt", "-oport=1"),
        WORDS("pops://h", "-o", "port=1", "/mnt"),  WORDS("-oport=1", "--", "pops://h", "/mnt"),
        WORDS("-so", "port=1", "pops://h", "/mnt"),
    };
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct options options = expect_fine(orders[i]);
        assert_string_equal(options.source, "pops://h");
        assert_string_equal(options.mountpoint, "/mnt");
        assert_int_equal(options.port, 1);
        assert_false(options.foreground);
        options_done(&options);
    }
}

static void the_order_is_free_also_for_posixly_correct(void **state)
{
    (void)state;
    setenv("POSIXLY_CORRECT", "1", 1);
    struct options options = expect_fine(WORDS("pops://h", "/mnt", "-o", "port=1"));
    unsetenv("POSIXLY_CORRECT");
    assert_int_equal(options.port, 1);
    options_done(&options);
}

static void letters_are_those_of_every_fuse_program(void **state)
{
    (void)state;
    struct options options = expect_fine(WORDS("-d", "pops://h", "/mnt"));
    assert_true(options.debug);
    assert_true(options.foreground);
    options_done(&options);
    options = expect_fine(WORDS("-fs", "pops://h", "/mnt"));
    assert_true(options.foreground);
    assert_false(options.debug);
    options_done(&options);
    options = expect_fine(WORDS("-h"));
    assert_true(options.help);
    options_done(&options);
    options = expect_fine(WORDS("--version"));
    assert_true(options.version);
    options_done(&options);
    expect_refused(WORDS("-x", "pops://h", "/mnt"), "unknown option '-x' (popfs -h)");
    expect_refused(WORDS("--long", "pops://h", "/mnt"), "unknown option '--long' (popfs -h)");
    expect_refused(WORDS("pops://h", "/mnt", "-o"), "-o needs an option list (popfs -h)");
}

static void exactly_two_operands_are_wanted(void **state)
{
    (void)state;
    static const char few[] = "usage: popfs [-o option[,option...]] SOURCE MOUNTPOINT (popfs -h)";
    expect_refused(WORDS("pops://h"), few);
    expect_refused(WORDS("-f"), few);
    expect_refused(WORDS("pops://h", "/mnt", "/srv"),
                   "one source and one mountpoint, no more (popfs -h)");
}

static void what_is_not_said_has_a_default(void **state)
{
    (void)state;
    struct options options = expect_fine(WORDS("pops://h", "/mnt"));
    assert_null(options.user);
    assert_int_equal(options.port, OPTION_NOT_GIVEN);
    assert_int_equal(options.tls, OPTION_NOT_GIVEN);
    assert_int_equal(options.timeout_s, 60);
    assert_int_equal(options.keepalive_s, 45);
    assert_int_equal(options.umask, 077);
    assert_int_equal(options.uid, getuid());
    assert_int_equal(options.gid, getgid());
    assert_int_equal(options.pipeline, OPTION_USE_AUTO);
    assert_int_equal(options.top, OPTION_USE_AUTO);
    assert_false(options.read_only);
    assert_int_equal(options.kernel.len, 0);
    options_done(&options);
}

static void values_arrive_in_their_fields(void **state)
{
    (void)state;
    struct options options =
        expect_list("user=al@ice,passcmd=pass show mail,auth=plain,pin=sha256//abc=,timeout=5,"
                    "keepalive=0,pipeline=off,top=off,uid=7,gid=8,password_stdin");
    assert_string_equal(options.user, "al@ice");
    assert_string_equal(options.passcmd, "pass show mail");
    assert_string_equal(options.auth, "plain");
    assert_string_equal(options.pin, "sha256//abc=");
    assert_int_equal(options.timeout_s, 5);
    assert_int_equal(options.keepalive_s, 0);
    assert_int_equal(options.pipeline, OPTION_USE_OFF);
    assert_int_equal(options.top, OPTION_USE_OFF);
    assert_int_equal(options.uid, 7);
    assert_int_equal(options.gid, 8);
    assert_true(options.password_stdin);
    options_done(&options);
}

static void the_last_value_counts(void **state)
{
    (void)state;
    struct options options =
        expect_fine(WORDS("-o", "user=a,timeout=5", "pops://h", "/mnt", "-o", "timeout=6,user=b"));
    assert_string_equal(options.user, "b");
    assert_int_equal(options.timeout_s, 6);
    options_done(&options);
}

static void a_backslash_keeps_a_comma_in_a_value(void **state)
{
    (void)state;
    struct options options = expect_list("passcmd=a\\,b\\\\n\\,,port=9,,");
    assert_string_equal(options.passcmd, "a,b\\\\n,");
    assert_int_equal(options.port, 9);
    options_done(&options);
}

static void tls_has_three_words(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int64_t tls;
    } cases[] = {{"tls=on", OPTION_TLS_ON},
                 {"tls=starttls", OPTION_TLS_STARTTLS},
                 {"tls=off", OPTION_TLS_OFF}};
    for (size_t i = 0; i < 3; i++) {
        struct options options = expect_list(cases[i].list);
        assert_int_equal(options.tls, cases[i].tls);
        options_done(&options);
    }
    expect_list_refused("tls=no", "option 'tls' wants on, starttls or off");
    expect_list_refused("top=on", "option 'top' wants auto or off");
}

static void the_umask_is_octal(void **state)
{
    (void)state;
    struct options options = expect_list("umask=027");
    assert_int_equal(options.umask, 027);
    options_done(&options);
    options = expect_list("umask=22");
    assert_int_equal(options.umask, 022);
    options_done(&options);
    expect_list_refused("umask=8", "option 'umask' wants an octal number up to 777");
    expect_list_refused("umask=1000", "option 'umask' wants an octal number up to 777");
    expect_list_refused("umask=", "option 'umask' wants an octal number up to 777");
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    expect_list_refused("port=0", "option 'port' wants a number from 1 to 65535");
    expect_list_refused("port=65536", "option 'port' wants a number from 1 to 65535");
    expect_list_refused("port=-1", "option 'port' wants a number from 1 to 65535");
    expect_list_refused("port=1x", "option 'port' wants a number from 1 to 65535");
    expect_list_refused("timeout=0", "option 'timeout' wants a number from 1 to 3600");
    expect_list_refused("uid=4294967295", "option 'uid' wants a number from 0 to 4294967294");
}

static void an_unknown_option_is_refused_by_name_without_its_value(void **state)
{
    (void)state;
    expect_list_refused("foo", "unknown option 'foo'");
    expect_list_refused("ro,password=tanstaaf",
                        "unknown option 'password'; no option holds a password, which all could "
                        "see: passfile=, passcmd=");
    expect_list_refused("fsname=x", "unknown option 'fsname'");
    expect_list_refused("subtype=x", "unknown option 'subtype'");
    expect_list_refused("noexecx", "unknown option 'noexecx'; did you mean 'noexec'?");
    expect_list_refused("a\033b", "unknown option 'a\\x1bb'");
    expect_list_refused("=1", "unknown option ''");
    expect_list_refused("remount,ro",
                        "popfs cannot change a mount: unmount and mount again, or for ro and rw "
                        "alone use mount -i -o remount,ro MOUNTPOINT");
}

static void options_of_later_versions_are_unknown(void **state)
{
    (void)state;
    static const char *const names[] = {"names", "layout", "times"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct options options;
        struct failure failure = {0};
        assert_int_equal(parse(WORDS("pops://h", "/mnt", "-o", names[i]), &options, &failure),
                         FAULT_REFUSED);
        assert_non_null(strstr(failure.text, "unknown option"));
        assert_non_null(strstr(failure.text, names[i]));
        options_done(&options);
    }
}

static void state_may_be_off_and_is_a_path_otherwise(void **state)
{
    (void)state;
    struct options options;
    struct failure failure = {0};
    assert_int_equal(parse(WORDS("pops://h", "/mnt", "-o", "state=off"), &options, &failure),
                     FAULT_NONE);
    assert_string_equal(options.state, "off");
    options_done(&options);
    assert_int_equal(
        parse(WORDS("pops://h", "/mnt", "-o", "state=off,state=/a"), &options, &failure),
        FAULT_NONE);
    assert_string_equal(options.state, "/a");
    options_done(&options);
}

static void the_bin_keeps_a_week_unless_told_otherwise(void **state)
{
    (void)state;
    struct options options;
    struct failure failure = {0};
    assert_int_equal(parse(WORDS("pops://h", "/mnt"), &options, &failure), FAULT_NONE);
    assert_int_equal(options.bin_days, 7);
    options_done(&options);
    assert_int_equal(parse(WORDS("pops://h", "/mnt", "-o", "bin=0"), &options, &failure),
                     FAULT_NONE);
    assert_int_equal(options.bin_days, 0);
    options_done(&options);
    expect_list_refused("bin=3651", "option 'bin' wants a number from 0 to 3650");
    expect_list_refused("bin=1d", "option 'bin' wants a number from 0 to 3650");
}

static void cache_may_be_off(void **state)
{
    (void)state;
    struct options options;
    struct failure failure = {0};
    assert_int_equal(parse(WORDS("pops://h", "/mnt", "-o", "cache=off"), &options, &failure),
                     FAULT_NONE);
    assert_string_equal(options.cache, "off");
    options_done(&options);
}

static void values_are_neither_missing_nor_superfluous(void **state)
{
    (void)state;
    expect_list_refused("port", "option 'port' needs a value: port=...");
    expect_list_refused("user=", "option 'user' has an empty value");
    expect_list_refused("ro=1", "option 'ro' takes no value");
    expect_list_refused("key=/k", "option 'key' means nothing without 'cert'");
}

static void sizes_count_in_powers_of_1024(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int64_t octets;
    } cases[] = {{"lazy=0", 0},        {"lazy=10", 10},         {"lazy=3K", 3072},
                 {"lazy=2M", 2097152}, {"lazy=1G", 1073741824}, {"lazy=4T", INT64_C(4398046511104)},
                 {"prefetch", 1048576}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options options = expect_list(cases[i].list);
        assert_true(options.lazy_octets == cases[i].octets);
        assert_int_equal(options.prefetch, i == 6);
        options_done(&options);
    }
    expect_list_refused("lazy=K", "option 'lazy' wants a size like 1M or 0");
    expect_list_refused("lazy=1m", "option 'lazy' wants a size like 1M or 0");
    expect_list_refused("lazy=-1", "option 'lazy' wants a size like 1M or 0");
    expect_list_refused("lazy=9007199254740992K", "option 'lazy' wants a size like 1M or 0");
}

static void words_of_fstab_mean_nothing(void **state)
{
    (void)state;
    struct options options =
        expect_list("user,users,nouser,owner,group,noauto,auto,nofail,_netdev,defaults,relatime,"
                    "norelatime,nonempty,x-systemd.automount,x-systemd.idle-timeout=10min,"
                    "X-mount.mkdir=0700,comment=mine,x-");
    assert_null(options.user);
    assert_int_equal(options.kernel.len, 0);
    options_done(&options);
}

static void mount_words_are_handed_on(void **state)
{
    (void)state;
    expect_kernel("nodev,user=a,noatime,dirsync,max_read=65536",
                  "nodev,noatime,dirsync,max_read=65536");
    expect_kernel("dev,suid,noexec", "dev,suid,noexec");
    /* auto_unmount of libfuse would unmount whatever stands at the path. */
    expect_kernel("allow_other,auto_unmount,default_permissions", "default_permissions");
    expect_kernel("uid=1,umask=022,timeout=3", "");
    expect_list_refused("max_read=1", "option 'max_read' wants a number from 4096 to 1048576");
}

static void ro_rw_and_allow_other_are_left_to_fs(void **state)
{
    (void)state;
    struct options options = expect_list("ro");
    assert_true(options.read_only);
    options_done(&options);
    options = expect_list("ro,rw");
    assert_false(options.read_only);
    options_done(&options);
    expect_kernel("ro,rw,allow_other", "");
    options = expect_list("allow_other");
    assert_true(options.allow_other);
    options_done(&options);
}

static void paths_survive_a_change_of_folder(void **state)
{
    (void)state;
    char here[4096], wanted[5000];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(wanted, sizeof(wanted), "%s/secrets/a", here);
    struct options options = expect_list("passfile=secrets/a,cafile=/etc/ca.pem");
    assert_string_equal(options.passfile, wanted);
    assert_string_equal(options.cafile, "/etc/ca.pem");
    options_done(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_and_options_stand_in_any_order),
        cmocka_unit_test(the_order_is_free_also_for_posixly_correct),
        cmocka_unit_test(letters_are_those_of_every_fuse_program),
        cmocka_unit_test(exactly_two_operands_are_wanted),
        cmocka_unit_test(what_is_not_said_has_a_default),
        cmocka_unit_test(values_arrive_in_their_fields),
        cmocka_unit_test(the_last_value_counts),
        cmocka_unit_test(a_backslash_keeps_a_comma_in_a_value),
        cmocka_unit_test(tls_has_three_words),
        cmocka_unit_test(the_umask_is_octal),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(an_unknown_option_is_refused_by_name_without_its_value),
        cmocka_unit_test(options_of_later_versions_are_unknown),
        cmocka_unit_test(cache_may_be_off),
        cmocka_unit_test(the_bin_keeps_a_week_unless_told_otherwise),
        cmocka_unit_test(state_may_be_off_and_is_a_path_otherwise),
        cmocka_unit_test(values_are_neither_missing_nor_superfluous),
        cmocka_unit_test(sizes_count_in_powers_of_1024),
        cmocka_unit_test(words_of_fstab_mean_nothing),
        cmocka_unit_test(mount_words_are_handed_on),
        cmocka_unit_test(ro_rw_and_allow_other_are_left_to_fs),
        cmocka_unit_test(paths_survive_a_change_of_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
