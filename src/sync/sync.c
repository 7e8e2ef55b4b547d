/* SPDX-License-Identifier: MIT */
/* The door: what any thread may call. It leaves requests where the sync thread finds them, and
 * wakes it. */
#include "engine.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
    account->lazy_octets = options->lazy_octets;
    account->password = options->password;
    account->thread_begin = options->thread_begin;
    account->thread_context = options->thread_context;
    if (!copy_text(options->host, &account->host) || !copy_text(options->user, &account->user))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    const char *word = options->auth == NULL ? "auto" : options->auth;
    if (!pop3_auth_from_word(word, &account->auth))
        return failure_set(ret_failure, FAULT_REFUSED, "auth=%s is not a mechanism that popfs has",
                           word);
    if (options->tls == SYNC_TLS_OFF)
        return FAULT_NONE;
    struct net_trust_options trust = {options->cafile, options->cert, options->key, options->pin};
    return net_trust_new(&trust, &account->trust, ret_failure);
}

enum fault sync_new(const struct sync_options *options, struct sync **ret_sync,
                    struct failure *ret_failure)
{
    struct sync *sync = calloc(1, sizeof(*sync));
    if (sync == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    pthread_mutex_init(&sync->lock, NULL);
    pthread_mutex_init(&sync->listener_lock, NULL);
    sync->submitted_end = &sync->submitted;
    sync->header_octets = HEADER_GUESS_OCTETS;
    sync->status_is_stale = true;
    window_init(&sync->window);
    sync->wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sync->ready_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sync->maildrop = maildrop_new();
    enum fault fault = FAULT_NONE;
    if (sync->wake_descriptor < 0 || sync->ready_descriptor < 0 || sync->maildrop == NULL)
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory or descriptors");
    else
        sync->snapshot = maildrop_snapshot(sync->maildrop);
    if (fault == FAULT_NONE)
        fault = account_init(&sync->account, options, ret_failure);
    if (fault == FAULT_NONE)
        fault = store_open(options->cache_folder, &sync->store, ret_failure);
    if (fault != FAULT_NONE) {
        sync_free(sync);
        return fault;
    }
    *ret_sync = sync;
    return FAULT_NONE;
}

void engine_wake(const struct sync *sync)
{
    uint64_t one = 1;
    /* It fails only when the counter is full, and then the thread will wake anyway. */
    ssize_t written = write(sync->wake_descriptor, &one, sizeof(one));
    (void)written;
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
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&sync->thread, NULL, run_thread, sync);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return failure_set(ret_failure, FAULT_MEMORY, "cannot start a thread: %s", strerror(error));
    return FAULT_NONE;
}

/* True when the thread has said how the start went, false when the caller was told to stop. */
static bool wait_for_start(const struct sync *sync, int stop_descriptor)
{
    struct pollfd fds[2] = {{.fd = sync->ready_descriptor, .events = POLLIN},
                            {.fd = stop_descriptor, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        if ((fds[0].revents & POLLIN) != 0)
            return true;
        if ((fds[1].revents & (POLLIN | POLLHUP)) != 0)
            return false;
        fds[0].revents = fds[1].revents = 0;
    }
}

static void stop_thread(struct sync *sync, bool commit)
{
    pthread_mutex_lock(&sync->lock);
    sync->stop = true;
    sync->stop_commit = commit;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
    pthread_join(sync->thread, NULL);
}

enum fault sync_start(struct sync *sync, int stop_descriptor, struct failure *ret_failure)
{
    enum fault fault = start_thread(sync, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    bool said = wait_for_start(sync, stop_descriptor);
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
static void note_open(struct sync *sync, const struct maildrop_message *message)
{
    pthread_mutex_lock(&sync->lock);
    if (sync->notes_count < SYNC_NOTES_MAX)
        sync->notes[sync->notes_count++] = maildrop_message_id(message);
    sync->notes_octets += maildrop_message_octets(message, NULL);
    bool due = sync->notes_count >= NOTES_BATCH_COUNT || sync->notes_octets >= NOTES_BATCH_OCTETS;
    pthread_mutex_unlock(&sync->lock);
    if (due)
        engine_wake(sync);
}

enum fault sync_body_open(struct sync *sync, struct maildrop_message *message, int *ret_descriptor)
{
    note_open(sync, message);
    return store_body_open(sync->store, maildrop_message_id(message), ret_descriptor);
}

void sync_status(struct sync *sync, struct sync_status *ret_status)
{
    pthread_mutex_lock(&sync->lock);
    *ret_status = sync->status;
    ret_status->going_count = sync->removals_count;
    pthread_mutex_unlock(&sync->lock);
}

void sync_submit(struct sync *sync, struct sync_request *request)
{
    request->next = NULL;
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

/* Called under the lock. */
static enum fault add_removal(struct sync *sync, struct maildrop_message *message)
{
    if (sync->removals_count == sync->removals_room) {
        size_t room = sync->removals_room == 0 ? 64 : sync->removals_room * 2;
        struct removal *removals = reallocarray(sync->removals, room, sizeof(removals[0]));
        if (removals == NULL)
            return FAULT_MEMORY;
        sync->removals = removals;
        sync->removals_room = room;
    }
    if (!maildrop_message_set_going(message, true))
        return FAULT_GONE;
    sync->removals[sync->removals_count++] =
        (struct removal){.message = maildrop_message_ref(message),
                         .session_serial = sync->session_serial,
                         .made_up = sync->made_up};
    return FAULT_NONE;
}

enum fault sync_remove(struct sync *sync, struct maildrop_message *message)
{
    if (sync->account.read_only)
        return FAULT_REFUSED;
    if (maildrop_message_is_gone(message))
        return FAULT_GONE;
    pthread_mutex_lock(&sync->lock);
    enum fault fault = add_removal(sync, message);
    pthread_mutex_unlock(&sync->lock);
    return fault;
}

void sync_stop(struct sync *sync, bool commit, struct sync_report *ret_report)
{
    stop_thread(sync, commit);
    *ret_report = sync->report;
}

void sync_free(struct sync *sync)
{
    if (sync == NULL)
        return;
    for (size_t i = 0; i < sync->removals_count; i++)
        maildrop_message_unref(sync->removals[i].message);
    free(sync->removals);
    engine_streams_reap(sync, true);
    maildrop_snapshot_unref(sync->snapshot);
    maildrop_free(sync->maildrop);
    store_close(sync->store);
    header_done(&sync->header);
    net_trust_free(sync->account.trust);
    free(sync->account.host);
    free(sync->account.user);
    if (sync->wake_descriptor >= 0)
        close(sync->wake_descriptor);
    if (sync->ready_descriptor >= 0)
        close(sync->ready_descriptor);
    pthread_mutex_destroy(&sync->lock);
    pthread_mutex_destroy(&sync->listener_lock);
    free(sync);
}
