/* SPDX-License-Identifier: MIT */
#include "backoff.h"

enum {
    LINK_FIRST_MS = 1000,
    LINK_MOST_MS = 60000,
    BUSY_FIRST_MS = 5000,
    BUSY_MOST_MS = 120000,
    ACCOUNT_MS = 60000, /* Outlook says "wrong password" to a client that comes too often */
};

static int64_t doubled(int64_t first, int64_t most, unsigned times)
{
    int64_t delay = first;
    while (times-- > 0 && delay < most)
        delay *= 2;
    return delay < most ? delay : most;
}

void backoff_succeeded(struct backoff *backoff)
{
    backoff->failure_count = 0;
}

int64_t backoff_failed(struct backoff *backoff, enum fault fault, uint32_t dice)
{
    unsigned before = backoff->failure_count++;
    int64_t delay = doubled(LINK_FIRST_MS, LINK_MOST_MS, before);
    if (fault == FAULT_BUSY)
        delay = doubled(BUSY_FIRST_MS, BUSY_MOST_MS, before);
    else if (fault == FAULT_LOGIN || fault == FAULT_UNTRUSTED)
        delay = ACCOUNT_MS;
    return delay - delay / 4 + (int64_t)(dice % (uint32_t)(delay / 4 + 1));
}

bool backoff_is_outage(enum fault fault)
{
    return fault == FAULT_OFFLINE || fault == FAULT_TIMEOUT || fault == FAULT_GARBLED;
}

void backoff_note_failure(struct backoff *backoff, enum fault fault, int64_t begun_ms)
{
    if (!backoff_is_outage(fault)) {
        backoff->is_away = false;
    } else if (!backoff->is_away) {
        backoff->is_away = true;
        backoff->away_from_ms = begun_ms;
    }
}

void backoff_note_session(struct backoff *backoff)
{
    backoff->is_away = false;
}

bool backoff_is_away_since(const struct backoff *backoff, int64_t time_ms)
{
    return backoff->is_away && backoff->away_from_ms <= time_ms;
}
