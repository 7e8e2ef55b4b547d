/* SPDX-License-Identifier: MIT */
/* What the files of the model disk share. */
#ifndef POPFS_SIM_DISK_PARTS_H
#define POPFS_SIM_DISK_PARTS_H

#include "disk.h"
#include "disk_node.h"

#include <sys/statvfs.h>

/* Of a disk without a bound. */
#define SIM_DISK_OCTETS (UINT64_C(1) << 40)

struct sim_disk_span {
    unsigned calls;
    uint64_t first, count;
};

struct sim_disk {
    struct sim_nodes nodes;
    struct sim_node **open; /* by descriptor; one that has been closed may still stand here */
    size_t open_count;
    struct sim_random random;
    struct sim_random fault_random[SIM_DISK_FAULT_COUNT];
    struct sim_disk_faults faults;
    uint32_t fired[SIM_DISK_FAULT_COUNT];
    struct sim_disk_watcher watcher;
    uint64_t counts[6];           /* by the bit of enum sim_disk_call */
    struct sim_disk_span failing; /* these calls fail */
    struct sim_disk_span out;     /* from `first` on, the disk is */
    int failing_error;            /* of `failing` */
    enum sim_disk_fault trouble;  /* FULL, FULL_FOR_GOOD, QUOTA, READ_ONLY; COUNT: none */
    uint64_t trouble_end;         /* in calls that change something */
    uint64_t capacity_octets;     /* 0: no bound */
    unsigned boots_count, temporary_count;
    bool is_out, is_behaving;
};

/* NULL: the calls are the machine's. */
extern struct sim_disk *sim_disk_current;

/* Whether the call is done; false and errno if not. For a trace, `what` is the name of the call and
 * `name` that of what it is about. */
bool sim_disk_may(struct sim_disk *disk, enum sim_disk_call call, const char *what,
                  const char *name);
/* How many octets of `count` fit, if the file is to be longer by them; 0 and errno if none. */
size_t sim_disk_room(struct sim_disk *disk, const struct sim_node *file, uint64_t offset,
                     size_t count);
/* How many pages the disk has, and how many of them are free, as whoever asks is told. */
void sim_disk_tell_room(struct sim_disk *disk, fsblkcnt_t *ret_pages, fsblkcnt_t *ret_free_pages);
/* False and errno if there is no room for another name. */
bool sim_disk_has_room_for_name(struct sim_disk *disk);
/* A write takes only so many of the octets, at least one. */
size_t sim_disk_shorten(struct sim_disk *disk, const struct sim_node *file, size_t count);

/* Nothing holds it open any more, unless somebody has a descriptor. */
void sim_disk_sweep(struct sim_disk *disk);

/* SQLite's way to this disk: registered as its default, or taken away. */
void sim_disk_vfs_use(bool is_used);

#endif
