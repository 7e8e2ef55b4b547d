/* SPDX-License-Identifier: MIT */
/*
 * A store whose files a power cut, a full disk or a stranger has spoilt. Input: octets 0 and 1 the
 * length of the journal of removals (low octet first), the journal, then the index; no octets, no
 * index.
 *
 * Must hold: the store opens, with a new index if the old one is no good, and does so at the next
 * opening if that comes out later; a pending removal that stands whole in the journal is there,
 * whatever stands before it; ids rise and stay below the last one; what is then added, removed and
 * taken back is there the next time.
 */
#include "journal.h"
#include "popfs/store.h"
#include "target.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCOUNT "alice@host:995"

static const struct store_removal precious = {
    .uidl = SLICE_LITERAL("precious UIDL"), .listed_octets = 4711, .going = true};

struct seen {
    uint64_t last_id;
    bool precious, added;
    uint64_t precious_octets;
};

/* ---- files ---- */

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* In memory where there is some: no power cut is to be survived here. */
static const char *base_folder(void)
{
    static char folder[64];
    if (folder[0] == '\0')
        snprintf(folder, sizeof(folder), "%s/popfs-fuzz-index-%d",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
    return folder;
}

/* Inside, so that it goes with it. The journal is moved here. */
static const char *state_folder(void)
{
    static char folder[80];
    snprintf(folder, sizeof(folder), "%s/state", base_folder());
    return folder;
}

static void write_file(int folder, const char *name, struct slice bytes)
{
    CLEANUP_CLOSE int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(file >= 0 && write(file, bytes.data, bytes.len) == (ssize_t)bytes.len);
}

static void write_files(struct slice journal_bytes, struct slice index)
{
    char path[128];
    struct journal journal;
    CLEANUP_BUFFER struct buffer contents = {0};
    nftw(base_folder(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(path, sizeof(path), "%s/" ACCOUNT, base_folder());
    MUST(mkdir(base_folder(), 0700) == 0 && mkdir(path, 0700) == 0);
    CLEANUP_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(folder >= 0);
    write_file(folder, "removals", journal_bytes);
    if (index.len > 0)
        write_file(folder, "index.sqlite", index);
    journal_init(&journal);
    MUST(journal_open(&journal, folder, NULL) == FAULT_NONE);
    MUST(journal_gather(&contents, &precious));
    MUST(journal_write(&journal, buffer_slice(&contents), NULL) == FAULT_NONE);
    journal_done(&journal);
}

/* ---- the store ---- */

static struct store *open_store(void)
{
    const struct store_options options = {.folder = base_folder(),
                                          .state_folder = state_folder(),
                                          .account = ACCOUNT,
                                          .owner = "fuzzed"};
    struct store *store = NULL;
    struct failure failure = {0};
    char notice[FAILURE_TEXT_OCTETS];
    enum fault fault = store_open(&options, &store, &failure);
    if (fault == FAULT_NONE)
        fault = store_begin(store, notice, &failure);
    if (fault != FAULT_NONE)
        fprintf(stderr, "%s: %s\n", fault_name(fault), failure.text);
    MUST(fault == FAULT_NONE);
    MUST(strnlen(notice, sizeof(notice)) < sizeof(notice));
    return store;
}

static bool look_at(void *context, const struct store_message *message)
{
    struct seen *seen = context;
    volatile char last = message->uidl.len > 0 ? message->uidl.data[message->uidl.len - 1] : '\0';
    (void)last;
    seen->last_id = message->id;
    if (slice_equal(message->uidl, precious.uidl)) {
        seen->precious = message->going;
        seen->precious_octets = message->listed_octets;
    }
    if (slice_equal(message->uidl, SLICE_LITERAL("added")))
        seen->added = true;
    return true;
}

/* False if the disk is at fault, which a damaged page is. */
static bool is_done(enum fault fault)
{
    MUST(fault == FAULT_NONE || fault == FAULT_DISK);
    return fault == FAULT_NONE;
}

/* As sync does it: with the size that the index gave. */
static bool add(struct store *store, const struct seen *seen)
{
    const struct store_message message = {
        .id = store_last_id(store) + 1,
        .uidl = SLICE_LITERAL("added"),
        .listed_octets = 12,
        .exact_octets = 13,
        .time_s = STORE_TIME_UNKNOWN,
        .first_seen_ns = 1,
    };
    const struct store_header header = {
        .time_s = 7, .sender = SLICE_LITERAL("from"), .subject = SLICE_LITERAL("subject")};
    struct store_summary summary;
    if (!is_done(store_add(store, &message, NULL)) ||
        !is_done(store_learn_header(store, message.id, &header, NULL)) ||
        !is_done(store_flush(store, NULL)))
        return false;
    store_summary(store, message.id, &summary);
    MUST(strcmp(summary.subject, "subject") == 0);
    MUST(store_note_removal(store,
                            &(struct store_removal){.uidl = precious.uidl,
                                                    .listed_octets = seen->precious_octets,
                                                    .going = false},
                            NULL) == FAULT_NONE);
    return true;
}

static bool use(struct store *store)
{
    struct seen seen = {0};
    if (!is_done(store_load(store, look_at, &seen, NULL)))
        return false;
    MUST(seen.precious);
    MUST(seen.last_id <= store_last_id(store));
    return add(store, &seen);
}

/* What is found to be damaged when it is closed is lost but for the wishes. */
static bool is_set_aside(void)
{
    char path[128];
    bool found = false;
    snprintf(path, sizeof(path), "%s/" ACCOUNT, base_folder());
    DIR *list = opendir(path);
    MUST(list != NULL);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        found |= strstr(entry->d_name, ".unreadable-") != NULL;
    closedir(list);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice rest = {(const char *)data + 2, size - 2};
    size_t journal_len = data[0] + 256U * data[1];
    struct slice journal = {rest.data, journal_len < rest.len ? journal_len : rest.len};
    write_files(journal, slice_skip(rest, journal_len));

    struct store *store = open_store();
    bool done = use(store);
    store_close(store);
    if (!done) {
        store = open_store();
        MUST(use(store));
        store_close(store);
    }

    struct seen seen = {0};
    store = open_store();
    MUST(store_load(store, look_at, &seen, NULL) == FAULT_NONE);
    MUST(!seen.precious && (seen.added || is_set_aside()));
    store_close(store);
    nftw(base_folder(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
