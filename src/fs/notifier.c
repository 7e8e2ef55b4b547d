/* SPDX-License-Identifier: MIT */
/*
 * Tells the kernel which names mean something else now, on a thread of its own.
 *
 * For each name the kernel takes the lock of the root folder. fsync() of that folder holds it, too,
 * from before popfs hears of it until the commit is done, which takes the sync thread. If the sync
 * thread told the names itself, the two would wait for each other, and not even an interrupt would
 * help.
 */
#include "filesystem.h"

#include "place.h"

#include <stdlib.h>
#include <time.h>

enum {
    /* Somebody may hold the root's lock in a way that nobody thought of: sync goes on all the same.
     */
    TELL_S = 5,
};

/* The messages of one change, a reference each. */
struct notice {
    struct notice *next;
    size_t count;
    struct maildrop_message *messages[];
};

static void notice_free(struct notice *notice)
{
    for (size_t i = 0; i < notice->count; i++)
        maildrop_message_unref(notice->messages[i]);
    free(notice);
}

/* ---- on the notifier's thread ---- */

/*
 * The kernel may remember what was under this name, or that nothing was. Not notify_delete: it
 * takes the lock of the message's inode, which lseek(2) to the end holds while it waits for a
 * GETATTR that only sync can answer.
 *
 * Errors do not matter: the kernel has never heard of the name, or has just been unmounted. Each
 * call enters the gate anew, so that a long list does not hold up unmounting.
 */
static bool tell_name(struct fs *fs, const struct maildrop_message *message)
{
    struct name name;
    if (!place_name(message, &name))
        return true;
    if (!gate_enter_to_notify(fs))
        return false;
    (void)fuse_lowlevel_notify_inval_entry(fs->session, TREE_ROOT_INO, name.data, name.len);
    gate_leave(fs);
    return true;
}

static void tell(struct fs *fs, const struct notice *notice)
{
    for (size_t i = 0; i < notice->count; i++)
        if (!tell_name(fs, notice->messages[i]))
            return;
    if (!gate_enter_to_notify(fs))
        return;
    /* A negative offset means: the attributes alone. */
    (void)fuse_lowlevel_notify_inval_inode(fs->session, TREE_ROOT_INO, -1, 0);
    gate_leave(fs);
}

/* The oldest; NULL at the end. With the lock held. */
static struct notice *wait_for_notice(struct notifier *notifier, pthread_mutex_t *lock)
{
    while (notifier->first == NULL && !notifier->ending)
        pthread_cond_wait(&notifier->changed, lock);
    return notifier->first;
}

static void *run(void *argument)
{
    struct fs *fs = argument;
    struct notifier *notifier = &fs->notifier;
    pthread_mutex_lock(&fs->lock);
    struct notice *notice;
    while ((notice = wait_for_notice(notifier, &fs->lock)) != NULL) {
        pthread_mutex_unlock(&fs->lock);
        tell(fs, notice);
        pthread_mutex_lock(&fs->lock);
        notifier->first = notice->next;
        notifier->told_count++;
        pthread_cond_broadcast(&notifier->changed);
        notice_free(notice);
    }
    pthread_mutex_unlock(&fs->lock);
    return NULL;
}

/* ---- on others ---- */

/* Started by the sync thread when there is something to tell, so that it is confined as that is. */
static bool start(struct fs *fs)
{
    struct notifier *notifier = &fs->notifier;
    if (!notifier->started)
        notifier->started = pthread_create(&notifier->thread, NULL, run, fs) == 0;
    return notifier->started;
}

void notifier_stop(struct fs *fs)
{
    if (!fs->notifier.started)
        return;
    pthread_mutex_lock(&fs->lock);
    fs->notifier.ending = true;
    pthread_cond_broadcast(&fs->notifier.changed);
    pthread_mutex_unlock(&fs->lock);
    pthread_join(fs->notifier.thread, NULL);
}

/* Those that the kernel cannot know already. */
static struct notice *notice_new(const struct maildrop_changes *changes)
{
    size_t room = changes->appeared_count + changes->vanished_count;
    struct notice *notice = malloc(sizeof(*notice) + room * sizeof(notice->messages[0]));
    if (notice == NULL)
        return NULL;
    notice->next = NULL;
    notice->count = 0;
    for (size_t i = 0; i < changes->vanished_count; i++)
        /* In the trash nothing is cached, and unlink() has emptied the cache of the root. */
        if (!maildrop_message_is_going(changes->vanished[i]))
            notice->messages[notice->count++] = maildrop_message_ref(changes->vanished[i]);
    for (size_t i = 0; i < changes->appeared_count; i++)
        notice->messages[notice->count++] = maildrop_message_ref(changes->appeared[i]);
    return notice;
}

static void put(struct notifier *notifier, struct notice *notice)
{
    struct notice **end = &notifier->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = notice;
    notifier->given_count++;
    pthread_cond_broadcast(&notifier->changed);
}

void notifier_tell(struct fs *fs, const struct maildrop_changes *changes)
{
    struct notifier *notifier = &fs->notifier;
    struct notice *notice = notice_new(changes);
    struct timespec until;
    int error = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TELL_S;
    if (notice == NULL || !start(fs)) {
        log_write(LOG_LEVEL_ERROR, "no memory to tell the kernel of new mail");
        if (notice != NULL)
            notice_free(notice);
        return;
    }
    pthread_mutex_lock(&fs->lock);
    put(notifier, notice);
    uint64_t own = notifier->given_count;
    while (notifier->told_count < own && notifier->root_holders_count == 0 && error == 0)
        error = pthread_cond_timedwait(&notifier->changed, &fs->lock, &until);
    pthread_mutex_unlock(&fs->lock);
}

void notifier_root_held(struct fs *fs, bool held)
{
    struct notifier *notifier = &fs->notifier;
    pthread_mutex_lock(&fs->lock);
    notifier->root_holders_count += held ? 1 : (size_t)-1;
    pthread_cond_broadcast(&notifier->changed);
    pthread_mutex_unlock(&fs->lock);
}
