/* SPDX-License-Identifier: MIT */
/* Lines however they are cut into pieces, and their bound (POP3.md rules 1 and 5). */
#include "line.h"

#include "popfs/pop3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The lines of `text`, each with '|' behind it and '!' where its end was a bare LF, fed in pieces.
 */
static enum pop3_line_result read_in_pieces_of(struct slice text, size_t piece, bool clips,
                                               struct buffer *ret)
{
    struct pop3_line_reader reader = {.clips = clips};
    enum pop3_line_result result = POP3_LINE_PARTIAL;
    while (text.len > 0 && result != POP3_LINE_TOO_LONG) {
        /* A copy of its own, so that a sanitizer sees a slice used after its piece. */
        size_t len = text.len < piece ? text.len : piece;
        char *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, text.data, len);
        pop3_line_feed(&reader, (struct slice){copy, len});
        struct pop3_line line;
        while ((result = pop3_line_take(&reader, &line)) == POP3_LINE_WHOLE) {
            assert_true(buffer_append(ret, line.text));
            assert_true(buffer_append_string(ret, line.crlf ? "|" : "!|"));
        }
        free(copy);
        text = slice_skip(text, len);
    }
    pop3_line_reader_done(&reader);
    return result;
}

static enum pop3_line_result read_in_pieces(struct slice text, size_t piece, struct buffer *ret)
{
    return read_in_pieces_of(text, piece, false, ret);
}

static void lines_are_the_same_however_they_are_cut(void **state)
{
    (void)state;
    const struct slice text =
        SLICE_LITERAL("+OK one\r\n\r\n\ntwo\n\r\r\nx\ry\r\n\0\xff\r\n.\r\nno end");
    const struct slice lines = SLICE_LITERAL("+OK one||!|two!|\r|x\ry|\0\xff|.|");
    for (size_t piece = 1; piece <= text.len; piece++) {
        struct buffer got = {0};
        assert_int_equal(read_in_pieces(text, piece, &got), POP3_LINE_PARTIAL);
        assert_true(slice_equal(buffer_slice(&got), lines));
        buffer_done(&got);
    }
}

static enum pop3_line_result read_line_of(size_t octets, const char *end, size_t piece)
{
    struct buffer text = {0};
    struct buffer got = {0};
    for (size_t i = 0; i < octets; i++)
        assert_true(buffer_append_string(&text, "x"));
    assert_true(buffer_append_string(&text, end));
    enum pop3_line_result result = read_in_pieces(buffer_slice(&text), piece, &got);
    if (result == POP3_LINE_TOO_LONG)
        assert_int_equal(got.len, 0);
    else
        assert_true(got.len > octets);
    buffer_done(&text);
    buffer_done(&got);
    return result;
}

static void a_line_may_be_as_long_as_its_bound_however_it_is_cut(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, 4096, 8191, 8192, 8193, 8194, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        assert_int_equal(read_line_of(POP3_LINE_OCTETS_MAX, "\r\n", pieces[i]), POP3_LINE_PARTIAL);
        assert_int_equal(read_line_of(POP3_LINE_OCTETS_MAX, "\n", pieces[i]), POP3_LINE_PARTIAL);
        assert_int_equal(read_line_of(POP3_LINE_OCTETS_MAX + 1, "\r\n", pieces[i]),
                         POP3_LINE_TOO_LONG);
        assert_int_equal(read_line_of(POP3_LINE_OCTETS_MAX + 2, "\n", pieces[i]),
                         POP3_LINE_TOO_LONG);
    }
}

static void a_line_without_end_does_not_fill_the_memory(void **state)
{
    (void)state;
    struct pop3_line_reader reader = {0};
    struct pop3_line line;
    enum pop3_line_result result = POP3_LINE_PARTIAL;
    size_t fed = 0;
    while (result == POP3_LINE_PARTIAL && fed < 1000000) {
        pop3_line_feed(&reader, SLICE_LITERAL("xxxxxxxxxxxxxxxx"));
        fed += 16;
        result = pop3_line_take(&reader, &line);
        assert_true(reader.carry.len <= POP3_LINE_OCTETS_MAX + 2);
    }
    assert_int_equal(result, POP3_LINE_TOO_LONG);
    pop3_line_reader_done(&reader);
}

static void the_position_counts_what_was_taken(void **state)
{
    (void)state;
    struct pop3_line_reader reader = {0};
    struct pop3_line line;
    assert_true(pop3_line_is_at_start(&reader));
    pop3_line_feed(&reader, SLICE_LITERAL("+OK\r\n-E"));
    assert_int_equal(pop3_line_position(&reader), 0);
    assert_int_equal(pop3_line_take(&reader, &line), POP3_LINE_WHOLE);
    assert_int_equal(pop3_line_position(&reader), 5);
    assert_true(pop3_line_is_at_start(&reader));
    assert_int_equal(pop3_line_take(&reader, &line), POP3_LINE_PARTIAL);
    assert_false(pop3_line_is_at_start(&reader));
    pop3_line_feed(&reader, SLICE_LITERAL("RR\r\n"));
    assert_int_equal(pop3_line_take(&reader, &line), POP3_LINE_WHOLE);
    assert_true(slice_equal(line.text, SLICE_LITERAL("-ERR")));
    assert_true(pop3_line_is_at_start(&reader));
    assert_int_equal(pop3_line_position(&reader), 11);
    pop3_line_reader_done(&reader);
}

/* Of `octets` octets, with the end `end`, between two others. */
static void assert_clipped(size_t octets, const char *end, bool crlf, size_t piece)
{
    struct buffer text = {0};
    struct buffer got = {0};
    assert_true(buffer_append_string(&text, "a\r\n"));
    for (size_t i = 0; i < octets; i++)
        assert_true(buffer_append_string(&text, i % 7 == 0 ? "\r" : "x"));
    assert_true(buffer_append_string(&text, end));
    assert_true(buffer_append_string(&text, "b\r\n"));
    assert_int_equal(read_in_pieces_of(buffer_slice(&text), piece, true, &got), POP3_LINE_PARTIAL);
    struct slice lines = buffer_slice(&got);
    size_t clipped = POP3_LINE_OCTETS_MAX + 2;
    const char *tail = crlf ? "|b|" : "!|b|";
    assert_int_equal(lines.len, 2 + clipped + strlen(tail));
    assert_memory_equal(lines.data, "a|", 2);
    assert_memory_equal(lines.data + 2, text.data + 3, clipped);
    assert_memory_equal(lines.data + 2 + clipped, tail, strlen(tail));
    buffer_done(&text);
    buffer_done(&got);
}

static void of_a_row_that_is_too_long_the_start_is_given_however_it_is_cut(void **state)
{
    (void)state;
    const size_t pieces[] = {1,
                             2,
                             3,
                             4096,
                             POP3_LINE_OCTETS_MAX + 1,
                             POP3_LINE_OCTETS_MAX + 5,
                             POP3_LINE_OCTETS_MAX + 6,
                             1000000};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
        for (size_t over = 2; over < 5; over++) {
            assert_clipped(POP3_LINE_OCTETS_MAX + over, "\r\n", true, pieces[i]);
            assert_clipped(POP3_LINE_OCTETS_MAX + over, "x\n", false, pieces[i]);
            assert_clipped(5 * POP3_LINE_OCTETS_MAX + over, "\r\n", true, pieces[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_they_are_cut),
        cmocka_unit_test(a_line_may_be_as_long_as_its_bound_however_it_is_cut),
        cmocka_unit_test(a_line_without_end_does_not_fill_the_memory),
        cmocka_unit_test(the_position_counts_what_was_taken),
        cmocka_unit_test(of_a_row_that_is_too_long_the_start_is_given_however_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
