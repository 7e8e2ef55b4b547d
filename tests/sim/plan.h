/* SPDX-License-Identifier: MIT */
/*
 * plan: what a seed stands for. All is drawn beforehand: the options of popfs, what the user does
 * and when, how each mount ends, and which faults the server and the disk may have. What the
 * shrinker drops is dropped from here.
 */
#ifndef POPFS_SIM_PLAN_H
#define POPFS_SIM_PLAN_H

#include "disk.h"
#include "faults.h"
#include "random.h"

#include <stdbool.h>
#include <stdint.h>

enum action_kind {
    ACTION_READ,   /* the whole body */
    ACTION_OPEN,   /* as a reader of a large message: a stream, if there is one */
    ACTION_STAT,   /* the time */
    ACTION_REMOVE, /* `count` messages in a row */
    ACTION_RESTORE,
    ACTION_RESTORE_ASKED, /* by a request, as mv out of the trash and rollback do: one, or all */
    ACTION_COMMIT,
    ACTION_REFRESH,
    ACTION_PREFETCH,
    ACTION_VERIFY, /* whether the kept body is what it was */
    ACTION_CANCEL,
    ACTION_SUSPEND, /* the machine sleeps */
    ACTION_DELIVER,
    ACTION_OTHER_DELETES,
    ACTION_KINDS_COUNT,
};

struct action {
    enum action_kind kind;
    uint32_t gap_ms; /* since the action before */
    uint32_t count;
    uint64_t draw; /* which message, and so on */
};

enum mount_end {
    END_UNMOUNT, /* with a commit */
    END_LAZY,    /* without */
    END_KILL,
    END_POWER_CUT,
};

enum { PLAN_ACTIONS_MAX = 48, PLAN_MOUNTS_MAX = 5 };

struct plan_mount {
    uint32_t action_count;
    struct action actions[PLAN_ACTIONS_MAX];
    enum mount_end end;
    uint32_t end_gap_ms;   /* since the last action */
    uint32_t after_ms;     /* until the next mount */
    int64_t killed_ms;     /* after it began, whatever it does then; -1: not */
    int64_t killed_writes; /* by the so many-th change of the disk; -1: not */
    bool killed_by_power;
    bool finds_no_cache; /* somebody has removed it */
};

struct plan {
    struct sim_random random;
    uint32_t mount_count;
    struct plan_mount mounts[PLAN_MOUNTS_MAX];
    uint32_t message_count; /* at first */
    uint32_t piece_octets;  /* of the network; 0: any */
    struct sim_faults faults;
    struct sim_disk_faults disk_faults;
    /* options of popfs */
    bool tls, noquit, strict, lf, pipeline, top, prefetch, read_only, cache_off, state_off;
    bool has_fetch;
    int64_t timeout_s, keepalive_s, refresh_s, idle_s;
    uint64_t lazy_octets, cache_octets_max;
};

/* What is left out of the history that the seed stands for. */
struct plan_edits {
    struct sim_faults faults; /* which may fire at all */
    struct sim_disk_faults disk_faults;
    uint64_t dropped[PLAN_MOUNTS_MAX]; /* a bit for each action */
    bool mount_dropped[PLAN_MOUNTS_MAX];
    bool no_kills, no_gaps, plain_options;
    uint32_t messages_max;
};

struct plan_edits plan_no_edits(void);
void plan_make(struct plan *plan, uint64_t seed, const struct plan_edits *edits);
const char *action_name(enum action_kind kind);
const char *mount_end_name(enum mount_end end);
void plan_trace(const struct plan *plan);

#endif
