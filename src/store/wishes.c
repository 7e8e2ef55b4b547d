/* SPDX-License-Identifier: MIT */
#include "wishes.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_LEAST = 64 };

struct wishes_line {
    size_t number;  /* in the journal */
    size_t uidl_at; /* in the buffer */
    size_t uidl_len;
    uint64_t listed_octets;
    bool going;
};

void wishes_done(struct wishes *wishes)
{
    buffer_done(&wishes->uidls);
    free(wishes->lines);
    *wishes = (struct wishes){0};
}

bool wishes_add(struct wishes *wishes, const struct wish *wish)
{
    if (wishes->count == wishes->room) {
        size_t room = wishes->room == 0 ? LINES_LEAST : wishes->room * 2;
        struct wishes_line *lines = reallocarray(wishes->lines, room, sizeof(lines[0]));
        if (lines == NULL)
            return false;
        wishes->lines = lines;
        wishes->room = room;
    }
    size_t at = wishes->uidls.len;
    if (!buffer_append(&wishes->uidls, wish->uidl))
        return false;
    wishes->lines[wishes->count] =
        (struct wishes_line){wishes->count, at, wish->uidl.len, wish->listed_octets, wish->going};
    wishes->count++;
    return true;
}

static struct slice uidl_of(const struct wishes *wishes, const struct wishes_line *line)
{
    return (struct slice){buffer_slice(&wishes->uidls).data + line->uidl_at, line->uidl_len};
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_messages(const struct wishes *wishes, const struct wishes_line *a,
                            const struct wishes_line *b)
{
    if (a->uidl_len != b->uidl_len)
        return compare_numbers(a->uidl_len, b->uidl_len);
    int order = memcmp(uidl_of(wishes, a).data, uidl_of(wishes, b).data, a->uidl_len);
    return order != 0 ? order : compare_numbers(a->listed_octets, b->listed_octets);
}

static int by_message(const void *first, const void *second, void *wishes)
{
    const struct wishes_line *a = first, *b = second;
    int order = compare_messages(wishes, a, b);
    return order != 0 ? order : compare_numbers(a->number, b->number);
}

static int by_number(const void *first, const void *second)
{
    const struct wishes_line *a = first, *b = second;
    return compare_numbers(a->number, b->number);
}

void wishes_settle(struct wishes *wishes)
{
    struct wishes_line *lines = wishes->lines;
    size_t count = 0;
    if (wishes->count < 2)
        return;
    qsort_r(lines, wishes->count, sizeof(lines[0]), by_message, wishes);
    for (size_t i = 0; i < wishes->count; i++)
        if (i + 1 == wishes->count || compare_messages(wishes, &lines[i], &lines[i + 1]) != 0)
            lines[count++] = lines[i];
    wishes->count = count;
    qsort(lines, count, sizeof(lines[0]), by_number);
}

void wishes_sort(struct wishes *wishes)
{
    if (wishes->count > 1)
        qsort_r(wishes->lines, wishes->count, sizeof(wishes->lines[0]), by_message, wishes);
}

static int compare_uidls(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return compare_numbers(a.len, b.len);
    return memcmp(a.data, b.data, a.len);
}

bool wishes_withdraw(const struct wishes *wishes, struct slice uidl, uint64_t listed_octets)
{
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
        if (line->listed_octets != listed_octets && line->listed_octets != 0 && listed_octets != 0)
            continue;
        if (line->going)
            return false;
        withdrawn = true;
    }
    return withdrawn;
}

struct wish wishes_at(const struct wishes *wishes, size_t position)
{
    const struct wishes_line *line = &wishes->lines[position];
    return (struct wish){uidl_of(wishes, line), line->listed_octets, line->going};
}
