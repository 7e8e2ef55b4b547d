/* SPDX-License-Identifier: MIT */
/*
 * The header of a message. Input: octet 0 the bound of the texts, then the header.
 *
 * Must hold: a time is within its range, the texts are valid UTF-8, composed, without anything that
 * plays tricks, within their bound and cut at a character, and what follows the header changes none
 * of it, nor the evidence.
 */
#include "popfs/mail.h"
#include "target.h"

#include <glib.h>
#include <string.h>

struct facts {
    bool has_time;
    int64_t time_s;
    struct buffer from, subject;
    struct evidence evidence;
};

static void read_facts(struct slice header, size_t octets_max, struct facts *facts)
{
    *facts = (struct facts){.time_s = -77};
    facts->has_time = mail_header_time(header, &facts->time_s);
    MUST(facts->has_time ? facts->time_s >= MAIL_TIME_MIN_S && facts->time_s <= MAIL_TIME_MAX_S
                         : facts->time_s == -77);
    MUST(mail_header_summary(header, octets_max, &facts->from, &facts->subject));
    mail_evidence(header, &facts->evidence);
}

static void facts_done(struct facts *facts)
{
    buffer_done(&facts->from);
    buffer_done(&facts->subject);
}

static void check_text(struct slice text, size_t octets_max)
{
    MUST(text.len <= octets_max);
    char *copy = g_strndup(text.len > 0 ? text.data : "", text.len);
    MUST(strlen(copy) == text.len && g_utf8_validate(copy, -1, NULL));
    bool blank = true;
    for (char *at = copy; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        GUnicodeType type = g_unichar_type(c);
        MUST(type != G_UNICODE_CONTROL && type != G_UNICODE_FORMAT);
        MUST(!g_unichar_isspace(c) || (c == ' ' && !blank));
        blank = c == ' ';
    }
    MUST(text.len == 0 || !blank);
    char *composed = g_utf8_normalize(copy, -1, G_NORMALIZE_NFC);
    MUST(strcmp(copy, composed) == 0);
    g_free(composed);
    g_free(copy);
}

/* A shorter bound gives the start of the same text. */
static void check_start(struct slice shorter, struct slice longer)
{
    MUST(shorter.len <= longer.len);
    MUST(shorter.len == 0 || memcmp(shorter.data, longer.data, shorter.len) == 0);
}

static void check_body_does_not_count(struct slice header, size_t octets_max,
                                      const struct facts *expected)
{
    static const char body[] = "\n\nDate: Sun, 22 Nov 2026 14:30:00 +0100\nFrom: a@b\nSubject: x\n";
    CLEANUP_BUFFER struct buffer message = {0};
    struct facts facts;
    MUST(buffer_append(&message, header) && buffer_append_string(&message, body));
    read_facts(buffer_slice(&message), octets_max, &facts);
    MUST(facts.has_time == expected->has_time && facts.time_s == expected->time_s);
    MUST(slice_equal(buffer_slice(&facts.from), buffer_slice(&expected->from)));
    MUST(slice_equal(buffer_slice(&facts.subject), buffer_slice(&expected->subject)));
    MUST(memcmp(&facts.evidence, &expected->evidence, sizeof(facts.evidence)) == 0);
    facts_done(&facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice header = {(const char *)data + 1, size - 1};
    size_t octets_max = data[0];
    struct facts some;
    struct facts all;
    read_facts(header, octets_max, &some);
    read_facts(header, 100000, &all);
    check_text(buffer_slice(&some.from), octets_max);
    check_text(buffer_slice(&some.subject), octets_max);
    check_text(buffer_slice(&all.from), 100000);
    check_text(buffer_slice(&all.subject), 100000);
    check_start(buffer_slice(&some.from), buffer_slice(&all.from));
    check_start(buffer_slice(&some.subject), buffer_slice(&all.subject));
    if (header.len < MAIL_HEADER_KEPT_MAX)
        check_body_does_not_count(header, octets_max, &some);
    facts_done(&some);
    facts_done(&all);
    return 0;
}
