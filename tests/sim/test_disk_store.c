/* SPDX-License-Identifier: MIT */
/*
 * The real store on the model disk: whatever call fails, and wherever the power is cut, no wish
 * that the store took is lost, none comes back, no body is wrong, and the store opens.
 *
 * One history of three lives is run once for each call in it, which then fails.
 */
#include "disk.h"

#include "popfs/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MESSAGES = 12,
    LAST_ON = 9, /* comes at the very end; the two behind it come first, and stay */
    LISTED_OCTETS = 400,
    SMALL_OCTETS = 9000,  /* goes into a pack, where it has three pages */
    LARGE_OCTETS = 70000, /* is a file of its own */
    SEEDS = 10,           /* at each place, in a long run */
    RANDOM_SEEDS = 200,   /* ten times as many in a long run */
};

/* What may be found of a wish. */
enum { NOT_GOING = 1, GOING = 2, EITHER = 3 };

struct message {
    uint64_t id;        /* 0: it never had one */
    bool is_going;      /* as the store was told last */
    unsigned if_killed; /* NOT_GOING, GOING or both, were popfs killed now */
    unsigned if_cut;    /* and were the power cut */
};

struct world {
    struct sim_random random;
    struct sim_disk *disk;
    struct store *store;                 /* NULL: none is open */
    uint64_t closing_begin, closing_end; /* the last, in changes of the disk */
    struct message messages[MESSAGES];
    uint64_t last_id;
    char notice[FAILURE_TEXT_OCTETS];
    char what[400]; /* for whoever reads of a failure */
    bool reads_fail;
};

static const struct store_options options = {.folder = SIM_DISK_PATH "/cache",
                                             .state_folder = SIM_DISK_PATH "/state",
                                             .account = "alice@host:995",
                                             .owner = "mounted"};

/* All that goes wrong is told, as far as anybody wants to read it. */
static size_t complaints_count;

__attribute__((format(printf, 2, 3))) static void complain(const struct world *w,
                                                           const char *format, ...)
{
    enum { TOLD_MOST = 20 };
    va_list args;
    va_start(args, format);
    if (complaints_count++ < TOLD_MOST) {
        fprintf(stderr, "%s: ", w->what);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
    }
    va_end(args);
}

static void assert_no_complaints(void)
{
    size_t count = complaints_count;
    complaints_count = 0;
    assert_int_equal(count, 0);
}

static void begin(struct world *w, uint64_t seed)
{
    *w = (struct world){.random = sim_random_from_seed(seed)};
    w->disk = sim_disk_new(&w->random);
    sim_disk_use(w->disk);
    for (size_t i = 0; i < MESSAGES; i++)
        w->messages[i].if_killed = w->messages[i].if_cut = NOT_GOING;
}

static void end(struct world *w)
{
    store_close(w->store);
    sim_disk_kill(w->disk);
    sim_disk_free(w->disk);
}

/* ---- the store, and what it promises ---- */

static struct store_message message_at(const struct world *w, size_t i, char uidl[16])
{
    snprintf(uidl, 16, "uidl-%zu", i);
    return (struct store_message){.id = w->messages[i].id,
                                  .uidl = slice_from_string(uidl),
                                  .listed_octets = LISTED_OCTETS,
                                  .exact_octets = STORE_OCTETS_UNKNOWN,
                                  .time_s = STORE_TIME_UNKNOWN,
                                  .first_seen_ns = (int64_t)i + 1000};
}

static void add(struct world *w, size_t i)
{
    char uidl[16];
    w->messages[i].id = ++w->last_id;
    struct store_message message = message_at(w, i, uidl);
    (void)store_add(w->store, &message, NULL);
}

static void note(struct world *w, size_t i, bool going)
{
    char uidl[16];
    struct message *message = &w->messages[i];
    struct slice name = message_at(w, i, uidl).uidl;
    if (store_note_removal(
            w->store,
            &(struct store_removal){.uidl = name, .listed_octets = LISTED_OCTETS, .going = going},
            NULL) != FAULT_NONE)
        return;
    message->is_going = going;
    message->if_killed = going ? GOING : NOT_GOING;
    message->if_cut |= message->if_killed;
}

static void flush(struct world *w)
{
    if (store_flush(w->store, NULL) != FAULT_NONE)
        return;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct message *message = &w->messages[i];
        message->if_killed = message->if_cut = message->is_going ? GOING : NOT_GOING;
    }
}

static void forget(struct world *w, size_t first, size_t count)
{
    char uidls[MESSAGES][16];
    struct store_message gone[MESSAGES];
    for (size_t i = 0; i < count; i++)
        gone[i] = message_at(w, first + i, uidls[i]);
    bool done = store_forget(w->store, gone, count, NULL) == FAULT_NONE;
    for (size_t i = first; i < first + count; i++) {
        struct message *message = &w->messages[i];
        message->is_going = false;
        message->if_killed = done ? NOT_GOING : message->if_killed | NOT_GOING;
        message->if_cut |= NOT_GOING;
    }
}

/* Before these are forgotten, unless others are going. */
static void clear(struct world *w, size_t first, size_t count)
{
    for (size_t i = 0; i < MESSAGES; i++)
        if (w->messages[i].is_going && (i < first || i >= first + count))
            return;
    (void)store_clear_removals(w->store, store_removals_mark(w->store), NULL);
    for (size_t i = 0; i < MESSAGES; i++) {
        w->messages[i].if_killed |= NOT_GOING;
        w->messages[i].if_cut |= NOT_GOING;
    }
}

/* ---- bodies: of one size, so that a wrong one could pass for the right one ---- */

static size_t body_octets(size_t i)
{
    return i % 3 == 2 ? LARGE_OCTETS : SMALL_OCTETS;
}

/* Each word is like no other, in any body. */
static void fill_body(size_t i, char *octets)
{
    for (size_t at = 0; at < body_octets(i); at += sizeof(uint64_t)) {
        uint64_t word = (uint64_t)(i + 1) << 32 | at;
        memcpy(octets + at, &word, sizeof(word));
    }
}

static void keep(struct world *w, size_t i)
{
    static char octets[LARGE_OCTETS];
    struct store_body *body;
    struct extent extent = EXTENT_NONE;
    fill_body(i, octets);
    if (store_body_new(w->store, &body, NULL) != FAULT_NONE)
        return;
    if (store_body_append(body, (struct slice){octets, body_octets(i)}, NULL) == FAULT_NONE) {
        (void)store_body_keep(body, w->messages[i].id, &extent, NULL);
        cleanup_close(&extent.descriptor);
    } else {
        store_body_free(body);
    }
    (void)store_learn_octets(w->store, w->messages[i].id, body_octets(i), NULL);
}

static void check_body(struct world *w, uint64_t id, size_t i)
{
    static char expected[LARGE_OCTETS], found[LARGE_OCTETS];
    struct extent extent;
    size_t octets = body_octets(i);
    uint64_t sum = 0;
    enum fault fault = store_body_open(w->store, id, octets, &extent, &sum);
    if (fault == FAULT_GARBLED && !w->reads_fail)
        complain(w, "the body of message %zu does not have its checksum", i);
    if (fault != FAULT_NONE)
        return;
    store_body_note_sound(w->store, id, sum);
    fill_body(i, expected);
    ssize_t count = pread(extent.descriptor, found, octets, (off_t)extent.offset);
    close(extent.descriptor);
    if (count != (ssize_t)octets || memcmp(found, expected, octets) != 0)
        complain(w, "the body of message %zu is wrong", i);
}

/* ---- what is found ---- */

struct found {
    struct world *world;
    unsigned going[MESSAGES];
};

static bool look_at(void *context, const struct store_message *message)
{
    struct found *found = context;
    struct world *w = found->world;
    char uidl[16];
    for (size_t i = 0; i < MESSAGES; i++) {
        if (!slice_equal(message_at(w, i, uidl).uidl, message->uidl))
            continue;
        found->going[i] = message->going ? GOING : NOT_GOING;
        w->messages[i].id = message->id;
        check_body(w, message->id, i);
        return true;
    }
    complain(w, "a message that never was");
    return true;
}

static const char *name_of(unsigned going)
{
    static const char *const names[] = {"nothing", "not going", "going", "either"};
    return names[going];
}

/* Whoever opens a store learns from it what is going. False if it does not tell. */
static bool check(struct world *w, bool is_cut)
{
    struct found found = {.world = w};
    for (size_t i = 0; i < MESSAGES; i++)
        found.going[i] = NOT_GOING;
    if (store_load(w->store, look_at, &found, NULL) != FAULT_NONE)
        return false;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct message *message = &w->messages[i];
        unsigned may = is_cut ? message->if_cut : message->if_killed;
        if ((found.going[i] & may) == 0)
            complain(w, "message %zu is %s, and was to be %s (%s)", i, name_of(found.going[i]),
                     name_of(may), w->notice);
        message->is_going = found.going[i] == GOING;
        /* A popfs before has been closed or killed: what it did may not be on the disk yet. */
        message->if_killed = found.going[i];
        message->if_cut |= found.going[i];
    }
    if (w->last_id < store_last_id(w->store))
        w->last_id = store_last_id(w->store);
    return true;
}

/* Closes it again, with the fault, if it does not tell what it holds. */
static bool open_store(struct world *w, bool is_cut, struct failure *ret_failure)
{
    if (store_open(&options, &w->store, ret_failure) == FAULT_NONE &&
        store_begin(w->store, w->notice, ret_failure) == FAULT_NONE && check(w, is_cut))
        return true;
    store_close(w->store);
    w->store = NULL;
    return false;
}

static void must_open(struct world *w, bool is_cut)
{
    struct failure failure = {0};
    sim_disk_fail(w->disk, 0, 0, 0, 0);
    if (!open_store(w, is_cut, &failure))
        complain(w, "the store does not open: %s", failure.text);
}

/* ---- the history ---- */

static void first_life(struct world *w)
{
    for (size_t i = 0; i < 7; i++)
        add(w, i);
    for (size_t i = LAST_ON + 1; i < MESSAGES; i++)
        add(w, i);
    flush(w);
    for (size_t i = LAST_ON + 1; i < MESSAGES; i++)
        keep(w, i);
    for (size_t i = 0; i < 4; i++)
        keep(w, i);
    note(w, 1, true);
    note(w, 2, true);
    note(w, 3, true);
    flush(w);
    note(w, 3, false);
    note(w, 5, true);
    keep(w, 4);
    flush(w);
    forget(w, 1, 2); /* a commit has deleted them */
    flush(w);
    add(w, 1); /* and new ones come by their names */
    keep(w, 1);
    note(w, 6, true);
    note(w, 6, false);
    note(w, 0, true);
    flush(w);
}

static void second_life(struct world *w)
{
    add(w, 7);
    note(w, 4, true);
    keep(w, 7);
    flush(w);
    note(w, 5, false);
    note(w, 7, true);
    flush(w);
    clear(w, 0, LAST_ON);
    forget(w, 0, LAST_ON);
    flush(w);
}

static void third_life(struct world *w)
{
    add(w, 8);
    add(w, 0);
    keep(w, 8);
    note(w, 8, true);
    flush(w);
    clear(w, 8, 1);
    forget(w, 8, 1);
    note(w, 0, true);
    flush(w);
    add(w, 8);
    keep(w, 8);
    flush(w);
}

static void close_store(struct world *w)
{
    w->closing_begin = sim_disk_count(w->disk, SIM_DISK_CHANGES);
    store_close(w->store);
    w->store = NULL;
    w->closing_end = sim_disk_count(w->disk, SIM_DISK_CHANGES);
}

static void live_until_the_second_close(struct world *w)
{
    if (open_store(w, false, NULL))
        first_life(w);
    close_store(w);
    if (open_store(w, false, NULL))
        second_life(w);
    close_store(w);
}

static void live(struct world *w)
{
    live_until_the_second_close(w);
    if (open_store(w, false, NULL))
        third_life(w);
}

/* Goes on after the worst, so that damage has the time to show. */
static void live_on(struct world *w)
{
    if (w->store == NULL)
        return;
    add(w, LAST_ON);
    keep(w, LAST_ON);
    note(w, LAST_ON, true);
    flush(w);
    close_store(w);
    must_open(w, false);
}

static uint64_t calls_in_a_history(unsigned calls)
{
    struct world w;
    begin(&w, 1);
    live(&w);
    close_store(&w);
    uint64_t count = sim_disk_count(w.disk, calls);
    end(&w);
    return count;
}

/* ---- power cuts ---- */

/* Each place in a history is tried once in one way; in a long run in every way. */
static bool is_long(void)
{
    const char *word = getenv("POPFS_LONG");
    return word != NULL && word[0] != '\0';
}

static void cut_at(uint64_t place, uint64_t seed)
{
    struct world w;
    begin(&w, seed);
    snprintf(w.what, sizeof(w.what), "power cut before change %llu, seed %llu",
             (unsigned long long)place, (unsigned long long)seed);
    sim_disk_go_out(w.disk, SIM_DISK_CHANGES, place);
    live(&w);
    close_store(&w);
    sim_disk_power_cut(w.disk, &w.random);
    must_open(&w, true);
    if (strstr(w.notice, "unreadable") != NULL)
        complain(&w, "%s", w.notice);
    live_on(&w);
    end(&w);
}

static void wherever_the_power_is_cut_no_wish_is_lost(void **state)
{
    (void)state;
    uint64_t count = calls_in_a_history(SIM_DISK_CHANGES);
    assert_true(count > 100);
    for (uint64_t place = 0; place <= count; place++)
        for (uint64_t seed = 0; seed < (is_long() ? SEEDS : 2); seed++)
            cut_at(place, 2 * place + seed);
    assert_no_complaints();
}

static void kill_at(uint64_t place)
{
    struct world w;
    begin(&w, place);
    snprintf(w.what, sizeof(w.what), "killed before change %llu", (unsigned long long)place);
    sim_disk_go_out(w.disk, SIM_DISK_CHANGES, place);
    live(&w);
    close_store(&w);
    sim_disk_kill(w.disk);
    must_open(&w, false);
    if (w.notice[0] != '\0')
        complain(&w, "%s", w.notice);
    live_on(&w);
    end(&w);
}

static void wherever_popfs_is_killed_no_wish_is_lost(void **state)
{
    (void)state;
    uint64_t count = calls_in_a_history(SIM_DISK_CHANGES);
    for (uint64_t place = 0; place <= count; place++)
        kill_at(place);
    assert_no_complaints();
}

/* When bodies are erased, and the journal made tidy, all depends on what is on the disk before. */
static void wherever_the_power_is_cut_at_the_end_of_a_life_no_body_is_wrong(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1);
    live_until_the_second_close(&w);
    end(&w);
    assert_true(w.closing_end - w.closing_begin > 10);
    for (uint64_t place = w.closing_begin; place <= w.closing_end; place++)
        for (uint64_t seed = 1; seed <= (is_long() ? SEEDS * SEEDS : SEEDS); seed++)
            cut_at(place, seed);
    assert_no_complaints();
}

/* ---- calls that fail ---- */

enum ending { CLOSED, KILLED, CUT, ENDINGS };

static const char *const ending_names[] = {"closed", "killed", "cut"};

static void end_life(struct world *w, enum ending ending)
{
    /* The memory of a killed popfs is lost: this one is closed, but it writes no more. */
    if (ending != CLOSED)
        sim_disk_go_out(w->disk, SIM_DISK_ALL, 0);
    store_close(w->store);
    if (ending == CUT)
        sim_disk_power_cut(w->disk, &w->random);
    else
        sim_disk_kill(w->disk);
}

static void fail_at(unsigned calls, uint64_t place, uint64_t count, int error, enum ending ending,
                    uint64_t seed)
{
    struct world w;
    begin(&w, seed);
    snprintf(w.what, sizeof(w.what),
             "%s to call %llu and %llu more of kind %u, %s at the end, seed %llu", strerror(error),
             (unsigned long long)place, (unsigned long long)count - 1, calls, ending_names[ending],
             (unsigned long long)seed);
    sim_disk_fail(w.disk, calls, place, count, error);
    w.reads_fail = (calls & SIM_DISK_READ) != 0;
    live(&w);
    end_life(&w, ending);
    must_open(&w, ending == CUT);
    live_on(&w);
    end(&w);
}

static void fail_each(unsigned calls, uint64_t count, int error)
{
    uint64_t places = calls_in_a_history(calls);
    for (uint64_t place = 0; place < places; place++)
        for (uint64_t i = 0; i < (is_long() ? ENDINGS : 1); i++)
            fail_at(calls, place, count, error, (enum ending)((place + i) % ENDINGS), place);
    assert_no_complaints();
}

static void whatever_change_fails_no_wish_is_lost(void **state)
{
    (void)state;
    fail_each(SIM_DISK_WRITE | SIM_DISK_NAME, 1, EIO);
    fail_each(SIM_DISK_WRITE | SIM_DISK_NAME, 1, ENOSPC);
}

/* Only a power cut tells what was not saved, and chance what became of it. */
static void whatever_sync_fails_no_wish_is_lost(void **state)
{
    (void)state;
    uint64_t places = calls_in_a_history(SIM_DISK_SYNC);
    for (uint64_t place = 0; place < places; place++)
        for (uint64_t seed = 1; seed <= (is_long() ? SEEDS : 3); seed++) {
            fail_at(SIM_DISK_SYNC, place, 1, EIO, CUT, seed);
            fail_at(SIM_DISK_SYNC, place, 4, EIO, CUT, seed);
        }
    assert_no_complaints();
}

static void whatever_read_fails_no_wish_is_lost(void **state)
{
    (void)state;
    fail_each(SIM_DISK_READ | SIM_DISK_OPEN, 1, EIO);
}

static void wherever_the_disk_begins_to_fail_no_wish_is_lost(void **state)
{
    (void)state;
    fail_each(SIM_DISK_CHANGES, UINT64_MAX, EIO);
    /* A sync that fails and names that cannot be removed either are too much for the bodies. */
    fail_each(SIM_DISK_WRITE | SIM_DISK_NAME, 10, ENOSPC);
}

/* However soon the power is cut then, and though nothing was noted since. */
static void the_wishes_of_a_killed_popfs_are_synced_by_the_next_one(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w;
        begin(&w, seed);
        snprintf(w.what, sizeof(w.what), "seed %llu", (unsigned long long)seed);
        must_open(&w, false);
        add(&w, 0);
        flush(&w);
        note(&w, 0, true);
        end_life(&w, KILLED);
        must_open(&w, false);
        w.messages[0].if_cut = GOING;
        end_life(&w, CUT);
        must_open(&w, true);
        end(&w);
    }
    assert_no_complaints();
}

/* ---- whatever may come ---- */

static void note_fault(void *context, enum sim_disk_fault fault, const char *line)
{
    struct world *w = context;
    size_t len = strlen(w->what);
    (void)fault;
    snprintf(w->what + len, sizeof(w->what) - len, ", %s", line);
}

static void live_with_faults(uint64_t seed)
{
    struct sim_disk_faults faults;
    struct world w;
    begin(&w, seed);
    const struct sim_disk_watcher watcher = {.context = &w, .fault = note_fault};
    snprintf(w.what, sizeof(w.what), "seed %llu", (unsigned long long)seed);
    sim_disk_faults_all(&faults);
    w.reads_fail = true;
    sim_disk_set_faults(w.disk, &faults);
    sim_disk_watch(w.disk, &watcher);
    live(&w);
    sim_disk_set_behaving(w.disk, true);
    enum ending ending = (enum ending)sim_random_below(&w.random, ENDINGS);
    end_life(&w, ending);
    must_open(&w, ending == CUT);
    live_on(&w);
    end(&w);
}

static void whatever_may_come_no_wish_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= RANDOM_SEEDS * (is_long() ? 10 : 1); seed++)
        live_with_faults(seed);
    assert_no_complaints();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wherever_the_power_is_cut_no_wish_is_lost),
        cmocka_unit_test(wherever_popfs_is_killed_no_wish_is_lost),
        cmocka_unit_test(wherever_the_power_is_cut_at_the_end_of_a_life_no_body_is_wrong),
        cmocka_unit_test(whatever_change_fails_no_wish_is_lost),
        cmocka_unit_test(whatever_sync_fails_no_wish_is_lost),
        cmocka_unit_test(whatever_read_fails_no_wish_is_lost),
        cmocka_unit_test(wherever_the_disk_begins_to_fail_no_wish_is_lost),
        cmocka_unit_test(the_wishes_of_a_killed_popfs_are_synced_by_the_next_one),
        cmocka_unit_test(whatever_may_come_no_wish_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
