/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

int set_up_closed(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    /* Memory where there is some: a store syncs, which is for a power cut that no test can make. */
    const char *top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (f == NULL)
        return 1;
    snprintf(f->base, sizeof(f->base), "%s/popfs-store-XXXXXX", top);
    if (mkdtemp(f->base) == NULL)
        return 1;
    snprintf(f->folder, sizeof(f->folder), "%s/a/b", f->base);
    snprintf(f->state_folder, sizeof(f->state_folder), "%s/state", f->base);
    f->options = (struct store_options){.folder = f->folder,
                                        .state_folder = f->state_folder,
                                        .account = ACCOUNT,
                                        .owner = "mounted on /home/a/mail by process 12"};
    *state = f;
    return 0;
}

enum fault open_and_begin(struct fixture *f, struct store **ret_store, struct failure *ret_failure)
{
    *ret_store = NULL;
    enum fault fault = store_open(&f->options, ret_store, ret_failure);
    if (fault == FAULT_NONE)
        fault = store_begin(*ret_store, f->notice, ret_failure);
    if (fault == FAULT_NONE)
        return fault;
    store_close(*ret_store);
    *ret_store = NULL;
    return fault;
}

int set_up(void **state)
{
    if (set_up_closed(state) != 0)
        return 1;
    struct fixture *f = *state;
    return open_and_begin(f, &f->store, NULL) != FAULT_NONE;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat;
    (void)kind;
    (void)walk;
    return remove(path);
}

int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    int result = nftw(f->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return result;
}

void store_must_open(struct fixture *f)
{
    struct failure failure = {0};
    if (open_and_begin(f, &f->store, &failure) != FAULT_NONE)
        fail_msg("%s", failure.text);
}

void store_must_close(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
}

void store_must_refuse(struct fixture *f, const char *text)
{
    struct store *store;
    struct failure failure = {0};
    assert_int_equal(open_and_begin(f, &store, &failure), FAULT_DISK);
    if (strstr(failure.text, text) == NULL)
        fail_msg("%s", failure.text);
}

void store_must_reopen(struct fixture *f)
{
    store_must_close(f);
    store_must_open(f);
}

/* ---- files ---- */

static const char *path_in(const char *folder, const char *name)
{
    static char paths[4][300];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/" ACCOUNT "/%s", folder, name);
    return path;
}

const char *path_of(const char *name, const struct fixture *f)
{
    return path_in(f->folder, name);
}

const char *state_path_of(const char *name, const struct fixture *f)
{
    return path_in(f->state_folder, name);
}

/* The one name in the folder that begins so. */
static const char *find_name(const char *folder, const char *prefix)
{
    static char name[256];
    size_t count = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            snprintf(name, sizeof(name), "%s", entry->d_name);
            count++;
        }
    closedir(list);
    assert_int_equal(count, 1);
    return name;
}

const char *bodies_folder(const struct fixture *f)
{
    return path_of(find_name(path_of("", f), "bodies-"), f);
}

const char *body_path(uint64_t id, const struct fixture *f)
{
    static char path[600];
    char prefix[32];
    const char *folder = bodies_folder(f);
    snprintf(prefix, sizeof(prefix), "%" PRIu64 ".", id);
    snprintf(path, sizeof(path), "%s/%s", folder, find_name(folder, prefix));
    return path;
}

const char *pack_path(uint32_t opening, uint32_t number, const struct fixture *f)
{
    static char path[600];
    snprintf(path, sizeof(path), "%s/pack.%" PRIu32 ".%" PRIu32, bodies_folder(f), opening, number);
    assert_int_equal(access(path, F_OK), 0);
    return path;
}

size_t entries_count(const char *folder)
{
    size_t count = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

void file_write(const char *path, struct slice bytes)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes.data, bytes.len), bytes.len);
    close(file);
}

void file_read(const char *path, struct buffer *ret_bytes)
{
    char block[4096];
    ssize_t count;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    while ((count = read(file, block, sizeof(block))) > 0)
        assert_true(buffer_append(ret_bytes, (struct slice){block, (size_t)count}));
    close(file);
}

/* ---- the index behind the store's back ---- */

static sqlite3 *index_of(const struct fixture *f)
{
    sqlite3 *db;
    assert_null(f->store);
    assert_int_equal(sqlite3_open_v2(path_of("index.sqlite", f), &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    return db;
}

void sql_run(const struct fixture *f, const char *text)
{
    sqlite3 *db = index_of(f);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

int64_t sql_number(const struct fixture *f, const char *text)
{
    sqlite3 *db = index_of(f);
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

/* ---- children ---- */

void killed_after(struct fixture *f, void (*work)(struct fixture *f))
{
    int status;
    assert_null(f->store);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        CHILD_MUST(open_and_begin(f, &f->store, NULL) == FAULT_NONE);
        work(f);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- messages ---- */

struct store_message message_of(uint64_t id, const char *uidl, uint64_t listed_octets)
{
    return (struct store_message){.id = id,
                                  .uidl = slice_from_string(uidl),
                                  .listed_octets = listed_octets,
                                  .exact_octets = STORE_OCTETS_UNKNOWN,
                                  .time_s = STORE_TIME_UNKNOWN,
                                  .first_seen_ns = (int64_t)id + 1000};
}

bool add(struct store *store, uint64_t id, const char *uidl, uint64_t listed_octets)
{
    struct store_message message = message_of(id, uidl, listed_octets);
    return store_add(store, &message, NULL) == FAULT_NONE;
}

bool forget(struct store *store, uint64_t id, const char *uidl, uint64_t listed_octets)
{
    struct store_message message = message_of(id, uidl, listed_octets);
    return store_forget(store, &message, 1, NULL) == FAULT_NONE;
}

bool note(struct store *store, const char *uidl, uint64_t listed_octets, bool going)
{
    const struct store_removal removal = {.uidl = slice_from_string(uidl),
                                          .listed_octets = listed_octets,
                                          .time_s = STORE_TIME_UNKNOWN,
                                          .going = going};
    return store_note_removal(store, &removal, NULL) == FAULT_NONE;
}

static bool load_one(void *context, const struct store_message *message)
{
    struct loaded *loaded = context;
    size_t len = strlen(loaded->uidls);
    snprintf(loaded->uidls + len, sizeof(loaded->uidls) - len, "%.*s%c ", (int)message->uidl.len,
             message->uidl.data, message->going ? '+' : '-');
    loaded->count++;
    loaded->going_count += message->going;
    loaded->last = *message;
    return true;
}

void load(struct store *store, struct loaded *ret_loaded)
{
    *ret_loaded = (struct loaded){0};
    assert_int_equal(store_load(store, load_one, ret_loaded, NULL), FAULT_NONE);
}

void assert_loads(struct store *store, const char *uidls)
{
    struct loaded loaded;
    load(store, &loaded);
    assert_string_equal(loaded.uidls, uidls);
}

/* ---- bodies ---- */

struct extent keep_times(struct store *store, uint64_t id, struct slice bytes, int times)
{
    struct store_body *body;
    struct extent extent = EXTENT_NONE;
    if (store_body_new(store, &body, NULL) != FAULT_NONE)
        return EXTENT_NONE;
    for (int i = 0; i < times; i++)
        if (store_body_append(body, bytes, NULL) != FAULT_NONE) {
            store_body_free(body);
            return EXTENT_NONE;
        }
    if (store_body_octets(body) != bytes.len * (size_t)times)
        return EXTENT_NONE;
    if (store_body_keep(body, id, &extent, NULL) == FAULT_NONE)
        return extent;
    cleanup_close(&extent.descriptor);
    return EXTENT_NONE;
}

bool keep(struct store *store, uint64_t id, const char *text)
{
    struct extent extent = keep_times(store, id, slice_from_string(text), 1);
    cleanup_close(&extent.descriptor);
    return extent.descriptor >= 0;
}

enum fault body_open(struct store *store, uint64_t id, uint64_t octets, struct extent *ret_extent)
{
    uint64_t sum = 0;
    enum fault fault = store_body_open(store, id, octets, ret_extent, &sum);
    if (fault == FAULT_NONE && sum != 0)
        store_body_note_sound(store, id, sum);
    return fault;
}

bool is_kept(struct store *store, uint64_t id, uint64_t octets)
{
    struct extent extent = EXTENT_NONE;
    enum fault fault = body_open(store, id, octets, &extent);
    cleanup_close(&extent.descriptor);
    return fault == FAULT_NONE ||
           fault == FAULT_BUSY; /* it is there, and too large to be compared at once */
}

void assert_reads(struct extent body, struct slice bytes, int times)
{
    char *held = malloc(bytes.len + 1);
    assert_int_equal(body.octets, bytes.len * (size_t)times);
    for (int i = 0; i < times; i++) {
        off_t offset = (off_t)(body.offset + bytes.len * (size_t)i);
        assert_int_equal(pread(body.descriptor, held, bytes.len, offset), bytes.len);
        assert_memory_equal(held, bytes.data, bytes.len);
    }
    free(held);
}

void assert_file_reads(int descriptor, struct slice bytes, int times)
{
    struct stat stat;
    assert_int_equal(fstat(descriptor, &stat), 0);
    const struct extent whole = {.descriptor = descriptor, .octets = (uint64_t)stat.st_size};
    assert_reads(whole, bytes, times);
}

void assert_kept(struct store *store, uint64_t id, const char *text)
{
    struct extent extent = EXTENT_NONE;
    assert_int_equal(body_open(store, id, strlen(text), &extent), FAULT_NONE);
    assert_reads(extent, slice_from_string(text), 1);
    close(extent.descriptor);
}
