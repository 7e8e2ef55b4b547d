/* SPDX-License-Identifier: MIT */
/*
 * Opens a store and closes it. In between the files of this folder work side by side: messages.c
 * (rows), removals.c and journal.c (wishes), body.c (what is being written), bodies.c and packs.c
 * (what is kept), adopt.c (what was kept before).
 *
 * Opening is one transaction that is on the disk before anything else happens: it makes rows for
 * wishes whose messages the index does not know, and notes under which boot of the kernel bodies
 * are kept from now on. A damage that is found on the way sets the index aside, and a new one is
 * begun; one that is found later is a fault of the disk like another, and sets the index aside when
 * the store is closed: no opening reads all of it, so that the next might not find it.
 */
#include "store.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void notice_add(struct notice *notice, const char *format, ...)
{
    va_list args;
    size_t room = FAILURE_TEXT_OCTETS - notice->len;
    if (notice->len > 0 && room > 2) {
        memcpy(notice->text + notice->len, "; ", 3);
        notice->len += 2;
        room -= 2;
    }
    va_start(args, format);
    int len = vsnprintf(notice->text + notice->len, room, format, args);
    va_end(args);
    if (len > 0)
        notice->len += (size_t)len < room ? (size_t)len : room - 1;
}

/* ---- the state of the store as a whole ---- */

/* "" if the kernel does not tell, which is like another boot each time. */
static void read_boot(char ret_boot[INDEX_WORD_OCTETS])
{
    ssize_t len = -1;
    CLEANUP_CLOSE int file =
        disk_openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC, 0);
    if (file >= 0)
        len = disk_read(file, ret_boot, INDEX_WORD_OCTETS - 1);
    ret_boot[len > 0 ? len : 0] = '\0';
    ret_boot[strcspn(ret_boot, "\n")] = '\0';
}

static enum fault draw_generation(struct index_state *state, struct failure *ret_failure)
{
    uint64_t random;
    if (!chance_draw(&random, sizeof(random)))
        return failure_set(ret_failure, FAULT_MEMORY, "getrandom: %s", strerror(errno));
    snprintf(state->generation, sizeof(state->generation), "%016" PRIx64, random);
    return FAULT_NONE;
}

/* Bodies with other line ends are of no use, and neither are their sizes. */
static enum fault begin_generation(struct store *store, struct failure *ret_failure)
{
    enum fault fault = draw_generation(&store->state, ret_failure);
    if (fault == FAULT_NONE)
        fault = index_change(&store->index, INDEX_FORGET_SIZES, SQLITE_OK, ret_failure);
    store->state.lf = store->lf;
    return fault;
}

/* *ret_opening_max: bodies of this opening and those before are whole (adopt.c). */
static enum fault begin_opening(struct store *store, uint32_t *ret_opening_max,
                                struct failure *ret_failure)
{
    struct index_state *state = &store->state;
    char boot[INDEX_WORD_OCTETS];
    enum fault fault = index_state(&store->index, state, ret_failure);
    read_boot(boot);
    if (fault != FAULT_NONE)
        return fault;
    bool same_boot = boot[0] != '\0' && strcmp(boot, state->boot) == 0;
    if (!same_boot && state->synced != state->opening)
        fault = index_check(&store->index, ret_failure);
    if (fault == FAULT_NONE && (state->generation[0] == '\0' || state->lf != store->lf))
        fault = begin_generation(store, ret_failure);
    *ret_opening_max = same_boot ? state->opening : state->synced;
    store->is_synced = state->synced == state->opening;
    state->opening++;
    if (fault == FAULT_NONE)
        fault = index_set_state(&store->index, state, ret_failure);
    memcpy(state->boot, boot, sizeof(boot));
    return fault;
}

/* After a power cut a row may be there again whose end was not on the disk, and find zeros where
 * its body was. */
static enum fault erase(struct store *store)
{
    if (!bodies_have_dead(store))
        return FAULT_NONE;
    /* A commit would not do: one that changes nothing does not sync those before it. */
    enum fault fault = index_commit(&store->index, NULL);
    if (fault == FAULT_NONE)
        fault = index_checkpoint(&store->index, NULL);
    if (fault != FAULT_NONE)
        return fault;
    bodies_erase_dead(store);
    return bodies_write_uses(store, NULL);
}

/* All bodies are on the disk. Whatever fails is made up for at the next opening. */
static void end_opening(struct store *store)
{
    if (index_set_durable(&store->index, true, NULL) != FAULT_NONE || erase(store) != FAULT_NONE)
        return;
    if (store->is_synced || disk_syncfs(store->place.folder) == 0)
        store->state.synced = store->state.opening;
    else
        bodies_evict(store, 0); /* the next sync would not write what this one has failed to */
    if (index_set_state(&store->index, &store->state, NULL) == FAULT_NONE)
        (void)index_commit(&store->index, NULL);
}

/* ---- opening ---- */

static enum fault read_last_id(struct store *store, struct failure *ret_failure)
{
    bool row;
    enum fault fault = index_row(&store->index, INDEX_LAST_ID, SQLITE_OK, &row, ret_failure);
    if (fault != FAULT_NONE || !row)
        return fault;
    store->last_id = index_column_octets(index_use(&store->index, INDEX_LAST_ID), 0);
    index_end(&store->index, INDEX_LAST_ID);
    return FAULT_NONE;
}

/* popfs 0.1 kept the journal in the cache. With state=off it stays there. */
static enum fault move_journal(struct store *store, struct notice *notice,
                               struct failure *ret_failure)
{
    char name[JOURNAL_ASIDE_OCTETS];
    if (store->state_place.folder < 0)
        return FAULT_NONE;
    enum fault fault = journal_move(store->place.folder, &store->state_place, name, ret_failure);
    if (fault == FAULT_NONE && name[0] != '\0')
        notice_add(
            notice,
            "there are two journals of removals: the one in %s counts, the other one is kept "
            "as %s/%s",
            store->state_place.path, store->place.path, name);
    return fault;
}

static enum fault open_removals(struct store *store, struct notice *notice,
                                struct failure *ret_failure)
{
    enum fault fault = move_journal(store, notice, ret_failure);
    if (fault == FAULT_NONE)
        fault = journal_open(&store->journal, store->state_place.folder, ret_failure);
    if (fault == FAULT_NONE)
        fault = removals_fold(store, notice, ret_failure);
    if (fault == FAULT_NONE)
        fault = index_commit(&store->index, ret_failure);
    if (fault == FAULT_NONE && !store->is_temporary)
        fault = index_set_durable(&store->index, false, ret_failure);
    if (fault == FAULT_NONE)
        fault = read_last_id(store, ret_failure);
    return fault;
}

static enum fault open_parts(struct store *store, struct notice *notice,
                             struct failure *ret_failure)
{
    uint32_t opening_max = 0;
    store->torn_count = 0;
    enum fault fault =
        index_open(&store->index, store->place.path, store->is_temporary, ret_failure);
    if (fault == FAULT_NONE && store->index.is_old) {
        fault = removals_migrate(store, ret_failure);
        if (fault == FAULT_NONE && store->doubts_old)
            notice_add(notice, "an earlier popfs may have learnt of this account without TLS; "
                               "what it kept is fetched again");
    }
    if (fault == FAULT_NONE)
        fault = begin_opening(store, &opening_max, ret_failure);
    /* First: a wish whose message has no row gets one, and its id may be that of a body whose row
     * was never committed. */
    if (fault == FAULT_NONE)
        fault = bodies_open(store, opening_max, ret_failure);
    if (store->torn_count > 0)
        notice_add(notice, "%zu copies in the cache are cut off; they are fetched again",
                   store->torn_count);
    /* Not before: an opening that fails would make the next one of this boot trust all bodies. */
    if (fault == FAULT_NONE)
        fault = index_set_state(&store->index, &store->state, ret_failure);
    if (fault == FAULT_NONE)
        fault = open_removals(store, notice, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    bodies_evict_surplus(store);
    fault = bodies_write_uses(store, ret_failure);
    return fault == FAULT_NONE ? index_commit(&store->index, ret_failure) : fault;
}

static void close_parts(struct store *store)
{
    bodies_close(store);
    index_close(&store->index);
}

/* Once more, without the bodies if they have filled the disk, with a new index if the one that is
 * there is no good. */
static enum fault open_repairing(struct store *store, char ret_notice[FAILURE_TEXT_OCTETS],
                                 struct failure *ret_failure)
{
    char name[INDEX_NAME_OCTETS];
    struct failure failure = {0};
    struct notice notice = {ret_notice, 0};
    ret_notice[0] = '\0';
    enum fault fault = open_parts(store, &notice, &failure);
    if (fault == FAULT_NONE)
        return fault;
    close_parts(store);
    if (store->index.is_full) {
        place_sweep(store->place.folder, BODIES_PREFIX, NULL);
        return open_parts(store, &notice, ret_failure);
    }
    if (!store->index.is_unreadable)
        return failure_set(ret_failure, fault, "%s", failure.text);
    fault = index_set_aside(store->place.folder, name, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    notice.len = 0;
    notice_add(&notice, "%s; it is kept as %s, and a new one is begun", failure.text, name);
    return open_parts(store, &notice, ret_failure);
}

static void destroy(struct store *store)
{
    close_parts(store);
    journal_done(&store->journal);
    free(store->going);
    buffer_done(&store->owed);
    bin_done(&store->bin);
    free(store->bin_path);
    place_close(&store->state_place);
    place_close(&store->place);
    free(store);
}

static struct place_options cache_options(const struct store_options *options)
{
    return (struct place_options){.name = "cache",
                                  .folder = options->folder,
                                  .account = options->account,
                                  .owner = options->owner,
                                  .clear = options->clear,
                                  .temporary = options->temporary,
                                  .is_cache = true};
}

static struct place_options state_options(const struct store_options *options)
{
    return (struct place_options){.name = "state",
                                  .folder = options->state_folder,
                                  .account = options->account,
                                  .owner = options->owner,
                                  .clear = options->clear};
}

static enum fault open_places(struct store *store, const struct store_options *options,
                              struct failure *ret_failure)
{
    const struct place_options cache = cache_options(options), state = state_options(options);
    enum fault fault = place_open(&cache, &store->place, ret_failure);
    if (fault == FAULT_NONE && options->state_folder != NULL)
        fault = place_open(&state, &store->state_place, ret_failure);
    return fault;
}

/* One state may go with several caches, so it is asked first. */
bool store_owner(const struct store_options *options, char ret_owner[STORE_OWNER_OCTETS])
{
    const struct place_options cache = cache_options(options), state = state_options(options);
    if (options->state_folder != NULL && place_owner(&state, ret_owner))
        return true;
    return !options->temporary && place_owner(&cache, ret_owner);
}

static enum fault prepare_bin(struct store *store, int64_t keep_s, struct failure *ret_failure)
{
    bin_init(&store->bin, store->state_place.folder, keep_s, BIN_OCTETS_MAX);
    if (store->state_place.folder < 0 || keep_s == 0)
        return FAULT_NONE;
    if (asprintf(&store->bin_path, "%s/" BIN_NAME, store->state_place.path) >= 0)
        return FAULT_NONE;
    store->bin_path = NULL;
    return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

enum fault store_open(const struct store_options *options, struct store **ret_store,
                      struct failure *ret_failure)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    store->place = store->state_place = PLACE_NONE;
    journal_init(&store->journal);
    store->bodies = -1;
    store->packs.current = -1;
    bin_init(&store->bin, -1, 0, 0);
    store->octets_max = options->octets_max;
    store->free_octets_min = options->free_octets_min;
    store->lf = options->lf;
    store->doubts_old = options->doubts_old;
    store->is_temporary = options->temporary;
    store->is_keeping = true;
    enum fault fault = open_places(store, options, ret_failure);
    if (fault == FAULT_NONE)
        fault = prepare_bin(store, options->bin_s, ret_failure);
    if (fault == FAULT_NONE)
        *ret_store = store;
    else
        destroy(store);
    return fault;
}

enum fault store_begin(struct store *store, char ret_notice[FAILURE_TEXT_OCTETS],
                       struct failure *ret_failure)
{
    enum fault fault = open_repairing(store, ret_notice, ret_failure);
    /* The popfs that noted these wishes may have been killed before it synced them, or the names.
     */
    if (fault == FAULT_NONE && store->going_count > 0) {
        store->is_name_owed = true;
        (void)removals_sync(store, NULL);
    }
    /* What is no longer wanted goes before anybody asks. */
    if (fault == FAULT_NONE && store->bin_path == NULL)
        bin_expire(&store->bin, 0);
    store->has_begun = fault == FAULT_NONE;
    return fault;
}

enum fault store_flush(struct store *store, struct failure *ret_failure)
{
    /* In this order: see removals.c. On a disk that takes no more, what it has taken must still
     * outlive a power cut. */
    enum fault fault = removals_settle(store, ret_failure);
    enum fault sync_fault = removals_sync(store, fault == FAULT_NONE ? ret_failure : NULL);
    if (fault == FAULT_NONE)
        fault = sync_fault;
    /* A journal that could not be replaced is a long one, and nothing worse. */
    if (fault == FAULT_NONE)
        (void)removals_bound(store, NULL);
    if (fault == FAULT_NONE)
        fault = bodies_write_uses(store, ret_failure);
    if (fault == FAULT_NONE)
        fault = index_commit(&store->index, ret_failure);
    return fault;
}

/* What was done is on the disk, and a damaged index out of the way of the next opening. */
static void end(struct store *store)
{
    char name[INDEX_NAME_OCTETS];
    bool is_done = store_flush(store, NULL) == FAULT_NONE;
    if (is_done)
        (void)removals_tidy(store, NULL);
    if (store->is_temporary)
        return;
    if (is_done && !store->index.is_damaged)
        end_opening(store);
    close_parts(store);
    if (store->index.is_damaged)
        index_set_aside(store->place.folder, name, NULL);
}

const char *store_state_path(const struct store *store)
{
    return store->state_place.path;
}

int store_state_descriptor(const struct store *store)
{
    return store->state_place.folder;
}

void store_say_owner(const struct store *store, const char *owner)
{
    place_say_owner(&store->place, owner);
    place_say_owner(&store->state_place, owner);
}

void store_spare(struct store *store)
{
    store->place.is_discarded = store->state_place.is_discarded = true;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->has_begun)
        end(store);
    destroy(store);
}
