/* SPDX-License-Identifier: MIT */
/*
 * How much may be outstanding that nobody is waiting for: enough to keep the line full, little
 * enough that whoever comes waiting does not queue for long behind it. Pure.
 */
#ifndef SYNC_WINDOW_H
#define SYNC_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WINDOW_OCTETS_MIN = 256 * 1024,
    WINDOW_OCTETS_MAX = 32 * 1024 * 1024, /* 200 ms at 1 Gbit/s is 25 MB */
    WINDOW_QUEUE_MS = 100, /* what a newcomer may have to wait behind, at the line's rate */
};

struct window {
    int64_t round_trip_ms; /* the least seen */
    uint64_t rate;         /* octets a second */
    uint64_t interval_octets;
    int64_t interval_start_ms; /* -1: the line is idle */
    int64_t heard_ms;          /* when the last octets came */
};

void window_init(struct window *window);
/* A command was sent with nothing else outstanding, and its answer began `elapsed_ms` later. */
void window_note_round_trip(struct window *window, int64_t elapsed_ms);
/* `octets` have arrived. */
void window_note_octets(struct window *window, uint64_t octets, int64_t now_ms);
/* Nothing is owed any more: the time until the next command says nothing about the line. */
void window_note_idle(struct window *window);
uint64_t window_octets(const struct window *window);

#endif
