/* SPDX-License-Identifier: MIT */
/*
 * A listing, from the rows that a server sends to the messages of the maildrop. Input: octet 0 the
 * switches (1: the server has no UIDL), then lines: 'U' and a row of UIDL, 'L' and a row of LIST,
 * 'S' and the text of STAT.
 *
 * Must hold: a row is read whole or not at all; the rows are joined as a slow search says; the same
 * listing twice is the same messages; ids rise; a removal never hits another message.
 */
#include "listing.h"
#include "pop3/listing.h"
#include "popfs/maildrop.h"
#include "target.h"

#include <string.h>

enum { ROWS_MAX = 200 };

struct row {
    uint32_t msgnum;
    struct slice uidl;
    uint64_t octets;
};

struct rows {
    struct row uidls[ROWS_MAX], lists[ROWS_MAX];
    size_t uidl_count, list_count;
};

/* ---- reading rows ---- */

static void read_uidl(struct slice line, struct rows *rows)
{
    struct row row = {.msgnum = 77, .uidl = {"kept", 4}};
    if (!pop3_listing_parse_uidl(line, &row.msgnum, &row.uidl)) {
        MUST(row.msgnum == 77 && row.uidl.len == 4);
        return;
    }
    MUST(row.msgnum >= 1 && row.msgnum <= INT32_MAX);
    MUST(row.uidl.len <= POP3_UIDL_OCTETS_MAX);
    MUST(row.uidl.data >= line.data && row.uidl.data + row.uidl.len <= line.data + line.len);
    MUST(slice_trim(row.uidl).len == row.uidl.len);
    if (rows->uidl_count < ROWS_MAX)
        rows->uidls[rows->uidl_count++] = row;
}

static void read_list(struct slice line, struct rows *rows)
{
    struct row row = {.msgnum = 77, .octets = 78};
    if (!pop3_listing_parse_list(line, &row.msgnum, &row.octets)) {
        MUST(row.msgnum == 77 && row.octets == 78);
        return;
    }
    MUST(row.msgnum >= 1 && row.msgnum <= INT32_MAX);
    MUST(row.octets <= INT64_MAX);
    if (rows->list_count < ROWS_MAX)
        rows->lists[rows->list_count++] = row;
}

static void read_stat(struct slice text)
{
    uint32_t count = 0;
    uint64_t octets = UINT64_MAX;
    pop3_listing_parse_stat(text, &count, &octets);
    MUST(octets <= INT64_MAX);
}

static void read_rows(struct slice lines, struct rows *rows)
{
    while (lines.len > 0) {
        const char *end = memchr(lines.data, '\n', lines.len);
        size_t len = end == NULL ? lines.len : (size_t)(end - lines.data);
        struct slice line = slice_skip((struct slice){lines.data, len}, 1);
        if (lines.data[0] == 'U')
            read_uidl(line, rows);
        else if (lines.data[0] == 'L')
            read_list(line, rows);
        else if (lines.data[0] == 'S')
            read_stat(line);
        lines = slice_skip(lines, end == NULL ? len : len + 1);
    }
}

/* ---- joining them ---- */

struct joined {
    struct listing *listing;
    const struct maildrop_row *rows;
    const uint32_t *msgnums;
    size_t count;
};

static void join(const struct rows *rows, bool made_up, struct joined *joined)
{
    joined->listing = listing_new();
    MUST(joined->listing != NULL);
    for (size_t i = 0; i < rows->uidl_count; i++)
        MUST(listing_add_uidl(joined->listing, rows->uidls[i].msgnum, rows->uidls[i].uidl) ==
             FAULT_NONE);
    for (size_t i = 0; i < rows->list_count; i++)
        MUST(listing_add_octets(joined->listing, rows->lists[i].msgnum, rows->lists[i].octets) ==
             FAULT_NONE);
    MUST(listing_join(joined->listing, made_up, &joined->rows, &joined->msgnums, &joined->count) ==
         FAULT_NONE);
}

/* The first row of UIDL with this number, of several one with an id; *ret_same: all of these say
 * the same. */
static const struct row *find_uidl(const struct rows *rows, uint32_t msgnum, bool *ret_same)
{
    const struct row *first = NULL;
    *ret_same = true;
    for (size_t i = 0; i < rows->uidl_count; i++) {
        if (rows->uidls[i].msgnum != msgnum)
            continue;
        if (first == NULL || first->uidl.len == 0)
            first = &rows->uidls[i];
        *ret_same = *ret_same &&
                    (rows->uidls[i].uidl.len == 0 || slice_equal(first->uidl, rows->uidls[i].uidl));
    }
    return first;
}

/* Where LIST has a number twice with two sizes, either will do. */
static bool octets_fit(const struct rows *rows, uint32_t msgnum, uint64_t octets)
{
    bool listed = false;
    for (size_t i = 0; i < rows->list_count; i++) {
        if (rows->lists[i].msgnum != msgnum)
            continue;
        listed = true;
        if (rows->lists[i].octets == octets)
            return true;
    }
    return !listed && octets == 0;
}

/* Numbers that are to be shown and to be hidden, by looking at each row anew. */
static void count_slowly(const struct rows *rows, bool made_up, size_t *ret_shown,
                         size_t *ret_hidden)
{
    const struct row *all = made_up ? rows->lists : rows->uidls;
    size_t count = made_up ? rows->list_count : rows->uidl_count;
    *ret_shown = 0;
    *ret_hidden = 0;
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || all[j].msgnum == all[i].msgnum;
        bool same = true;
        if (!made_up)
            find_uidl(rows, all[i].msgnum, &same);
        *ret_shown += !seen && same;
        *ret_hidden += !seen && !same;
    }
}

static bool is_made_up(const struct maildrop_row *row)
{
    return (row->octets & MAILDROP_MADE_UP) != 0;
}

/* No other message has it, whatever the server lists. */
static void check_made_up(const struct joined *joined, size_t at)
{
    char name[32];
    snprintf(name, sizeof(name), "msg-%u", joined->msgnums[at]);
    MUST(slice_has_prefix_nocase(joined->rows[at].uidl, slice_from_string(name)));
    for (size_t i = 0; i < joined->count; i++)
        MUST(i == at || !slice_equal(joined->rows[i].uidl, joined->rows[at].uidl));
}

static void check_joined(const struct rows *rows, bool made_up, const struct joined *joined)
{
    size_t shown;
    size_t hidden;
    count_slowly(rows, made_up, &shown, &hidden);
    MUST(joined->count == shown);
    MUST(listing_hidden_count(joined->listing) == hidden);
    for (size_t i = 0; i < joined->count; i++) {
        uint32_t msgnum = joined->msgnums[i];
        MUST(i == 0 || msgnum > joined->msgnums[i - 1]);
        MUST(octets_fit(rows, msgnum, joined->rows[i].octets & ~MAILDROP_MADE_UP));
        if (made_up) {
            char name[32];
            snprintf(name, sizeof(name), "msg-%u", msgnum);
            MUST(slice_equal(joined->rows[i].uidl, slice_from_string(name)));
        } else {
            bool same;
            const struct row *row = find_uidl(rows, msgnum, &same);
            MUST(row != NULL && same && is_made_up(&joined->rows[i]) == (row->uidl.len == 0));
            if (row->uidl.len == 0)
                check_made_up(joined, i);
            else
                MUST(slice_equal(joined->rows[i].uidl, row->uidl));
        }
    }
}

/* ---- what the maildrop makes of them ---- */

static void check_messages(struct maildrop *maildrop, const struct joined *joined,
                           struct maildrop_message **by_row)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(maildrop);
    MUST(maildrop_snapshot_count(snapshot) == joined->count);
    for (size_t i = 0; i < joined->count; i++) {
        size_t position;
        MUST(slice_equal(maildrop_message_uidl(by_row[i]), joined->rows[i].uidl));
        MUST(maildrop_message_listed_octets(by_row[i]) ==
             (joined->rows[i].octets & ~MAILDROP_MADE_UP));
        MUST(maildrop_snapshot_find(snapshot, maildrop_message_id(by_row[i]), &position));
        MUST(maildrop_snapshot_at(snapshot, position) == by_row[i]);
        size_t others = 0;
        for (size_t j = 0; j < joined->count; j++)
            others += j != i && slice_equal(joined->rows[j].uidl, joined->rows[i].uidl);
        MUST(maildrop_message_is_unique(by_row[i]) ==
             (others == 0 && !is_made_up(&joined->rows[i])));
    }
    for (size_t i = 1; i < joined->count; i++)
        MUST(maildrop_message_id(maildrop_snapshot_at(snapshot, i)) >
             maildrop_message_id(maildrop_snapshot_at(snapshot, i - 1)));
    maildrop_snapshot_unref(snapshot);
}

static void apply(struct maildrop *maildrop, const struct joined *joined, bool same_identity,
                  struct maildrop_message **ret_by_row, struct maildrop_changes *ret_changes)
{
    MUST(maildrop_apply(maildrop, joined->rows, joined->count, same_identity, 1000, ret_by_row,
                        ret_changes) == FAULT_NONE);
    check_messages(maildrop, joined, ret_by_row);
}

static void check_maildrop(const struct joined *joined, bool made_up)
{
    struct maildrop *maildrop = maildrop_new();
    MUST(maildrop != NULL);
    struct maildrop_message *first[ROWS_MAX];
    struct maildrop_message *second[ROWS_MAX];
    struct maildrop_changes changes;
    apply(maildrop, joined, true, first, &changes);
    MUST(changes.appeared_count == joined->count && changes.vanished_count == 0);
    maildrop_changes_done(&changes);
    /* The vanished ones stay alive in `first` while they are compared. */
    struct maildrop_snapshot *before = maildrop_snapshot(maildrop);
    apply(maildrop, joined, !made_up, second, &changes);
    for (size_t i = 0; i < joined->count; i++) {
        bool kept = !made_up && maildrop_message_is_unique(first[i]);
        MUST((first[i] == second[i]) == kept);
        MUST(maildrop_message_is_gone(first[i]) == !kept);
        MUST(!maildrop_message_is_gone(second[i]));
    }
    MUST(changes.appeared_count == changes.vanished_count);
    maildrop_changes_done(&changes);
    maildrop_snapshot_unref(before);
    maildrop_free(maildrop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool made_up = (data[0] & 1) != 0;
    static struct rows rows;
    rows.uidl_count = 0;
    rows.list_count = 0;
    struct joined joined;
    read_rows((struct slice){(const char *)data + 1, size - 1}, &rows);
    join(&rows, made_up, &joined);
    check_joined(&rows, made_up, &joined);
    check_maildrop(&joined, made_up);
    listing_free(joined.listing);
    return 0;
}
