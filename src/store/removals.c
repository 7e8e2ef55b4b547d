/* SPDX-License-Identifier: MIT */
/*
 * Pending removals: noted in the journal at once, which alone says what the user wishes. The index
 * shows the messages: where it does not know one that is wished for, it gets a row of what the line
 * tells of it.
 *
 * A wish goes by UIDL and evidence, or listed size where evidence is missing, and not by id, since
 * it may be older than the index: its line holds all that shows and proves the message. What a
 * crash may never leave is a wish for a message that has gone, because a new one may come to have
 * its UIDL and size; so store_forget() takes the wish back by a line before it touches the
 * row, and store_flush() syncs the journal before it commits:
 *
 * - killed before the line: the row is there, and so is the wish; the message has gone, which the
 *   caller learned a moment ago and the next listing tells again;
 * - killed after it: the row may be there, without a wish;
 * - power cut: if the row's end is on the disk, so is the line;
 * - no room for it: the row stays, and each flush tries again to write the line.
 *
 * Lines that mean nothing any more go when most of the journal is such lines, and at each opening
 * and close: a new journal takes the place of the old one.
 *
 * Where lines are missing from the journal, a wish may have been taken back in one of them. Then
 * each wish is held: it stays pending until the user confirms it or takes it back.
 */
#include "store.h"
#include "text.h"
#include "wishes.h"

#include <stdlib.h>

/* ---- noting ---- */

enum fault store_note_removals(struct store *store, const struct store_removal *removals,
                               size_t count, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer contents = {0};
    bool memory = true, is_taken_back = false;
    for (size_t i = 0; i < count && memory; i++) {
        size_t before = contents.len;
        memory = journal_gather(&contents, &removals[i]);
        is_taken_back |= !removals[i].going;
        if (memory && contents.len == before)
            return failure_set(ret_failure, FAULT_DISK,
                               "a UIDL of %zu octets does not fit in the journal of removals",
                               removals[i].uidl.len);
    }
    /* A line that takes a wish back must not be lost unseen. */
    if (memory && is_taken_back)
        memory = journal_gather_seal(&contents);
    if (!memory)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return journal_write(&store->journal, buffer_slice(&contents), ret_failure);
}

enum fault store_note_removal(struct store *store, const struct store_removal *removal,
                              struct failure *ret_failure)
{
    return store_note_removals(store, removal, 1, ret_failure);
}

/* ---- the journal as a whole ---- */

/* What of a journal still means something. */
struct contents {
    struct wishes wishes;
    struct buffer others;
    struct journal_state state;
};

static void contents_done(struct contents *contents)
{
    wishes_done(&contents->wishes);
    buffer_done(&contents->others);
}

static bool take_wish(void *context, const struct store_removal *wish)
{
    struct contents *contents = context;
    return wishes_add(&contents->wishes, wish);
}

static bool take_other(void *context, struct slice content)
{
    struct contents *contents = context;
    return buffer_append(&contents->others, content) &&
           buffer_append(&contents->others, SLICE_LITERAL("\n"));
}

static enum fault read_contents(const struct store *store, uint64_t octets_max,
                                struct contents *contents, struct failure *ret_failure)
{
    const struct journal_reader reader = {take_wish, take_other, contents};
    enum fault fault =
        journal_read(store->state_place.folder, octets_max, &reader, &contents->state, ret_failure);
    wishes_settle(&contents->wishes, contents->state.is_broken);
    return fault;
}

/* A wish for a message that another one has replaced is over. */
static enum fault replace(struct store *store, const struct contents *contents,
                          uint64_t octets_read, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    bool memory = true;
    for (size_t i = 0; i < contents->wishes.count && memory; i++) {
        const struct store_removal wish = wishes_at(&contents->wishes, i);
        if (wishes_row_of(&contents->wishes, i) != WISHES_ROW_OTHER)
            memory = journal_gather(&lines, &wish);
    }
    if (!memory || !buffer_append(&lines, buffer_slice(&contents->others)))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    enum fault fault = journal_replace(&store->journal, store->state_place.folder,
                                       buffer_slice(&lines), octets_read, ret_failure);
    /* The new one may have its name already, and the name not be on the disk. */
    store->is_name_owed |= fault != FAULT_NONE;
    return fault;
}

static enum fault compact(struct store *store, struct failure *ret_failure)
{
    struct contents contents = {0};
    uint64_t octets = journal_octets(&store->journal);
    enum fault fault = read_contents(store, octets, &contents, ret_failure);
    if (fault == FAULT_NONE)
        fault = replace(store, &contents, octets, ret_failure);
    contents_done(&contents);
    return fault;
}

static bool is_tidy(const struct journal_chain *chain)
{
    return chain->lines_count == chain->going_count + chain->others_count;
}

enum fault removals_tidy(struct store *store, struct failure *ret_failure)
{
    struct journal_chain chain = journal_chain(&store->journal);
    if (store->journal.is_off || is_tidy(&chain))
        return FAULT_NONE;
    return compact(store, ret_failure);
}

enum fault removals_bound(struct store *store, struct failure *ret_failure)
{
    if (!journal_is_overgrown(&store->journal))
        return FAULT_NONE;
    return compact(store, ret_failure);
}

/* An earlier popfs may have been killed between making the files and syncing their names, so each
 * opening syncs the names once; but only when there is a wish to lose. */
enum fault removals_sync(struct store *store, struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    if (journal_is_synced(&store->journal) && !store->is_name_owed)
        return FAULT_NONE;
    if (!store->is_named || store->is_name_owed)
        fault = place_sync(&store->state_place, ret_failure);
    store->is_named = fault == FAULT_NONE;
    store->is_name_owed = fault != FAULT_NONE;
    return fault == FAULT_NONE
               ? journal_sync(&store->journal, store->state_place.folder, ret_failure)
               : fault;
}

enum fault store_sync_removals(struct store *store, struct failure *ret_failure)
{
    return removals_sync(store, ret_failure);
}

uint64_t store_removals_mark(struct store *store)
{
    return journal_octets(&store->journal);
}

static bool pass_over(void *context, const struct store_removal *wish)
{
    (void)context;
    (void)wish;
    return true;
}

enum fault store_clear_removals(struct store *store, uint64_t mark, struct failure *ret_failure)
{
    struct contents contents = {0};
    struct journal_chain chain = journal_chain(&store->journal);
    enum fault fault = FAULT_NONE;
    const struct journal_reader reader = {pass_over, take_other, &contents};
    if (chain.lines_count == chain.others_count)
        return FAULT_NONE;
    if (chain.others_count > 0)
        fault =
            journal_read(store->state_place.folder, mark, &reader, &contents.state, ret_failure);
    if (fault == FAULT_NONE)
        fault = replace(store, &contents, mark, ret_failure);
    contents_done(&contents);
    return fault;
}

/* ---- opening ---- */

struct fold {
    struct store *store;
    struct contents contents;
    size_t replaced_count;
    int64_t now_ns;
};

static bool note_going(struct store *store, uint64_t id, bool held)
{
    if (store->going_count == store->going_room) {
        size_t room = store->going_room == 0 ? 64 : store->going_room * 2;
        struct going *going = reallocarray(store->going, room, sizeof(going[0]));
        if (going == NULL)
            return false;
        store->going = going;
        store->going_room = room;
    }
    store->going[store->going_count++] = (struct going){id, held};
    return true;
}

const struct going *removals_find(const struct store *store, uint64_t id)
{
    size_t low = 0, high = store->going_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store->going[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < store->going_count && store->going[low].id == id ? &store->going[low] : NULL;
}

static enum fault learn_evidence(struct store *store, uint64_t id, const struct store_removal *row,
                                 const struct store_removal *wish, struct failure *ret_failure)
{
    if (!evidence_is_known(&wish->evidence) || evidence_is_equal(&row->evidence, &wish->evidence))
        return FAULT_NONE;
    return store_learn_evidence(store, id, &wish->evidence, ret_failure);
}

/* Looks for each message of the index among the wishes. */
static enum fault match_rows(struct fold *fold, struct failure *ret_failure)
{
    struct store *store = fold->store;
    struct wishes *wishes = &fold->contents.wishes;
    sqlite3_stmt *statement = index_use(&store->index, INDEX_IDENTITIES);
    bool row;
    for (;;) {
        size_t position;
        enum fault fault = index_row(&store->index, INDEX_IDENTITIES, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE || !row)
            return fault;
        uint64_t id = index_column_octets(statement, 0);
        const struct store_removal message = {
            .uidl = index_column_bytes(statement, 1),
            .listed_octets = index_column_octets(statement, 2),
            .evidence = index_column_evidence(statement, 3),
        };
        if (!wishes_match(wishes, &message, &position))
            continue;
        const struct store_removal wish = wishes_at(wishes, position);
        if (!note_going(store, id, wish.held))
            fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory");
        else
            fault = learn_evidence(store, id, &message, &wish, ret_failure);
        if (fault != FAULT_NONE) {
            index_end(&store->index, INDEX_IDENTITIES);
            return fault;
        }
    }
}

static enum fault make_header(struct index *index, const struct store_removal *wish, int64_t id,
                              struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(index, INDEX_MAKE_HEADER);
    int bad = sqlite3_bind_int64(statement, 1, id) | index_bind_text(statement, 2, wish->from) |
              index_bind_text(statement, 3, wish->subject);
    return index_change(index, INDEX_MAKE_HEADER, bad, ret_failure);
}

/* A row of what the wish tells, for a message that the index does not know. *ret_conflict: it has
 * one of this UIDL. */
static enum fault make_row(struct fold *fold, const struct store_removal *wish, bool *ret_conflict,
                           struct failure *ret_failure)
{
    struct index *index = &fold->store->index;
    sqlite3_stmt *statement = index_use(index, INDEX_MAKE_ROW);
    int bad = index_bind_uidl(statement, 1, wish->uidl) |
              sqlite3_bind_int64(statement, 2, (int64_t)wish->listed_octets) |
              sqlite3_bind_int64(statement, 3, fold->now_ns++) |
              index_bind_evidence(statement, 4, &wish->evidence) |
              index_bind_time(statement, 5, wish->time_s);
    enum fault fault = index_try(index, INDEX_MAKE_ROW, bad, ret_conflict, ret_failure);
    if (fault != FAULT_NONE || *ret_conflict)
        return fault;
    int64_t id = sqlite3_last_insert_rowid(index->db);
    if (!note_going(fold->store, (uint64_t)id, wish->held))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    if (wish->from.len + wish->subject.len == 0)
        return FAULT_NONE;
    return make_header(index, wish, id, ret_failure);
}

/* Oldest wish first. */
static enum fault make_rows(struct fold *fold, struct failure *ret_failure)
{
    struct wishes *wishes = &fold->contents.wishes;
    for (size_t i = 0; i < wishes->count; i++) {
        const struct store_removal wish = wishes_at(wishes, i);
        enum wishes_row row = wishes_row_of(wishes, i);
        bool conflict = false;
        enum fault fault = FAULT_NONE;
        if (row == WISHES_ROW_OLDER)
            fault = messages_make_way(fold->store, wish.uidl, ret_failure);
        if (fault == FAULT_NONE && (row == WISHES_ROW_NONE || row == WISHES_ROW_OLDER))
            fault = make_row(fold, &wish, &conflict, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        /* A damage may have parted the rows from what finds them by their UIDL. */
        if (conflict && !wishes_is_twin(wishes, i))
            return index_is_parted(&fold->store->index, ret_failure);
        if (conflict)
            wishes_note_other(wishes, i);
        fold->replaced_count += row == WISHES_ROW_OTHER || conflict;
    }
    return FAULT_NONE;
}

static void say(const struct fold *fold, struct notice *notice)
{
    const struct journal_state *state = &fold->contents.state;
    size_t held_count = 0;
    for (size_t i = 0; i < fold->contents.wishes.count; i++)
        held_count += wishes_at(&fold->contents.wishes, i).held;
    if (state->unreadable_count > 0)
        notice_add(notice, "%zu damaged line%s in the journal of removals ignored",
                   state->unreadable_count, state->unreadable_count == 1 ? "" : "s");
    if (state->is_broken)
        notice_add(notice,
                   "lines are missing from the journal of removals: %zu pending removal%s not "
                   "carried out before popfsctl commit",
                   held_count, held_count == 1 ? " is" : "s are");
    if (fold->replaced_count > 0)
        notice_add(notice, "%zu pending removal%s dropped: another message has its UIDL",
                   fold->replaced_count, fold->replaced_count == 1 ? "" : "s");
}

static enum fault fold_all(struct fold *fold, struct failure *ret_failure)
{
    struct wishes *wishes = &fold->contents.wishes;
    enum fault fault = read_contents(fold->store, UINT64_MAX, &fold->contents, ret_failure);
    fold->store->going_count = 0;
    if (fault != FAULT_NONE || wishes->count == 0)
        return fault;
    wishes_sort_by_uidl(wishes);
    fault = match_rows(fold, ret_failure);
    wishes_sort_by_age(wishes);
    return fault == FAULT_NONE ? make_rows(fold, ret_failure) : fault;
}

static bool is_to_be_replaced(const struct fold *fold)
{
    const struct journal_state *state = &fold->contents.state;
    return state->is_broken || state->unreadable_count > 0 || state->has_old_lines ||
           fold->replaced_count > 0 || !is_tidy(&state->chain) ||
           state->chain.going_count != fold->contents.wishes.count;
}

enum fault removals_fold(struct store *store, struct notice *notice, struct failure *ret_failure)
{
    struct fold fold = {.store = store, .now_ns = clock_wall_ns()};
    enum fault fault = fold_all(&fold, ret_failure);
    if (fault == FAULT_NONE)
        journal_go_on(&store->journal, &fold.contents.state);
    if (fault == FAULT_NONE && !store->journal.is_off && is_to_be_replaced(&fold))
        fault = replace(store, &fold.contents, journal_octets(&store->journal), ret_failure);
    if (fault == FAULT_NONE)
        say(&fold, notice);
    contents_done(&fold.contents);
    return fault;
}

enum fault store_load_removals(struct store *store,
                               bool (*each)(void *context, const struct store_removal *removal),
                               void *context, struct failure *ret_failure)
{
    struct contents contents = {0};
    enum fault fault = read_contents(store, UINT64_MAX, &contents, ret_failure);
    for (size_t i = 0; i < contents.wishes.count && fault == FAULT_NONE; i++) {
        const struct store_removal wish = wishes_at(&contents.wishes, i);
        if (!each(context, &wish))
            fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    contents_done(&contents);
    return fault;
}

/* ---- an index of popfs 0.1 ---- */

static bool gather(void *context, const struct store_removal *wish)
{
    return journal_gather(context, wish);
}

/* Its rows say what is going, and the journal beside it what has been noted since. Both are one
 * journal before the rows lose that; should popfs be killed in between, they come in once more,
 * which means nothing. */
enum fault removals_migrate(struct store *store, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer contents = {0};
    enum fault fault = index_old_removals(&store->index, gather, &contents, ret_failure);
    if (fault == FAULT_NONE && contents.len > 0)
        fault = journal_prepend(store->place.folder, buffer_slice(&contents), ret_failure);
    return fault == FAULT_NONE ? index_migrate(&store->index, store->doubts_old, ret_failure)
                               : fault;
}

/* ---- what has left ---- */

static bool are_none(struct store *store)
{
    struct journal_chain chain = journal_chain(&store->journal);
    return store->journal.is_off || chain.lines_count == chain.others_count;
}

/* No row is asked: one that could not be written may have a wish all the same. */
enum fault removals_take_back(struct store *store, const struct store_message *messages,
                              size_t count, struct failure *ret_failure)
{
    bool none = are_none(store);
    for (size_t i = 0; i < count && !none; i++) {
        const struct store_removal wish = {.uidl = messages[i].uidl,
                                           .listed_octets = messages[i].listed_octets,
                                           .evidence = messages[i].evidence,
                                           .time_s = STORE_TIME_UNKNOWN};
        if (!journal_gather(&store->owed, &wish))
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    return removals_settle(store, ret_failure);
}

/* A wish that comes in between, for a message that looks the same, is taken back with it: such a
 * message stays, which is the harmless way round. */
enum fault removals_settle(struct store *store, struct failure *ret_failure)
{
    enum fault fault = journal_write(&store->journal, buffer_slice(&store->owed), ret_failure);
    if (fault == FAULT_NONE)
        buffer_consume(&store->owed, store->owed.len);
    return fault;
}
