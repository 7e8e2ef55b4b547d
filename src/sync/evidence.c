/* SPDX-License-Identifier: MIT */
#include "evidence.h"

/* In one session a number names one message, so an answer that differs is about the answers. */
static enum evidence_verdict judge_unlike_proven(const struct evidence_view *view)
{
    if (!view->by_retr)
        return EVIDENCE_SAYS_NOTHING; /* RETR wins */
    if (!view->has_top)
        return EVIDENCE_IS_NEW;
    return view->came_alone && view->came_alone_before ? EVIDENCE_TOP_IS_NONE : EVIDENCE_ASK_ONCE;
}

/* A TOP that ends within the header cannot be compared, but may be that of another message. */
static enum evidence_verdict judge_unread(const struct evidence_view *view)
{
    bool may_be_another = view->is_known && !view->is_proven && !view->by_retr;
    return may_be_another ? EVIDENCE_ASK_RETR : EVIDENCE_SAYS_NOTHING;
}

enum evidence_verdict evidence_judge(const struct evidence_view *view)
{
    if (!view->by_retr && !view->has_top)
        return EVIDENCE_SAYS_NOTHING;
    if (!view->is_read)
        return judge_unread(view);
    /* What is learnt now would prove a wish of before about whatever has its UIDL now. */
    if (!view->is_known)
        return view->is_wished_before ? EVIDENCE_SAYS_NOTHING : EVIDENCE_IS_NEW;
    if (view->is_equal)
        return EVIDENCE_IS_SAME;
    if (view->is_proven)
        return judge_unlike_proven(view);
    if (view->by_retr && !view->known_by_retr && view->has_top)
        return EVIDENCE_ASK_TOP;
    /* TOP knew the message and is refused now. Its header by RETR may have been another one all
     * along (Exchange, Courier), so that it ends no removal. */
    if (view->by_retr && !view->known_by_retr && view->is_wished_before)
        return EVIDENCE_SAYS_NOTHING;
    if (!view->by_retr && view->known_by_retr)
        return EVIDENCE_ASK_RETR;
    return view->came_alone || view->is_caught ? EVIDENCE_IS_ANOTHER : EVIDENCE_ASK_ONCE;
}

enum evidence_need evidence_of_removal(const struct evidence_removal *removal)
{
    if (removal->is_proven || (removal->is_wished_here && !removal->is_doubted))
        return EVIDENCE_NOT_NEEDED;
    if (removal->is_known)
        return EVIDENCE_NEEDED;
    return removal->is_wished_here ? EVIDENCE_NOT_NEEDED : EVIDENCE_MISSING;
}
