/* SPDX-License-Identifier: MIT */
/*
 * A line is
 *
 *     + 4711 UIDL 0123abcd
 *
 * the sign (+ is to go, - is not), what LIST said, the UIDL with what is not plain as %XX, and a
 * checksum. It is written with a line end before it in one write at the end of the file, which the
 * kernel does not mix with another; so a line that a full disk or a power cut tore does not spoil
 * the next, and its checksum gives it away. The checksum comes last of all: were a line end to
 * follow, a line that lacks it alone would count, though its write had failed. (Journals of old
 * have one; empty lines mean nothing.) The later of two lines for one message counts.
 *
 * The file is never shortened, only replaced as a whole.
 */
#include "journal.h"

#include "disk.h"
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_NAME "removals"
#define JOURNAL_NEW_NAME "removals.new"

enum {
    JOURNAL_UIDL_OCTETS_MAX = 1000, /* twice what any server is known to send */
    LINE_OCTETS_MAX = 3 * JOURNAL_UIDL_OCTETS_MAX + 64,
};

static enum fault journal_failure(struct failure *ret, const char *what)
{
    int error = errno;
    return failure_set(ret, FAULT_DISK, "cannot %s the journal of removals: %s", what,
                       strerror(error));
}

/* ---- lines ---- */

/* FNV-1a: against accidents, nothing else. */
static uint32_t checksum(struct slice bytes)
{
    uint32_t sum = 2166136261U;
    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ (unsigned char)bytes.data[i]) * 16777619U;
    return sum;
}

static bool is_plain(char c)
{
    return c > ' ' && c < 0x7f && c != '%';
}

static size_t escape(struct slice uidl, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < uidl.len; i++) {
        unsigned char c = (unsigned char)uidl.data[i];
        if (is_plain(uidl.data[i])) {
            out[used++] = uidl.data[i];
            continue;
        }
        out[used++] = '%';
        out[used++] = digits[c >> 4];
        out[used++] = digits[c & 15];
    }
    return used;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unescape(struct slice text, char out[JOURNAL_UIDL_OCTETS_MAX], struct slice *ret_uidl)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (used == JOURNAL_UIDL_OCTETS_MAX)
            return false;
        out[used] = text.data[i];
        if (text.data[i] == '%') {
            int high = i + 2 < text.len ? digit_value(text.data[i + 1]) : -1;
            int low = high < 0 ? -1 : digit_value(text.data[i + 2]);
            if (low < 0)
                return false;
            out[used] = (char)(high << 4 | low);
            i += 2;
        }
        used++;
    }
    *ret_uidl = (struct slice){out, used};
    return used > 0;
}

/* The line end and the line; 0 if the UIDL is too long or empty. */
static size_t line_format(const struct wish *wish, char line[LINE_OCTETS_MAX])
{
    if (wish->uidl.len == 0 || wish->uidl.len > JOURNAL_UIDL_OCTETS_MAX)
        return 0;
    int head = snprintf(line, LINE_OCTETS_MAX, "\n%c %" PRIu64 " ", wish->going ? '+' : '-',
                        wish->listed_octets);
    size_t len = (size_t)head + escape(wish->uidl, line + head);
    uint32_t sum = checksum((struct slice){line + 1, len - 1});
    return len + (size_t)snprintf(line + len, LINE_OCTETS_MAX - len, " %08" PRIx32, sum);
}

static bool line_parse(struct slice line, char uidl[JOURNAL_UIDL_OCTETS_MAX], struct wish *ret_wish)
{
    char sum[10];
    if (line.len < sizeof(sum))
        return false;
    struct slice body = {line.data, line.len - 9};
    snprintf(sum, sizeof(sum), " %08" PRIx32, checksum(body));
    if (memcmp(line.data + body.len, sum, 9) != 0)
        return false;
    struct slice sign = slice_take_word(&body);
    struct slice octets = slice_take_word(&body);
    struct slice escaped = slice_take_word(&body);
    ret_wish->going = slice_equal(sign, SLICE_LITERAL("+"));
    return (ret_wish->going || slice_equal(sign, SLICE_LITERAL("-"))) &&
           slice_to_number(octets, INT64_MAX, &ret_wish->listed_octets) &&
           unescape(escaped, uidl, &ret_wish->uidl);
}

/* ---- noting ---- */

enum fault journal_open(struct journal *journal, int folder, struct failure *ret_failure)
{
    *journal = (struct journal){.descriptor = -1};
    journal->descriptor = disk_openat(folder, JOURNAL_NAME,
                                      O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (journal->descriptor < 0)
        return journal_failure(ret_failure, "open");
    return FAULT_NONE;
}

void journal_close(struct journal *journal)
{
    cleanup_close(&journal->descriptor);
    journal->descriptor = -1;
}

enum fault journal_note(struct journal *journal, const struct wish *wish,
                        struct failure *ret_failure)
{
    char line[LINE_OCTETS_MAX];
    size_t len = line_format(wish, line);
    if (len == 0)
        return failure_set(ret_failure, FAULT_DISK,
                           "a UIDL of %zu octets does not fit in the journal of removals",
                           wish->uidl.len);
    return journal_write(journal, (struct slice){line, len}, ret_failure);
}

bool journal_gather(struct buffer *lines, const struct wish *wish)
{
    char line[LINE_OCTETS_MAX];
    return buffer_append(lines, (struct slice){line, line_format(wish, line)});
}

enum fault journal_write(struct journal *journal, struct slice lines, struct failure *ret_failure)
{
    ssize_t count;
    if (lines.len == 0)
        return FAULT_NONE;
    do
        count = disk_write(journal->descriptor, lines.data, lines.len);
    while (count < 0 && errno == EINTR);
    if (count >= 0 && (size_t)count < lines.len)
        errno = ENOSPC;
    if (count != (ssize_t)lines.len)
        return journal_failure(ret_failure, "write to");
    atomic_fetch_add(&journal->notes_count, 1);
    return FAULT_NONE;
}

uint64_t journal_notes(const struct journal *journal)
{
    return atomic_load(&journal->notes_count);
}

bool journal_is_synced(const struct journal *journal)
{
    return journal_notes(journal) == journal->synced_count;
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
    uint64_t count = journal_notes(journal);
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

enum fault journal_read(int folder,
                        enum fault (*each)(void *context, const struct wish *wish,
                                           struct failure *ret_failure),
                        void *context, size_t *ret_damaged, struct failure *ret_failure)
{
    char uidl[JOURNAL_UIDL_OCTETS_MAX];
    CLEANUP_FREE char *line = NULL;
    size_t room = 0;
    *ret_damaged = 0;
    int descriptor = disk_openat(folder, JOURNAL_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (descriptor < 0)
        return errno == ENOENT ? FAULT_NONE : journal_failure(ret_failure, "open");
    FILE *file = disk_fdopen(descriptor, "r");
    if (file == NULL) {
        close(descriptor);
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    enum fault fault = FAULT_NONE;
    ssize_t len;
    while (fault == FAULT_NONE && (len = getline(&line, &room, file)) > 0) {
        struct wish wish;
        struct slice text = {line, strcspn(line, "\n")};
        /* Zeros, where a power cut left only the room of what came next. */
        *ret_damaged += text.len < (size_t)len && line[text.len] == '\0';
        if (text.len == 0)
            continue;
        if (line_parse(text, uidl, &wish))
            fault = each(context, &wish, ret_failure);
        else
            ++*ret_damaged;
    }
    if (fault == FAULT_NONE && ferror(file))
        fault = journal_failure(ret_failure, "read");
    fclose(file);
    return fault;
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

static bool write_new(int folder, struct slice lines)
{
    CLEANUP_CLOSE int file = disk_openat(
        folder, JOURNAL_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return file >= 0 && write_all(file, lines) && disk_fdatasync(file) == 0;
}

enum fault journal_replace(int folder, struct slice lines, struct failure *ret_failure)
{
    if (write_new(folder, lines) &&
        disk_renameat(folder, JOURNAL_NEW_NAME, folder, JOURNAL_NAME) == 0 &&
        place_sync_folder(folder))
        return FAULT_NONE;
    enum fault fault = journal_failure(ret_failure, "replace");
    disk_unlinkat(folder, JOURNAL_NEW_NAME, 0);
    return fault;
}
