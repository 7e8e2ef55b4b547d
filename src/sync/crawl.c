/* SPDX-License-Identifier: MIT */
#include "crawl.h"

static uint64_t octets_at(const struct maildrop_snapshot *snapshot, size_t position)
{
    return maildrop_message_octets(maildrop_snapshot_at(snapshot, position), NULL);
}

void crawl_reset(struct crawl *crawl)
{
    *crawl = (struct crawl){0};
}

static bool lane_expects(const struct crawl_lane *lane, size_t position)
{
    size_t end = lane->end > lane->next + CRAWL_SLACK ? lane->end : lane->next + CRAWL_SLACK;
    return lane->used && position + CRAWL_SLACK >= lane->next && position < end;
}

static struct crawl_lane *find_lane(struct crawl *crawl, size_t position)
{
    struct crawl_lane *oldest = &crawl->lanes[0];
    for (size_t i = 0; i < CRAWL_LANES_COUNT; i++) {
        struct crawl_lane *lane = &crawl->lanes[i];
        if (lane_expects(lane, position))
            return lane;
        if (!lane->used || (oldest->used && lane->stamp < oldest->stamp))
            oldest = lane;
    }
    *oldest = (struct crawl_lane){.used = true, .next = position, .end = position};
    return oldest;
}

/* The reader is at `position`: what lies before it is no longer ahead. */
static void lane_advance(struct crawl_lane *lane, const struct maildrop_snapshot *snapshot,
                         size_t position)
{
    for (; lane->next <= position; lane->next++) {
        if (lane->next >= lane->end)
            continue;
        uint64_t octets = octets_at(snapshot, lane->next);
        /* A size may have become exact since it was added. */
        lane->ahead_octets -= octets < lane->ahead_octets ? octets : lane->ahead_octets;
    }
    if (lane->end < lane->next)
        lane->end = lane->next;
    if (lane->end == lane->next)
        lane->ahead_octets = 0;
}

void crawl_note_open(struct crawl *crawl, const struct maildrop_snapshot *snapshot, size_t position)
{
    struct crawl_lane *lane = find_lane(crawl, position);
    bool fresh = lane->stamp == 0;
    lane->stamp = ++crawl->stamp;
    if (position < lane->next)
        return; /* a thread that lags behind */
    bool jumped = position > lane->next + CRAWL_SLACK;
    lane_advance(lane, snapshot, position);
    if (fresh)
        return;
    uint64_t window = jumped ? lane->window_octets / 2 : lane->window_octets * 2;
    if (window < CRAWL_OCTETS_MIN)
        window = CRAWL_OCTETS_MIN;
    lane->window_octets = window < CRAWL_OCTETS_MAX ? window : CRAWL_OCTETS_MAX;
}

bool crawl_is_at(const struct crawl *crawl, size_t position)
{
    for (size_t i = 0; i < CRAWL_LANES_COUNT; i++)
        if (crawl->lanes[i].window_octets > 0 && lane_expects(&crawl->lanes[i], position))
            return true;
    return false;
}

uint64_t crawl_ahead_octets(const struct crawl *crawl)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < CRAWL_LANES_COUNT; i++)
        octets += crawl->lanes[i].ahead_octets;
    return octets;
}

/* A message larger than the whole window is too much to guess, unless it is the very next. */
static bool lane_has_room(const struct crawl_lane *lane, const struct maildrop_snapshot *snapshot)
{
    if (lane->ahead_octets >= lane->window_octets || lane->end >= maildrop_snapshot_count(snapshot))
        return false;
    return lane->end == lane->next || octets_at(snapshot, lane->end) <= lane->window_octets;
}

bool crawl_next(struct crawl *crawl, const struct maildrop_snapshot *snapshot, size_t *ret_position)
{
    struct crawl_lane *neediest = NULL;
    for (size_t i = 0; i < CRAWL_LANES_COUNT; i++) {
        struct crawl_lane *lane = &crawl->lanes[i];
        if (lane_has_room(lane, snapshot) &&
            (neediest == NULL || lane->ahead_octets < neediest->ahead_octets))
            neediest = lane;
    }
    if (neediest == NULL)
        return false;
    *ret_position = neediest->end++;
    neediest->ahead_octets += octets_at(snapshot, *ret_position);
    return true;
}
