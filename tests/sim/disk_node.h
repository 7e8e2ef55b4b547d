/* SPDX-License-Identifier: MIT */
/* Files and folders of the model disk: what they hold, and what of it would outlive a power cut. */
#ifndef POPFS_SIM_DISK_NODE_H
#define POPFS_SIM_DISK_NODE_H

#include "random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SIM_PAGE_OCTETS = 4096, SIM_SECTOR_OCTETS = 512 };

/* To the octets of a file, since they were synced. */
struct sim_change {
    bool is_size;    /* it was made longer or shorter: `offset` is its new size */
    uint64_t offset; /* of what was written */
    size_t count;
    char *octets; /* NULL: zeros */
};

struct sim_name {
    char *text;
    struct sim_node *node;
};

struct sim_names {
    struct sim_name *list;
    size_t count, capacity;
};

/* To the names in a folder: an end, a beginning, or both, which is a rename. */
struct sim_name_change {
    char *removed, *added; /* NULL: none */
    struct sim_node *node; /* which `added` is of */
};

struct sim_node {
    struct sim_node *next;
    char label[40]; /* its last name, for a trace */
    bool is_folder;
    bool is_wanted;  /* found by a sweep */
    bool takes_room; /* it has a name or is open */
    int file;        /* a memfd: the octets as all see them; empty for a folder */
    ino_t ino;       /* of the memfd */
    size_t links;    /* names that it has now */
    uint64_t octets;

    struct sim_names names, durable_names;
    struct sim_name_change *name_changes;
    size_t name_changes_count, name_changes_capacity;

    char *durable;
    uint64_t durable_octets, durable_capacity;
    struct sim_change *changes;
    size_t changes_count, changes_capacity;
    bool *is_stale; /* by page: a sync has failed to write it, and nobody has changed it since */
    size_t stale_count;
};

struct sim_nodes {
    struct sim_node *first; /* the newest */
    struct sim_node *root;
    uint64_t made_count;
    uint64_t used_octets; /* of all files, in whole pages */
    size_t count;
};

void sim_nodes_init(struct sim_nodes *nodes);
void sim_nodes_done(struct sim_nodes *nodes);
struct sim_node *sim_node_new(struct sim_nodes *nodes, bool is_folder);
/* Frees what has no name, now or on the disk, and is not open. */
void sim_nodes_sweep(struct sim_nodes *nodes,
                     bool (*is_open)(const void *context, const struct sim_node *node),
                     const void *context);

/* ---- names ---- */

/* NULL if there is none. */
struct sim_node *sim_node_find(const struct sim_node *folder, const char *name, size_t len);
void sim_node_add(struct sim_node *folder, const char *name, struct sim_node *node);
/* Both names must be there, or not, as the call has it; `to` is replaced. */
void sim_node_rename(struct sim_node *folder, const char *from, const char *to);
void sim_node_remove(struct sim_node *folder, const char *name);

/* ---- octets; the memfd has been changed already ---- */

/* `octets` NULL: zeros. */
void sim_node_written(struct sim_nodes *nodes, struct sim_node *file, uint64_t offset,
                      const char *octets, size_t count);
void sim_node_resized(struct sim_nodes *nodes, struct sim_node *file, uint64_t octets);
/* In whole pages. */
uint64_t sim_page_octets(uint64_t octets);
/* How much more it takes if it becomes that long. */
uint64_t sim_node_growth(const struct sim_node *file, uint64_t octets);

/* ---- what lasts ---- */

/* Of a file its octets, of a folder the names in it. */
void sim_node_synced(struct sim_node *node);
/* The sync has failed: see disk.h. */
void sim_node_not_synced(struct sim_node *node, struct sim_random *random);
/* Everything is as the power cut leaves it. */
void sim_nodes_cut(struct sim_nodes *nodes, struct sim_random *random);

#endif
