/* SPDX-License-Identifier: MIT */
/* A listing may have a million rows, so a row is read in one pass over its octets. */
#include "listing.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice skip_blanks(struct slice text)
{
    size_t blanks = 0;
    while (blanks < text.len && is_blank(text.data[blanks]))
        blanks++;
    return slice_skip(text, blanks);
}

/* Some servers repeat the status before each row. */
static struct slice skip_status(struct slice text)
{
    struct slice status = SLICE_LITERAL("+OK");
    if (!slice_has_prefix_nocase(text, status) || text.len == status.len ||
        !is_blank(text.data[status.len]))
        return text;
    return skip_blanks(slice_skip(text, status.len));
}

/* Takes the message number, 1 … 2^31 - 1, and the blanks around it off the front. */
static bool take_msgnum(struct slice *text, uint32_t *ret_msgnum)
{
    struct slice rest = skip_blanks(*text);
    if (rest.len > 0 && rest.data[0] == '+')
        rest = skip_status(rest);
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < rest.len && rest.data[digits] >= '0' && rest.data[digits] <= '9') {
        number = number * 10 + (uint64_t)(rest.data[digits] - '0');
        if (number > INT32_MAX)
            return false;
        digits++;
    }
    if (number == 0 || (digits < rest.len && !is_blank(rest.data[digits])))
        return false;
    *text = skip_blanks(slice_skip(rest, digits));
    *ret_msgnum = (uint32_t)number;
    return true;
}

bool pop3_listing_parse_uidl(struct slice line, uint32_t *ret_msgnum, struct slice *ret_uidl)
{
    uint32_t msgnum;
    if (!take_msgnum(&line, &msgnum))
        return false;
    /* All of the rest: a UIDL with a blank inside is illegal, but half of it would name two
     * messages. */
    struct slice uidl = slice_trim(line);
    if (uidl.len > POP3_UIDL_OCTETS_MAX)
        uidl.len = 0;
    *ret_msgnum = msgnum;
    *ret_uidl = uidl;
    return true;
}

bool pop3_uidl_names(struct slice text, uint32_t msgnum, struct slice uidl)
{
    uint32_t said;
    struct slice rest = text;
    if (uidl.len == 0)
        return false;
    if (slice_equal(slice_trim(text), uidl))
        return true;
    return take_msgnum(&rest, &said) && said == msgnum && slice_equal(slice_trim(rest), uidl);
}

bool pop3_listing_parse_list(struct slice line, uint32_t *ret_msgnum, uint64_t *ret_octets)
{
    uint32_t msgnum;
    if (!take_msgnum(&line, &msgnum))
        return false;
    /* "%!d(float64=5461)", "5461.5" and "-3" were seen: the message exists, its size is unknown. */
    uint64_t octets = 0;
    (void)slice_to_number(slice_take_word(&line), INT64_MAX, &octets);
    *ret_msgnum = msgnum;
    *ret_octets = octets;
    return true;
}

void pop3_listing_parse_stat(struct slice text, uint32_t *ret_count, uint64_t *ret_octets)
{
    uint64_t count = UINT32_MAX;
    uint64_t octets = 0;
    (void)slice_to_number(slice_take_word(&text), UINT32_MAX, &count);
    (void)slice_to_number(slice_take_word(&text), INT64_MAX, &octets);
    *ret_count = (uint32_t)count;
    *ret_octets = octets;
}
