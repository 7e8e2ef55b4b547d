/* SPDX-License-Identifier: MIT */
/*
 * A line is
 *
 *     7 89abcdef + 4711 UIDL EVIDENCE 1700000000 FROM SUBJECT 0123abcd
 *
 * its number, the checksum of the line before it, its kind (+ is to go, ? is to go if the user says
 * so once more, - is not to go, = means nothing), what LIST said, the UIDL, the evidence in
 * hexadecimal digits, the date in seconds of the epoch, sender and subject, and a checksum of all
 * this. What is not plain in a text is %XX, and what is not known is a hyphen alone. A line of
 * another kind is passed over and kept. Lines of popfs 0.1 have no number, and end after the UIDL.
 *
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
#include "text.h"

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
    JOURNAL_UIDL_OCTETS_MAX = 1000, /* twice what any server is known to send */
    CONTENT_OCTETS_MAX = 3 * (JOURNAL_UIDL_OCTETS_MAX + 2 * STORE_TEXT_OCTETS_MAX) + 160,
    OVERGROWN_LEAST = 4096, /* lines that mean nothing any more, beyond as many as others */
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

static char kind_of(const struct store_removal *wish)
{
    if (!wish->going)
        return '-';
    return wish->held ? '?' : '+';
}

/* What stands between the checksums; 0 octets if the UIDL is too long or empty. */
static size_t content_format(const struct store_removal *wish, char content[CONTENT_OCTETS_MAX])
{
    if (wish->uidl.len == 0 || wish->uidl.len > JOURNAL_UIDL_OCTETS_MAX)
        return 0;
    size_t len = (size_t)snprintf(content, CONTENT_OCTETS_MAX, "%c %" PRIu64 " ", kind_of(wish),
                                  wish->listed_octets);
    len += escape(wish->uidl, content + len);
    len += evidence_format(&wish->evidence, content + len);
    if (wish->time_s == STORE_TIME_UNKNOWN)
        len += escape_text((struct slice){0}, content + len);
    else
        len += (size_t)snprintf(content + len, CONTENT_OCTETS_MAX - len, " %" PRId64, wish->time_s);
    len += escape_text(wish->from, content + len);
    return len + escape_text(wish->subject, content + len);
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

/* The last word is the checksum of all that stands before it; *ret_rest is that. */
static bool sum_parse(struct slice line, struct slice *ret_rest, uint32_t *ret_sum)
{
    char sum[10];
    if (line.len < sizeof(sum))
        return false;
    *ret_rest = (struct slice){line.data, line.len - 9};
    *ret_sum = checksum(*ret_rest);
    snprintf(sum, sizeof(sum), " %08" PRIx32, *ret_sum);
    return memcmp(line.data + ret_rest->len, sum, 9) == 0;
}

/* `content` of a line that is to go or not. */
static bool wish_parse(struct slice content, struct line_texts *texts,
                       struct store_removal *ret_wish)
{
    struct slice kind = slice_take_word(&content);
    struct slice octets = slice_take_word(&content);
    struct slice escaped = slice_take_word(&content);
    bool is_held = slice_equal(kind, SLICE_LITERAL("?"));
    *ret_wish = (struct store_removal){.time_s = STORE_TIME_UNKNOWN,
                                       .going = is_held || slice_equal(kind, SLICE_LITERAL("+")),
                                       .held = is_held};
    return (ret_wish->going || slice_equal(kind, SLICE_LITERAL("-"))) &&
           slice_to_number(octets, INT64_MAX, &ret_wish->listed_octets) &&
           unescape(escaped, JOURNAL_UIDL_OCTETS_MAX, texts->uidl, &ret_wish->uidl) &&
           proof_parse(content, texts, ret_wish);
}

static bool link_parse(struct slice word, uint32_t *ret_link)
{
    uint32_t link = 0;
    for (size_t i = 0; i < word.len; i++) {
        int value = digit_value(word.data[i]);
        if (value < 0)
            return false;
        link = link << 4 | (uint32_t)value;
    }
    *ret_link = link;
    return word.len == 8;
}

/* A line as it was read. */
struct line {
    uint64_t number; /* 0: of popfs 0.1 */
    uint32_t link;   /* the checksum of the line before */
    uint32_t sum;
    struct slice content;
    bool is_wish;
};

static bool line_parse(struct slice text, struct line_texts *texts, struct line *ret_line,
                       struct store_removal *ret_wish)
{
    struct slice rest;
    *ret_line = (struct line){.number = 0};
    if (!sum_parse(text, &rest, &ret_line->sum))
        return false;
    if (rest.data[0] == '+' || rest.data[0] == '-') {
        ret_line->content = rest;
        ret_line->is_wish = true;
        return wish_parse(rest, texts, ret_wish);
    }
    if (!slice_to_number(slice_take_word(&rest), INT64_MAX, &ret_line->number) ||
        ret_line->number == 0 || !link_parse(slice_take_word(&rest), &ret_line->link) ||
        rest.len < 2)
        return false;
    rest = slice_skip(rest, 1);
    ret_line->content = rest;
    struct slice kind = slice_take_word(&rest);
    ret_line->is_wish = kind.len == 1 && strchr("+-?", kind.data[0]) != NULL;
    return !ret_line->is_wish || wish_parse(ret_line->content, texts, ret_wish);
}

/* ---- the chain ---- */

static void count_content(struct journal_chain *chain, struct slice content)
{
    bool is_alone = content.len == 1 || content.data[1] == ' ';
    char kind = is_alone ? content.data[0] : '\0';
    chain->lines_count++;
    if (kind == '+' || kind == '?')
        chain->going_count++;
    else if (kind == '-')
        chain->going_count -= chain->going_count > 0;
    else if (kind != '=')
        chain->others_count++;
}

/* Adds the line end and the line. */
static bool chain_append(struct journal_chain *chain, struct slice content, struct buffer *lines)
{
    size_t at = lines->len;
    if (!buffer_printf(lines, "\n%" PRIu64 " %08" PRIx32 " ", chain->number + 1, chain->sum) ||
        !buffer_append(lines, content))
        return false;
    uint32_t sum = checksum(slice_skip(buffer_slice(lines), at + 1));
    if (!buffer_printf(lines, " %08" PRIx32, sum))
        return false;
    chain->number++;
    chain->sum = sum;
    count_content(chain, content);
    return true;
}

/* Lines of which `octets` have come to the disk: those that are whole belong to the chain. */
static bool chain_all(struct journal_chain *chain, struct slice contents, size_t octets,
                      struct buffer *lines)
{
    while (contents.len > 0) {
        const char *line_end = memchr(contents.data, '\n', contents.len);
        size_t len = line_end == NULL ? contents.len : (size_t)(line_end - contents.data);
        struct journal_chain longer = *chain;
        if (!chain_append(&longer, (struct slice){contents.data, len}, lines))
            return false;
        if (lines->len > octets)
            break;
        *chain = longer;
        contents = slice_skip(contents, len + (line_end != NULL));
    }
    return true;
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
    char content[CONTENT_OCTETS_MAX];
    size_t len = content_format(wish, content);
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
    (void)chain_all(&journal->chain, contents, written, &again);
    journal->octets += written;
}

static enum fault write_locked(struct journal *journal, struct slice contents,
                               struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    struct journal_chain chain = journal->chain;
    ssize_t count;
    if (!chain_all(&chain, contents, SIZE_MAX, &lines))
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
static void note_line(struct reading *reading, const struct line *line)
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
    count_content(chain, line->content);
}

static enum fault read_line(struct reading *reading, struct slice text, struct failure *ret_failure)
{
    const struct journal_reader *reader = reading->reader;
    struct line_texts texts;
    struct store_removal wish;
    struct line line;
    if (text.len == 0)
        return FAULT_NONE;
    if (!line_parse(text, &texts, &line, &wish)) {
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
    struct line_texts texts;
    struct store_removal wish;
    struct line line;
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
        if (line_parse(text, &texts, &line, &wish) &&
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
        !chain_all(chain, buffer_slice(&contents), SIZE_MAX, &lines) ||
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
    if (!chain_all(&chain, contents, SIZE_MAX, &lines))
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
                 buffer_printf(&lines, " %08" PRIx32, checksum((struct slice){left.data, len}));
        left = slice_skip(left, len + (line_end != NULL));
    }
    if (fault == FAULT_NONE && !(memory && buffer_append(&lines, SLICE_LITERAL("\n")) &&
                                 buffer_append(&lines, buffer_slice(&old))))
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return fault == FAULT_NONE ? replace_closed(folder, buffer_slice(&lines), ret_failure) : fault;
}
