/* SPDX-License-Identifier: MIT */
/*
 * What a header says about the identity of a message (POP3.md 29), and what may be done with a
 * message before it has been asked. Pure: identity.c asks and carries out.
 */
#ifndef SYNC_EVIDENCE_H
#define SYNC_EVIDENCE_H

#include <stdbool.h>

/* An answer to TOP or RETR has ended. */
struct evidence_view {
    bool is_read;           /* it has a header that is evidence */
    bool is_known;          /* there was evidence of the message before */
    bool is_equal;          /* and it is the same */
    bool known_by_retr;     /* RETR gave what is known, and not TOP */
    bool is_proven;         /* in this session */
    bool is_wished_before;  /* it is to go, since another session */
    bool by_retr;           /* RETR gave it, and not TOP */
    bool has_top;           /* TOP can be asked, and is evidence on this account */
    bool came_alone;        /* nothing else was owed: it is the answer to its command */
    bool came_alone_before; /* once before, and differed then, too */
    bool is_caught;         /* the server has given a UIDL to another message before */
};

enum evidence_verdict {
    EVIDENCE_SAYS_NOTHING,
    EVIDENCE_IS_NEW,   /* from now on it is what is known */
    EVIDENCE_IS_SAME,  /* the message is proven */
    EVIDENCE_ASK_ONCE, /* it may be the answer to another command: the same again, alone */
    EVIDENCE_ASK_TOP,  /* what is known came from TOP, which may differ from RETR */
    EVIDENCE_ASK_RETR, /* the other way round, or TOP ended within the header */
    EVIDENCE_IS_ANOTHER,
    EVIDENCE_TOP_IS_NONE, /* TOP differs from RETR: it proves nothing on this account */
};

enum evidence_verdict evidence_judge(const struct evidence_view *view);

/* What is known of a pending removal before its DELE. */
struct evidence_removal {
    bool is_wished_here; /* the user removed it while this session's listing showed it */
    bool is_doubted, is_proven, is_known;
};

enum evidence_need {
    EVIDENCE_NOT_NEEDED,
    EVIDENCE_NEEDED,
    EVIDENCE_MISSING, /* there is nothing to compare with: it must not be deleted */
};

enum evidence_need evidence_of_removal(const struct evidence_removal *removal);

#endif
