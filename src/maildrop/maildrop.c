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
    uint32_t listings_count;
    size_t places_count; /* rows of the newest listing */
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
        uint32_t next;   /* row of the next copy; at the last one: its own */
        uint32_t cursor; /* at the first row: the copy that was looked at last */
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
    const struct message_row row = {.uidl = known->uidl,
                                    .copies_count = 1,
                                    .place = (uint32_t)maildrop->snapshot->count,
                                    .octets = known->listed_octets};
    struct maildrop_message *message = message_new(&row, known->id, known->first_seen_ns);
    if (message == NULL)
        return FAULT_MEMORY;
    if (known->exact_octets != NULL)
        maildrop_message_learn_octets(message, *known->exact_octets);
    if (known->time_s != NULL)
        maildrop_message_learn_time(message, *known->time_s);
    maildrop_message_learn_evidence(message, &known->evidence);
    maildrop_message_set_going(message, known->going);
    atomic_store_explicit(&message->held, known->going && known->held, memory_order_relaxed);
    snapshot_add(maildrop->snapshot, message);
    maildrop->places_count = maildrop->snapshot->count;
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
        struct row_plan *head = &plan->plans[first];
        plan->plans[i] =
            (struct row_plan){.first = first, .next = (uint32_t)i, .cursor = (uint32_t)i};
        plan->plans[i].copy = head->copies++;
        plan->plans[head->cursor].next = (uint32_t)i; /* the cursor is the last row so far */
        head->cursor = (uint32_t)i;
    }
    for (size_t i = 0; i < plan->count; i++)
        plan->plans[i].cursor = (uint32_t)i;
    return true;
}

static bool is_made_up(const struct maildrop_row *row)
{
    return (row->octets & MAILDROP_MADE_UP) != 0;
}

static uint64_t octets_of(const struct maildrop_row *row)
{
    return row->octets & ~MAILDROP_MADE_UP;
}

/* The row of this copy of the UIDL; they are asked for by rising numbers. */
static bool find_copy(const struct plan *plan, uint32_t first, uint32_t copy, uint32_t *ret_row)
{
    struct row_plan *head = &plan->plans[first];
    while (plan->plans[head->cursor].copy < copy && plan->plans[head->cursor].next != head->cursor)
        head->cursor = plan->plans[head->cursor].next;
    *ret_row = head->cursor;
    return plan->plans[head->cursor].copy == copy;
}

/*
 * The row that a known message may have. Which of two twins is which their order tells, until their
 * evidence has been asked for; what is deleted must be known better than that.
 */
static bool find_row(const struct plan *plan, const struct maildrop_message *message,
                     uint32_t *ret_row)
{
    struct evidence evidence;
    uint32_t first;
    size_t slot;
    if (!find_first(plan, maildrop_message_uidl(message), &first, &slot) ||
        is_made_up(&plan->rows[first]) || plan->plans[first].copies != message->copies_count)
        return false;
    *ret_row = first;
    if (message->copies_count == 1)
        return true;
    return !message->kept && maildrop_message_evidence(message, &evidence) &&
           !maildrop_message_is_going(message) && find_copy(plan, first, message->copy, ret_row);
}

struct twin {
    uint32_t first; /* row of copy 0 */
    struct evidence evidence;
    struct maildrop_message *message;
};

static int compare_twins(const void *a, const void *b)
{
    const struct twin *x = a;
    const struct twin *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return memcmp(&x->evidence, &y->evidence, sizeof(x->evidence));
}

/*
 * Marks (`kept`) the copies of one UIDL that have the same evidence as another copy. They may have
 * the same header and different bodies, and nothing tells later which one has which place. False
 * for want of memory.
 */
static bool mark_like_twins(const struct plan *plan, const struct maildrop_snapshot *known)
{
    size_t count = 0;
    for (size_t i = 0; i < known->count; i++) {
        known->messages[i]->kept = false;
        count += known->messages[i]->copies_count > 1;
    }
    if (count == 0)
        return true;
    CLEANUP_FREE struct twin *twins = calloc(count, sizeof(twins[0]));
    if (twins == NULL)
        return false;
    count = 0;
    for (size_t i = 0; i < known->count; i++) {
        struct twin twin = {.message = known->messages[i]};
        size_t slot;
        if (twin.message->copies_count > 1 &&
            find_first(plan, maildrop_message_uidl(twin.message), &twin.first, &slot) &&
            maildrop_message_evidence(twin.message, &twin.evidence))
            twins[count++] = twin;
    }
    qsort(twins, count, sizeof(twins[0]), compare_twins);
    for (size_t i = 1; i < count; i++)
        if (compare_twins(&twins[i - 1], &twins[i]) == 0)
            twins[i - 1].message->kept = twins[i].message->kept = true;
    return true;
}

static void plan_identities(struct plan *plan, const struct maildrop_snapshot *known)
{
    uint32_t row;
    for (size_t i = 0; i < plan->count; i++)
        plan->plans[i].is_new = true;
    for (size_t i = 0; i < known->count; i++) {
        if (!find_row(plan, known->messages[i], &row) || !plan->plans[row].is_new)
            continue;
        plan->plans[row].is_new = false;
        plan->plans[row].message = known->messages[i];
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
        const struct message_row row = {
            .uidl = plan->rows[i].uidl,
            .copy = own->copy,
            .copies_count = is_made_up(&plan->rows[i]) ? 0 : plan->plans[own->first].copies,
            .listed_in = maildrop->listings_count + 1,
            .place = (uint32_t)i,
            .octets = octets_of(&plan->rows[i])};
        own->message = message_new(&row, ++id, ++seen_ns);
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

/*
 * Doubts what has another neighbour than before among those that stay, or stands behind a new
 * message: new mail comes last, or first, so another order means that UIDLs may have been given out
 * anew. `by_place` has room for the rows of the last listing.
 */
static void doubt_places(const struct plan *plan, const struct maildrop_snapshot *known,
                         struct maildrop_message **by_place, size_t places_count)
{
    uint32_t rank = 0;
    uint32_t expected = 0;
    struct maildrop_message *previous = NULL;
    bool is_behind_new = false;
    for (size_t i = 0; i < known->count; i++)
        if (known->messages[i]->kept)
            by_place[known->messages[i]->place] = known->messages[i];
    for (size_t i = 0; i < places_count; i++)
        if (by_place[i] != NULL)
            by_place[i]->rank = rank++;
    for (size_t i = 0; i < plan->count; i++) {
        struct maildrop_message *message = plan->plans[i].message;
        if (plan->plans[i].is_new) {
            is_behind_new = true;
            continue;
        }
        if (is_behind_new || message->rank != expected)
            maildrop_message_doubt(message);
        if (previous != NULL && message->rank != expected)
            maildrop_message_doubt(previous);
        is_behind_new = false;
        previous = message;
        expected = message->rank + 1;
    }
    if (previous != NULL && expected != rank)
        maildrop_message_doubt(previous);
}

/* What the rows say of messages that were known. */
static void take_rows(const struct plan *plan, uint32_t listing, struct maildrop_changes *changes)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct maildrop_message *message = plan->plans[i].message;
        uint64_t octets = octets_of(&plan->rows[i]);
        if (plan->plans[i].is_new)
            continue;
        message->place = (uint32_t)i;
        atomic_store_explicit(&message->listed_in, listing, memory_order_relaxed);
        if (message->copies_count > 1)
            maildrop_message_doubt(message);
        atomic_store_explicit(&message->unsized, octets == 0, memory_order_relaxed);
        /* A size that the server did not say contradicts nothing. */
        if (octets == 0 || octets == maildrop_message_listed_octets(message))
            continue;
        if (maildrop_message_listed_octets(message) != 0)
            maildrop_message_doubt(message);
        atomic_store_explicit(&message->listed_octets, octets, memory_order_relaxed);
        changes->relisted[changes->relisted_count++] = message;
    }
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
    maildrop->listings_count++;
    maildrop->places_count = plan->count;
}

/* All that may fail; false leaves no reference behind. */
static bool plan_all(struct plan *plan, struct maildrop *maildrop, bool same_identity,
                     int64_t now_ns)
{
    static struct maildrop_snapshot nothing_known;
    if (!plan_copies(plan))
        return false;
    const struct maildrop_snapshot *known = same_identity ? maildrop->snapshot : &nothing_known;
    if (!mark_like_twins(plan, known))
        return false;
    plan_identities(plan, known);
    return plan_messages(plan, maildrop, now_ns);
}

enum fault maildrop_apply(struct maildrop *maildrop, const struct maildrop_row *rows, size_t count,
                          bool same_identity, int64_t now_ns, struct maildrop_message **ret_by_row,
                          struct maildrop_changes *ret_changes)
{
    const struct maildrop_snapshot *known = maildrop->snapshot;
    CLEANUP_FREE struct row_plan *plans = calloc(count + 1, sizeof(*plans));
    CLEANUP_FREE struct maildrop_message **by_place =
        calloc(maildrop->places_count + 1, sizeof(by_place[0]));
    struct plan plan = {.rows = rows, .count = count, .plans = plans};
    struct maildrop_changes changes = {0};
    changes.vanished = calloc(known->count + 1, sizeof(changes.vanished[0]));
    changes.relisted = calloc(known->count + 1, sizeof(changes.relisted[0]));
    struct maildrop_snapshot *snapshot = snapshot_new(count);
    if (plans == NULL || by_place == NULL || changes.vanished == NULL || changes.relisted == NULL ||
        snapshot == NULL || count >= UINT32_MAX ||
        !plan_all(&plan, maildrop, same_identity, now_ns)) {
        table_done(&plan.firsts);
        free(changes.vanished);
        free(changes.relisted);
        free(snapshot);
        return FAULT_MEMORY;
    }
    fill_snapshot(&plan, known, snapshot, &changes);
    doubt_places(&plan, known, by_place, maildrop->places_count);
    take_rows(&plan, maildrop->listings_count + 1, &changes);
    for (size_t i = 0; i < count; i++) {
        ret_by_row[i] = plans[i].message;
        maildrop_message_unref(plans[i].message); /* the snapshot holds its own */
    }
    put_in_place(maildrop, snapshot, &changes, &plan);
    table_done(&plan.firsts);
    *ret_changes = changes;
    return FAULT_NONE;
}

enum fault maildrop_replace(struct maildrop *maildrop, struct maildrop_message *message,
                            int64_t now_ns, struct maildrop_changes *ret_changes)
{
    struct maildrop_snapshot *known = maildrop->snapshot;
    int64_t seen_ns = maildrop->last_seen_ns < now_ns ? now_ns : maildrop->last_seen_ns + 1;
    const struct message_row row = {.uidl = maildrop_message_uidl(message),
                                    .copy = message->copy,
                                    .copies_count = message->copies_count,
                                    .listed_in = atomic_load(&message->listed_in),
                                    .place = message->place,
                                    .octets = maildrop_message_said_octets(message)};
    struct maildrop_snapshot *snapshot = snapshot_new(known->count + 1);
    struct maildrop_message **vanished = calloc(1, sizeof(vanished[0]));
    struct maildrop_message *another = message_new(&row, maildrop->last_id + 1, seen_ns);
    if (snapshot == NULL || vanished == NULL || another == NULL) {
        free(snapshot);
        free(vanished);
        maildrop_message_unref(another);
        return FAULT_MEMORY;
    }
    for (size_t i = 0; i < known->count; i++)
        if (known->messages[i] != message)
            snapshot_add(snapshot, known->messages[i]);
    vanished[0] = maildrop_message_ref(message);
    *ret_changes = (struct maildrop_changes){.appeared_count = 1,
                                             .appeared = snapshot->messages + snapshot->count,
                                             .vanished_count = 1,
                                             .vanished = vanished};
    snapshot_add(snapshot, another);
    maildrop_message_unref(another);
    atomic_store_explicit(&message->replaced, true, memory_order_relaxed);
    atomic_store_explicit(&message->gone, true, memory_order_relaxed);
    maildrop->last_id++;
    maildrop->last_seen_ns = seen_ns;
    maildrop_snapshot_unref(known);
    maildrop->snapshot = snapshot;
    return FAULT_NONE;
}

/* To be added up: order is of no matter. */
static uint64_t digest_of(uint64_t id)
{
    id = (id ^ id >> 33) * UINT64_C(0xff51afd7ed558ccd);
    return id ^ id >> 33;
}

static void compare_message(struct plan *plan, const struct maildrop_message *message,
                            struct maildrop_comparison *comparison)
{
    uint32_t row;
    size_t slot;
    bool counts = !maildrop_message_is_leaving(message);
    bool is_going = counts && maildrop_message_is_going(message);
    comparison->known_count += counts;
    comparison->going_count += is_going;
    if (!find_first(plan, maildrop_message_uidl(message), &row, &slot))
        return;
    plan->plans[row].is_new = false;
    comparison->kept_count += counts;
    comparison->going_kept_count += is_going;
    if (counts)
        comparison->kept_digest += digest_of(message->id);
}

/* Where nothing is known, which rows there are is all that two listings can have in common. */
static void compare_with_nothing(const struct maildrop_row *rows, size_t count,
                                 struct maildrop_comparison *comparison)
{
    comparison->new_count = count;
    for (size_t i = 0; i < count; i++)
        comparison->kept_digest += digest_of(hash_bytes(rows[i].uidl));
}

enum fault maildrop_compare(const struct maildrop *maildrop, const struct maildrop_row *rows,
                            size_t count, struct maildrop_comparison *ret_comparison)
{
    const struct maildrop_snapshot *known = maildrop->snapshot;
    *ret_comparison = (struct maildrop_comparison){0};
    if (known->count == 0) {
        compare_with_nothing(rows, count, ret_comparison);
        return FAULT_NONE;
    }
    CLEANUP_FREE struct row_plan *plans = calloc(count + 1, sizeof(*plans));
    struct plan plan = {.rows = rows, .count = count, .plans = plans};
    if (plans == NULL || count >= UINT32_MAX || !plan_copies(&plan)) {
        table_done(&plan.firsts);
        return FAULT_MEMORY;
    }
    for (size_t i = 0; i < count; i++)
        plans[i].is_new = plans[i].copy == 0;
    for (size_t i = 0; i < known->count; i++)
        compare_message(&plan, known->messages[i], ret_comparison);
    for (size_t i = 0; i < count; i++)
        ret_comparison->new_count += plans[i].is_new;
    table_done(&plan.firsts);
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
    free(changes->relisted);
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
