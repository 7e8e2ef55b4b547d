/* SPDX-License-Identifier: MIT */
/*
 * When a session is to be ended although nothing is wrong with it, and when the next may begin:
 * `refresh`, `idle` and the server's LOGIN-DELAY (RFC 2449, 6.4). Pure: the time is the caller's.
 */
#ifndef SYNC_AGENDA_H
#define SYNC_AGENDA_H

#include <stdbool.h>
#include <stdint.h>

struct agenda {
    int64_t refresh_ms, idle_ms; /* 0: never */
    int64_t login_delay_ms;      /* what the server asked for last */
    int64_t login_ms;            /* when the last login succeeded; -1: none yet */
    int64_t listed_ms;           /* when the last listing was complete; -1: none yet */
    int64_t useful_ms;           /* when the session last did what somebody wanted */
};

void agenda_init(struct agenda *agenda, int64_t refresh_ms, int64_t idle_ms);
void agenda_note_login(struct agenda *agenda, int64_t now_ms);
/* 0: the server asks for none. */
void agenda_note_login_delay(struct agenda *agenda, int64_t login_delay_s);
void agenda_note_listing(struct agenda *agenda, int64_t now_ms);
/* From now on sessions are only for readers, and short. */
void agenda_retire(struct agenda *agenda);
void agenda_note_useful(struct agenda *agenda, int64_t now_ms);

/* Time to look for new mail. */
bool agenda_refresh_is_due(const struct agenda *agenda, int64_t now_ms);
/* Time to give the maildrop's lock back. */
bool agenda_idle_is_due(const struct agenda *agenda, int64_t now_ms);
/* No login before this. */
int64_t agenda_login_from_ms(const struct agenda *agenda);
/* When one of the two above becomes true by itself; -1: never. `online`: there is a session. */
int64_t agenda_next_ms(const struct agenda *agenda, bool online);

#endif
