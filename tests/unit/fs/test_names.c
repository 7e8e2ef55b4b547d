/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UIDL_MAX = 500 };

static struct name encoded(struct slice uidl, uint32_t copy)
{
    struct name name;
    assert_true(name_encode(uidl, copy, &name));
    assert_int_equal(strlen(name.data), name.len);
    assert_true(name.len <= NAME_OCTETS_MAX);
    return name;
}

static void expect_name(const char *uidl, uint32_t copy, const char *expected)
{
    struct name name = encoded(slice_from_string(uidl), copy);
    assert_string_equal(name.data, expected);
}

static void expect_way_back(struct slice uidl, uint32_t copy)
{
    struct name name = encoded(uidl, copy);
    char back[NAME_UIDL_OCTETS_MAX];
    size_t len;
    uint32_t back_copy;
    assert_true(name_decode(name_slice(&name), back, &len, &back_copy));
    assert_int_equal(len, uidl.len);
    assert_memory_equal(back, uidl.data, len);
    assert_int_equal(back_copy, copy);
}

static void expect_no_uidl(const char *name)
{
    char uidl[NAME_UIDL_OCTETS_MAX];
    size_t len;
    uint32_t copy;
    assert_false(name_decode(slice_from_string(name), uidl, &len, &copy));
}

static bool is_cut(const struct name *name)
{
    const char *tilde = strchr(name->data, '~');
    return tilde != NULL && strspn(tilde + 1, "0123456789abcdef") == 32;
}

static void a_usual_uidl_is_its_own_name(void **state)
{
    (void)state;
    expect_name("00000012589fd73b", 0, "00000012589fd73b.eml");
    expect_name("UID4-1700000000", 0, "UID4-1700000000.eml");
    expect_name("GmailId18c+a,b=c:d@e^f_g-h.i", 0, "GmailId18c+a,b=c:d@e^f_g-h.i.eml");
}

static void bytes_that_a_path_or_a_shell_takes_for_its_own_are_escaped(void **state)
{
    (void)state;
    expect_name("a/b", 0, "a%2Fb.eml");
    expect_name("a%b~c", 0, "a%25b%7Ec.eml");
    expect_name("*?[]$`", 0, "%2A%3F%5B%5D%24%60.eml");
    expect_name("\"'\\&;|", 0, "%22%27%5C%26%3B%7C.eml");
    expect_name("<>(){}!# ", 0, "%3C%3E%28%29%7B%7D%21%23%20.eml");
    expect_name("\x01\x1f\x7f\x80\xff", 0, "%01%1F%7F%80%FF.eml");
}

static void a_leading_dot_or_dash_is_escaped_but_no_later_one(void **state)
{
    (void)state;
    expect_name(".popfs", 0, "%2Epopfs.eml");
    expect_name("..", 0, "%2E..eml");
    expect_name("-rf", 0, "%2Drf.eml");
    expect_name("a.-b", 0, "a.-b.eml");
}

static void copies_of_a_uidl_are_numbered_from_two(void **state)
{
    (void)state;
    expect_name("abc", 1, "abc~2.eml");
    expect_name("abc", 9, "abc~10.eml");
    expect_name("abc", UINT32_MAX, "abc~4294967296.eml");
}

static void every_byte_at_every_place_comes_back(void **state)
{
    (void)state;
    for (int value = 0; value < 256; value++) {
        for (size_t place = 0; place < 3; place++) {
            char uidl[3] = {'a', 'b', 'c'};
            uidl[place] = (char)value;
            expect_way_back((struct slice){uidl, sizeof(uidl)}, (uint32_t)place);
        }
        char alone = (char)value;
        expect_way_back((struct slice){&alone, 1}, 0);
    }
}

static void every_length_comes_back_until_it_must_be_cut(void **state)
{
    (void)state;
    char uidl[UIDL_MAX];
    memset(uidl, 'x', sizeof(uidl));
    for (size_t len = 0; len <= UIDL_MAX; len++) {
        struct name name = encoded((struct slice){uidl, len}, 0);
        assert_int_equal(is_cut(&name), len > 251);
        if (len <= 251)
            expect_way_back((struct slice){uidl, len}, 0);
        else
            assert_int_equal(name.len, 255);
    }
}

static void the_number_of_a_copy_counts_for_the_length_too(void **state)
{
    (void)state;
    char uidl[UIDL_MAX];
    memset(uidl, 'x', sizeof(uidl));
    expect_way_back((struct slice){uidl, 249}, 1);
    struct name name = encoded((struct slice){uidl, 250}, 1);
    assert_true(name.len <= 255);
    assert_string_equal(name.data + name.len - 6, "~2.eml");
    assert_memory_equal(name.data + name.len - 6 - 33, "~", 1);
}

static void a_long_name_is_never_cut_inside_an_escape(void **state)
{
    (void)state;
    char uidl[UIDL_MAX];
    for (size_t plain = 0; plain < 4; plain++) {
        memset(uidl, '/', sizeof(uidl));
        memset(uidl, 'x', plain);
        struct name name = encoded((struct slice){uidl, sizeof(uidl)}, 0);
        size_t before = strcspn(name.data, "~");
        assert_int_equal((before - plain) % 3, 0);
        assert_memory_equal(name.data + before - 3, "%2F", 3);
    }
}

static void a_cut_name_ends_in_the_start_of_the_sha256_of_the_uidl(void **state)
{
    (void)state;
    char uidl[300];
    memset(uidl, 'x', sizeof(uidl));
    struct name name = encoded((struct slice){uidl, sizeof(uidl)}, 0);
    unsigned char digest[DIGEST_SHA256_OCTETS];
    assert_true(digest_sha256((struct slice){uidl, sizeof(uidl)}, digest));
    char hex[33];
    for (size_t i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_memory_equal(name.data + name.len - 4 - 32, hex, 32);
}

static void long_uidls_that_differ_only_at_the_end_have_different_names(void **state)
{
    (void)state;
    char a[UIDL_MAX];
    char b[UIDL_MAX];
    memset(a, 'x', sizeof(a));
    memcpy(b, a, sizeof(b));
    b[UIDL_MAX - 1] = 'y';
    struct name of_a = encoded((struct slice){a, sizeof(a)}, 0);
    struct name of_b = encoded((struct slice){b, sizeof(b)}, 0);
    assert_string_not_equal(of_a.data, of_b.data);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->data, ((const struct name *)b)->data);
}

static void look_alikes_have_different_names(void **state)
{
    (void)state;
    static const char *const uidls[] = {
        "a",     "A",    "a~2",   "a%7E2", "a%",        "a%25",  "a.eml", "a.eml.eml", "%2Ea",
        ".a",    "..a",  "-a",    "%2Da",  "a/",        "a%2F",  "a%2f",  "%",         "%25",
        "a~2~2", "a~02", "a\x80", "a%80",  "a\xc2\x80", "a\x01", "a%01",  "a b",       "a%20b",
    };
    enum { COUNT = sizeof(uidls) / sizeof(uidls[0]), COPIES = 4 };
    static struct name names[COUNT * COPIES];
    for (size_t i = 0; i < COUNT; i++)
        for (uint32_t copy = 0; copy < COPIES; copy++)
            names[i * COPIES + copy] = encoded(slice_from_string(uidls[i]), copy);
    qsort(names, COUNT * COPIES, sizeof(names[0]), compare_names);
    for (size_t i = 1; i < COUNT * COPIES; i++)
        assert_string_not_equal(names[i - 1].data, names[i].data);
}

static void a_uidl_that_imitates_a_cut_name_does_not_get_it(void **state)
{
    (void)state;
    char uidl[300];
    memset(uidl, 'x', sizeof(uidl));
    struct name cut = encoded((struct slice){uidl, sizeof(uidl)}, 0);
    struct name imitated = encoded((struct slice){cut.data, cut.len - 4}, 0);
    assert_string_not_equal(cut.data, imitated.data);
    expect_no_uidl(cut.data);
}

static void only_the_one_right_spelling_is_a_name(void **state)
{
    (void)state;
    expect_no_uidl("abc");
    expect_no_uidl("abc.EML");
    expect_no_uidl(".abc.eml");
    expect_no_uidl("-abc.eml");
    expect_no_uidl("%61bc.eml");
    expect_no_uidl("a%2fb.eml");
    expect_no_uidl("a%2.eml");
    expect_no_uidl("a%.eml");
    expect_no_uidl("a%GGb.eml");
    expect_no_uidl("a b.eml");
    expect_no_uidl("abc~.eml");
    expect_no_uidl("abc~0.eml");
    expect_no_uidl("abc~1.eml");
    expect_no_uidl("abc~02.eml");
    expect_no_uidl("abc~4294967297.eml");
    expect_no_uidl("abc~2~2.eml");
    expect_no_uidl("");
}

/* Whatever is accepted as a name is the name of what it decodes to, whatever the bytes. */
static void what_decodes_encodes_to_itself(void **state)
{
    (void)state;
    static const char alphabet[] = "aA0%~.-2EF/ \x80";
    unsigned seed = 1;
    size_t accepted = 0;
    for (int round = 0; round < 200000; round++) {
        char text[16];
        size_t len = 0;
        for (; len < 6; len++) {
            seed = seed * 1103515245 + 12345;
            text[len] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        }
        memcpy(text + len, ".eml", 4);
        struct slice name = {text, len + 4};
        char uidl[NAME_UIDL_OCTETS_MAX];
        size_t uidl_len;
        uint32_t copy;
        if (!name_decode(name, uidl, &uidl_len, &copy))
            continue;
        accepted++;
        struct name again = encoded((struct slice){uidl, uidl_len}, copy);
        assert_true(slice_equal(name, name_slice(&again)));
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usual_uidl_is_its_own_name),
        cmocka_unit_test(bytes_that_a_path_or_a_shell_takes_for_its_own_are_escaped),
        cmocka_unit_test(a_leading_dot_or_dash_is_escaped_but_no_later_one),
        cmocka_unit_test(copies_of_a_uidl_are_numbered_from_two),
        cmocka_unit_test(every_byte_at_every_place_comes_back),
        cmocka_unit_test(every_length_comes_back_until_it_must_be_cut),
        cmocka_unit_test(the_number_of_a_copy_counts_for_the_length_too),
        cmocka_unit_test(a_long_name_is_never_cut_inside_an_escape),
        cmocka_unit_test(a_cut_name_ends_in_the_start_of_the_sha256_of_the_uidl),
        cmocka_unit_test(long_uidls_that_differ_only_at_the_end_have_different_names),
        cmocka_unit_test(look_alikes_have_different_names),
        cmocka_unit_test(a_uidl_that_imitates_a_cut_name_does_not_get_it),
        cmocka_unit_test(only_the_one_right_spelling_is_a_name),
        cmocka_unit_test(what_decodes_encodes_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
