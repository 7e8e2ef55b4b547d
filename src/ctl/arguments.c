/* SPDX-License-Identifier: MIT */
/* Letters and words into fields. Refuses to know the commands. */
#include "arguments.h"

#include <getopt.h>
#include <stdio.h>

enum { LETTER_JSON = 256 };

static bool take(int letter, struct arguments *arguments)
{
    switch (letter) {
    case 'h':
        arguments->help = true;
        return true;
    case 'V':
        arguments->version = true;
        return true;
    case LETTER_JSON:
        arguments->json = true;
        return true;
    case 'q':
        arguments->quiet = true;
        return true;
    case 'l':
        arguments->how |= UMOUNT_LAZY;
        return true;
    case 'f':
        arguments->how |= UMOUNT_FORCE;
        return true;
    case 'N':
        arguments->namespace = optarg;
        return true;
    case 'n': /* no mtab is written anyway */
    case 'r': /* a mount that is in use stays as it is */
    case 'v':
    case 't': /* there is but one type */
        return true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, const char *letters, struct arguments *ret,
                  struct failure *ret_failure)
{
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                                 {"version", no_argument, NULL, 'V'},
                                                 {"json", no_argument, NULL, LETTER_JSON},
                                                 {"quiet", no_argument, NULL, 'q'},
                                                 {"lazy", no_argument, NULL, 'l'},
                                                 {"force", no_argument, NULL, 'f'},
                                                 {0}};
    int letter;
    *ret = (struct arguments){0};
    optind = 0; /* 0, not 1: glibc then starts afresh, which tests need */
    opterr = 0;
    while ((letter = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        if (take(letter, ret))
            continue;
        char word[] = {'-', (char)optopt, '\0'}, shown[80];
        const char *wrong = optopt > 0 && optopt < LETTER_JSON ? word : argv[optind - 1];
        failure_set(ret_failure, FAULT_REFUSED, "unknown or incomplete option '%s'",
                    text_escape(slice_from_string(wrong), shown, sizeof(shown)));
        return false;
    }
    ret->operands = argv + optind;
    ret->operand_count = argc - optind;
    return true;
}

bool arguments_parse(int argc, char **argv, struct arguments *ret, struct failure *ret_failure)
{
    return parse(argc, argv, ":hVqlf", ret, ret_failure);
}

bool arguments_parse_helper(int argc, char **argv, struct arguments *ret,
                            struct failure *ret_failure)
{
    return parse(argc, argv, ":hVlfnrvN:t:", ret, ret_failure);
}
