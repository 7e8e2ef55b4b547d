/* SPDX-License-Identifier: MIT */
/*
 * disk: a model disk under the real store. It fails, fills up, and loses what was not synced.
 *
 * It takes the place of src/store/disk.c when a test is linked, and SQLite gets a VFS that calls
 * the same functions. Descriptors are real (each file is a memfd), so whoever gets one of a body
 * reads, duplicates and closes it as ever. Paths are not: all that the disk holds is under
 * SIM_DISK_PATH, which no real folder is. Other paths are those of the machine. No clock
 * is read, and all chance comes from the sim_random handed in.
 *
 * What is sure to outlive a power cut:
 *
 * - octets of a file once fsync() or fdatasync() of it, or syncfs(), has returned 0;
 * - names in a folder once fsync() of that folder, or syncfs(), has. Neither a file's fsync() nor
 *   that of a new folder covers its own name, as POSIX has it; most file systems give more.
 *
 * What may or may not be there of the rest:
 *
 * - changes of names in one folder: the first so many of them, for they go through a journal; a
 *   rename has happened or not, and is never half. Each folder has a journal of its own.
 * - octets: each page of 4096 is as it was after any of the changes to it, a torn page so by each
 *   sector of 512. The size is as it was after any change, whatever pages are there; what was never
 *   written reads as zeros.
 * - after an fsync() that failed: each page may be on the disk or not, and none is written again
 *   until it is changed again, as in Linux. Reading still gives what was written.
 *
 * A popfs that is killed loses nothing. Want of memory ends the process. One thread.
 */
#ifndef POPFS_SIM_DISK_H
#define POPFS_SIM_DISK_H

#include "random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_DISK_PATH "/sim"

/* ---- faults, by name ---- */

/* The kinds of calls that a fault concerns. */
enum sim_disk_call {
    SIM_DISK_READ = 1,  /* of octets, or of a folder */
    SIM_DISK_OPEN = 2,  /* of what is there */
    SIM_DISK_WRITE = 4, /* of octets: longer, shorter, or other ones */
    SIM_DISK_NAME = 8,  /* made, renamed, removed */
    SIM_DISK_SYNC = 16,
    SIM_DISK_ELSEWHERE = 32, /* memory as a refuge */
};

/* clang-format off */
#define SIM_DISK_FAULT_TABLE(X)                                                                                                 \
    X(READ_ERROR,     "disk-read-error",     SIM_DISK_READ,                  2,  "EIO to a read")                               \
    X(OPEN_ERROR,     "disk-open-error",     SIM_DISK_OPEN,                  2,  "EMFILE to an open")                           \
    X(WRITE_ERROR,    "disk-write-error",    SIM_DISK_WRITE,                 3,  "EIO to a write")                              \
    X(SHORT_WRITE,    "disk-short-write",    SIM_DISK_WRITE,                 3,  "a write takes a part of its octets")          \
    X(NAME_ERROR,     "disk-name-error",     SIM_DISK_NAME,                  3,  "EIO to making, renaming or removing a name")  \
    X(SYNC_ERROR,     "disk-sync-error",     SIM_DISK_SYNC,                  5,  "EIO to a sync, and the pages are gone")       \
    X(SYNC_SLOW,      "disk-sync-slow",      SIM_DISK_SYNC,                  20, "a sync takes up to 30 s")                     \
    X(FULL,           "disk-full",           SIM_DISK_WRITE | SIM_DISK_NAME, 2,  "ENOSPC to what needs room, for a while")      \
    X(FULL_FOR_GOOD,  "disk-full-for-good",  SIM_DISK_WRITE | SIM_DISK_NAME, 1,  "ENOSPC to what needs room, until it is healed") \
    X(QUOTA,          "disk-quota",          SIM_DISK_WRITE | SIM_DISK_NAME, 1,  "EDQUOT to what needs room, for a while")      \
    X(READ_ONLY,      "disk-read-only",      SIM_DISK_WRITE | SIM_DISK_NAME, 1,  "EROFS to every change, until it is healed")   \
    X(ELSEWHERE_FULL, "disk-elsewhere-full", SIM_DISK_ELSEWHERE,             50, "no refuge takes a body that finds no room")
/* clang-format on */

enum sim_disk_fault {
#define SIM_DISK_FAULT_ENUMERATOR(id, name, calls, per_mille, text) SIM_DISK_FAULT_##id,
    SIM_DISK_FAULT_TABLE(SIM_DISK_FAULT_ENUMERATOR)
#undef SIM_DISK_FAULT_ENUMERATOR
        SIM_DISK_FAULT_COUNT,
};

struct sim_disk_fault_row {
    const char *name;
    unsigned calls; /* bits of enum sim_disk_call */
    uint32_t per_mille;
    const char *text; /* one line: what the disk does */
};

const struct sim_disk_fault_row *sim_disk_fault_row(enum sim_disk_fault fault);
/* False if no fault has this name. */
bool sim_disk_fault_from_name(const char *name, enum sim_disk_fault *ret_fault);

/* Which faults may fire. A plain value, like struct sim_faults. */
struct sim_disk_faults {
    uint32_t per_mille[SIM_DISK_FAULT_COUNT]; /* the chance at each call that it concerns */
    uint32_t most[SIM_DISK_FAULT_COUNT];      /* after so many times it does not fire any more */
};

void sim_disk_faults_all(struct sim_disk_faults *ret_faults); /* as the table weighs them */
void sim_disk_faults_none(struct sim_disk_faults *ret_faults);
/* Switches off the fault `name`, or all for "disk". False if there is no such name. */
bool sim_disk_faults_without(struct sim_disk_faults *faults, const char *name);

/* ---- the disk ---- */

struct sim_disk;

/* Who looks on; each may be NULL, all get `context`. */
struct sim_disk_watcher {
    void *context;
    /* A fault fires: one line without its end, such as "disk-full: pwrite to index.sqlite-wal". */
    void (*fault)(void *context, enum sim_disk_fault fault, const char *line);
    /* Each call that changes something is done now, or fails. For a long trace. */
    void (*change)(void *context, const char *line);
    /* Before each call that changes something. It need not return: popfs may be killed here. */
    void (*before_change)(void *context);
    /* A sync takes that long. */
    void (*wait)(void *context, uint32_t ms);
};

/* An empty disk, without faults until sim_disk_set_faults(). Draws from forks of `random`. */
struct sim_disk *sim_disk_new(const struct sim_random *random);
/* Its descriptors have to be closed before, or popfs to be killed. NULL is fine. */
void sim_disk_free(struct sim_disk *disk);
/* Calls go to this disk from now on; NULL: to the machine's. SQLite has to be closed. */
void sim_disk_use(struct sim_disk *disk);
void sim_disk_watch(struct sim_disk *disk, const struct sim_disk_watcher *watcher);

/* Copied. */
void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults);
/* It is neither full nor read-only any more, and no fault fires, until false is said. */
void sim_disk_set_behaving(struct sim_disk *disk, bool behaving);
uint32_t sim_disk_fired_count(const struct sim_disk *disk, enum sim_disk_fault fault);
/* Files take so much at most, in whole pages; 0: no bound. ENOSPC beyond. */
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t octets);
uint64_t sim_disk_used_octets(struct sim_disk *disk);

/*
 * popfs has been killed: what it had open is closed (so nobody may close it again), files without
 * a name go. Nothing else is lost. A store or SQLite that was using the disk must never be called
 * again; its memory is lost.
 */
void sim_disk_kill(struct sim_disk *disk);
/* The same, and what was not synced may be lost. The next popfs finds another boot. */
void sim_disk_power_cut(struct sim_disk *disk, struct sim_random *random);

/* ---- the n-th call ---- */

/* So many calls of these kinds (bits of enum sim_disk_call) have been made, failed ones too. */
uint64_t sim_disk_count(const struct sim_disk *disk, unsigned calls);
/*
 * Of the calls of these kinds, the one before which `first` have been made, and `count` - 1 after
 * it, fail with this error. `count` 0: none.
 */
void sim_disk_fail(struct sim_disk *disk, unsigned calls, uint64_t first, uint64_t count,
                   int error);
/* The disk goes out before that call: it and all later ones do nothing but give EIO, so that what
 * is open can be closed in peace before sim_disk_power_cut(). UINT64_MAX: never. */
void sim_disk_go_out(struct sim_disk *disk, unsigned calls, uint64_t first);

enum {
    SIM_DISK_CHANGES = SIM_DISK_WRITE | SIM_DISK_NAME | SIM_DISK_SYNC,
    SIM_DISK_ALL = SIM_DISK_READ | SIM_DISK_OPEN | SIM_DISK_CHANGES | SIM_DISK_ELSEWHERE,
};

#endif
