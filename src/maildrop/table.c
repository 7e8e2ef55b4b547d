/* SPDX-License-Identifier: MIT */
/* At most half full, so that every search ends at a free slot. */
#include "table.h"

#include <stdlib.h>

bool table_init(struct table *table, size_t count)
{
    size_t size = 16;
    while (size < count * 2)
        size *= 2;
    table->slots = calloc(size, sizeof(table->slots[0]));
    table->mask = size - 1;
    return table->slots != NULL;
}

void table_done(struct table *table)
{
    free(table->slots);
    *table = (struct table){0};
}

size_t table_first(const struct table *table, struct slice uidl)
{
    return (size_t)hash_bytes(uidl) & table->mask;
}

bool table_value(const struct table *table, size_t at, uint32_t *ret_value)
{
    if (table->slots[at] == 0)
        return false;
    *ret_value = table->slots[at] - 1;
    return true;
}

size_t table_next(const struct table *table, size_t at)
{
    return (at + 1) & table->mask;
}

void table_put(struct table *table, size_t at, uint32_t value)
{
    table->slots[at] = value + 1;
}
