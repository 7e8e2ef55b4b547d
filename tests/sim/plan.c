/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "world.h"

#include <stdio.h>
#include <string.h>

static const char *const action_names[ACTION_KINDS_COUNT] = {
    [ACTION_READ] = "read",         [ACTION_OPEN] = "open",
    [ACTION_STAT] = "stat",         [ACTION_REMOVE] = "remove",
    [ACTION_RESTORE] = "restore",   [ACTION_RESTORE_ASKED] = "restore-asked",
    [ACTION_COMMIT] = "commit",     [ACTION_REFRESH] = "refresh",
    [ACTION_PREFETCH] = "prefetch", [ACTION_VERIFY] = "verify",
    [ACTION_CANCEL] = "cancel",     [ACTION_SUSPEND] = "suspend",
    [ACTION_DELIVER] = "deliver",   [ACTION_OTHER_DELETES] = "other-deletes",
};

/* How often each kind is drawn, of their sum. */
static const uint32_t weights[ACTION_KINDS_COUNT] = {
    [ACTION_READ] = 22,    [ACTION_OPEN] = 18,         [ACTION_STAT] = 6,    [ACTION_REMOVE] = 18,
    [ACTION_RESTORE] = 8,  [ACTION_RESTORE_ASKED] = 5, [ACTION_COMMIT] = 10, [ACTION_REFRESH] = 6,
    [ACTION_PREFETCH] = 2, [ACTION_VERIFY] = 1,        [ACTION_CANCEL] = 2,  [ACTION_SUSPEND] = 1,
    [ACTION_DELIVER] = 6,  [ACTION_OTHER_DELETES] = 3,
};

const char *action_name(enum action_kind kind)
{
    return action_names[kind];
}

const char *mount_end_name(enum mount_end end)
{
    static const char *const names[] = {"unmount", "lazy unmount", "kill", "power cut"};
    return names[end];
}

struct plan_edits plan_no_edits(void)
{
    struct plan_edits edits = {.messages_max = UINT32_MAX};
    sim_faults_all(&edits.faults);
    sim_disk_faults_all(&edits.disk_faults);
    return edits;
}

/* ---- what the user does ---- */

static enum action_kind draw_kind(struct sim_random *random)
{
    uint32_t sum = 0;
    for (int i = 0; i < ACTION_KINDS_COUNT; i++)
        sum += weights[i];
    uint64_t drawn = sim_random_below(random, sum);
    int kind = 0;
    for (; drawn >= weights[kind]; kind++)
        drawn -= weights[kind];
    return (enum action_kind)kind;
}

/* Mostly at once, sometimes seconds, rarely long enough for time-outs and refreshes. */
static uint32_t draw_gap_ms(struct sim_random *random)
{
    if (sim_random_chance(random, 400))
        return 0;
    if (sim_random_chance(random, 50))
        return (uint32_t)sim_random_below(random, 900000);
    return (uint32_t)sim_random_skewed(random, 30000);
}

static void make_mount(struct plan_mount *mount, struct sim_random random, bool is_last)
{
    mount->action_count = 1 + (uint32_t)sim_random_skewed(&random, PLAN_ACTIONS_MAX - 1);
    for (uint32_t i = 0; i < mount->action_count; i++) {
        struct action *action = &mount->actions[i];
        action->kind = draw_kind(&random);
        action->gap_ms = draw_gap_ms(&random);
        action->count = 1 + (uint32_t)sim_random_skewed(&random, 12);
        action->draw = sim_random_next(&random);
    }
    mount->end_gap_ms = draw_gap_ms(&random);
    mount->after_ms = (uint32_t)sim_random_skewed(&random, 120000);
    uint64_t end = sim_random_below(&random, 10);
    mount->end = end < 4 ? END_UNMOUNT : end < 6 ? END_LAZY : end < 8 ? END_KILL : END_POWER_CUT;
    mount->killed_ms = mount->killed_writes = -1;
    bool by_power = sim_random_chance(&random, 500);
    int64_t killed_ms = (int64_t)sim_random_skewed(&random, 300000);
    int64_t killed_writes = (int64_t)sim_random_skewed(&random, 400);
    mount->killed_by_power = by_power;
    if (is_last)
        mount->end = END_UNMOUNT;
    else if (sim_random_chance(&random, 150))
        mount->killed_ms = killed_ms;
    else if (sim_random_chance(&random, 250))
        mount->killed_writes = killed_writes;
    mount->finds_no_cache = sim_random_chance(&random, 60);
}

/* ---- options ---- */

static void draw_options(struct plan *plan, struct sim_random random)
{
    static const int64_t timeouts_s[] = {60, 60, 30, 10, 120};
    static const uint64_t lazy_octets[] = {500, 500, 500, 4096, 1048576, 0};
    plan->tls = sim_random_chance(&random, 800);
    plan->noquit = sim_random_chance(&random, 100);
    plan->strict = sim_random_chance(&random, 100);
    plan->lf = sim_random_chance(&random, 150);
    plan->pipeline = !sim_random_chance(&random, 150);
    plan->top = !sim_random_chance(&random, 100);
    plan->prefetch = sim_random_chance(&random, 150);
    plan->read_only = sim_random_chance(&random, 20);
    plan->cache_off = sim_random_chance(&random, 100);
    plan->has_fetch = sim_random_chance(&random, 500);
    plan->timeout_s = timeouts_s[sim_random_below(&random, 5)];
    plan->keepalive_s = sim_random_chance(&random, 700) ? 45 : 0;
    plan->refresh_s = sim_random_chance(&random, 600)   ? 300
                      : sim_random_chance(&random, 500) ? 20
                                                        : 0;
    plan->idle_s = sim_random_chance(&random, 200) ? 30 : 0;
    plan->lazy_octets = lazy_octets[sim_random_below(&random, 6)];
    plan->cache_octets_max = sim_random_chance(&random, 200) ? 65536 : 0;
    plan->state_off = sim_random_chance(&random, 50);
}

static void plain_options(struct plan *plan)
{
    plan->tls = plan->pipeline = plan->top = plan->has_fetch = true;
    plan->noquit = plan->strict = plan->lf = plan->prefetch = plan->read_only = false;
    plan->cache_off = plan->state_off = false;
    plan->timeout_s = 60;
    plan->keepalive_s = 45;
    plan->refresh_s = 300;
    plan->idle_s = 0;
    plan->cache_octets_max = 0;
    plan->piece_octets = 0;
}

/* ---- all ---- */

static void drop(struct plan_mount *mount, uint64_t dropped)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < mount->action_count; i++)
        if ((dropped >> i & 1) == 0)
            mount->actions[kept++] = mount->actions[i];
    mount->action_count = kept;
}

static void apply(struct plan *plan, const struct plan_edits *edits)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < plan->mount_count; i++) {
        struct plan_mount *mount = &plan->mounts[i];
        drop(mount, edits->dropped[i]);
        if (edits->no_kills)
            mount->killed_ms = mount->killed_writes = -1;
        for (uint32_t j = 0; j < mount->action_count && edits->no_gaps; j++)
            mount->actions[j].gap_ms = 0;
        if (!edits->mount_dropped[i] || i + 1 == plan->mount_count)
            plan->mounts[kept++] = *mount;
    }
    plan->mount_count = kept;
    if (plan->message_count > edits->messages_max)
        plan->message_count = edits->messages_max;
    if (edits->plain_options)
        plain_options(plan);
}

static void draw_faults(struct plan *plan, struct sim_random random, const struct plan_edits *edits)
{
    plan->faults = edits->faults;
    /* What popfs does to itself is found among honest servers. */
    if (sim_random_chance(&random, 150)) {
        sim_faults_none(&plan->faults);
        for (int i = 0; i < SIM_FAULT_COUNT; i++)
            plan->faults.most[i] = edits->faults.most[i];
    }
    plan->disk_faults = edits->disk_faults;
    if (sim_random_chance(&random, 700))
        sim_disk_faults_none(&plan->disk_faults);
}

void plan_make(struct plan *plan, uint64_t seed, const struct plan_edits *edits)
{
    memset(plan, 0, sizeof(*plan));
    plan->random = sim_random_from_seed(seed);
    struct sim_random random = sim_random_fork(&plan->random, "plan");
    plan->mount_count = 1 + (uint32_t)sim_random_skewed(&random, PLAN_MOUNTS_MAX - 1);
    plan->message_count =
        (uint32_t)sim_random_skewed(&random, sim_random_chance(&random, 50) ? 300 : 30);
    plan->piece_octets =
        sim_random_chance(&random, 300) ? 1 + (uint32_t)sim_random_skewed(&random, 2000) : 0;
    for (uint32_t i = 0; i < plan->mount_count; i++)
        make_mount(&plan->mounts[i], sim_random_fork_index(&plan->random, "mount", i),
                   i + 1 == plan->mount_count);
    draw_options(plan, sim_random_fork(&plan->random, "options"));
    draw_faults(plan, sim_random_fork(&plan->random, "which faults"), edits);
    /* Without a command that fetches it, nobody would ever have the new one. */
    if (!plan->has_fetch)
        sim_faults_without(&plan->faults, "password-changed");
    apply(plan, edits);
}

void plan_trace(const struct plan *plan)
{
    world_trace("plan  %u mounts, %u messages, pieces of %u", plan->mount_count,
                plan->message_count, plan->piece_octets);
    world_trace("plan  tls=%d noquit=%d strict=%d lf=%d pipeline=%d top=%d prefetch=%d ro=%d "
                "cache_off=%d state_off=%d fetch=%d",
                plan->tls, plan->noquit, plan->strict, plan->lf, plan->pipeline, plan->top,
                plan->prefetch, plan->read_only, plan->cache_off, plan->state_off, plan->has_fetch);
    world_trace("plan  timeout=%lld keepalive=%lld refresh=%lld idle=%lld lazy=%llu cache=%llu",
                (long long)plan->timeout_s, (long long)plan->keepalive_s,
                (long long)plan->refresh_s, (long long)plan->idle_s,
                (unsigned long long)plan->lazy_octets, (unsigned long long)plan->cache_octets_max);
}
