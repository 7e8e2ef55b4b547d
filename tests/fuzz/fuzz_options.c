/* SPDX-License-Identifier: MIT */
/*
 * The command line. Input: one argument a line.
 *
 * Must hold: every number is within its range, what goes to the kernel is words that mount knows, a
 * refusal is one harmless line, and no refusal shows the value of an option.
 */
#include "options.h"
#include "target.h"

#include <string.h>

enum { ARGUMENTS_MAX = 30 };

/* No end of an escape \xNN can be its start. */
static const char value[] = "tell-nobody";

static bool is_within(int64_t number, int64_t min, int64_t max)
{
    return number >= min && number <= max;
}

static void check_numbers(const struct options *options)
{
    MUST(options->port == OPTION_NOT_GIVEN || is_within(options->port, 1, 65535));
    MUST(is_within(options->tls, OPTION_NOT_GIVEN, OPTION_TLS_OFF));
    MUST(is_within(options->timeout_s, 1, 3600));
    MUST(is_within(options->keepalive_s, 0, 3600));
    MUST(is_within(options->refresh_s, 0, INT64_C(86400) * 366));
    MUST(is_within(options->idle_s, 0, INT64_C(86400) * 366));
    MUST(options->cache_octets_max >= 0 && options->lazy_octets >= 0);
    MUST(is_within(options->uid, 0, UINT32_MAX - 1));
    MUST(is_within(options->gid, 0, UINT32_MAX - 1));
    MUST(is_within(options->umask, 0, 0777));
}

static void check_texts(const struct options *options)
{
    const char *paths[] = {options->passfile, options->cafile, options->cert, options->key};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        MUST(paths[i] == NULL || paths[i][0] == '/');
    if (!options->help && !options->version)
        MUST(options->source != NULL && options->mountpoint != NULL);
}

/* libfuse would take a comma or a backslash for its own. */
static void check_kernel(struct slice words)
{
    for (size_t i = 0; i < words.len; i++)
        MUST((words.data[i] >= 'a' && words.data[i] <= 'z') || words.data[i] == '_' ||
             words.data[i] == ',' || words.data[i] == '=' ||
             (words.data[i] >= '0' && words.data[i] <= '9'));
}

static void check_refusal(const struct failure *failure, enum fault fault)
{
    MUST(fault == FAULT_REFUSED && failure->fault == fault && failure->text[0] != '\0');
    for (const char *at = failure->text; *at != '\0'; at++)
        MUST(*at >= 0x20 && *at < 0x7f);
}

/* Returns the refusal, its text empty if there was none. */
static struct failure parse(int argc, char **argv)
{
    struct options options;
    struct failure failure = {0};
    enum fault fault = options_parse(argc, argv, &options, &failure);
    if (fault == FAULT_NONE) {
        failure.text[0] = '\0';
        check_numbers(&options);
        check_texts(&options);
        check_kernel(buffer_slice(&options.kernel));
    } else {
        check_refusal(&failure, fault);
    }
    options_done(&options);
    return failure;
}

/* The first argument as the name of an option that has a value. */
static void check_value_is_not_told(const char *name)
{
    CLEANUP_BUFFER struct buffer list = {0};
    if (strstr(name, value) != NULL)
        return;
    MUST(buffer_printf(&list, "%s=%s", name, value));
    char *argv[] = {(char[]){"popfs"},    (char[]){"-o"},   list.data,
                    (char[]){"pops://a"}, (char[]){"/mnt"}, NULL};
    struct failure failure = parse(5, argv);
    MUST(strstr(failure.text, value) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    char *argv[ARGUMENTS_MAX + 2] = {(char[]){"popfs"}};
    int argc = 1;
    char *rest = text;
    char *argument;
    while (argc <= ARGUMENTS_MAX && (argument = strsep(&rest, "\n")) != NULL)
        argv[argc++] = argument;
    CLEANUP_FREE char *first = strdup(argv[1]);
    MUST(first != NULL);
    (void)parse(argc, argv);
    check_value_is_not_told(first);
    free(text);
    return 0;
}
