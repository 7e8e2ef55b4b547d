/* SPDX-License-Identifier: MIT */
/* Words that are not known are skipped: mailutils writes EXPIRENEVER, and every vendor has X-words.
 */
#include "capability.h"

void pop3_capability_start(struct pop3_capabilities *set)
{
    *set = (struct pop3_capabilities){.known = true};
}

void pop3_capability_assume(struct pop3_capabilities *set)
{
    /* popa3d and solid-pop3d have no CAPA, yet TOP and UIDL work there. */
    *set = (struct pop3_capabilities){.user = true, .top = true, .uidl = true};
}

static bool is_word(struct slice word, const char *name)
{
    return slice_equal_nocase(word, slice_from_string(name));
}

static void add_mechanisms(struct pop3_capabilities *set, struct slice rest)
{
    const struct {
        const char *name;
        bool *field;
    } mechanisms[] = {
        {"PLAIN", &set->sasl_plain},
        {"LOGIN", &set->sasl_login},
        {"CRAM-MD5", &set->sasl_cram_md5},
        {"SCRAM-SHA-1", &set->sasl_scram_sha_1},
        {"SCRAM-SHA-256", &set->sasl_scram_sha_256},
        {"SCRAM-SHA-256-PLUS", &set->sasl_scram_sha_256_plus},
        {"XOAUTH2", &set->sasl_xoauth2},
        {"OAUTHBEARER", &set->sasl_oauthbearer},
        {"EXTERNAL", &set->sasl_external},
    };
    for (;;) {
        struct slice word = slice_take_word(&rest);
        if (word.len == 0)
            return;
        set->sasl = true;
        for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
            *mechanisms[i].field |= is_word(word, mechanisms[i].name);
    }
}

static void add_argument(struct pop3_capabilities *set, struct slice word, struct slice rest,
                         struct pop3_veil *veil)
{
    uint64_t delay_s;
    if (is_word(word, "SASL"))
        add_mechanisms(set, rest);
    else if (is_word(word, "IMPLEMENTATION"))
        pop3_veil_escape(veil, slice_trim(rest), set->implementation, sizeof(set->implementation));
    else if (is_word(word, "LOGIN-DELAY") &&
             slice_to_number(slice_take_word(&rest), UINT32_MAX, &delay_s))
        set->login_delay_s = (uint32_t)delay_s;
}

void pop3_capability_add(struct pop3_capabilities *set, struct slice line, struct pop3_veil *veil)
{
    struct slice rest = line;
    struct slice word = slice_take_word(&rest);
    if (is_word(word, "TOP"))
        set->top = true;
    else if (is_word(word, "UIDL"))
        set->uidl = true;
    else if (is_word(word, "USER"))
        set->user = true;
    else if (is_word(word, "STLS"))
        set->stls = true;
    else if (is_word(word, "PIPELINING") || is_word(word, "PIPELINE")) /* twisted says the latter */
        set->pipelining = true;
    else if (is_word(word, "UTF8"))
        set->utf8 = true;
    else if (is_word(word, "RESP-CODES"))
        set->resp_codes = true;
    else
        add_argument(set, word, rest, veil);
}
