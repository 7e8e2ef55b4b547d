/* SPDX-License-Identifier: MIT */
/* What became of each message in the lines of the journal. In memory; knows nothing of the index.
 */
#ifndef STORE_WISHES_H
#define STORE_WISHES_H

#include "journal.h"

struct wishes_line;

struct wishes {
    struct buffer texts;
    struct wishes_line *lines;
    size_t count, room;
};

void wishes_done(struct wishes *wishes);
/* Copies. False for want of memory. */
bool wishes_add(struct wishes *wishes, const struct store_removal *wish);
/* Of the lines for one message, which is a UIDL and evidence (or a size where either line has no
 * evidence), only the last is left; the others stay
 * in their order. */
void wishes_settle(struct wishes *wishes);
/* By message, for wishes_withdraw(); the order of the lines is lost. */
void wishes_sort(struct wishes *wishes);
/* The last line for the message of `going` took the wish back. Evidence decides where both have it;
 * a size of 0 says nothing. The lines must be sorted. */
bool wishes_withdraw(const struct wishes *wishes, const struct store_removal *going);
/* Borrowed until wishes_add() or wishes_done(). */
struct store_removal wishes_at(const struct wishes *wishes, size_t position);

#endif
