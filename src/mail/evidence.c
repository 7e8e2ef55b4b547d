/* SPDX-License-Identifier: MIT */
/*
 * Evidence of a message. The header is first brought into a form that is the same for TOP and RETR,
 * and for each server that folds, trims or ends lines in its own way; that form is digested. A line
 * end cannot occur within a value, so it separates them.
 */
#include "field.h"

#include <string.h>

enum { PROVING_COUNT = 4, MESSAGE_ID = 0 };

struct form {
    bool takes_all;     /* fields count that do not prove by themselves */
    struct buffer text; /* all fields that count, a line each */
    struct {
        size_t begin, end; /* of the first field of that name in `text`; equal: there is none */
    } proving[PROVING_COUNT];
};

static const char *const proving_names[PROVING_COUNT] = {"message-id", "date", "from", "subject"};

static bool is_servers_own(struct slice name)
{
    return slice_equal_nocase(name, SLICE_LITERAL("status")) ||
           slice_equal_nocase(name, SLICE_LITERAL("x-status")) ||
           slice_equal_nocase(name, SLICE_LITERAL("x-uidl"));
}

/* The name of a field and the rest of its first line; an empty name where the line has none, as
 * that which mbox puts before a message. */
static struct slice split_name(struct slice line, struct slice *ret_rest)
{
    const char *colon = line.len == 0 ? NULL : memchr(line.data, ':', line.len);
    struct slice name = {line.data, colon == NULL ? 0 : (size_t)(colon - line.data)};
    name = slice_trim(name);
    if (memchr(name.data, ' ', name.len) != NULL || memchr(name.data, '\t', name.len) != NULL)
        name.len = 0;
    *ret_rest = name.len == 0 ? line : slice_skip(line, (size_t)(colon - line.data) + 1);
    return name;
}

static bool append_name(struct buffer *text, struct slice name)
{
    size_t begin = text->len;
    if (!buffer_append(text, name) || !buffer_append(text, SLICE_LITERAL(":")))
        return false;
    for (size_t i = begin; i < text->len; i++)
        if (text->data[i] >= 'A' && text->data[i] <= 'Z')
            text->data[i] = (char)(text->data[i] + ('a' - 'A'));
    return true;
}

/* The words of the line, one blank before each. */
static bool append_words(struct buffer *text, struct slice line)
{
    for (;;) {
        struct slice word = slice_take_word(&line);
        if (word.len == 0)
            return true;
        if (!buffer_append(text, SLICE_LITERAL(" ")) || !buffer_append(text, word))
            return false;
    }
}

/* PROVING_COUNT: none of them. */
static size_t find_proving(struct slice name)
{
    size_t i = 0;
    while (i < PROVING_COUNT && !slice_equal_nocase(name, slice_from_string(proving_names[i])))
        i++;
    return i;
}

static void note_proving(struct form *form, size_t which, size_t value_begin, size_t begin)
{
    if (which < PROVING_COUNT && form->proving[which].end == 0 && form->text.len > value_begin) {
        form->proving[which].begin = begin;
        form->proving[which].end = form->text.len;
    }
}

static bool is_continued(struct slice rest)
{
    return rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t');
}

/* Counts the line against what is left; an LF stands for its end, whatever ended it. */
static bool fits(struct slice line, size_t *left)
{
    if (line.len + 1 > *left)
        return false;
    *left -= line.len + 1;
    return true;
}

enum taken { TAKEN_FIELD, TAKEN_ALL, TAKEN_NO_MEMORY };

/* Takes one field with its further lines off the front; its text only if it counts. */
static enum taken take_field(struct form *form, struct slice *rest, size_t *left)
{
    struct slice line;
    size_t begin = form->text.len;
    if (!field_take_line(rest, &line) || !fits(line, left))
        return TAKEN_ALL;
    struct slice name = split_name(line, &line);
    size_t which = find_proving(name);
    bool counts = form->takes_all ? !is_servers_own(name) : which < PROVING_COUNT;
    bool done = !counts || append_name(&form->text, name);
    size_t value_begin = form->text.len;
    done = done && (!counts || append_words(&form->text, line));
    while (done && is_continued(*rest) && field_take_line(rest, &line)) {
        if (!fits(line, left)) {
            form->text.len = begin;
            return TAKEN_ALL;
        }
        done = !counts || append_words(&form->text, line);
    }
    if (!done || (counts && !buffer_append(&form->text, SLICE_LITERAL("\n"))))
        return TAKEN_NO_MEMORY;
    note_proving(form, which, value_begin + 1, begin);
    return TAKEN_FIELD;
}

static enum taken take_all(struct form *form, struct slice header)
{
    struct slice rest = field_header(header);
    size_t left = MAIL_EVIDENCE_OCTETS_MAX;
    enum taken taken;
    do
        taken = take_field(form, &rest, &left);
    while (taken == TAKEN_FIELD);
    return taken;
}

static bool digest_proving(const struct form *form, struct evidence *evidence)
{
    CLEANUP_BUFFER struct buffer text = {0};
    bool done = buffer_append_string(&text, "fields\n");
    for (size_t i = 0; done && i < PROVING_COUNT; i++) {
        size_t begin = form->proving[i].begin;
        if (form->proving[i].end > 0)
            done = buffer_append(
                &text, (struct slice){form->text.data + begin, form->proving[i].end - begin});
    }
    return done && digest_sha256(buffer_slice(&text), evidence->octets);
}

static bool digest_all(const struct form *form, struct evidence *evidence)
{
    CLEANUP_BUFFER struct buffer text = {0};
    return buffer_append_string(&text, "header\n") &&
           buffer_append(&text, buffer_slice(&form->text)) &&
           digest_sha256(buffer_slice(&text), evidence->octets);
}

void mail_evidence(struct slice header, struct evidence *ret_evidence)
{
    struct form form = {0};
    struct evidence evidence = {0};
    bool done = take_all(&form, header) == TAKEN_ALL;
    if (done && form.proving[MESSAGE_ID].end > 0) {
        done = digest_proving(&form, &evidence);
    } else if (done) {
        form.text.len = 0;
        form.takes_all = true;
        done = take_all(&form, header) == TAKEN_ALL && form.text.len > 0 &&
               digest_all(&form, &evidence);
    }
    evidence.octets[sizeof(evidence.octets) - 1] &= 0xfe;
    *ret_evidence = done ? evidence : (struct evidence){0};
    buffer_done(&form.text);
}
