/* SPDX-License-Identifier: MIT */
/* The one session: made when somebody wants it, lost, made again; and what its listing says. */
#include "engine.h"

#include <stdlib.h>

enum {
    CONNECT_MS = 30000, /* POP3.md rule 21; a shorter time-out shortens these, too */
    HANDSHAKE_MS = 30000,
    CAREFUL_MAX = 32,
    PIPELINED_WELL = 16, /* answers: then pipelining is not to blame */
    LOGIN_LOSSES_MAX = 2,
    PIPELINE_LOSSES_MAX = 2,
    SHORT_SESSION_MS = 5000, /* one that was lost earlier counts as a failed attempt to log in */
};

static uint32_t dice(void)
{
    uint32_t drawn = 0;
    /* Without chance the least delay will do. */
    (void)chance_draw(&drawn, sizeof(drawn));
    return drawn;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t greatest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool wants_session(const struct sync *sync)
{
    if (sync->commit.phase != COMMIT_NONE)
        return true;
    if (sync->phase != ENGINE_SERVE || sync->refused == REFUSED_FOR_GOOD)
        return false;
    return !sync->started || sync->wants_listing || sync->prefetch_waiters.count > 0 ||
           sync->jobs.queued[SCHEDULE_READ].count > 0 || sync->jobs.queued[SCHEDULE_STAT].count > 0;
}

int64_t engine_connect_at_ms(const struct sync *sync)
{
    /* The end of the fetching wakes the thread. */
    if (sync->link != NULL || sync->fetching || !wants_session(sync))
        return -1;
    return greatest(agenda_login_from_ms(&sync->agenda), sync->retry_ms);
}

static enum pop3_security security(enum sync_tls tls)
{
    switch (tls) {
    case SYNC_TLS_ON:
        return POP3_SECURITY_TLS;
    case SYNC_TLS_STARTTLS:
        return POP3_SECURITY_STLS;
    case SYNC_TLS_OFF:
        return POP3_SECURITY_NONE;
    }
    return POP3_SECURITY_STLS;
}

void engine_anticipate(struct sync *sync)
{
    if (sync->link != NULL && sync->binding_use != BINDING_TRIED)
        link_forgo_binding(sync->link);
    if (sync->link == NULL || !sync->pipelining_known || sync->pipeline_off ||
        engine_lists_alone(sync))
        return;
    link_assume_pipelining(sync->link);
    if (sync->login_losses < LOGIN_LOSSES_MAX)
        link_expect_auth(sync->link, sync->login_known);
}

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
    sync->session_phase = SESSION_LISTING;
    sync->session_count++;
    sync->dele_sent = false;
    engine_headers_again(sync, sync->refresh_waiters.count > 0, now_ms);
    waiters_move(&sync->refresh_served, &sync->refresh_waiters);
    sync->listing_total = 0;
    sync->guess_next = sync->guess_count = 0;
    sync->stat_known = sync->list_refused = false;
    sync->bad_uidl_rows_count = sync->bad_list_rows_count = 0;
    sync->pipelined_count = 0;
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
    for (size_t i = 0; i < changes->vanished_count; i++)
        if (maildrop_message_is_going(changes->vanished[i]))
            atomic_fetch_sub(&sync->going_count, 1);
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

/* By their UIDLs: a session without would make strangers of them all, and of what is to be deleted.
 */
static bool knows_messages(const struct sync *sync)
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
    if (sync->made_up_listing && !made_up_before && knows_messages(sync))
        return failure_set(ret_failure, FAULT_BUSY,
                           "the server has no UIDL in this session, but had it before");
    bool same_identity = !sync->made_up_listing && !made_up_before;
    if (listing_join(sync->listing, sync->made_up_listing, &rows, &msgnums, &count) != FAULT_NONE)
        return FAULT_MEMORY;
    bool believed;
    enum fault fault = engine_believe(sync, rows, &count, now_ms, &believed, ret_failure);
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

/* What the session was about is void. */
static void forget_session(struct sync *sync)
{
    sync->link = NULL;
    sync->dele_sent = sync->body_waits = false;
    sync->session_phase = SESSION_NONE;
    sync->status_is_stale = true;
    engine_answer_abandon(sync);
    maildrop_snapshot_unref(sync->listed);
    sync->listed = NULL;
    free(sync->msgnums);
    sync->msgnums = NULL;
    window_init(&sync->window);
    sync->looks_on = true; /* no answer will wake the thread any more */
}

/* Whoever stopped it in the middle may have waited for too long. */
static void forget_login(struct sync *sync)
{
    if (sync->phase != ENGINE_OVER || sync->link == NULL || !link_is_anticipating(sync->link))
        return;
    sync->login_known = POP3_AUTH_AUTO;
    engine_index_login(sync);
}

void engine_link_drop(struct sync *sync)
{
    forget_login(sync);
    if (sync->link != NULL)
        sync->received_before += link_received_octets(sync->link);
    /* A server that took the lost link for a QUIT would delete what must stay. */
    if (sync->link != NULL && sync->dele_sent && sync->session_phase == SESSION_ONLINE)
        link_reset(sync->link);
    link_free(sync->link);
    forget_session(sync);
}

void engine_link_close(struct sync *sync)
{
    sync->received_before += link_received_octets(sync->link);
    backoff_succeeded(&sync->backoff);
    link_close(sync->link);
    forget_session(sync);
}

void engine_pipelining_is_to_blame(struct sync *sync)
{
    if (sync->pipeline_off)
        return;
    sync->pipeline_off = true;
    log_write(LOG_LEVEL_WARNING, "the server hangs up when it is asked for several messages at "
                                 "once; from now on it is asked for one at a time");
}

/*
 * o2.pl offers pipelining and hangs up on it. After a link that broke with several commands owed,
 * as many are asked for one at a time; after a second one that answered hardly any, there is no
 * more pipelining in this mount.
 */
static void judge_pipelining(struct sync *sync, enum fault fault)
{
    const struct job *first = sync->jobs.in_flight.first;
    size_t owed_count = sync->jobs.in_flight.count;
    sync->careful_count = 0;
    bool had_session =
        sync->session_phase == SESSION_ONLINE || sync->session_phase == SESSION_QUITTING;
    if (!had_session || !engine_has_pipelined(sync) || first->kind == JOB_DELE)
        return; /* of a DELE that is bad in itself the commit judges */
    sync->careful_count = owed_count < CAREFUL_MAX ? owed_count : CAREFUL_MAX;
    if (fault == FAULT_BUSY)
        return; /* the server has said why */
    if (sync->pipelined_count >= PIPELINED_WELL)
        sync->pipeline_losses = 0;
    if (++sync->pipeline_losses >= PIPELINE_LOSSES_MAX)
        engine_pipelining_is_to_blame(sync);
}

/* The first of a prefetch's bodies may be one that the server cannot send: not for ever again. */
static void judge_prefetch(struct sync *sync, enum fault fault)
{
    const struct job *first = sync->jobs.in_flight.first;
    if (first == NULL || first->kind != JOB_BODY || first->requests != NULL ||
        sync->prefetch_waiters.count == 0)
        return;
    if (++sync->prefetch_losses >= ITEM_ATTEMPTS_MAX)
        engine_prefetch_answer(sync, fault);
}

/*
 * What was in flight: bodies and headers that somebody waits for are asked for again, at the front
 * of their queues and in their old order; the rest is dropped. Only the first is suspected of
 * having broken the link.
 */
static void recover_jobs(struct sync *sync, enum fault fault, int64_t now_ms)
{
    struct jobs *jobs = &sync->jobs;
    if (jobs->in_flight.first != NULL) {
        jobs->in_flight.first->attempts++;
        engine_receive_lost(sync, jobs->in_flight.first, fault, now_ms);
    }
    while (jobs->in_flight.last != NULL) {
        struct job *job = jobs->in_flight.last;
        /* The kernel asks again for each page that it did not get. */
        if (job->attempts >= ITEM_ATTEMPTS_MAX && job->kind == JOB_BODY)
            engine_stream_give_up(sync, job->message, fault);
        if (job->requests == NULL || job->attempts >= ITEM_ATTEMPTS_MAX)
            jobs_finish(jobs, job, fault, EXTENT_NONE);
        else
            jobs_requeue(jobs, job);
    }
    for (int class = 0; class < SCHEDULE_CLASSES_COUNT; class ++)
        jobs_drop_queued(jobs, (enum schedule_class) class);
}

/*
 * The link broke or fell silent while several commands of a listing were owed: o2.pl offers
 * pipelining and hangs up on it, and others hang when they are asked to list nothing. From now on
 * one is asked at a time, beginning at once.
 */
static bool blame_pipelined_listing(struct sync *sync, enum fault fault)
{
    const struct job *first = sync->jobs.in_flight.first;
    bool told = fault == FAULT_BUSY || fault == FAULT_LOGIN; /* why, by the server itself */
    bool listing = first != NULL &&
                   (first->kind == JOB_STAT || first->kind == JOB_UIDL || first->kind == JOB_LIST);
    /* It may have answered STAT before it hung up or fell silent. */
    bool several = sync->jobs.in_flight.count > 1 || (listing && first->kind != JOB_STAT);
    if (!listing || told || !several || sync->listing_alone)
        return false;
    sync->listing_alone = true;
    return true;
}

/*
 * The login failed before what was said together with CAPA was taken, and that may be why, unless
 * the server says why. Then once more at once, and this time CAPA is waited for; but no secret that
 * was refused is said again here, because it would count twice towards a lockout. After a second
 * such failure every login of this account waits: two backends may offer different logins, and
 * something between us and the server may lose or refuse what comes early.
 */
static bool blame_anticipation(struct sync *sync, enum fault fault)
{
    if (sync->link == NULL || !link_is_anticipating(sync->link))
        return false;
    enum pop3_code code = link_failure_code(sync->link);
    if (fault == FAULT_BUSY || (code != POP3_CODE_NONE && code != POP3_CODE_OTHER))
        return false;
    sync->login_known = POP3_AUTH_AUTO;
    sync->login_losses++;
    engine_index_login(sync);
    return fault == FAULT_OFFLINE || fault == FAULT_TIMEOUT || fault == FAULT_GARBLED;
}

/*
 * Some server or something before it hangs up, or says no more, where it should refuse -PLUS. Then
 * once more at once, without: in one session, because any link may be lost; in the rest of the
 * mount when that has happened again. Not once a proof was said: that may have been refused so.
 */
static bool blame_binding(struct sync *sync, enum fault fault)
{
    if (sync->link == NULL || (fault != FAULT_OFFLINE && fault != FAULT_TIMEOUT) ||
        pop3_session_binding(link_session(sync->link)) != POP3_BINDING_OPEN)
        return false;
    sync->binding_use = sync->binding_was_lost ? BINDING_SPARED_IN_MOUNT : BINDING_SPARED;
    sync->binding_was_lost = true;
    return true;
}

/* ---- refusals ---- */

static void fail_waiting(struct sync *sync, enum fault fault)
{
    jobs_fail_waiting(&sync->jobs, fault);
    waiters_answer(&sync->refresh_waiters, fault);
    waiters_answer(&sync->refresh_served, fault);
    waiters_answer(&sync->prefetch_waiters, fault);
    /* Those for a commit after the present one, which would begin with a wait for the next attempt.
     */
    waiters_answer(&sync->commit_waiters, fault);
}

static void refuse_for_good(struct sync *sync)
{
    sync->refused = REFUSED_FOR_GOOD;
    log_write(LOG_LEVEL_ERROR, "the login is not tried again until somebody asks for it "
                               "(popfsctl refresh)");
}

/*
 * Refused after it had worked. The password may have been changed, so it is fetched anew, and tried
 * at once if it is another one. If not, [AUTH] is final (RFC 3206); a refusal without a code may
 * mean that we came too often (Outlook): once more, later. [SYS/PERM] is final, too. A token that
 * has expired is worth trying again at once.
 */
static void note_refusal(struct sync *sync, enum pop3_code code, int64_t now_ms)
{
    bool is_token = sync->account.is_token;
    if (!sync->started)
        return;
    if (sync->refused != REFUSED_NOT || (code == POP3_CODE_SYS_PERM && !is_token)) {
        refuse_for_good(sync);
        return;
    }
    engine_password_fetch(sync);
    if (is_token)
        sync->retry_ms = now_ms;
    if (is_token || code != POP3_CODE_AUTH)
        sync->refused = REFUSED_ONCE;
    else if (sync->fetching)
        sync->refused = REFUSED_UNLESS_NEW;
    else
        refuse_for_good(sync);
}

/* The password that was fetched anew is the one that was refused. Those who waited for it are
 * told, unless it is to be tried all the same. */
static void refusal_stands(struct sync *sync, int64_t now_ms)
{
    if (sync->refused == REFUSED_UNLESS_NEW)
        refuse_for_good(sync);
    else if (now_ms >= sync->retry_ms)
        return;
    sync->looks_on = true;
    fail_waiting(sync, sync->last_failure.fault);
    if (sync->refused == REFUSED_FOR_GOOD && sync->commit.phase != COMMIT_NONE)
        engine_commit_link_lost(sync, &sync->last_failure, POP3_CODE_AUTH, now_ms);
}

/* False while it is being fetched. */
static bool hear_of_password(struct sync *sync, int64_t now_ms)
{
    switch (engine_password_news(sync)) {
    case PASSWORD_COMING:
        return false;
    case PASSWORD_NOT_ANOTHER:
        refusal_stands(sync, now_ms);
        break;
    case PASSWORD_ANOTHER:
        sync->refused = REFUSED_ONCE;
        sync->retry_ms = now_ms;
        break;
    case PASSWORD_AS_BEFORE:
        break;
    }
    return true;
}

void engine_connect(struct sync *sync, int64_t now_ms)
{
    if (sync->phase == ENGINE_OVER || !hear_of_password(sync, now_ms))
        return;
    int64_t at_ms = engine_connect_at_ms(sync);
    if (at_ms < 0 || now_ms < at_ms)
        return;
    const struct account *account = &sync->account;
    struct failure failure = {0};
    struct link_options options = {
        .net = {.host = account->host,
                .port = account->port,
                .tls = account->tls == SYNC_TLS_ON,
                .trust = account->trust,
                .connect_ms = least(CONNECT_MS, account->timeout_ms),
                .handshake_ms = least(HANDSHAKE_MS, account->timeout_ms)},
        .pop3 = {.security = security(account->tls),
                 .auth = account->auth,
                 .host = account->host,
                 .port = account->port,
                 .user = account->user,
                 .password = account->password,
                 .pipeline = account->pipeline && !sync->pipeline_off,
                 .trace = account->trace},
        .timeout_ms = account->timeout_ms,
    };
    sync->session_phase = SESSION_LOGIN;
    sync->session_started_ms = now_ms;
    sync->status_is_stale = true;
    if (link_new(&options, now_ms, &sync->link, &failure) != FAULT_NONE)
        engine_link_lost(sync, &failure, now_ms);
    else
        engine_anticipate(sync);
}

/* Where the server was there, but is to say once more what it lists, and LOGIN-DELAY lets nobody
 * ask in time, an earlier mount's listing is shown: no later mount would fare better. */
static void start_failed(struct sync *sync, const struct failure *failure)
{
    bool refused = failure->fault == FAULT_LOGIN || failure->fault == FAULT_UNTRUSTED;
    if (sync->doubt.is_held && !refused && knows_messages(sync)) {
        log_write(LOG_LEVEL_WARNING, "%s: showing what was listed before: %s", sync->account.host,
                  failure->text);
        engine_publish_snapshot(sync, &(struct maildrop_changes){0});
        engine_start_is_over(sync, NULL);
        return;
    }
    engine_start_is_over(sync, failure);
    sync->phase = ENGINE_OVER;
}

/* A session could not be had: while the maildrop is merely busy, or the password is being fetched
 * anew, those who wait go on waiting. */
static void login_failed(struct sync *sync, const struct failure *failure, enum pop3_code code,
                         int64_t now_ms)
{
    sync->retry_ms = now_ms + backoff_failed(&sync->backoff, failure->fault, dice());
    if (failure->fault == FAULT_LOGIN)
        note_refusal(sync, code, now_ms);
    bool busy = failure->fault == FAULT_BUSY;
    sync->login_failed = true;
    int64_t again_ms = greatest(sync->retry_ms, agenda_login_from_ms(&sync->agenda));
    if (!sync->started && (!busy || again_ms > sync->start_ms + sync->account.timeout_ms)) {
        start_failed(sync, failure);
    }
    if (!busy && !sync->fetching)
        fail_waiting(sync, failure->fault);
}

/* The server hung up on a QUIT that was to delete nothing: that is an answer as well. */
static bool was_leaving(struct sync *sync)
{
    if (sync->session_phase != SESSION_QUITTING || sync->commit.phase == COMMIT_QUITTING)
        return false;
    engine_link_drop(sync);
    jobs_abandon_in_flight(&sync->jobs);
    return true;
}

void engine_link_lost(struct sync *sync, const struct failure *failure, int64_t now_ms)
{
    bool had_session =
        sync->session_phase == SESSION_ONLINE || sync->session_phase == SESSION_QUITTING;
    bool committing = sync->commit.phase != COMMIT_NONE;
    if (was_leaving(sync))
        return;
    bool once_more = blame_pipelined_listing(sync, failure->fault) ||
                     blame_anticipation(sync, failure->fault) ||
                     blame_binding(sync, failure->fault);
    enum pop3_code code = sync->link == NULL ? POP3_CODE_NONE : link_failure_code(sync->link);
    if (sync->started)
        log_write(LOG_LEVEL_WARNING, "%s: %s", sync->account.host, failure->text);
    sync->last_failure = *failure;
    sync->last_failure_wall_s = sync->turn_wall_ns / 1000000000;
    if (sync->offline_since_s == 0)
        sync->offline_since_s = sync->last_failure_wall_s;
    judge_pipelining(sync, failure->fault);
    engine_commit_note_break(sync, failure);
    judge_prefetch(sync, failure->fault);
    if (had_session)
        waiters_wait_from(&sync->prefetch_waiters, now_ms);
    engine_link_drop(sync);
    recover_jobs(sync, failure->fault, now_ms);
    waiters_move(&sync->refresh_waiters, &sync->refresh_served);
    if (!had_session && !once_more)
        login_failed(sync, failure, code, now_ms);
    if (once_more)
        sync->retry_ms = now_ms;
    else if (committing)
        engine_commit_link_lost(sync, failure, code, now_ms);
    else if (!had_session)
        return;
    else if (now_ms - sync->session_started_ms < SHORT_SESSION_MS)
        sync->retry_ms = now_ms + backoff_failed(&sync->backoff, FAULT_OFFLINE, dice());
    else
        sync->retry_ms = now_ms;
}
