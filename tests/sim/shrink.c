/* SPDX-License-Identifier: MIT */
#include "shrink.h"

#include "allocator.h"
#include "history.h"
#include "world.h"

#include "popfs/mail.h"

#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANG_S = 60, REPORT_OCTETS = 16384 };

#define WENT_WELL "."

/* What libraries do once is done before the first fork(). */
static void warm_up(void)
{
    sqlite3 *database = NULL;
    int64_t seconds;
    CLEANUP_BUFFER struct buffer from = {0};
    CLEANUP_BUFFER struct buffer subject = {0};
    struct slice header = SLICE_LITERAL("Date: Mon, 30 Nov 2026 21:00:00 +0000\r\n"
                                        "From: =?utf-8?q?=C3=A9?= <a@b>\r\n\r\n");
    /* The key of the hash is drawn once, too: it is the same for all seeds. */
    struct sim_random random = sim_random_from_seed(0);
    world_begin(&random, false);
    (void)hash_bytes(header);
    (void)mail_header_time(header, &seconds);
    (void)mail_header_summary(header, 100, &from, &subject);
    if (sqlite3_open(":memory:", &database) == SQLITE_OK)
        sqlite3_exec(database, "CREATE TABLE warm(up INTEGER)", NULL, NULL, NULL);
    sqlite3_close(database);
}

void seeds_prepare(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    /* A process that is killed may hold a lock of SQLite's, which nobody would ever give back. */
    allocator_watch();
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    warm_up();
}

/* ---- seeds ---- */

static void run_here(uint64_t seed, const struct plan_edits *edits, bool trace)
{
    static struct plan plan;
    alarm(HANG_S);
    plan_make(&plan, seed, edits);
    history_run(&plan, trace);
}

/* Says so after each seed that went well; a finding ends it, and says more. */
static _Noreturn void run_all_here(uint64_t first, uint64_t count, const struct plan_edits *edits,
                                   bool trace, int report)
{
    world_report_to(report);
    for (uint64_t i = 0; i < count; i++) {
        run_here(first + i, edits, trace);
        if (write(report, WENT_WELL, 1) != 1)
            _exit(3);
    }
    fflush(stdout);
    _exit(0);
}

static size_t read_report(int descriptor, char *report)
{
    size_t have = 0;
    ssize_t count;
    while ((count = read(descriptor, report + have, REPORT_OCTETS - 1 - have)) > 0)
        have += (size_t)count;
    report[have] = '\0';
    return have;
}

/* The first line is the kind, the second tells more. */
static void parse_report(const char *report, struct finding *ret)
{
    size_t kind = strcspn(report, "\n");
    const char *text = report[kind] == '\0' ? "" : report + kind + 1;
    snprintf(ret->kind, sizeof(ret->kind), "%.*s", (int)kind, report);
    snprintf(ret->text, sizeof(ret->text), "%.*s", (int)strcspn(text, "\n"), text);
}

static void explain_death(int status, struct finding *ret)
{
    const char *kind = !WIFSIGNALED(status)          ? "0 exits"
                       : WTERMSIG(status) == SIGALRM ? "0 hangs"
                                                     : "0 crashes";
    snprintf(ret->kind, sizeof(ret->kind), "%s", kind);
    snprintf(ret->text, sizeof(ret->text), "status %#x", (unsigned)status);
}

uint64_t seeds_run(uint64_t first, uint64_t count, const struct plan_edits *edits, bool trace,
                   struct finding *ret_finding)
{
    int ends[2], status;
    char report[REPORT_OCTETS];
    fflush(stdout);
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        close(ends[0]);
        run_all_here(first, count, edits, trace, ends[1]);
    }
    close(ends[1]);
    size_t said = read_report(ends[0], report);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child)
        abort();
    size_t done = strspn(report, WENT_WELL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return count;
    if (said > done)
        parse_report(report + done, ret_finding);
    else
        explain_death(status, ret_finding);
    return done;
}

bool seed_run(uint64_t seed, const struct plan_edits *edits, bool trace,
              struct finding *ret_finding)
{
    return seeds_run(seed, 1, edits, trace, ret_finding) == 0;
}

/* ---- making it shorter ---- */

struct shrinking {
    uint64_t seed;
    char kind[128];
    struct plan_edits best;
    unsigned tries, kept;
};

/* True: the finding is still there, so that it is the new best. */
static bool attempt(struct shrinking *shrinking, const struct plan_edits *edits)
{
    struct finding finding;
    shrinking->tries++;
    if (!seed_run(shrinking->seed, edits, false, &finding) ||
        strcmp(finding.kind, shrinking->kind) != 0)
        return false;
    shrinking->kept++;
    shrinking->best = *edits;
    return true;
}

static void try_flags(struct shrinking *shrinking)
{
    struct plan_edits edits = shrinking->best;
    edits.plain_options = true;
    attempt(shrinking, &edits);
    edits = shrinking->best;
    edits.no_kills = true;
    attempt(shrinking, &edits);
    edits = shrinking->best;
    edits.no_gaps = true;
    attempt(shrinking, &edits);
    for (uint32_t most = 0; most <= 32; most = most * 2 + 1) {
        edits = shrinking->best;
        if (most >= edits.messages_max)
            break;
        edits.messages_max = most;
        if (attempt(shrinking, &edits))
            break;
    }
}

/* All but the last, where the server comes to behave. */
static void try_mounts(struct shrinking *shrinking)
{
    for (int i = 0; i < PLAN_MOUNTS_MAX; i++) {
        struct plan_edits edits = shrinking->best;
        edits.mount_dropped[i] = true;
        if (!shrinking->best.mount_dropped[i])
            attempt(shrinking, &edits);
    }
}

/* The faults that may still fire, server's first. */
static size_t list_faults(const struct plan_edits *edits, int *ret_faults)
{
    size_t count = 0;
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if (edits->faults.per_mille[i] > 0)
            ret_faults[count++] = i;
    for (int i = 0; i < SIM_DISK_FAULT_COUNT; i++)
        if (edits->disk_faults.per_mille[i] > 0)
            ret_faults[count++] = SIM_FAULT_COUNT + i;
    return count;
}

static void switch_off(struct plan_edits *edits, int fault)
{
    if (fault < SIM_FAULT_COUNT)
        edits->faults.per_mille[fault] = 0;
    else
        edits->disk_faults.per_mille[fault - SIM_FAULT_COUNT] = 0;
}

/* Halves first, then smaller runs, at last one by one. */
static void try_faults(struct shrinking *shrinking)
{
    int faults[SIM_FAULT_COUNT + SIM_DISK_FAULT_COUNT];
    size_t count = list_faults(&shrinking->best, faults);
    for (size_t run = count; run > 0; run /= 2)
        for (size_t at = 0; at < count; at += run) {
            struct plan_edits edits = shrinking->best;
            for (size_t i = at; i < at + run && i < count; i++)
                switch_off(&edits, faults[i]);
            if (memcmp(&edits, &shrinking->best, sizeof(edits)) != 0)
                attempt(shrinking, &edits);
        }
}

static void try_actions(struct shrinking *shrinking)
{
    static struct plan plan;
    struct plan_edits none = plan_no_edits();
    plan_make(&plan, shrinking->seed, &none);
    for (uint32_t mount = 0; mount < plan.mount_count; mount++)
        for (uint32_t run = plan.mounts[mount].action_count; run > 0; run /= 2)
            for (uint32_t at = 0; at < plan.mounts[mount].action_count; at += run) {
                struct plan_edits edits = shrinking->best;
                edits.dropped[mount] |= ((UINT64_C(1) << run) - 1) << at;
                if (edits.dropped[mount] != shrinking->best.dropped[mount] &&
                    !edits.mount_dropped[mount])
                    attempt(shrinking, &edits);
            }
}

static void describe(const struct shrinking *shrinking)
{
    printf("seed %" PRIu64 ", made shorter in %u steps of %u; what may still misbehave:",
           shrinking->seed, shrinking->kept, shrinking->tries);
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if (shrinking->best.faults.per_mille[i] > 0)
            printf(" %s", sim_fault_row((enum sim_fault)i)->name);
    for (int i = 0; i < SIM_DISK_FAULT_COUNT; i++)
        if (shrinking->best.disk_faults.per_mille[i] > 0)
            printf(" %s", sim_disk_fault_row((enum sim_disk_fault)i)->name);
    printf("\n");
}

int shrink(uint64_t seed, const struct plan_edits *edits)
{
    struct finding finding;
    struct shrinking shrinking = {.seed = seed, .best = *edits};
    if (!seed_run(seed, edits, false, &finding)) {
        printf("seed %" PRIu64 ": nothing is found\n", seed);
        return 0;
    }
    snprintf(shrinking.kind, sizeof(shrinking.kind), "%s", finding.kind);
    for (unsigned before = UINT32_MAX; before != shrinking.kept;) {
        before = shrinking.kept;
        try_mounts(&shrinking);
        try_faults(&shrinking);
        try_flags(&shrinking);
        try_actions(&shrinking);
    }
    seed_run(seed, &shrinking.best, true, &finding);
    describe(&shrinking);
    printf("seed %" PRIu64 ": %s: %s\n", seed, finding.kind, finding.text);
    return 1;
}
