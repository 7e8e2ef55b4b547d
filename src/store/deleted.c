/* SPDX-License-Identifier: MIT */
/* From the cache into the bin: bodies of messages that are about to be forgotten. */
#include "store.h"

#include "disk.h"

#include <stdlib.h>

enum fault store_bin_keep(struct store *store, uint64_t id, struct slice name, int64_t time_s,
                          int64_t now_s, struct failure *ret_failure)
{
    char own_name[BODY_NAME_OCTETS];
    struct shelf_entry entry;
    struct store_summary summary;
    struct bin_source source = {.folder = store->bodies};
    if (store->bin_path == NULL || store->is_temporary || !shelf_find(store->shelf, id, &entry) ||
        bodies_find(store, id, entry.octets, &entry, &source.body) != FAULT_NONE)
        return FAULT_NONE;
    if (!entry.is_packed) {
        body_name(id, entry.opening, own_name);
        source.name = own_name;
    }
    store_summary(store, id, &summary);
    const struct store_deleted deleted = {.name = name,
                                          .deleted_s = now_s,
                                          .time_s = time_s,
                                          .from = slice_from_string(summary.from),
                                          .subject = slice_from_string(summary.subject),
                                          .lf = store->lf};
    enum fault fault = bin_add(&store->bin, &deleted, &source, ret_failure);
    cleanup_close(&source.body.descriptor);
    return fault;
}

enum fault store_bin_settle(struct store *store, struct failure *ret_failure)
{
    return bin_settle(&store->bin, ret_failure);
}

void store_bin_expire(struct store *store, int64_t now_s)
{
    bin_expire(&store->bin, now_s);
}

void store_bin_begin_ahead(struct store *store)
{
    bin_begin_ahead(&store->bin);
}

enum fault store_bin_end_ahead(struct store *store, bool is_wanted, struct failure *ret_failure)
{
    return bin_end_ahead(&store->bin, is_wanted, ret_failure);
}
