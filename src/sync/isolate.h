/* SPDX-License-Identifier: MIT */
/*
 * How many DELEs the next session of a commit is asked for, so that one that goes wrong, or a limit
 * per session, does not keep the others from being carried out (POP3.md rule 34). Knows neither
 * messages nor time.
 *
 *     all at once
 *      | a session broke under a DELE        that DELE is a suspect and waits until all the others
 *      |                                     are through; then it is asked for alone, at most twice
 *      |   after so many answers that        as many as were answered well, and no more
 *      |   pipelining is not to blame
 *      |   after a few                       32, one at a time
 *      |   three times after as many         no session is asked for more, in this commit
 *      | QUIT failed, all DELEs are well     half as many, and twice as many after each success
 *      | the last DELEs were all refused     the rest in another session
 *
 * So a bad DELE costs three sessions, and one more for those that broke with it. A QUIT that fails
 * because of one message costs twice log2 of the count. ISOLATE_BARREN_MAX sessions in a row that
 * delete nothing end the commit. A limit that one commit has learnt is tried once more by the next.
 * A commit that follows one whose last session broke early in a pipeline begins one at a time.
 */
#ifndef SYNC_ISOLATE_H
#define SYNC_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISOLATE_ALL SIZE_MAX

enum {
    ISOLATE_CAREFUL_MAX = 32, /* DELEs of a session that asks one at a time */
    ISOLATE_SUSPICIONS_MAX = 3,
    ISOLATE_BARREN_MAX = 12,
};

struct isolate {
    size_t span;          /* DELEs of the next session at most; at least 1 */
    bool careful;         /* one at a time */
    bool halved;          /* the span, because QUIT failed */
    bool suspects_first;  /* pipelining may be to blame, and the suspects can tell */
    size_t stopped_at;    /* DELEs that the last session took which ended early; 0: hardly any */
    unsigned stops_count; /* sessions that ended there */
    bool is_limit;        /* no other session will take more than stopped_at */
    unsigned early_count; /* pipelined sessions that broke before a second answer */
    unsigned acquitted_count;
    bool breaks_anyway;    /* one at a time, too: pipelining is not to blame */
    unsigned barren_count; /* sessions in a row that broke and deleted nothing */
};

/* What of its DELEs a session left behind that broke. */
struct isolate_break {
    size_t taken_count; /* answered +OK */
    bool at_quit;       /* all DELEs were answered */
    bool pipelined;     /* more than one answer was owed at a time */
};

/* A commit begins: *isolate is zero, or the last commit's. */
void isolate_begin(struct isolate *isolate);
/* The session broke under a DELE or under QUIT. */
void isolate_note_break(struct isolate *isolate, const struct isolate_break *how);
/* The server refused all DELEs that followed `taken_count` good ones. */
void isolate_note_refusals(struct isolate *isolate, size_t taken_count);
/* A listing shows that something has been deleted. */
void isolate_note_progress(struct isolate *isolate);
/* A DELE that a pipelined session broke under before a second answer is answered +OK now. True if
 * it is pipelining that the server does not bear. */
bool isolate_acquit(struct isolate *isolate);
/* As long as each session deletes something, it goes on. */
bool isolate_gives_up(const struct isolate *isolate);
/* No session has broken yet: the next one may send QUIT behind its last DELE. */
bool isolate_is_calm(const struct isolate *isolate);

#endif
