/* SPDX-License-Identifier: MIT */
/*
 * How fast answers must come, so that a server which sends an octet now and then holds nobody up:
 * a line is whole in the time that silence may last, an answer of several lines brings 1 KiB in a
 * minute (POP3.md rule 36). Pure: the time is the caller's.
 */
#ifndef SYNC_FLOW_H
#define SYNC_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOW_OCTETS = 1024, /* of an answer of several lines, at least, in FLOW_MS or the time-out */
    FLOW_MS = 60000,
    FLOW_SAMPLE_MS = 5000,
    FLOW_SLOW_OCTETS = 1024, /* a second; what is slower gives way to somebody who waits */
};

struct flow {
    int64_t owed_ms;    /* since when the line that comes next is owed */
    bool is_in_answer;  /* of several lines */
    bool is_in_body;    /* which has lines that are the mail's own */
    int64_t from_ms;    /* the last KiB of the answer was complete, or it began */
    uint64_t octets;    /* that have come since */
    int64_t begun_ms;   /* the answer */
    int64_t sample_ms;  /* since when octets are counted for the rate */
    uint64_t sampled;   /* octets since then */
    uint64_t rate;      /* octets a second, of the last sample that was complete */
    bool rate_is_known; /* of this answer */
};

/* The next line is owed from now on: one has come, or nothing was owed before. */
void flow_line(struct flow *flow, int64_t now_ms);
/* Something of an answer of several lines has come, of a body or a listing. */
void flow_answer(struct flow *flow, bool is_body, int64_t now_ms);
/* That answer has ended. */
void flow_answer_end(struct flow *flow, int64_t now_ms);
void flow_octets(struct flow *flow, size_t octets, int64_t now_ms);

/* When the server has taken too long for a line, if silence may last for `patience_ms`; INT64_MAX:
 * no line is owed. */
int64_t flow_line_by_ms(const struct flow *flow, int64_t patience_ms);
/* When it has taken too long for a KiB of the answer; INT64_MAX: there is none. */
int64_t flow_answer_by_ms(const struct flow *flow, int64_t timeout_ms);
/* The answer comes with less than FLOW_SLOW_OCTETS a second, as far as is known. */
bool flow_is_slow(const struct flow *flow, int64_t now_ms);
/* How long `octets` more of it take; INT64_MAX where nothing comes. */
int64_t flow_rest_ms(const struct flow *flow, uint64_t octets, int64_t now_ms);

#endif
