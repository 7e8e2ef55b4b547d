/* SPDX-License-Identifier: MIT */
/*
 * The password fetched anew, after the server refused the one there is: somebody may have changed
 * it, a token may have expired. The command that prints it may take a minute, so it runs on a
 * thread of its own, while no session is being made and nobody reads the password.
 *
 * The authorities of TLS likewise, after they refused a certificate: the server may have a new one,
 * and an administrator may have put its authority into cafile= or the system's store since.
 */
#include "engine.h"

#include <string.h>

static void *fetch(void *argument)
{
    struct sync *sync = argument;
    struct failure failure = {0};
    void *context = sync->account.fetch_context;
    enum sync_fetched fetched = SYNC_FETCHED_NOTHING;
    if (!sync->fetches_authorities)
        fetched = sync->account.fetch_password(context, &failure);
    else if (sync->account.fetch_authorities(context, &sync->fetched_pem, &failure) == FAULT_NONE)
        fetched = SYNC_FETCHED_ANOTHER;
    pthread_mutex_lock(&sync->lock);
    sync->fetch_done = true;
    sync->fetched = fetched;
    sync->fetch_failure = failure;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
    return NULL;
}

static void begin(struct sync *sync, bool authorities)
{
    sync->fetches_authorities = authorities;
    sync->fetch_done = false; /* nobody else looks */
    int error = thread_start(&sync->fetch_thread, fetch, sync);
    sync->fetching = error == 0;
    if (error != 0)
        log_write(LOG_LEVEL_ERROR, "cannot start a thread: %s", strerror(error));
}

void engine_password_fetch(struct sync *sync)
{
    if (sync->account.fetch_password != NULL && !sync->fetching)
        begin(sync, false);
}

enum fault sync_read_authorities(const char *cafile, struct buffer *ret_pem,
                                 struct failure *ret_failure)
{
    return net_authorities_read(cafile, ret_pem, ret_failure);
}

void engine_trust_note_refusal(struct sync *sync)
{
    bool is_old = sync->trust_age == TRUST_OLD;
    sync->trust_age = TRUST_REFUSED;
    if (is_old)
        (void)engine_trust_is_awaited(sync);
}

bool engine_trust_is_awaited(struct sync *sync)
{
    if (sync->trust_age == TRUST_REFUSED && sync->account.fetch_authorities != NULL &&
        !sync->fetching)
        begin(sync, true);
    return sync->fetching;
}

/* If that failed, the server is met with the old ones once more, and says whether it matters. */
static void renew_trust(struct sync *sync)
{
    struct failure *failure = &sync->fetch_failure;
    enum fault fault = failure->fault;
    sync->trust_age = TRUST_FRESH;
    if (sync->fetched == SYNC_FETCHED_ANOTHER)
        fault = net_trust_renew(sync->account.trust, buffer_slice(&sync->fetched_pem), failure);
    buffer_done(&sync->fetched_pem);
    if (fault != FAULT_NONE)
        log_write(LOG_LEVEL_WARNING, "the certificates to trust could not be read anew: %s",
                  failure->text);
}

void engine_password_fetch_last(struct sync *sync)
{
    engine_password_fetch(sync);
    if (sync->fetching && !sync->fetches_authorities && sync->refused == REFUSED_FOR_GOOD)
        sync->refused = REFUSED_UNLESS_NEW;
}

enum password_news engine_password_news(struct sync *sync)
{
    if (!sync->fetching)
        return PASSWORD_AS_BEFORE;
    pthread_mutex_lock(&sync->lock);
    bool done = sync->fetch_done;
    pthread_mutex_unlock(&sync->lock);
    if (!done)
        return PASSWORD_COMING;
    engine_password_end(sync);
    if (sync->fetches_authorities) {
        renew_trust(sync);
        return PASSWORD_AS_BEFORE;
    }
    if (sync->fetched == SYNC_FETCHED_NOTHING)
        log_write(LOG_LEVEL_WARNING, "the password could not be fetched anew: %s",
                  sync->fetch_failure.text);
    return sync->fetched == SYNC_FETCHED_ANOTHER ? PASSWORD_ANOTHER : PASSWORD_NOT_ANOTHER;
}

void engine_password_end(struct sync *sync)
{
    if (!sync->fetching)
        return;
    thread_join(&sync->fetch_thread);
    sync->fetching = false;
}
