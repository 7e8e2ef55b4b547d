/* SPDX-License-Identifier: MIT */
/*
 * The lists of the bin, and reading from it; popfsctl is built with this file as well. A line is
 *
 *     SUM DELETED DATE OCTETS OFFSET BODYSUM EOL NAME FROM SUBJECT
 *
 * with a tab between two fields: a checksum of all that follows the tab behind it, both times in
 * seconds of the epoch, where in the mail the body lies, its checksum, its line ends, and three
 * texts, which hold no control characters. A hyphen stands for what is not known, and for the
 * offset of a body that has a file of its own. A line is written with a line end before it: one
 * that a power cut tore does not spoil the next.
 *
 * After a power cut a list may be on the disk and the bodies not, which the checksums give away.
 */
#include "bin.h"

#include "disk.h"
#include "text.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_OCTETS_MAX = STORE_NAME_OCTETS_MAX + 2 * STORE_TEXT_OCTETS_MAX + 160,
    BLOCK_OCTETS = 65536,
    FIELDS_COUNT = 10,
    SUM_OCTETS = 16,
};

static const char list_suffix[] = ".list";
static const char mail_suffix[] = ".mail";
static const char ahead_suffix[] = ".ahead";

/* ---- names ---- */

void bin_list_name(uint64_t number, char ret_name[BIN_NAME_OCTETS])
{
    snprintf(ret_name, BIN_NAME_OCTETS, "%" PRIu64 "%s", number, list_suffix);
}

void bin_mail_name(uint64_t number, char ret_name[BIN_NAME_OCTETS])
{
    snprintf(ret_name, BIN_NAME_OCTETS, "%" PRIu64 "%s", number, mail_suffix);
}

void bin_ahead_name(uint64_t number, char ret_name[BIN_NAME_OCTETS])
{
    snprintf(ret_name, BIN_NAME_OCTETS, "%" PRIu64 "%s", number, ahead_suffix);
}

static bool parse_name(const char *name, uint64_t *ret_number)
{
    const char *dot = strchr(name, '.');
    return dot != NULL &&
           (strcmp(dot, list_suffix) == 0 || strcmp(dot, mail_suffix) == 0 ||
            strcmp(dot, ahead_suffix) == 0) &&
           slice_to_number((struct slice){name, (size_t)(dot - name)}, INT64_MAX, ret_number);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

static void drop_twins(uint64_t *numbers, size_t *count)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (kept == 0 || numbers[kept - 1] != numbers[i])
            numbers[kept++] = numbers[i];
    *count = kept;
}

int bin_numbers(int folder, uint64_t **ret_numbers, size_t *ret_count)
{
    struct buffer numbers = {0};
    /* A second descriptor, because closedir() closes the one it is given. */
    int copy = disk_openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *list = copy < 0 ? NULL : disk_fdopendir(copy);
    if (list == NULL) {
        int error = errno;
        cleanup_close(&copy);
        return error;
    }
    int error = 0;
    for (struct dirent *entry = disk_readdir(list); entry != NULL && error == 0;
         entry = disk_readdir(list)) {
        uint64_t number;
        if (parse_name(entry->d_name, &number) &&
            !buffer_append(&numbers, (struct slice){(const char *)&number, sizeof(number)}))
            error = ENOMEM;
    }
    disk_closedir(list);
    if (error != 0) {
        buffer_done(&numbers);
        return error;
    }
    *ret_count = numbers.len / sizeof(uint64_t);
    *ret_numbers = (uint64_t *)(void *)numbers.data;
    if (*ret_count > 0)
        qsort(*ret_numbers, *ret_count, sizeof(uint64_t), compare_numbers);
    drop_twins(*ret_numbers, ret_count);
    return 0;
}

/* ---- checksums: against accidents, nothing else ---- */

/* As FNV-1a does it, but eight octets at once, and turned, so that high bits reach low ones. */
uint64_t bin_sum(uint64_t sum, struct slice piece)
{
    while (piece.len > 0) {
        uint64_t word = 0;
        size_t len = piece.len < sizeof(word) ? piece.len : sizeof(word);
        memcpy(&word, piece.data, len);
        sum = (sum ^ le64toh(word)) * 1099511628211U;
        sum = sum << 29 | sum >> 35;
        piece = slice_skip(piece, len);
    }
    return sum;
}

static void line_sum(struct slice line, char ret_sum[SUM_OCTETS + 1])
{
    snprintf(ret_sum, SUM_OCTETS + 1, "%016" PRIx64, bin_sum(line.len, line));
}

/* ---- writing a line ---- */

/* A name that does not fit is cut; no text has a control character, and none must end its field. */
static bool append_text(struct buffer *line, struct slice text, size_t octets_max)
{
    size_t len = text.len < octets_max ? text.len : octets_max;
    if (!buffer_append_string(line, "\t") || !buffer_append(line, (struct slice){text.data, len}))
        return false;
    for (size_t i = line->len - len; i < line->len; i++)
        if ((unsigned char)line->data[i] < ' ')
            line->data[i] = ' ';
    return true;
}

static bool append_number(struct buffer *line, bool known, int64_t number)
{
    return known ? buffer_printf(line, "\t%" PRId64, number) : buffer_append_string(line, "\t-");
}

static bool append_sum(struct buffer *line, const struct store_deleted *deleted)
{
    return deleted->place.has_sum ? buffer_printf(line, "\t%016" PRIx64, deleted->place.sum)
                                  : buffer_append_string(line, "\t-");
}

bool bin_line_append(struct buffer *lines, const struct store_deleted *deleted)
{
    char sum[SUM_OCTETS + 1];
    size_t before = lines->len;
    bool done = buffer_printf(lines, "\n%0*d\t%" PRId64, SUM_OCTETS, 0, deleted->deleted_s) &&
                append_number(lines, deleted->time_s != STORE_TIME_UNKNOWN, deleted->time_s) &&
                append_number(lines, true, (int64_t)deleted->octets) &&
                append_number(lines, !deleted->place.is_link, (int64_t)deleted->place.offset) &&
                append_sum(lines, deleted) &&
                buffer_append_string(lines, deleted->lf ? "\tlf" : "\tcrlf") &&
                append_text(lines, deleted->name, STORE_NAME_OCTETS_MAX) &&
                append_text(lines, text_cut(deleted->from), STORE_TEXT_OCTETS_MAX) &&
                append_text(lines, text_cut(deleted->subject), STORE_TEXT_OCTETS_MAX);
    if (!done) {
        lines->len = before;
        return false;
    }
    char *at = lines->data + before + 1;
    size_t skipped = SUM_OCTETS + 1;
    line_sum((struct slice){at + skipped, lines->len - before - 1 - skipped}, sum);
    memcpy(at, sum, SUM_OCTETS);
    return true;
}

/* ---- reading a line ---- */

static bool split(struct slice line, struct slice fields[FIELDS_COUNT])
{
    size_t count = 0;
    for (;;) {
        const char *tab = line.len == 0 ? NULL : memchr(line.data, '\t', line.len);
        size_t len = tab == NULL ? line.len : (size_t)(tab - line.data);
        if (count == FIELDS_COUNT)
            return false;
        fields[count++] = (struct slice){line.data, len};
        if (tab == NULL)
            return count == FIELDS_COUNT;
        line = slice_skip(line, len + 1);
    }
}

static bool is_hyphen(struct slice field)
{
    return slice_equal(field, SLICE_LITERAL("-"));
}

static bool parse_time(struct slice field, int64_t *ret_time_s)
{
    uint64_t seconds;
    bool is_negative = field.len > 1 && field.data[0] == '-';
    if (!slice_to_number(slice_skip(field, is_negative), INT64_MAX, &seconds))
        return false;
    *ret_time_s = is_negative ? -(int64_t)seconds : (int64_t)seconds;
    return true;
}

static bool parse_sum(struct slice field, uint64_t *ret_sum)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t sum = 0;
    if (field.len != SUM_OCTETS)
        return false;
    for (size_t i = 0; i < field.len; i++) {
        const char *digit = memchr(digits, field.data[i], 16);
        if (digit == NULL)
            return false;
        sum = sum << 4 | (uint64_t)(digit - digits);
    }
    *ret_sum = sum;
    return true;
}

static bool parse_place(const struct slice fields[FIELDS_COUNT], struct store_deleted *deleted)
{
    deleted->place.is_link = is_hyphen(fields[4]);
    deleted->place.has_sum = !is_hyphen(fields[5]);
    return slice_to_number(fields[3], INT64_MAX, &deleted->octets) &&
           (deleted->place.is_link ||
            slice_to_number(fields[4], INT64_MAX - deleted->octets, &deleted->place.offset)) &&
           (!deleted->place.has_sum || parse_sum(fields[5], &deleted->place.sum));
}

static bool parse_line(struct slice line, uint64_t number, struct store_deleted *ret_deleted)
{
    char sum[SUM_OCTETS + 1];
    struct slice fields[FIELDS_COUNT];
    if (line.len <= SUM_OCTETS)
        return false;
    line_sum(slice_skip(line, SUM_OCTETS + 1), sum);
    if (memcmp(line.data, sum, SUM_OCTETS) != 0 || !split(line, fields))
        return false;
    *ret_deleted = (struct store_deleted){.time_s = STORE_TIME_UNKNOWN,
                                          .lf = slice_equal(fields[6], SLICE_LITERAL("lf")),
                                          .name = fields[7],
                                          .from = fields[8],
                                          .subject = fields[9]};
    ret_deleted->place.number = number;
    return parse_time(fields[1], &ret_deleted->deleted_s) &&
           (is_hyphen(fields[2]) || parse_time(fields[2], &ret_deleted->time_s)) &&
           parse_place(fields, ret_deleted);
}

/* ---- reading a list ---- */

struct reading {
    int list;
    uint64_t number, mail_octets;
    bool (*each)(void *context, const struct store_deleted *deleted);
    void *context;
    size_t len; /* of what is in `block` */
    char block[BLOCK_OCTETS];
};

/* False to stop. What a power cut tore, or a popfs that was killed left behind, is passed over. */
static bool take_line(const struct reading *reading, struct slice line)
{
    struct store_deleted deleted;
    if (!parse_line(line, reading->number, &deleted) ||
        (deleted.place.is_link ? deleted.octets != reading->mail_octets
                               : deleted.place.offset + deleted.octets > reading->mail_octets))
        return true;
    return reading->each(reading->context, &deleted);
}

/* The last line has no end: it is taken when `is_last`. False to stop. */
static bool take_lines(struct reading *reading, bool is_last)
{
    struct slice rest = {reading->block, reading->len};
    for (;;) {
        const char *end = rest.len == 0 ? NULL : memchr(rest.data, '\n', rest.len);
        if (end == NULL && !is_last)
            break;
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
        if (!take_line(reading, (struct slice){rest.data, len}))
            return false;
        if (end == NULL)
            break;
        rest = slice_skip(rest, len + 1);
    }
    /* No list of ours has a line that is as long as that. */
    if (rest.len > LINE_OCTETS_MAX)
        rest.len = 0;
    memmove(reading->block, rest.data, rest.len);
    reading->len = rest.len;
    return true;
}

static int read_list(struct reading *reading)
{
    for (;;) {
        ssize_t count = disk_read(reading->list, reading->block + reading->len,
                                  sizeof(reading->block) - reading->len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno;
        reading->len += (size_t)count;
        if (!take_lines(reading, count == 0) || count == 0)
            return 0;
    }
}

/* Nothing but a file is waited for. */
static int open_regular(int folder, const char *name, uint64_t *ret_octets)
{
    struct stat stat;
    int file = disk_openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (file < 0)
        return -1;
    if (disk_fstat(file, &stat) == 0 && S_ISREG(stat.st_mode)) {
        *ret_octets = (uint64_t)stat.st_size;
        return file;
    }
    cleanup_close(&file);
    errno = EBADMSG;
    return -1;
}

int bin_list_each(int folder, uint64_t number,
                  bool (*each)(void *context, const struct store_deleted *deleted), void *context)
{
    char name[BIN_NAME_OCTETS];
    uint64_t list_octets;
    CLEANUP_FREE struct reading *reading = malloc(sizeof(*reading));
    if (reading == NULL)
        return ENOMEM;
    *reading = (struct reading){.number = number, .each = each, .context = context};
    /* In this order: the bodies are written before the lines. */
    bin_list_name(number, name);
    CLEANUP_CLOSE int list = open_regular(folder, name, &list_octets);
    if (list < 0)
        return errno;
    bin_mail_name(number, name);
    CLEANUP_CLOSE int mail = open_regular(folder, name, &reading->mail_octets);
    if (mail < 0)
        return errno;
    reading->list = list;
    return read_list(reading);
}

/* ---- reading the bin ---- */

static int open_bin(const char *folder)
{
    return disk_openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

struct walk {
    bool (*each)(void *context, const struct store_deleted *deleted);
    void *context;
    bool is_stopped;
};

static bool walk_on(void *context, const struct store_deleted *deleted)
{
    struct walk *walk = context;
    walk->is_stopped = !walk->each(walk->context, deleted);
    return !walk->is_stopped;
}

int store_bin_each(const char *folder,
                   bool (*each)(void *context, const struct store_deleted *deleted), void *context)
{
    struct walk walk = {each, context, false};
    CLEANUP_FREE uint64_t *numbers = NULL;
    size_t count = 0;
    CLEANUP_CLOSE int bin = open_bin(folder);
    if (bin < 0)
        return errno;
    int error = bin_numbers(bin, &numbers, &count);
    for (size_t i = 0; i < count && !walk.is_stopped; i++) {
        int list_error = bin_list_each(bin, numbers[i], walk_on, &walk);
        /* ENOENT: dropped meanwhile, or left behind by a kill. The others are given all the same.
         */
        if (list_error != ENOENT && error == 0)
            error = list_error;
    }
    return error;
}

static int write_all(int file, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t count = disk_write(file, bytes.data, bytes.len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : ENOSPC;
        bytes = slice_skip(bytes, (size_t)count);
    }
    return 0;
}

/* Fills the block, or reads what is left. */
static int read_piece(int mail, uint64_t offset, char *block, size_t octets)
{
    size_t used = 0;
    while (used < octets) {
        ssize_t count = disk_pread(mail, block + used, octets - used, (off_t)(offset + used));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : EBADMSG;
        used += (size_t)count;
    }
    return 0;
}

static int read_body(int mail, const struct store_deleted *deleted, int file)
{
    char block[BLOCK_OCTETS];
    uint64_t sum = 0, done = 0;
    while (done < deleted->octets) {
        uint64_t left = deleted->octets - done;
        size_t octets = left < sizeof(block) ? (size_t)left : sizeof(block);
        int error = read_piece(mail, deleted->place.offset + done, block, octets);
        if (error == 0)
            error = write_all(file, (struct slice){block, octets});
        if (error != 0)
            return error;
        sum = bin_sum(sum, (struct slice){block, octets});
        done += octets;
    }
    return deleted->place.has_sum && sum != deleted->place.sum ? EBADMSG : 0;
}

int store_bin_read(const char *folder, const struct store_deleted *deleted, int file)
{
    char name[BIN_NAME_OCTETS];
    uint64_t octets;
    CLEANUP_CLOSE int bin = open_bin(folder);
    if (bin < 0)
        return errno;
    bin_mail_name(deleted->place.number, name);
    CLEANUP_CLOSE int mail = open_regular(bin, name, &octets);
    if (mail < 0)
        return errno;
    return read_body(mail, deleted, file);
}
