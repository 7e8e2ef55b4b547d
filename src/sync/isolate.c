/* SPDX-License-Identifier: MIT */
#include "isolate.h"

enum {
    EARLY_MAX = 2,   /* pipelined sessions that broke before a second answer: it may be no chance */
    LIMIT_STOPS = 3, /* sessions that ended after as many DELEs: that is the server's limit */
};

void isolate_begin(struct isolate *isolate)
{
    struct isolate next = {.span = ISOLATE_ALL};
    if (isolate->is_limit) {
        next.stopped_at = isolate->stopped_at;
        next.stops_count = LIMIT_STOPS - 1;
    }
    if (isolate->careful && isolate->early_count > 0 && !isolate->breaks_anyway) {
        next.careful = true;
        next.span = ISOLATE_CAREFUL_MAX;
    }
    *isolate = next;
}

/* True once it is known that no session takes more. A session that breaks below a known limit does
 * so for another reason. */
static bool is_at_limit(struct isolate *isolate, size_t count)
{
    if (count == 0 || (isolate->is_limit && count < isolate->stopped_at))
        return false;
    isolate->stops_count = count == isolate->stopped_at ? isolate->stops_count + 1 : 1;
    isolate->stopped_at = count;
    isolate->is_limit = isolate->stops_count >= LIMIT_STOPS;
    return isolate->is_limit;
}

static void set_span(struct isolate *isolate, size_t span)
{
    if (isolate->is_limit && span > isolate->stopped_at)
        span = isolate->stopped_at;
    isolate->span = span;
}

static void note_early(struct isolate *isolate, const struct isolate_break *how)
{
    isolate->breaks_anyway |= !how->pipelined;
    if (how->pipelined && how->taken_count < 2)
        isolate->early_count++;
    isolate->suspects_first = isolate->early_count >= EARLY_MAX && !isolate->breaks_anyway;
}

void isolate_note_break(struct isolate *isolate, const struct isolate_break *how)
{
    size_t half = how->taken_count / 2;
    isolate->barren_count++;
    if (how->at_quit) {
        isolate->halved = true;
        set_span(isolate, half > 1 ? half : 1);
        return;
    }
    note_early(isolate, how);
    if (is_at_limit(isolate, how->taken_count) || how->taken_count > ISOLATE_CAREFUL_MAX ||
        (isolate->careful && how->taken_count > 0)) {
        set_span(isolate, how->taken_count);
    } else {
        isolate->careful = true;
        set_span(isolate, ISOLATE_CAREFUL_MAX);
    }
}

void isolate_note_refusals(struct isolate *isolate, size_t taken_count)
{
    set_span(isolate, is_at_limit(isolate, taken_count) ? taken_count : ISOLATE_ALL);
}

void isolate_note_progress(struct isolate *isolate)
{
    isolate->barren_count = 0;
    isolate->careful = false;
    isolate->halved &= isolate->span < ISOLATE_ALL / 2;
    set_span(isolate, isolate->halved ? isolate->span * 2 : ISOLATE_ALL);
}

bool isolate_acquit(struct isolate *isolate)
{
    return ++isolate->acquitted_count >= EARLY_MAX && !isolate->breaks_anyway;
}

bool isolate_gives_up(const struct isolate *isolate)
{
    return isolate->barren_count >= ISOLATE_BARREN_MAX;
}

bool isolate_is_calm(const struct isolate *isolate)
{
    return isolate->span == ISOLATE_ALL && isolate->barren_count == 0 && !isolate->careful &&
           isolate->early_count == 0;
}
