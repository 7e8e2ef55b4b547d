/* SPDX-License-Identifier: MIT */
/*
 * UIDL to file name and back. Input: octets 0 to 3 and 4 to 7 two copy numbers, octet 8 where the
 * rest is cut into two UIDLs; all of the rest is a name as well.
 *
 * Must hold: a name is one that every file system and shell can bear; two messages never share one;
 * the way back is exact; no other spelling is anybody's name.
 */
#include "names.h"
#include "target.h"

#include <string.h>

struct message {
    struct slice uidl;
    uint32_t copy;
    struct name name;
};

static void check_bearable(const struct name *name)
{
    static const char bearable[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                   "+,-.:=@^_%~";
    MUST(name->len >= 4 && name->len <= NAME_OCTETS_MAX);
    MUST(strlen(name->data) == name->len);
    MUST(strspn(name->data, bearable) == name->len);
    MUST(name->data[0] != '-');
    /* Of an empty UIDL, which no listing has, nothing stays but the suffix. */
    MUST(name->data[0] != '.' || strcmp(name->data, ".eml") == 0);
    MUST(strcmp(name->data + name->len - 4, ".eml") == 0);
}

static void check_way_back(const struct message *message)
{
    char uidl[NAME_UIDL_OCTETS_MAX];
    size_t len;
    uint32_t copy;
    bool back = name_decode(name_slice(&message->name), uidl, &len, &copy);
    /* What surely fits is never cut. */
    MUST(back || message->uidl.len * 3 + sizeof("~4294967296.eml") > NAME_OCTETS_MAX);
    if (back) {
        MUST(slice_equal((struct slice){uidl, len}, message->uidl));
        MUST(copy == message->copy);
    }
}

static void check_spelling(struct slice spelling)
{
    char uidl[NAME_UIDL_OCTETS_MAX];
    size_t len;
    uint32_t copy;
    struct name name;
    if (!name_decode(spelling, uidl, &len, &copy))
        return;
    MUST(len <= sizeof(uidl));
    MUST(name_encode((struct slice){uidl, len}, copy, &name));
    MUST(slice_equal(name_slice(&name), spelling));
}

static struct message message_of(struct slice uidl, const uint8_t *copy)
{
    struct message message = {.uidl = uidl};
    memcpy(&message.copy, copy, sizeof(message.copy));
    MUST(name_encode(message.uidl, message.copy, &message.name));
    check_bearable(&message.name);
    check_way_back(&message);
    return message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 9)
        return 0;
    struct slice rest = {(const char *)data + 9, size - 9};
    size_t cut = data[8] < rest.len ? data[8] : rest.len;
    struct message a = message_of((struct slice){rest.data, cut}, data);
    struct message b = message_of(slice_skip(rest, cut), data + 4);
    bool same = slice_equal(a.uidl, b.uidl) && a.copy == b.copy;
    MUST(slice_equal(name_slice(&a.name), name_slice(&b.name)) == same);
    check_spelling(rest);
    return 0;
}
