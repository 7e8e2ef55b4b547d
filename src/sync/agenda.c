/* SPDX-License-Identifier: MIT */
#include "agenda.h"

enum {
    /* RFC 2449 sets no limit; a server that asks for more than a day is not taken at its word. */
    LOGIN_DELAY_MAX_S = 86400,
    /* A program that reads one part after the other needs no login for each. */
    RETIRED_IDLE_MS = 2000,
};

void agenda_init(struct agenda *agenda, int64_t refresh_ms, int64_t idle_ms)
{
    *agenda = (struct agenda){
        .refresh_ms = refresh_ms, .idle_ms = idle_ms, .login_ms = -1, .listed_ms = -1};
}

void agenda_note_login(struct agenda *agenda, int64_t now_ms)
{
    agenda->login_ms = now_ms;
    agenda->useful_ms = now_ms;
}

void agenda_note_login_delay(struct agenda *agenda, int64_t login_delay_s)
{
    if (login_delay_s > LOGIN_DELAY_MAX_S)
        login_delay_s = LOGIN_DELAY_MAX_S;
    agenda->login_delay_ms = login_delay_s * 1000;
}

void agenda_note_listing(struct agenda *agenda, int64_t now_ms)
{
    agenda->listed_ms = now_ms;
}

void agenda_retire(struct agenda *agenda)
{
    agenda->refresh_ms = 0;
    agenda->idle_ms = RETIRED_IDLE_MS;
}

void agenda_note_useful(struct agenda *agenda, int64_t now_ms)
{
    agenda->useful_ms = now_ms;
}

/* -1: never. */
static int64_t refresh_at_ms(const struct agenda *agenda)
{
    return agenda->refresh_ms == 0 || agenda->listed_ms < 0
               ? -1
               : agenda->listed_ms + agenda->refresh_ms;
}

static int64_t idle_at_ms(const struct agenda *agenda)
{
    return agenda->idle_ms == 0 ? -1 : agenda->useful_ms + agenda->idle_ms;
}

bool agenda_refresh_is_due(const struct agenda *agenda, int64_t now_ms)
{
    int64_t at_ms = refresh_at_ms(agenda);
    return at_ms >= 0 && now_ms >= at_ms && now_ms >= agenda_login_from_ms(agenda);
}

bool agenda_idle_is_due(const struct agenda *agenda, int64_t now_ms)
{
    int64_t at_ms = idle_at_ms(agenda);
    return at_ms >= 0 && now_ms >= at_ms;
}

int64_t agenda_login_from_ms(const struct agenda *agenda)
{
    return agenda->login_ms < 0 ? 0 : agenda->login_ms + agenda->login_delay_ms;
}

int64_t agenda_next_ms(const struct agenda *agenda, bool online)
{
    int64_t refresh_ms = refresh_at_ms(agenda);
    int64_t idle_ms = online ? idle_at_ms(agenda) : -1;
    /* To end a session for a refresh that the server will not let begin would be no use. */
    if (refresh_ms >= 0 && refresh_ms < agenda_login_from_ms(agenda))
        refresh_ms = agenda_login_from_ms(agenda);
    if (refresh_ms < 0 || (idle_ms >= 0 && idle_ms < refresh_ms))
        return idle_ms;
    return refresh_ms;
}
