/* SPDX-License-Identifier: MIT */
/*
 * A line is
 *
 *     7 89abcdef + 4711 UIDL EVIDENCE 1700000000 FROM SUBJECT 0123abcd
 *
 * its number, the checksum of the line before it, its kind (+ is to go, ? is to go if the user says
 * so once more, - is not to go, = means nothing), what LIST said, the UIDL, the evidence in
 * hexadecimal digits, the date in seconds of the epoch, sender and subject, and a checksum of all
 * this. What is not plain in a text is %XX, and what is not known is a hyphen alone. A line of
 * another kind is passed over and kept. Lines of popfs 0.1 have no number, and end after the UIDL.
 */
#include "journal_line.h"

#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint32_t journal_sum(struct slice bytes)
{
    uint32_t sum = 2166136261U;
    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ (unsigned char)bytes.data[i]) * 16777619U;
    return sum;
}

static bool is_plain(char c)
{
    return c > ' ' && c < 0x7f && c != '%';
}

static const char digits[] = "0123456789abcdef";

static size_t escape(struct slice text, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_plain(text.data[i])) {
            out[used++] = text.data[i];
            continue;
        }
        out[used++] = '%';
        out[used++] = digits[c >> 4];
        out[used++] = digits[c & 15];
    }
    return used;
}

/* A blank before it; a hyphen stands for an empty text, and not for itself. */
static size_t escape_text(struct slice text, char *out)
{
    text = text_cut(text);
    out[0] = ' ';
    if (slice_equal(text, SLICE_LITERAL("-"))) {
        memcpy(out + 1, "%2d", 3);
        return 4;
    }
    if (text.len == 0)
        text = SLICE_LITERAL("-");
    return 1 + escape(text, out + 1);
}

static size_t evidence_format(const struct evidence *evidence, char *out)
{
    size_t used = 0;
    out[used++] = ' ';
    if (!evidence_is_known(evidence)) {
        out[used++] = '-';
        return used;
    }
    for (size_t i = 0; i < sizeof(evidence->octets); i++) {
        out[used++] = digits[evidence->octets[i] >> 4];
        out[used++] = digits[evidence->octets[i] & 15];
    }
    return used;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unescape(struct slice text, size_t octets_max, char *out, struct slice *ret_text)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (used == octets_max)
            return false;
        out[used] = text.data[i];
        if (text.data[i] == '%') {
            int high = i + 2 < text.len ? digit_value(text.data[i + 1]) : -1;
            int low = high < 0 ? -1 : digit_value(text.data[i + 2]);
            if (low < 0)
                return false;
            out[used] = (char)(high << 4 | low);
            i += 2;
        }
        used++;
    }
    *ret_text = (struct slice){out, used};
    return used > 0;
}

static char kind_of(const struct store_removal *wish)
{
    if (!wish->going)
        return '-';
    return wish->held ? '?' : '+';
}

size_t journal_content_format(const struct store_removal *wish,
                              char content[JOURNAL_CONTENT_OCTETS_MAX])
{
    if (wish->uidl.len == 0 || wish->uidl.len > JOURNAL_UIDL_OCTETS_MAX)
        return 0;
    size_t len = (size_t)snprintf(content, JOURNAL_CONTENT_OCTETS_MAX, "%c %" PRIu64 " ",
                                  kind_of(wish), wish->listed_octets);
    len += escape(wish->uidl, content + len);
    len += evidence_format(&wish->evidence, content + len);
    if (wish->time_s == STORE_TIME_UNKNOWN)
        len += escape_text((struct slice){0}, content + len);
    else
        len += (size_t)snprintf(content + len, JOURNAL_CONTENT_OCTETS_MAX - len, " %" PRId64,
                                wish->time_s);
    len += escape_text(wish->from, content + len);
    return len + escape_text(wish->subject, content + len);
}

static bool evidence_parse(struct slice word, struct evidence *ret_evidence)
{
    struct evidence evidence;
    if (slice_equal(word, SLICE_LITERAL("-")))
        return true;
    if (word.len != 2 * sizeof(evidence.octets))
        return false;
    for (size_t i = 0; i < sizeof(evidence.octets); i++) {
        int high = digit_value(word.data[2 * i]), low = digit_value(word.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        evidence.octets[i] = (unsigned char)(high << 4 | low);
    }
    *ret_evidence = evidence;
    return true;
}

static bool time_parse(struct slice word, int64_t *ret_time_s)
{
    uint64_t seconds;
    if (slice_equal(word, SLICE_LITERAL("-")))
        return true;
    bool is_negative = word.len > 0 && word.data[0] == '-';
    if (!slice_to_number(slice_skip(word, is_negative), INT64_MAX, &seconds))
        return false;
    *ret_time_s = is_negative ? -(int64_t)seconds : (int64_t)seconds;
    return true;
}

static bool text_parse(struct slice word, char out[STORE_TEXT_OCTETS_MAX], struct slice *ret_text)
{
    return slice_equal(word, SLICE_LITERAL("-")) ||
           unescape(word, STORE_TEXT_OCTETS_MAX, out, ret_text);
}

/* A line of popfs 0.1.0 and 0.1.1 has nothing here. */
static bool proof_parse(struct slice rest, struct journal_texts *texts, struct store_removal *wish)
{
    struct slice word = slice_take_word(&rest);
    if (word.len == 0)
        return true;
    return evidence_parse(word, &wish->evidence) &&
           time_parse(slice_take_word(&rest), &wish->time_s) &&
           text_parse(slice_take_word(&rest), texts->from, &wish->from) &&
           text_parse(slice_take_word(&rest), texts->subject, &wish->subject);
}

/* The last word is the checksum of all that stands before it; *ret_rest is that. */
static bool sum_parse(struct slice line, struct slice *ret_rest, uint32_t *ret_sum)
{
    char sum[10];
    if (line.len < sizeof(sum))
        return false;
    *ret_rest = (struct slice){line.data, line.len - 9};
    *ret_sum = journal_sum(*ret_rest);
    snprintf(sum, sizeof(sum), " %08" PRIx32, *ret_sum);
    return memcmp(line.data + ret_rest->len, sum, 9) == 0;
}

/* `content` of a line that is to go or not. */
static bool wish_parse(struct slice content, struct journal_texts *texts,
                       struct store_removal *ret_wish)
{
    struct slice kind = slice_take_word(&content);
    struct slice octets = slice_take_word(&content);
    struct slice escaped = slice_take_word(&content);
    bool is_held = slice_equal(kind, SLICE_LITERAL("?"));
    *ret_wish = (struct store_removal){.time_s = STORE_TIME_UNKNOWN,
                                       .going = is_held || slice_equal(kind, SLICE_LITERAL("+")),
                                       .held = is_held};
    return (ret_wish->going || slice_equal(kind, SLICE_LITERAL("-"))) &&
           slice_to_number(octets, INT64_MAX, &ret_wish->listed_octets) &&
           unescape(escaped, JOURNAL_UIDL_OCTETS_MAX, texts->uidl, &ret_wish->uidl) &&
           proof_parse(content, texts, ret_wish);
}

static bool link_parse(struct slice word, uint32_t *ret_link)
{
    uint32_t link = 0;
    for (size_t i = 0; i < word.len; i++) {
        int value = digit_value(word.data[i]);
        if (value < 0)
            return false;
        link = link << 4 | (uint32_t)value;
    }
    *ret_link = link;
    return word.len == 8;
}

bool journal_line_parse(struct slice text, struct journal_texts *texts,
                        struct journal_line *ret_line, struct store_removal *ret_wish)
{
    struct slice rest;
    *ret_line = (struct journal_line){.number = 0};
    if (!sum_parse(text, &rest, &ret_line->sum))
        return false;
    if (rest.data[0] == '+' || rest.data[0] == '-') {
        ret_line->content = rest;
        ret_line->is_wish = true;
        return wish_parse(rest, texts, ret_wish);
    }
    if (!slice_to_number(slice_take_word(&rest), INT64_MAX, &ret_line->number) ||
        ret_line->number == 0 || !link_parse(slice_take_word(&rest), &ret_line->link) ||
        rest.len < 2)
        return false;
    rest = slice_skip(rest, 1);
    ret_line->content = rest;
    struct slice kind = slice_take_word(&rest);
    ret_line->is_wish = kind.len == 1 && strchr("+-?", kind.data[0]) != NULL;
    return !ret_line->is_wish || wish_parse(ret_line->content, texts, ret_wish);
}

/* ---- the chain ---- */

void journal_chain_count(struct journal_chain *chain, struct slice content)
{
    bool is_alone = content.len == 1 || content.data[1] == ' ';
    char kind = is_alone ? content.data[0] : '\0';
    chain->lines_count++;
    if (kind == '+' || kind == '?')
        chain->going_count++;
    else if (kind == '-')
        chain->going_count -= chain->going_count > 0;
    else if (kind != '=')
        chain->others_count++;
}

/* Adds the line end and the line. */
static bool chain_append(struct journal_chain *chain, struct slice content, struct buffer *lines)
{
    size_t at = lines->len;
    if (!buffer_printf(lines, "\n%" PRIu64 " %08" PRIx32 " ", chain->number + 1, chain->sum) ||
        !buffer_append(lines, content))
        return false;
    uint32_t sum = journal_sum(slice_skip(buffer_slice(lines), at + 1));
    if (!buffer_printf(lines, " %08" PRIx32, sum))
        return false;
    chain->number++;
    chain->sum = sum;
    journal_chain_count(chain, content);
    return true;
}

bool journal_chain_all(struct journal_chain *chain, struct slice contents, size_t octets,
                       struct buffer *lines)
{
    while (contents.len > 0) {
        const char *line_end = memchr(contents.data, '\n', contents.len);
        size_t len = line_end == NULL ? contents.len : (size_t)(line_end - contents.data);
        struct journal_chain longer = *chain;
        if (!chain_append(&longer, (struct slice){contents.data, len}, lines))
            return false;
        if (lines->len > octets)
            break;
        *chain = longer;
        contents = slice_skip(contents, len + (line_end != NULL));
    }
    return true;
}
