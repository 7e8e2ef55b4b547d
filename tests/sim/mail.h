/* SPDX-License-Identifier: MIT */
/*
 * mail: messages as they are found in real maildrops, the odd ones included.
 *
 * Without Message-ID, without header, empty, with dates in old forms, dot lines, NUL, 8-bit octets,
 * bare CR and LF, lines that look like a POP3 status, lines of many KiB, and no end to the last
 * one.
 */
#ifndef POPFS_SIM_MAIL_H
#define POPFS_SIM_MAIL_H

#include "random.h"

#include "popfs/base.h"

enum { SIM_MAIL_OCTETS_MAX = 110000 };

/* Appends a message, as a server stores it; `serial` is in its text, so that no two look alike. */
void sim_mail_write(struct sim_random *random, uint64_t serial, struct buffer *out);

/* The octets up to and with the blank line that ends the header; all of them if there is none, 0 if
 * they begin with the blank line. */
size_t sim_mail_header_octets(struct slice octets);

#endif
