/* SPDX-License-Identifier: MIT */
/* What the tests of the store share: a folder for each test, children that are killed, bytes. */
#ifndef TEST_STORE_FIXTURE_H
#define TEST_STORE_FIXTURE_H

#include "popfs/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCOUNT "alice@host:995"

struct fixture {
    char base[64];
    char folder[80], state_folder[80];
    struct store_options options;
    struct store *store; /* NULL: closed */
    char notice[FAILURE_TEXT_OCTETS];
};

/* With a store that is open, and without. What is left in the folder is removed. */
int set_up(void **state);
int set_up_closed(void **state);
int tear_down(void **state);

/* store_open() and store_begin(), with the notice in `f`; *ret_store is NULL if either fails. */
enum fault open_and_begin(struct fixture *f, struct store **ret_store, struct failure *ret_failure);
void store_must_open(struct fixture *f);
void store_must_close(struct fixture *f);
void store_must_reopen(struct fixture *f);
/* It cannot be opened, and `text` is in what is said. */
void store_must_refuse(struct fixture *f, const char *text);

/* A path in the cache folder of the account, valid until the next call but three. */
const char *path_of(const char *name, const struct fixture *f);
/* The same, in the state folder. */
const char *state_path_of(const char *name, const struct fixture *f);
/* The same, of a pack, and of a body that is a file, whose opening is looked up in the folder. It
 * must be there. */
const char *pack_path(uint32_t opening, uint32_t number, const struct fixture *f);
const char *body_path(uint64_t id, const struct fixture *f);
size_t entries_count(const char *folder);
/* The folder of the bodies, which must be the only one. */
const char *bodies_folder(const struct fixture *f);
void file_write(const char *path, struct slice bytes);
void file_read(const char *path, struct buffer *ret_bytes);

/* Runs SQL in the index of a store that is closed. */
void sql_run(const struct fixture *f, const char *text);
int64_t sql_number(const struct fixture *f, const char *text);

/* A child opens the store, works, and is killed; the store must be closed here. */
void killed_after(struct fixture *f, void (*work)(struct fixture *f));
/* Ends a child whose test has failed, which cmocka must not do. */
#define CHILD_MUST(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

/* ---- messages ---- */

struct store_message message_of(uint64_t id, const char *uidl, uint64_t listed_octets);
/* False if it could not be added. */
bool add(struct store *store, uint64_t id, const char *uidl, uint64_t listed_octets);
bool forget(struct store *store, uint64_t id, const char *uidl, uint64_t listed_octets);
bool note(struct store *store, const char *uidl, uint64_t listed_octets, bool going);

struct loaded {
    size_t count, going_count;
    struct store_message last; /* but for the UIDL */
    char uidls[400];           /* each with a + or - for going, and a space */
};
void load(struct store *store, struct loaded *ret_loaded);
void assert_loads(struct store *store, const char *uidls);

/* ---- bodies ---- */

/* Keeps `times` times the bytes; the descriptor is the caller's, or -1. */
struct extent keep_times(struct store *store, uint64_t id, struct slice bytes, int times);
/* True if it was kept; closes the descriptor. */
bool keep(struct store *store, uint64_t id, const char *text);
/* As who opens it does, and tells the store what came of it. */
enum fault body_open(struct store *store, uint64_t id, uint64_t octets, struct extent *ret_extent);
bool is_kept(struct store *store, uint64_t id, uint64_t octets);
void assert_reads(struct extent body, struct slice bytes, int times);
/* The whole file. */
void assert_file_reads(int descriptor, struct slice bytes, int times);
void assert_kept(struct store *store, uint64_t id, const char *text);

#endif
