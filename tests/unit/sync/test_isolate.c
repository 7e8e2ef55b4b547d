/* SPDX-License-Identifier: MIT */
/* How many DELEs the next session of a commit is asked for, after what has happened. */
#include "isolate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CASE_STEPS_MAX = 64 };

/*
 * What happens, a letter each, with the DELEs that were answered +OK:
 *     d  a session breaks under a DELE, others owed      D  the same, one at a time
 *     q  QUIT fails                                      r  the last DELEs were refused
 *     p  a listing shows progress                        c  the next commit begins
 */
struct step {
    char what;
    size_t taken_count;
};

struct expected {
    size_t span;
    bool careful, suspects_first, gives_up, calm;
};

struct row {
    const char *name;
    struct step steps[CASE_STEPS_MAX];
    struct expected then;
};

#define ALL ISOLATE_ALL
#define CAREFUL ((size_t)ISOLATE_CAREFUL_MAX)

static const struct row rows[] = {
    {"nothing has happened", {{0}}, {.span = ALL, .calm = true}},
    {"progress changes nothing", {{'p', 0}}, {.span = ALL, .calm = true}},

    {"broke at the first DELE", {{'d', 0}}, {.span = CAREFUL, .careful = true}},
    {"broke after a few", {{'d', 4}}, {.span = CAREFUL, .careful = true}},
    {"broke after many: pipelining is not to blame", {{'d', 40}}, {.span = 40}},
    {"then it went well", {{'d', 40}, {'p', 0}}, {.span = ALL, .calm = true}},
    {"broke one at a time, after a few", {{'d', 4}, {'D', 7}}, {.span = 7, .careful = true}},
    {"broke one at a time, at once", {{'d', 4}, {'D', 0}}, {.span = CAREFUL, .careful = true}},
    {"careful, then it went well", {{'d', 4}, {'p', 0}}, {.span = ALL, .calm = true}},

    {"two early breaks", {{'d', 0}, {'p', 0}, {'d', 1}}, {CAREFUL, true, true, false, false}},
    {"one at a time it breaks as well",
     {{'d', 0}, {'D', 0}, {'d', 0}},
     {.span = CAREFUL, .careful = true}},
    {"that is found out late",
     {{'d', 0}, {'p', 0}, {'d', 0}, {'D', 0}},
     {.span = CAREFUL, .careful = true}},
    {"a break after two answers is not early",
     {{'d', 2}, {'p', 0}, {'d', 3}},
     {.span = CAREFUL, .careful = true}},
    {"an early break is no calm", {{'d', 1}, {'p', 0}}, {.span = ALL}},

    {"three times after four", {{'d', 4}, {'D', 4}, {'d', 4}}, {.span = 4, .careful = true}},
    {"a limit outlives progress",
     {{'d', 4}, {'p', 0}, {'d', 4}, {'p', 0}, {'d', 4}, {'p', 0}},
     {.span = 4}},
    {"twice after four is no limit", {{'d', 4}, {'p', 0}, {'d', 4}, {'p', 0}}, {ALL, 0, 0, 0, 1}},
    {"four, five, four is no limit",
     {{'d', 4}, {'p', 0}, {'d', 5}, {'p', 0}, {'d', 4}, {'p', 0}},
     {.span = ALL, .calm = true}},
    {"no answer at all is no limit",
     {{'D', 0}, {'D', 0}, {'D', 0}, {'p', 0}},
     {.span = ALL, .calm = true}},
    {"a bad DELE below the limit does not move it",
     {{'r', 4}, {'p', 0}, {'r', 4}, {'p', 0}, {'r', 4}, {'d', 2}, {'p', 0}},
     {.span = 4}},
    {"nor does it lift the span over it",
     {{'r', 4}, {'r', 4}, {'r', 4}, {'d', 0}},
     {.span = 4, .careful = true}},

    {"refused after four", {{'r', 4}}, {.span = ALL, .calm = true}},
    {"refused three times after four",
     {{'r', 4}, {'p', 0}, {'r', 4}, {'p', 0}, {'r', 4}},
     {.span = 4}},

    {"QUIT failed", {{'q', 9}}, {.span = 4}},
    {"QUIT failed again", {{'q', 9}, {'q', 4}}, {.span = 2}},
    {"QUIT failed for one alone", {{'q', 9}, {'q', 4}, {'q', 2}, {'q', 1}}, {.span = 1}},
    {"twice as many after a success", {{'q', 9}, {'q', 4}, {'p', 0}}, {.span = 4}},
    {"and again", {{'q', 9}, {'q', 4}, {'p', 0}, {'p', 0}}, {.span = 8}},
    {"halves stay under the limit",
     {{'r', 4}, {'r', 4}, {'r', 4}, {'q', 4}, {'p', 0}, {'p', 0}, {'p', 0}},
     {.span = 4}},

    {"the next commit is calm again", {{'d', 4}, {'d', 40}, {'c', 0}}, {ALL, 0, 0, 0, 1}},
    {"the next commit begins one at a time after an early break in a pipeline",
     {{'d', 0}, {'d', 0}, {'c', 0}},
     {.span = CAREFUL, .careful = true}},
    {"not where something went well since", {{'d', 0}, {'p', 0}, {'c', 0}}, {ALL, 0, 0, 0, 1}},
    {"nor where it breaks one at a time as well",
     {{'d', 0}, {'D', 0}, {'c', 0}},
     {ALL, 0, 0, 0, 1}},
    {"the next commit tries more than the limit",
     {{'r', 4}, {'r', 4}, {'r', 4}, {'c', 0}},
     {.span = ALL, .calm = true}},
    {"and believes it at once", {{'r', 4}, {'r', 4}, {'r', 4}, {'c', 0}, {'d', 4}}, {.span = 4}},
    {"or learns another one",
     {{'r', 4}, {'r', 4}, {'r', 4}, {'c', 0}, {'r', 6}, {'p', 0}},
     {.span = ALL, .calm = true}},
};

static void happen(struct isolate *isolate, const struct step *step)
{
    struct isolate_break how = {.taken_count = step->taken_count,
                                .at_quit = step->what == 'q',
                                .pipelined = step->what == 'd'};
    if (strchr("dDq", step->what) != NULL)
        isolate_note_break(isolate, &how);
    else if (step->what == 'r')
        isolate_note_refusals(isolate, step->taken_count);
    else if (step->what == 'p')
        isolate_note_progress(isolate);
    else if (step->what == 'c')
        isolate_begin(isolate);
}

static void the_next_session_is_asked_for_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct isolate isolate = {0};
        isolate_begin(&isolate);
        for (size_t k = 0; k < CASE_STEPS_MAX && row->steps[k].what != '\0'; k++)
            happen(&isolate, &row->steps[k]);
        if (isolate.span != row->then.span || isolate.careful != row->then.careful ||
            isolate.suspects_first != row->then.suspects_first ||
            isolate_gives_up(&isolate) != row->then.gives_up ||
            isolate_is_calm(&isolate) != row->then.calm)
            fail_msg("%s: span %zu, careful %d, suspects first %d, gives up %d, calm %d", row->name,
                     isolate.span, isolate.careful, isolate.suspects_first,
                     isolate_gives_up(&isolate), isolate_is_calm(&isolate));
    }
}

static void sessions_that_delete_nothing_end_it_and_progress_starts_the_count_anew(void **state)
{
    (void)state;
    struct isolate isolate = {0};
    const struct step broke = {'D', 0}, progress = {'p', 0};
    isolate_begin(&isolate);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < ISOLATE_BARREN_MAX - 1; i++)
            happen(&isolate, &broke);
        assert_false(isolate_gives_up(&isolate));
        happen(&isolate, &progress);
    }
    for (int i = 0; i < ISOLATE_BARREN_MAX; i++)
        happen(&isolate, &broke);
    assert_true(isolate_gives_up(&isolate));
}

static void two_acquitted_deles_blame_pipelining_unless_one_at_a_time_broke_as_well(void **state)
{
    (void)state;
    struct isolate isolate = {0};
    const struct step at_once = {'d', 0}, alone = {'D', 0};
    isolate_begin(&isolate);
    happen(&isolate, &at_once);
    happen(&isolate, &at_once);
    assert_false(isolate_acquit(&isolate));
    assert_true(isolate_acquit(&isolate));
    isolate_begin(&isolate);
    happen(&isolate, &at_once);
    happen(&isolate, &at_once);
    happen(&isolate, &alone);
    assert_false(isolate_acquit(&isolate));
    assert_false(isolate_acquit(&isolate));
}

/* A server that takes `limit` DELEs and then hangs up or refuses; returns the sessions it took. */
static size_t sessions_for(size_t count, size_t limit, bool refuses)
{
    struct isolate isolate = {0};
    size_t sessions = 0;
    isolate_begin(&isolate);
    for (; count > 0 && !isolate_gives_up(&isolate); sessions++) {
        size_t asked = count < isolate.span ? count : isolate.span;
        struct isolate_break how = {.taken_count = limit, .pipelined = !isolate.careful};
        if (asked > limit && !refuses) {
            isolate_note_break(&isolate, &how);
            continue;
        }
        if (asked > limit)
            isolate_note_refusals(&isolate, limit);
        count -= asked < limit ? asked : limit;
        isolate_note_progress(&isolate);
    }
    assert_int_equal(count, 0);
    return sessions;
}

static void a_limit_costs_few_sessions_more_than_it_must(void **state)
{
    (void)state;
    static const size_t limits[] = {1, 2, 4, 31, 32, 33, 50, 100};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        size_t least = (1000 + limits[i] - 1) / limits[i];
        assert_in_range(sessions_for(1000, limits[i], true), least, least);
        assert_in_range(sessions_for(1000, limits[i], false), least, least + 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_session_is_asked_for_what_the_table_says),
        cmocka_unit_test(sessions_that_delete_nothing_end_it_and_progress_starts_the_count_anew),
        cmocka_unit_test(two_acquitted_deles_blame_pipelining_unless_one_at_a_time_broke_as_well),
        cmocka_unit_test(a_limit_costs_few_sessions_more_than_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
