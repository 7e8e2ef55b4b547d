/* SPDX-License-Identifier: MIT */
/* The one session: made when somebody wants it, lost, made again. */
#include "advice.h"
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
    bool is_out_of_step = sync->is_out_of_step;
    sync->is_out_of_step = false;
    if (!had_session || first == NULL || first->kind == JOB_DELE ||
        !(is_out_of_step || engine_has_pipelined(sync)))
        return; /* of a DELE that is bad in itself the commit judges */
    sync->careful_count = owed_count < CAREFUL_MAX ? owed_count : CAREFUL_MAX;
    /* The server has said why, or a marker that was asked alone has failed, or a link broke under a
     * body whose marker would have been answered. */
    bool is_of_body = owed_count == 2 && first->has_begun && sync->pipelined_count > 0;
    if (fault == FAULT_BUSY || !engine_has_pipelined(sync) || is_of_body)
        return;
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

/* The one whose answer was to come next, or the first of those that a marker did not prove. */
static struct job *find_suspect(const struct jobs *jobs)
{
    struct job *job = jobs->in_flight.first;
    while (job != NULL && job->has_ended)
        job = job->next;
    if (job == NULL || job->kind == JOB_MARK)
        job = jobs->in_flight.first;
    return job == NULL || job->kind == JOB_MARK ? NULL : job;
}

/*
 * What was in flight: bodies and headers that somebody waits for are asked for again, at the front
 * of their queues and in their old order; the rest is dropped. Only one is suspected of having
 * broken the link.
 */
static void recover_jobs(struct sync *sync, enum fault fault, int64_t now_ms)
{
    struct jobs *jobs = &sync->jobs;
    struct job *suspect = find_suspect(jobs);
    if (suspect != NULL) {
        suspect->attempts++;
        engine_receive_lost(sync, suspect, fault, now_ms);
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

/* The attempt was made for those who asked for a session, and not for something in it. */
static void fail_wishes(struct sync *sync, enum fault fault)
{
    waiters_answer(&sync->refresh_waiters, fault);
    waiters_answer(&sync->refresh_served, fault);
    /* Those for a commit after the present one, which would begin with a wait for the next attempt.
     */
    waiters_answer(&sync->commit_waiters, fault);
}

static void fail_waiting(struct sync *sync, enum fault fault)
{
    jobs_fail_waiting(&sync->jobs, fault);
    waiters_answer(&sync->prefetch_waiters, fault);
    fail_wishes(sync, fault);
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
    if (at_ms < 0 || now_ms < at_ms || engine_trust_is_awaited(sync))
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
    if (sync->doubt.is_held && !refused && engine_knows_messages(sync)) {
        log_write(LOG_LEVEL_WARNING, "%s: showing what was listed before: %s", sync->account.host,
                  failure->text);
        engine_publish_snapshot(sync, &(struct maildrop_changes){0});
        engine_start_is_over(sync, NULL);
        return;
    }
    engine_start_is_over(sync, failure);
    sync->phase = ENGINE_OVER;
}

/* A session could not be had: while the maildrop is merely busy, the password or the authorities
 * are being fetched anew, or the server has been away for a short time only, those who wait go on
 * waiting. */
static void login_failed(struct sync *sync, const struct failure *failure, enum pop3_code code,
                         int64_t now_ms)
{
    sync->retry_ms = now_ms + backoff_failed(&sync->backoff, failure->fault, dice());
    backoff_note_failure(&sync->backoff, failure->fault, sync->session_started_ms);
    if (failure->fault == FAULT_LOGIN)
        note_refusal(sync, code, now_ms);
    else if (sync->fetching)
        sync->retry_ms = now_ms;
    bool busy = failure->fault == FAULT_BUSY;
    sync->login_failed = true;
    int64_t again_ms = greatest(sync->retry_ms, agenda_login_from_ms(&sync->agenda));
    if (!sync->started && (!busy || again_ms > sync->start_ms + sync->account.timeout_ms)) {
        start_failed(sync, failure);
    }
    if (busy || sync->fetching)
        return;
    if (backoff_is_outage(failure->fault) && !engine_is_away_for_long(sync, now_ms))
        fail_wishes(sync, failure->fault);
    else
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

void engine_link_yield(struct sync *sync, const struct failure *failure, int64_t now_ms)
{
    struct job *held_up = sync->jobs.in_flight.first;
    enum job_kind kind = held_up->kind;
    struct maildrop_message *message = maildrop_message_ref(held_up->message);
    log_write(LOG_LEVEL_WARNING, "%s", failure->text);
    engine_link_drop(sync);
    waiters_move(&sync->refresh_waiters, &sync->refresh_served);
    recover_jobs(sync, failure->fault, now_ms);
    held_up = jobs_find(&sync->jobs, kind, message);
    if (held_up != NULL)
        jobs_yield(&sync->jobs, held_up);
    maildrop_message_unref(message);
    sync->retry_ms = now_ms;
}

/* A person reads it, and is to know what to do. */
static void explain(const struct sync *sync, struct failure *failure)
{
    if (sync->link == NULL)
        return;
    const struct pop3_session *session = link_session(sync->link);
    const struct advice_facts facts = {
        .code = link_failure_code(sync->link),
        .foreign = pop3_session_foreign(session),
        .refused = pop3_session_refused(session),
        .other_auth = pop3_session_other_auth(session),
        .user = sync->account.user,
        .password_source = sync->account.password_source,
        .is_token = sync->account.is_token,
    };
    advice_add(&facts, failure);
}

void engine_link_lost(struct sync *sync, const struct failure *why, int64_t now_ms)
{
    struct failure explained = *why;
    const struct failure *failure = &explained;
    bool had_session =
        sync->session_phase == SESSION_ONLINE || sync->session_phase == SESSION_QUITTING;
    bool committing = sync->commit.phase != COMMIT_NONE;
    if (was_leaving(sync))
        return;
    bool once_more = blame_pipelined_listing(sync, failure->fault) ||
                     blame_anticipation(sync, failure->fault) ||
                     blame_binding(sync, failure->fault);
    enum pop3_code code = sync->link == NULL ? POP3_CODE_NONE : link_failure_code(sync->link);
    explain(sync, &explained);
    if (sync->started)
        log_write(LOG_LEVEL_WARNING, "%s", failure->text);
    sync->last_failure = *failure;
    engine_show_failure(sync, failure);
    if (sync->offline_since_s == 0)
        sync->offline_since_s = sync->shown_failure_wall_s;
    engine_mark_lost(sync, failure->fault);
    if (sync->is_out_of_step)
        engine_stream_forget(sync);
    judge_pipelining(sync, failure->fault);
    engine_commit_note_break(sync, failure);
    judge_prefetch(sync, failure->fault);
    if (sync->link != NULL && link_has_refused_certificate(sync->link))
        engine_trust_note_refusal(sync);
    if (had_session) {
        engine_receive_note_break(sync);
        waiters_wait_from(&sync->prefetch_waiters, now_ms);
    }
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
