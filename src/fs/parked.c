/* SPDX-License-Identifier: MIT */
/*
 * An interrupt names a parked request by its id and not by its address: libfuse may call back while
 * the sync thread is answering and freeing that very request. What is in the table has not been
 * answered; the answer takes it out first.
 */
#include "parked.h"

#include "errors.h"

#include <errno.h>
#include <stdlib.h>

static struct parked **bucket(struct fs *fs, uintptr_t id)
{
    return &fs->parked[id % PARKED_BUCKET_COUNT];
}

static void parked_insert(struct parked *parked)
{
    struct fs *fs = parked->fs;
    pthread_mutex_lock(&fs->lock);
    parked->link = bucket(fs, parked->id);
    parked->next = *parked->link;
    if (parked->next != NULL)
        parked->next->link = &parked->next;
    *parked->link = parked;
    pthread_mutex_unlock(&fs->lock);
}

static void parked_take_out(struct parked *parked)
{
    struct fs *fs = parked->fs;
    pthread_mutex_lock(&fs->lock);
    *parked->link = parked->next;
    if (parked->next != NULL)
        parked->next->link = parked->link;
    pthread_mutex_unlock(&fs->lock);
}

static void parked_free(struct parked *parked)
{
    maildrop_message_unref(parked->message);
    free(parked);
}

/* On the FUSE thread. Under the lock, so that the request cannot be freed before sync has been
 * told. */
static void interrupted(fuse_req_t req, void *data)
{
    struct fs *fs = fuse_req_userdata(req);
    uintptr_t id = (uintptr_t)data;
    pthread_mutex_lock(&fs->lock);
    struct parked *parked = *bucket(fs, id);
    while (parked != NULL && parked->id != id)
        parked = parked->next;
    if (parked != NULL)
        sync_cancel(fs->sync, &parked->request);
    pthread_mutex_unlock(&fs->lock);
}

/* On the sync thread, so it cannot be answered meanwhile. An interrupt that found nothing in the
 * table, or came before sync had the request, is seen by the check. */
static void submit_again(struct parked *parked)
{
    parked_insert(parked);
    sync_submit(parked->fs->sync, &parked->request);
    if (fuse_req_interrupted(parked->req))
        sync_cancel(parked->fs->sync, &parked->request);
}

/* On the sync thread. */
static void answered(struct sync_request *request, enum fault fault, struct extent body)
{
    struct parked *parked = (struct parked *)request;
    struct fs *fs = parked->fs;
    parked_take_out(parked);
    gate_enter(fs);
    parked->again = false;
    parked->reply(parked, fault, body);
    gate_leave(fs);
    if (parked->again)
        submit_again(parked);
    else
        parked_free(parked);
}

struct parked *
parked_new(struct fs *fs, fuse_req_t req, enum sync_want want, struct maildrop_message *message,
           void (*reply)(struct parked *parked, enum fault fault, struct extent body))
{
    struct parked *parked = calloc(1, sizeof(*parked));
    if (parked == NULL) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    parked->request.want = want;
    parked->request.message = message;
    parked->request.answer = answered;
    parked->fs = fs;
    parked->req = req;
    parked->reply = reply;
    if (message != NULL) {
        parked->message = maildrop_message_ref(message);
        parked->told_octets = inodes_told_octets(&fs->inodes, inode_of_message(message));
    }
    parked->id = ++fs->parked_id_last;
    return parked;
}

/* A removal is taken back at once. It must be, where a program removed a message in order to
 * replace it, and was interrupted before the replacement was refused. */
static bool is_a_wait(const struct parked *parked)
{
    return parked->request.want != SYNC_WANT_RESTORE;
}

void parked_submit(struct parked *parked)
{
    /*
     * Before it is submitted, because from then on `req` may be answered and gone. An interrupt
     * that is already here is seen by the check; a later one comes through this same thread, so
     * none is lost in between.
     */
    fuse_req_interrupt_func(parked->req, interrupted, (void *)parked->id);
    if (fuse_req_interrupted(parked->req) && is_a_wait(parked)) {
        fuse_reply_err(parked->req, EINTR);
        parked_free(parked);
        return;
    }
    parked_insert(parked);
    sync_submit(parked->fs->sync, &parked->request);
}

void parked_turn_to(struct parked *parked, struct maildrop_message *message,
                    void (*reply)(struct parked *parked, enum fault fault, struct extent body))
{
    struct maildrop_message *old = parked->message;
    parked->message = maildrop_message_ref(message);
    maildrop_message_unref(old);
    parked->request.message = message;
    parked->reply = reply;
    parked->again = true;
}
