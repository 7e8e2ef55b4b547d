/* SPDX-License-Identifier: MIT */
/*
 * What is remembered between mounts: the index is read into the maildrop at the start, and what is
 * learnt is written down in batches.
 *
 * Order of writes. A message is in the index, flushed, before anybody sees it, so that a body that
 * is kept under its id belongs to it for ever. Removals do not pass here: they are in the journal
 * before rm(1) returns. All else may be lost when popfs is killed: it is learnt again.
 *
 * Copies of one UIDL and made-up UIDLs mean nothing in another session and are not written down.
 */
#include "engine.h"

#include "popfs/mail.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    INDEX_FLUSH_MS = 1000,
    INDEX_CHANGES_MAX = 4096, /* of one transaction */
    ADDED_AT_ONCE = 64,
    CLEARED_COUNT_LEAST = 100, /* wishes that have come true at once: a new journal is cheaper */
    LISTED_OCTETS = 384,       /* of memory, for each message that is listed and shown */
    MONTH_S = 30 * 86400,      /* then it is tried again: a server may have been repaired */
};

/* Not "list-lies" or "list-is-wrong" any more: popfs 0.1.0 set these for a single message. */
static const char fact_lies[] = "list-inexact";
static const char fact_wrong[] = "list-wrong";
static const char fact_truths[] = "list-truths";
static const char fact_top_differs[] = "top-differs";
static const char fact_top_no_evidence[] = "top-no-evidence";
static const char fact_uidl_reused[] = "uidl-reused";
static const char fact_pipelining[] = "pipelining";
static const char fact_login[] = "login";
static const char fact_unbound[] = "unbound";
static const char fact_slow_deles[] = "slow-deles";
static const char fact_marker[] =
    "uidl-one"; /* 0: untried, 1: it names, else: useless since then */

/* ---- reading ---- */

struct load {
    struct sync *sync;
    size_t count, going_count, held_count;
};

static bool load_message(void *context, const struct store_message *message)
{
    struct load *load = context;
    struct maildrop_known known = {
        .id = message->id,
        .uidl = message->uidl,
        .listed_octets = message->listed_octets,
        .first_seen_ns = message->first_seen_ns,
        .evidence = message->evidence,
        .going = message->going,
        .held = message->held,
    };
    if (message->exact_octets != STORE_OCTETS_UNKNOWN)
        known.exact_octets = &message->exact_octets;
    if (message->time_s != STORE_TIME_UNKNOWN)
        known.time_s = &message->time_s;
    load->count++;
    load->going_count += message->going;
    load->held_count += message->held;
    return maildrop_restore(load->sync->maildrop, &known) == FAULT_NONE;
}

static size_t load_fact(struct sync *sync, const char *name)
{
    int64_t value;
    return store_fact(sync->store, name, &value) && value > 0 ? (size_t)value : 0;
}

/*
 * How logins went, in one number: bits 0 to 7 sync->login_known, from bit 16 on sync->login_losses.
 * Between them the options that led to it, under which alone it means something.
 */
static size_t login_options(const struct sync *sync)
{
    const struct account *account = &sync->account;
    return ((size_t)account->auth << 1 | (account->tls != SYNC_TLS_OFF)) << 8;
}

static void load_login(struct sync *sync)
{
    size_t value = load_fact(sync, fact_login);
    size_t auth = value & 0xff;
    if ((value & 0xff00) != login_options(sync) || auth > POP3_AUTH_EXTERNAL)
        return;
    sync->login_known = (enum pop3_auth)auth;
    sync->login_losses = value >> 16;
}

/* The value of the fact is when it was found out. */
static bool is_of_this_month(const struct sync *sync, const char *name)
{
    int64_t now_s = sync->turn_wall_ns / 1000000000;
    int64_t at_s;
    return store_fact(sync->store, name, &at_s) && at_s <= now_s && at_s >= now_s - MONTH_S;
}

static void load_marker(struct sync *sync)
{
    int64_t value;
    if (store_fact(sync->store, fact_marker, &value) && value == 1)
        sync->marker.use = MARKER_NAMES;
    else if (is_of_this_month(sync, fact_marker))
        sync->marker.use = MARKER_USELESS;
}

static void load_facts(struct sync *sync)
{
    sync->lies_count = load_fact(sync, fact_lies);
    sync->truths_count = load_fact(sync, fact_truths);
    sync->list_is_wrong = load_fact(sync, fact_wrong) > 0;
    sync->top_differs = load_fact(sync, fact_top_differs) > 0;
    sync->top_is_no_evidence = load_fact(sync, fact_top_no_evidence) > 0;
    atomic_store(&sync->uidl_is_reused, load_fact(sync, fact_uidl_reused) > 0);
    sync->pipelining_known = load_fact(sync, fact_pipelining) > 0;
    load_login(sync);
    if (is_of_this_month(sync, fact_unbound))
        sync->binding_use = BINDING_REFUSED;
    sync->deles_are_slow = is_of_this_month(sync, fact_slow_deles);
    load_marker(sync);
    atomic_store(&sync->list_is_doubted, sync->list_is_wrong);
}

enum fault engine_index_load(struct sync *sync, struct failure *ret_failure)
{
    struct load load = {.sync = sync};
    char notice[FAILURE_TEXT_OCTETS];
    enum fault fault = store_begin(sync->store, notice, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    if (notice[0] != '\0')
        log_write(LOG_LEVEL_WARNING, "%s", notice);
    load_facts(sync);
    fault = store_load(sync->store, load_message, &load, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    maildrop_begin_after(sync->maildrop, store_last_id(sync->store));
    atomic_store(&sync->going_count, load.going_count);
    atomic_store(&sync->held_count, load.held_count);
    /* About as many will be listed. */
    heap_prepare(load.count * LISTED_OCTETS);
    return FAULT_NONE;
}

/* ---- writing ---- */

/* Said once until it works again: the mount goes on from memory. */
static void note_result(struct sync *sync, enum fault fault, const struct failure *failure)
{
    if (fault != FAULT_NONE && !sync->index_is_failing)
        log_write(LOG_LEVEL_ERROR, "%s; what is learnt is not remembered", failure->text);
    sync->index_is_failing = fault != FAULT_NONE;
    sync->index_changes_count++;
}

static bool is_indexed(const struct sync *sync, const struct maildrop_message *message)
{
    return maildrop_message_is_unique(message) && !atomic_load(&sync->made_up);
}

static struct store_message row_of(const struct maildrop_message *message)
{
    return (struct store_message){
        .id = maildrop_message_id(message),
        .uidl = maildrop_message_uidl(message),
        .listed_octets = maildrop_message_listed_octets(message),
        .exact_octets = STORE_OCTETS_UNKNOWN,
        .time_s = STORE_TIME_UNKNOWN,
        .first_seen_ns = maildrop_message_first_seen_ns(message),
    };
}

static void add_all(struct sync *sync, struct maildrop_message *const *messages, size_t count)
{
    struct failure failure;
    struct store_message rows[ADDED_AT_ONCE];
    for (size_t i = 0; i < count;) {
        size_t rows_count = 0;
        for (; i < count && rows_count < ADDED_AT_ONCE; i++)
            if (is_indexed(sync, messages[i]))
                rows[rows_count++] = row_of(messages[i]);
        if (rows_count > 0)
            note_result(sync, store_add_all(sync->store, rows, rows_count, &failure), &failure);
    }
}

void engine_index_listed(struct sync *sync, const struct maildrop_message *message)
{
    struct failure failure;
    if (is_indexed(sync, message))
        note_result(sync,
                    store_learn_listed(sync->store, maildrop_message_id(message),
                                       maildrop_message_listed_octets(message), &failure),
                    &failure);
}

/* Where no wish is left, none need be taken back one by one. */
static void clear_wishes(struct sync *sync)
{
    struct failure failure;
    pthread_mutex_lock(&sync->wish_lock);
    bool none = atomic_load(&sync->going_count) == 0;
    uint64_t mark = none ? store_removals_mark(sync->store) : 0;
    pthread_mutex_unlock(&sync->wish_lock);
    if (none)
        note_result(sync, store_clear_removals(sync->store, mark, &failure), &failure);
}

static void forget(struct sync *sync, struct maildrop_message *const *messages, size_t count)
{
    struct failure failure;
    if (count == 0)
        return;
    engine_bin_keep(sync, messages, count);
    CLEANUP_FREE struct store_message *gone = calloc(count, sizeof(gone[0]));
    if (gone == NULL) {
        failure_set(&failure, FAULT_MEMORY, "out of memory");
        note_result(sync, FAULT_MEMORY, &failure);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        gone[i].id = maildrop_message_id(messages[i]);
        if (is_indexed(sync, messages[i]))
            gone[i].uidl = maildrop_message_uidl(messages[i]);
    }
    if (count >= CLEARED_COUNT_LEAST)
        clear_wishes(sync);
    note_result(sync, store_forget(sync->store, gone, count, &failure), &failure);
}

void engine_index_changes(struct sync *sync, const struct maildrop_changes *changes)
{
    /* First what has gone: what takes its place may have the same UIDL. */
    forget(sync, changes->vanished, changes->vanished_count);
    add_all(sync, changes->appeared, changes->appeared_count);
    /* The doubt about the others outlives the process, as it came: by the size of before. */
    for (size_t i = 0; i < changes->relisted_count; i++)
        if (!maildrop_message_is_doubted(changes->relisted[i]))
            engine_index_listed(sync, changes->relisted[i]);
    engine_index_flush(sync);
}

void engine_index_octets(struct sync *sync, const struct maildrop_message *message)
{
    struct failure failure;
    uint64_t octets = maildrop_message_octets(message, NULL);
    if (is_indexed(sync, message))
        note_result(sync,
                    store_learn_octets(sync->store, maildrop_message_id(message), octets, &failure),
                    &failure);
}

void engine_index_header(struct sync *sync, const struct maildrop_message *message,
                         struct slice header)
{
    struct failure failure;
    struct store_header learned = {0};
    struct mail_texts texts = {0};
    if (!is_indexed(sync, message) || !maildrop_message_time(message, &learned.time_s))
        return;
    (void)maildrop_message_evidence(message, &learned.evidence);
    /* For reports and for searches: for want of memory they are missing there. */
    if (header.len > 0)
        (void)mail_header_texts(header, STORE_FIELD_OCTETS_MAX, &texts);
    learned.sender = buffer_slice(&texts.sender);
    learned.from = buffer_slice(&texts.from);
    learned.to = buffer_slice(&texts.to);
    learned.subject = buffer_slice(&texts.subject);
    note_result(sync,
                store_learn_header(sync->store, maildrop_message_id(message), &learned, &failure),
                &failure);
    mail_texts_done(&texts);
}

void engine_index_forget(struct sync *sync, const struct maildrop_message *message,
                         const struct recent_message *recent)
{
    struct failure failure;
    uint64_t id = maildrop_message_id(message);
    if (!is_indexed(sync, message))
        return;
    if (recent->learnt_octets)
        note_result(sync, store_learn_octets(sync->store, id, STORE_OCTETS_UNKNOWN, &failure),
                    &failure);
    if (recent->learnt_time) {
        const struct store_header nothing = {.time_s = STORE_TIME_UNKNOWN};
        note_result(sync, store_learn_header(sync->store, id, &nothing, &failure), &failure);
    }
    if (recent->learnt_evidence)
        engine_index_evidence(sync, message);
}

static void write_fact(struct sync *sync, const char *name, size_t value)
{
    struct failure failure;
    note_result(sync, store_set_fact(sync->store, name, (int64_t)value, &failure), &failure);
}

void engine_index_sizes(struct sync *sync)
{
    write_fact(sync, fact_lies, sync->lies_count);
    write_fact(sync, fact_truths, sync->truths_count);
    write_fact(sync, fact_wrong, sync->list_is_wrong);
}

void engine_index_marker(struct sync *sync)
{
    size_t useless = (size_t)(sync->turn_wall_ns / 1000000000);
    write_fact(sync, fact_marker, sync->marker.use == MARKER_USELESS ? useless : 1);
}

void engine_index_top_differs(struct sync *sync)
{
    write_fact(sync, fact_top_differs, 1);
}

void engine_index_identity(struct sync *sync)
{
    write_fact(sync, fact_top_no_evidence, sync->top_is_no_evidence);
    write_fact(sync, fact_uidl_reused, atomic_load(&sync->uidl_is_reused));
}

void engine_index_evidence(struct sync *sync, const struct maildrop_message *message)
{
    struct failure failure;
    struct evidence evidence = {0};
    (void)maildrop_message_evidence(message, &evidence);
    if (is_indexed(sync, message))
        note_result(
            sync,
            store_learn_evidence(sync->store, maildrop_message_id(message), &evidence, &failure),
            &failure);
}

void engine_index_pipelining(struct sync *sync, bool known)
{
    write_fact(sync, fact_pipelining, known);
}

void engine_index_login(struct sync *sync)
{
    write_fact(sync, fact_login,
               sync->login_losses << 16 | login_options(sync) | (size_t)sync->login_known);
}

void engine_index_unbound(struct sync *sync)
{
    write_fact(sync, fact_unbound, (size_t)(sync->turn_wall_ns / 1000000000));
}

void engine_index_slow_deles(struct sync *sync)
{
    sync->deles_are_slow = true;
    write_fact(sync, fact_slow_deles, (size_t)(sync->turn_wall_ns / 1000000000));
}

void engine_index_flush(struct sync *sync)
{
    struct failure failure;
    note_result(sync, store_flush(sync->store, &failure), &failure);
    sync->index_changes_count = sync->index_is_failing; /* then it is tried again soon */
}

void engine_index_settle(struct sync *sync, int64_t now_ms)
{
    if (sync->index_changes_count == 0 && !atomic_load(&sync->journal_has_grown))
        sync->index_flush_ms = now_ms + INDEX_FLUSH_MS;
    if (now_ms < sync->index_flush_ms && sync->index_changes_count < INDEX_CHANGES_MAX)
        return;
    atomic_store(&sync->journal_has_grown, false);
    engine_index_flush(sync);
    sync->index_flush_ms = now_ms + INDEX_FLUSH_MS;
}

int64_t engine_index_at_ms(const struct sync *sync)
{
    bool due = sync->index_changes_count > 0 || atomic_load(&sync->journal_has_grown);
    return due ? sync->index_flush_ms : -1;
}
