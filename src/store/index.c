/* SPDX-License-Identifier: MIT */
/*
 * The database: opened, checked, and its statements run. What the rows mean is for others.
 *
 * There is one connection, for as long as the store is open, and it locks the file: a curious
 * sqlite3(1) is turned away instead of taking the write-ahead log from under us. A transaction
 * begins with the first change and ends when store_flush() says so. After a power cut the last
 * transactions may be missing, but those that are there are whole, and in order.
 */
#include "index.h"

#include "allocator.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INDEX_NAME "index.sqlite"

enum {
    INDEX_APPLICATION = 0x706f7066, /* "popf" */
    INDEX_VERSION = 2,              /* 1: popfs 0.1.0 and 0.1.1 */
};

static const char configuration[] =
    "PRAGMA page_size = 4096;"
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA cache_size = -4096;" /* KiB */
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA journal_mode = WAL;"
    /* Few and large checkpoints, since each waits for the disk; the log is cut back after one. */
    "PRAGMA wal_autocheckpoint = 4000;"
    "PRAGMA journal_size_limit = 16777216;";

/*
 * AUTOINCREMENT keeps the highest id that there ever was. Of a body that is a file, `used` counts
 * up with each use; of one in a pack, `pack` and `place` say where it is; all are NULL where none
 * is known to be kept. `sum` is the body's checksum, NULL where none has been made yet, `name` a
 * readable name that never changes, and may be NULL. `header` is a table of its own, so that an
 * opening, which reads every message, does not read through the texts; its sender is cut for
 * reports, and the other fields are whole, or NULL where version 1 did not keep them. `fact` is for
 * the caller, `pack` (a row for each) and `state` for the store itself.
 */
#define MESSAGE_TABLES                                                                             \
    "CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, uidl BLOB NOT NULL UNIQUE,"        \
    " listed INTEGER NOT NULL, exact INTEGER, time INTEGER, first_seen INTEGER NOT NULL,"          \
    " used INTEGER, pack INTEGER, place INTEGER, sum INTEGER, evidence BLOB, name TEXT);"          \
    "CREATE TABLE header(id INTEGER PRIMARY KEY, sender TEXT NOT NULL, author TEXT,"               \
    " recipients TEXT, subject TEXT);"

static const char schema[] =
    "BEGIN;" MESSAGE_TABLES
    "CREATE TABLE fact(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE pack(name INTEGER PRIMARY KEY, used INTEGER NOT NULL, erased INTEGER NOT NULL);"
    "CREATE TABLE state(generation TEXT NOT NULL, boot TEXT NOT NULL, opening INTEGER NOT NULL,"
    " synced INTEGER NOT NULL, lf INTEGER NOT NULL);"
    "INSERT INTO state VALUES('', '', 0, 0, 0);"
    "PRAGMA application_id = %d;"
    "PRAGMA user_version = %d;"
    "COMMIT;";

/* What of version 1 is to be in the journal first. Where a message has no date its time is when it
 * was first seen. */
static const char old_removals[] =
    "SELECT uidl, listed, nullif(time, first_seen / 1000000000), sender, subject FROM message"
    " WHERE going = 1 ORDER BY id";

/* Keeps ids, times, sizes and where the bodies are, also the highest id that there ever was. */
static const char migration_from_1[] =
    "BEGIN;"
    "DROP INDEX message_going;"
    "ALTER TABLE message RENAME TO message_1;" MESSAGE_TABLES
    "INSERT INTO message(id, uidl, listed, exact, time, first_seen, used, pack, place)"
    " SELECT id, uidl, listed, exact, time, first_seen, used, pack, place FROM message_1"
    " ORDER BY id;"
    "INSERT INTO header(id, sender, subject) SELECT id, sender, coalesce(subject, '')"
    " FROM message_1 WHERE sender IS NOT NULL ORDER BY id;"
    "DELETE FROM sqlite_sequence WHERE name = 'message';"
    "INSERT INTO sqlite_sequence SELECT 'message', seq FROM sqlite_sequence"
    " WHERE name = 'message_1';"
    "DROP TABLE message_1;"
    "%s"
    "PRAGMA user_version = %d;"
    "COMMIT;";

/* Version 1 does not say over what it was learnt. Ids stay, and so do wishes: they have no evidence
 * in that version. Without a generation, other bodies are begun. */
static const char doubt_of_1[] =
    "UPDATE message SET exact = NULL, time = NULL, used = NULL, pack = NULL, place = NULL;"
    "DELETE FROM header;"
    "DELETE FROM fact;"
    "DELETE FROM pack;"
    "UPDATE state SET generation = '';";

/* INDEX_BLOCK_COUNT rows at once take half as long as one by one. */
#define ADDED "(?, ?, ?, ?, ?, ?, ?)"
#define ADDED_4 ADDED "," ADDED "," ADDED "," ADDED

static const char *const statement_texts[INDEX_STATEMENTS_COUNT] = {
    [INDEX_BEGIN] = "BEGIN",
    [INDEX_COMMIT] = "COMMIT",
    [INDEX_LOAD] = "SELECT id, uidl, listed, exact, time, first_seen, evidence FROM message"
                   " ORDER BY id",
    [INDEX_SIZES] = "SELECT id, exact, used, pack, place, sum FROM message ORDER BY id",
    [INDEX_ADD] = "INSERT INTO message(id, uidl, listed, exact, time, first_seen, evidence)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [INDEX_ADD_BLOCK] = "INSERT INTO message(id, uidl, listed, exact, time, first_seen,"
                        " evidence) VALUES" ADDED_4 "," ADDED_4 "," ADDED_4 "," ADDED_4,
    [INDEX_FIND_UIDL] = "SELECT id, listed FROM message WHERE uidl = ?1",
    [INDEX_DELETE] = "DELETE FROM message WHERE id = ?1",
    /* Without a condition SQLite drops the pages and looks at none. */
    [INDEX_DELETE_ALL] = "DELETE FROM message",
    [INDEX_DELETE_HEADER] = "DELETE FROM header WHERE id = ?1",
    [INDEX_DELETE_ALL_HEADERS] = "DELETE FROM header",
    [INDEX_IDS] = "SELECT id FROM message ORDER BY id",
    [INDEX_LEARN_OCTETS] = "UPDATE message SET exact = ?2 WHERE id = ?1",
    [INDEX_LEARN_TIME] = "UPDATE message SET time = ?2, evidence = coalesce(?3, evidence)"
                         " WHERE id = ?1",
    [INDEX_LEARN_HEADER] = "INSERT OR REPLACE INTO header VALUES(?1, ?2, ?3, ?4, ?5)",
    [INDEX_LEARN_LISTED] = "UPDATE message SET listed = ?2 WHERE id = ?1",
    [INDEX_LEARN_EVIDENCE] = "UPDATE message SET evidence = ?2 WHERE id = ?1",
    [INDEX_SUMMARY] = "SELECT sender, subject FROM header WHERE id = ?1",
    [INDEX_FACT] = "SELECT value FROM fact WHERE name = ?1",
    [INDEX_SET_FACT] = "INSERT OR REPLACE INTO fact VALUES(?1, ?2)",
    [INDEX_LAST_ID] = "SELECT seq FROM sqlite_sequence WHERE name = 'message'",
    [INDEX_STATE] = "SELECT generation, boot, opening, synced, lf FROM state",
    [INDEX_SET_STATE] = "UPDATE state SET generation = ?1, boot = ?2, opening = ?3, synced = ?4,"
                        " lf = ?5",
    [INDEX_FORGET_SIZES] =
        "UPDATE message SET exact = NULL, used = NULL, pack = NULL, place = NULL,"
        " sum = NULL"
        " WHERE exact IS NOT NULL OR used IS NOT NULL OR pack IS NOT NULL",
    [INDEX_USED] = "UPDATE message SET exact = ?2, used = ?3, pack = ?4, place = ?5, sum = ?6"
                   " WHERE id = ?1",
    [INDEX_NO_BODY] = "UPDATE message SET used = NULL, pack = NULL, place = NULL, sum = NULL"
                      " WHERE id = ?1",
    [INDEX_NO_BODIES] = "UPDATE message SET used = NULL, pack = NULL, place = NULL, sum = NULL"
                        " WHERE used IS NOT NULL OR pack IS NOT NULL",
    [INDEX_PACKS] = "SELECT name, used, erased FROM pack",
    [INDEX_SET_PACK] = "INSERT OR REPLACE INTO pack VALUES(?1, ?2, ?3)",
    [INDEX_FORGET_PACKS] = "DELETE FROM pack",
    [INDEX_IDENTITIES] = "SELECT id, uidl, listed, evidence FROM message ORDER BY id",
    [INDEX_MAKE_ROW] = "INSERT INTO message(uidl, listed, first_seen, evidence, time)"
                       " VALUES(?1, ?2, ?3, ?4, ?5)",
    [INDEX_MAKE_HEADER] = "INSERT OR REPLACE INTO header(id, sender, subject) VALUES(?1, ?2, ?3)",
};

/* ---- faults ---- */

/*
 * What SQLite says of a file that is not what this popfs wrote: another schema gives SQLITE_ERROR,
 * a constraint that ours has not SQLITE_CONSTRAINT, and a file that says of itself that only a
 * later SQLite may write it SQLITE_READONLY; see allocator.c for SQLITE_NOMEM. The rest is the
 * machine's trouble, and passes.
 */
static bool is_of_the_file(int code)
{
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR ||
           code == SQLITE_CONSTRAINT || code == SQLITE_READONLY || code == SQLITE_MISMATCH ||
           code == SQLITE_TOOBIG;
}

static enum fault unreadable(struct index *index, struct failure *ret, const char *why)
{
    index->is_unreadable = true;
    return failure_set(ret, FAULT_DISK, "the index: %s", why);
}

/* Why, in the words of the system where it has any. */
static enum fault index_failure(struct index *index, struct failure *ret)
{
    int code = sqlite3_errcode(index->db); /* SQLITE_NOMEM if there is none */
    if (index->db == NULL ||
        (code == SQLITE_NOMEM && allocator_has_refused_since(index->refused_count)))
        return failure_set(ret, FAULT_MEMORY, "out of memory");
    index->has_failed = true;
    index->is_damaged |= code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_NOMEM;
    if (code == SQLITE_NOMEM)
        return unreadable(index, ret, "it is damaged");
    index->is_unreadable |= is_of_the_file(code);
    index->is_full |= code == SQLITE_FULL;
    int error = sqlite3_system_errno(index->db);
    if (error == 0 || (code != SQLITE_IOERR && code != SQLITE_FULL && code != SQLITE_CANTOPEN))
        return failure_set(ret, FAULT_DISK, "the index: %s", sqlite3_errmsg(index->db));
    return failure_set(ret, FAULT_DISK, "the index: %s: %s", sqlite3_errmsg(index->db),
                       strerror(error));
}

static enum fault run(struct index *index, const char *sql, struct failure *ret_failure)
{
    if (sqlite3_exec(index->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return FAULT_NONE;
    return index_failure(index, ret_failure);
}

/* ---- statements ---- */

sqlite3_stmt *index_use(struct index *index, enum index_statement which)
{
    return index->statements[which];
}

void index_end(struct index *index, enum index_statement which)
{
    /* What they return is the fault of the last step, which was seen then. */
    sqlite3_reset(index->statements[which]);
    sqlite3_clear_bindings(index->statements[which]);
}

enum fault index_row(struct index *index, enum index_statement which, int bad, bool *ret_row,
                     struct failure *ret_failure)
{
    int code = bad != SQLITE_OK ? SQLITE_ERROR : sqlite3_step(index->statements[which]);
    enum fault fault = FAULT_NONE;
    *ret_row = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        fault = index_failure(index, ret_failure);
    if (code != SQLITE_ROW)
        index_end(index, which);
    return fault;
}

static enum fault index_begin(struct index *index, struct failure *ret_failure)
{
    bool row;
    if (sqlite3_get_autocommit(index->db) == 0)
        return FAULT_NONE;
    return index_row(index, INDEX_BEGIN, SQLITE_OK, &row, ret_failure);
}

enum fault index_try(struct index *index, enum index_statement which, int bad, bool *ret_conflict,
                     struct failure *ret_failure)
{
    bool row;
    enum fault fault = index_begin(index, ret_failure);
    if (fault == FAULT_NONE)
        fault = index_row(index, which, bad, &row, ret_failure);
    *ret_conflict = fault == FAULT_DISK && sqlite3_errcode(index->db) == SQLITE_CONSTRAINT;
    index_end(index, which);
    return *ret_conflict ? FAULT_NONE : fault;
}

enum fault index_change(struct index *index, enum index_statement which, int bad,
                        struct failure *ret_failure)
{
    bool row = true; /* index_row() has ended the statement, unless there is one */
    enum fault fault = index_begin(index, ret_failure);
    if (fault == FAULT_NONE)
        fault = index_row(index, which, bad, &row, ret_failure);
    if (row)
        index_end(index, which);
    return fault;
}

bool index_has_changed(const struct index *index)
{
    return sqlite3_changes(index->db) > 0;
}

enum fault index_commit(struct index *index, struct failure *ret_failure)
{
    bool row;
    if (sqlite3_get_autocommit(index->db) != 0)
        return FAULT_NONE;
    enum fault fault = index_row(index, INDEX_COMMIT, SQLITE_OK, &row, ret_failure);
    if (fault != FAULT_NONE)
        index_rollback(index);
    return fault;
}

void index_rollback(struct index *index)
{
    /* A full disk makes SQLite do it by itself. */
    if (index->db != NULL && sqlite3_get_autocommit(index->db) == 0)
        sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
}

enum fault index_checkpoint(struct index *index, struct failure *ret_failure)
{
    if (sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL) == SQLITE_OK)
        return FAULT_NONE;
    return index_failure(index, ret_failure);
}

enum fault index_set_durable(struct index *index, bool durable, struct failure *ret_failure)
{
    return run(index, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
               ret_failure);
}

/* ---- values ---- */

int index_bind_octets(sqlite3_stmt *statement, int at, uint64_t octets)
{
    if (octets > INT64_MAX)
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_int64(statement, at, (int64_t)octets);
}

int index_bind_time(sqlite3_stmt *statement, int at, int64_t time_s)
{
    if (time_s == STORE_TIME_UNKNOWN)
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_int64(statement, at, time_s);
}

int index_bind_uidl(sqlite3_stmt *statement, int at, struct slice uidl)
{
    return sqlite3_bind_blob64(statement, at, uidl.data, uidl.len, SQLITE_STATIC);
}

int index_bind_text(sqlite3_stmt *statement, int at, struct slice text)
{
    return sqlite3_bind_text64(statement, at, text.len > 0 ? text.data : "", text.len,
                               SQLITE_STATIC, SQLITE_UTF8);
}

int index_bind_evidence(sqlite3_stmt *statement, int at, const struct evidence *evidence)
{
    if (!evidence_is_known(evidence))
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_blob(statement, at, evidence->octets, sizeof(evidence->octets),
                             SQLITE_STATIC);
}

struct slice index_column_bytes(sqlite3_stmt *statement, int at)
{
    const char *data = sqlite3_column_blob(statement, at);
    int len = sqlite3_column_bytes(statement, at);
    return (struct slice){data == NULL ? "" : data, data == NULL ? 0 : (size_t)len};
}

uint64_t index_column_octets(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return STORE_OCTETS_UNKNOWN;
    return (uint64_t)sqlite3_column_int64(statement, at);
}

int64_t index_column_time(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return STORE_TIME_UNKNOWN;
    return sqlite3_column_int64(statement, at);
}

struct evidence index_column_evidence(sqlite3_stmt *statement, int at)
{
    struct evidence evidence = {0};
    struct slice bytes = index_column_bytes(statement, at);
    if (bytes.len == sizeof(evidence.octets))
        memcpy(evidence.octets, bytes.data, bytes.len);
    return evidence;
}

static void column_word(sqlite3_stmt *statement, int at, char ret_word[INDEX_WORD_OCTETS])
{
    struct slice text = index_column_bytes(statement, at);
    snprintf(ret_word, INDEX_WORD_OCTETS, "%.*s", (int)text.len, text.data);
}

enum fault index_state(struct index *index, struct index_state *ret_state,
                       struct failure *ret_failure)
{
    bool row;
    sqlite3_stmt *statement = index_use(index, INDEX_STATE);
    enum fault fault = index_row(index, INDEX_STATE, SQLITE_OK, &row, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    if (!row)
        return unreadable(index, ret_failure, "its state is missing");
    column_word(statement, 0, ret_state->generation);
    column_word(statement, 1, ret_state->boot);
    ret_state->opening = (uint32_t)sqlite3_column_int64(statement, 2);
    ret_state->synced = (uint32_t)sqlite3_column_int64(statement, 3);
    ret_state->lf = sqlite3_column_int(statement, 4) != 0;
    index_end(index, INDEX_STATE);
    /* It becomes a part of a path. */
    if (ret_state->generation[strspn(ret_state->generation, "0123456789abcdef")] != '\0')
        return unreadable(index, ret_failure, "its state makes no sense");
    return FAULT_NONE;
}

enum fault index_set_state(struct index *index, const struct index_state *state,
                           struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(index, INDEX_SET_STATE);
    int bad = sqlite3_bind_text(statement, 1, state->generation, -1, SQLITE_STATIC) |
              sqlite3_bind_text(statement, 2, state->boot, -1, SQLITE_STATIC) |
              sqlite3_bind_int64(statement, 3, state->opening) |
              sqlite3_bind_int64(statement, 4, state->synced) |
              sqlite3_bind_int(statement, 5, state->lf);
    return index_change(index, INDEX_SET_STATE, bad, ret_failure);
}

/* ---- opening ---- */

static enum fault number_of(struct index *index, const char *sql, int64_t *ret_number,
                            struct failure *ret_failure)
{
    sqlite3_stmt *statement = NULL;
    enum fault fault = FAULT_NONE;
    if (sqlite3_prepare_v2(index->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        fault = index_failure(index, ret_failure);
    else
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return fault;
}

/* All or nothing: `text` is one transaction. */
static enum fault run_whole(struct index *index, const char *text, struct failure *ret_failure)
{
    enum fault fault = run(index, text, ret_failure);
    if (fault != FAULT_NONE)
        index_rollback(index);
    return fault;
}

static enum fault make_schema(struct index *index, struct failure *ret_failure)
{
    char text[sizeof(schema) + 32];
    snprintf(text, sizeof(text), schema, INDEX_APPLICATION, INDEX_VERSION);
    return run_whole(index, text, ret_failure);
}

/* An empty file is an index that is new. */
static enum fault check_version(struct index *index, struct failure *ret_failure)
{
    int64_t application = 0, version = 0, tables = 0;
    enum fault fault = number_of(index, "PRAGMA application_id", &application, ret_failure);
    if (fault == FAULT_NONE)
        fault = number_of(index, "PRAGMA user_version", &version, ret_failure);
    if (fault == FAULT_NONE)
        fault = number_of(index, "SELECT count(*) FROM sqlite_master", &tables, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    if (application == 0 && version == 0 && tables == 0)
        return make_schema(index, ret_failure);
    if (application != INDEX_APPLICATION)
        return unreadable(index, ret_failure, "it is not one of popfs");
    index->is_old = version == 1;
    if (!index->is_old && version != INDEX_VERSION)
        return unreadable(index, ret_failure, "it is of another version of popfs");
    return FAULT_NONE;
}

static enum fault prepare_all(struct index *index, struct failure *ret_failure)
{
    for (size_t i = 0; i < INDEX_STATEMENTS_COUNT; i++) {
        if (sqlite3_prepare_v3(index->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &index->statements[i], NULL) != SQLITE_OK)
            return index_failure(index, ret_failure);
    }
    return FAULT_NONE;
}

/* SQLite would make it readable for everybody; its log gets the rights of the database. */
static bool make_file(const char *path)
{
    CLEANUP_CLOSE int file =
        disk_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return file >= 0;
}

enum fault index_open(struct index *index, const char *folder, bool temporary,
                      struct failure *ret_failure)
{
    CLEANUP_FREE char *path = NULL;
    allocator_watch();
    *index = (struct index){.refused_count = allocator_refused_count()};
    if (asprintf(&path, "%s/" INDEX_NAME, folder) < 0) {
        path = NULL;
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    if (!make_file(path))
        return failure_set(ret_failure, FAULT_DISK, "cannot open %s: %s", path, strerror(errno));
    if (sqlite3_open_v2(path, &index->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return index_failure(index, ret_failure);
    enum fault fault = run(index, configuration, ret_failure);
    if (fault == FAULT_NONE && temporary)
        fault = run(index, "PRAGMA synchronous = OFF", ret_failure);
    if (fault == FAULT_NONE)
        fault = check_version(index, ret_failure);
    if (fault == FAULT_NONE && !index->is_old)
        fault = prepare_all(index, ret_failure);
    return fault;
}

enum fault index_old_removals(struct index *index,
                              bool (*each)(void *context, const struct store_removal *removal),
                              void *context, struct failure *ret_failure)
{
    sqlite3_stmt *statement = NULL;
    bool memory = true;
    int code = sqlite3_prepare_v2(index->db, old_removals, -1, &statement, NULL);
    while (memory && code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct store_removal removal = {
            .uidl = index_column_bytes(statement, 0),
            .listed_octets = index_column_octets(statement, 1),
            .time_s = index_column_time(statement, 2),
            .from = index_column_bytes(statement, 3),
            .subject = index_column_bytes(statement, 4),
            .going = true,
        };
        memory = each(context, &removal);
        code = SQLITE_OK;
    }
    enum fault fault = FAULT_NONE;
    if (!memory)
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    else if (code != SQLITE_DONE)
        fault = index_failure(index, ret_failure);
    sqlite3_finalize(statement);
    return fault;
}

enum fault index_migrate(struct index *index, bool doubts, struct failure *ret_failure)
{
    char text[sizeof(migration_from_1) + sizeof(doubt_of_1) + 32];
    snprintf(text, sizeof(text), migration_from_1, doubts ? doubt_of_1 : "", INDEX_VERSION);
    enum fault fault = run_whole(index, text, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    index->is_old = false;
    return prepare_all(index, ret_failure);
}

void index_close(struct index *index)
{
    struct index closed = {.is_unreadable = index->is_unreadable,
                           .is_damaged = index->is_damaged,
                           .is_full = index->is_full};
    index_rollback(index);
    for (size_t i = 0; i < INDEX_STATEMENTS_COUNT; i++)
        sqlite3_finalize(index->statements[i]);
    sqlite3_close(index->db);
    *index = closed;
}

enum fault index_check(struct index *index, struct failure *ret_failure)
{
    sqlite3_stmt *statement = NULL;
    enum fault fault = FAULT_NONE;
    if (sqlite3_prepare_v2(index->db, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        fault = index_failure(index, ret_failure);
    else if (!slice_equal(index_column_bytes(statement, 0), SLICE_LITERAL("ok")))
        fault = unreadable(index, ret_failure, "it is damaged");
    sqlite3_finalize(statement);
    return fault;
}

enum fault index_is_parted(struct index *index, struct failure *ret_failure)
{
    index->is_damaged = true;
    return unreadable(index, ret_failure, "it does not find what it holds");
}

enum fault index_set_aside(int folder, char ret_name[INDEX_NAME_OCTETS],
                           struct failure *ret_failure)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    char from[INDEX_NAME_OCTETS], to[INDEX_NAME_OCTETS + 4];
    snprintf(ret_name, INDEX_NAME_OCTETS, INDEX_NAME ".unreadable-%lld",
             (long long)(clock_wall_ns() / 1000000000));
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(from, sizeof(from), INDEX_NAME "%s", suffixes[i]);
        snprintf(to, sizeof(to), "%s%s", ret_name, suffixes[i]);
        if (disk_renameat(folder, from, folder, to) != 0 && errno != ENOENT)
            return failure_set(ret_failure, FAULT_DISK, "cannot rename %s: %s", from,
                               strerror(errno));
    }
    return FAULT_NONE;
}
