/* SPDX-License-Identifier: MIT */
/* Evidence of a message: what must not change it, what must, and headers that nobody should send.
 */
#include "popfs/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USUAL                                                                                      \
    "Message-ID: <1@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"                     \
    "From: Jan <jan@example.org>\r\nSubject: Offer for May\r\n\r\n"

static struct evidence evidence_of(struct slice header)
{
    struct evidence evidence;
    memset(&evidence, 0x5a, sizeof(evidence));
    mail_evidence(header, &evidence);
    return evidence;
}

static bool is_same(const char *a, const char *b)
{
    struct evidence of_a = evidence_of(slice_from_string(a));
    struct evidence of_b = evidence_of(slice_from_string(b));
    assert_true(evidence_is_known(&of_a));
    return evidence_is_equal(&of_a, &of_b);
}

static void what_servers_change_is_no_other_message(void **state)
{
    static const char *const same[] = {
        USUAL "Subject: a body\r\n",
        /* without the empty line */
        "Message-ID: <1@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"
        "From: Jan <jan@example.org>\r\nSubject: Offer for May",
        /* LF */
        "Message-ID: <1@example.org>\nDate: Sun, 22 Nov 2026 14:30:00 +0100\n"
        "From: Jan <jan@example.org>\nSubject: Offer for May\n\n",
        /* another order, case, folding and blanks */
        "SUBJECT:Offer\r\n\tfor\r\n   May  \r\nfrom : Jan   <jan@example.org>\r\n"
        "Message-Id:\r\n <1@example.org>\r\nDATE: Sun, 22 Nov 2026 14:30:00\r\n +0100 \r\n\r\n",
        /* more fields, also of the same name behind the first */
        "Received: x\r\nStatus: RO\r\nX-UIDL: 7\r\nMessage-ID: <1@example.org>\r\n"
        "Date: Sun, 22 Nov 2026 14:30:00 +0100\r\nFrom: Jan <jan@example.org>\r\n"
        "Subject: Offer for May\r\nSubject: another\r\nMessage-ID: <2@example.org>\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        assert_true(is_same(USUAL, same[i]));
}

static void another_value_is_another_message(void **state)
{
    static const char *const others[] = {
        "Message-ID: <2@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"
        "From: Jan <jan@example.org>\r\nSubject: Offer for May\r\n\r\n",
        "Message-ID: <1@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:01 +0100\r\n"
        "From: Jan <jan@example.org>\r\nSubject: Offer for May\r\n\r\n",
        "Message-ID: <1@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"
        "From: jan <jan@example.org>\r\nSubject: Offer for May\r\n\r\n",
        "Message-ID: <1@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"
        "From: Jan <jan@example.org>\r\nSubject: OfferforMay\r\n\r\n",
        "Message-ID: <1@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"
        "From: Jan <jan@example.org>\r\n\r\nSubject: Offer for May\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(is_same(USUAL, others[i]));
    /* A value is not made of two. */
    assert_false(is_same("Message-ID: a\r\nFrom: b\r\n\r\n", "Message-ID: a from: b\r\n\r\n"));
}

static void without_a_message_id_the_whole_header_counts(void **state)
{
    (void)state;
    static const char plain[] = "From: a@b\r\nTo: c@d\r\n\r\n";
    assert_true(is_same(plain, "from:a@b\nStatus: RO\nX-Status: A\nTO: \n c@d\nX-UIDL: 1\n\nx"));
    assert_false(is_same(plain, "From: a@b\r\nTo: c@e\r\n\r\n"));
    assert_false(is_same(plain, "From: a@b\r\nTo: c@d\r\nX-Status-Of: x\r\n\r\n"));
    /* An empty Message-ID is none. */
    assert_false(is_same("Message-ID:\r\nTo: c@d\r\n\r\n", "Message-ID:\r\nTo: c@e\r\n\r\n"));
    /* The kind is part of the digest: a Message-ID alone is another than a whole header. */
    assert_false(is_same("X: y\nMessage-ID: z\n\n", "X: y\nX-Message-ID: z\n\n"));
    /* The line that mbox puts before a message is no field of that name. */
    assert_false(is_same("From a@b Sun 22\nTo: c\n\n", "From: a@b Sun 22\nTo: c\n\n"));
}

static void without_a_header_there_is_no_evidence(void **state)
{
    static const char *const nothing[] = {"", "\r\n", "\n\nFrom: a@b\n",
                                          "Status: RO\r\nX-UIDL: 3\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        struct evidence evidence = evidence_of(slice_from_string(nothing[i]));
        assert_false(evidence_is_known(&evidence));
        assert_false(evidence_is_equal(&evidence, &evidence));
    }
}

static void append_lines(struct buffer *text, const char *line, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(buffer_append_string(text, line));
}

/* Maillennium ends TOP after 64 KiB; RETR does not. */
static void a_header_that_is_cut_behind_the_bound_is_the_same(void **state)
{
    static const struct {
        const char *first, *filling;
        size_t count;
    } cases[] = {
        {USUAL, "X-Spam: 0123456789\r\n", 10000},
        {"To: c@d\r\n", "Subject: 10,000 of them\r\n", 10000},
        {"To: c@d\r\n", "X-Folded: y\r\n z\r\n", 60000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer text = {0};
        assert_true(buffer_append(&text, slice_from_string(cases[i].first)));
        append_lines(&text, cases[i].filling, cases[i].count);
        struct slice all = buffer_slice(&text);
        struct evidence whole = evidence_of(all);
        assert_true(evidence_is_known(&whole));
        for (size_t cut = 65500; cut < 65540; cut++) {
            struct evidence part = evidence_of((struct slice){all.data, cut});
            assert_true(evidence_is_equal(&whole, &part));
        }
        buffer_done(&text);
    }
}

/* What would count if the line were shorter is not half of it. */
static void a_field_that_has_no_end_within_the_bound_does_not_count(void **state)
{
    struct buffer text = {0};
    (void)state;
    assert_true(buffer_append_string(&text, "To: c@d\r\nSubject: "));
    append_lines(&text, "0123456789abcdef", 65536);
    assert_true(buffer_append_string(&text, "\r\nMessage-ID: <1@x>\r\n\r\n"));
    struct evidence evidence = evidence_of(buffer_slice(&text));
    struct evidence of_rest = evidence_of(SLICE_LITERAL("To: c@d\n\n"));
    assert_true(evidence_is_equal(&evidence, &of_rest));
    buffer_consume(&text, sizeof("To: c@d\r\n") - 1);
    evidence = evidence_of(buffer_slice(&text));
    assert_false(evidence_is_known(&evidence));
    buffer_done(&text);
}

static void octets_of_any_value_count(void **state)
{
    static const char nul[] = "Message-ID: a\0b\r\n\r\n";
    static const char other[] = "Message-ID: a\0c\r\n\r\n";
    (void)state;
    struct evidence a = evidence_of((struct slice){nul, sizeof(nul) - 1});
    struct evidence b = evidence_of((struct slice){other, sizeof(other) - 1});
    assert_true(evidence_is_known(&a));
    assert_false(evidence_is_equal(&a, &b));
    assert_false(is_same("Message-ID: \xe4\n\n", "Message-ID: \xc3\xa4\n\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_servers_change_is_no_other_message),
        cmocka_unit_test(another_value_is_another_message),
        cmocka_unit_test(without_a_message_id_the_whole_header_counts),
        cmocka_unit_test(without_a_header_there_is_no_evidence),
        cmocka_unit_test(a_header_that_is_cut_behind_the_bound_is_the_same),
        cmocka_unit_test(a_field_that_has_no_end_within_the_bound_does_not_count),
        cmocka_unit_test(octets_of_any_value_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
