/* SPDX-License-Identifier: MIT */
/* Who wrote a message, and about what. */
#include "words.h"

#include <string.h>

/*
 * GMime reads encoded words in a name on its own, after it has taken quotes and backslashes off, so
 * that words_decode() could not look at their charsets first. It finds none without question marks:
 * these become a character of private use meanwhile.
 */
static const char hidden_question_mark[] = "\xee\x80\x80"; /* U+E000 */

static char *replace_all(const char *text, const char *from, const char *to)
{
    if (strstr(text, from) == NULL)
        return g_strdup(text);
    char **parts = g_strsplit(text, from, -1);
    char *joined = g_strjoinv(to, parts);
    g_strfreev(parts);
    return joined;
}

static char *clean_text(const char *utf8)
{
    char *plain = words_clean_plain(utf8);
    if (plain != NULL)
        return plain;
    char *decoded = words_decode(utf8);
    char *clean = words_clean(decoded);
    g_free(decoded);
    return clean;
}

static char *clean_hidden(const char *hidden)
{
    char *shown = replace_all(hidden, hidden_question_mark, "?");
    char *clean = clean_text(shown);
    g_free(shown);
    return clean;
}

/* A name may be given and yet show nothing. */
static char *clean_address(InternetAddress *address)
{
    const char *name = internet_address_get_name(address);
    char *clean = clean_hidden(name == NULL ? "" : name);
    if (*clean != '\0' || !INTERNET_ADDRESS_IS_MAILBOX(address))
        return clean;
    g_free(clean);
    const char *mailbox = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address));
    return clean_hidden(mailbox == NULL ? "" : mailbox);
}

/* Empty if GMime can read none. */
static char *read_first_address(const char *utf8)
{
    char *hidden = replace_all(utf8, "?", hidden_question_mark);
    InternetAddressList *list = internet_address_list_parse(words_options(), hidden);
    bool found = list != NULL && internet_address_list_length(list) > 0;
    char *clean = found ? clean_address(internet_address_list_get_address(list, 0)) : g_strdup("");
    if (list != NULL)
        g_object_unref(list);
    g_free(hidden);
    return clean;
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_atom(char c)
{
    return is_alphanumeric(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Takes what `belongs` off the front, with single dots within; false if that is nothing. */
static bool skip_dotted(const char **at, bool (*belongs)(char c))
{
    const char *begin = *at;
    while (belongs(**at) || (**at == '.' && *at > begin && belongs((*at)[1])))
        ++*at;
    return *at > begin;
}

static bool is_of_domain(char c)
{
    return is_alphanumeric(c) || c == '-';
}

/* Of "Some Name <address>" in plain words, which most senders write, GMime would make the same; it
 * takes a dozen objects for that. NULL of anything else. */
static char *read_plain_name(const char *text)
{
    const char *at = text;
    while (is_atom(*at) || *at == ' ')
        at++;
    size_t name_octets = (size_t)(at - text);
    if (strspn(text, " ") == name_octets || *at++ != '<' || !skip_dotted(&at, is_atom) ||
        *at++ != '@' || !skip_dotted(&at, is_of_domain) || strcmp(at, ">") != 0)
        return NULL;
    char *name = g_strndup(text, name_octets);
    char *clean = words_clean_plain(name);
    g_free(name);
    return clean;
}

static char *read_from(const char *text)
{
    char *plain = read_plain_name(text);
    if (plain != NULL)
        return plain;
    char *utf8 = words_to_utf8(text);
    char *clean = read_first_address(utf8);
    if (*clean == '\0') {
        /* What is no address may still tell a person something. */
        g_free(clean);
        clean = clean_text(utf8);
    }
    g_free(utf8);
    return clean;
}

static char *read_text(const char *text)
{
    char *plain = words_clean_plain(text);
    if (plain != NULL)
        return plain;
    char *utf8 = words_to_utf8(text);
    char *clean = clean_text(utf8);
    g_free(utf8);
    return clean;
}

/* Takes the string over. */
static bool append_cut(char *clean, size_t octets_max, struct buffer *buffer)
{
    bool done = buffer_append(buffer, words_cut(clean, octets_max));
    g_free(clean);
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
    if ((has_from && !append_cut(read_from(from_text), octets_max, &from)) ||
        (has_subject && !append_cut(read_text(subject_text), octets_max, &subject)))
        return false;
    replace(ret_from, &from);
    replace(ret_subject, &subject);
    return true;
}

static bool append_text(const char *text, bool found, size_t octets_max, struct buffer *buffer)
{
    return !found || append_cut(read_text(text), octets_max, buffer);
}

bool mail_header_texts(struct slice header, size_t octets_max, struct mail_texts *ret_texts)
{
    enum { FROM, TO, SUBJECT, COUNT };
    static const struct slice names[COUNT] = {{"from:", 5}, {"to:", 3}, {"subject:", 8}};
    char texts[COUNT][FIELD_OCTETS_MAX];
    bool has[COUNT] = {false};
    struct slice rest = field_header(header);
    struct slice line;
    *ret_texts = (struct mail_texts){0};
    while ((!has[FROM] || !has[TO] || !has[SUBJECT]) && field_take_line(&rest, &line))
        for (size_t i = 0; i < COUNT; i++)
            if (!has[i])
                has[i] = field_read(line, names[i], &rest, texts[i]);
    return (!has[FROM] || append_cut(read_from(texts[FROM]), octets_max, &ret_texts->sender)) &&
           append_text(texts[FROM], has[FROM], octets_max, &ret_texts->from) &&
           append_text(texts[TO], has[TO], octets_max, &ret_texts->to) &&
           append_text(texts[SUBJECT], has[SUBJECT], octets_max, &ret_texts->subject);
}

void mail_texts_done(struct mail_texts *texts)
{
    buffer_done(&texts->sender);
    buffer_done(&texts->from);
    buffer_done(&texts->to);
    buffer_done(&texts->subject);
}
