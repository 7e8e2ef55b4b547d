/* SPDX-License-Identifier: MIT */
#include "disk_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct sim_disk_fault_row rows[SIM_DISK_FAULT_COUNT] = {
#define SIM_DISK_FAULT_ROW(id, name, calls, per_mille, text)                                       \
    [SIM_DISK_FAULT_##id] = {name, calls, per_mille, text},
    SIM_DISK_FAULT_TABLE(SIM_DISK_FAULT_ROW)
#undef SIM_DISK_FAULT_ROW
};

enum { SLOW_SYNC_MS_MOST = 30000, TROUBLE_CALLS_MOST = 400 };

struct sim_disk *sim_disk_current;

/* ---- faults by name ---- */

const struct sim_disk_fault_row *sim_disk_fault_row(enum sim_disk_fault fault)
{
    return &rows[fault];
}

bool sim_disk_fault_from_name(const char *name, enum sim_disk_fault *ret_fault)
{
    for (size_t i = 0; i < SIM_DISK_FAULT_COUNT; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        *ret_fault = (enum sim_disk_fault)i;
        return true;
    }
    return false;
}

void sim_disk_faults_all(struct sim_disk_faults *ret_faults)
{
    for (size_t i = 0; i < SIM_DISK_FAULT_COUNT; i++) {
        ret_faults->per_mille[i] = rows[i].per_mille;
        ret_faults->most[i] = UINT32_MAX;
    }
}

void sim_disk_faults_none(struct sim_disk_faults *ret_faults)
{
    *ret_faults = (struct sim_disk_faults){{0}, {0}};
}

bool sim_disk_faults_without(struct sim_disk_faults *faults, const char *name)
{
    enum sim_disk_fault fault;
    bool is_one = sim_disk_fault_from_name(name, &fault);
    if (is_one)
        faults->per_mille[fault] = 0;
    else if (strcmp(name, "disk") == 0)
        sim_disk_faults_none(faults);
    return is_one || strcmp(name, "disk") == 0;
}

/* ---- the disk ---- */

struct sim_disk *sim_disk_new(const struct sim_random *random)
{
    struct sim_disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL)
        abort();
    disk->random = sim_random_fork(random, "disk");
    for (size_t i = 0; i < SIM_DISK_FAULT_COUNT; i++)
        disk->fault_random[i] = sim_random_fork(random, rows[i].name);
    disk->out.first = UINT64_MAX;
    disk->trouble = SIM_DISK_FAULT_COUNT;
    sim_nodes_init(&disk->nodes);
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    if (sim_disk_current == disk)
        sim_disk_use(NULL);
    sim_nodes_done(&disk->nodes);
    free(disk->open);
    free(disk);
}

void sim_disk_use(struct sim_disk *disk)
{
    sim_disk_current = disk;
    sim_disk_vfs_use(disk != NULL);
}

void sim_disk_watch(struct sim_disk *disk, const struct sim_disk_watcher *watcher)
{
    disk->watcher = *watcher;
}

void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults)
{
    disk->faults = *faults;
}

void sim_disk_set_behaving(struct sim_disk *disk, bool behaving)
{
    disk->is_behaving = behaving;
    if (behaving)
        disk->trouble = SIM_DISK_FAULT_COUNT;
}

uint32_t sim_disk_fired_count(const struct sim_disk *disk, enum sim_disk_fault fault)
{
    return disk->fired[fault];
}

void sim_disk_set_capacity(struct sim_disk *disk, uint64_t octets)
{
    disk->capacity_octets = octets;
}

uint64_t sim_disk_used_octets(struct sim_disk *disk)
{
    sim_disk_sweep(disk);
    return disk->nodes.used_octets;
}

uint64_t sim_disk_count(const struct sim_disk *disk, unsigned calls)
{
    uint64_t count = 0;
    for (size_t i = 0; i < sizeof(disk->counts) / sizeof(disk->counts[0]); i++)
        if ((calls & 1U << i) != 0)
            count += disk->counts[i];
    return count;
}

void sim_disk_fail(struct sim_disk *disk, unsigned calls, uint64_t first, uint64_t count, int error)
{
    disk->failing = (struct sim_disk_span){calls, first, count};
    disk->failing_error = error;
}

void sim_disk_go_out(struct sim_disk *disk, unsigned calls, uint64_t first)
{
    disk->out = (struct sim_disk_span){.calls = calls, .first = first};
    disk->is_out = false;
}

/* ---- who has what open ---- */

/* The number may have been closed, and given to something else. */
static bool is_descriptor_of(int descriptor, const struct sim_node *node)
{
    struct stat stat;
    return fstat(descriptor, &stat) == 0 && stat.st_ino == node->ino && descriptor != node->file;
}

static bool is_open(const void *context, const struct sim_node *node)
{
    const struct sim_disk *disk = context;
    for (size_t i = 0; i < disk->open_count; i++)
        if (disk->open[i] == node && is_descriptor_of((int)i, node))
            return true;
    return false;
}

void sim_disk_sweep(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->open_count; i++)
        if (disk->open[i] != NULL && !is_descriptor_of((int)i, disk->open[i]))
            disk->open[i] = NULL;
    sim_nodes_sweep(&disk->nodes, is_open, disk);
}

static void close_all(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->open_count; i++) {
        if (disk->open[i] != NULL && is_descriptor_of((int)i, disk->open[i]))
            close((int)i);
        disk->open[i] = NULL;
    }
    disk->out.first = UINT64_MAX;
    disk->is_out = false;
}

void sim_disk_kill(struct sim_disk *disk)
{
    close_all(disk);
    sim_disk_sweep(disk);
}

void sim_disk_power_cut(struct sim_disk *disk, struct sim_random *random)
{
    close_all(disk);
    sim_nodes_cut(&disk->nodes, random);
    disk->boots_count++;
}

/* ---- what becomes of a call ---- */

static uint64_t changes_count(const struct sim_disk *disk)
{
    return sim_disk_count(disk, SIM_DISK_CHANGES);
}

static void fire(struct sim_disk *disk, enum sim_disk_fault fault, const char *what)
{
    char line[400];
    disk->fired[fault]++;
    snprintf(line, sizeof(line), "%s: %s", rows[fault].name, what);
    if (disk->watcher.fault != NULL)
        disk->watcher.fault(disk->watcher.context, fault, line);
}

/* Draws also where nothing can come of it, so that a fault which is switched off moves no draw. */
static bool is_drawn(struct sim_disk *disk, enum sim_disk_fault fault)
{
    return sim_random_chance(&disk->fault_random[fault], disk->faults.per_mille[fault]) &&
           !disk->is_behaving && disk->fired[fault] < disk->faults.most[fault];
}

static void begin_trouble(struct sim_disk *disk, enum sim_disk_fault fault, bool is_for_good)
{
    uint64_t calls = 1 + sim_random_skewed(&disk->fault_random[fault], TROUBLE_CALLS_MOST);
    disk->trouble = fault;
    disk->trouble_end = is_for_good ? UINT64_MAX : changes_count(disk) + calls;
}

/* The errno of a fault that fires at this call; 0 if none does. */
static int error_of(struct sim_disk *disk, enum sim_disk_fault fault)
{
    switch (fault) {
    case SIM_DISK_FAULT_OPEN_ERROR:
        return EMFILE;
    case SIM_DISK_FAULT_READ_ERROR:
    case SIM_DISK_FAULT_WRITE_ERROR:
    case SIM_DISK_FAULT_NAME_ERROR:
    case SIM_DISK_FAULT_SYNC_ERROR:
        return EIO;
    case SIM_DISK_FAULT_ELSEWHERE_FULL:
        return ENOSPC;
    case SIM_DISK_FAULT_SYNC_SLOW:
        if (disk->watcher.wait != NULL)
            disk->watcher.wait(
                disk->watcher.context,
                1 + (uint32_t)sim_random_skewed(&disk->fault_random[fault], SLOW_SYNC_MS_MOST));
        return 0;
    case SIM_DISK_FAULT_FULL:
    case SIM_DISK_FAULT_QUOTA:
        begin_trouble(disk, fault, false);
        return 0;
    case SIM_DISK_FAULT_FULL_FOR_GOOD:
    case SIM_DISK_FAULT_READ_ONLY:
        begin_trouble(disk, fault, true);
        return 0;
    case SIM_DISK_FAULT_SHORT_WRITE:
    case SIM_DISK_FAULT_COUNT:
        break;
    }
    return 0;
}

static int draw_error(struct sim_disk *disk, enum sim_disk_call call, const char *what)
{
    int error = 0;
    for (size_t i = 0; i < SIM_DISK_FAULT_COUNT; i++) {
        enum sim_disk_fault fault = (enum sim_disk_fault)i;
        bool is_trouble = fault == disk->trouble;
        if ((rows[i].calls & call) == 0 || fault == SIM_DISK_FAULT_SHORT_WRITE ||
            !is_drawn(disk, fault) || is_trouble || error != 0)
            continue;
        fire(disk, fault, what);
        error = error_of(disk, fault);
    }
    return error;
}

static bool is_in(const struct sim_disk_span *span, enum sim_disk_call call, uint64_t before_count)
{
    return (span->calls & call) != 0 && before_count >= span->first &&
           before_count - span->first < span->count;
}

static bool goes_out(struct sim_disk *disk, enum sim_disk_call call)
{
    if ((disk->out.calls & call) != 0 && sim_disk_count(disk, disk->out.calls) >= disk->out.first)
        disk->is_out = true;
    return disk->is_out;
}

static unsigned bit_of(enum sim_disk_call call)
{
    return (unsigned)__builtin_ctz(call);
}

static int error_at(struct sim_disk *disk, enum sim_disk_call call, const char *what)
{
    if (goes_out(disk, call))
        return EIO;
    uint64_t before_count = sim_disk_count(disk, disk->failing.calls);
    disk->counts[bit_of(call)]++;
    if ((call & SIM_DISK_CHANGES) != 0 && disk->watcher.before_change != NULL)
        disk->watcher.before_change(disk->watcher.context);
    if (disk->trouble != SIM_DISK_FAULT_COUNT && changes_count(disk) > disk->trouble_end)
        disk->trouble = SIM_DISK_FAULT_COUNT;
    if (is_in(&disk->failing, call, before_count))
        return disk->failing_error;
    int error = draw_error(disk, call, what);
    bool is_change = (call & (SIM_DISK_WRITE | SIM_DISK_NAME)) != 0;
    if (error == 0 && is_change && disk->trouble == SIM_DISK_FAULT_READ_ONLY)
        error = EROFS;
    return error;
}

bool sim_disk_may(struct sim_disk *disk, enum sim_disk_call call, const char *what,
                  const char *name)
{
    char line[400] = "";
    if (disk->watcher.fault != NULL || disk->watcher.change != NULL)
        snprintf(line, sizeof(line), "%s %s", what, name);
    int error = error_at(disk, call, line);
    if (disk->watcher.change != NULL && (call & SIM_DISK_CHANGES) != 0 && !disk->is_out) {
        size_t len = strlen(line);
        if (error != 0)
            snprintf(line + len, sizeof(line) - len, ": %s", strerror(error));
        disk->watcher.change(disk->watcher.context, line);
    }
    if (error != 0)
        errno = error;
    return error == 0;
}

/* ---- room ---- */

static int error_for_want_of_room(const struct sim_disk *disk)
{
    if (disk->trouble == SIM_DISK_FAULT_QUOTA)
        return EDQUOT;
    return disk->trouble == SIM_DISK_FAULT_COUNT ? 0 : ENOSPC;
}

/* What has been removed and closed is looked for only when it is needed. */
static uint64_t free_octets_of(struct sim_disk *disk, uint64_t wanted_octets)
{
    if (disk->capacity_octets == 0)
        return UINT64_MAX;
    if (disk->nodes.used_octets + wanted_octets > disk->capacity_octets)
        sim_disk_sweep(disk);
    uint64_t used = disk->nodes.used_octets;
    return used < disk->capacity_octets ? disk->capacity_octets - used : 0;
}

size_t sim_disk_room(struct sim_disk *disk, const struct sim_node *file, uint64_t offset,
                     size_t count)
{
    uint64_t growth = sim_node_growth(file, offset + count);
    if (growth == 0)
        return count;
    int error = error_for_want_of_room(disk);
    uint64_t free_octets = error != 0 ? 0 : free_octets_of(disk, growth);
    if (growth <= free_octets)
        return count;
    uint64_t end = sim_page_octets(file->octets) + free_octets / SIM_PAGE_OCTETS * SIM_PAGE_OCTETS;
    if (end > offset)
        return (size_t)(end - offset);
    errno = error != 0 ? error : ENOSPC;
    return 0;
}

/* A quota is not seen here. */
void sim_disk_tell_room(struct sim_disk *disk, fsblkcnt_t *ret_pages, fsblkcnt_t *ret_free_pages)
{
    uint64_t most = disk->capacity_octets == 0 ? SIM_DISK_OCTETS : disk->capacity_octets;
    uint64_t free_octets = error_for_want_of_room(disk) == ENOSPC ? 0 : free_octets_of(disk, most);
    *ret_pages = most / SIM_PAGE_OCTETS;
    *ret_free_pages = (free_octets < most ? free_octets : most) / SIM_PAGE_OCTETS;
}

bool sim_disk_has_room_for_name(struct sim_disk *disk)
{
    int error = error_for_want_of_room(disk);
    if (error != 0)
        errno = error;
    return error == 0;
}

size_t sim_disk_shorten(struct sim_disk *disk, const struct sim_node *file, size_t count)
{
    char line[80];
    if (!is_drawn(disk, SIM_DISK_FAULT_SHORT_WRITE) || count < 2)
        return count;
    snprintf(line, sizeof(line), "write to %s", file->label);
    fire(disk, SIM_DISK_FAULT_SHORT_WRITE, line);
    return 1 + (size_t)sim_random_below(&disk->fault_random[SIM_DISK_FAULT_SHORT_WRITE], count - 1);
}
