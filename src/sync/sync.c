/* SPDX-License-Identifier: MIT */
/* The door: what any thread may call. It leaves requests where the sync thread finds them, and
 * wakes it. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Opens of cached bodies are told to the thread in batches: none needs it at once. */
    NOTES_BATCH_COUNT = 16,
    NOTES_BATCH_OCTETS = 128 * 1024,
    HEADER_GUESS_OCTETS = 1500,
};

static bool copy_text(const char *text, char **ret_copy)
{
    if (text == NULL)
        return true;
    *ret_copy = strdup(text);
    return *ret_copy != NULL;
}

static enum fault account_init(struct account *account, const struct sync_options *options,
                               struct failure *ret_failure)
{
    account->port = options->port;
    account->tls = options->tls;
    account->timeout_ms = options->timeout_s * 1000;
    account->keepalive_ms = options->keepalive_s * 1000;
    account->pipeline = options->pipeline;
    account->top = options->top;
    account->read_only = options->read_only;
    account->trace = options->trace;
    account->prefetch = options->prefetch;
    account->noquit = options->noquit;
    account->strict = options->strict;
    account->lf = options->lf;
    account->cache_off = options->cache_off;
    account->fetch_password = options->fetch_password;
    account->fetch_authorities = options->fetch_authorities;
    account->fetch_context = options->fetch_context;
    account->lazy_octets = options->lazy_octets;
    account->bin_s = options->bin_s;
    account->name_of = options->name_of;
    account->password = options->password;
    account->thread_begin = options->thread_begin;
    account->thread_context = options->thread_context;
    if (!copy_text(options->host, &account->host) || !copy_text(options->user, &account->user) ||
        !copy_text(options->password_source, &account->password_source) ||
        !copy_text(options->account, &account->shown))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    const char *word = options->auth == NULL ? "auto" : options->auth;
    if (!pop3_auth_from_word(word, &account->auth))
        return failure_set(
            ret_failure, FAULT_REFUSED,
            "auth=%s is not a mechanism that popfs has: auto, user, apop, plain, login, "
            "cram-md5, scram-sha-1, scram-sha-256, scram-sha-256-plus, xoauth2, "
            "oauthbearer, external",
            word);
    account->is_token =
        account->auth == POP3_AUTH_XOAUTH2 || account->auth == POP3_AUTH_OAUTHBEARER;
    if (options->tls == SYNC_TLS_OFF)
        return FAULT_NONE;
    struct net_trust_options trust = {options->cafile, options->cert, options->key, options->pin};
    return net_trust_new(&trust, &account->trust, ret_failure);
}

static struct store_options store_options(const struct sync_options *options, const char *owner)
{
    return (struct store_options){
        .folder = options->cache_folder,
        .state_folder = options->state_folder,
        .account = options->account,
        .clear = options->tls == SYNC_TLS_OFF,
        .owner = owner,
        .temporary = options->cache_off,
        .lf = options->lf,
        .doubts_old = options->tls == SYNC_TLS_STARTTLS,
        .octets_max = options->cache_octets_max,
        .free_octets_min = STORE_FREE_OCTETS_MIN,
        .bin_s = options->bin_s,
    };
}

/* What a popfs that wants the same account reads; see sync_hold(). */
#define OWNER_MOUNTED "mounted on "
#define OWNER_PROCESS " by process "
#define OWNER_ENDS "held by a process that ends its session: "

static enum fault open_store(struct sync *sync, const struct sync_options *options,
                             struct failure *ret_failure)
{
    char owner[STORE_OWNER_OCTETS];
    snprintf(owner, sizeof(owner), OWNER_MOUNTED "%s" OWNER_PROCESS "%ld", options->mountpoint,
             (long)getpid());
    const struct store_options store = store_options(options, owner);
    return store_open(&store, &sync->store, ret_failure);
}

/* By the process's own table, because it may live in another mount namespace. */
static bool is_mounted(const char *mountpoint, long pid)
{
    char path[64];
    CLEANUP_BUFFER struct buffer table = {0};
    snprintf(path, sizeof(path), "/proc/%ld/mountinfo", pid);
    CLEANUP_CLOSE int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return errno == ENOENT; /* it may be a process of another machine */
    return mounts_read(descriptor, &table) && mounts_have_popfs(buffer_slice(&table), mountpoint);
}

enum sync_hold sync_hold(const struct sync_options *options)
{
    char owner[STORE_OWNER_OCTETS], *process = NULL;
    const struct store_options store = store_options(options, NULL);
    if (!store_owner(&store, owner))
        return SYNC_HOLD_UNMOUNTED;
    if (strncmp(owner, OWNER_ENDS, strlen(OWNER_ENDS)) == 0)
        return SYNC_HOLD_ENDS;
    if (strncmp(owner, OWNER_MOUNTED, strlen(OWNER_MOUNTED)) != 0)
        return SYNC_HOLD_KEEPS;
    /* A folder may have the words in its name: the last ones count. */
    for (char *at = owner; (at = strstr(at, OWNER_PROCESS)) != NULL; at++)
        process = at;
    if (process == NULL)
        return SYNC_HOLD_KEEPS;
    *process = '\0';
    long pid = atol(process + strlen(OWNER_PROCESS));
    return is_mounted(owner + strlen(OWNER_MOUNTED), pid) ? SYNC_HOLD_KEEPS : SYNC_HOLD_UNMOUNTED;
}

enum fault sync_new(const struct sync_options *options, struct sync **ret_sync,
                    struct failure *ret_failure)
{
    struct sync *sync = calloc(1, sizeof(*sync));
    if (sync == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    pthread_mutex_init(&sync->lock, NULL);
    pthread_mutex_init(&sync->wish_lock, NULL);
    pthread_mutex_init(&sync->listener_lock, NULL);
    sync->submitted_end = &sync->submitted;
    sync->header_octets = HEADER_GUESS_OCTETS;
    sync->status_is_stale = true;
    sync->prefetch_wanted = options->prefetch;
    window_init(&sync->window);
    agenda_init(&sync->agenda, options->refresh_s * 1000, options->idle_s * 1000);
    bool has_door = door_init(&sync->door);
    sync->maildrop = maildrop_new();
    enum fault fault = FAULT_NONE;
    if (!has_door || sync->maildrop == NULL)
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory or descriptors");
    if (fault == FAULT_NONE)
        fault = account_init(&sync->account, options, ret_failure);
    if (fault == FAULT_NONE)
        fault = open_store(sync, options, ret_failure);
    if (fault != FAULT_NONE) {
        sync_free(sync);
        return fault;
    }
    *ret_sync = sync;
    return FAULT_NONE;
}

void engine_wake(const struct sync *sync)
{
    door_wake(&sync->door);
}

static void *run_thread(void *argument)
{
    struct sync *sync = argument;
    const struct account *account = &sync->account;
    struct failure failure = {0};
    if (account->thread_begin == NULL ||
        account->thread_begin(account->thread_context, &failure) == FAULT_NONE)
        return engine_run(sync);
    engine_start_is_over(sync, &failure);
    return NULL;
}

static enum fault start_thread(struct sync *sync, struct failure *ret_failure)
{
    int error = thread_start(&sync->thread, run_thread, sync);
    if (error != 0)
        return failure_set(ret_failure, FAULT_MEMORY, "cannot start a thread: %s", strerror(error));
    return FAULT_NONE;
}

static void stop_thread(struct sync *sync, bool commit)
{
    pthread_mutex_lock(&sync->lock);
    sync->stop = true;
    sync->stop_commit = commit;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
    thread_join(&sync->thread);
}

enum fault sync_start(struct sync *sync, int stop_descriptor, struct failure *ret_failure)
{
    enum fault fault = start_thread(sync, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    bool said = door_wait_ready(&sync->door, stop_descriptor);
    pthread_mutex_lock(&sync->lock);
    struct failure failure = sync->start_failure;
    pthread_mutex_unlock(&sync->lock);
    if (!said)
        failure_set(&failure, FAULT_CANCELED, "interrupted");
    if (failure.fault == FAULT_NONE)
        return FAULT_NONE;
    stop_thread(sync, false);
    return failure_set(ret_failure, failure.fault, "%s", failure.text);
}

struct maildrop_snapshot *sync_snapshot(struct sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    struct maildrop_snapshot *snapshot = maildrop_snapshot_ref(sync->snapshot);
    pthread_mutex_unlock(&sync->lock);
    return snapshot;
}

void sync_set_listener(struct sync *sync, const struct sync_listener *listener)
{
    pthread_mutex_lock(&sync->listener_lock);
    sync->listener = listener == NULL ? (struct sync_listener){0} : *listener;
    pthread_mutex_unlock(&sync->listener_lock);
}

/* Tells the thread who was opened; *at once* only if it would otherwise fall behind. */
static void note_open(struct sync *sync, const struct maildrop_message *message, uint64_t sum)
{
    pthread_mutex_lock(&sync->lock);
    if (sync->notes_count < SYNC_NOTES_MAX)
        sync->notes[sync->notes_count++] = (struct note){maildrop_message_id(message), sum};
    sync->notes_octets += maildrop_message_octets(message, NULL);
    bool due = sync->notes_count >= NOTES_BATCH_COUNT || sync->notes_octets >= NOTES_BATCH_OCTETS;
    pthread_mutex_unlock(&sync->lock);
    if (due)
        engine_wake(sync);
}

/* Nothing is kept whose size is not known. */
enum fault engine_body_open(const struct sync *sync, const struct maildrop_message *message,
                            struct extent *ret_extent, uint64_t *ret_sum)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    if (!exact)
        return FAULT_GONE;
    return store_body_open(sync->store, maildrop_message_id(message), octets, ret_extent, ret_sum);
}

enum fault sync_body_open(struct sync *sync, struct maildrop_message *message,
                          struct extent *ret_extent)
{
    uint64_t sum = 0;
    enum fault fault = FAULT_GONE;
    if (!engine_must_prove(sync, message))
        fault = engine_body_open(sync, message, ret_extent, &sum);
    note_open(sync, message, sum);
    return fault;
}

void sync_status(struct sync *sync, struct sync_status *ret_status)
{
    pthread_mutex_lock(&sync->lock);
    *ret_status = sync->status;
    ret_status->commit_number = sync->outcome.number;
    ret_status->committed_at_s = sync->outcome.at_s;
    ret_status->commit_removed_count = sync->outcome.removed_count;
    ret_status->commit_failed_count = sync->outcome.failed_count;
    pthread_mutex_unlock(&sync->lock);
    ret_status->going_count = atomic_load(&sync->going_count);
    ret_status->held_count = atomic_load(&sync->held_count);
}

void sync_submit(struct sync *sync, struct sync_request *request)
{
    request->next = NULL;
    request->probed = false;
    atomic_store(&request->canceled, false);
    pthread_mutex_lock(&sync->lock);
    *sync->submitted_end = request;
    sync->submitted_end = &request->next;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
}

void sync_cancel(struct sync *sync, struct sync_request *request)
{
    atomic_store(&request->canceled, true);
    pthread_mutex_lock(&sync->lock);
    sync->canceled = true;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
}

/* Whether the wish means anything beyond this session. */
static bool outlives_session(const struct sync *sync, const struct maildrop_message *message)
{
    return maildrop_message_is_unique(message) && !atomic_load(&sync->made_up);
}

/* Under the wish lock, which close_door() has, too: no QUIT goes out between this and set_going().
 */
static enum fault may_wish(const struct maildrop_message *message, bool going)
{
    if (maildrop_message_is_gone(message) || maildrop_message_is_going(message) == going)
        return FAULT_GONE;
    return !going && maildrop_message_is_leaving(message) ? FAULT_BUSY : FAULT_NONE;
}

/* A size is a hint, and LIST may say another one by the next mount: it is not noted. */
static struct store_removal wish_for(const struct maildrop_message *message)
{
    int64_t time_s;
    struct store_removal removal = {
        .uidl = maildrop_message_uidl(message),
        .time_s = STORE_TIME_UNKNOWN,
        .going = true,
        .held = maildrop_message_is_held(message),
    };
    /* The time of a message without a date is when this popfs first saw it, which is not its own.
     */
    if (maildrop_message_time(message, &time_s) &&
        time_s != maildrop_message_first_seen_ns(message) / 1000000000)
        removal.time_s = time_s;
    (void)maildrop_message_evidence(message, &removal.evidence);
    return removal;
}

static enum fault note_lines(struct sync *sync, const struct store_removal *lines, size_t count)
{
    struct failure failure;
    enum fault fault = store_note_removals(sync->store, lines, count, &failure);
    if (fault != FAULT_NONE)
        log_write(LOG_LEVEL_ERROR, "%s", failure.text);
    else if (!atomic_exchange(&sync->journal_has_grown, true))
        engine_wake(sync);
    return fault;
}

static enum fault note_wish(struct sync *sync, const struct maildrop_message *message, bool going)
{
    struct store_removal line = wish_for(message);
    line.going = going;
    /* Whatever evidence an earlier line or the index has of it, this one is about it. */
    if (!going)
        line.evidence = (struct evidence){0};
    return outlives_session(sync, message) ? note_lines(sync, &line, 1) : FAULT_NONE;
}

/* Where other evidence takes the place of the old, the index may have either when popfs is killed:
 * then the wish is noted without any, which fits both. */
void engine_renew_wish(struct sync *sync, const struct maildrop_message *message,
                       const struct evidence *old)
{
    struct store_removal lines[] = {wish_for(message), wish_for(message)};
    struct store_removal *without = &lines[0], *with = &lines[1];
    bool was_known = evidence_is_known(old);
    if (!outlives_session(sync, message) || evidence_is_equal(old, &with->evidence))
        return;
    without->going = false;
    without->evidence = *old;
    if (was_known)
        with->evidence = (struct evidence){0};
    pthread_mutex_lock(&sync->wish_lock);
    if (maildrop_message_is_going(message))
        (void)note_lines(sync, was_known ? without : with, was_known ? 2 : 1);
    pthread_mutex_unlock(&sync->wish_lock);
}

/* On disk first, so that the next mount does not hold it either. */
static void confirm(struct sync *sync, struct maildrop_message *message)
{
    struct store_removal line = wish_for(message);
    line.held = false;
    if (outlives_session(sync, message) && note_lines(sync, &line, 1) != FAULT_NONE)
        return;
    maildrop_message_confirm(message);
    atomic_fetch_sub(&sync->held_count, 1);
}

void engine_confirm_held(struct sync *sync)
{
    struct maildrop_snapshot *snapshot = maildrop_snapshot(sync->maildrop);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        if (!maildrop_message_is_held(message))
            continue;
        pthread_mutex_lock(&sync->wish_lock);
        if (maildrop_message_is_held(message))
            confirm(sync, message);
        pthread_mutex_unlock(&sync->wish_lock);
    }
    maildrop_snapshot_unref(snapshot);
}

static void set_going(struct sync *sync, struct maildrop_message *message, bool going)
{
    pthread_mutex_lock(&sync->lock);
    if (maildrop_message_is_held(message))
        atomic_fetch_sub(&sync->held_count, 1);
    maildrop_message_set_going(message, going);
    atomic_fetch_add(&sync->going_count, going ? 1 : (size_t)-1);
    pthread_mutex_unlock(&sync->lock);
}

/* First in the journal, then in memory: what could not be written down is as it was, for all who
 * look, and can be wished again. */
static enum fault wish(struct sync *sync, struct maildrop_message *message, bool going)
{
    if (sync->account.read_only)
        return FAULT_REFUSED;
    pthread_mutex_lock(&sync->wish_lock);
    enum fault fault = may_wish(message, going);
    if (fault == FAULT_NONE)
        fault = note_wish(sync, message, going);
    if (fault == FAULT_NONE)
        set_going(sync, message, going);
    pthread_mutex_unlock(&sync->wish_lock);
    return fault;
}

enum fault engine_restore_note(struct sync *sync, const struct maildrop_message *message)
{
    if (sync->account.read_only)
        return FAULT_REFUSED;
    pthread_mutex_lock(&sync->wish_lock);
    enum fault fault = may_wish(message, false);
    if (fault == FAULT_NONE)
        fault = note_wish(sync, message, false);
    pthread_mutex_unlock(&sync->wish_lock);
    return fault;
}

void engine_restore_end(struct sync *sync, struct maildrop_message *message, bool is_restored)
{
    pthread_mutex_lock(&sync->wish_lock);
    if (is_restored)
        set_going(sync, message, false);
    else
        (void)note_wish(sync, message, true);
    pthread_mutex_unlock(&sync->wish_lock);
}

enum fault sync_remove(struct sync *sync, struct maildrop_message *message)
{
    return wish(sync, message, true);
}

enum fault sync_restore(struct sync *sync, struct maildrop_message *message)
{
    return wish(sync, message, false);
}

size_t sync_commit_failures(struct sync *sync, struct sync_removal_failure *ret_failures,
                            size_t room)
{
    pthread_mutex_lock(&sync->lock);
    size_t count = sync->outcome.kept_count < room ? sync->outcome.kept_count : room;
    for (size_t i = 0; i < count; i++) {
        ret_failures[i] = sync->outcome.failures[i];
        maildrop_message_ref(ret_failures[i].message);
    }
    pthread_mutex_unlock(&sync->lock);
    return count;
}

bool sync_size_is_believed(const struct sync *sync, const struct maildrop_message *message)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    return exact || (octets > 0 && !sync->account.strict && !sync->account.lf &&
                     !atomic_load_explicit(&sync->list_is_doubted, memory_order_relaxed));
}

void sync_retire(struct sync *sync)
{
    char owner[100];
    snprintf(owner, sizeof(owner),
             "held by process %ld: it was unmounted lazily, and files are open", (long)getpid());
    store_say_owner(sync->store, owner);
    pthread_mutex_lock(&sync->lock);
    sync->retire = true;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
}

void sync_stop(struct sync *sync, bool commit, struct sync_report *ret_report)
{
    char owner[100];
    snprintf(owner, sizeof(owner), OWNER_ENDS "%ld", (long)getpid());
    store_say_owner(sync->store, owner);
    stop_thread(sync, commit);
    *ret_report = sync->report;
}

const char *sync_state_path(const struct sync *sync)
{
    return store_state_path(sync->store);
}

void sync_free(struct sync *sync)
{
    if (sync == NULL)
        return;
    engine_password_end(sync);
    engine_outcome_done(&sync->outcome);
    engine_check_done(sync);
    engine_commit_done(sync);
    engine_streams_reap(sync, true);
    maildrop_snapshot_unref(sync->snapshot);
    maildrop_free(sync->maildrop);
    /* A host that was mistyped leaves nothing behind. */
    if (sync->listed_wall_s == 0 && sync->store != NULL)
        store_spare(sync->store);
    store_close(sync->store);
    buffer_done(&sync->fetched_pem);
    header_done(&sync->header);
    eol_done(&sync->eol);
    recent_done(&sync->recent);
    net_trust_free(sync->account.trust);
    free(sync->account.host);
    free(sync->account.user);
    free(sync->account.password_source);
    free(sync->account.shown);
    door_done(&sync->door);
    pthread_mutex_destroy(&sync->lock);
    pthread_mutex_destroy(&sync->wish_lock);
    pthread_mutex_destroy(&sync->listener_lock);
    free(sync);
}
