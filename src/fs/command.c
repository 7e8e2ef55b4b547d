/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <string.h>

static const struct {
    const char *word;
    bool about_removal;
    bool may_have_name, must_have_name;
} commands[] = {
    [COMMAND_COMMIT] = {"commit", true, false, false},
    [COMMAND_SETTLE] = {"settle", true, false, false},
    [COMMAND_REFRESH] = {"refresh", false, false, false},
    [COMMAND_ROLLBACK] = {"rollback", true, false, false},
    [COMMAND_UNDELETE] = {"undelete", true, true, true},
    [COMMAND_PREFETCH] = {"prefetch", false, true, false},
    [COMMAND_VERIFY] = {"verify", false, true, false},
    [COMMAND_KEEP] = {"keep", true, false, false},
};

static struct slice without_line_end(struct slice line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\n')
        line.len--;
    return line;
}

bool command_parse(struct slice line, struct command *ret_command)
{
    struct slice rest = without_line_end(line);
    if (line.len > COMMAND_OCTETS_MAX || memchr(rest.data, '\n', rest.len) != NULL ||
        memchr(rest.data, '\0', rest.len) != NULL)
        return false;
    struct slice word = slice_take_word(&rest);
    struct slice name = slice_trim(rest);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!slice_equal(word, slice_from_string(commands[i].word)))
            continue;
        if (name.len > 0 ? !commands[i].may_have_name : commands[i].must_have_name)
            return false;
        *ret_command = (struct command){.verb = (enum command_verb)i, .name = name};
        return true;
    }
    return false;
}

bool command_is_about_removal(enum command_verb verb)
{
    return commands[verb].about_removal;
}
