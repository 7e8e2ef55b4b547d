/* SPDX-License-Identifier: MIT */
/*
 * The password fetched anew, after the server refused the one there is: somebody may have changed
 * it, a token may have expired. The command that prints it may take a minute, so it runs on a
 * thread of its own, while no session is being made and nobody reads the password.
 */
#include "engine.h"

#include <string.h>

static void *fetch(void *argument)
{
    struct sync *sync = argument;
    struct failure failure = {0};
    enum sync_fetched fetched = sync->account.fetch_password(sync->account.fetch_context, &failure);
    pthread_mutex_lock(&sync->lock);
    sync->fetch_done = true;
    sync->fetched = fetched;
    sync->fetch_failure = failure;
    pthread_mutex_unlock(&sync->lock);
    engine_wake(sync);
    return NULL;
}

void engine_password_fetch(struct sync *sync)
{
    if (sync->account.fetch_password == NULL || sync->fetching)
        return;
    sync->fetch_done = false; /* nobody else looks */
    int error = thread_start(&sync->fetch_thread, fetch, sync);
    sync->fetching = error == 0;
    if (error != 0)
        log_write(LOG_LEVEL_ERROR, "cannot start a thread: %s", strerror(error));
}

void engine_password_fetch_last(struct sync *sync)
{
    engine_password_fetch(sync);
    if (sync->fetching && sync->refused == REFUSED_FOR_GOOD)
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
