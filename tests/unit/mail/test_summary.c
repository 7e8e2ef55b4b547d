/* SPDX-License-Identifier: MIT */
/* Who wrote a message and about what, from headers as they come and as nobody should send them. */
#include "popfs/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OCTETS_MAX = 200 };

struct summary {
    struct buffer from, subject;
};

static void assert_text(struct slice actual, const char *expected)
{
    char text[4096];
    assert_true(actual.len < sizeof(text));
    if (actual.len > 0)
        memcpy(text, actual.data, actual.len);
    text[actual.len] = '\0';
    assert_string_equal(text, expected);
}

static void check(struct slice header, size_t octets_max, const char *from, const char *subject)
{
    struct summary summary = {0};
    assert_true(mail_header_summary(header, octets_max, &summary.from, &summary.subject));
    assert_text(buffer_slice(&summary.from), from);
    assert_text(buffer_slice(&summary.subject), subject);
    buffer_done(&summary.from);
    buffer_done(&summary.subject);
}

static void check_from(const char *field, const char *from)
{
    struct buffer header = {0};
    assert_true(buffer_printf(&header, "From: %s\r\n\r\n", field));
    check(buffer_slice(&header), OCTETS_MAX, from, "");
    buffer_done(&header);
}

static void check_subject(const char *field, const char *subject)
{
    struct buffer header = {0};
    assert_true(buffer_printf(&header, "Subject: %s\r\n\r\n", field));
    check(buffer_slice(&header), OCTETS_MAX, "", subject);
    buffer_done(&header);
}

static void name_and_subject_are_found(void **state)
{
    (void)state;
    check(SLICE_LITERAL("Received: x\r\nsubject:Offer\r\n for May\r\nTo: c@d\r\n"
                        "FROM: Jan Novak <jan@example.org>\r\n\r\nSubject: body\r\n"),
          OCTETS_MAX, "Jan Novak", "Offer for May");
    check(SLICE_LITERAL("From: a@b\nSubject: x\n\n"), OCTETS_MAX, "a@b", "x");
}

static void a_plain_name_before_an_address_is_the_sender(void **state)
{
    (void)state;
    check_from("Sender 1 <s.1@mx-1.example.org>", "Sender 1");
    check_from("  O'Neil   & Sons <a+b@c>", "O'Neil & Sons");
    check_from("<a@b>", "a@b");
    check_from(" <a@b>", "a@b");
    check_from("=?utf-8?q?J=C3=B6rg?= <j@x>", "J\303\266rg");
    check_from("Jan <a@b>, Ida <c@d>", "Jan");
    check_from("Jan <a@b> (home)", "Jan");
    check_from("\"Jan, N.\" <a@b>", "Jan, N.");
}

static void what_is_missing_is_empty(void **state)
{
    (void)state;
    check(SLICE_LITERAL(""), OCTETS_MAX, "", "");
    check(SLICE_LITERAL("From:\r\nSubject:\r\n\r\n"), OCTETS_MAX, "", "");
    check(SLICE_LITERAL("To: x\r\n\r\nFrom: a@b\r\nSubject: in the body\r\n"), OCTETS_MAX, "", "");
    check(SLICE_LITERAL("Fro"), OCTETS_MAX, "", "");
}

static void buffers_are_replaced(void **state)
{
    (void)state;
    struct buffer from = {0};
    struct buffer subject = {0};
    for (int i = 0; i < 2; i++)
        assert_true(mail_header_summary(SLICE_LITERAL("From: a@b\r\nSubject: s\r\n\r\n"),
                                        OCTETS_MAX, &from, &subject));
    assert_text(buffer_slice(&from), "a@b");
    assert_true(mail_header_summary(SLICE_LITERAL("\r\n"), OCTETS_MAX, &from, &subject));
    assert_int_equal(from.len, 0);
    assert_int_equal(subject.len, 0);
    buffer_done(&from);
    buffer_done(&subject);
}

static void the_first_sender_counts(void **state)
{
    (void)state;
    check_from("a@b, c@d", "a@b");
    check_from("One <a@b>, Two <c@d>", "One");
    check(SLICE_LITERAL("From: a@b\r\nFrom: c@d\r\nSubject: x\r\nSubject: y\r\n\r\n"), OCTETS_MAX,
          "a@b", "x");
}

static void names_are_read_as_people_write_them(void **state)
{
    (void)state;
    check_from("\"Novak, Jan\" <a@b>", "Novak, Jan");
    check_from("\"A \\\"quoted\\\" word\" <a@b>", "A \"quoted\" word");
    check_from("a@b (Jan Novak)", "Jan Novak");
    check_from("<a@b>", "a@b");
    check_from("\"\" <a@b>", "a@b");
    check_from("\" \" <a@b>", "a@b");
    check_from("Friends: a@b, c@d;", "Friends");
    check_from("what is this?", "what is this?");
    check_from("Who? <a?b@c>", "Who?");
    check_from("a?b@c", "a?b@c");
}

static void encoded_words_are_read(void **state)
{
    (void)state;
    check_from("=?utf-8?q?Jan_Nov=C3=A1k?= <a@b>", "Jan Novák");
    check_from("\"=?utf-8?B?SsO2cmc=?=\" <a@b>", "Jörg");
    check_from("a@b (=?iso-8859-1*de?q?J=F6rg?=)", "Jörg");
    check_subject("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c");
    check_subject("=?utf-8?B?xb1s?=\r\n =?utf-8?B?dcWl?=", "Žluť");
    check_subject("=?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=", "日本語");
    check_subject("=?windows-1252?q?=80?= =?koi8-r?q?=C1?=", "€а");
    /* One character in two words, as mailers that count octets write it. */
    check_subject("=?utf-8?q?J=C3?= =?utf-8?q?=B6rg?=", "Jörg");
}

static void what_is_no_encoded_word_stays(void **state)
{
    (void)state;
    check_subject("=?utf-8?q?never ends", "=?utf-8?q?never ends");
    check_subject("=??q?x?= =?utf-8?z?x?= =? ?=", "=??q?x?= =?utf-8?z?x?= =? ?=");
    check_subject("a=b?c", "a=b?c");
    /* What a word says is not read again. */
    check_subject("=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=", "=?utf-8?q?x?=");
}

static void words_in_a_charset_of_no_name_are_guessed(void **state)
{
    (void)state;
    check_subject("=?nonsense?q?J=C3=B6rg?=", "Jörg");
    check_subject("=?../../evil*en?q?J=F6rg?=", "Jörg");
    check_from("\"=\\?evil\\?q\\?J=F6rg\\?=\" <a@b>", "Jörg");
}

static void raw_octets_are_utf8_or_else_windows_1252(void **state)
{
    (void)state;
    check_from("J\303\266rg <a@b>", "Jörg");
    check_from("J\366rg <a@b>", "Jörg");
    check_subject("caf\351", "café");
    check_subject("\223so\224 \200", "“so” €");
    /* 0x81 is none of Windows-1252's: Latin-1 then, where it is a control character. */
    check_subject("x\201\351", "xé");
}

static void what_plays_tricks_is_left_out(void **state)
{
    (void)state;
    check_subject("a\033[31mb\007c\177", "a[31mbc");
    check_subject("=?utf-8?q?a=1Bb=0D=0Ac?=", "ab c");
    /* Right-to-left override and isolate, zero-width space and joiner, soft hyphen, BOM, tag. */
    check_subject("a\342\200\256b\342\201\246c\342\200\213d\342\200\215e\302\255f\357\273\277g"
                  "\363\240\201\201h",
                  "abcdefgh");
    check_subject("=?utf-8?q?a=00b?=", "a?b");
    check(SLICE_LITERAL("Subject: a\0b\r\n\r\n"), OCTETS_MAX, "", "a b");
}

static void a_name_that_shows_nothing_gives_way_to_the_address(void **state)
{
    (void)state;
    check_from("=?utf-8?q?=E2=80=8B_?= <a@b>", "a@b");
}

static void blanks_become_one_space(void **state)
{
    (void)state;
    check_subject("\t a \t\r\n  b  ", "a b");
    /* No-break space, ideographic space, line separator. */
    check_subject("\302\240a\302\240\343\200\200b\342\200\250c\302\240", "a b c");
    /* Also where something between them was left out. */
    check_subject("a \001 b", "a b");
}

static void letters_are_composed(void **state)
{
    (void)state;
    check_subject("Nova\314\201k", "Novák");
    check_subject("a\342\200\213\314\201", "á");
}

static void long_texts_are_cut_at_a_character(void **state)
{
    (void)state;
    const struct slice header = SLICE_LITERAL("From: J\303\266rg x\r\nSubject: ab cd\r\n\r\n");
    check(header, 7, "Jörg x", "ab cd");
    check(header, 5, "Jörg", "ab cd");
    check(header, 3, "Jö", "ab");
    check(header, 2, "J", "ab");
    check(header, 0, "", "");
    /* A name that does not fit is no reason to show the address. */
    check(SLICE_LITERAL("From: \343\200\212 <a@b>\r\n"), 2, "", "");
}

static void a_field_beyond_any_sense_is_cut_at_a_character_too(void **state)
{
    (void)state;
    struct buffer header = {0};
    assert_true(buffer_append_string(&header, "Subject: "));
    for (int i = 0; i < 5000; i++)
        assert_true(buffer_append_string(&header, "é"));
    struct summary summary = {0};
    assert_true(mail_header_summary(buffer_slice(&header), 9000, &summary.from, &summary.subject));
    assert_in_range(summary.subject.len, 4090, 4096);
    for (size_t i = 0; i < summary.subject.len; i += 2)
        assert_memory_equal(summary.subject.data + i, "é", 2);
    buffer_done(&summary.from);
    buffer_done(&summary.subject);
    buffer_done(&header);
}

static void a_whole_field_keeps_its_addresses(void **state)
{
    (void)state;
    struct mail_texts texts;
    struct slice header = SLICE_LITERAL("Subject: s\r\nTo: =?utf-8?q?J=C3=B6rg?= <j@x>,\r\n"
                                        "\tK <k@y>\r\nTo: later\r\nFrom: Ada <a@b>\r\n\r\n"
                                        "From: body\r\n");
    assert_true(mail_header_texts(header, OCTETS_MAX, &texts));
    assert_text(buffer_slice(&texts.sender), "Ada");
    assert_text(buffer_slice(&texts.from), "Ada <a@b>");
    assert_text(buffer_slice(&texts.to), "J\303\266rg <j@x>, K <k@y>");
    assert_text(buffer_slice(&texts.subject), "s");
    mail_texts_done(&texts);
    assert_true(mail_header_texts(header, 6, &texts));
    assert_text(buffer_slice(&texts.to), "J\303\266rg");
    mail_texts_done(&texts);
    assert_true(mail_header_texts(SLICE_LITERAL("Cc: c\r\n\r\nTo: body\r\n"), OCTETS_MAX, &texts));
    assert_text(buffer_slice(&texts.to), "");
    mail_texts_done(&texts);
}

static void fields_behind_the_bound_do_not_count(void **state)
{
    (void)state;
    struct buffer header = {0};
    while (header.len < MAIL_HEADER_KEPT_MAX)
        assert_true(buffer_append_string(&header, "X: y\r\n"));
    assert_true(buffer_append_string(&header, "Subject: too late\r\n"));
    check(buffer_slice(&header), OCTETS_MAX, "", "");
    buffer_done(&header);
}

static void append_times(struct buffer *header, const char *text, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(buffer_append_string(header, text));
}

static void hostile_nesting_does_no_harm(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "(", "a:", "<", "\"", "=?gbk?q?", "=?utf-8?b?=?utf-8?q?", "\\", "[", "a,", "\314\201", "@",
    };
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct buffer header = {0};
        struct summary summary = {0};
        append_times(&header, "From: a <b@c>\r\n", 3000);
        assert_true(buffer_append_string(&header, "Subject: "));
        append_times(&header, pieces[i], 3000);
        assert_true(mail_header_summary(buffer_slice(&header), OCTETS_MAX, &summary.from,
                                        &summary.subject));
        assert_text(buffer_slice(&summary.from), "a");
        header.len = 0;
        assert_true(buffer_append_string(&header, "From: "));
        append_times(&header, pieces[i], 3000);
        assert_true(mail_header_summary(buffer_slice(&header), OCTETS_MAX, &summary.from,
                                        &summary.subject));
        assert_true(summary.from.len <= OCTETS_MAX);
        assert_int_equal(summary.subject.len, 0);
        buffer_done(&summary.from);
        buffer_done(&summary.subject);
        buffer_done(&header);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_and_subject_are_found),
        cmocka_unit_test(a_plain_name_before_an_address_is_the_sender),
        cmocka_unit_test(what_is_missing_is_empty),
        cmocka_unit_test(buffers_are_replaced),
        cmocka_unit_test(the_first_sender_counts),
        cmocka_unit_test(names_are_read_as_people_write_them),
        cmocka_unit_test(encoded_words_are_read),
        cmocka_unit_test(what_is_no_encoded_word_stays),
        cmocka_unit_test(words_in_a_charset_of_no_name_are_guessed),
        cmocka_unit_test(raw_octets_are_utf8_or_else_windows_1252),
        cmocka_unit_test(what_plays_tricks_is_left_out),
        cmocka_unit_test(a_name_that_shows_nothing_gives_way_to_the_address),
        cmocka_unit_test(blanks_become_one_space),
        cmocka_unit_test(letters_are_composed),
        cmocka_unit_test(long_texts_are_cut_at_a_character),
        cmocka_unit_test(a_field_beyond_any_sense_is_cut_at_a_character_too),
        cmocka_unit_test(a_whole_field_keeps_its_addresses),
        cmocka_unit_test(fields_behind_the_bound_do_not_count),
        cmocka_unit_test(hostile_nesting_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
