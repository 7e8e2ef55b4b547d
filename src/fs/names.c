/* SPDX-License-Identifier: MIT */
/*
 * UIDL to file name and back.
 *
 * RFC 1939 allows 0x21 to 0x7e in a UIDL, servers send more, and '/' is common. Whatever a file
 * name cannot hold or a shell takes for its own is written %XX. '%' and '~' are always escaped, so
 * a '~' in a name can only be one of the two marks below, and no two UIDLs share a name:
 *
 *     <uidl>.eml                          the first message with this UIDL
 *     <uidl>~2.eml                        the second, and so on
 *     <start of uidl>~<32 hex digits>…    too long for a file name: ends in a digest of the whole
 * UIDL
 */
#include "names.h"

#include <stdio.h>
#include <string.h>

enum {
    DIGEST_HEX_OCTETS = 32,
    COPY_OCTETS = sizeof("~4294967296"),
};

static const char suffix[] = ".eml";
static const char upper_digits[] = "0123456789ABCDEF";
static const char lower_digits[] = "0123456789abcdef";

/* The rest is %XX: control, 8-bit, space, '/', '%', '~' and  * ? [ ] $ ` " ' \ & ; | < > ( ) { } !
 * # */
static const bool is_plain[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['+'] = true,
    [','] = true,         ['-'] = true,         ['.'] = true,         [':'] = true,
    ['='] = true,         ['@'] = true,         ['^'] = true,         ['_'] = true,
};

/* Room for a UIDL is for the text before the marks; `len` stops before it would be passed. */
struct encoder {
    char *out;
    size_t len;
    size_t room;
};

/* False if the next unit does not fit: nothing of a %XX is written then. */
static bool encode_byte(struct encoder *encoder, unsigned char byte)
{
    /* A leading dot would hide the file, a leading dash would look like an option. */
    bool leading = encoder->len == 0 && (byte == '.' || byte == '-');
    if (is_plain[byte] && !leading) {
        if (encoder->len + 1 > encoder->room)
            return false;
        encoder->out[encoder->len++] = (char)byte;
        return true;
    }
    if (encoder->len + 3 > encoder->room)
        return false;
    encoder->out[encoder->len++] = '%';
    encoder->out[encoder->len++] = upper_digits[byte >> 4];
    encoder->out[encoder->len++] = upper_digits[byte & 15];
    return true;
}

/* The length of what was written; *ret_whole says whether all of the UIDL fitted into `room`. */
static size_t encode_uidl(struct slice uidl, char *out, size_t room, bool *ret_whole)
{
    struct encoder encoder = {out, 0, room};
    size_t i = 0;
    while (i < uidl.len && encode_byte(&encoder, (unsigned char)uidl.data[i]))
        i++;
    *ret_whole = i == uidl.len;
    return encoder.len;
}

static void name_append(struct name *name, const char *text, size_t len)
{
    memcpy(name->data + name->len, text, len);
    name->len += len;
}

static bool name_append_digest(struct name *name, struct slice uidl)
{
    unsigned char digest[DIGEST_SHA256_OCTETS];
    if (!digest_sha256(uidl, digest))
        return false;
    name_append(name, "~", 1);
    for (size_t i = 0; i < DIGEST_HEX_OCTETS / 2; i++) {
        name->data[name->len++] = lower_digits[digest[i] >> 4];
        name->data[name->len++] = lower_digits[digest[i] & 15];
    }
    return true;
}

bool name_encode(struct slice uidl, uint32_t copy, struct name *ret_name)
{
    char mark[COPY_OCTETS] = "";
    size_t mark_len = 0;
    if (copy > 0)
        mark_len = (size_t)snprintf(mark, sizeof(mark), "~%llu", copy + 1ULL);

    struct name name;
    bool whole;
    size_t room = NAME_OCTETS_MAX - (sizeof(suffix) - 1) - mark_len;
    name.len = encode_uidl(uidl, name.data, room, &whole);
    if (!whole) {
        name.len = encode_uidl(uidl, name.data, room - 1 - DIGEST_HEX_OCTETS, &whole);
        if (!name_append_digest(&name, uidl))
            return false;
    }
    name_append(&name, mark, mark_len);
    name_append(&name, suffix, sizeof(suffix)); /* with its NUL */
    name.len--;
    memcpy(ret_name->data, name.data, name.len + 1);
    ret_name->len = name.len;
    return true;
}

static int hex_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(upper_digits, c);
    return at == NULL ? -1 : (int)(at - upper_digits);
}

/* Undoes %XX; false for an escape that is cut or not upper-case hex. */
static bool decode_uidl(struct slice text, char *out, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            out[len++] = text.data[i];
            continue;
        }
        if (text.len - i < 3)
            return false;
        int high = hex_value(text.data[i + 1]);
        int low = hex_value(text.data[i + 2]);
        if (high < 0 || low < 0)
            return false;
        out[len++] = (char)(high * 16 + low);
        i += 2;
    }
    *ret_len = len;
    return true;
}

/* Takes "~N" off the end of *text, if it is there. */
static bool decode_copy(struct slice *text, uint32_t *ret_copy)
{
    const char *tilde = text->len == 0 ? NULL : memchr(text->data, '~', text->len);
    *ret_copy = 0;
    if (tilde == NULL)
        return true;
    size_t before = (size_t)(tilde - text->data);
    uint64_t number;
    if (!slice_to_number(slice_skip(*text, before + 1), UINT32_MAX + 1ULL, &number) || number < 2)
        return false;
    *ret_copy = (uint32_t)(number - 1);
    text->len = before;
    return true;
}

bool name_decode(struct slice name, char ret_uidl[NAME_UIDL_OCTETS_MAX], size_t *ret_len,
                 uint32_t *ret_copy)
{
    size_t suffix_len = sizeof(suffix) - 1;
    if (name.len < suffix_len || name.len > NAME_OCTETS_MAX ||
        memcmp(name.data + name.len - suffix_len, suffix, suffix_len) != 0)
        return false;
    struct slice text = {name.data, name.len - suffix_len};
    char uidl[NAME_UIDL_OCTETS_MAX];
    size_t len;
    uint32_t copy;
    if (!decode_copy(&text, &copy) || !decode_uidl(text, uidl, &len))
        return false;
    /* Only the one right spelling counts: "%41.eml" and "A~02.eml" are nobody's name. */
    struct name again;
    if (!name_encode((struct slice){uidl, len}, copy, &again) ||
        !slice_equal(name, name_slice(&again)))
        return false;
    memcpy(ret_uidl, uidl, len);
    *ret_len = len;
    *ret_copy = copy;
    return true;
}

struct slice name_slice(const struct name *name)
{
    return (struct slice){name->data, name->len};
}
