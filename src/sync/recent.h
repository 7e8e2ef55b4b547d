/* SPDX-License-Identifier: MIT */
/* The messages about which something was learnt since the pipe was last empty. A server that turns
 * out to have said a line too many or too few may have told it of other messages. */
#ifndef SYNC_RECENT_H
#define SYNC_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recent_message {
    uint64_t id;
    bool learnt_octets, learnt_time, learnt_evidence; /* none was known before */
};

struct recent {
    struct recent_message *messages;
    size_t count, room;
};

/* For want of memory the message is not noted. */
void recent_note(struct recent *recent, const struct recent_message *message);
/* The pipe is empty: each answer so far was the answer to its command. */
void recent_clear(struct recent *recent);
void recent_done(struct recent *recent);

#endif
