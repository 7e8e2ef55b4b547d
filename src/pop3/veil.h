/* SPDX-License-Identifier: MIT */
/*
 * What a server says passes here on its way to a person: a server may repeat a secret that it was
 * told, in this line or in a later one, and logs are pasted into bug reports (POP3.md rule 28).
 * Nothing else in this folder shows a server's words, and every event's text for people has passed.
 */
#ifndef POPFS_POP3_VEIL_H
#define POPFS_POP3_VEIL_H

#include "popfs/pop3.h"

/* No more of a server's words is shown at once; and a line of 8 KiB would cost milliseconds. */
enum { POP3_VEIL_OCTETS_MAX = 1024 };

struct pop3_veil_word;

/* A zeroed one is valid and covers nothing. */
struct pop3_veil {
    struct slice password;        /* borrowed: no copy outlives the login */
    struct pop3_veil_word *words; /* what was said that proves it; wiped */
    struct pop3_veil_work *work;  /* room to read a text in; wiped after each */
    uint32_t *pieces; /* of a token, by their hashes: where each begins, plus 1; 0: none */
    size_t pieces_mask;
    struct buffer covered;
};

/* False for want of memory. `password` is borrowed until pop3_veil_done(). */
bool pop3_veil_init(struct pop3_veil *veil, const char *password);
/* Wipes. */
void pop3_veil_done(struct pop3_veil *veil);

/*
 * This part of a login was said, and is not to be shown. What holds the password itself, in base64
 * or not, is known anyway and not copied. False for want of memory.
 */
bool pop3_veil_add(struct pop3_veil *veil, struct slice said);

/*
 * The text with *** in place of each secret, or all of it gone behind one *** where stars among the
 * rest would tell something: for a piece of the password, which may be a word of a well-known text
 * (one of a token is not),
 * for a password of less than four octets, and for one of less than eight inside a word. Valid
 * until the next call for this veil; the text itself where there is nothing to hide. At most
 * POP3_VEIL_OCTETS_MAX octets of it are looked at, and the rest is dropped.
 *
 * A secret is found as it was said, in any case; with its octets written as %41, \x41, \u0041, \101
 * or behind a backslash; within base64 of either alphabet, whatever stands around it there; and if
 * the server cut it short or broke it up, as any eight octets of it in a row, or sixteen of one
 * that has more than 256.
 */
struct slice pop3_veil_over(struct pop3_veil *veil, struct slice text);

/* The same, made harmless on a terminal, as text_escape() has it. */
const char *pop3_veil_escape(struct pop3_veil *veil, struct slice text, char *out, size_t capacity);

#endif
