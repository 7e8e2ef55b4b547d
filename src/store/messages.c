/* SPDX-License-Identifier: MIT */
/* The rows of the index: messages and facts. */
#include "store.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

/* A message as far as it matters when it leaves. */
struct leaving {
    uint64_t id;
    uint64_t listed_octets;
};

uint64_t store_last_id(const struct store *store)
{
    return store->last_id;
}

static void read_message(sqlite3_stmt *statement, struct store_message *ret_message)
{
    *ret_message = (struct store_message){
        .id = index_column_octets(statement, 0),
        .uidl = index_column_bytes(statement, 1),
        .listed_octets = index_column_octets(statement, 2),
        .exact_octets = index_column_octets(statement, 3),
        .time_s = index_column_time(statement, 4),
        .first_seen_ns = sqlite3_column_int64(statement, 5),
        .evidence = index_column_evidence(statement, 6),
    };
}

enum fault store_load(struct store *store,
                      bool (*each)(void *context, const struct store_message *message),
                      void *context, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_LOAD);
    struct store_message message;
    bool row;
    for (;;) {
        enum fault fault = index_row(&store->index, INDEX_LOAD, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE || !row)
            return fault;
        read_message(statement, &message);
        const struct going *going = removals_find(store, message.id);
        message.going = going != NULL;
        message.held = going != NULL && going->held;
        if (!each(context, &message)) {
            index_end(&store->index, INDEX_LOAD);
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
        }
    }
}

/* ---- leaving ---- */

static void read_leaving(sqlite3_stmt *statement, struct leaving *ret_leaving)
{
    ret_leaving->id = index_column_octets(statement, 0);
    ret_leaving->listed_octets = index_column_octets(statement, 1);
}

static enum fault delete_row(struct store *store, uint64_t id, struct failure *ret_failure)
{
    static const enum index_statement statements[] = {INDEX_DELETE, INDEX_DELETE_HEADER};
    enum fault fault = FAULT_NONE;
    for (size_t i = 0; i < 2 && fault == FAULT_NONE; i++) {
        int bad = sqlite3_bind_int64(index_use(&store->index, statements[i]), 1, (int64_t)id);
        fault = index_change(&store->index, statements[i], bad, ret_failure);
    }
    return fault;
}

/* A row that is left must not point to a body that is not. */
static void drop_body(struct store *store, uint64_t id, bool has_no_row)
{
    if (has_no_row)
        bodies_forget(store, id);
    else
        store_body_remove(store, id);
}

/* In this order: see removals.c. */
static enum fault leave(struct store *store, const struct leaving *leaving, struct slice uidl,
                        struct failure *ret_failure)
{
    const struct store_message message = {.uidl = uidl, .listed_octets = leaving->listed_octets};
    enum fault fault = removals_take_back(store, &message, 1, ret_failure);
    if (fault == FAULT_NONE)
        fault = delete_row(store, leaving->id, ret_failure);
    drop_body(store, leaving->id, fault == FAULT_NONE);
    return fault;
}

/* *ret_all: these are all that have rows, in their order. */
static enum fault are_all(struct store *store, const struct store_message *messages, size_t count,
                          bool *ret_all, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_IDS);
    size_t i = 0;
    bool row;
    do {
        enum fault fault = index_row(&store->index, INDEX_IDS, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
    } while (row && i < count && index_column_octets(statement, 0) == messages[i++].id);
    *ret_all = !row && i == count;
    index_end(&store->index, INDEX_IDS);
    return FAULT_NONE;
}

static enum fault delete_rows(struct store *store, const struct store_message *messages,
                              size_t count, struct failure *ret_failure)
{
    bool all;
    enum fault fault = are_all(store, messages, count, &all, ret_failure);
    if (fault == FAULT_NONE && all) {
        fault = index_change(&store->index, INDEX_DELETE_ALL, SQLITE_OK, ret_failure);
        if (fault == FAULT_NONE)
            fault = index_change(&store->index, INDEX_DELETE_ALL_HEADERS, SQLITE_OK, ret_failure);
        return fault;
    }
    for (size_t i = 0; i < count && fault == FAULT_NONE; i++)
        fault = delete_row(store, messages[i].id, ret_failure);
    return fault;
}

enum fault store_forget(struct store *store, const struct store_message *messages, size_t count,
                        struct failure *ret_failure)
{
    enum fault fault = removals_take_back(store, messages, count, ret_failure);
    if (fault == FAULT_NONE)
        fault = delete_rows(store, messages, count, ret_failure);
    for (size_t i = 0; i < count; i++)
        drop_body(store, messages[i].id, fault == FAULT_NONE);
    return fault;
}

/* ---- coming ---- */

/* Binds the values of one row, from the one behind `before` on. */
static int bind_row(sqlite3_stmt *statement, int before, const struct store_message *message)
{
    return sqlite3_bind_int64(statement, before + 1, (int64_t)message->id) |
           index_bind_uidl(statement, before + 2, message->uidl) |
           sqlite3_bind_int64(statement, before + 3, (int64_t)message->listed_octets) |
           index_bind_octets(statement, before + 4, message->exact_octets) |
           index_bind_time(statement, before + 5, message->time_s) |
           sqlite3_bind_int64(statement, before + 6, message->first_seen_ns) |
           index_bind_evidence(statement, before + 7, &message->evidence);
}

static enum fault insert(struct store *store, const struct store_message *message,
                         bool *ret_conflict, struct failure *ret_failure)
{
    int bad = bind_row(index_use(&store->index, INDEX_ADD), 0, message);
    return index_try(&store->index, INDEX_ADD, bad, ret_conflict, ret_failure);
}

/* All or, where the table has something against one of them, none. */
static enum fault insert_block(struct store *store, const struct store_message *messages,
                               bool *ret_conflict, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_ADD_BLOCK);
    int bad = SQLITE_OK;
    for (int i = 0; i < INDEX_BLOCK_COUNT; i++)
        bad |= bind_row(statement, i * INDEX_ROW_VALUES, &messages[i]);
    return index_try(&store->index, INDEX_ADD_BLOCK, bad, ret_conflict, ret_failure);
}

static void note_last_id(struct store *store, uint64_t id)
{
    if (store->last_id < id)
        store->last_id = id;
}

static enum fault find_uidl(struct store *store, struct slice uidl, struct leaving *ret_leaving,
                            bool *ret_found, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_FIND_UIDL);
    int bad = index_bind_uidl(statement, 1, uidl);
    enum fault fault = index_row(&store->index, INDEX_FIND_UIDL, bad, ret_found, ret_failure);
    if (fault != FAULT_NONE || !*ret_found)
        return fault;
    read_leaving(statement, ret_leaving);
    index_end(&store->index, INDEX_FIND_UIDL);
    return FAULT_NONE;
}

static enum fault make_way(struct store *store, const struct store_message *message,
                           struct failure *ret_failure)
{
    struct leaving leaving;
    bool found;
    enum fault fault = find_uidl(store, message->uidl, &leaving, &found, ret_failure);
    return fault == FAULT_NONE && found ? leave(store, &leaving, message->uidl, ret_failure)
                                        : fault;
}

enum fault messages_make_way(struct store *store, struct slice uidl, struct failure *ret_failure)
{
    struct leaving leaving;
    bool found;
    enum fault fault = find_uidl(store, uidl, &leaving, &found, ret_failure);
    if (fault != FAULT_NONE || !found)
        return fault;
    fault = delete_row(store, leaving.id, ret_failure);
    drop_body(store, leaving.id, fault == FAULT_NONE);
    return fault;
}

enum fault store_add(struct store *store, const struct store_message *message,
                     struct failure *ret_failure)
{
    bool conflict;
    enum fault fault = insert(store, message, &conflict, ret_failure);
    if (fault == FAULT_NONE && conflict) {
        fault = make_way(store, message, ret_failure);
        if (fault == FAULT_NONE)
            fault = insert(store, message, &conflict, ret_failure);
        if (fault == FAULT_NONE && conflict)
            fault = failure_set(ret_failure, FAULT_DISK, "the index has another message %lld",
                                (long long)message->id);
    }
    if (fault == FAULT_NONE)
        note_last_id(store, message->id);
    return fault;
}

static enum fault add_block(struct store *store, const struct store_message *messages,
                            struct failure *ret_failure)
{
    bool conflict;
    enum fault fault = insert_block(store, messages, &conflict, ret_failure);
    for (size_t i = 0; i < INDEX_BLOCK_COUNT && fault == FAULT_NONE; i++) {
        if (conflict)
            fault = store_add(store, &messages[i], ret_failure);
        else
            note_last_id(store, messages[i].id);
    }
    return fault;
}

enum fault store_add_all(struct store *store, const struct store_message *messages, size_t count,
                         struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    while (count >= INDEX_BLOCK_COUNT && fault == FAULT_NONE) {
        fault = add_block(store, messages, ret_failure);
        messages += INDEX_BLOCK_COUNT;
        count -= INDEX_BLOCK_COUNT;
    }
    for (size_t i = 0; i < count && fault == FAULT_NONE; i++)
        fault = store_add(store, &messages[i], ret_failure);
    return fault;
}

/* ---- learning ---- */

enum fault store_learn_octets(struct store *store, uint64_t id, uint64_t exact_octets,
                              struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_LEARN_OCTETS);
    int bad = sqlite3_bind_int64(statement, 1, (int64_t)id) |
              index_bind_octets(statement, 2, exact_octets);
    return index_change(&store->index, INDEX_LEARN_OCTETS, bad, ret_failure);
}

enum fault store_learn_header(struct store *store, uint64_t id, const struct store_header *header,
                              struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_LEARN_TIME);
    int bad = sqlite3_bind_int64(statement, 1, (int64_t)id) |
              index_bind_time(statement, 2, header->time_s) |
              index_bind_evidence(statement, 3, &header->evidence);
    enum fault fault = index_change(&store->index, INDEX_LEARN_TIME, bad, ret_failure);
    if (fault != FAULT_NONE || !index_has_changed(&store->index))
        return fault; /* without a row of the message its header would stay for ever */
    statement = index_use(&store->index, INDEX_LEARN_HEADER);
    bad = sqlite3_bind_int64(statement, 1, (int64_t)id) |
          index_bind_text(statement, 2, text_cut(header->sender)) |
          index_bind_text(statement, 3, header->from) | index_bind_text(statement, 4, header->to) |
          index_bind_text(statement, 5, header->subject);
    return index_change(&store->index, INDEX_LEARN_HEADER, bad, ret_failure);
}

enum fault store_learn_listed(struct store *store, uint64_t id, uint64_t listed_octets,
                              struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_LEARN_LISTED);
    int bad = sqlite3_bind_int64(statement, 1, (int64_t)id) |
              sqlite3_bind_int64(statement, 2, (int64_t)listed_octets);
    return index_change(&store->index, INDEX_LEARN_LISTED, bad, ret_failure);
}

enum fault store_learn_evidence(struct store *store, uint64_t id, const struct evidence *evidence,
                                struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_LEARN_EVIDENCE);
    int bad =
        sqlite3_bind_int64(statement, 1, (int64_t)id) | index_bind_evidence(statement, 2, evidence);
    return index_change(&store->index, INDEX_LEARN_EVIDENCE, bad, ret_failure);
}

static void copy_text(sqlite3_stmt *statement, int at, char ret_text[STORE_TEXT_OCTETS_MAX + 1])
{
    struct slice text = text_cut(index_column_bytes(statement, at));
    memcpy(ret_text, text.data, text.len);
    ret_text[text.len] = '\0';
}

void store_summary(struct store *store, uint64_t id, struct store_summary *ret_summary)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_SUMMARY);
    bool row;
    int bad = sqlite3_bind_int64(statement, 1, (int64_t)id);
    *ret_summary = (struct store_summary){.from = "", .subject = ""};
    if (index_row(&store->index, INDEX_SUMMARY, bad, &row, NULL) != FAULT_NONE || !row)
        return;
    copy_text(statement, 0, ret_summary->from);
    copy_text(statement, 1, ret_summary->subject);
    index_end(&store->index, INDEX_SUMMARY);
}

/* ---- facts ---- */

bool store_fact(struct store *store, const char *name, int64_t *ret_value)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_FACT);
    bool row;
    int bad = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (index_row(&store->index, INDEX_FACT, bad, &row, NULL) != FAULT_NONE || !row)
        return false;
    *ret_value = sqlite3_column_int64(statement, 0);
    index_end(&store->index, INDEX_FACT);
    return true;
}

enum fault store_set_fact(struct store *store, const char *name, int64_t value,
                          struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_SET_FACT);
    int bad = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC) |
              sqlite3_bind_int64(statement, 2, value);
    return index_change(&store->index, INDEX_SET_FACT, bad, ret_failure);
}
