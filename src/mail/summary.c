/* SPDX-License-Identifier: MIT */
/* Who wrote a message, and about what. */
#include "words.h"

/*
 * GMime reads encoded words in a name on its own, after it has taken quotes and backslashes off, so
 * that words_decode() could not look at their charsets first. It finds none without question marks:
 * these become a character of private use meanwhile.
 */
static const char hidden_question_mark[] = "\xee\x80\x80"; /* U+E000 */

static char *replace_all(const char *text, const char *from, const char *to)
{
    char **parts = g_strsplit(text, from, -1);
    char *joined = g_strjoinv(to, parts);
    g_strfreev(parts);
    return joined;
}

static bool clean_text(const char *utf8, size_t octets_max, struct buffer *text)
{
    char *decoded = words_decode(utf8);
    bool done = words_clean(decoded, octets_max, text);
    g_free(decoded);
    return done;
}

static bool clean_hidden(const char *hidden, size_t octets_max, struct buffer *text)
{
    char *shown = replace_all(hidden, hidden_question_mark, "?");
    bool done = clean_text(shown, octets_max, text);
    g_free(shown);
    return done;
}

/* A name may be given and yet show nothing. */
static bool clean_address(InternetAddress *address, size_t octets_max, struct buffer *from)
{
    const char *name = internet_address_get_name(address);
    if (name != NULL && !clean_hidden(name, octets_max, from))
        return false;
    if (from->len > 0 || !INTERNET_ADDRESS_IS_MAILBOX(address))
        return true;
    const char *mailbox = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address));
    return mailbox == NULL || clean_hidden(mailbox, octets_max, from);
}

static bool read_first_address(const char *utf8, size_t octets_max, struct buffer *from)
{
    char *hidden = replace_all(utf8, "?", hidden_question_mark);
    InternetAddressList *list = internet_address_list_parse(words_options(), hidden);
    bool done = true;
    if (list != NULL && internet_address_list_length(list) > 0)
        done = clean_address(internet_address_list_get_address(list, 0), octets_max, from);
    if (list != NULL)
        g_object_unref(list);
    g_free(hidden);
    return done;
}

static bool read_from(const char *text, size_t octets_max, struct buffer *from)
{
    char *utf8 = words_to_utf8(text);
    bool done = read_first_address(utf8, octets_max, from);
    /* What GMime cannot read may still tell a person something. */
    if (done && from->len == 0)
        done = clean_text(utf8, octets_max, from);
    g_free(utf8);
    return done;
}

static bool read_subject(const char *text, size_t octets_max, struct buffer *subject)
{
    char *utf8 = words_to_utf8(text);
    bool done = clean_text(utf8, octets_max, subject);
    g_free(utf8);
    return done;
}

static void replace(struct buffer *buffer, struct buffer *with)
{
    buffer_done(buffer);
    *buffer = *with;
    *with = (struct buffer){0};
}

bool mail_header_summary(struct slice header, size_t octets_max, struct buffer *ret_from,
                         struct buffer *ret_subject)
{
    char from_text[FIELD_OCTETS_MAX];
    char subject_text[FIELD_OCTETS_MAX];
    bool has_from = false;
    bool has_subject = false;
    struct slice rest = field_header(header);
    struct slice line;
    while ((!has_from || !has_subject) && field_take_line(&rest, &line)) {
        if (!has_from)
            has_from = field_read(line, SLICE_LITERAL("from:"), &rest, from_text);
        if (!has_subject)
            has_subject = field_read(line, SLICE_LITERAL("subject:"), &rest, subject_text);
    }

    CLEANUP_BUFFER struct buffer from = {0};
    CLEANUP_BUFFER struct buffer subject = {0};
    if ((has_from && !read_from(from_text, octets_max, &from)) ||
        (has_subject && !read_subject(subject_text, octets_max, &subject)))
        return false;
    replace(ret_from, &from);
    replace(ret_subject, &subject);
    return true;
}
