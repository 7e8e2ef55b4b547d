/* SPDX-License-Identifier: MIT */
/* The dot decoder at every split, with what follows the end left alone. */
#include "dot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct row {
    struct slice in;   /* up to and including the end */
    struct slice body; /* what it stands for */
};

#define ROW(in, body)                                                                              \
    {                                                                                              \
        SLICE_LITERAL(in), SLICE_LITERAL(body)                                                     \
    }

static const struct row crlf_rows[] = {
    ROW(".\r\n", ""),
    ROW("\r\n.\r\n", "\r\n"),
    ROW("one\r\n.\r\n", "one\r\n"),
    ROW("..\r\n.\r\n", ".\r\n"),
    ROW("...\r\n..x\r\n.\r\n", "..\r\n.x\r\n"),
    ROW(".unstuffed\r\n.\r\n", ".unstuffed\r\n"),
    ROW("lf\n.\nlf\n.\r\nlf\n\r\n.\r\n", "lf\n.\nlf\n.\r\nlf\n\r\n"),
    ROW("cr\r.\r\r.\r\n\r\n.\r\n", "cr\r.\r\r.\r\n\r\n"),
    ROW(".\rx\r\n.\r\r\n.\n.\r\n\r\n.\r\n", ".\rx\r\n.\r\r\n.\n.\r\n\r\n"),
    ROW("\0\x80\xff\0\r\n.\r\n", "\0\x80\xff\0\r\n"),
    ROW("x.\r\n.\r\n", "x.\r\n"),
};

static const struct row lf_rows[] = {
    ROW(".\n", ""),
    ROW(".\r\n", ""),
    ROW("one\n..\n.x\n.\n", "one\n.\n.x\n"),
    ROW("dos\r\n..\r\n.\n", "dos\r\n.\r\n"),
    ROW("\r.\n\n.\n", "\r.\n\n"),
};

/* Decodes one piece from memory of its own; what was not taken is counted. */
static size_t decode_piece(struct pop3_dot *dot, struct slice piece, struct buffer *body)
{
    char *copy = malloc(piece.len + 1);
    assert_non_null(copy);
    memcpy(copy, piece.data, piece.len);
    struct slice rest = {copy, piece.len};
    struct slice out;
    while ((out = pop3_dot_next(dot, &rest)).len > 0)
        assert_true(buffer_append(body, out));
    free(copy);
    return rest.len;
}

static void check_cut(const struct row *row, struct slice after, bool bare_lf, size_t first,
                      size_t second)
{
    CLEANUP_BUFFER struct buffer in = {0};
    CLEANUP_BUFFER struct buffer body = {0};
    assert_true(buffer_append(&in, row->in) && buffer_append(&in, after));
    const size_t cuts[] = {0, first, second, in.len};
    struct pop3_dot dot;
    pop3_dot_start(&dot, bare_lf);
    size_t left = 0;
    for (size_t i = 0; i < 3; i++)
        left += decode_piece(&dot, (struct slice){in.data + cuts[i], cuts[i + 1] - cuts[i]}, &body);
    assert_true(pop3_dot_is_done(&dot));
    assert_int_equal(left, after.len);
    assert_int_equal(body.len, row->body.len);
    assert_true(slice_equal(buffer_slice(&body), row->body));
}

static void check_rows(const struct row *rows, size_t count, bool bare_lf)
{
    static const struct slice afters[] = {
        {"", 0}, {"+OK\r\n", 5}, {".\r\n", 3}, {"\r\n.\r\n", 5}, {"\n", 1}, {".", 1},
    };
    for (size_t i = 0; i < count; i++)
        for (size_t a = 0; a < sizeof(afters) / sizeof(afters[0]); a++)
            for (size_t first = 0; first <= rows[i].in.len + afters[a].len; first++)
                for (size_t second = first; second <= rows[i].in.len + afters[a].len; second++)
                    check_cut(&rows[i], afters[a], bare_lf, first, second);
}

static void a_body_ends_right_at_every_two_cuts_whatever_follows(void **state)
{
    (void)state;
    check_rows(crlf_rows, sizeof(crlf_rows) / sizeof(crlf_rows[0]), false);
}

static void a_body_of_bare_lf_ends_right_at_every_two_cuts(void **state)
{
    (void)state;
    check_rows(lf_rows, sizeof(lf_rows) / sizeof(lf_rows[0]), true);
}

static void a_dot_between_other_line_ends_ends_nothing(void **state)
{
    static const struct slice endless[] = {
        {"a\n.\n", 4}, {"a\n.\r\n", 5}, {"a\r\n.\n", 5}, {"a\r.\r\n", 5}, {".x\r\n", 4}, {".\r", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        CLEANUP_BUFFER struct buffer body = {0};
        struct pop3_dot dot;
        pop3_dot_start(&dot, false);
        assert_int_equal(decode_piece(&dot, endless[i], &body), 0);
        assert_false(pop3_dot_is_done(&dot));
    }
}

static void bytes_are_given_where_they_lie(void **state)
{
    static const char in[] = "a long line\r\nand another\r\n";
    struct slice rest = {in, sizeof(in) - 1};
    struct pop3_dot dot;
    (void)state;
    pop3_dot_start(&dot, false);
    struct slice out = pop3_dot_next(&dot, &rest);
    assert_ptr_equal(out.data, in);
    assert_int_equal(out.len, sizeof(in) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_ends_right_at_every_two_cuts_whatever_follows),
        cmocka_unit_test(a_body_of_bare_lf_ends_right_at_every_two_cuts),
        cmocka_unit_test(a_dot_between_other_line_ends_ends_nothing),
        cmocka_unit_test(bytes_are_given_where_they_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
