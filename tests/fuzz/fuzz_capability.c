/* SPDX-License-Identifier: MIT */
/*
 * What a server says it can, and the login that follows from it. Input: octet 0 as the switches of
 * the choice, then the lines of CAPA.
 *
 * Must hold: a line takes nothing back that another one gave, case and repetition change nothing,
 * the text to be shown is harmless, and what is chosen was wanted and is offered.
 */
#include "capability.h"
#include "mechanism.h"
#include "mechanisms.h"
#include "target.h"

#include <string.h>

/* What is offered, as bits: so that sets can be compared. */
static unsigned offers(const struct pop3_capabilities *set)
{
    const bool flags[] = {
        set->known,
        set->top,
        set->uidl,
        set->user,
        set->stls,
        set->pipelining,
        set->utf8,
        set->resp_codes,
        set->sasl_plain,
        set->sasl_login,
        set->sasl,
        set->sasl_cram_md5,
        set->sasl_scram_sha_1,
        set->sasl_scram_sha_256,
        set->sasl_scram_sha_256_plus,
        set->sasl_xoauth2,
        set->sasl_oauthbearer,
        set->sasl_external,
    };
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        bits |= (unsigned)flags[i] << i;
    return bits;
}

static void add_lines(struct pop3_capabilities *set, struct slice lines)
{
    struct pop3_veil veil = {0};
    while (lines.len > 0) {
        const char *end = memchr(lines.data, '\n', lines.len);
        size_t len = end == NULL ? lines.len : (size_t)(end - lines.data);
        unsigned before = offers(set);
        pop3_capability_add(set, (struct slice){lines.data, len}, &veil);
        MUST((offers(set) & before) == before);
        lines = slice_skip(lines, end == NULL ? len : len + 1);
    }
}

static void check_text(const struct pop3_capabilities *set)
{
    size_t len = strnlen(set->implementation, sizeof(set->implementation));
    MUST(len < sizeof(set->implementation));
    for (size_t i = 0; i < len; i++)
        MUST(set->implementation[i] >= 0x20 && set->implementation[i] < 0x7f);
}

static void check_choice(const struct pop3_capabilities *set, unsigned switches)
{
    bool has_stamp = (switches & 1) != 0;
    bool tls = (switches & 2) != 0;
    for (unsigned i = 0; i < MECHANISM_WORDS_COUNT; i++) {
        enum pop3_auth wanted;
        enum pop3_auth chosen = POP3_AUTH_AUTO;
        if (!mechanism_pick(i, &wanted))
            continue;
        if (!pop3_mechanism_choose(wanted, set, has_stamp, tls, &chosen)) {
            MUST(chosen == POP3_AUTH_AUTO);
            continue;
        }
        MUST(chosen != POP3_AUTH_AUTO);
        MUST(wanted == POP3_AUTH_AUTO || chosen == wanted);
        MUST(chosen != POP3_AUTH_APOP || has_stamp);
        if (wanted == POP3_AUTH_AUTO && set->sasl_scram_sha_256)
            MUST(strncmp(pop3_mechanism(chosen)->name, "SCRAM-SHA-256", 13) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice lines = {(const char *)data + 1, size - 1};
    struct pop3_capabilities set;
    pop3_capability_start(&set);
    add_lines(&set, lines);
    check_text(&set);
    check_choice(&set, data[0]);

    char *upper = malloc(lines.len + 1);
    MUST(upper != NULL);
    for (size_t i = 0; i < lines.len; i++)
        upper[i] = (char)(lines.data[i] >= 'a' && lines.data[i] <= 'z' ? lines.data[i] - 32
                                                                       : lines.data[i]);
    struct pop3_capabilities again;
    pop3_capability_start(&again);
    for (int i = 0; i < 2; i++)
        add_lines(&again, (struct slice){upper, lines.len});
    free(upper);
    MUST(offers(&again) == offers(&set));
    MUST(again.login_delay_s == set.login_delay_s);
    return 0;
}
