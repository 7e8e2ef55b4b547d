/* SPDX-License-Identifier: MIT */
/* What one listing held. Never changes once others can see it. */
#include "snapshot.h"

#include <stdlib.h>

struct maildrop_snapshot *snapshot_new(size_t room)
{
    struct maildrop_snapshot *snapshot =
        malloc(sizeof(*snapshot) + room * sizeof(snapshot->messages[0]));
    if (snapshot == NULL)
        return NULL;
    atomic_init(&snapshot->refs, 1);
    snapshot->count = 0;
    return snapshot;
}

struct maildrop_snapshot *snapshot_grow(struct maildrop_snapshot *snapshot, size_t room)
{
    return realloc(snapshot, sizeof(*snapshot) + room * sizeof(snapshot->messages[0]));
}

void snapshot_add(struct maildrop_snapshot *snapshot, struct maildrop_message *message)
{
    snapshot->messages[snapshot->count++] = maildrop_message_ref(message);
}

struct maildrop_snapshot *maildrop_snapshot_ref(struct maildrop_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void maildrop_snapshot_unref(struct maildrop_snapshot *snapshot)
{
    if (snapshot == NULL ||
        atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        maildrop_message_unref(snapshot->messages[i]);
    free(snapshot);
}

size_t maildrop_snapshot_count(const struct maildrop_snapshot *snapshot)
{
    return snapshot->count;
}

struct maildrop_message *maildrop_snapshot_at(const struct maildrop_snapshot *snapshot,
                                              size_t position)
{
    return snapshot->messages[position];
}

size_t maildrop_snapshot_after(const struct maildrop_snapshot *snapshot, uint64_t id)
{
    size_t low = 0;
    size_t high = snapshot->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (snapshot->messages[middle]->id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool maildrop_snapshot_find(const struct maildrop_snapshot *snapshot, uint64_t id,
                            size_t *ret_position)
{
    size_t after = maildrop_snapshot_after(snapshot, id);
    if (after == 0 || snapshot->messages[after - 1]->id != id)
        return false;
    *ret_position = after - 1;
    return true;
}
