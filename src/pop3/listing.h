/* SPDX-License-Identifier: MIT */
/* Rows of UIDL and LIST, and the answer to STAT, as servers really write them. */
#ifndef POPFS_POP3_LISTING_H
#define POPFS_POP3_LISTING_H

#include "popfs/pop3.h"

/* False: the row makes no sense; nothing is set then. */
bool pop3_listing_parse_uidl(struct slice line, uint32_t *ret_msgnum, struct slice *ret_uidl);
/* *ret_octets is 0 if the row names a message but says nothing usable of its size. */
bool pop3_listing_parse_list(struct slice line, uint32_t *ret_msgnum, uint64_t *ret_octets);
/* Always sets both: an unreadable count is UINT32_MAX, unreadable octets are 0. */
void pop3_listing_parse_stat(struct slice text, uint32_t *ret_count, uint64_t *ret_octets);

#endif
