/* SPDX-License-Identifier: MIT */
/*
 * One message: identity that never changes, and facts that threads add to. Each fact is one atomic
 * word, so that readers need no lock; no fact depends on another, so relaxed order is enough,
 * except for the count that guards the memory itself.
 */
#include "message.h"

#include <stdlib.h>
#include <string.h>

struct maildrop_message *message_new(struct slice uidl, uint32_t copy, bool unique, uint64_t id,
                                     uint64_t listed_octets, int64_t first_seen_ns)
{
    if (uidl.len > UINT16_MAX)
        return NULL;
    struct maildrop_message *message = malloc(sizeof(*message) + uidl.len);
    if (message == NULL)
        return NULL;
    atomic_init(&message->refs, 1);
    message->copy = copy;
    message->id = id;
    message->first_seen_ns = first_seen_ns;
    message->listed_octets = listed_octets;
    atomic_init(&message->exact_octets, MESSAGE_OCTETS_UNKNOWN);
    atomic_init(&message->time_s, MESSAGE_TIME_UNKNOWN);
    atomic_init(&message->going, false);
    atomic_init(&message->leaving, false);
    atomic_init(&message->gone, false);
    atomic_init(&message->withdrawn, false);
    atomic_init(&message->replaced, false);
    message->unique = unique;
    message->kept = false;
    message->uidl_octets = (uint16_t)uidl.len;
    memcpy(message->uidl, uidl.data, uidl.len);
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
    return message->unique;
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
    return is_exact ? exact : message->listed_octets;
}

uint64_t maildrop_message_listed_octets(const struct maildrop_message *message)
{
    return message->listed_octets;
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

bool maildrop_message_is_going(const struct maildrop_message *message)
{
    return atomic_load_explicit(&message->going, memory_order_relaxed);
}

bool maildrop_message_set_going(struct maildrop_message *message, bool going)
{
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
