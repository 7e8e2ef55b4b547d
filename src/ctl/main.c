/* SPDX-License-Identifier: MIT */
/*
 * popfsctl: has a mounted popfs do something, and says how it went. Called umount.fuse.popfs it is
 * the helper that umount(8) runs for such mounts.
 *
 *     main        which command, on which mount
 *     arguments   the command line
 *     place       the mount, from the kernel's table
 *     commands, commit, bin, umount   what each command does
 *     job         has one line carried out, with a bar meanwhile; puts errors into words
 *     control, status, progress   the two files of .popfs, and the bar
 *     ending      the wait for the process behind a mount
 *     report, harmless            what the caller reads
 *
 * It knows .popfs/control, .popfs/status.json and the folder of the bin, and nothing else of popfs.
 */
#include "arguments.h"
#include "commands.h"
#include "exit.h"
#include "interrupt.h"
#include "umount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: popfsctl [--json] [-q] COMMAND MOUNTPOINT [NAME...]\n"
    "\n"
    "  status      what goes on\n"
    "  refresh     look for new mail\n"
    "  commit      delete on the server what was removed\n"
    "  undelete    bring back removed messages: NAME...\n"
    "  rollback    bring back all of them\n"
    "  prefetch    fetch messages to the local disk: NAME..., or all\n"
    "  verify      find damage in the local copies, fetch those again: NAME..., or all\n"
    "  bin         list what was deleted and is kept; copy messages out of it: NAME...\n"
    "  umount      commit, unmount, and wait for the end (-l lazily, -f by force: no commit)\n"
    "\n"
    "  --json  one JSON object on stdout    -q  only say what went wrong\n"
    "  -h      this help                    -V  version\n"
    "\n"
    "The manual, popfsctl(1), says the rest.\n";

enum { NAMES_ANY = 1 << 30 };

static const struct command {
    const char *word;
    int names_min, names_max;
    int (*run)(struct job *job); /* NULL: umount, which is not like the others */
} commands[] = {
    {"status", 0, 0, command_status},
    {"refresh", 0, 0, command_refresh},
    {"commit", 0, 0, command_commit},
    {"undelete", 1, NAMES_ANY, command_undelete},
    {"rollback", 0, 0, command_rollback},
    {"prefetch", 0, NAMES_ANY, command_prefetch},
    {"verify", 0, NAMES_ANY, command_verify},
    {"bin", 0, NAMES_ANY, command_bin},
    {"umount", 0, 0, NULL},
};

static const struct command *find_command(const char *word)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].word, word) == 0)
            return &commands[i];
    return NULL;
}

/* The command that was meant; NULL: it is like none. */
static const char *find_nearest(const char *word)
{
    static const struct {
        const char *word, *meant;
    } others[] = {{"unmount", "umount"},
                  {"sync", "commit"},
                  {"delete", "commit"},
                  {"fetch", "prefetch"},
                  {"restore", "undelete"}};
    size_t distance = 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(others[i].word, word) == 0)
            return others[i].meant;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct slice candidate = slice_from_string(commands[i].word);
        size_t away = text_distance(slice_from_string(word), candidate);
        if (away < distance) {
            distance = away;
            nearest = commands[i].word;
        }
    }
    return nearest;
}

static int no_mount(struct job *job, const char *path, int error, int code)
{
    report_problem(&job->report, error == ENODEV ? "%s is not a popfs mount point" : "%s: %s", path,
                   strerror(error));
    return code;
}

/* What umount(8) takes: the mount point itself, and nothing below it, or the source. */
static int find_to_unmount(const char *word, struct place *place)
{
    int error = place_find(word, place);
    if (error == 0)
        return place->is_root ? 0 : ENODEV;
    return place_find_source(word, place) == 0 ? 0 : error;
}

static int run_umount(struct job *job, const struct arguments *arguments, const char *word)
{
    int error = find_to_unmount(word, &job->place);
    report_start(&job->report, "umount", error == 0 ? job->place.path : word, arguments->json);
    int code =
        error == 0 ? umount_run(job, arguments->how) : no_mount(job, word, error, EXIT_MOUNT);
    return report_end(&job->report, code);
}

static int run_command(struct job *job, const struct command *command, const char *path)
{
    int error = place_find(path, &job->place);
    /* What status prints is the mount's own object. */
    if (command->run != command_status || error != 0)
        report_start(&job->report, command->word, error == 0 ? job->place.path : path, job->json);
    int code = error == 0 ? command->run(job) : no_mount(job, path, error, EXIT_INCOMPLETE);
    return report_end(&job->report, code);
}

static int complain(struct job *job, const char *text)
{
    report_start(&job->report, "", "", job->json);
    report_problem(&job->report, "%s (%s -h)", text, job->report.program);
    return report_end(&job->report, EXIT_USAGE);
}

/* The words were not understood, but this one may be among them. */
static bool has_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

static int complain_of_command(struct job *job, const struct arguments *arguments)
{
    const char *word = arguments->operands[0];
    const char *nearest = find_nearest(word);
    char text[200];
    bool is_swapped = arguments->operand_count > 1 && find_command(arguments->operands[1]) != NULL;
    if (is_swapped)
        snprintf(text, sizeof(text), "unknown command '%.60s': the command comes first", word);
    else if (nearest != NULL)
        snprintf(text, sizeof(text), "unknown command '%.60s': did you mean '%s'?", word, nearest);
    else
        snprintf(text, sizeof(text), "unknown command '%.60s'", word);
    return complain(job, text);
}

static int run(struct job *job, const struct arguments *arguments)
{
    if (arguments->operand_count == 0)
        return complain(job, "which command?");
    const struct command *command = find_command(arguments->operands[0]);
    if (command == NULL)
        return complain_of_command(job, arguments);
    if (arguments->operand_count == 1)
        return complain(job, "which mount point?");
    job->names = arguments->operands + 2;
    job->name_count = arguments->operand_count - 2;
    if (job->name_count < command->names_min)
        return complain(job, "which messages?");
    if (job->name_count > command->names_max)
        return complain(job, "one mount point, and no names");
    if (arguments->how != 0 && command->run != NULL)
        return complain(job, "-l and -f are for umount");
    if (command->run == NULL)
        return run_umount(job, arguments, arguments->operands[1]);
    return run_command(job, command, arguments->operands[1]);
}

static int run_helper(struct job *job, const struct arguments *arguments)
{
    if (arguments->operand_count != 1)
        return complain(job, "one mount point");
    if (arguments->namespace != NULL && !umount_enter_namespace(job, arguments->namespace))
        return EXIT_MOUNT;
    return run_umount(job, arguments, arguments->operands[0]);
}

int main(int argc, char **argv)
{
    static const char helper[] = "umount.fuse.popfs";
    bool is_helper = argc > 0 && strcmp(basename(argv[0]), helper) == 0;
    struct job job = {.report.program = is_helper ? helper : "popfsctl"};
    struct arguments arguments;
    struct failure failure = {0};
    job.json = has_json(argc, argv);
    if (stack_begin(&failure) != FAULT_NONE) {
        report_start(&job.report, "", "", job.json);
        report_problem(&job.report, "%s", failure.text);
        return report_end(&job.report, EXIT_SYSTEM);
    }
    bool good = is_helper ? arguments_parse_helper(argc, argv, &arguments, &failure)
                          : arguments_parse(argc, argv, &arguments, &failure);
    if (!good)
        return complain(&job, failure.text);
    if (arguments.help)
        fputs(usage, stdout);
    else if (arguments.version)
        printf("popfsctl %s\n", POPFS_VERSION);
    else {
        job.json = arguments.json;
        job.report.quiet = arguments.quiet;
        interrupt_prepare();
        return is_helper ? run_helper(&job, &arguments) : run(&job, &arguments);
    }
    return EXIT_DONE;
}
