/* SPDX-License-Identifier: MIT */
/* What is to be sent. It may hold a password, so whatever it leaves behind, by sending or growing,
 * is wiped. */
#ifndef POPFS_POP3_OUTPUT_H
#define POPFS_POP3_OUTPUT_H

#include "popfs/base.h"

struct pop3_output {
    char *data;
    size_t capacity;
    size_t start; /* of what has not been sent */
    size_t len;
    uint64_t sent_octets; /* in all */
};

void pop3_output_done(struct pop3_output *output);
/* Drops and wipes what has not been sent. */
void pop3_output_clear(struct pop3_output *output);
/* Makes room for `octets` more, so that the appends that follow cannot fail. False for want of
 * memory. */
bool pop3_output_reserve(struct pop3_output *output, size_t octets);
/* Into room that was reserved. */
void pop3_output_append(struct pop3_output *output, struct slice bytes);
/* Whole lines, at most `most` octets unless the first line is longer. */
struct slice pop3_output_lines(const struct pop3_output *output, size_t most);
void pop3_output_sent(struct pop3_output *output, size_t octets);

#endif
