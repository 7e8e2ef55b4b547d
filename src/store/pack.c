/* SPDX-License-Identifier: MIT */
/*
 * A pack is a row of records and nothing else:
 *
 *     octets 0–7    magic: alive or dead
 *     octets 8–15   the id of the message
 *     octets 16–23  how many octets the body has
 *     octets 24–31  a checksum of these, of where in the pack they are, and of which pack it is
 *     then the body
 *
 * in the byte order of the machine, whose other kind finds no record at all. The checksum is no
 * signature, but it begins with the name of the generation, which nobody who sends mail knows; so
 * that a mail that looks like a row of records is none, wherever it comes to lie.
 */
#include "pack.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_PREFIX "pack."

struct header {
    char magic[8];
    uint64_t id;
    uint64_t octets;
    uint64_t sum;
};

_Static_assert(sizeof(struct header) == PACK_HEADER_OCTETS, "a header has no gaps");

static const char magic_alive[8] = "popfs+\r\n";
static const char magic_dead[8] = "popfs-\r\n";

void pack_name(uint32_t opening, uint32_t number, char ret_name[PACK_NAME_OCTETS])
{
    snprintf(ret_name, PACK_NAME_OCTETS, NAME_PREFIX "%" PRIu32 ".%" PRIu32, opening, number);
}

bool pack_name_parse(const char *name, uint32_t *ret_opening, uint32_t *ret_number)
{
    uint64_t opening, number;
    if (strncmp(name, NAME_PREFIX, sizeof(NAME_PREFIX) - 1) != 0)
        return false;
    name += sizeof(NAME_PREFIX) - 1;
    const char *dot = strchr(name, '.');
    if (dot == NULL ||
        !slice_to_number((struct slice){name, (size_t)(dot - name)}, UINT32_MAX, &opening) ||
        !slice_to_number(slice_from_string(dot + 1), UINT32_MAX, &number) || opening == 0)
        return false;
    *ret_opening = (uint32_t)opening;
    *ret_number = (uint32_t)number;
    return true;
}

/* FNV-1a. */
static uint64_t sum_of(uint64_t sum, const void *bytes, size_t len)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ byte[i]) * 1099511628211U;
    return sum;
}

uint64_t pack_seed(const char *generation, uint32_t opening, uint32_t number)
{
    uint64_t sum = sum_of(14695981039346656037U, generation, strlen(generation));
    sum = sum_of(sum, &opening, sizeof(opening));
    return sum_of(sum, &number, sizeof(number));
}

static uint64_t header_sum(uint64_t seed, uint64_t offset, const struct header *header)
{
    return sum_of(sum_of(seed, &offset, sizeof(offset)), header, offsetof(struct header, sum));
}

void pack_header(uint64_t seed, const struct pack_record *record,
                 char ret_header[PACK_HEADER_OCTETS])
{
    struct header header = {.id = record->id, .octets = record->octets};
    memcpy(header.magic, record->is_dead ? magic_dead : magic_alive, sizeof(header.magic));
    header.sum = header_sum(seed, record->offset, &header);
    memcpy(ret_header, &header, sizeof(header));
}

bool pack_read(int pack, uint64_t seed, uint64_t offset, uint64_t pack_octets,
               struct pack_record *ret_record)
{
    struct header header;
    ssize_t count;
    if (pack_octets < PACK_HEADER_OCTETS || offset > pack_octets - PACK_HEADER_OCTETS)
        return false;
    do
        count = disk_pread(pack, &header, sizeof(header), (off_t)offset);
    while (count < 0 && errno == EINTR);
    if (count != (ssize_t)sizeof(header) || header.sum != header_sum(seed, offset, &header) ||
        header.octets > pack_octets - PACK_HEADER_OCTETS - offset)
        return false;
    bool is_dead = memcmp(header.magic, magic_dead, sizeof(header.magic)) == 0;
    if (!is_dead && memcmp(header.magic, magic_alive, sizeof(header.magic)) != 0)
        return false;
    *ret_record = (struct pack_record){header.id, header.octets, offset, is_dead};
    return true;
}

uint64_t pack_end(const struct pack_record *record)
{
    return record->offset + PACK_HEADER_OCTETS + record->octets;
}

bool pack_mark_dead(int pack, uint64_t seed, const struct pack_record *record)
{
    char header[PACK_HEADER_OCTETS];
    struct pack_record dead = *record;
    dead.is_dead = true;
    pack_header(seed, &dead, header);
    return disk_pwrite(pack, header, sizeof(header), (off_t)record->offset) ==
           (ssize_t)sizeof(header);
}

/* Where the file system has no holes. */
static bool write_zeros(int pack, uint64_t offset, uint64_t octets)
{
    static const char zeros[65536];
    while (octets > 0) {
        size_t wanted = octets < sizeof(zeros) ? (size_t)octets : sizeof(zeros);
        ssize_t count = disk_pwrite(pack, zeros, wanted, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        offset += (uint64_t)count;
        octets -= (uint64_t)count;
    }
    return true;
}

bool pack_erase(int pack, const struct pack_record *record)
{
    uint64_t offset = record->offset + PACK_HEADER_OCTETS;
    if (record->octets == 0 || disk_fallocate(pack, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                              (off_t)offset, (off_t)record->octets) == 0)
        return true;
    return write_zeros(pack, offset, record->octets);
}
