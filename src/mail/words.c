/* SPDX-License-Identifier: MIT */
/* By GMime and GLib, whose tables know Unicode. */
#include "words.h"

#include <string.h>

/*
 * The charsets that mail is written in. No others, because GMime remembers every name that it is
 * asked for as long as the process lives, and glibc loads a converter for it: whoever writes the
 * mail must choose neither how much memory that takes nor which code runs.
 */
static const char *const charsets[] = {
    "utf-8",        "us-ascii",     "iso-8859-1",     "iso-8859-2",   "iso-8859-3",
    "iso-8859-4",   "iso-8859-5",   "iso-8859-6",     "iso-8859-7",   "iso-8859-8",
    "iso-8859-8-i", "iso-8859-9",   "iso-8859-10",    "iso-8859-11",  "iso-8859-13",
    "iso-8859-14",  "iso-8859-15",  "iso-8859-16",    "windows-1250", "windows-1251",
    "windows-1252", "windows-1253", "windows-1254",   "windows-1255", "windows-1256",
    "windows-1257", "windows-1258", "windows-874",    "cp1250",       "cp1251",
    "cp1252",       "cp437",        "cp850",          "cp866",        "koi8-r",
    "koi8-u",       "iso-2022-jp",  "shift_jis",      "shift-jis",    "euc-jp",
    "iso-2022-kr",  "euc-kr",       "ks_c_5601-1987", "gb2312",       "gbk",
    "gb18030",      "hz-gb-2312",   "big5",           "big5-hkscs",   "tis-620",
    "utf-7",        "utf8",         "ascii",          "latin1",       "macintosh",
    "unknown-8bit", "x-unknown",    "unknown",
};

GMimeParserOptions *words_options(void)
{
    static GMimeParserOptions *options;
    static gsize once;
    /* Not g_mime_init(): it also starts GnuPG's library and seeds rand(). */
    if (g_once_init_enter(&once)) {
        const char *fallbacks[] = {"utf-8", "windows-1252", "iso-8859-1", NULL};
        g_mime_charset_map_init();
        options = g_mime_parser_options_new();
        g_mime_parser_options_set_fallback_charsets(options, fallbacks);
        g_once_init_leave(&once, 1);
    }
    return options;
}

static bool is_known_charset(struct slice name)
{
    for (size_t i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++)
        if (slice_equal_nocase(name, slice_from_string(charsets[i])))
            return true;
    return false;
}

/* The charset of what GMime might take for an encoded word, "=?charset?q?", at `at`; empty if it
 * cannot. A language may follow it (RFC 2231, 5): "=?charset*language?q?". */
static struct slice charset_at(const char *at)
{
    struct slice name = {at + 2, strcspn(at + 2, "?")};
    const char *encoding = name.data + name.len;
    if (encoding[0] != '?' || encoding[1] == '\0' || strchr("BbQq", encoding[1]) == NULL ||
        encoding[2] != '?')
        name.len = 0;
    return name;
}

/* With each charset that is none of ours as "unknown-8bit", which GMime reads as it reads raw
 * octets. A new string. */
static char *replace_unknown_charsets(const char *text)
{
    GString *out = g_string_sized_new(strlen(text));
    for (;;) {
        const char *at = strstr(text, "=?");
        if (at == NULL)
            break;
        struct slice name = charset_at(at);
        struct slice without_language = {name.data, strcspn(name.data, "?*")};
        g_string_append_len(out, text, at + 2 - text);
        text = at + 2;
        if (name.len > 0 && !is_known_charset(without_language)) {
            g_string_append(out, "unknown-8bit");
            text += name.len;
        }
    }
    g_string_append(out, text);
    return g_string_free(out, FALSE);
}

char *words_to_utf8(const char *text)
{
    if (g_utf8_validate(text, -1, NULL))
        return g_strdup(text);
    return g_mime_utils_decode_8bit(words_options(), text, strlen(text));
}

char *words_decode(const char *text)
{
    if (strstr(text, "=?") == NULL)
        return g_strdup(text);
    char *known = replace_unknown_charsets(text);
    char *decoded = g_mime_utils_header_decode_text(words_options(), known);
    g_free(known);
    return decoded;
}

enum kind { KIND_BLANK, KIND_SHOWN, KIND_DROPPED };

static enum kind kind_of(gunichar c)
{
    if (c == '\t' || c == '\n' || c == '\r')
        return KIND_BLANK;
    if (c > ' ' && c < 0x7f)
        return KIND_SHOWN;
    GUnicodeType type = g_unichar_type(c);
    if (type == G_UNICODE_SPACE_SEPARATOR || type == G_UNICODE_LINE_SEPARATOR ||
        type == G_UNICODE_PARAGRAPH_SEPARATOR)
        return KIND_BLANK;
    /* Bidirectional controls and characters without width are format characters. */
    if (type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT)
        return KIND_DROPPED;
    return KIND_SHOWN;
}

static size_t character_octets(const char *at)
{
    return (size_t)g_utf8_skip[(unsigned char)*at];
}

/* In place, valid UTF-8: nothing gets longer. */
static void drop_tricks(char *text)
{
    char *out = text;
    bool blank = false;
    for (const char *at = text; *at != '\0';) {
        size_t len = character_octets(at);
        enum kind kind = kind_of(g_utf8_get_char(at));
        if (kind == KIND_SHOWN) {
            if (blank && out != text)
                *out++ = ' ';
            for (size_t i = 0; i < len; i++)
                *out++ = at[i];
            blank = false;
        }
        blank = blank || kind == KIND_BLANK;
        at += len;
    }
    *out = '\0';
}

char *words_clean_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((*at & 0x80) != 0 || (at[0] == '=' && at[1] == '?'))
            return NULL;
    char *clean = g_strdup(text);
    drop_tricks(clean);
    return clean;
}

char *words_clean(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    drop_tricks(valid);
    if (g_str_is_ascii(valid))
        return valid;
    /* After the dropping, which may bring together what composes. */
    char *composed = g_utf8_normalize(valid, -1, G_NORMALIZE_NFC);
    g_free(valid);
    return composed;
}

struct slice words_cut(const char *text, size_t octets_max)
{
    struct slice kept = {text, strlen(text)};
    if (kept.len <= octets_max)
        return slice_trim(kept);
    kept.len = 0;
    for (const char *at = text; *at != '\0'; at += character_octets(at)) {
        if (kept.len + character_octets(at) > octets_max)
            break;
        kept.len += character_octets(at);
    }
    return slice_trim(kept);
}
