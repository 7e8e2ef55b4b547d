/* SPDX-License-Identifier: MIT */
/* A session's listing: asked for after the login, and taken in once it is complete and believed. */
#include "engine.h"

#include <stdatomic.h>
#include <stdlib.h>

/*
 * With pipelining, STAT, UIDL and LIST go out together. Otherwise STAT first, because some servers
 * hang or say -ERR when they are asked to list nothing. UIDL before LIST: mailutils adds a header
 * at the first UIDL, which makes an earlier LIST stale.
 */
static enum fault ask_for_listing(struct sync *sync, struct job *stat, int64_t now_ms)
{
    const struct pop3_capabilities *has = pop3_session_capabilities(link_session(sync->link));
    sync->made_up_listing = has->known && !has->uidl;
    sync->listing_next = sync->made_up_listing ? LISTING_LIST : LISTING_UIDL;
    sync->listing_answers_left = sync->made_up_listing ? 1 : 2;
    enum fault fault = engine_ask(sync, stat, now_ms);
    sync->sole_issued_ms = now_ms; /* a CAPA that is owed came first and is answered as fast */
    return fault == FAULT_NONE ? engine_listing_continue(sync, now_ms) : fault;
}

enum fault engine_list(struct sync *sync, int64_t now_ms)
{
    engine_answer_abandon(sync);
    sync->listing = listing_new();
    struct job *job = jobs_add(&sync->jobs, JOB_STAT, SCHEDULE_READ, NULL);
    if (sync->listing == NULL || job == NULL)
        return FAULT_MEMORY;
    agenda_note_login(&sync->agenda, now_ms);
    agenda_note_login_delay(&sync->agenda,
                            pop3_session_capabilities(link_session(sync->link))->login_delay_s);
    sync->refused = REFUSED_NOT;
    sync->trust_age = TRUST_OLD;
    sync->session_phase = SESSION_LISTING;
    sync->session_count++;
    sync->dele_sent = sync->dele_was_taken = false;
    engine_headers_again(sync, sync->refresh_waiters.count > 0, now_ms);
    waiters_move(&sync->refresh_served, &sync->refresh_waiters);
    sync->listing_total = 0;
    sync->guess_next = sync->guess_count = 0;
    sync->stat_known = sync->list_refused = false;
    sync->bad_uidl_rows_count = sync->bad_list_rows_count = 0;
    sync->pipelined_count = 0;
    sync->is_in_step = false;
    sync->bodies_count = 0;
    sync->tops_refused = 0;
    sync->top_useless = false;
    sync->sweep_left = 0;
    recent_clear(&sync->recent);
    return ask_for_listing(sync, job, now_ms);
}

/* Which number each message has in this session. */
static bool map_numbers(struct sync *sync, struct maildrop_message *const *by_row,
                        const uint32_t *msgnums, size_t count)
{
    struct maildrop_snapshot *listed = maildrop_snapshot(sync->maildrop);
    uint32_t *map = calloc(count + 1, sizeof(map[0]));
    if (map == NULL) {
        maildrop_snapshot_unref(listed);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t position;
        if (maildrop_snapshot_find(listed, maildrop_message_id(by_row[i]), &position))
            map[position] = msgnums[i];
    }
    free(sync->msgnums);
    maildrop_snapshot_unref(sync->listed);
    sync->msgnums = map;
    sync->listed = listed;
    return true;
}

static void note_session(struct sync *sync)
{
    bool made_up_before = atomic_exchange(&sync->made_up, sync->made_up_listing);
    if (sync->made_up_listing && !made_up_before)
        log_write(LOG_LEVEL_WARNING,
                  "the server has no UIDL: names last for one session, and nothing that is removed "
                  "is deleted if the session is lost");
}

static void log_oddities(const struct sync *sync)
{
    size_t hidden = listing_hidden_count(sync->listing);
    if (hidden > 0)
        log_write(LOG_LEVEL_WARNING, "%zu message numbers have two UIDLs each and are hidden",
                  hidden);
    if (sync->skipped_rows_count > 0)
        log_write(LOG_LEVEL_WARNING, "%zu rows of the listing made no sense and were skipped",
                  sync->skipped_rows_count);
    if (sync->unshown_count > hidden)
        log_write(LOG_LEVEL_WARNING,
                  "the server's lists disagree in each session: %zu messages are not in all of "
                  "them and are hidden",
                  sync->unshown_count - hidden);
}

void engine_start_is_over(struct sync *sync, const struct failure *failure)
{
    pthread_mutex_lock(&sync->lock);
    sync->started = true;
    if (failure != NULL)
        sync->start_failure = *failure;
    pthread_mutex_unlock(&sync->lock);
    door_say_ready(&sync->door);
}

/* Without TOP no date can be had for the price of a header: nobody need wait for one. */
static void settle_times(struct sync *sync)
{
    int64_t seconds;
    if (engine_has_top(sync) || sync->top_rests)
        return;
    for (size_t i = 0; i < maildrop_snapshot_count(sync->listed); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(sync->listed, i);
        if (!maildrop_message_time(message, &seconds))
            engine_no_date(sync, message, !sync->top_off);
    }
}

/* Somebody else deleted it, or a commit of ours whose end nobody saw: QUIT was not answered, or no
 * session could prove what it said. */
static void note_wish_over(const struct maildrop_message *message, bool unknowable)
{
    char uidl[600];
    if (unknowable || !maildrop_message_is_unique(message) || maildrop_message_is_replaced(message))
        log_write(LOG_LEVEL_WARNING,
                  "%s was to be deleted, but can no longer be identified: it stays",
                  text_escape(maildrop_message_uidl(message), uidl, sizeof(uidl)));
}

void engine_note_vanished(struct sync *sync, const struct maildrop_changes *changes)
{
    /* Who found them still there has noted his wish when this is through; nobody will any more. */
    pthread_mutex_lock(&sync->wish_lock);
    pthread_mutex_unlock(&sync->wish_lock);
    for (size_t i = 0; i < changes->vanished_count; i++) {
        if (maildrop_message_is_going(changes->vanished[i]))
            atomic_fetch_sub(&sync->going_count, 1);
        if (maildrop_message_is_held(changes->vanished[i]))
            atomic_fetch_sub(&sync->held_count, 1);
    }
}

/* The first listing confirms what an earlier mount knew, so all that there is has appeared only
 * now. */
static void note_wishes_over(const struct sync *sync, const struct maildrop_changes *changes,
                             bool made_up)
{
    for (size_t i = 0; i < changes->vanished_count; i++)
        if (maildrop_message_is_going(changes->vanished[i]) &&
            !engine_commit_hears_of(sync, changes->vanished[i]))
            note_wish_over(changes->vanished[i],
                           made_up || sync->uidls_are_new || sync->unsure_count > 0);
}

bool engine_knows_messages(const struct sync *sync)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    size_t count = maildrop_snapshot_count(snapshot);
    maildrop_snapshot_unref(snapshot);
    return count > 0;
}

static void note_binding(struct sync *sync, enum pop3_binding_state state)
{
    if (state == POP3_BINDING_REFUSED) {
        sync->binding_use = BINDING_REFUSED;
        engine_index_unbound(sync);
        log_write(LOG_LEVEL_INFO, "the server lists SCRAM-SHA-256-PLUS, but does not take it: "
                                  "logins are not bound to the TLS connection any more");
    }
    if (sync->binding_use == BINDING_SPARED)
        sync->binding_use = BINDING_TRIED;
    if (state == POP3_BINDING_OF_NO_MATTER)
        sync->binding_was_lost = false;
}

/* What the next session may begin with. */
static void note_login(struct sync *sync)
{
    const struct pop3_session *session = link_session(sync->link);
    enum pop3_binding_state binding = pop3_session_binding(session);
    bool spared = binding == POP3_BINDING_FORGONE && sync->binding_use != BINDING_REFUSED;
    note_binding(sync, binding);
    if (spared)
        return; /* the next mount asks for the binding again */
    enum pop3_auth auth = pop3_session_repeatable_auth(session);
    bool proven = pop3_session_anticipation(session) == POP3_ANTICIPATION_PROVEN;
    if (auth == sync->login_known && !(proven && sync->login_losses > 0))
        return;
    sync->login_known = auth;
    if (proven)
        sync->login_losses = 0;
    engine_index_login(sync);
}

/* What the CAPA after the login has told by now at the latest. */
static void note_capabilities(struct sync *sync)
{
    const struct pop3_capabilities *has = pop3_session_capabilities(link_session(sync->link));
    bool known = has->known && has->pipelining && has->top && has->uidl &&
                 has->login_delay_s == 0 && !sync->listing_alone;
    agenda_note_login_delay(&sync->agenda, has->login_delay_s);
    if (known != sync->pipelining_known)
        engine_index_pipelining(sync, known);
    sync->pipelining_known = known;
}

/*
 * The first headers are on their way while the index of a new maildrop is written, which takes a
 * round trip's time. What they bring is looked at later, by this same thread, so nothing comes
 * before the row that it is about. Not where somebody waits already: he might be answered.
 */
static enum fault ask_early(struct sync *sync, int64_t now_ms, struct failure *ret_failure)
{
    return sync->started ? FAULT_NONE : engine_issue(sync, now_ms, ret_failure);
}

enum fault engine_listed(struct sync *sync, int64_t now_ms, struct failure *ret_failure)
{
    const struct maildrop_row *rows;
    const uint32_t *msgnums;
    size_t count;
    struct maildrop_changes changes;
    bool made_up_before = atomic_load(&sync->made_up);
    if (sync->made_up_listing && !made_up_before && engine_knows_messages(sync))
        return failure_set(ret_failure, FAULT_BUSY,
                           "the server has no UIDL in this session, but had it before");
    bool same_identity = !sync->made_up_listing && !made_up_before;
    enum fault fault = listing_join(sync->listing, sync->made_up_listing, &rows, &msgnums, &count);
    if (fault != FAULT_NONE)
        return listing_failure(fault, ret_failure);
    bool believed;
    fault = engine_believe(sync, rows, &count, now_ms, &believed, ret_failure);
    if (fault != FAULT_NONE || !believed)
        return fault;
    CLEANUP_FREE struct maildrop_message **by_row = calloc(count + 1, sizeof(by_row[0]));
    if (by_row == NULL || maildrop_apply(sync->maildrop, rows, count, same_identity,
                                         sync->turn_wall_ns, by_row, &changes) != FAULT_NONE)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory for the listing");
    log_oddities(sync);
    note_session(sync);
    note_capabilities(sync);
    note_login(sync);
    note_wishes_over(sync, &changes, made_up_before);
    engine_note_vanished(sync, &changes);
    bool mapped = map_numbers(sync, by_row, msgnums, count);
    listing_free(sync->listing);
    sync->listing = NULL;
    crawl_reset(&sync->crawl);
    sync->sweep_left = count;
    sync->sweep_forward = sync->started ? count : 0;
    sync->prefetch_next = 0;
    sync->gather_next = 0;
    sync->gathers = sync->gathers_by_body = false;
    sync->session_phase = SESSION_ONLINE;
    fault = mapped ? engine_guess_bind(sync) : FAULT_MEMORY;
    if (fault == FAULT_NONE)
        fault = ask_early(sync, now_ms, ret_failure);
    engine_index_changes(sync, &changes);
    if (mapped)
        settle_times(sync);
    sync->status_is_stale = true;
    sync->login_failed = false;
    backoff_note_session(&sync->backoff);
    sync->login_took_ms = now_ms - sync->session_started_ms;
    sync->wants_listing = false;
    sync->offline_since_s = 0;
    sync->listed_wall_s = sync->turn_wall_ns / 1000000000;
    agenda_note_listing(&sync->agenda, now_ms);
    engine_publish_snapshot(sync, &changes);
    engine_publish_listed_sizes(sync, &changes);
    engine_commit_listed(sync, &changes, now_ms);
    if (mapped)
        engine_sample(sync);
    maildrop_changes_done(&changes);
    waiters_answer(&sync->refresh_served, FAULT_NONE);
    if (!sync->started && mapped)
        engine_start_is_over(sync, NULL);
    return fault;
}
