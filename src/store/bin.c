/* SPDX-License-Identifier: MIT */
/*
 * Adding to the bin, and dropping from it. What is added is gathered, and written by few calls:
 * first bodies, then their lines, so that a line that is there tells of a body that is whole, to
 * whoever reads after a kill. Nothing is synced: a power cut may take what was deleted last.
 *
 * A disk that is full takes nothing more in this commit, and room is made for nobody by it: what
 * the journal needs comes first.
 */
#include "bin.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAIR_OCTETS = 8 << 20, /* a pair that has so many is ended */
    PAIR_S = 3600,         /* and one whose first body came so long ago */
    GATHER_OCTETS = 256 << 10,
    PIECE_OCTETS = 64 << 10, /* a multiple of 8: see bin_sum() */
};

void bin_init(struct bin *bin, int parent, int64_t keep_s, uint64_t octets_max)
{
    *bin = (struct bin){.parent = parent,
                        .folder = -1,
                        .keep_s = keep_s,
                        .octets_max = octets_max,
                        .mail = -1,
                        .list = -1};
}

/* The next body begins a pair. */
static void end_pair(struct bin *bin)
{
    cleanup_close(&bin->mail);
    cleanup_close(&bin->list);
    bin->mail = bin->list = -1;
}

void bin_done(struct bin *bin)
{
    end_pair(bin);
    cleanup_close(&bin->folder);
    bin->folder = -1;
    buffer_done(&bin->bodies);
    buffer_done(&bin->lines);
    free(bin->pairs);
    bin->pairs = NULL;
    bin->count = bin->capacity = 0;
}

static bool is_on(const struct bin *bin)
{
    return bin->parent >= 0 && bin->keep_s > 0;
}

static enum fault bin_failure(struct failure *ret, const char *what, int error)
{
    return failure_set(ret, FAULT_DISK, "cannot %s the bin: %s", what, strerror(error));
}

static enum fault out_of_memory(struct failure *ret)
{
    return failure_set(ret, FAULT_MEMORY, "out of memory");
}

/* ---- pairs ---- */

static void remove_files(const struct bin *bin, uint64_t number)
{
    char name[BIN_NAME_OCTETS];
    /* In this order: a mail without a list is nothing. */
    bin_list_name(number, name);
    disk_unlinkat(bin->folder, name, 0);
    bin_ahead_name(number, name);
    disk_unlinkat(bin->folder, name, 0);
    bin_mail_name(number, name);
    disk_unlinkat(bin->folder, name, 0);
}

static void forget_gathered(struct bin *bin)
{
    buffer_consume(&bin->bodies, bin->bodies.len);
    buffer_consume(&bin->lines, bin->lines.len);
}

static void drop(struct bin *bin, size_t i)
{
    const struct bin_pair *pair = &bin->pairs[i];
    remove_files(bin, pair->number);
    bin->octets -= pair->octets;
    bin->body_count -= pair->count;
    if (i + 1 == bin->count) {
        forget_gathered(bin);
        bin->unlisted_octets = bin->pending_octets = bin->pending_count = 0;
        end_pair(bin);
    }
    memmove(bin->pairs + i, bin->pairs + i + 1, (bin->count - i - 1) * sizeof(bin->pairs[0]));
    bin->count--;
}

static bool add_pair(struct bin *bin, const struct bin_pair *pair)
{
    if (bin->count == bin->capacity) {
        size_t capacity = bin->capacity == 0 ? 16 : 2 * bin->capacity;
        struct bin_pair *pairs = reallocarray(bin->pairs, capacity, sizeof(pairs[0]));
        if (pairs == NULL)
            return false;
        bin->pairs = pairs;
        bin->capacity = capacity;
    }
    bin->pairs[bin->count++] = *pair;
    bin->last_number = pair->number;
    bin->octets += pair->octets;
    bin->body_count += pair->count;
    return true;
}

/* Of a body that is in the files, or gathered for them. */
static void count_body(struct bin_pair *pair, const struct store_deleted *deleted)
{
    if (pair->count == 0 || deleted->deleted_s < pair->first_s)
        pair->first_s = deleted->deleted_s;
    if (pair->count == 0 || deleted->deleted_s > pair->last_s)
        pair->last_s = deleted->deleted_s;
    pair->octets += deleted->octets;
    pair->is_link |= deleted->place.is_link;
    pair->count++;
}

/* ---- what an earlier popfs left ---- */

static bool count_line(void *context, const struct store_deleted *deleted)
{
    count_body(context, deleted);
    return true;
}

/* A pair that cannot be read now may be read by the next mount; one of which nothing is whole goes.
 */
static bool read_pair(struct bin *bin, uint64_t number)
{
    struct bin_pair pair = {.number = number};
    int error = bin_list_each(bin->folder, number, count_line, &pair);
    if (pair.count > 0)
        return add_pair(bin, &pair);
    if (error == 0 || error == ENOENT)
        remove_files(bin, number);
    return true;
}

static int open_folder(struct bin *bin)
{
    if (bin->folder < 0)
        bin->folder =
            disk_openat(bin->parent, BIN_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    return bin->folder;
}

static enum fault read_pairs(struct bin *bin, struct failure *ret_failure)
{
    CLEANUP_FREE uint64_t *numbers = NULL;
    size_t count = 0;
    int error = bin_numbers(bin->folder, &numbers, &count);
    if (error != 0)
        return bin_failure(ret_failure, "read", error);
    for (size_t i = 0; i < count; i++)
        if (!read_pair(bin, numbers[i]))
            return out_of_memory(ret_failure);
    bin->last_number = count == 0 ? 0 : numbers[count - 1];
    return FAULT_NONE;
}

/* Finds what is there. Without a folder there is nothing. */
static enum fault get_ready(struct bin *bin, struct failure *ret_failure)
{
    if (bin->is_read)
        return FAULT_NONE;
    if (open_folder(bin) < 0)
        return errno == ENOENT ? FAULT_NONE : bin_failure(ret_failure, "open", errno);
    bin->octets = bin->count = bin->body_count = 0;
    enum fault fault = read_pairs(bin, ret_failure);
    bin->is_read = fault == FAULT_NONE;
    return fault;
}

static void forget_all(struct bin *bin)
{
    cleanup_close(&bin->folder);
    bin->folder = -1;
    bin->octets = bin->count = bin->body_count = 0;
    bin->is_read = false;
}

/* The user may have removed the folder. */
static bool is_there(const struct bin *bin)
{
    struct stat stat;
    return bin->mail >= 0 ||
           (bin->folder >= 0 && disk_fstat(bin->folder, &stat) == 0 && stat.st_nlink > 0);
}

static enum fault make_ready(struct bin *bin, struct failure *ret_failure)
{
    if (bin->is_read && is_there(bin))
        return FAULT_NONE;
    forget_all(bin);
    if (disk_mkdirat(bin->parent, BIN_NAME, 0700) != 0 && errno != EEXIST)
        return bin_failure(ret_failure, "make", errno);
    return get_ready(bin, ret_failure);
}

/* ---- writing ---- */

static int write_at(int file, struct slice bytes, uint64_t offset)
{
    while (bytes.len > 0) {
        ssize_t count = disk_pwrite(file, bytes.data, bytes.len, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : ENOSPC;
        offset += (uint64_t)count;
        bytes = slice_skip(bytes, (size_t)count);
    }
    return 0;
}

/* There is one. */
static struct bin_pair *last_pair(const struct bin *bin)
{
    return &bin->pairs[bin->count - 1];
}

/* What is gathered, or written without a line, is not there. */
static void undo(struct bin *bin)
{
    forget_gathered(bin);
    if (bin->list < 0)
        return;
    struct bin_pair *pair = last_pair(bin);
    pair->octets -= bin->pending_octets;
    pair->count -= bin->pending_count;
    bin->octets -= bin->pending_octets;
    bin->body_count -= bin->pending_count;
    bin->pending_octets = bin->pending_count = bin->unlisted_octets = 0;
    /* Where they cannot be cut, what is there has no line, or one that is torn. */
    if (bin->mail >= 0)
        (void)disk_ftruncate(bin->mail, (off_t)bin->mail_octets);
    (void)disk_ftruncate(bin->list, (off_t)bin->list_octets);
    if (pair->count == 0)
        drop(bin, bin->count - 1);
}

/* On a full disk the oldest pair makes room for others, such as the journal. */
static enum fault refuse(struct bin *bin, const char *what, int error, struct failure *ret_failure)
{
    undo(bin);
    bin->is_refused = true;
    if ((error == ENOSPC || error == EDQUOT) && bin->count > 0)
        drop(bin, 0);
    return bin_failure(ret_failure, what, error);
}

static enum fault flush(struct bin *bin, struct failure *ret_failure)
{
    if (bin->pending_count == 0)
        return FAULT_NONE;
    uint64_t end = bin->mail_octets + bin->unlisted_octets;
    int error = write_at(bin->mail, buffer_slice(&bin->bodies), end);
    if (error == 0)
        error = write_at(bin->list, buffer_slice(&bin->lines), bin->list_octets);
    if (error != 0)
        return refuse(bin, "write to", error, ret_failure);
    bin->mail_octets = end + bin->bodies.len;
    bin->list_octets += bin->lines.len;
    bin->unlisted_octets = bin->pending_octets = bin->pending_count = 0;
    forget_gathered(bin);
    return FAULT_NONE;
}

/* ---- the pair that is added to ---- */

static int open_file(const struct bin *bin, void (*name_of)(uint64_t, char *), uint64_t number,
                     int flags)
{
    char name[BIN_NAME_OCTETS];
    name_of(number, name);
    return disk_openat(bin->folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
}

static bool octets_of(int file, uint64_t *ret_octets)
{
    struct stat stat;
    if (file < 0 || disk_fstat(file, &stat) != 0)
        return false;
    *ret_octets = (uint64_t)stat.st_size;
    return true;
}

/* False and errno. A mail that is a link is not opened: the cache has it, too. */
static bool open_files(struct bin *bin, const struct bin_pair *pair, int flags)
{
    bin->mail_octets = 0;
    if (!pair->is_link)
        bin->mail = open_file(bin, bin_mail_name, pair->number, flags);
    if (pair->is_link || octets_of(bin->mail, &bin->mail_octets)) {
        bin->list =
            open_file(bin, pair->is_ahead ? bin_ahead_name : bin_list_name, pair->number, flags);
        if (octets_of(bin->list, &bin->list_octets))
            return true;
    }
    int error = errno;
    end_pair(bin);
    errno = error;
    return false;
}

static bool is_open_for(const struct bin *bin, const struct bin_pair *pair, int64_t now_s)
{
    return !pair->is_link && pair->is_ahead == bin->is_ahead && pair->octets < PAIR_OCTETS &&
           now_s >= pair->first_s && now_s - pair->first_s < PAIR_S;
}

static enum fault begin_pair(struct bin *bin, const struct bin_pair *pair,
                             struct failure *ret_failure)
{
    if (!add_pair(bin, pair)) {
        remove_files(bin, pair->number);
        return out_of_memory(ret_failure);
    }
    if (open_files(bin, pair, O_CREAT | O_EXCL))
        return FAULT_NONE;
    int error = errno;
    drop(bin, bin->count - 1);
    return refuse(bin, "write to", error, ret_failure);
}

static enum fault need_pair(struct bin *bin, int64_t now_s, struct failure *ret_failure)
{
    bool fits = bin->count > 0 && is_open_for(bin, last_pair(bin), now_s);
    if (fits && (bin->mail >= 0 || open_files(bin, last_pair(bin), 0)))
        return FAULT_NONE;
    enum fault fault = flush(bin, ret_failure);
    end_pair(bin);
    const struct bin_pair pair = {.number = bin->last_number + 1, .is_ahead = bin->is_ahead};
    return fault == FAULT_NONE ? begin_pair(bin, &pair, ret_failure) : fault;
}

/* ---- adding ---- */

static enum fault add_line(struct bin *bin, const struct store_deleted *deleted,
                           struct failure *ret_failure)
{
    if (!bin_line_append(&bin->lines, deleted)) {
        undo(bin);
        return out_of_memory(ret_failure);
    }
    count_body(last_pair(bin), deleted);
    bin->octets += deleted->octets;
    bin->body_count++;
    bin->pending_octets += deleted->octets;
    bin->pending_count++;
    return bin->lines.len + bin->bodies.len >= GATHER_OCTETS ? flush(bin, ret_failure) : FAULT_NONE;
}

static int read_piece(const struct extent *body, uint64_t done, char *piece, size_t octets)
{
    size_t used = 0;
    while (used < octets) {
        ssize_t count = disk_pread(body->descriptor, piece + used, octets - used,
                                   (off_t)(body->offset + done + used));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : EIO;
        used += (size_t)count;
    }
    return 0;
}

/* Into memory. */
static enum fault gather(struct bin *bin, const struct extent *body, uint64_t *ret_sum,
                         struct failure *ret_failure)
{
    char piece[PIECE_OCTETS];
    int error = read_piece(body, 0, piece, (size_t)body->octets);
    const struct slice bytes = {piece, (size_t)body->octets};
    if (error != 0)
        return failure_set(ret_failure, FAULT_DISK, "cannot read from the cache: %s",
                           strerror(error));
    *ret_sum = bin_sum(0, bytes);
    return buffer_append(&bin->bodies, bytes) ? FAULT_NONE : out_of_memory(ret_failure);
}

/* Into the file, behind what is there. */
static enum fault transfer(struct bin *bin, const struct extent *body, uint64_t *ret_sum,
                           struct failure *ret_failure)
{
    char piece[PIECE_OCTETS];
    uint64_t sum = 0, done = 0;
    enum fault fault = flush(bin, ret_failure);
    while (fault == FAULT_NONE && done < body->octets) {
        uint64_t left = body->octets - done;
        const struct slice bytes = {piece, left < sizeof(piece) ? (size_t)left : sizeof(piece)};
        int error = read_piece(body, done, piece, bytes.len);
        if (error == 0)
            error = write_at(bin->mail, bytes, bin->mail_octets + done);
        if (error != 0)
            return refuse(bin, "copy to", error, ret_failure);
        sum = bin_sum(sum, bytes);
        done += bytes.len;
    }
    bin->unlisted_octets = done;
    *ret_sum = sum;
    return fault;
}

static enum fault copy(struct bin *bin, struct store_deleted *deleted, const struct extent *body,
                       struct failure *ret_failure)
{
    enum fault fault = need_pair(bin, deleted->deleted_s, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    bool is_small = body->octets <= PIECE_OCTETS;
    deleted->place.number = last_pair(bin)->number;
    deleted->place.has_sum = true;
    if (is_small)
        fault = gather(bin, body, &deleted->place.sum, ret_failure);
    else
        fault = transfer(bin, body, &deleted->place.sum, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    deleted->place.offset =
        bin->mail_octets +
        (is_small ? bin->unlisted_octets + bin->bodies.len - (size_t)body->octets : 0);
    return add_line(bin, deleted, ret_failure);
}

/* False where the file systems are not the same, or cannot do that: there is no file then. */
static bool try_link(const struct bin *bin, uint64_t number, const struct bin_source *source)
{
    char name[BIN_NAME_OCTETS];
    bin_mail_name(number, name);
    return disk_linkat(source->folder, source->name, bin->folder, name, 0) == 0;
}

static enum fault link_or_copy(struct bin *bin, struct store_deleted *deleted,
                               const struct bin_source *source, struct failure *ret_failure)
{
    enum fault fault = flush(bin, ret_failure);
    const struct bin_pair pair = {
        .number = bin->last_number + 1, .is_link = true, .is_ahead = bin->is_ahead};
    if (fault != FAULT_NONE)
        return fault;
    if (!try_link(bin, pair.number, source))
        return copy(bin, deleted, &source->body, ret_failure);
    end_pair(bin);
    deleted->place.is_link = true;
    fault = begin_pair(bin, &pair, ret_failure);
    if (fault == FAULT_NONE)
        fault = add_line(bin, deleted, ret_failure);
    if (fault == FAULT_NONE)
        fault = flush(bin, ret_failure);
    end_pair(bin);
    return fault;
}

/* What was deleted first goes first. */
static void make_room(struct bin *bin, uint64_t octets)
{
    while (bin->count > 0 && bin->octets + octets > bin->octets_max)
        drop(bin, 0);
}

enum fault bin_add(struct bin *bin, const struct store_deleted *deleted,
                   const struct bin_source *source, struct failure *ret_failure)
{
    struct store_deleted added = *deleted;
    if (!is_on(bin) || bin->is_refused)
        return FAULT_NONE;
    added.octets = source->body.octets;
    if (added.octets > bin->octets_max)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "a body of %" PRIu64 " octets is larger than the bin may be",
                           added.octets);
    enum fault fault = make_ready(bin, ret_failure);
    if (fault != FAULT_NONE) {
        bin->is_refused = true;
        return fault;
    }
    make_room(bin, added.octets);
    return source->name == NULL ? copy(bin, &added, &source->body, ret_failure)
                                : link_or_copy(bin, &added, source, ret_failure);
}

enum fault bin_settle(struct bin *bin, struct failure *ret_failure)
{
    enum fault fault = flush(bin, ret_failure);
    end_pair(bin);
    buffer_done(&bin->bodies);
    buffer_done(&bin->lines);
    bin->is_refused = false;
    return fault;
}

/* ---- adding ahead ---- */

void bin_begin_ahead(struct bin *bin)
{
    bin->is_ahead = true;
}

static bool publish(const struct bin *bin, struct bin_pair *pair)
{
    char from[BIN_NAME_OCTETS], to[BIN_NAME_OCTETS];
    bin_ahead_name(pair->number, from);
    bin_list_name(pair->number, to);
    pair->is_ahead = disk_renameat(bin->folder, from, bin->folder, to) != 0;
    return !pair->is_ahead;
}

enum fault bin_end_ahead(struct bin *bin, bool is_wanted, struct failure *ret_failure)
{
    enum fault fault = is_wanted ? flush(bin, ret_failure) : FAULT_NONE;
    bin->is_ahead = false;
    for (size_t i = bin->count; i-- > 0;) {
        if (!bin->pairs[i].is_ahead || (is_wanted && publish(bin, &bin->pairs[i])))
            continue;
        if (is_wanted)
            fault = bin_failure(ret_failure, "rename in", errno);
        drop(bin, i);
    }
    return fault;
}

/* ---- dropping ---- */

static void remove_all(struct bin *bin)
{
    CLEANUP_FREE uint64_t *numbers = NULL;
    size_t count = 0;
    if (open_folder(bin) < 0 || bin_numbers(bin->folder, &numbers, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++)
        remove_files(bin, numbers[i]);
    disk_unlinkat(bin->parent, BIN_NAME, AT_REMOVEDIR);
}

void bin_expire(struct bin *bin, int64_t now_s)
{
    if (bin->parent < 0)
        return;
    if (bin->keep_s == 0) {
        remove_all(bin);
        return;
    }
    if (get_ready(bin, NULL) != FAULT_NONE)
        return;
    for (size_t i = bin->count; i-- > 0;)
        if (now_s - bin->pairs[i].last_s >= bin->keep_s)
            drop(bin, i);
}
