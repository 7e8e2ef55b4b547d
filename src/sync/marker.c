/* SPDX-License-Identifier: MIT */
#include "marker.h"

enum {
    UNTRIED_FAILURES_MAX = 2,
    /* Of a server that has answered well: a message may be to blame, so each of these has to be
     * another one. */
    NAMES_FAILURES_MAX = 3,
};

enum marker_verdict marker_judge(enum marker_use use, const struct marker_view *view)
{
    if (view->names)
        return MARKER_PROVES;
    if (view->is_noop)
        return view->ok || view->came_alone ? MARKER_ENDS : MARKER_FAILS;
    if (view->is_nameless)
        return MARKER_ENDS;
    /* The message may have gone meanwhile, for both. */
    bool may_be_refused = use == MARKER_UNTRIED || (view->came_alone && view->was_refused);
    return !view->ok && may_be_refused ? MARKER_ENDS : MARKER_FAILS;
}

static bool set_use(struct marker *marker, enum marker_use use)
{
    bool changes = marker->use != use;
    *marker = (struct marker){.use = use};
    return changes;
}

bool marker_note_lost(struct marker *marker, uint64_t id)
{
    bool names = marker->use == MARKER_NAMES;
    if (marker->use == MARKER_USELESS || (names && id == marker->suspect))
        return false;
    marker->suspect = id;
    marker->failures_count++;
    unsigned most = names ? NAMES_FAILURES_MAX : UNTRIED_FAILURES_MAX;
    return marker->failures_count >= most && set_use(marker, MARKER_USELESS);
}

bool marker_note(struct marker *marker, const struct marker_view *view, enum marker_verdict verdict,
                 uint64_t id)
{
    if (view->is_noop || view->is_nameless)
        return false;
    if (verdict == MARKER_PROVES)
        return set_use(marker, MARKER_NAMES);
    if (verdict == MARKER_ENDS)
        return !view->was_refused && set_use(marker, MARKER_USELESS);
    return view->came_alone && marker_note_lost(marker, id);
}
