/* SPDX-License-Identifier: MIT */
/*
 * The bin: bodies of deleted messages, kept for some days in a folder of their own. Knows files and
 * the order of deletion; refuses to know the index, the cache and when to do things.
 *
 *     bin/NUMBER.mail   one body that was linked there, or many small ones, one after the other
 *     bin/NUMBER.list   a line for each of them (bin_list.c)
 *     bin/NUMBER.ahead  the same, before it is known that the messages have gone
 *
 * A pair is dropped as a whole, so nothing is ever written anew. It holds what was deleted within
 * an hour, and its last body is the one that reaches 8 MiB.
 */
#ifndef STORE_BIN_H
#define STORE_BIN_H

#include "popfs/store.h"

#define BIN_NAME "bin"
#define BIN_OCTETS_MAX (UINT64_C(256) << 20)

/* A pair of files. */
struct bin_pair {
    uint64_t number;         /* later pairs have higher ones */
    uint64_t octets;         /* of all bodies */
    size_t count;            /* of bodies */
    int64_t first_s, last_s; /* when the first and the last of the messages were deleted */
    bool is_ahead;           /* readers do not see it yet */
    bool is_link;            /* the mail is one body, which the cache may have as well */
};

struct bin {
    int parent; /* the folder that the bin lies in; borrowed */
    int folder; /* -1: there is none yet */
    int64_t keep_s;
    uint64_t octets_max;
    bool is_read;           /* `pairs` is what the folder holds */
    bool is_ahead;          /* what is added is not to be seen yet */
    bool is_refused;        /* a write failed: nothing more is taken until bin_settle() */
    struct bin_pair *pairs; /* by rising number */
    size_t count, capacity;
    uint64_t last_number; /* of all that are there, also of those that cannot be read */
    uint64_t octets;      /* of all bodies */
    size_t body_count;
    int mail, list;                    /* of the last pair, if it is added to; -1 */
    uint64_t mail_octets, list_octets; /* of the two, without what is pending */
    struct buffer bodies, lines;       /* gathered for them */
    uint64_t unlisted_octets;          /* written to the mail, and the line is gathered */
    uint64_t pending_octets;           /* of all bodies whose lines are */
    size_t pending_count;
};

/* Opens no file. `parent` is -1, or `keep_s` is 0: nothing is kept; and in the second case
 * bin_expire() removes what is there. */
void bin_init(struct bin *bin, int parent, int64_t keep_s, uint64_t octets_max);
/* What is gathered is lost. */
void bin_done(struct bin *bin);

/* Where a body is. A name, or NULL: of a file that is this body and nothing else, and will not be
 * changed, so that a link does. */
struct bin_source {
    struct extent body;
    int folder;
    const char *name;
};

/*
 * Adds a body, and drops the oldest pairs for it if need be. Octets and place of `deleted` are not
 * looked at. FAULT_REFUSED: it is larger than all may be together. FAULT_DISK: it is not kept, nor
 * are others before bin_settle(). FAULT_MEMORY.
 */
enum fault bin_add(struct bin *bin, const struct store_deleted *deleted,
                   const struct bin_source *source, struct failure *ret_failure);
/*
 * What is added from now on is not there for readers, nor after a kill, before bin_end_ahead() says
 * that it is wanted; if it is not, it is dropped. So most of the work is done while the server is
 * waited for. Nothing is pending when it begins.
 */
void bin_begin_ahead(struct bin *bin);
enum fault bin_end_ahead(struct bin *bin, bool is_wanted, struct failure *ret_failure);
/* What was added outlives the process from now on. FAULT_DISK: not all of it could be added. */
enum fault bin_settle(struct bin *bin, struct failure *ret_failure);
/* Drops the pairs whose bodies have all been kept long enough. */
void bin_expire(struct bin *bin, int64_t now_s);

/* ---- bin_list.c ---- */

/* A checksum of a body, taken piece by piece. All pieces but the last have a multiple of 8 octets.
 */
uint64_t bin_sum(uint64_t sum, struct slice piece);
/* Appends a line, with the line end before it. False for want of memory. */
bool bin_line_append(struct buffer *lines, const struct store_deleted *deleted);
/* Every line of one list, in order; `each` returns false to stop. Returns 0 or an errno. */
int bin_list_each(int folder, uint64_t number,
                  bool (*each)(void *context, const struct store_deleted *deleted), void *context);
/* The numbers for which there is a list, or a mail, in rising order; the array is the caller's to
 * free. Returns 0 or an errno. */
int bin_numbers(int folder, uint64_t **ret_numbers, size_t *ret_count);

enum { BIN_NAME_OCTETS = 32 };
void bin_list_name(uint64_t number, char ret_name[BIN_NAME_OCTETS]);
void bin_mail_name(uint64_t number, char ret_name[BIN_NAME_OCTETS]);
/* Of a list that is not to be seen yet. */
void bin_ahead_name(uint64_t number, char ret_name[BIN_NAME_OCTETS]);

#endif
