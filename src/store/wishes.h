/* SPDX-License-Identifier: MIT */
/* What became of each message in the lines of the journal. In memory; knows no file and no index.
 */
#ifndef STORE_WISHES_H
#define STORE_WISHES_H

#include "popfs/store.h"

struct wishes_line;

struct wishes {
    struct buffer texts;
    struct wishes_line *lines;
    size_t count, room;
};

/* What the index says of the message that has the UIDL of a wish. */
enum wishes_row {
    WISHES_ROW_NONE,
    WISHES_ROW_OTHER, /* another message has it */
    WISHES_ROW_OLDER, /* another message had it, before the wish; see wishes_match() */
    WISHES_ROW_SAME,
};

void wishes_done(struct wishes *wishes);
/* Copies. False for want of memory. */
bool wishes_add(struct wishes *wishes, const struct store_removal *wish);
/*
 * Leaves the wishes that have not been taken back, oldest first, and no two for one message: that
 * is a UIDL, and evidence, or a size where either line has no evidence, and a size of 0 says
 * nothing. `all_held`: each waits for the user to confirm it.
 */
void wishes_settle(struct wishes *wishes, bool all_held);
/* Borrowed until wishes_add() or wishes_done(). */
struct store_removal wishes_at(const struct wishes *wishes, size_t position);

/* By UIDL, for wishes_match(); wishes_settle() has put them by age. */
void wishes_sort_by_uidl(struct wishes *wishes);
void wishes_sort_by_age(struct wishes *wishes);
/*
 * The index has a message of this UIDL: notes what it is to each of the wishes for the UIDL.
 * *ret_position is the one for this very message; false if there is none. The last wish with
 * evidence stands then: a power cut may leave an index that is older than the journal, and the
 * message is asked for its evidence before it is deleted.
 */
bool wishes_match(struct wishes *wishes, const struct store_removal *row, size_t *ret_position);
/* Another message got the UIDL meanwhile. */
void wishes_note_other(struct wishes *wishes, size_t position);
enum wishes_row wishes_row_of(const struct wishes *wishes, size_t position);
/* An older wish has the same UIDL. */
bool wishes_is_twin(const struct wishes *wishes, size_t position);

#endif
