/* SPDX-License-Identifier: MIT */
/*
 * One message: identity that never changes, and facts that threads add to. Each fact is one atomic
 * word, so that readers need no lock; no fact depends on another, so relaxed order is enough,
 * except for the count that guards the memory itself.
 */
#include "message.h"

#include <stdlib.h>
#include <string.h>

struct maildrop_message *message_new(const struct message_row *row, uint64_t id,
                                     int64_t first_seen_ns)
{
    if (row->uidl.len > UINT16_MAX)
        return NULL;
    struct maildrop_message *message = malloc(sizeof(*message) + row->uidl.len);
    if (message == NULL)
        return NULL;
    atomic_init(&message->refs, 1);
    message->copy = row->copy;
    message->copies_count = row->copies_count;
    message->id = id;
    message->first_seen_ns = first_seen_ns;
    atomic_init(&message->listed_octets, row->octets);
    atomic_init(&message->exact_octets, MESSAGE_OCTETS_UNKNOWN);
    atomic_init(&message->time_s, MESSAGE_TIME_UNKNOWN);
    atomic_init(&message->unsized, row->octets == 0);
    atomic_init(&message->going, false);
    atomic_init(&message->held, false);
    atomic_init(&message->leaving, false);
    atomic_init(&message->gone, false);
    atomic_init(&message->withdrawn, false);
    atomic_init(&message->replaced, false);
    for (size_t i = 0; i < MESSAGE_EVIDENCE_PARTS; i++)
        atomic_init(&message->evidence[i], 0);
    atomic_init(&message->doubted, false);
    atomic_init(&message->listed_in, row->listed_in);
    atomic_init(&message->wished_in, 0);
    atomic_init(&message->proven_in, 0);
    atomic_init(&message->unprovable_in, 0);
    atomic_init(&message->renewed_in, 0);
    message->place = row->place;
    message->rank = 0;
    message->kept = false;
    message->uidl_octets = (uint16_t)row->uidl.len;
    memcpy(message->uidl, row->uidl.data, row->uidl.len);
    return message;
}

struct maildrop_message *maildrop_message_ref(struct maildrop_message *message)
{
    atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
    return message;
}

void maildrop_message_unref(struct maildrop_message *message)
{
    if (message != NULL && atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) == 1)
        free(message);
}

uint64_t maildrop_message_id(const struct maildrop_message *message)
{
    return message->id;
}

struct slice maildrop_message_uidl(const struct maildrop_message *message)
{
    return (struct slice){message->uidl, message->uidl_octets};
}

uint32_t maildrop_message_copy(const struct maildrop_message *message)
{
    return message->copy;
}

bool maildrop_message_is_unique(const struct maildrop_message *message)
{
    return message->copies_count == 1;
}

bool maildrop_message_is_named(const struct maildrop_message *message)
{
    return message->copies_count > 0;
}

int64_t maildrop_message_first_seen_ns(const struct maildrop_message *message)
{
    return message->first_seen_ns;
}

uint64_t maildrop_message_octets(const struct maildrop_message *message, bool *ret_exact)
{
    uint64_t exact = atomic_load_explicit(&message->exact_octets, memory_order_relaxed);
    bool is_exact = exact != MESSAGE_OCTETS_UNKNOWN;
    if (ret_exact != NULL)
        *ret_exact = is_exact;
    return is_exact ? exact : maildrop_message_listed_octets(message);
}

uint64_t maildrop_message_listed_octets(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->listed_octets, memory_order_relaxed);
}

uint64_t maildrop_message_said_octets(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->unsized, memory_order_relaxed)
               ? 0
               : maildrop_message_listed_octets(message);
}

void maildrop_message_learn_octets(struct maildrop_message *message, uint64_t exact_octets)
{
    atomic_store_explicit(&message->exact_octets, exact_octets, memory_order_relaxed);
}

void maildrop_message_forget_octets(struct maildrop_message *message)
{
    atomic_store_explicit(&message->exact_octets, MESSAGE_OCTETS_UNKNOWN, memory_order_relaxed);
}

bool maildrop_message_time(const struct maildrop_message *message, int64_t *ret_seconds)
{
    int64_t seconds = atomic_load_explicit(&message->time_s, memory_order_relaxed);
    if (seconds == MESSAGE_TIME_UNKNOWN)
        return false;
    *ret_seconds = seconds;
    return true;
}

void maildrop_message_learn_time(struct maildrop_message *message, int64_t seconds)
{
    int64_t unknown = MESSAGE_TIME_UNKNOWN;
    atomic_compare_exchange_strong_explicit(&message->time_s, &unknown, seconds,
                                            memory_order_relaxed, memory_order_relaxed);
}

void maildrop_message_forget_time(struct maildrop_message *message)
{
    atomic_store_explicit(&message->time_s, MESSAGE_TIME_UNKNOWN, memory_order_relaxed);
}

/* The newest listing is the one that it was `in`. */
static bool is_newest(const struct maildrop_message *message, const atomic_uint *in)
{
    unsigned listed_in = atomic_load_explicit(&message->listed_in, memory_order_relaxed);
    return listed_in != 0 && atomic_load_explicit(in, memory_order_relaxed) == listed_in;
}

bool maildrop_message_is_going(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->going, memory_order_relaxed);
}

bool maildrop_message_is_held(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->held, memory_order_relaxed);
}

void maildrop_message_confirm(struct maildrop_message *message)
{
    atomic_store_explicit(&message->held, false, memory_order_relaxed);
}

bool maildrop_message_set_going(struct maildrop_message *message, bool going)
{
    maildrop_message_confirm(message);
    unsigned listed_in = atomic_load_explicit(&message->listed_in, memory_order_relaxed);
    atomic_store_explicit(&message->wished_in, listed_in, memory_order_relaxed);
    if (going && is_newest(message, &message->unprovable_in))
        atomic_store_explicit(&message->renewed_in, listed_in, memory_order_relaxed);
    return atomic_exchange_explicit(&message->going, going, memory_order_relaxed) != going;
}

bool maildrop_message_is_leaving(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->leaving, memory_order_relaxed);
}

void maildrop_message_set_leaving(struct maildrop_message *message, bool leaving)
{
    atomic_store_explicit(&message->leaving, leaving, memory_order_relaxed);
}

bool maildrop_message_is_gone(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->gone, memory_order_relaxed);
}

bool maildrop_message_is_withdrawn(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->withdrawn, memory_order_relaxed);
}

bool maildrop_message_is_replaced(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->replaced, memory_order_relaxed);
}

bool maildrop_message_evidence(const struct maildrop_message *message,
                               struct evidence *ret_evidence)
{
    uint64_t parts[MESSAGE_EVIDENCE_PARTS];
    _Static_assert(sizeof(parts) == sizeof(*ret_evidence), "parts of 8 octets");
    for (size_t i = 0; i < MESSAGE_EVIDENCE_PARTS; i++)
        parts[i] = atomic_load_explicit(&message->evidence[i], memory_order_relaxed);
    memcpy(ret_evidence, parts, sizeof(parts));
    return evidence_is_known(ret_evidence);
}

void maildrop_message_learn_evidence(struct maildrop_message *message,
                                     const struct evidence *evidence)
{
    uint64_t parts[MESSAGE_EVIDENCE_PARTS];
    memcpy(parts, evidence, sizeof(parts));
    for (size_t i = 0; i < MESSAGE_EVIDENCE_PARTS; i++)
        atomic_store_explicit(&message->evidence[i], parts[i], memory_order_relaxed);
}

void maildrop_message_forget_evidence(struct maildrop_message *message)
{
    static const struct evidence none;
    maildrop_message_learn_evidence(message, &none);
    atomic_store_explicit(&message->proven_in, 0, memory_order_relaxed);
}

bool maildrop_message_is_wished_here(const struct maildrop_message *message)
{
    return is_newest(message, &message->wished_in);
}

bool maildrop_message_is_proven(const struct maildrop_message *message)
{
    return is_newest(message, &message->proven_in);
}

void maildrop_message_note_proven(struct maildrop_message *message)
{
    unsigned listed_in = atomic_load_explicit(&message->listed_in, memory_order_relaxed);
    atomic_store_explicit(&message->proven_in, listed_in, memory_order_relaxed);
    atomic_store_explicit(&message->doubted, false, memory_order_relaxed);
}

void maildrop_message_note_unprovable(struct maildrop_message *message)
{
    unsigned listed_in = atomic_load_explicit(&message->listed_in, memory_order_relaxed);
    atomic_store_explicit(&message->unprovable_in, listed_in, memory_order_relaxed);
}

bool maildrop_message_is_renewed(const struct maildrop_message *message)
{
    return is_newest(message, &message->renewed_in);
}

bool maildrop_message_is_doubted(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->doubted, memory_order_relaxed);
}

void maildrop_message_doubt(struct maildrop_message *message)
{
    atomic_store_explicit(&message->doubted, true, memory_order_relaxed);
}
