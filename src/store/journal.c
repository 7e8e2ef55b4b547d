/* SPDX-License-Identifier: MIT */
/*
 * A line is
 *
 *     + 4711 UIDL EVIDENCE 1700000000 FROM SUBJECT 0123abcd
 *
 * the sign (+ is to go, - is not), what LIST said, the UIDL, the evidence in hexadecimal digits,
 * the date in seconds of the epoch, sender and subject, and a checksum. What is not plain in a text
 * is %XX, and what is not known is a hyphen alone. Lines of popfs 0.1.0 and 0.1.1 end after the
 * UIDL; these versions read the longer lines, too, and pass over what is new in them. A line is
 * written with a line end before it in one write at the end of the file, which the kernel does not
 * mix with another; so a line that a full disk or a power cut tore does not spoil the next, and its
 * checksum gives it away. The checksum comes last of all: were a line end to follow, a line that
 * lacks it alone would count, though its write had failed. (Journals of old have one; empty lines
 * mean nothing.) The later of two lines for one message counts.
 *
 * The file is never shortened, only replaced as a whole.
 */
#include "journal.h"

#include "disk.h"
#include "text.h"

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
    LINE_OCTETS_MAX = 3 * (JOURNAL_UIDL_OCTETS_MAX + 2 * STORE_TEXT_OCTETS_MAX) + 192,
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

static const char digits[] = "0123456789abcdef";

static size_t escape(struct slice text, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_plain(text.data[i])) {
            out[used++] = text.data[i];
            continue;
        }
        out[used++] = '%';
        out[used++] = digits[c >> 4];
        out[used++] = digits[c & 15];
    }
    return used;
}

/* A blank before it; a hyphen stands for an empty text, and not for itself. */
static size_t escape_text(struct slice text, char *out)
{
    text = text_cut(text);
    out[0] = ' ';
    if (slice_equal(text, SLICE_LITERAL("-"))) {
        memcpy(out + 1, "%2d", 3);
        return 4;
    }
    if (text.len == 0)
        text = SLICE_LITERAL("-");
    return 1 + escape(text, out + 1);
}

static size_t evidence_format(const struct evidence *evidence, char *out)
{
    size_t used = 0;
    out[used++] = ' ';
    if (!evidence_is_known(evidence)) {
        out[used++] = '-';
        return used;
    }
    for (size_t i = 0; i < sizeof(evidence->octets); i++) {
        out[used++] = digits[evidence->octets[i] >> 4];
        out[used++] = digits[evidence->octets[i] & 15];
    }
    return used;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unescape(struct slice text, size_t octets_max, char *out, struct slice *ret_text)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (used == octets_max)
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
    *ret_text = (struct slice){out, used};
    return used > 0;
}

/* The line end and the line; 0 if the UIDL is too long or empty. */
static size_t line_format(const struct store_removal *wish, char line[LINE_OCTETS_MAX])
{
    if (wish->uidl.len == 0 || wish->uidl.len > JOURNAL_UIDL_OCTETS_MAX)
        return 0;
    size_t len = (size_t)snprintf(line, LINE_OCTETS_MAX, "\n%c %" PRIu64 " ",
                                  wish->going ? '+' : '-', wish->listed_octets);
    len += escape(wish->uidl, line + len);
    len += evidence_format(&wish->evidence, line + len);
    if (wish->time_s == STORE_TIME_UNKNOWN)
        len += escape_text((struct slice){0}, line + len);
    else
        len += (size_t)snprintf(line + len, LINE_OCTETS_MAX - len, " %" PRId64, wish->time_s);
    len += escape_text(wish->from, line + len);
    len += escape_text(wish->subject, line + len);
    uint32_t sum = checksum((struct slice){line + 1, len - 1});
    return len + (size_t)snprintf(line + len, LINE_OCTETS_MAX - len, " %08" PRIx32, sum);
}

/* Where the texts of a line go that was read. */
struct line_texts {
    char uidl[JOURNAL_UIDL_OCTETS_MAX];
    char from[STORE_TEXT_OCTETS_MAX], subject[STORE_TEXT_OCTETS_MAX];
};

static bool evidence_parse(struct slice word, struct evidence *ret_evidence)
{
    struct evidence evidence;
    if (slice_equal(word, SLICE_LITERAL("-")))
        return true;
    if (word.len != 2 * sizeof(evidence.octets))
        return false;
    for (size_t i = 0; i < sizeof(evidence.octets); i++) {
        int high = digit_value(word.data[2 * i]), low = digit_value(word.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        evidence.octets[i] = (unsigned char)(high << 4 | low);
    }
    *ret_evidence = evidence;
    return true;
}

static bool time_parse(struct slice word, int64_t *ret_time_s)
{
    uint64_t seconds;
    if (slice_equal(word, SLICE_LITERAL("-")))
        return true;
    bool is_negative = word.len > 0 && word.data[0] == '-';
    if (!slice_to_number(slice_skip(word, is_negative), INT64_MAX, &seconds))
        return false;
    *ret_time_s = is_negative ? -(int64_t)seconds : (int64_t)seconds;
    return true;
}

static bool text_parse(struct slice word, char out[STORE_TEXT_OCTETS_MAX], struct slice *ret_text)
{
    return slice_equal(word, SLICE_LITERAL("-")) ||
           unescape(word, STORE_TEXT_OCTETS_MAX, out, ret_text);
}

/* A line of popfs 0.1.0 and 0.1.1 has nothing here. */
static bool proof_parse(struct slice rest, struct line_texts *texts, struct store_removal *wish)
{
    struct slice word = slice_take_word(&rest);
    if (word.len == 0)
        return true;
    return evidence_parse(word, &wish->evidence) &&
           time_parse(slice_take_word(&rest), &wish->time_s) &&
           text_parse(slice_take_word(&rest), texts->from, &wish->from) &&
           text_parse(slice_take_word(&rest), texts->subject, &wish->subject);
}

static bool line_parse(struct slice line, struct line_texts *texts, struct store_removal *ret_wish)
{
    char sum[10];
    if (line.len < sizeof(sum))
        return false;
    struct slice rest = {line.data, line.len - 9};
    snprintf(sum, sizeof(sum), " %08" PRIx32, checksum(rest));
    if (memcmp(line.data + rest.len, sum, 9) != 0)
        return false;
    struct slice sign = slice_take_word(&rest);
    struct slice octets = slice_take_word(&rest);
    struct slice escaped = slice_take_word(&rest);
    *ret_wish = (struct store_removal){.time_s = STORE_TIME_UNKNOWN,
                                       .going = slice_equal(sign, SLICE_LITERAL("+"))};
    return (ret_wish->going || slice_equal(sign, SLICE_LITERAL("-"))) &&
           slice_to_number(octets, INT64_MAX, &ret_wish->listed_octets) &&
           unescape(escaped, JOURNAL_UIDL_OCTETS_MAX, texts->uidl, &ret_wish->uidl) &&
           proof_parse(rest, texts, ret_wish);
}

/* ---- noting ---- */

enum fault journal_open(struct journal *journal, int folder, struct failure *ret_failure)
{
    *journal = (struct journal){.descriptor = -1};
    journal->is_off = folder < 0;
    if (journal->is_off)
        return FAULT_NONE;
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

enum fault journal_note(struct journal *journal, const struct store_removal *wish,
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

bool journal_gather(struct buffer *lines, const struct store_removal *wish)
{
    char line[LINE_OCTETS_MAX];
    return buffer_append(lines, (struct slice){line, line_format(wish, line)});
}

enum fault journal_write(struct journal *journal, struct slice lines, struct failure *ret_failure)
{
    ssize_t count;
    if (lines.len == 0 || journal->is_off)
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
                        enum fault (*each)(void *context, const struct store_removal *wish,
                                           struct failure *ret_failure),
                        void *context, size_t *ret_damaged, struct failure *ret_failure)
{
    struct line_texts texts;
    CLEANUP_FREE char *line = NULL;
    size_t room = 0;
    *ret_damaged = 0;
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
    enum fault fault = FAULT_NONE;
    ssize_t len;
    while (fault == FAULT_NONE && (len = getline(&line, &room, file)) > 0) {
        struct store_removal wish;
        struct slice text = {line, strcspn(line, "\n")};
        /* Zeros, where a power cut left only the room of what came next. */
        *ret_damaged += text.len < (size_t)len && line[text.len] == '\0';
        if (text.len == 0)
            continue;
        if (line_parse(text, &texts, &wish))
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
    if (folder < 0)
        return FAULT_NONE;
    if (write_new(folder, lines) &&
        disk_renameat(folder, JOURNAL_NEW_NAME, folder, JOURNAL_NAME) == 0 &&
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
        fault = journal_replace(to->folder, buffer_slice(&old), ret_failure);
    /* Also the name of the folder, before the other journal goes. */
    if (fault == FAULT_NONE && old.len > 0)
        fault = place_sync(to, ret_failure);
    if (fault == FAULT_NONE) {
        disk_unlinkat(from, JOURNAL_NEW_NAME, 0);
        disk_unlinkat(from, JOURNAL_NAME, 0);
    }
    return fault;
}
