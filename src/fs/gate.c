/* SPDX-License-Identifier: MIT */
/*
 * Until the kernel has said FUSE_INIT nothing is told to it: it remembers nothing yet, and the sync
 * thread would use the descriptor while libfuse makes it.
 *
 * The gate keeps the sync thread off the session's descriptor while fs_unmount() closes it: the
 * number would be given to the next socket that is opened, and a late reply would be written to the
 * server.
 *
 * A notification may have to wait in the kernel until an inode that is being dropped has gone, and
 * so for an answer from the FUSE thread. So fs_unmount() goes on serving until everybody has left,
 * and only then shuts the gate and closes.
 */
#include "filesystem.h"

void gate_enter(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    while (fs->gate_shut)
        pthread_cond_wait(&fs->gate_opened, &fs->lock);
    fs->gate_users_count++;
    pthread_mutex_unlock(&fs->lock);
}

void gate_leave(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->gate_users_count--;
    pthread_mutex_unlock(&fs->lock);
}

bool gate_enter_to_notify(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    bool entered = fs->notify == FS_NOTIFY_ON;
    if (entered)
        fs->gate_users_count++;
    pthread_mutex_unlock(&fs->lock);
    return entered;
}

void gate_begin(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    if (fs->notify == FS_NOTIFY_NOT_YET)
        fs->notify = FS_NOTIFY_ON;
    pthread_mutex_unlock(&fs->lock);
}

void gate_close(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->notify = FS_NOTIFY_OVER;
    pthread_mutex_unlock(&fs->lock);
}

bool gate_shut(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->gate_shut = fs->gate_users_count == 0;
    bool shut = fs->gate_shut;
    pthread_mutex_unlock(&fs->lock);
    return shut;
}

void gate_open(struct fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->gate_shut = false;
    pthread_cond_broadcast(&fs->gate_opened);
    pthread_mutex_unlock(&fs->lock);
}
