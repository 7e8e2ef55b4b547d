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
    size_t restored_room; /* of the snapshot, while messages are being restored */
    uint64_t last_id;
    int64_t last_seen_ns; /* first_seen of the newest message: those of others stay distinct */
};

/* What is worked out about the rows of one listing. */
struct plan {
    const struct maildrop_row *rows;
    size_t count;
    struct table firsts; /* rows of copy 0, by UIDL */
    struct row_plan {
        uint32_t first; /* row of copy 0 of the same UIDL */
        uint32_t copy;
        uint32_t copies; /* at the first row: how many rows have this UIDL */
        bool is_new;
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

/* ---- what an earlier mount knew ---- */

/* Nobody else has the snapshot yet, so it may grow in place. */
static bool make_room_to_restore(struct maildrop *maildrop)
{
    if (maildrop->snapshot->count < maildrop->restored_room)
        return true;
    size_t room = maildrop->restored_room == 0 ? 64 : maildrop->restored_room * 2;
    struct maildrop_snapshot *wider = snapshot_grow(maildrop->snapshot, room);
    if (wider == NULL)
        return false;
    maildrop->snapshot = wider;
    maildrop->restored_room = room;
    return true;
}

enum fault maildrop_restore(struct maildrop *maildrop, const struct maildrop_known *known)
{
    if (!make_room_to_restore(maildrop))
        return FAULT_MEMORY;
    struct maildrop_message *message =
        message_new(known->uidl, 0, true, known->id, known->listed_octets, known->first_seen_ns);
    if (message == NULL)
        return FAULT_MEMORY;
    if (known->exact_octets != NULL)
        maildrop_message_learn_octets(message, *known->exact_octets);
    if (known->time_s != NULL)
        maildrop_message_learn_time(message, *known->time_s);
    maildrop_message_set_going(message, known->going);
    snapshot_add(maildrop->snapshot, message);
    maildrop_message_unref(message);
    maildrop_begin_after(maildrop, known->id);
    if (known->first_seen_ns > maildrop->last_seen_ns)
        maildrop->last_seen_ns = known->first_seen_ns;
    return FAULT_NONE;
}

void maildrop_begin_after(struct maildrop *maildrop, uint64_t last_id)
{
    if (last_id > maildrop->last_id)
        maildrop->last_id = last_id;
}

/* ---- a listing ---- */

/* The row of copy 0 of this UIDL; false if none has it, and then *ret_slot is where it would go. */
static bool find_first(const struct plan *plan, struct slice uidl, uint32_t *ret_row,
                       size_t *ret_slot)
{
    size_t at = table_first(&plan->firsts, uidl);
    uint32_t row;
    for (; table_value(&plan->firsts, at, &row); at = table_next(&plan->firsts, at)) {
        if (slice_equal(plan->rows[row].uidl, uidl)) {
            *ret_row = row;
            return true;
        }
    }
    *ret_slot = at;
    return false;
}

/* Numbers the copies of equal UIDLs in the order of the rows. */
static bool plan_copies(struct plan *plan)
{
    if (!table_init(&plan->firsts, plan->count))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        uint32_t first;
        size_t slot;
        if (!find_first(plan, plan->rows[i].uidl, &first, &slot)) {
            first = (uint32_t)i;
            table_put(&plan->firsts, slot, first);
        }
        plan->plans[i] = (struct row_plan){.first = first};
        plan->plans[i].copy = plan->plans[first].copies++;
    }
    return true;
}

/* A size that the server did not say contradicts nothing. */
static bool octets_agree(uint64_t a, uint64_t b)
{
    return a == b || a == 0 || b == 0;
}

/*
 * Finds the known message of each row. Only a UIDL that nobody shared, then and now, proves
 * anything: which of two twins is which nobody can say in a new session.
 */
static void plan_identities(struct plan *plan, const struct maildrop_snapshot *known)
{
    for (size_t i = 0; i < plan->count; i++)
        plan->plans[i].is_new = true;
    for (size_t i = 0; i < known->count; i++) {
        struct maildrop_message *message = known->messages[i];
        uint32_t row;
        size_t slot;
        if (!message->unique || !find_first(plan, maildrop_message_uidl(message), &row, &slot) ||
            plan->plans[row].copies > 1 ||
            !octets_agree(message->listed_octets, plan->rows[row].octets))
            continue;
        plan->plans[row].is_new = false;
        plan->plans[row].message = message;
    }
}

/* Gives every row its message, with one reference; false leaves references only where they are
 * counted. */
static bool plan_messages(struct plan *plan, struct maildrop *maildrop, int64_t now_ns)
{
    uint64_t id = maildrop->last_id;
    int64_t seen_ns = maildrop->last_seen_ns < now_ns ? now_ns - 1 : maildrop->last_seen_ns;
    for (size_t i = 0; i < plan->count; i++) {
        struct row_plan *own = &plan->plans[i];
        if (!own->is_new) {
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
        if (!plan->plans[i].is_new)
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
        if (plan->plans[i].is_new)
            snapshot_add(snapshot, plan->plans[i].message);
    changes->appeared_count = snapshot->count - (size_t)(changes->appeared - snapshot->messages);
}

static void put_in_place(struct maildrop *maildrop, struct maildrop_snapshot *snapshot,
                         const struct maildrop_changes *changes, const struct plan *plan)
{
    for (size_t i = 0; i < changes->vanished_count; i++) {
        struct maildrop_message *message = changes->vanished[i];
        uint32_t row;
        size_t slot;
        if (find_first(plan, maildrop_message_uidl(message), &row, &slot))
            atomic_store_explicit(&message->replaced, true, memory_order_relaxed);
        atomic_store_explicit(&message->gone, true, memory_order_relaxed);
    }
    if (changes->appeared_count > 0) {
        const struct maildrop_message *newest = snapshot->messages[snapshot->count - 1];
        maildrop->last_id = newest->id;
        maildrop->last_seen_ns = newest->first_seen_ns;
    }
    maildrop_snapshot_unref(maildrop->snapshot);
    maildrop->snapshot = snapshot;
}

/* All that may fail; false leaves no reference behind. */
static bool plan_all(struct plan *plan, struct maildrop *maildrop, bool same_identity,
                     int64_t now_ns)
{
    static struct maildrop_snapshot nothing_known;
    if (!plan_copies(plan))
        return false;
    plan_identities(plan, same_identity ? maildrop->snapshot : &nothing_known);
    return plan_messages(plan, maildrop, now_ns);
}

enum fault maildrop_apply(struct maildrop *maildrop, const struct maildrop_row *rows, size_t count,
                          bool same_identity, int64_t now_ns, struct maildrop_message **ret_by_row,
                          struct maildrop_changes *ret_changes)
{
    const struct maildrop_snapshot *known = maildrop->snapshot;
    CLEANUP_FREE struct row_plan *plans = calloc(count + 1, sizeof(*plans));
    struct plan plan = {.rows = rows, .count = count, .plans = plans};
    struct maildrop_changes changes = {0};
    changes.vanished = calloc(known->count + 1, sizeof(changes.vanished[0]));
    struct maildrop_snapshot *snapshot = snapshot_new(count);
    if (plans == NULL || changes.vanished == NULL || snapshot == NULL || count >= UINT32_MAX ||
        !plan_all(&plan, maildrop, same_identity, now_ns)) {
        table_done(&plan.firsts);
        free(changes.vanished);
        free(snapshot);
        return FAULT_MEMORY;
    }
    fill_snapshot(&plan, known, snapshot, &changes);
    for (size_t i = 0; i < count; i++) {
        ret_by_row[i] = plans[i].message;
        maildrop_message_unref(plans[i].message); /* the snapshot holds its own */
    }
    put_in_place(maildrop, snapshot, &changes, &plan);
    table_done(&plan.firsts);
    *ret_changes = changes;
    return FAULT_NONE;
}

void maildrop_changes_take_effect(const struct maildrop_changes *changes)
{
    for (size_t i = 0; i < changes->vanished_count; i++)
        atomic_store_explicit(&changes->vanished[i]->withdrawn, true, memory_order_relaxed);
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
