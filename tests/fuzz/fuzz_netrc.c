/* SPDX-License-Identifier: MIT */
/*
 * ~/.netrc. Input: octet 0 the user (even: nobody said), then the file.
 *
 * Must hold: what is found lies within the file and is what was asked for; an entry for another
 * machine before it changes nothing.
 */
#include "netrc.h"
#include "target.h"

#include <string.h>

/* Reads a copy, because quoted words are unquoted in place. */
struct found {
    struct buffer text;
    bool found;
    struct netrc_entry entry;
};

static struct found find(const char *before, struct slice file, const char *user)
{
    struct found found = {.entry.login = SLICE_LITERAL("kept")};
    MUST(buffer_append_string(&found.text, before) && buffer_append(&found.text, file));
    /* Of its own length, so that a sanitizer sees a read past the end. */
    found.text.data = realloc(found.text.data, found.text.len);
    MUST(found.text.data != NULL);
    found.found =
        netrc_find(found.text.data, found.text.len, "pop.example.org", user, &found.entry);
    if (!found.found)
        MUST(slice_equal(found.entry.login, SLICE_LITERAL("kept")));
    return found;
}

static void check_within(const struct found *found, struct slice word)
{
    const char *start = found->text.data;
    MUST(word.len == 0 || (word.data >= start && word.data + word.len <= start + found->text.len));
}

static void check_entry(const struct found *found, const char *user)
{
    const struct netrc_entry *entry = &found->entry;
    check_within(found, entry->login);
    check_within(found, entry->password);
    if (user == NULL)
        MUST(entry->login.len > 0);
    else
        MUST(entry->password.len > 0 &&
             (entry->login.len == 0 || slice_equal(entry->login, slice_from_string(user))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *user = data[0] % 2 == 0 ? NULL : "alice";
    struct slice file = {(const char *)data + 1, size - 1};
    struct found alone = find(" ", file, user);
    struct found second = find("machine other.example.org login x password y\n", file, user);
    MUST(alone.found == second.found);
    if (alone.found) {
        check_entry(&alone, user);
        check_entry(&second, user);
        MUST(slice_equal(alone.entry.login, second.entry.login));
        MUST(slice_equal(alone.entry.password, second.entry.password));
    }
    buffer_done(&alone.text);
    buffer_done(&second.text);
    return 0;
}
