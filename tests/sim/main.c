/* SPDX-License-Identifier: MIT */
/*
 * The runner. Each seed is a history in a process of its own, so that a crash is a finding, too,
 * and no history sees what another left behind.
 *
 *     sim [--first S] [--seeds N] [--seconds T]   many
 *     sim --seed S [--trace] [--shrink]           one
 *         [--without NAME…] [--only NAME…] [--list-faults]
 *
 * --only leaves only these faults.
 */
#include "history.h"
#include "shrink.h"

#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: sim [--first S] [--seeds N] [--seconds T] [--seed S [--trace] [--shrink]]\n"
    "           [--keep-going] [--without NAME]... [--only NAME]... "
    "[--list-faults]\n";

struct run {
    uint64_t first, count;
    double seconds;
    bool is_one, trace, shrink, keeps_going;
    struct plan_edits edits;
};

static void list_faults(void)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++) {
        const struct sim_fault_row *row = sim_fault_row((enum sim_fault)i);
        printf("%-22s %-9s %s\n", row->name, sim_class_name(row->class), row->text);
    }
    for (int i = 0; i < SIM_DISK_FAULT_COUNT; i++) {
        const struct sim_disk_fault_row *row = sim_disk_fault_row((enum sim_disk_fault)i);
        printf("%-22s %-9s %s\n", row->name, "disk", row->text);
    }
}

static void without(struct run *run, const char *name)
{
    bool server = sim_faults_without(&run->edits.faults, name);
    if (!sim_disk_faults_without(&run->edits.disk_faults, name) && !server) {
        fprintf(stderr, "sim: there is no fault %s\n", name);
        exit(2);
    }
}

/* The first --only switches off all others. */
static void only(struct run *run, const char *name, bool *is_first)
{
    struct plan_edits all = plan_no_edits();
    enum sim_fault fault;
    enum sim_disk_fault disk_fault;
    if (*is_first) {
        sim_faults_none(&run->edits.faults);
        sim_disk_faults_none(&run->edits.disk_faults);
    }
    *is_first = false;
    if (sim_fault_from_name(name, &fault)) {
        run->edits.faults.per_mille[fault] = all.faults.per_mille[fault];
        run->edits.faults.most[fault] = all.faults.most[fault];
    } else if (sim_disk_fault_from_name(name, &disk_fault)) {
        run->edits.disk_faults.per_mille[disk_fault] = all.disk_faults.per_mille[disk_fault];
        run->edits.disk_faults.most[disk_fault] = all.disk_faults.most[disk_fault];
    } else if (strcmp(name, "none") != 0) {
        fprintf(stderr, "sim: there is no fault %s\n", name);
        exit(2);
    }
}

static void parse(struct run *run, int argc, char **argv)
{
    bool first_only = true;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(word, "--list-faults") == 0) {
            list_faults();
            exit(0);
        }
        if (strcmp(word, "--trace") == 0 || strcmp(word, "--shrink") == 0 ||
            strcmp(word, "--keep-going") == 0) {
            run->trace |= word[2] == 't';
            run->shrink |= word[2] == 's';
            run->keeps_going |= word[2] == 'k';
            continue;
        }
        i++;
        if (strcmp(word, "--first") == 0 || strcmp(word, "--seed") == 0)
            run->first = strtoull(value, NULL, 10);
        else if (strcmp(word, "--seeds") == 0)
            run->count = strtoull(value, NULL, 10);
        else if (strcmp(word, "--seconds") == 0)
            run->seconds = strtod(value, NULL);
        else if (strcmp(word, "--without") == 0)
            without(run, value);
        else if (strcmp(word, "--only") == 0)
            only(run, value, &first_only);
        else {
            fputs(usage, stderr);
            exit(2);
        }
        run->is_one |= strcmp(word, "--seed") == 0;
    }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void say(uint64_t seed, const struct finding *finding)
{
    printf("seed %" PRIu64 ": %s: %s\n", seed, finding->kind, finding->text);
    fflush(stdout);
}

static int run_one(struct run *run)
{
    struct finding finding;
    if (!run->shrink) {
        bool found = seed_run(run->first, &run->edits, run->trace, &finding);
        if (found)
            say(run->first, &finding);
        return found;
    }
    return shrink(run->first, &run->edits);
}

static void say_end(uint64_t done, uint64_t found, double took_s)
{
    printf("%" PRIu64 " seeds in %.1f s, %.0f each second: %" PRIu64 " findings\n", done, took_s,
           (double)done / took_s, found);
}

/* What one process finds after others is to be found by one of its own as well. */
static void check_alone(uint64_t seed, const struct run *run, struct finding *finding)
{
    struct finding alone = {.kind = "0 nothing", .text = ""};
    seed_run(seed, &run->edits, false, &alone);
    say(seed, &alone);
    if (strcmp(alone.kind, finding->kind) != 0)
        printf("seed %" PRIu64 ": 0 not the same among others: %s: %s\n", seed, finding->kind,
               finding->text);
}

static int run_many(const struct run *run)
{
    double begun_s = now_s();
    uint64_t done = 0, found = 0;
    while ((run->count == 0 || done < run->count) && (found == 0 || run->keeps_going)) {
        struct finding finding;
        uint64_t count = SEEDS_MAX;
        if (run->seconds > 0 && now_s() - begun_s >= run->seconds)
            break;
        if (run->count != 0 && run->count - done < count)
            count = run->count - done;
        uint64_t well = seeds_run(run->first + done, count, &run->edits, false, &finding);
        done += well;
        if (well == count)
            continue;
        check_alone(run->first + done, run, &finding);
        done++;
        found++;
    }
    say_end(done, found, now_s() - begun_s);
    return found > 0;
}

int main(int argc, char **argv)
{
    struct run run = {.first = 1, .edits = plan_no_edits()};
    parse(&run, argc, argv);
    if (!run.is_one && run.count == 0 && run.seconds == 0)
        run.count = 1000;
    seeds_prepare();
    return run.is_one ? run_one(&run) : run_many(&run);
}
