/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "popfs/store.h"

#include "bin.h"
#include "index.h"
#include "journal.h"
#include "packs.h"
#include "place.h"
#include "room.h"
#include "shelf.h"

struct going {
    uint64_t id;
    bool held;
};

struct store {
    struct place place;       /* the cache */
    struct place state_place; /* none with state=off */
    struct index index;
    struct index_state state;
    struct journal journal;
    struct going *going; /* what was so when the store was opened, by rising id */
    size_t going_count, going_room;
    struct buffer owed; /* lines that take wishes back, and found no room in the journal yet */
    struct bin bin;
    char *bin_path; /* NULL: there is none */
    struct shelf *shelf;
    struct packs packs;
    int bodies; /* the folder of the bodies and packs; -1: not open */
    uint64_t octets_max;
    uint64_t arriving_octets; /* of bodies that are not whole, in files in the cache */
    uint64_t free_octets_min; /* as in struct store_options */
    uint64_t granted_octets;  /* may be written before the disk is asked again */
    uint64_t last_id;
    size_t torn_count;         /* bodies that were kept where their pack does not reach any more */
    uint64_t new_bodies_count; /* names those that are being written */
    bool lf;
    bool doubts_old;
    bool is_temporary;
    bool has_begun;
    bool is_named;     /* a wish's file, and the folders on the way to it, will be found again */
    bool is_name_owed; /* the journal was replaced, and its name may not be on the disk */
    bool is_keeping;
    bool is_synced; /* no body has been kept that is not known to be on the disk */
};

/* What a person should know of the opening, in one line. */
struct notice {
    char *text;
    size_t len;
};
void notice_add(struct notice *notice, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Of the name of their folder. */
#define BODIES_PREFIX "bodies-"

/* Opens the folder of the bodies and takes those in whose message the index knows. Bodies of an
 * opening after `opening_max` are not trusted. FAULT_DISK, FAULT_MEMORY. */
enum fault bodies_open(struct store *store, uint32_t opening_max, struct failure *ret_failure);
void bodies_close(struct store *store);
/* Drops what was used longest ago until `octets` are left. */
void bodies_evict(struct store *store, uint64_t octets);
/* Of all that are kept. */
uint64_t bodies_octets(const struct store *store);
/* Like bodies_evict(), down to nine tenths, if there is too much. */
void bodies_evict_surplus(struct store *store);
/* Takes the body off the disk, or leaves it dead in its pack; the shelf is the caller's. */
void bodies_disown(struct store *store, const struct shelf_entry *entry);
/* Like store_body_remove() of a message whose row goes as well. */
void bodies_forget(struct store *store, uint64_t id);
/* Writes into the index what it does not know yet. */
enum fault bodies_write_uses(struct store *store, struct failure *ret_failure);
/* Makes zeros of what is dead in packs; nobody reads any body, and no row that a power cut might
 * bring back tells of it. */
bool bodies_have_dead(const struct store *store);
void bodies_erase_dead(struct store *store);

/* The name of a pack in the index. */
uint64_t bodies_pack_key(uint32_t opening, uint32_t number);
/* Opens a body of so many octets as it is, without a look at its bytes. FAULT_GONE, FAULT_DISK;
 * FAULT_GARBLED: it is not whole. Any thread. */
enum fault bodies_find(const struct store *store, uint64_t id, uint64_t octets,
                       struct shelf_entry *ret_entry, struct extent *ret_extent);
/* Of a record of a pack with a body of so many octets. */
uint64_t bodies_record_octets(uint64_t body_octets);

enum { BODY_NAME_OCTETS = 40 };
void body_name(uint64_t id, uint32_t opening, char ret_name[BODY_NAME_OCTETS]);

/* Takes an index of popfs 0.1 over, and what its rows tell of removals into the journal beside it.
 */
enum fault removals_migrate(struct store *store, struct failure *ret_failure);
/* Reads the journal, which is open, and finds the messages, within the transaction: those that the
 * index does not know, or only another one of the same UIDL, get a row. */
enum fault removals_fold(struct store *store, struct notice *notice, struct failure *ret_failure);
/* Drops the row of a UIDL and its body, and leaves the wishes for the UIDL alone. */
enum fault messages_make_way(struct store *store, struct slice uidl, struct failure *ret_failure);
/* NULL: it was not going when the store was opened. */
const struct going *removals_find(const struct store *store, uint64_t id);
/* Takes back the wishes for messages that have left; what finds no room is owed. */
enum fault removals_take_back(struct store *store, const struct store_message *messages,
                              size_t count, struct failure *ret_failure);
/* Writes what is owed. */
enum fault removals_settle(struct store *store, struct failure *ret_failure);
/* What has been noted outlives a power cut from now on. */
enum fault removals_sync(struct store *store, struct failure *ret_failure);
/* A journal that holds no line but those that mean something; and the same only where most of it
 * are others. */
enum fault removals_tidy(struct store *store, struct failure *ret_failure);
enum fault removals_bound(struct store *store, struct failure *ret_failure);

#endif
