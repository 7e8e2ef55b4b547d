/* SPDX-License-Identifier: MIT */
#include "recent.h"

#include <stdlib.h>

enum { FIRST_ROOM = 64 };

void recent_note(struct recent *recent, const struct recent_message *message)
{
    if (recent->count == recent->room) {
        size_t room = recent->room == 0 ? FIRST_ROOM : recent->room * 2;
        struct recent_message *messages =
            realloc(recent->messages, room * sizeof(recent->messages[0]));
        if (messages == NULL)
            return;
        recent->messages = messages;
        recent->room = room;
    }
    recent->messages[recent->count++] = *message;
}

void recent_clear(struct recent *recent)
{
    recent->count = 0;
}

void recent_done(struct recent *recent)
{
    free(recent->messages);
    *recent = (struct recent){0};
}
