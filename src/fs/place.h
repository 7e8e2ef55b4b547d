/* SPDX-License-Identifier: MIT */
/*
 * place: in which folder a message is found: the root, the trash, or none. Two threads move
 * messages: the FUSE thread when the user removes and restores, the sync thread when a listing, a
 * commit or a command does.
 */
#ifndef POPFS_FS_PLACE_H
#define POPFS_FS_PLACE_H

#include "nametable.h"
#include "popfs/maildrop.h"

struct fs;

enum place {
    PLACE_ROOT,
    PLACE_TRASH, /* going */
    PLACE_NONE,  /* gone */
};
enum { PLACE_COUNT = PLACE_NONE };

enum place place_of_message(const struct maildrop_message *message);
/* PLACE_NONE: it holds no messages. */
enum place place_of_folder(uint64_t ino);
bool place_name(const struct maildrop_message *message, struct name *ret_name);

/*
 * Puts the message where it belongs now. Whoever changed what becomes of it calls this afterwards;
 * the last call sees the last change, so it does not matter in which order two threads come here.
 * Want of memory is logged: then the name cannot be looked up until the next mount.
 */
void place_settle(struct fs *fs, struct maildrop_message *message);
/* The same for all of these, which take effect with it: whoever looks a name up finds what had it
 * before or what has it now. Touches the root. */
void place_settle_changes(struct fs *fs, const struct maildrop_changes *changes);
/* A new reference; NULL if that folder has nothing of this name. */
struct maildrop_message *place_find(struct fs *fs, enum place place, struct slice name);
/* The one that has the name of this one, which has gone, in the root now: a new reference; NULL if
 * none has, or if this one was in the trash. Any thread. */
struct maildrop_message *place_find_heir(struct fs *fs, const struct maildrop_message *gone);

#endif
