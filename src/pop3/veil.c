/* SPDX-License-Identifier: MIT */
/*
 * A text is read as it stands, with %41 for A, and with \x41 for A; and each reading once more for
 * what the base64 in it holds. Each octet that was read knows where in the text it came from, so
 * that what is found can be covered there.
 */
#include "veil.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Of a secret in a row: less of it may be chance, and tells little. */
    PIECE_OCTETS = 8,
    /* Longer secrets are tokens: their pieces are longer, and looked for by their hashes. */
    PIECES_OF_OCTETS = 256,
    TOKEN_PIECE_OCTETS = 16,
    /* Of a shorter password, stars would tell which letters of a well-known text it is. */
    STARRED_OCTETS_LEAST = 4,
    /* Of a shorter one, stars stand for a word alone: "la*** con***" tells it. */
    STARRED_INSIDE_WORDS_LEAST = 8,
    /* Of what was said: shorter is no proof of anything ("=", "AQ=="). */
    WORD_OCTETS_LEAST = 16,
};

struct pop3_veil_word {
    struct pop3_veil_word *next;
    size_t len;
    char text[];
};

/* How octets are written. */
enum reading { READING_PLAIN, READING_PERCENT, READING_BACKSLASH, READINGS_COUNT };

/* Octets that were read, and for each of them, and for the end, where it was read. */
struct reader {
    size_t len;
    char octets[POP3_VEIL_OCTETS_MAX];
    uint16_t from[POP3_VEIL_OCTETS_MAX + 1];
};

/* In a text. */
enum found { FOUND_NOTHING, FOUND_PIECE, FOUND_WHOLE };

struct pop3_veil_work {
    struct reader outer, decoded, inner; /* the text; of it, base64; of that, once more */
    char marks[POP3_VEIL_OCTETS_MAX];    /* enum found: of which secrets the octets are */
};

/* ---- secrets ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same_piece(const char *a, const char *b)
{
    size_t i = 0;
    while (i < TOKEN_PIECE_OCTETS && lower(a[i]) == lower(b[i]))
        i++;
    return i == TOKEN_PIECE_OCTETS;
}

static size_t piece_hash(const char *octets)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < TOKEN_PIECE_OCTETS; i++)
        hash = (hash ^ (unsigned char)lower(octets[i])) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32);
}

/* Of the same pieces at several places the first one is enough. */
static bool index_pieces(struct pop3_veil *veil)
{
    size_t count = veil->password.len - TOKEN_PIECE_OCTETS + 1;
    size_t room = 1;
    while (room < 2 * count)
        room *= 2;
    veil->pieces = calloc(room, sizeof(veil->pieces[0]));
    if (veil->pieces == NULL)
        return false;
    veil->pieces_mask = room - 1;
    for (size_t i = 0; i < count; i++) {
        const char *piece = veil->password.data + i;
        size_t at = piece_hash(piece) & veil->pieces_mask;
        while (veil->pieces[at] != 0 &&
               !same_piece(veil->password.data + veil->pieces[at] - 1, piece))
            at = (at + 1) & veil->pieces_mask;
        if (veil->pieces[at] == 0)
            veil->pieces[at] = (uint32_t)i + 1;
    }
    return true;
}

bool pop3_veil_init(struct pop3_veil *veil, const char *password)
{
    /* A server may drop blanks at its ends. */
    *veil = (struct pop3_veil){.password = slice_trim(slice_from_string(password))};
    if (veil->password.len == 0)
        return true;
    veil->work = calloc(1, sizeof(*veil->work));
    return veil->work != NULL && (veil->password.len <= PIECES_OF_OCTETS || index_pieces(veil));
}

void pop3_veil_done(struct pop3_veil *veil)
{
    while (veil->words != NULL) {
        struct pop3_veil_word *word = veil->words;
        veil->words = word->next;
        secret_wipe(word->text, word->len);
        free(word);
    }
    if (veil->pieces != NULL)
        secret_wipe(veil->pieces, (veil->pieces_mask + 1) * sizeof(veil->pieces[0]));
    free(veil->pieces);
    free(veil->work);
    buffer_done(&veil->covered);
    *veil = (struct pop3_veil){0};
}

/* ---- reading ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` digits of a base of 16 or 8 at the front of the text; -1 if they are not. */
static long digits_value(struct slice text, size_t count, int base)
{
    long value = 0;
    if (text.len < count)
        return -1;
    for (size_t i = 0; i < count; i++) {
        int digit = hex_value(text.data[i]);
        if (digit < 0 || digit >= base)
            return -1;
        value = value * base + digit;
    }
    return value;
}

static void reader_put(struct reader *reader, long octet, size_t from)
{
    if (reader->len == sizeof(reader->octets))
        return;
    reader->octets[reader->len] = (char)octet;
    reader->from[reader->len++] = (uint16_t)from;
}

/* A code point below 2^16, as the UTF-8 that a password has in its place. */
static void reader_put_point(struct reader *reader, long point, size_t from)
{
    if (point < 0x80) {
        reader_put(reader, point, from);
        return;
    }
    if (point < 0x800) {
        reader_put(reader, 0xc0 | point >> 6, from);
    } else {
        reader_put(reader, 0xe0 | point >> 12, from);
        reader_put(reader, 0x80 | (point >> 6 & 0x3f), from);
    }
    reader_put(reader, 0x80 | (point & 0x3f), from);
}

/* How many octets of the text, which begins with a backslash, stand for what was put. */
static size_t read_backslash(struct reader *reader, struct slice text, size_t from)
{
    struct slice rest = slice_skip(text, 2);
    char kind = text.len < 2 ? '\\' : text.data[1];
    if (kind == 'x' && digits_value(rest, 2, 16) >= 0) {
        reader_put(reader, digits_value(rest, 2, 16), from);
        return 4;
    }
    if (kind == 'u' && digits_value(rest, 4, 16) >= 0) {
        reader_put_point(reader, digits_value(rest, 4, 16), from);
        return 6;
    }
    if (digits_value(slice_skip(text, 1), 3, 8) >= 0) {
        reader_put(reader, digits_value(slice_skip(text, 1), 3, 8), from);
        return 4;
    }
    reader_put(reader, kind == 't' ? '\t' : kind, from);
    return text.len < 2 ? 1 : 2;
}

static size_t read_percent(struct reader *reader, struct slice text, size_t from)
{
    long octet = digits_value(slice_skip(text, 1), 2, 16);
    reader_put(reader, octet < 0 ? '%' : octet, from);
    return octet < 0 ? 1 : 3;
}

static void reader_read(struct reader *reader, enum reading reading, struct slice text)
{
    reader->len = 0;
    for (size_t at = 0; at < text.len;) {
        char c = text.data[at];
        if (reading == READING_PERCENT && c == '%') {
            at += read_percent(reader, slice_skip(text, at), at);
        } else if (reading == READING_BACKSLASH && c == '\\') {
            at += read_backslash(reader, slice_skip(text, at), at);
        } else {
            /* A space in a form is a plus. */
            reader_put(reader, reading == READING_PERCENT && c == '+' ? ' ' : c, at);
            at++;
        }
    }
    reader->from[reader->len] = (uint16_t)text.len;
}

/* False: that reading gives what the plain one gives. */
static bool reading_matters(enum reading reading, struct slice text)
{
    static const char signs[READINGS_COUNT] = {[READING_PERCENT] = '%', [READING_BACKSLASH] = '\\'};
    return reading == READING_PLAIN || memchr(text.data, signs[reading], text.len) != NULL;
}

/* Of both alphabets (RFC 4648, 4 and 5); -1 for any other character. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

static void reader_decode(struct reader *reader, struct slice base64)
{
    unsigned bits = 0;
    unsigned count = 0;
    reader->len = 0;
    for (size_t i = 0; i < base64.len && base64_value(base64.data[i]) >= 0; i++) {
        bits = bits << 6 | (unsigned)base64_value(base64.data[i]);
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        reader_put(reader, bits >> count & 0xff, i);
    }
}

/* ---- finding ---- */

/* How many octets the two have in common at their fronts, but for their case. */
static size_t common_octets(struct slice a, struct slice b)
{
    size_t most = a.len < b.len ? a.len : b.len;
    size_t count = 0;
    while (count < most && lower(a.data[count]) == lower(b.data[count]))
        count++;
    return count;
}

/* Of the octets at the front of `text`, how many are the secret or a piece of it; 0: too few. */
static size_t piece_octets(struct slice text, struct slice secret)
{
    size_t least = secret.len < PIECE_OCTETS ? secret.len : PIECE_OCTETS;
    size_t pieces = secret.len <= PIECES_OF_OCTETS ? secret.len - least + 1 : 1;
    size_t most = 0;
    for (size_t i = 0; i < pieces && text.len >= least; i++) {
        size_t count = common_octets(text, slice_skip(secret, i));
        if (count >= least && count > most)
            most = count;
    }
    return most;
}

static enum found more(enum found a, enum found b)
{
    return a > b ? a : b;
}

static void mark(char *marks, size_t from, size_t end, enum found found)
{
    for (size_t i = from; i < end; i++)
        marks[i] = (char)more((enum found)marks[i], found);
}

/* The same for a password that is a token. */
static size_t token_octets(const struct pop3_veil *veil, struct slice text)
{
    if (text.len < TOKEN_PIECE_OCTETS)
        return 0;
    size_t at = piece_hash(text.data) & veil->pieces_mask;
    for (; veil->pieces[at] != 0; at = (at + 1) & veil->pieces_mask) {
        size_t count = common_octets(text, slice_skip(veil->password, veil->pieces[at] - 1));
        if (count >= TOKEN_PIECE_OCTETS)
            return count;
    }
    return 0;
}

/* Marks where a piece of the token is; nobody knows a word of it, so it tells nothing. */
static enum found find_token(const struct pop3_veil *veil, const struct reader *reader, char *marks)
{
    enum found found = FOUND_NOTHING;
    for (size_t i = 0; i < reader->len; i++) {
        size_t count = token_octets(veil, (struct slice){reader->octets + i, reader->len - i});
        if (count == 0)
            continue;
        found = FOUND_WHOLE;
        if (marks != NULL)
            mark(marks, reader->from[i], reader->from[i + count], found);
    }
    return found;
}

/* Marks where the secret is, unless that is of no interest. */
static enum found find_secret(const struct reader *reader, struct slice secret, bool pieces_tell,
                              char *marks)
{
    enum found found = FOUND_NOTHING;
    for (size_t i = 0; i < reader->len; i++) {
        size_t count = piece_octets((struct slice){reader->octets + i, reader->len - i}, secret);
        enum found here = count < secret.len && pieces_tell ? FOUND_PIECE : FOUND_WHOLE;
        if (count == 0)
            continue;
        found = more(found, here);
        if (marks != NULL)
            mark(marks, reader->from[i], reader->from[i + count], here);
    }
    return found;
}

static enum found find_secrets(const struct pop3_veil *veil, const struct reader *reader,
                               char *marks)
{
    enum found found = veil->pieces != NULL ? find_token(veil, reader, marks)
                                            : find_secret(reader, veil->password, true, marks);
    /* A proof is no word that anybody knows: a piece of it tells nothing. */
    for (const struct pop3_veil_word *word = veil->words; word != NULL; word = word->next)
        found =
            more(found, find_secret(reader, (struct slice){word->text, word->len}, false, marks));
    return found;
}

static enum found holds_secret(const struct pop3_veil *veil, struct slice text)
{
    struct reader *reader = &veil->work->inner;
    enum found found = FOUND_NOTHING;
    for (enum reading reading = READING_PLAIN; text.len > 0 && reading < READINGS_COUNT;
         reading++) {
        if (!reading_matters(reading, text))
            continue;
        reader_read(reader, reading, text);
        found = more(found, find_secrets(veil, reader, NULL));
    }
    return found;
}

/* Characters of base64 in a row may begin with some that do not belong to it. */
static enum found base64_holds_secret(const struct pop3_veil *veil, struct slice base64)
{
    struct reader *decoded = &veil->work->decoded;
    enum found found = FOUND_NOTHING;
    for (size_t i = 0; i < 4; i++) {
        reader_decode(decoded, slice_skip(base64, i));
        found = more(found, holds_secret(veil, (struct slice){decoded->octets, decoded->len}));
    }
    return found;
}

static enum found find_base64(const struct pop3_veil *veil, const struct reader *reader,
                              char *marks)
{
    enum found found = FOUND_NOTHING;
    for (size_t at = 0, len; at < reader->len; at += len + 1) {
        for (len = 0; at + len < reader->len && base64_value(reader->octets[at + len]) >= 0;)
            len++;
        if (len < 2)
            continue;
        enum found held = base64_holds_secret(veil, (struct slice){reader->octets + at, len});
        if (held == FOUND_NOTHING)
            continue;
        found = more(found, held);
        while (at + len < reader->len && reader->octets[at + len] == '=')
            len++;
        mark(marks, reader->from[at], reader->from[at + len], held);
    }
    return found;
}

/* ---- covering ---- */

/* Nothing read is longer than the text. */
static void wipe_work(struct pop3_veil_work *work, size_t octets)
{
    secret_wipe(work->outer.octets, octets);
    secret_wipe(work->decoded.octets, octets);
    secret_wipe(work->inner.octets, octets);
    memset(work->marks, 0, octets);
}

static enum found mark_secrets(struct pop3_veil *veil, struct slice text)
{
    struct reader *reader = &veil->work->outer;
    enum found found = FOUND_NOTHING;
    for (enum reading reading = READING_PLAIN; reading < READINGS_COUNT; reading++) {
        if (!reading_matters(reading, text))
            continue;
        reader_read(reader, reading, text);
        found = more(found, find_secrets(veil, reader, veil->work->marks));
        found = more(found, find_base64(veil, reader, veil->work->marks));
    }
    return found;
}

static bool is_of_word(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

/* No word has more than what is marked in it. */
static bool marks_are_words(const char *marks, struct slice text)
{
    for (size_t i = 1; i < text.len; i++)
        if ((marks[i] != 0) != (marks[i - 1] != 0) && is_of_word(text.data[i]) &&
            is_of_word(text.data[i - 1]))
            return false;
    return true;
}

/* Stars in the place of the secrets do not tell what these are. */
static bool can_be_starred(const struct pop3_veil *veil, struct slice text)
{
    const char *marks = veil->work->marks;
    if (memchr(marks, FOUND_PIECE, text.len) != NULL)
        return false; /* a piece that is no part of a whole one */
    return veil->password.len >= STARRED_INSIDE_WORDS_LEAST ||
           (veil->password.len >= STARRED_OCTETS_LEAST && marks_are_words(marks, text));
}

/* In `covered`. False for want of memory. */
static bool put_stars(struct pop3_veil *veil, struct slice text)
{
    const char *marks = veil->work->marks;
    veil->covered.len = 0;
    for (size_t at = 0, len; at < text.len; at += len) {
        for (len = 1; at + len < text.len && marks[at + len] == marks[at];)
            len++;
        struct slice part = {text.data + at, len};
        if (!buffer_append(&veil->covered, marks[at] ? SLICE_LITERAL("***") : part))
            return false;
    }
    return true;
}

struct slice pop3_veil_over(struct pop3_veil *veil, struct slice text)
{
    if (veil->password.len == 0 || text.len == 0)
        return text;
    if (text.len > POP3_VEIL_OCTETS_MAX)
        text.len = POP3_VEIL_OCTETS_MAX;
    bool found = mark_secrets(veil, text) != FOUND_NOTHING;
    bool stars = found && can_be_starred(veil, text) && put_stars(veil, text);
    wipe_work(veil->work, text.len);
    if (!found)
        return text;
    return stars ? buffer_slice(&veil->covered) : SLICE_LITERAL("***");
}

const char *pop3_veil_escape(struct pop3_veil *veil, struct slice text, char *out, size_t capacity)
{
    return text_escape(pop3_veil_over(veil, text), out, capacity);
}

/* ---- what was said ---- */

static bool add_word(struct pop3_veil *veil, struct slice text)
{
    if (text.len < WORD_OCTETS_LEAST)
        return true;
    struct pop3_veil_word *word = malloc(sizeof(*word) + text.len);
    if (word == NULL)
        return false;
    word->next = veil->words;
    word->len = text.len;
    memcpy(word->text, text.data, text.len);
    veil->words = word;
    return true;
}

/* What stands behind the last space or comma: CRAM-MD5's digest, SCRAM's proof. */
static struct slice last_word(struct slice text)
{
    size_t at = text.len;
    while (at > 0 && text.data[at - 1] != ' ' && text.data[at - 1] != ',')
        at--;
    return slice_skip(text, at);
}

bool pop3_veil_add(struct pop3_veil *veil, struct slice said)
{
    if (veil->password.len == 0 || said.len > POP3_VEIL_OCTETS_MAX ||
        slice_equal(slice_trim(said), veil->password))
        return true;
    struct reader *decoded = &veil->work->decoded;
    bool added = base64_holds_secret(veil, said) != FOUND_NOTHING;
    if (!added) {
        reader_decode(decoded, said);
        added = add_word(veil, said) &&
                add_word(veil, last_word((struct slice){decoded->octets, decoded->len}));
    }
    wipe_work(veil->work, said.len);
    return added;
}
