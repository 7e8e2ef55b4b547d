/* SPDX-License-Identifier: MIT */
#include "disk_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_CHANGES_MOST = 256, CHANGES_MOST = 8192 };

/* A simulation cannot go on without memory, nor without its own files. */
static void need(bool done, const char *what)
{
    if (done)
        return;
    perror(what);
    abort();
}

static void *grow(void *memory, size_t octets)
{
    void *grown = realloc(memory, octets);
    need(grown != NULL, "realloc");
    return grown;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    need(copy != NULL, "strdup");
    return copy;
}

/* The capacity that has room for one more. */
static size_t capacity_for(size_t count, size_t capacity)
{
    if (count < capacity)
        return capacity;
    return capacity == 0 ? 8 : capacity * 2;
}

/* ---- nodes ---- */

struct sim_node *sim_node_new(struct sim_nodes *nodes, bool is_folder)
{
    struct stat stat;
    struct sim_node *node = grow(NULL, sizeof(*node));
    *node = (struct sim_node){.next = nodes->first, .is_folder = is_folder, .takes_room = true};
    snprintf(node->label, sizeof(node->label), "unnamed-%llu",
             (unsigned long long)++nodes->made_count);
    node->file = memfd_create("popfs-sim", MFD_CLOEXEC);
    need(node->file >= 0 && fstat(node->file, &stat) == 0, "memfd_create");
    node->ino = stat.st_ino;
    nodes->first = node;
    nodes->count++;
    return node;
}

static void drop_names(struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i].text);
    free(names->list);
    *names = (struct sim_names){0};
}

static void drop_name_changes(struct sim_node *folder)
{
    for (size_t i = 0; i < folder->name_changes_count; i++) {
        free(folder->name_changes[i].removed);
        free(folder->name_changes[i].added);
    }
    folder->name_changes_count = 0;
}

static void drop_changes(struct sim_node *file)
{
    for (size_t i = 0; i < file->changes_count; i++)
        free(file->changes[i].octets);
    file->changes_count = 0;
}

static void node_free(struct sim_node *node)
{
    drop_names(&node->names);
    drop_names(&node->durable_names);
    drop_name_changes(node);
    drop_changes(node);
    close(node->file);
    free(node->name_changes);
    free(node->changes);
    free(node->durable);
    free(node->is_stale);
    free(node);
}

void sim_nodes_init(struct sim_nodes *nodes)
{
    *nodes = (struct sim_nodes){0};
    nodes->root = sim_node_new(nodes, true);
    nodes->root->links = 1;
}

void sim_nodes_done(struct sim_nodes *nodes)
{
    while (nodes->first != NULL) {
        struct sim_node *node = nodes->first;
        nodes->first = node->next;
        node_free(node);
    }
}

/* ---- sweeping ---- */

static void want(struct sim_node *node)
{
    if (node == NULL || node->is_wanted)
        return;
    node->is_wanted = true;
    for (size_t i = 0; i < node->names.count; i++)
        want(node->names.list[i].node);
    for (size_t i = 0; i < node->durable_names.count; i++)
        want(node->durable_names.list[i].node);
    for (size_t i = 0; i < node->name_changes_count; i++)
        want(node->name_changes[i].node);
}

uint64_t sim_page_octets(uint64_t octets)
{
    return (octets + SIM_PAGE_OCTETS - 1) / SIM_PAGE_OCTETS * SIM_PAGE_OCTETS;
}

void sim_nodes_sweep(struct sim_nodes *nodes,
                     bool (*is_open)(const void *context, const struct sim_node *node),
                     const void *context)
{
    for (struct sim_node *node = nodes->first; node != NULL; node = node->next)
        node->is_wanted = false;
    want(nodes->root);
    nodes->used_octets = 0;
    for (struct sim_node *node = nodes->first; node != NULL; node = node->next) {
        node->takes_room = node->links > 0 || is_open(context, node);
        if (node->takes_room) {
            nodes->used_octets += sim_page_octets(node->octets);
            want(node);
        }
    }
    for (struct sim_node **place = &nodes->first; *place != NULL;) {
        struct sim_node *node = *place;
        if (node->is_wanted) {
            place = &node->next;
            continue;
        }
        *place = node->next;
        nodes->count--;
        node_free(node);
    }
}

/* ---- names ---- */

static size_t name_place(const struct sim_names *names, const char *name, size_t len)
{
    size_t i = 0;
    while (i < names->count &&
           (strncmp(names->list[i].text, name, len) != 0 || names->list[i].text[len] != '\0'))
        i++;
    return i;
}

struct sim_node *sim_node_find(const struct sim_node *folder, const char *name, size_t len)
{
    size_t place = name_place(&folder->names, name, len);
    return place < folder->names.count ? folder->names.list[place].node : NULL;
}

static void names_put(struct sim_names *names, const char *name, struct sim_node *node)
{
    names->capacity = capacity_for(names->count, names->capacity);
    names->list = grow(names->list, names->capacity * sizeof(names->list[0]));
    names->list[names->count++] = (struct sim_name){copy_text(name), node};
}

/* Later names move up, so that a folder is read in the order in which its names were made. */
static void names_take(struct sim_names *names, const char *name)
{
    size_t place = name_place(names, name, strlen(name));
    if (place == names->count)
        return;
    free(names->list[place].text);
    names->count--;
    memmove(names->list + place, names->list + place + 1,
            (names->count - place) * sizeof(names->list[0]));
}

static void names_change(struct sim_names *names, const struct sim_name_change *change)
{
    if (change->removed != NULL)
        names_take(names, change->removed);
    if (change->added == NULL)
        return;
    names_take(names, change->added);
    names_put(names, change->added, change->node);
}

static void settle_names(struct sim_node *folder, size_t lasting_count);

/* Takes over the texts. A journal is written by itself when it has become long. */
static void change_names(struct sim_node *folder, struct sim_name_change change)
{
    if (folder->name_changes_count >= NAME_CHANGES_MOST)
        settle_names(folder, folder->name_changes_count);
    size_t capacity = capacity_for(folder->name_changes_count, folder->name_changes_capacity);
    folder->name_changes = grow(folder->name_changes, capacity * sizeof(change));
    folder->name_changes_capacity = capacity;
    folder->name_changes[folder->name_changes_count++] = change;
    names_change(&folder->names, &change);
}

void sim_node_add(struct sim_node *folder, const char *name, struct sim_node *node)
{
    node->links++;
    snprintf(node->label, sizeof(node->label), "%s", name);
    change_names(folder, (struct sim_name_change){NULL, copy_text(name), node});
}

void sim_node_rename(struct sim_node *folder, const char *from, const char *to)
{
    struct sim_node *node = sim_node_find(folder, from, strlen(from));
    struct sim_node *replaced = sim_node_find(folder, to, strlen(to));
    if (node == replaced)
        return;
    if (replaced != NULL)
        replaced->links--;
    snprintf(node->label, sizeof(node->label), "%s", to);
    change_names(folder, (struct sim_name_change){copy_text(from), copy_text(to), node});
}

void sim_node_remove(struct sim_node *folder, const char *name)
{
    sim_node_find(folder, name, strlen(name))->links--;
    change_names(folder, (struct sim_name_change){copy_text(name), NULL, NULL});
}

/* The first so many changes last, the others do not. */
static void settle_names(struct sim_node *folder, size_t lasting_count)
{
    for (size_t i = 0; i < lasting_count; i++)
        names_change(&folder->durable_names, &folder->name_changes[i]);
    drop_name_changes(folder);
}

static void count_links(struct sim_node *folder)
{
    drop_names(&folder->names);
    for (size_t i = 0; i < folder->durable_names.count; i++) {
        const struct sim_name *name = &folder->durable_names.list[i];
        names_put(&folder->names, name->text, name->node);
        if (name->node->links++ == 0 && name->node->is_folder)
            count_links(name->node);
    }
}

/* ---- changes to a file ---- */

/* Pages are written by themselves when there are many. */
static void put_change(struct sim_node *file, struct sim_change change)
{
    if (file->changes_count >= CHANGES_MOST)
        sim_node_synced(file);
    size_t capacity = capacity_for(file->changes_count, file->changes_capacity);
    file->changes = grow(file->changes, capacity * sizeof(change));
    file->changes_capacity = capacity;
    file->changes[file->changes_count++] = change;
}

static void put_octets(struct sim_node *file, uint64_t offset, const char *octets, size_t count)
{
    char *copy = octets == NULL ? NULL : memcpy(grow(NULL, count), octets, count);
    put_change(file, (struct sim_change){false, offset, count, copy});
}

uint64_t sim_node_growth(const struct sim_node *file, uint64_t octets)
{
    return octets > file->octets ? sim_page_octets(octets) - sim_page_octets(file->octets) : 0;
}

static void set_octets(struct sim_nodes *nodes, struct sim_node *file, uint64_t octets)
{
    if (file->takes_room) {
        nodes->used_octets += sim_page_octets(octets);
        nodes->used_octets -= sim_page_octets(file->octets);
    }
    file->octets = octets;
}

/* A change makes the whole page one that will be written. */
static void freshen(struct sim_node *file, size_t page)
{
    char octets[SIM_PAGE_OCTETS];
    if (page >= file->stale_count || !file->is_stale[page])
        return;
    file->is_stale[page] = false;
    off_t offset = (off_t)(page * SIM_PAGE_OCTETS);
    ssize_t count = pread(file->file, octets, sizeof(octets), offset);
    if (count > 0)
        put_octets(file, (uint64_t)offset, octets, (size_t)count);
}

void sim_node_written(struct sim_nodes *nodes, struct sim_node *file, uint64_t offset,
                      const char *octets, size_t count)
{
    if (count == 0)
        return;
    put_octets(file, offset, octets, count);
    for (size_t page = (size_t)(offset / SIM_PAGE_OCTETS);
         page <= (offset + count - 1) / SIM_PAGE_OCTETS; page++)
        freshen(file, page);
    if (offset + count > file->octets)
        set_octets(nodes, file, offset + count);
}

void sim_node_resized(struct sim_nodes *nodes, struct sim_node *file, uint64_t octets)
{
    put_change(file, (struct sim_change){true, octets, 0, NULL});
    for (size_t page = (size_t)(octets / SIM_PAGE_OCTETS); page < file->stale_count; page++)
        file->is_stale[page] = false;
    set_octets(nodes, file, octets);
}

/* ---- what lasts of a file ---- */

/* How many of the changes last, by sector, and for the size. */
struct lasting {
    size_t *counts;
    size_t sectors_count;
    size_t size_count;
};

/* The end of everything that the file was or is. */
static uint64_t reach_of(const struct sim_node *file)
{
    uint64_t reach = file->durable_octets;
    for (size_t i = 0; i < file->changes_count; i++) {
        const struct sim_change *change = &file->changes[i];
        if (change->offset + change->count > reach)
            reach = change->offset + change->count;
    }
    return reach;
}

static struct lasting lasting_of(const struct sim_node *file, size_t count)
{
    struct lasting lasting = {.size_count = count};
    lasting.sectors_count = (size_t)((reach_of(file) + SIM_SECTOR_OCTETS - 1) / SIM_SECTOR_OCTETS);
    lasting.counts = grow(NULL, (lasting.sectors_count + 1) * sizeof(size_t));
    for (size_t i = 0; i < lasting.sectors_count; i++)
        lasting.counts[i] = count;
    return lasting;
}

static uint64_t size_after(const struct sim_node *file, size_t count)
{
    uint64_t octets = file->durable_octets;
    for (size_t i = 0; i < count; i++) {
        const struct sim_change *change = &file->changes[i];
        if (change->is_size || change->offset + change->count > octets)
            octets = change->offset + change->count;
    }
    return octets;
}

/* The part of the change that lies in one sector, if it lasts there. */
static void change_sector(struct sim_node *file, const struct sim_change *change, size_t sector,
                          uint64_t end)
{
    uint64_t from = sector * SIM_SECTOR_OCTETS, to = from + SIM_SECTOR_OCTETS;
    from = from < change->offset ? change->offset : from;
    to = to > end ? end : to;
    if (change->octets == NULL)
        memset(file->durable + from, 0, (size_t)(to - from));
    else
        memcpy(file->durable + from, change->octets + (from - change->offset), (size_t)(to - from));
}

/* Frees `lasting`. */
static void settle(struct sim_node *file, struct lasting lasting)
{
    uint64_t reach = reach_of(file), octets = size_after(file, lasting.size_count);
    if (reach > file->durable_capacity) {
        file->durable_capacity = reach + reach / 2;
        file->durable = grow(file->durable, (size_t)file->durable_capacity);
    }
    if (reach > file->durable_octets)
        memset(file->durable + file->durable_octets, 0, (size_t)(reach - file->durable_octets));
    for (size_t i = 0; i < file->changes_count; i++) {
        const struct sim_change *change = &file->changes[i];
        uint64_t end = change->is_size ? reach : change->offset + change->count;
        for (size_t sector = (size_t)(change->offset / SIM_SECTOR_OCTETS);
             sector * SIM_SECTOR_OCTETS < end; sector++)
            if (i < lasting.counts[sector])
                change_sector(file, change, sector, end);
    }
    file->durable_octets = octets;
    free(lasting.counts);
    drop_changes(file);
}

void sim_node_synced(struct sim_node *node)
{
    if (node->is_folder)
        settle_names(node, node->name_changes_count);
    else if (node->changes_count > 0)
        settle(node, lasting_of(node, node->changes_count));
}

static void set_page(struct lasting *lasting, size_t page, size_t count)
{
    enum { SECTORS = SIM_PAGE_OCTETS / SIM_SECTOR_OCTETS };
    for (size_t i = page * SECTORS; i < (page + 1) * SECTORS && i < lasting->sectors_count; i++)
        lasting->counts[i] = count;
}

static void make_stale(struct sim_node *file, size_t page)
{
    if (page >= file->stale_count) {
        file->is_stale = grow(file->is_stale, (page + 1) * sizeof(bool));
        memset(file->is_stale + file->stale_count, 0,
               (page + 1 - file->stale_count) * sizeof(bool));
        file->stale_count = page + 1;
    }
    file->is_stale[page] = true;
}

void sim_node_not_synced(struct sim_node *node, struct sim_random *random)
{
    if (node->is_folder || node->changes_count == 0)
        return;
    struct lasting lasting = lasting_of(node, node->changes_count);
    bool is_all = sim_random_chance(random, 500);
    for (size_t i = 0; i < node->changes_count; i++) {
        const struct sim_change *change = &node->changes[i];
        size_t end =
            (size_t)((change->offset + change->count + SIM_PAGE_OCTETS - 1) / SIM_PAGE_OCTETS);
        for (size_t page = (size_t)(change->offset / SIM_PAGE_OCTETS); page < end; page++) {
            if (!is_all && !sim_random_chance(random, 500))
                continue;
            set_page(&lasting, page, 0);
            make_stale(node, page);
        }
    }
    settle(node, lasting);
}

/* ---- the power cut ---- */

/* None, all, or some. */
static size_t draw_count(size_t count, struct sim_random *random)
{
    switch (sim_random_below(random, 3)) {
    case 0:
        return 0;
    case 1:
        return count;
    default:
        return (size_t)sim_random_below(random, count + 1);
    }
}

static void draw_pages(struct lasting *lasting, size_t count, struct sim_random *random)
{
    enum { SECTORS = SIM_PAGE_OCTETS / SIM_SECTOR_OCTETS };
    for (size_t page = 0; page * SECTORS < lasting->sectors_count; page++) {
        set_page(lasting, page, draw_count(count, random));
        if (!sim_random_chance(random, 125))
            continue;
        for (size_t i = page * SECTORS; i < (page + 1) * SECTORS && i < lasting->sectors_count; i++)
            lasting->counts[i] = draw_count(count, random);
    }
    lasting->size_count = draw_count(count, random);
}

static void cut_file(struct sim_node *file, struct sim_random *random)
{
    bool is_whole = file->changes_count == 0;
    for (size_t i = 0; i < file->stale_count; i++)
        is_whole &= !file->is_stale[i];
    if (is_whole)
        return;
    struct lasting lasting = lasting_of(file, draw_count(file->changes_count, random));
    /* Half of the time as if written in order, which is what a program rather expects. */
    if (sim_random_chance(random, 500))
        draw_pages(&lasting, file->changes_count, random);
    settle(file, lasting);
    for (size_t i = 0; i < file->stale_count; i++)
        file->is_stale[i] = false;
    ssize_t count = -1;
    if (ftruncate(file->file, 0) == 0)
        count = pwrite(file->file, file->durable, (size_t)file->durable_octets, 0);
    need(count == (ssize_t)file->durable_octets, "pwrite");
}

static bool none_is_open(const void *context, const struct sim_node *node)
{
    (void)context;
    (void)node;
    return false;
}

void sim_nodes_cut(struct sim_nodes *nodes, struct sim_random *random)
{
    for (struct sim_node *node = nodes->first; node != NULL; node = node->next) {
        node->links = 0;
        if (node->is_folder)
            settle_names(node, draw_count(node->name_changes_count, random));
    }
    nodes->root->links = 1;
    count_links(nodes->root);
    /* A folder that was lost has lost what was in it. */
    for (struct sim_node *node = nodes->first; node != NULL; node = node->next)
        if (node->is_folder && node->links == 0)
            drop_names(&node->names);
    sim_nodes_sweep(nodes, none_is_open, NULL);
    for (struct sim_node *node = nodes->first; node != NULL; node = node->next) {
        if (node->is_folder)
            continue;
        cut_file(node, random);
        set_octets(nodes, node, node->durable_octets);
    }
}
