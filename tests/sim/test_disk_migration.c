/* SPDX-License-Identifier: MIT */
/*
 * What popfs 0.1 left, on the model disk: wherever popfs is killed or the power is cut while it is
 * taken over, no wish is lost, none that was taken back comes again, and a wish that is taken back
 * later stays so. The journal moves from the cache to the state, and what the rows of the index
 * tell goes with it.
 */
#include "disk.h"
#include "store/disk.h"

#include "popfs/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCOUNT_FOLDER SIM_DISK_PATH "/cache/alice@host:995"

static const struct store_options options = {.folder = SIM_DISK_PATH "/cache",
                                             .state_folder = SIM_DISK_PATH "/state",
                                             .account = "alice@host:995",
                                             .owner = "mounted"};

/* The tables of 0.1.1. "three" and "four" are going; "five" is so here alone. */
static const char index_0_1[] =
    "CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, uidl BLOB NOT NULL UNIQUE,"
    " listed INTEGER NOT NULL, exact INTEGER, time INTEGER, first_seen INTEGER NOT NULL,"
    " sender TEXT, subject TEXT, going INTEGER NOT NULL DEFAULT 0, flags INTEGER NOT NULL DEFAULT"
    " 0, used INTEGER, pack INTEGER, place INTEGER);"
    "CREATE INDEX message_going ON message(id) WHERE going = 1;"
    "CREATE TABLE fact(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE pack(name INTEGER PRIMARY KEY, used INTEGER NOT NULL, erased INTEGER NOT NULL);"
    "CREATE TABLE state(generation TEXT NOT NULL, boot TEXT NOT NULL, opening INTEGER NOT NULL,"
    " synced INTEGER NOT NULL, lf INTEGER NOT NULL);"
    "INSERT INTO state VALUES('', '', 0, 0, 0);"
    "INSERT INTO message(uidl, listed, first_seen, going) VALUES(CAST('one' AS BLOB), 10, 1, 0),"
    " (CAST('two' AS BLOB), 20, 2, 0), (CAST('three' AS BLOB), 30, 3, 1),"
    " (CAST('four' AS BLOB), 40, 4, 1), (CAST('five' AS BLOB), 50, 5, 1);"
    "PRAGMA application_id = 1886351462; PRAGMA user_version = 1;";

/* As stores/0.1.1.tar.gz has them: "one" and "un known" are wished for, "four" was taken back. */
static const char journal_0_1[] = "\n+ 30 three 9ed0ebbd\n+ 40 four 64013986\n- 40 four 0106e2f8"
                                  "\n+ 10 one 503a6edf\n+ 60 un%20known a6ca99af";

struct world {
    struct sim_random random;
    struct sim_disk *disk;
    const char *what;
    uint64_t place;
};

static void must(const struct world *w, bool condition, const char *text)
{
    if (!condition)
        fail_msg("%s before change %llu: %s", w->what, (unsigned long long)w->place, text);
}

static void put_files(const struct world *w)
{
    sqlite3 *db;
    must(w,
         disk_mkdirat(AT_FDCWD, SIM_DISK_PATH "/cache", 0700) == 0 &&
             disk_mkdirat(AT_FDCWD, ACCOUNT_FOLDER, 0700) == 0,
         "no folder");
    int file = disk_openat(AT_FDCWD, ACCOUNT_FOLDER "/removals", O_WRONLY | O_CREAT, 0600);
    must(w, disk_write(file, journal_0_1, sizeof(journal_0_1) - 1) > 0, "no journal");
    must(w, sqlite3_open(ACCOUNT_FOLDER "/index.sqlite", &db) == SQLITE_OK, "no index");
    must(w, sqlite3_exec(db, index_0_1, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
    sqlite3_close(db);
    must(w, disk_syncfs(file) == 0, "no sync");
    close(file);
}

static void begin(struct world *w, uint64_t seed)
{
    w->random = sim_random_from_seed(seed);
    w->disk = sim_disk_new(&w->random);
    sim_disk_use(w->disk);
    put_files(w);
}

static bool look_at(void *context, const struct store_message *message)
{
    char *text = context;
    size_t len = strlen(text);
    if (message->going)
        snprintf(text + len, 100 - len, "%.*s ", (int)message->uidl.len, message->uidl.data);
    return !message->held;
}

static struct store *must_open(const struct world *w, const char *going)
{
    struct store *store;
    struct failure failure = {0};
    char notice[FAILURE_TEXT_OCTETS], found[100] = "";
    must(w, store_open(&options, &store, &failure) == FAULT_NONE, failure.text);
    must(w, store_begin(store, notice, &failure) == FAULT_NONE, failure.text);
    must(w, notice[0] == '\0', notice);
    must(w, store_load(store, look_at, found, NULL) == FAULT_NONE, "a wish is held");
    must(w, strcmp(found, going) == 0, found);
    return store;
}

static void take_back(const struct world *w, struct store *store, const char *uidl)
{
    const struct store_removal removal = {.uidl = slice_from_string(uidl)};
    must(w, store_note_removal(store, &removal, NULL) == FAULT_NONE, "not noted");
}

/* popfs dies at some place of its first opening or of its close; another one finds all. */
static void die_at(uint64_t place, bool is_cut, uint64_t seed)
{
    struct world w = {.what = is_cut ? "power cut" : "kill", .place = place};
    struct store *store;
    char notice[FAILURE_TEXT_OCTETS];
    begin(&w, seed);
    sim_disk_go_out(w.disk, SIM_DISK_CHANGES, sim_disk_count(w.disk, SIM_DISK_CHANGES) + place);
    if (store_open(&options, &store, NULL) == FAULT_NONE) {
        (void)store_begin(store, notice, NULL);
        store_close(store);
    }
    if (is_cut)
        sim_disk_power_cut(w.disk, &w.random);
    else
        sim_disk_kill(w.disk);
    sim_disk_go_out(w.disk, SIM_DISK_CHANGES, UINT64_MAX);
    store = must_open(&w, "one three five un known ");
    take_back(&w, store, "one");
    take_back(&w, store, "five");
    store_close(store);
    for (int i = 0; i < 2; i++)
        store_close(must_open(&w, "three un known "));
    sim_disk_kill(w.disk);
    sim_disk_free(w.disk);
}

static uint64_t changes_count(void)
{
    struct world w = {.what = "nothing"};
    begin(&w, 1);
    uint64_t before = sim_disk_count(w.disk, SIM_DISK_CHANGES);
    store_close(must_open(&w, "one three five un known "));
    uint64_t count = sim_disk_count(w.disk, SIM_DISK_CHANGES) - before;
    sim_disk_kill(w.disk);
    sim_disk_free(w.disk);
    return count;
}

static void wherever_popfs_is_killed_what_0_1_left_is_taken_over(void **state)
{
    (void)state;
    uint64_t count = changes_count();
    assert_true(count > 30);
    for (uint64_t place = 0; place <= count; place++)
        die_at(place, false, place);
}

static void wherever_the_power_is_cut_what_0_1_left_is_taken_over(void **state)
{
    (void)state;
    uint64_t count = changes_count();
    for (uint64_t place = 0; place <= count; place++)
        for (uint64_t seed = 1; seed <= 4; seed++)
            die_at(place, true, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wherever_popfs_is_killed_what_0_1_left_is_taken_over),
        cmocka_unit_test(wherever_the_power_is_cut_what_0_1_left_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
