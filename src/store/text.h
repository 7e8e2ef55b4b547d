/* SPDX-License-Identifier: MIT */
/* Text of a header as reports show it. Knows no files. */
#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include "popfs/store.h"

/* At most STORE_TEXT_OCTETS_MAX octets of UTF-8, cut at a character; no blank at the end. */
struct slice text_cut(struct slice text);

#endif
