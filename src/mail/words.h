/* SPDX-License-Identifier: MIT */
/* Text of a header field made fit for people: encoded words (RFC 2047) read, raw 8-bit octets taken
 * for what they are most likely to be, everything that plays tricks on a terminal left out. */
#ifndef MAIL_WORDS_H
#define MAIL_WORDS_H

#include "field.h"

#include <gmime/gmime.h>

/* How GMime is to read; made once, never freed. Any thread. */
GMimeParserOptions *words_options(void);

/* Raw octets as UTF-8: as they are if that is what they are, else from Windows-1252. A new string.
 */
char *words_to_utf8(const char *text);
/* Reads the encoded words in UTF-8; a new string. */
char *words_decode(const char *text);
/* Without control, format and bidirectional characters, in NFC, blanks as one space and none at
 * either end; a new string. */
char *words_clean(const char *text);
/* The same of text that is nothing but ASCII without encoded words, which is quicker; NULL of any
 * other. */
char *words_clean_plain(const char *text);
/* At most `octets_max` of what words_clean() gave, cut at a character; no blank at the end. */
struct slice words_cut(const char *text, size_t octets_max);

#endif
