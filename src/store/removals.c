/* SPDX-License-Identifier: MIT */
/*
 * Pending removals: noted in the journal at once, brought into the index when the store is opened
 * and closed. Both then hold them all, so that one can be lost.
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
 * Where no wish is left at all, an empty journal takes the place of all those lines.
 */
#include "store.h"
#include "text.h"
#include "wishes.h"

struct fold {
    struct store *store;
    struct wishes wishes;
    size_t lines_count, wishes_count, going_count, replaced_count;
    int64_t now_ns;
};

enum fault store_note_removal(struct store *store, const struct store_removal *removal,
                              struct failure *ret_failure)
{
    return journal_note(&store->journal, removal, ret_failure);
}

enum fault store_note_removals(struct store *store, const struct store_removal *removals,
                               size_t count, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    if (count == 1)
        return store_note_removal(store, removals, ret_failure);
    for (size_t i = 0; i < count; i++)
        if (!journal_gather(&lines, &removals[i]))
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return journal_write(&store->journal, buffer_slice(&lines), ret_failure);
}

/* Gives every row that is going, oldest first. */
static enum fault each_going(struct index *index,
                             bool (*each)(void *context, const struct store_removal *removal),
                             void *context, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(index, INDEX_REMOVALS);
    bool row;
    for (;;) {
        enum fault fault = index_row(index, INDEX_REMOVALS, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE || !row)
            return fault;
        const struct store_removal removal = {
            .uidl = index_column_bytes(statement, 0),
            .listed_octets = index_column_octets(statement, 1),
            .evidence = index_column_evidence(statement, 2),
            .time_s = index_column_time(statement, 3),
            .from = index_column_bytes(statement, 4),
            .subject = text_cut(index_column_bytes(statement, 5)),
            .going = true,
        };
        if (!each(context, &removal)) {
            index_end(index, INDEX_REMOVALS);
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
        }
    }
}

enum fault store_load_removals(struct store *store,
                               bool (*each)(void *context, const struct store_removal *removal),
                               void *context, struct failure *ret_failure)
{
    return each_going(&store->index, each, context, ret_failure);
}

static enum fault collect(void *context, const struct store_removal *wish,
                          struct failure *ret_failure)
{
    struct fold *fold = context;
    fold->lines_count++;
    return wishes_add(&fold->wishes, wish)
               ? FAULT_NONE
               : failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

static enum fault set_going(struct index *index, const struct store_removal *wish, bool *ret_found,
                            struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(index, INDEX_SET_GOING);
    int bad = index_bind_uidl(statement, 1, wish->uidl) |
              sqlite3_bind_int64(statement, 2, (int64_t)wish->listed_octets) |
              sqlite3_bind_int(statement, 3, wish->going) |
              index_bind_evidence(statement, 4, &wish->evidence);
    enum fault fault = index_change(index, INDEX_SET_GOING, bad, ret_failure);
    *ret_found = sqlite3_changes(index->db) > 0;
    return fault;
}

/* Of a message that the index does not know. If it knows another with this UIDL, nothing is done.
 */
static enum fault make_going(struct index *index, const struct store_removal *wish, int64_t now_ns,
                             bool *ret_made, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(index, INDEX_MAKE_GOING);
    int bad = index_bind_uidl(statement, 1, wish->uidl) |
              sqlite3_bind_int64(statement, 2, (int64_t)wish->listed_octets) |
              sqlite3_bind_int64(statement, 3, now_ns) |
              index_bind_evidence(statement, 4, &wish->evidence) |
              index_bind_time(statement, 5, wish->time_s);
    enum fault fault = index_change(index, INDEX_MAKE_GOING, bad, ret_failure);
    *ret_made = sqlite3_changes(index->db) > 0;
    if (fault != FAULT_NONE || !*ret_made || wish->from.len + wish->subject.len == 0)
        return fault;
    statement = index_use(index, INDEX_MAKE_HEADER);
    bad = index_bind_uidl(statement, 1, wish->uidl) | index_bind_text(statement, 2, wish->from) |
          index_bind_text(statement, 3, wish->subject);
    return index_change(index, INDEX_MAKE_HEADER, bad, ret_failure);
}

static enum fault apply(struct fold *fold, const struct store_removal *wish,
                        struct failure *ret_failure)
{
    struct index *index = &fold->store->index;
    bool found = false, made = false;
    enum fault fault = set_going(index, wish, &found, ret_failure);
    if (fault != FAULT_NONE || found || !wish->going)
        return fault;
    fault = make_going(index, wish, fold->now_ns++, &made, ret_failure);
    fold->replaced_count += !made;
    return fault;
}

/* A damage may have parted the rows from what finds them by their UIDL. */
static enum fault check_withdrawn(struct fold *fold, struct failure *ret_failure)
{
    struct index *index = &fold->store->index;
    sqlite3_stmt *statement = index_use(index, INDEX_GOING_ROWS);
    bool row = true;
    wishes_sort(&fold->wishes);
    while (row) {
        enum fault fault = index_row(index, INDEX_GOING_ROWS, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        const struct store_removal going = {
            .uidl = index_column_bytes(statement, 0),
            .listed_octets = index_column_octets(statement, 1),
            .evidence = index_column_evidence(statement, 2),
        };
        if (row && wishes_withdraw(&fold->wishes, &going)) {
            index_end(index, INDEX_GOING_ROWS);
            return index_is_parted(index, ret_failure);
        }
    }
    return FAULT_NONE;
}

/* Most journals are of wishes that have come true: then nothing is going, here or there. Whether a
 * row is, the rows have told, and not the index over them, which a damage may have parted from
 * them. */
static enum fault apply_all(struct fold *fold, struct failure *ret_failure)
{
    const struct wishes *wishes = &fold->wishes;
    enum fault fault = FAULT_NONE;
    for (size_t i = 0; i < wishes->count; i++)
        fold->wishes_count += wishes_at(wishes, i).going;
    if (fold->wishes_count == 0 && !fold->store->has_wishes)
        return FAULT_NONE;
    for (size_t i = 0; i < wishes->count && fault == FAULT_NONE; i++) {
        const struct store_removal wish = wishes_at(wishes, i);
        fault = apply(fold, &wish, ret_failure);
    }
    if (fault == FAULT_NONE && fold->wishes_count < wishes->count)
        fault = check_withdrawn(fold, ret_failure);
    return fault;
}

static bool count_one(void *context, const struct store_removal *removal)
{
    size_t *count = context;
    (void)removal;
    ++*count;
    return true;
}

static bool gather_one(void *context, const struct store_removal *removal)
{
    return journal_gather(context, removal);
}

static void say(const struct fold *fold, size_t damaged_count, struct notice *notice)
{
    if (damaged_count > 0)
        notice_add(notice, "%zu damaged line%s in the journal of removals ignored", damaged_count,
                   damaged_count == 1 ? "" : "s");
    if (fold->replaced_count > 0)
        notice_add(notice, "%zu pending removal%s dropped: another message has its UIDL",
                   fold->replaced_count, fold->replaced_count == 1 ? "" : "s");
}

static enum fault fold_all(struct fold *fold, size_t *ret_damaged, struct failure *ret_failure)
{
    struct index *index = &fold->store->index;
    enum fault fault =
        journal_read(fold->store->state_place.folder, collect, fold, ret_damaged, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    wishes_settle(&fold->wishes);
    fault = apply_all(fold, ret_failure);
    if (fault == FAULT_NONE)
        fault = each_going(index, count_one, &fold->going_count, ret_failure);
    return fault;
}

enum fault removals_fold(struct store *store, struct notice *notice, bool *ret_is_tidy,
                         struct failure *ret_failure)
{
    size_t damaged_count;
    struct fold fold = {.store = store, .now_ns = clock_wall_ns()};
    enum fault fault = fold_all(&fold, &damaged_count, ret_failure);
    wishes_done(&fold.wishes);
    if (fault != FAULT_NONE)
        return fault;
    store->has_wishes = fold.wishes_count > 0 || fold.going_count > 0;
    say(&fold, damaged_count, notice);
    /* Each line is a wish, no two are for one message, and nothing else is going. */
    *ret_is_tidy = damaged_count == 0 && fold.replaced_count == 0 &&
                   fold.lines_count == fold.wishes_count && fold.lines_count == fold.going_count;
    return FAULT_NONE;
}

enum fault removals_tidy(struct store *store, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    /* A sync of the log that failed, in this opening or in one before, may have lost the octets of
     * commits long ago; nothing behind them in the log would be read after a power cut. */
    enum fault fault = index_checkpoint(&store->index, ret_failure);
    if (fault == FAULT_NONE)
        fault = each_going(&store->index, gather_one, &lines, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    return journal_replace(store->state_place.folder, buffer_slice(&lines), ret_failure);
}

/* An earlier popfs may have been killed between making the files and syncing their names, so each
 * opening syncs the names once; but only when there is a wish to lose. */
enum fault removals_sync(struct store *store, struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    if (journal_is_synced(&store->journal))
        return FAULT_NONE;
    if (!store->is_named)
        fault = place_sync(&store->state_place, ret_failure);
    store->is_named = fault == FAULT_NONE;
    return fault == FAULT_NONE
               ? journal_sync(&store->journal, store->state_place.folder, ret_failure)
               : fault;
}

static enum fault begin_empty(struct store *store, struct failure *ret_failure)
{
    enum fault fault = journal_replace(store->state_place.folder, SLICE_LITERAL(""), ret_failure);
    /* Also if it failed: the new one may have its name already, or the old one all its lines, and
     * the name of the new one may not be on the disk. */
    store->is_named = store->is_named && fault == FAULT_NONE;
    uint64_t notes_count = fault == FAULT_NONE ? 0 : journal_notes(&store->journal);
    journal_close(&store->journal);
    enum fault open_fault = journal_open(&store->journal, store->state_place.folder, ret_failure);
    atomic_store(&store->journal.notes_count, notes_count);
    return fault == FAULT_NONE ? open_fault : fault;
}

enum fault store_clear_removals(struct store *store, struct failure *ret_failure)
{
    /* A row that says so would outlive the journal if popfs were killed now. */
    if (store->has_wishes || journal_notes(&store->journal) == 0)
        return FAULT_NONE;
    return begin_empty(store, ret_failure);
}

/* ---- what has left ---- */

static bool are_none(const struct store *store)
{
    return !store->has_wishes && journal_notes(&store->journal) == 0;
}

/* No row is asked: one that could not be written may have a wish all the same. */
enum fault removals_take_back(struct store *store, const struct store_message *messages,
                              size_t count, struct failure *ret_failure)
{
    for (size_t i = 0; i < count && !are_none(store); i++) {
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
