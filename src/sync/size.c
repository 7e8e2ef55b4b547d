/* SPDX-License-Identifier: MIT */
#include "size.h"

static bool is_near(const struct size_view *view)
{
    uint64_t more = view->octets > view->listed_octets ? view->octets : view->listed_octets;
    uint64_t less = view->octets > view->listed_octets ? view->listed_octets : view->octets;
    return view->listed_octets == 0 || more - less <= SIZE_NEAR_OCTETS;
}

static bool is_repeated(const struct size_view *view)
{
    return view->was_doubted && view->octets == view->doubted_octets;
}

enum size_verdict size_judge(const struct size_view *view)
{
    if (is_near(view) || view->came_before)
        return SIZE_KEEP;
    /* mailutils gives an empty body for a message that vanished. An empty file would be a wrong
     * one. */
    if (view->octets > 0 && view->list_is_wrong)
        return SIZE_KEEP;
    if (!view->was_doubted)
        return SIZE_ASK_AGAIN;
    /* Dovecot ends a read error of its own with a proper dot. */
    return is_repeated(view) && view->octets > view->listed_octets ? SIZE_KEEP : SIZE_FAIL;
}

bool size_accuses_list(const struct size_view *view)
{
    return (is_repeated(view) || view->came_before) && !is_near(view) && view->octets > 0;
}
