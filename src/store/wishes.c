/* SPDX-License-Identifier: MIT */
#include "wishes.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_LEAST = 64 };

struct wishes_line {
    size_t number;   /* in the journal */
    size_t texts_at; /* UIDL, sender and subject in the buffer, one behind the other */
    size_t uidl_len, from_len, subject_len;
    struct evidence evidence;
    uint64_t listed_octets;
    int64_t time_s;
    bool going, held;
    bool is_twin;        /* an older wish has the same UIDL */
    enum wishes_row row; /* of the message that the index has */
};

void wishes_done(struct wishes *wishes)
{
    buffer_done(&wishes->texts);
    free(wishes->lines);
    *wishes = (struct wishes){0};
}

bool wishes_add(struct wishes *wishes, const struct store_removal *wish)
{
    if (wishes->count == wishes->room) {
        size_t room = wishes->room == 0 ? LINES_LEAST : wishes->room * 2;
        struct wishes_line *lines = reallocarray(wishes->lines, room, sizeof(lines[0]));
        if (lines == NULL)
            return false;
        wishes->lines = lines;
        wishes->room = room;
    }
    size_t at = wishes->texts.len;
    if (!buffer_append(&wishes->texts, wish->uidl) || !buffer_append(&wishes->texts, wish->from) ||
        !buffer_append(&wishes->texts, wish->subject)) {
        wishes->texts.len = at;
        return false;
    }
    wishes->lines[wishes->count] = (struct wishes_line){
        .number = wishes->count,
        .texts_at = at,
        .uidl_len = wish->uidl.len,
        .from_len = wish->from.len,
        .subject_len = wish->subject.len,
        .evidence = wish->evidence,
        .listed_octets = wish->listed_octets,
        .time_s = wish->time_s,
        .going = wish->going,
        .held = wish->held,
    };
    wishes->count++;
    return true;
}

static struct slice uidl_of(const struct wishes *wishes, const struct wishes_line *line)
{
    return (struct slice){buffer_slice(&wishes->texts).data + line->texts_at, line->uidl_len};
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_uidls(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return compare_numbers(a.len, b.len);
    return memcmp(a.data, b.data, a.len);
}

static int by_message(const void *first, const void *second, void *wishes)
{
    const struct wishes_line *a = first, *b = second;
    int order = compare_uidls(uidl_of(wishes, a), uidl_of(wishes, b));
    return order != 0 ? order : compare_numbers(a->number, b->number);
}

static int by_number(const void *first, const void *second)
{
    const struct wishes_line *a = first, *b = second;
    return compare_numbers(a->number, b->number);
}

/* Evidence decides where both have it. */
static bool is_same(const struct wishes_line *line, const struct evidence *evidence,
                    uint64_t listed_octets)
{
    if (evidence_is_known(&line->evidence) && evidence_is_known(evidence))
        return evidence_is_equal(&line->evidence, evidence);
    return line->listed_octets == listed_octets || line->listed_octets == 0 || listed_octets == 0;
}

/* The same of the index, which may be older than the line and have evidence by TOP where the line
 * has some by RETR. */
static bool is_of_row(const struct wishes_line *line, const struct store_removal *row)
{
    struct evidence known = row->evidence;
    if (!evidence_is_equal(&line->evidence, &known) && !evidence_is_of_two(&line->evidence, &known))
        known = (struct evidence){0};
    return is_same(line, &known, row->listed_octets);
}

/* The end of the lines that have the UIDL of the one at `begin`. */
static size_t group_end(const struct wishes *wishes, size_t begin)
{
    struct slice uidl = uidl_of(wishes, &wishes->lines[begin]);
    size_t end = begin + 1;
    while (end < wishes->count && compare_uidls(uidl_of(wishes, &wishes->lines[end]), uidl) == 0)
        end++;
    return end;
}

/* Moves what is left of a group to `kept`, one after the other. */
static size_t settle_group(struct wishes_line *lines, size_t begin, size_t end, size_t kept)
{
    size_t first = kept;
    for (size_t i = begin; i < end; i++) {
        const struct wishes_line line = lines[i];
        size_t left = first;
        for (size_t earlier = first; earlier < kept; earlier++)
            if (!is_same(&lines[earlier], &line.evidence, line.listed_octets))
                lines[left++] = lines[earlier];
        kept = left;
        if (!line.going)
            continue;
        lines[kept] = line;
        lines[kept++].is_twin = left > first;
    }
    return kept;
}

void wishes_settle(struct wishes *wishes, bool all_held)
{
    size_t kept = 0;
    wishes_sort_by_uidl(wishes);
    for (size_t begin = 0; begin < wishes->count;) {
        size_t end = group_end(wishes, begin);
        kept = settle_group(wishes->lines, begin, end, kept);
        begin = end;
    }
    wishes->count = kept;
    for (size_t i = 0; i < kept; i++)
        wishes->lines[i].held |= all_held;
    wishes_sort_by_age(wishes);
}

void wishes_sort_by_uidl(struct wishes *wishes)
{
    if (wishes->count > 1)
        qsort_r(wishes->lines, wishes->count, sizeof(wishes->lines[0]), by_message, wishes);
}

void wishes_sort_by_age(struct wishes *wishes)
{
    if (wishes->count > 1)
        qsort(wishes->lines, wishes->count, sizeof(wishes->lines[0]), by_number);
}

bool wishes_match(struct wishes *wishes, const struct store_removal *row, size_t *ret_position)
{
    size_t low = 0, high = wishes->count;
    bool found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_uidls(uidl_of(wishes, &wishes->lines[middle]), row->uidl) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    struct wishes_line *provable = NULL;
    for (; low < wishes->count; low++) {
        struct wishes_line *line = &wishes->lines[low];
        if (compare_uidls(uidl_of(wishes, line), row->uidl) != 0)
            break;
        bool same = is_of_row(line, row);
        line->row = same ? WISHES_ROW_SAME : WISHES_ROW_OTHER;
        if (same)
            *ret_position = low;
        found |= same;
        if (evidence_is_known(&line->evidence))
            provable = line;
    }
    if (!found && provable != NULL)
        provable->row = WISHES_ROW_OLDER;
    return found;
}

void wishes_note_other(struct wishes *wishes, size_t position)
{
    wishes->lines[position].row = WISHES_ROW_OTHER;
}

enum wishes_row wishes_row_of(const struct wishes *wishes, size_t position)
{
    return wishes->lines[position].row;
}

bool wishes_is_twin(const struct wishes *wishes, size_t position)
{
    return wishes->lines[position].is_twin;
}

struct store_removal wishes_at(const struct wishes *wishes, size_t position)
{
    const struct wishes_line *line = &wishes->lines[position];
    const char *texts = buffer_slice(&wishes->texts).data + line->texts_at;
    return (struct store_removal){
        .uidl = {texts, line->uidl_len},
        .listed_octets = line->listed_octets,
        .evidence = line->evidence,
        .time_s = line->time_s,
        .from = {texts + line->uidl_len, line->from_len},
        .subject = {texts + line->uidl_len + line->from_len, line->subject_len},
        .going = line->going,
        .held = line->held,
    };
}
