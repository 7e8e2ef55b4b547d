/* SPDX-License-Identifier: MIT */
/*
 * window = rate × (round trip + WINDOW_QUEUE_MS). The rate is that of octets while they come: a
 * pause in which the line waits for us does not count. So one burst shows how fast the line is, and
 * a window that was too small for it fits after a round trip or a few.
 */
#include "window.h"

enum {
    ROUND_TRIP_GUESS_MS = 100,
    INTERVAL_MS = 50,
    /* A window that is small for the line comes in one burst and ends before any interval: still
     * it says how fast the line is. Not less than this, because a burst may have waited for us. */
    BURST_MS_LEAST = 25,
    /* A listing of some thousand messages takes no longer, and what follows it is a sweep of
     * headers, which would find the line idle for two round trips. */
    FIRST_INTERVAL_MS = 10,
};

void window_init(struct window *window)
{
    *window = (struct window){.round_trip_ms = -1, .interval_start_ms = -1};
}

void window_note_round_trip(struct window *window, int64_t elapsed_ms)
{
    if (window->round_trip_ms < 0 || elapsed_ms < window->round_trip_ms)
        window->round_trip_ms = elapsed_ms;
}

static void end_interval(struct window *window, int64_t elapsed_ms)
{
    uint64_t rate = window->interval_octets * 1000 / (uint64_t)elapsed_ms;
    uint64_t faded = window->rate - window->rate / 8;
    window->rate = rate > faded ? rate : faded;
}

/* Most of a round trip without an octet: the line was not slow, too little had been asked for. */
static bool has_paused(const struct window *window, int64_t now_ms)
{
    int64_t pause_ms = window->round_trip_ms / 2;
    return now_ms - window->heard_ms >= (pause_ms > BURST_MS_LEAST ? pause_ms : BURST_MS_LEAST);
}

void window_note_octets(struct window *window, uint64_t octets, int64_t now_ms)
{
    if (window->interval_start_ms >= 0 && has_paused(window, now_ms))
        window_note_idle(window);
    window->heard_ms = now_ms;
    if (window->interval_start_ms < 0) {
        window->interval_start_ms = now_ms;
        window->interval_octets = 0;
        return;
    }
    window->interval_octets += octets;
    int64_t elapsed_ms = now_ms - window->interval_start_ms;
    if (elapsed_ms < (window->rate == 0 ? FIRST_INTERVAL_MS : INTERVAL_MS))
        return;
    end_interval(window, elapsed_ms);
    window->interval_start_ms = now_ms;
    window->interval_octets = 0;
}

void window_note_idle(struct window *window)
{
    if (window->interval_start_ms >= 0 && window->interval_octets > 0) {
        int64_t elapsed_ms = window->heard_ms - window->interval_start_ms;
        end_interval(window, elapsed_ms > BURST_MS_LEAST ? elapsed_ms : BURST_MS_LEAST);
    }
    window->interval_start_ms = -1;
}

uint64_t window_octets(const struct window *window)
{
    int64_t round_trip_ms = window->round_trip_ms < 0 ? ROUND_TRIP_GUESS_MS : window->round_trip_ms;
    uint64_t wanted = window->rate * (uint64_t)(round_trip_ms + WINDOW_QUEUE_MS) / 1000;
    if (wanted < WINDOW_OCTETS_MIN)
        return WINDOW_OCTETS_MIN;
    return wanted < WINDOW_OCTETS_MAX ? wanted : WINDOW_OCTETS_MAX;
}
