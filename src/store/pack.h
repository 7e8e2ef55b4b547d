/* SPDX-License-Identifier: MIT */
/*
 * One pack: a file that small bodies are appended to, each behind a header. Knows the format;
 * refuses to know which bodies are wanted, and the index.
 */
#ifndef STORE_PACK_H
#define STORE_PACK_H

#include "popfs/base.h"

enum { PACK_HEADER_OCTETS = 32, PACK_NAME_OCTETS = 40 };

struct pack_record {
    uint64_t id;
    uint64_t octets; /* of the body, which follows the header */
    uint64_t offset; /* of the header */
    bool is_dead;
};

void pack_name(uint32_t opening, uint32_t number, char ret_name[PACK_NAME_OCTETS]);
bool pack_name_parse(const char *name, uint32_t *ret_opening, uint32_t *ret_number);

/* What makes a header of one pack worthless in another. */
uint64_t pack_seed(const char *generation, uint32_t opening, uint32_t number);
void pack_header(uint64_t seed, const struct pack_record *record,
                 char ret_header[PACK_HEADER_OCTETS]);
/* False if no record begins there that was written there and ends within the `pack_octets`. */
bool pack_read(int pack, uint64_t seed, uint64_t offset, uint64_t pack_octets,
               struct pack_record *ret_record);
/* Where the next record begins. */
uint64_t pack_end(const struct pack_record *record);
/* False and errno. */
bool pack_mark_dead(int pack, uint64_t seed, const struct pack_record *record);
/* Makes the body of the record zeros, on the disk as well if that can be. False and errno. */
bool pack_erase(int pack, const struct pack_record *record);

#endif
