/* SPDX-License-Identifier: MIT */
/* A line of the journal of removals, and the chain of several. Pure. */
#ifndef STORE_JOURNAL_LINE_H
#define STORE_JOURNAL_LINE_H

#include "journal.h"

enum {
    JOURNAL_UIDL_OCTETS_MAX = 1000, /* twice what any server is known to send */
    JOURNAL_CONTENT_OCTETS_MAX = 3 * (JOURNAL_UIDL_OCTETS_MAX + 2 * STORE_TEXT_OCTETS_MAX) + 160,
};

/* Where the texts of a line go that was read. */
struct journal_texts {
    char uidl[JOURNAL_UIDL_OCTETS_MAX];
    char from[STORE_TEXT_OCTETS_MAX], subject[STORE_TEXT_OCTETS_MAX];
};

/* A line as it was read. */
struct journal_line {
    uint64_t number; /* 0: of popfs 0.1 */
    uint32_t link;   /* the checksum of the line before */
    uint32_t sum;
    struct slice content;
    bool is_wish;
};

/* FNV-1a: against accidents, nothing else. */
uint32_t journal_sum(struct slice bytes);

/* What stands between the checksums; 0 octets if the UIDL is too long or empty. */
size_t journal_content_format(const struct store_removal *wish,
                              char content[JOURNAL_CONTENT_OCTETS_MAX]);
/* False: it is not whole. *ret_wish only of a line that is a wish; both borrow from `text` and
 * `texts`. */
bool journal_line_parse(struct slice text, struct journal_texts *texts,
                        struct journal_line *ret_line, struct store_removal *ret_wish);

void journal_chain_count(struct journal_chain *chain, struct slice content);
/* Adds the lines of `contents` to the chain, and to `lines` as they stand in a file. Only `octets`
 * of them have come to the disk: those that are whole belong to the chain. False for want of
 * memory. */
bool journal_chain_all(struct journal_chain *chain, struct slice contents, size_t octets,
                       struct buffer *lines);

#endif
