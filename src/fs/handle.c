/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include <stdlib.h>

struct handle *handle_new(struct handle **list)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        return NULL;
    handle->next = *list;
    handle->link = list;
    if (handle->next != NULL)
        handle->next->link = &handle->next;
    *list = handle;
    return handle;
}

void handle_free(struct handle *handle)
{
    *handle->link = handle->next;
    if (handle->next != NULL)
        handle->next->link = handle->link;
    maildrop_snapshot_unref(handle->snapshot);
    buffer_done(&handle->content);
    free(handle);
}
