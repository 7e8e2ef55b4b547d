/* SPDX-License-Identifier: MIT */
/*
 * A line is written with a line end before it in one write at the end of the file, so that a line
 * which a full disk or a power cut tore does not spoil the next. The checksum comes last of all:
 * were a line end to follow, a line that lacks it alone would count, though its write had failed.
 * (Journals of old have one; empty lines mean nothing.) The later of two lines for one message
 * counts.
 *
 * The numbers and checksums make a chain, which tells what is missing: a line that cannot be read
 * is a write that has failed where the next one that can be read goes on from the last one, or
 * where none follows, for all that was synced has a line behind it that was written with it (=) or
 * after it. Otherwise what is missing may have taken wishes back.
 *
 * The file is never shortened but by a write that failed, only replaced as a whole.
 */
#include "journal.h"

#include "disk.h"
#include "journal_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_NAME "removals"
#define JOURNAL_NEW_NAME "removals.new"

enum {
    OVERGROWN_LEAST = 4096, /* lines that mean nothing any more, beyond as many as others */
};

static enum fault journal_failure(struct failure *ret, const char *what)
{
    int error = errno;
    return failure_set(ret, FAULT_DISK, "cannot %s the journal of removals: %s", what,
                       strerror(error));
}

/* ---- noting ---- */

void journal_init(struct journal *journal)
{
    *journal = (struct journal){.descriptor = -1};
    pthread_mutex_init(&journal->lock, NULL);
}

enum fault journal_open(struct journal *journal, int folder, struct failure *ret_failure)
{
    struct stat stat;
    journal->is_off = folder < 0;
    if (journal->is_off || journal->descriptor >= 0)
        return FAULT_NONE;
    journal->descriptor = disk_openat(folder, JOURNAL_NAME,
                                      O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (journal->descriptor < 0 || disk_fstat(journal->descriptor, &stat) != 0)
        return journal_failure(ret_failure, "open");
    journal->octets = (uint64_t)stat.st_size;
    return FAULT_NONE;
}

void journal_done(struct journal *journal)
{
    cleanup_close(&journal->descriptor);
    journal->descriptor = -1;
    pthread_mutex_destroy(&journal->lock);
}

bool journal_gather(struct buffer *contents, const struct store_removal *wish)
{
    char content[JOURNAL_CONTENT_OCTETS_MAX];
    size_t len = journal_content_format(wish, content);
    return len == 0 || (buffer_append(contents, (struct slice){content, len}) &&
                        buffer_append(contents, SLICE_LITERAL("\n")));
}

bool journal_gather_seal(struct buffer *contents)
{
    return buffer_append(contents, SLICE_LITERAL("=\n"));
}

/* What a full disk took of the lines must not stand before those that others write. If it cannot be
 * cut off, the chain goes on behind what is whole. */
static void cut_off(struct journal *journal, struct slice contents, size_t written)
{
    CLEANUP_BUFFER struct buffer again = {0};
    if (disk_ftruncate(journal->descriptor, (off_t)journal->octets) == 0)
        return;
    (void)journal_chain_all(&journal->chain, contents, written, &again);
    journal->octets += written;
}

static enum fault write_locked(struct journal *journal, struct slice contents,
                               struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    struct journal_chain chain = journal->chain;
    ssize_t count;
    if (!journal_chain_all(&chain, contents, SIZE_MAX, &lines))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    do
        count = disk_write(journal->descriptor, lines.data, lines.len);
    while (count < 0 && errno == EINTR);
    if (count == (ssize_t)lines.len) {
        journal->octets += lines.len;
        journal->chain = chain;
        atomic_fetch_add(&journal->notes_count, 1);
        return FAULT_NONE;
    }
    int error = count < 0 ? errno : ENOSPC;
    if (count > 0)
        cut_off(journal, contents, (size_t)count);
    errno = error;
    return journal_failure(ret_failure, "write to");
}

enum fault journal_write(struct journal *journal, struct slice contents,
                         struct failure *ret_failure)
{
    if (contents.len == 0 || journal->is_off)
        return FAULT_NONE;
    pthread_mutex_lock(&journal->lock);
    enum fault fault = write_locked(journal, contents, ret_failure);
    pthread_mutex_unlock(&journal->lock);
    return fault;
}

uint64_t journal_octets(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t octets = journal->octets;
    pthread_mutex_unlock(&journal->lock);
    return octets;
}

struct journal_chain journal_chain(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    struct journal_chain chain = journal->chain;
    pthread_mutex_unlock(&journal->lock);
    return chain;
}

bool journal_is_overgrown(struct journal *journal)
{
    struct journal_chain chain = journal_chain(journal);
    return chain.lines_count > 2 * (chain.going_count + chain.others_count) + OVERGROWN_LEAST;
}

bool journal_is_synced(const struct journal *journal)
{
    return atomic_load(&journal->notes_count) == journal->synced_count;
}

/* Linux takes pages that it could not write for written, and the next sync says that all is well.
 * To write the same octets again makes them pages to be written. What others append meanwhile is
 * behind them. */
static bool write_again(int folder)
{
    char block[4096];
    off_t offset = 0;
    CLEANUP_CLOSE int file = disk_openat(folder, JOURNAL_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
    while (file >= 0) {
        ssize_t count = disk_pread(file, block, sizeof(block), offset);
        if (count == 0)
            return true;
        if (count > 0)
            count = disk_pwrite(file, block, (size_t)count, offset);
        if (count > 0)
            offset += count;
        else if (errno != EINTR)
            return false;
    }
    return false;
}

enum fault journal_sync(struct journal *journal, int folder, struct failure *ret_failure)
{
    uint64_t count = atomic_load(&journal->notes_count);
    if (count == journal->synced_count)
        return FAULT_NONE;
    journal->has_failed =
        (journal->has_failed && !write_again(folder)) || disk_fdatasync(journal->descriptor) != 0;
    if (journal->has_failed)
        return journal_failure(ret_failure, "sync");
    journal->synced_count = count;
    return FAULT_NONE;
}

/* ---- reading ---- */

struct reading {
    struct journal_chain chain; /* of what was read so far */
    size_t unreadable_count;    /* since the last line that could be read */
    const struct journal_reader *reader;
    struct journal_state *state;
};

/* Whether something is missing before a line that can be read. */
static void note_line(struct reading *reading, const struct journal_line *line)
{
    struct journal_chain *chain = &reading->chain;
    bool is_next = line->number == chain->number + 1 && line->link == chain->sum;
    if (line->number == 0 ? reading->unreadable_count > 0 : !is_next)
        reading->state->is_broken = true;
    reading->unreadable_count = 0;
    if (line->number == 0) {
        reading->state->has_old_lines = true;
        chain->lines_count++;
        return;
    }
    chain->number = line->number;
    chain->sum = line->sum;
    journal_chain_count(chain, line->content);
}

static enum fault read_line(struct reading *reading, struct slice text, struct failure *ret_failure)
{
    const struct journal_reader *reader = reading->reader;
    struct journal_texts texts;
    struct store_removal wish;
    struct journal_line line;
    if (text.len == 0)
        return FAULT_NONE;
    if (!journal_line_parse(text, &texts, &line, &wish)) {
        reading->unreadable_count++;
        reading->state->unreadable_count++;
        return FAULT_NONE;
    }
    note_line(reading, &line);
    bool is_seal = slice_equal(line.content, SLICE_LITERAL("="));
    bool memory = line.is_wish ? reader->wish(reader->context, &wish)
                               : is_seal || reader->other(reader->context, line.content);
    return memory ? FAULT_NONE : failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

static enum fault read_lines(struct reading *reading, FILE *file, uint64_t octets_max,
                             struct failure *ret_failure)
{
    CLEANUP_FREE char *line = NULL;
    size_t room = 0;
    uint64_t octets = 0;
    enum fault fault = FAULT_NONE;
    ssize_t len;
    while (fault == FAULT_NONE && octets < octets_max && (len = getline(&line, &room, file)) > 0) {
        struct slice text = {line, strcspn(line, "\n")};
        octets += (uint64_t)len;
        /* Zeros, where a power cut left only the room of what came next. */
        if (text.len < (size_t)len && line[text.len] == '\0') {
            reading->unreadable_count++;
            reading->state->unreadable_count++;
        }
        fault = read_line(reading, text, ret_failure);
    }
    if (fault == FAULT_NONE && ferror(file))
        fault = journal_failure(ret_failure, "read");
    return fault;
}

enum fault journal_read(int folder, uint64_t octets_max, const struct journal_reader *reader,
                        struct journal_state *ret_state, struct failure *ret_failure)
{
    struct reading reading = {.reader = reader, .state = ret_state};
    *ret_state = (struct journal_state){.unreadable_count = 0};
    if (folder < 0)
        return FAULT_NONE;
    int descriptor = disk_openat(folder, JOURNAL_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (descriptor < 0)
        return errno == ENOENT ? FAULT_NONE : journal_failure(ret_failure, "open");
    FILE *file = disk_fdopen(descriptor, "r");
    if (file == NULL) {
        close(descriptor);
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    enum fault fault = read_lines(&reading, file, octets_max, ret_failure);
    fclose(file);
    ret_state->chain = reading.chain;
    return fault;
}

void journal_go_on(struct journal *journal, const struct journal_state *state)
{
    pthread_mutex_lock(&journal->lock);
    journal->chain = state->chain;
    pthread_mutex_unlock(&journal->lock);
    /* Whoever noted these wishes may have been killed before they were synced. */
    if (state->chain.going_count > 0)
        atomic_fetch_add(&journal->notes_count, 1);
}

/* ---- replacing ---- */

static bool write_all(int file, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t count = disk_write(file, bytes.data, bytes.len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes = slice_skip(bytes, (size_t)count);
    }
    return true;
}

/* The descriptor, or -1. */
static int write_new(int folder, struct slice lines)
{
    int file = disk_openat(folder, JOURNAL_NEW_NAME,
                           O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0 || (write_all(file, lines) && disk_fdatasync(file) == 0))
        return file;
    int error = errno;
    close(file);
    errno = error;
    return -1;
}

/* Adds what was noted behind the first `octets` of the journal. */
static bool gather_rest(const struct journal *journal, uint64_t octets, struct buffer *contents)
{
    CLEANUP_BUFFER struct buffer rest = {0};
    struct journal_texts texts;
    struct store_removal wish;
    struct journal_line line;
    char block[4096];
    ssize_t count = 0;
    while (octets < journal->octets &&
           (count = disk_pread(journal->descriptor, block, sizeof(block), (off_t)octets)) > 0) {
        octets += (uint64_t)count;
        if (!buffer_append(&rest, (struct slice){block, (size_t)count}))
            return false;
    }
    if (count < 0)
        return false;
    for (struct slice left = buffer_slice(&rest), text; left.len > 0;) {
        const char *line_end = memchr(left.data, '\n', left.len);
        text =
            (struct slice){left.data, line_end == NULL ? left.len : (size_t)(line_end - left.data)};
        left = slice_skip(left, text.len + (line_end != NULL));
        if (journal_line_parse(text, &texts, &line, &wish) &&
            (!buffer_append(contents, line.content) ||
             !buffer_append(contents, SLICE_LITERAL("\n"))))
            return false;
    }
    return true;
}

/* Under the lock: nobody appends meanwhile, and nothing here waits for the disk. */
static bool take_place(struct journal *journal, int folder, int *file, struct journal_chain *chain,
                       uint64_t octets, uint64_t octets_read)
{
    CLEANUP_BUFFER struct buffer contents = {0};
    CLEANUP_BUFFER struct buffer lines = {0};
    if (!gather_rest(journal, octets_read, &contents) ||
        !journal_chain_all(chain, buffer_slice(&contents), SIZE_MAX, &lines) ||
        !write_all(*file, buffer_slice(&lines)) ||
        disk_renameat(folder, JOURNAL_NEW_NAME, folder, JOURNAL_NAME) != 0)
        return false;
    int old = journal->descriptor;
    journal->descriptor = *file;
    *file = old;
    journal->chain = *chain;
    journal->octets = octets + lines.len;
    journal->has_failed = false;
    journal->synced_count = atomic_load(&journal->notes_count) - (lines.len > 0);
    return true;
}

enum fault journal_replace(struct journal *journal, int folder, struct slice contents,
                           uint64_t octets_read, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    struct journal_chain chain = {.number = 0};
    if (journal->is_off)
        return FAULT_NONE;
    if (!journal_chain_all(&chain, contents, SIZE_MAX, &lines))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    CLEANUP_CLOSE int file = write_new(folder, buffer_slice(&lines));
    pthread_mutex_lock(&journal->lock);
    bool done = file >= 0 && take_place(journal, folder, &file, &chain, lines.len, octets_read);
    enum fault fault = done ? FAULT_NONE : journal_failure(ret_failure, "replace");
    pthread_mutex_unlock(&journal->lock);
    if (done)
        return place_sync_folder(folder) ? FAULT_NONE : journal_failure(ret_failure, "replace");
    disk_unlinkat(folder, JOURNAL_NEW_NAME, 0);
    return fault;
}

/* The same of a journal that nobody has opened. */
static enum fault replace_closed(int folder, struct slice lines, struct failure *ret_failure)
{
    CLEANUP_CLOSE int file = write_new(folder, lines);
    if (file >= 0 && disk_renameat(folder, JOURNAL_NEW_NAME, folder, JOURNAL_NAME) == 0 &&
        place_sync_folder(folder))
        return FAULT_NONE;
    enum fault fault = journal_failure(ret_failure, "replace");
    disk_unlinkat(folder, JOURNAL_NEW_NAME, 0);
    return fault;
}

/* ---- moving ---- */

/* Of a file that is not there: nothing. */
static enum fault read_all(int folder, const char *name, struct buffer *ret_bytes,
                           struct failure *ret_failure)
{
    char block[4096];
    ssize_t count;
    CLEANUP_CLOSE int file = disk_openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (file < 0)
        return errno == ENOENT ? FAULT_NONE : journal_failure(ret_failure, "open");
    while ((count = disk_read(file, block, sizeof(block))) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return journal_failure(ret_failure, "read");
        if (!buffer_append(ret_bytes, (struct slice){block, (size_t)count}))
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    return FAULT_NONE;
}

static enum fault set_aside(int folder, char ret_aside[JOURNAL_ASIDE_OCTETS],
                            struct failure *ret_failure)
{
    snprintf(ret_aside, JOURNAL_ASIDE_OCTETS, JOURNAL_NAME ".aside-%lld",
             (long long)(clock_wall_ns() / 1000000000));
    if (disk_renameat(folder, JOURNAL_NAME, folder, ret_aside) == 0)
        return FAULT_NONE;
    return journal_failure(ret_failure, "set aside");
}

enum fault journal_move(int from, const struct place *to, char ret_aside[JOURNAL_ASIDE_OCTETS],
                        struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer old = {0};
    CLEANUP_BUFFER struct buffer new = {0};
    ret_aside[0] = '\0';
    enum fault fault = read_all(from, JOURNAL_NAME, &old, ret_failure);
    if (fault == FAULT_NONE && old.len > 0)
        fault = read_all(to->folder, JOURNAL_NAME, &new, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    /* Equal: a popfs was killed between the copy and the removal. */
    bool is_copied = slice_equal(buffer_slice(&old), buffer_slice(&new));
    if (!is_copied && new.len > 0)
        return set_aside(from, ret_aside, ret_failure);
    if (!is_copied)
        fault = replace_closed(to->folder, buffer_slice(&old), ret_failure);
    /* Also the name of the folder, before the other journal goes. */
    if (fault == FAULT_NONE && old.len > 0)
        fault = place_sync(to, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    disk_unlinkat(from, JOURNAL_NEW_NAME, 0);
    if (old.len == 0) {
        disk_unlinkat(from, JOURNAL_NAME, 0);
        return FAULT_NONE;
    }
    /* If it came back, what has been carried out or taken back since would be pending again. */
    if (disk_unlinkat(from, JOURNAL_NAME, 0) == 0 && place_sync_folder(from))
        return FAULT_NONE;
    return journal_failure(ret_failure, "remove the old copy of");
}

/* Lines of popfs 0.1: the file is not opened yet, and has no chain. */
enum fault journal_prepend(int folder, struct slice contents, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    CLEANUP_BUFFER struct buffer old = {0};
    enum fault fault = read_all(folder, JOURNAL_NAME, &old, ret_failure);
    bool memory = true;
    for (struct slice left = contents; memory && left.len > 0;) {
        const char *line_end = memchr(left.data, '\n', left.len);
        size_t len = line_end == NULL ? left.len : (size_t)(line_end - left.data);
        memory = buffer_append(&lines, SLICE_LITERAL("\n")) &&
                 buffer_append(&lines, (struct slice){left.data, len}) &&
                 buffer_printf(&lines, " %08" PRIx32, journal_sum((struct slice){left.data, len}));
        left = slice_skip(left, len + (line_end != NULL));
    }
    if (fault == FAULT_NONE && !(memory && buffer_append(&lines, SLICE_LITERAL("\n")) &&
                                 buffer_append(&lines, buffer_slice(&old))))
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return fault == FAULT_NONE ? replace_closed(folder, buffer_slice(&lines), ret_failure) : fault;
}
