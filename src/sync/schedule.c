/* SPDX-License-Identifier: MIT */
#include "schedule.h"

/*
 * One more may be asked for while what is owed lies below the limit, however large its answer: were
 * large ones held back until they fit, the line would run dry before each.
 */
static bool fits(const struct schedule_view *view, enum schedule_class class)
{
    if (view->outstanding_count == 0)
        return true;
    if (class == SCHEDULE_KEEPALIVE)
        return false;
    bool demand = class == SCHEDULE_READ || class == SCHEDULE_STAT;
    uint64_t limit = demand ? view->demand_octets : view->window_octets;
    return view->outstanding_octets < limit;
}

enum schedule_class schedule_next(const struct schedule_view *view)
{
    if (!view->may_issue || view->outstanding_count >= SCHEDULE_COMMANDS_MAX)
        return SCHEDULE_NOTHING;
    for (int i = 0; i < SCHEDULE_CLASSES_COUNT; i++) {
        enum schedule_class class = (enum schedule_class)i;
        if (view->wanted[class])
            /* What does not fit holds back all behind it: a small header must not starve a large
             * body. */
            return fits(view, class) ? class : SCHEDULE_NOTHING;
    }
    return SCHEDULE_NOTHING;
}
