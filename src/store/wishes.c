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
    bool going;
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

/* The line at `position` has a later one for the same message. A size of 0 is a size here: the
 * line that says more stays. */
static bool has_later(const struct wishes *wishes, size_t position)
{
    const struct wishes_line *line = &wishes->lines[position];
    for (size_t i = position + 1; i < wishes->count; i++) {
        const struct wishes_line *later = &wishes->lines[i];
        if (compare_uidls(uidl_of(wishes, line), uidl_of(wishes, later)) != 0)
            return false;
        bool are_proven = evidence_is_known(&line->evidence) && evidence_is_known(&later->evidence);
        if (are_proven ? evidence_is_equal(&line->evidence, &later->evidence)
                       : line->listed_octets == later->listed_octets)
            return true;
    }
    return false;
}

void wishes_settle(struct wishes *wishes)
{
    struct wishes_line *lines = wishes->lines;
    size_t count = 0;
    if (wishes->count < 2)
        return;
    qsort_r(lines, wishes->count, sizeof(lines[0]), by_message, wishes);
    for (size_t i = 0; i < wishes->count; i++)
        if (!has_later(wishes, i))
            lines[count++] = lines[i];
    wishes->count = count;
    qsort(lines, count, sizeof(lines[0]), by_number);
}

void wishes_sort(struct wishes *wishes)
{
    if (wishes->count > 1)
        qsort_r(wishes->lines, wishes->count, sizeof(wishes->lines[0]), by_message, wishes);
}

static bool is_same(const struct wishes_line *line, const struct store_removal *going)
{
    if (evidence_is_known(&line->evidence) && evidence_is_known(&going->evidence))
        return evidence_is_equal(&line->evidence, &going->evidence);
    return line->listed_octets == going->listed_octets || line->listed_octets == 0 ||
           going->listed_octets == 0;
}

bool wishes_withdraw(const struct wishes *wishes, const struct store_removal *going)
{
    struct slice uidl = going->uidl;
    size_t low = 0, high = wishes->count;
    bool withdrawn = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_uidls(uidl_of(wishes, &wishes->lines[middle]), uidl) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < wishes->count; low++) {
        const struct wishes_line *line = &wishes->lines[low];
        if (compare_uidls(uidl_of(wishes, line), uidl) != 0)
            break;
        if (!is_same(line, going))
            continue;
        if (line->going)
            return false;
        withdrawn = true;
    }
    return withdrawn;
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
    };
}
