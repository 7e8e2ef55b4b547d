/* SPDX-License-Identifier: MIT */
/* The index: one SQLite database with a row for each message. Knows SQL and nothing of bodies. */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "popfs/store.h"

#include <sqlite3.h>

enum {
    INDEX_BLOCK_COUNT = 16, /* rows that INDEX_ADD_BLOCK adds */
    INDEX_ROW_VALUES = 7,   /* of each */
};

enum index_statement {
    INDEX_BEGIN,
    INDEX_COMMIT,
    INDEX_LOAD,
    INDEX_SIZES,
    INDEX_ADD,
    INDEX_ADD_BLOCK,
    INDEX_FIND_UIDL,
    INDEX_DELETE,
    INDEX_LEARN_OCTETS,
    INDEX_DELETE_ALL,
    INDEX_DELETE_HEADER,
    INDEX_DELETE_ALL_HEADERS,
    INDEX_IDS,
    INDEX_LEARN_TIME,
    INDEX_LEARN_HEADER,
    INDEX_LEARN_EVIDENCE,
    INDEX_LEARN_LISTED,
    INDEX_SUMMARY,
    INDEX_FACT,
    INDEX_SET_FACT,
    INDEX_LAST_ID,
    INDEX_STATE,
    INDEX_SET_STATE,
    INDEX_FORGET_SIZES,
    INDEX_USED,
    INDEX_NO_BODY,
    INDEX_NO_BODIES,
    INDEX_PACKS,
    INDEX_SET_PACK,
    INDEX_FORGET_PACKS,
    INDEX_IDENTITIES,
    INDEX_MAKE_ROW,
    INDEX_MAKE_HEADER,
    INDEX_STATEMENTS_COUNT,
};

enum { INDEX_WORD_OCTETS = 40, INDEX_NAME_OCTETS = 64 };

/* What the index knows of the store as a whole. */
struct index_state {
    char generation[INDEX_WORD_OCTETS]; /* the bodies that its ids belong to */
    char boot[INDEX_WORD_OCTETS];       /* of the kernel under which it was opened last */
    uint32_t opening;                   /* how often it has been opened */
    uint32_t synced; /* bodies of this opening and those before are known to be on the disk */
    bool lf;
};

struct index {
    sqlite3 *db;
    sqlite3_stmt *statements[INDEX_STATEMENTS_COUNT];
    unsigned refused_count; /* allocations that SQLite had been refused when it was opened */
    bool is_old;            /* of popfs 0.1: index_migrate() comes before all else */
    bool is_unreadable;     /* a call has found that this is no index of ours, or a damaged one */
    bool is_damaged;        /* a call has found that pages do not fit together */
    bool is_full;           /* a call has found the disk full */
    bool has_failed; /* a call has, so that changes may be undone; whoever makes up for it resets it
                      */
};

/* Opens index.sqlite in a folder, making it if it is not there. Call index_close() also after a
 * fault. FAULT_DISK, FAULT_MEMORY. */
enum fault index_open(struct index *index, const char *folder, bool temporary,
                      struct failure *ret_failure);
void index_close(struct index *index);
/* Of an index that is old: the removals that its rows tell of, oldest first. `each` borrows and
 * returns false for want of memory. */
enum fault index_old_removals(struct index *index,
                              bool (*each)(void *context, const struct store_removal *removal),
                              void *context, struct failure *ret_failure);
/* All or nothing. The rows tell of no removals any more. `doubts`: ids stay, and what came over the
 * line goes. */
enum fault index_migrate(struct index *index, bool doubts, struct failure *ret_failure);
/* Reads every page and looks whether they fit together. */
enum fault index_check(struct index *index, struct failure *ret_failure);
/* The caller has found rows that the statements by UIDL do not. FAULT_DISK. */
enum fault index_is_parted(struct index *index, struct failure *ret_failure);
/* Renames the files of an index that is closed; *ret_name is the new one. */
enum fault index_set_aside(int folder, char ret_name[INDEX_NAME_OCTETS],
                           struct failure *ret_failure);

/* The statement, ready to be bound. Bind results are or'ed into `bad`. */
sqlite3_stmt *index_use(struct index *index, enum index_statement which);
/* Runs a bound statement that gives no rows, within the transaction, which it begins if need be.
 * FAULT_DISK, FAULT_MEMORY. */
enum fault index_change(struct index *index, enum index_statement which, int bad,
                        struct failure *ret_failure);
/* The last of them has changed a row. */
bool index_has_changed(const struct index *index);
/* The same for one that may break a rule of the table: then *ret_conflict, and nothing changed. */
enum fault index_try(struct index *index, enum index_statement which, int bad, bool *ret_conflict,
                     struct failure *ret_failure);
/* The next row of a bound statement; it is reset after the last one and after a fault. */
enum fault index_row(struct index *index, enum index_statement which, int bad, bool *ret_row,
                     struct failure *ret_failure);
/* When its rows are not wanted any more. */
void index_end(struct index *index, enum index_statement which);
/* Without a transaction, does nothing. */
enum fault index_commit(struct index *index, struct failure *ret_failure);
void index_rollback(struct index *index);
/* Everything that is committed is in the database itself, and on the disk, whatever has become of
 * the log. Outside of a transaction. FAULT_DISK. */
enum fault index_checkpoint(struct index *index, struct failure *ret_failure);
/* Whether what is committed is on the disk at once, as it is after index_open(), or some time
 * later. Outside of a transaction. */
enum fault index_set_durable(struct index *index, bool durable, struct failure *ret_failure);

enum fault index_state(struct index *index, struct index_state *ret_state,
                       struct failure *ret_failure);
enum fault index_set_state(struct index *index, const struct index_state *state,
                           struct failure *ret_failure);

/* Binding of what may be unknown, and of bytes that live until the statement has run. */
int index_bind_octets(sqlite3_stmt *statement, int at, uint64_t octets);
int index_bind_time(sqlite3_stmt *statement, int at, int64_t time_s);
int index_bind_uidl(sqlite3_stmt *statement, int at, struct slice uidl);
int index_bind_text(sqlite3_stmt *statement, int at, struct slice text);
int index_bind_evidence(sqlite3_stmt *statement, int at, const struct evidence *evidence);
/* Borrowed until the next row. */
struct slice index_column_bytes(sqlite3_stmt *statement, int at);
uint64_t index_column_octets(sqlite3_stmt *statement, int at);
int64_t index_column_time(sqlite3_stmt *statement, int at);
/* Evidence that is not known if the column does not hold any. */
struct evidence index_column_evidence(sqlite3_stmt *statement, int at);

#endif
