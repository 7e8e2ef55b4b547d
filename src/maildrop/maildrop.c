/* SPDX-License-Identifier: MIT */
/*
 * How a complete listing changes what is known. Everything is prepared beside the old state and put
 * in place at the end, so that want of memory leaves the old state as it was.
 */
#include "snapshot.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

struct maildrop {
    struct maildrop_snapshot *snapshot;
    uint64_t last_id;
    int64_t last_seen_ns; /* first_seen of the newest message: those of others stay distinct */
};

/* What is worked out about the rows of one listing. */
struct plan {
    const struct maildrop_row *rows;
    size_t count;
    struct row_plan {
        uint32_t first; /* row of copy 0 of the same UIDL */
        uint32_t copy;
        uint32_t copies; /* at the first row: how many rows have this UIDL */
        bool is_new;     /* at the first row: the whole group are new messages */
        struct maildrop_message *message;
    } * plans;
};

struct maildrop *maildrop_new(void)
{
    struct maildrop *maildrop = calloc(1, sizeof(*maildrop));
    if (maildrop == NULL)
        return NULL;
    maildrop->snapshot = snapshot_new(0);
    if (maildrop->snapshot == NULL) {
        free(maildrop);
        return NULL;
    }
    return maildrop;
}

void maildrop_free(struct maildrop *maildrop)
{
    if (maildrop == NULL)
        return;
    maildrop_snapshot_unref(maildrop->snapshot);
    free(maildrop);
}

struct maildrop_snapshot *maildrop_snapshot(struct maildrop *maildrop)
{
    return maildrop_snapshot_ref(maildrop->snapshot);
}

/* Numbers the copies of equal UIDLs in the order of the rows. */
static bool plan_copies(struct plan *plan)
{
    struct table table;
    if (!table_init(&table, plan->count))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        struct slice uidl = plan->rows[i].uidl;
        uint32_t first = (uint32_t)i;
        uint32_t other;
        size_t at = table_first(&table, uidl);
        for (; table_value(&table, at, &other); at = table_next(&table, at)) {
            if (slice_equal(plan->rows[other].uidl, uidl)) {
                first = other;
                break;
            }
        }
        if (first == i)
            table_put(&table, at, first);
        plan->plans[i] = (struct row_plan){.first = first};
        plan->plans[i].copy = plan->plans[first].copies++;
    }
    table_done(&table);
    return true;
}

static bool known_init(struct table *table, const struct maildrop_snapshot *known)
{
    if (!table_init(table, known->count))
        return false;
    for (size_t i = 0; i < known->count; i++) {
        uint32_t taken;
        size_t at = table_first(table, maildrop_message_uidl(known->messages[i]));
        while (table_value(table, at, &taken))
            at = table_next(table, at);
        table_put(table, at, (uint32_t)i);
    }
    return true;
}

static struct maildrop_message *known_find(const struct table *table,
                                           const struct maildrop_snapshot *known, struct slice uidl,
                                           uint32_t copy)
{
    uint32_t position;
    for (size_t at = table_first(table, uidl); table_value(table, at, &position);
         at = table_next(table, at)) {
        struct maildrop_message *message = known->messages[position];
        if (message->copy == copy && slice_equal(maildrop_message_uidl(message), uidl))
            return message;
    }
    return NULL;
}

/* A size that the server did not say contradicts nothing. */
static bool octets_agree(uint64_t a, uint64_t b)
{
    return a == b || a == 0 || b == 0;
}

/* Finds the known message of each row; a group in which anything disagrees is new as a whole. */
static bool plan_identities(struct plan *plan, const struct maildrop_snapshot *known)
{
    struct table table;
    if (!known_init(&table, known))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct maildrop_row *row = &plan->rows[i];
        struct row_plan *own = &plan->plans[i];
        struct row_plan *first = &plan->plans[own->first];
        own->message = known_find(&table, known, row->uidl, own->copy);
        if (own->message == NULL || !octets_agree(own->message->listed_octets, row->octets))
            first->is_new = true;
        else if (own == first && known_find(&table, known, row->uidl, own->copies) != NULL)
            first->is_new = true;
    }
    table_done(&table);
    return true;
}

/* Gives every row its message, with one reference; false leaves references only where they are
 * counted. */
static bool plan_messages(struct plan *plan, struct maildrop *maildrop, int64_t now_ns)
{
    uint64_t id = maildrop->last_id;
    int64_t seen_ns = maildrop->last_seen_ns < now_ns ? now_ns - 1 : maildrop->last_seen_ns;
    for (size_t i = 0; i < plan->count; i++) {
        struct row_plan *own = &plan->plans[i];
        if (!plan->plans[own->first].is_new) {
            maildrop_message_ref(own->message);
            continue;
        }
        own->message =
            message_new(plan->rows[i].uidl, own->copy, plan->plans[own->first].copies == 1, ++id,
                        plan->rows[i].octets, ++seen_ns);
        if (own->message == NULL) {
            while (i-- > 0)
                maildrop_message_unref(plan->plans[i].message);
            return false;
        }
    }
    return true;
}

/* The new snapshot: known messages that stay, in their old order, then the new ones. */
static void fill_snapshot(const struct plan *plan, const struct maildrop_snapshot *known,
                          struct maildrop_snapshot *snapshot, struct maildrop_changes *changes)
{
    for (size_t i = 0; i < known->count; i++)
        known->messages[i]->kept = false;
    for (size_t i = 0; i < plan->count; i++)
        if (!plan->plans[plan->plans[i].first].is_new)
            plan->plans[i].message->kept = true;
    for (size_t i = 0; i < known->count; i++) {
        struct maildrop_message *message = known->messages[i];
        if (message->kept)
            snapshot_add(snapshot, message);
        else
            changes->vanished[changes->vanished_count++] = maildrop_message_ref(message);
    }
    changes->appeared = snapshot->messages + snapshot->count;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->plans[plan->plans[i].first].is_new)
            snapshot_add(snapshot, plan->plans[i].message);
    changes->appeared_count = snapshot->count - (size_t)(changes->appeared - snapshot->messages);
}

static void put_in_place(struct maildrop *maildrop, struct maildrop_snapshot *snapshot,
                         const struct maildrop_changes *changes)
{
    for (size_t i = 0; i < changes->vanished_count; i++)
        atomic_store_explicit(&changes->vanished[i]->gone, true, memory_order_relaxed);
    if (changes->appeared_count > 0) {
        const struct maildrop_message *newest = snapshot->messages[snapshot->count - 1];
        maildrop->last_id = newest->id;
        maildrop->last_seen_ns = newest->first_seen_ns;
    }
    maildrop_snapshot_unref(maildrop->snapshot);
    maildrop->snapshot = snapshot;
}

enum fault maildrop_apply(struct maildrop *maildrop, const struct maildrop_row *rows, size_t count,
                          bool same_identity, int64_t now_ns, struct maildrop_message **ret_by_row,
                          struct maildrop_changes *ret_changes)
{
    static struct maildrop_snapshot nothing_known;
    const struct maildrop_snapshot *known = maildrop->snapshot;
    CLEANUP_FREE struct row_plan *plans = calloc(count + 1, sizeof(*plans));
    struct plan plan = {rows, count, plans};
    struct maildrop_changes changes = {0};
    changes.vanished = calloc(known->count + 1, sizeof(changes.vanished[0]));
    struct maildrop_snapshot *snapshot = snapshot_new(count);
    if (plans == NULL || changes.vanished == NULL || snapshot == NULL || count >= UINT32_MAX ||
        !plan_copies(&plan) || !plan_identities(&plan, same_identity ? known : &nothing_known) ||
        !plan_messages(&plan, maildrop, now_ns)) {
        free(changes.vanished);
        free(snapshot);
        return FAULT_MEMORY;
    }
    fill_snapshot(&plan, known, snapshot, &changes);
    for (size_t i = 0; i < count; i++) {
        ret_by_row[i] = plans[i].message;
        maildrop_message_unref(plans[i].message); /* the snapshot holds its own */
    }
    put_in_place(maildrop, snapshot, &changes);
    *ret_changes = changes;
    return FAULT_NONE;
}

void maildrop_changes_done(struct maildrop_changes *changes)
{
    for (size_t i = 0; i < changes->vanished_count; i++)
        maildrop_message_unref(changes->vanished[i]);
    free(changes->vanished);
    *changes = (struct maildrop_changes){0};
}

enum fault maildrop_forget(struct maildrop *maildrop, struct maildrop_message *const *messages,
                           size_t count)
{
    struct maildrop_snapshot *known = maildrop->snapshot;
    struct maildrop_snapshot *snapshot = snapshot_new(known->count);
    if (snapshot == NULL)
        return FAULT_MEMORY;
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&messages[i]->gone, true, memory_order_relaxed);
    for (size_t i = 0; i < known->count; i++)
        if (!maildrop_message_is_gone(known->messages[i]))
            snapshot_add(snapshot, known->messages[i]);
    maildrop_snapshot_unref(known);
    maildrop->snapshot = snapshot;
    return FAULT_NONE;
}
