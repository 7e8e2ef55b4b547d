/* SPDX-License-Identifier: MIT */
/* The pure parts of sync: schedule, window, crawl, back-off, listing, header. */
#include "backoff.h"
#include "crawl.h"
#include "header.h"
#include "listing.h"
#include "schedule.h"
#include "window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- schedule ---- */

static void readers_go_before_stat_before_read_ahead_before_the_sweep(void **state)
{
    (void)state;
    struct schedule_view view = {.may_issue = true, .window_octets = 1000, .demand_octets = 1000};
    for (int i = 0; i < SCHEDULE_CLASSES_COUNT; i++)
        view.wanted[i] = true;
    for (int i = 0; i < SCHEDULE_CLASSES_COUNT; i++) {
        assert_int_equal(schedule_next(&view), i);
        view.wanted[i] = false;
    }
    assert_int_equal(schedule_next(&view), SCHEDULE_NOTHING);
}

static void nothing_is_asked_when_the_protocol_forbids_it(void **state)
{
    (void)state;
    struct schedule_view view = {.may_issue = false, .window_octets = 1000};
    view.wanted[SCHEDULE_READ] = true;
    assert_int_equal(schedule_next(&view), SCHEDULE_NOTHING);
}

static void what_nobody_waits_for_stays_within_the_window_and_demand_does_not(void **state)
{
    (void)state;
    struct schedule_view view = {.may_issue = true,
                                 .window_octets = 1000,
                                 .demand_octets = 5000,
                                 .outstanding_count = 1,
                                 .outstanding_octets = 1000};
    view.wanted[SCHEDULE_SWEEP] = true;
    assert_int_equal(schedule_next(&view), SCHEDULE_NOTHING);
    view.outstanding_octets = 999;
    assert_int_equal(schedule_next(&view), SCHEDULE_SWEEP);
    view.outstanding_octets = 1000;
    view.wanted[SCHEDULE_STAT] = true;
    assert_int_equal(schedule_next(&view), SCHEDULE_STAT);
    view.outstanding_octets = 5000;
    assert_int_equal(schedule_next(&view), SCHEDULE_NOTHING);
}

static void one_command_may_always_be_outstanding_and_the_count_is_bounded(void **state)
{
    (void)state;
    struct schedule_view view = {.may_issue = true};
    view.wanted[SCHEDULE_AHEAD] = true;
    assert_int_equal(schedule_next(&view), SCHEDULE_AHEAD);
    view.window_octets = UINT64_MAX;
    view.outstanding_count = SCHEDULE_COMMANDS_MAX;
    assert_int_equal(schedule_next(&view), SCHEDULE_NOTHING);
}

static void a_keepalive_is_sent_on_an_idle_line_only(void **state)
{
    (void)state;
    struct schedule_view view = {.may_issue = true, .window_octets = 1000};
    view.wanted[SCHEDULE_KEEPALIVE] = true;
    assert_int_equal(schedule_next(&view), SCHEDULE_KEEPALIVE);
    view.outstanding_count = 1;
    assert_int_equal(schedule_next(&view), SCHEDULE_NOTHING);
}

/* ---- window ---- */

/* A line of `rate` octets a second and the given round trip: after some time the window fills it.
 */
static uint64_t window_after(uint64_t rate, int64_t round_trip_ms, int64_t duration_ms)
{
    struct window window;
    window_init(&window);
    window_note_round_trip(&window, round_trip_ms);
    for (int64_t now = 0; now < duration_ms; now += 10) {
        uint64_t limited = window_octets(&window) * 1000 / (uint64_t)round_trip_ms;
        window_note_octets(&window, (limited < rate ? limited : rate) / 100, now);
    }
    return window_octets(&window);
}

static void the_window_grows_until_the_line_is_full(void **state)
{
    (void)state;
    /* 100 Mbit/s, 40 ms: 500,000 octets are on the way. */
    uint64_t window = window_after(12500000, 40, 2000);
    assert_true(window >= 500000);
    assert_true(window <= 12500000 / 2);
    /* 1 Gbit/s, 200 ms: 25 MB are on the way. */
    assert_true(window_after(125000000, 200, 5000) >= 25000000);
}

/* All that is asked for comes in one burst, and then more is asked for: `bursts` times. Or, not
 * `idle`, a little of the next is asked for all the while. */
static uint64_t window_after_bursts(uint64_t rate, int64_t round_trip_us, int bursts, bool idle)
{
    struct window window;
    int64_t now_us = 0;
    window_init(&window);
    window_note_round_trip(&window, round_trip_us / 1000);
    for (; bursts > 0; bursts--, now_us += round_trip_us) {
        uint64_t owed = window_octets(&window);
        for (uint64_t part; owed > 0; owed -= part) {
            part = owed < 65536 ? owed : 65536;
            window_note_octets(&window, part, now_us / 1000);
            now_us += (int64_t)(part * 1000000 / rate);
        }
        if (idle)
            window_note_idle(&window);
    }
    return window_octets(&window);
}

static void a_window_too_small_for_the_line_grows_though_it_comes_in_bursts(void **state)
{
    (void)state;
    for (int idle = 0; idle < 2; idle++) {
        assert_true(window_after_bursts(12500000, 160000, 3, idle) >= 2000000);
        assert_true(window_after_bursts(12500000, 40000, 3, idle) >= 500000);
        assert_true(window_after_bursts(125000000, 200000, 5, idle) >= 25000000);
        assert_true(window_after_bursts(12500000, 160000, 20, idle) <= 12500000 / 2);
        assert_int_equal(window_after_bursts(100000, 100000, 5, idle), WINDOW_OCTETS_MIN);
    }
}

static void the_window_is_known_after_the_listing(void **state)
{
    struct window window;
    (void)state;
    window_init(&window);
    window_note_round_trip(&window, 40);
    /* 10,000 rows of UIDL and LIST at 100 Mbit/s */
    for (int64_t now = 0; now < 30; now++)
        window_note_octets(&window, 12500, now);
    window_note_idle(&window);
    assert_in_range(window_octets(&window), 1000000, 2000000);
}

static void the_window_of_a_slow_line_stays_small(void **state)
{
    (void)state;
    assert_int_equal(window_after(100000, 100, 5000), WINDOW_OCTETS_MIN);
}

static void a_pause_says_nothing_about_the_line(void **state)
{
    (void)state;
    struct window window;
    window_init(&window);
    for (int64_t now = 0; now <= 100; now += 10)
        window_note_octets(&window, 1000000, now);
    uint64_t before = window_octets(&window);
    assert_true(before > WINDOW_OCTETS_MIN);
    window_note_idle(&window);
    window_note_octets(&window, 1, 100000);
    assert_int_equal(window_octets(&window), before);
}

/* ---- crawl ---- */

enum { CRAWL_COUNT = 200, CRAWL_OCTETS = 10000 };

static struct maildrop_snapshot *crawl_snapshot(struct maildrop *maildrop)
{
    char names[CRAWL_COUNT][8];
    struct maildrop_row rows[CRAWL_COUNT];
    struct maildrop_message *by_row[CRAWL_COUNT];
    struct maildrop_changes changes;
    for (size_t i = 0; i < CRAWL_COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "u%zu", i);
        rows[i] = (struct maildrop_row){slice_from_string(names[i]), CRAWL_OCTETS};
    }
    assert_int_equal(maildrop_apply(maildrop, rows, CRAWL_COUNT, true, 0, by_row, &changes), 0);
    maildrop_changes_done(&changes);
    return maildrop_snapshot(maildrop);
}

static int crawl_set_up(void **state)
{
    *state = maildrop_new();
    return *state == NULL;
}

static int crawl_tear_down(void **state)
{
    maildrop_free(*state);
    return 0;
}

static size_t take_all(struct crawl *crawl, const struct maildrop_snapshot *snapshot, size_t *first)
{
    size_t position, count = 0;
    while (crawl_next(crawl, snapshot, &position))
        if (count++ == 0)
            *first = position;
    return count;
}

static void a_crawl_is_believed_at_its_second_open_and_its_window_grows(void **state)
{
    struct maildrop_snapshot *snapshot = crawl_snapshot(*state);
    struct crawl crawl = {0};
    size_t first = 0;
    crawl_note_open(&crawl, snapshot, 10);
    assert_int_equal(take_all(&crawl, snapshot, &first), 0);
    crawl_note_open(&crawl, snapshot, 11);
    size_t once = take_all(&crawl, snapshot, &first);
    assert_int_equal(first, 12);
    assert_int_equal(once, (CRAWL_OCTETS_MIN + CRAWL_OCTETS - 1) / CRAWL_OCTETS);
    crawl_note_open(&crawl, snapshot, 12);
    size_t twice = take_all(&crawl, snapshot, &first);
    assert_int_equal(first, 12 + once);
    assert_true(twice > 1); /* one was opened: a window that stays would ask for one */
    maildrop_snapshot_unref(snapshot);
}

static void opens_here_and_there_are_no_crawl(void **state)
{
    struct maildrop_snapshot *snapshot = crawl_snapshot(*state);
    struct crawl crawl = {0};
    size_t first = 0;
    const size_t opens[] = {0, 150, 50, 100, 25, 75, 175, 125, 12, 190};
    for (size_t i = 0; i < 10; i++)
        crawl_note_open(&crawl, snapshot, opens[i]);
    assert_int_equal(take_all(&crawl, snapshot, &first), 0);
    maildrop_snapshot_unref(snapshot);
}

static void two_readers_have_a_lane_each(void **state)
{
    struct maildrop_snapshot *snapshot = crawl_snapshot(*state);
    struct crawl crawl = {0};
    bool near = false, far = false;
    size_t position;
    for (size_t i = 0; i < 3; i++) {
        crawl_note_open(&crawl, snapshot, i);
        crawl_note_open(&crawl, snapshot, 100 + i);
    }
    while (crawl_next(&crawl, snapshot, &position)) {
        near |= position == 3;
        far |= position == 103;
    }
    assert_true(near);
    assert_true(far);
    maildrop_snapshot_unref(snapshot);
}

static void a_tool_with_threads_opens_a_little_out_of_order(void **state)
{
    struct maildrop_snapshot *snapshot = crawl_snapshot(*state);
    struct crawl crawl = {0};
    size_t first = 0;
    const size_t opens[] = {1, 0, 3, 2, 5, 4};
    for (size_t i = 0; i < 6; i++)
        crawl_note_open(&crawl, snapshot, opens[i]);
    assert_true(take_all(&crawl, snapshot, &first) > 0);
    assert_int_equal(first, 6);
    maildrop_snapshot_unref(snapshot);
}

static void a_message_larger_than_the_window_is_not_guessed(void **state)
{
    struct maildrop_snapshot *snapshot = crawl_snapshot(*state);
    struct crawl crawl = {0};
    size_t first = 0;
    maildrop_message_learn_octets(maildrop_snapshot_at(snapshot, 5), CRAWL_OCTETS_MIN * 4);
    crawl_note_open(&crawl, snapshot, 0);
    crawl_note_open(&crawl, snapshot, 1);
    assert_int_equal(take_all(&crawl, snapshot, &first), 3);
    crawl_note_open(&crawl, snapshot, 2);
    crawl_note_open(&crawl, snapshot, 3);
    assert_true(take_all(&crawl, snapshot, &first) > 0); /* the window has grown */
    assert_int_equal(first, 5);
    maildrop_snapshot_unref(snapshot);
}

static void read_ahead_ends_with_the_listing(void **state)
{
    struct maildrop_snapshot *snapshot = crawl_snapshot(*state);
    struct crawl crawl = {0};
    size_t first = 0;
    crawl_note_open(&crawl, snapshot, CRAWL_COUNT - 3);
    crawl_note_open(&crawl, snapshot, CRAWL_COUNT - 2);
    assert_int_equal(take_all(&crawl, snapshot, &first), 1);
    assert_int_equal(first, CRAWL_COUNT - 1);
    maildrop_snapshot_unref(snapshot);
}

/* ---- back-off ---- */

static void assert_delay(struct backoff *backoff, enum fault fault, int64_t most_ms)
{
    struct backoff other = *backoff;
    assert_int_equal(backoff_failed(&other, fault, 0), most_ms - most_ms / 4);
    int64_t delay = backoff_failed(backoff, fault, 0xdeadbeef);
    assert_in_range(delay, most_ms - most_ms / 4, most_ms);
}

static void a_lost_link_waits_from_one_second_to_a_minute(void **state)
{
    (void)state;
    struct backoff backoff = {0};
    for (int64_t ms = 1000; ms < 60000; ms *= 2)
        assert_delay(&backoff, FAULT_OFFLINE, ms);
    for (int i = 0; i < 100; i++)
        assert_delay(&backoff, FAULT_TIMEOUT, 60000);
    backoff_succeeded(&backoff);
    assert_delay(&backoff, FAULT_OFFLINE, 1000);
}

static void a_busy_maildrop_waits_from_five_seconds_to_two_minutes(void **state)
{
    (void)state;
    struct backoff backoff = {0};
    for (int64_t ms = 5000; ms < 120000; ms *= 2)
        assert_delay(&backoff, FAULT_BUSY, ms);
    assert_delay(&backoff, FAULT_BUSY, 120000);
}

static void an_outage_lasts_until_a_session_or_an_answer(void **state)
{
    (void)state;
    const enum fault outages[] = {FAULT_OFFLINE, FAULT_TIMEOUT, FAULT_GARBLED};
    const enum fault answers[] = {FAULT_BUSY, FAULT_LOGIN, FAULT_UNTRUSTED};
    struct backoff backoff = {0};
    assert_false(backoff_is_away_since(&backoff, INT64_MAX));
    for (size_t i = 0; i < 3; i++) {
        backoff_note_failure(&backoff, outages[i], 1000 + (int64_t)i);
        assert_true(backoff_is_away_since(&backoff, 1000));
        assert_false(backoff_is_away_since(&backoff, 999));
    }
    backoff_note_session(&backoff);
    assert_false(backoff_is_away_since(&backoff, INT64_MAX));
    for (size_t i = 0; i < 3; i++) {
        backoff_note_failure(&backoff, FAULT_OFFLINE, 2000);
        backoff_note_failure(&backoff, answers[i], 3000);
        assert_false(backoff_is_away_since(&backoff, INT64_MAX));
    }
}

static void a_refused_account_waits_a_minute_at_once(void **state)
{
    (void)state;
    struct backoff backoff = {0};
    assert_delay(&backoff, FAULT_LOGIN, 60000);
}

/* ---- listing ---- */

struct joined {
    const struct maildrop_row *rows;
    const uint32_t *msgnums;
    size_t count;
};

static struct joined join(struct listing *listing, bool made_up)
{
    struct joined j;
    assert_int_equal(listing_join(listing, made_up, &j.rows, &j.msgnums, &j.count), FAULT_NONE);
    return j;
}

static void rows_of_both_lists_are_joined_by_number_in_any_order(void **state)
{
    (void)state;
    struct listing *listing = listing_new();
    listing_add_uidl(listing, 7, SLICE_LITERAL("seven"));
    listing_add_uidl(listing, 2, SLICE_LITERAL("two"));
    listing_add_uidl(listing, 4, SLICE_LITERAL("four"));
    listing_add_octets(listing, 4, 44);
    listing_add_octets(listing, 7, 77);
    listing_add_octets(listing, 9, 99);
    struct joined j = join(listing, false);
    assert_int_equal(j.count, 3);
    assert_int_equal(j.msgnums[0], 2);
    assert_int_equal(j.rows[0].octets, 0);
    assert_true(slice_equal(j.rows[1].uidl, SLICE_LITERAL("four")));
    assert_int_equal(j.rows[1].octets, 44);
    assert_int_equal(j.rows[2].octets, 77);
    listing_free(listing);
}

static void a_number_with_two_uidls_is_hidden_and_one_said_twice_is_not(void **state)
{
    (void)state;
    struct listing *listing = listing_new();
    listing_add_uidl(listing, 1, SLICE_LITERAL("a"));
    listing_add_uidl(listing, 2, SLICE_LITERAL("b"));
    listing_add_uidl(listing, 1, SLICE_LITERAL("other"));
    listing_add_uidl(listing, 2, SLICE_LITERAL("b"));
    struct joined j = join(listing, false);
    assert_int_equal(j.count, 1);
    assert_int_equal(j.msgnums[0], 2);
    assert_int_equal(listing_hidden_count(listing), 1);
    listing_free(listing);
}

static void a_row_without_an_id_has_a_name_that_no_other_has(void **state)
{
    (void)state;
    struct listing *listing = listing_new();
    listing_add_uidl(listing, 1, SLICE_LITERAL("msg-2"));
    listing_add_uidl(listing, 2, SLICE_LITERAL(""));
    listing_add_uidl(listing, 3, SLICE_LITERAL(""));
    listing_add_uidl(listing, 3, SLICE_LITERAL("three"));
    struct joined j = join(listing, false);
    assert_int_equal(j.count, 3);
    assert_false((j.rows[0].octets & MAILDROP_MADE_UP) != 0);
    assert_true((j.rows[1].octets & MAILDROP_MADE_UP) != 0);
    assert_true(slice_equal(j.rows[1].uidl, SLICE_LITERAL("msg-2_")));
    assert_false((j.rows[2].octets & MAILDROP_MADE_UP) != 0);
    assert_true(slice_equal(j.rows[2].uidl, SLICE_LITERAL("three")));
    assert_int_equal(listing_hidden_count(listing), 0);
    listing_free(listing);
}

/* A million of 500 octets would be half a gigabyte. */
static void uidls_are_bounded_all_together(void **state)
{
    (void)state;
    static char uidl[500];
    struct failure failure;
    struct listing *listing = listing_new();
    uint32_t most = LISTING_NAMES_OCTETS_MAX / sizeof(uidl);
    memset(uidl, 'u', sizeof(uidl));
    for (uint32_t i = 1; i <= most; i++)
        if (listing_add_uidl(listing, i, (struct slice){uidl, sizeof(uidl)}) != FAULT_NONE)
            fail_msg("row %u", i);
    enum fault fault = listing_add_uidl(listing, most + 1, SLICE_LITERAL("x"));
    assert_int_equal(listing_failure(fault, &failure), FAULT_GARBLED);
    assert_string_equal(failure.text,
                        "the UIDLs of the maildrop have more than 100000000 octets together");
    listing_free(listing);
}

/* One UIDL that looks like such a name makes each of them as long as itself. */
static void names_that_are_made_up_count_among_them(void **state)
{
    (void)state;
    static char uidl[500] = "msg-";
    struct joined j;
    struct listing *listing = listing_new();
    memset(uidl + 4, 'u', sizeof(uidl) - 4);
    listing_add_uidl(listing, 1, (struct slice){uidl, sizeof(uidl)});
    for (uint32_t i = 2; i <= 300000; i++)
        if (listing_add_uidl(listing, i, SLICE_LITERAL("")) != FAULT_NONE)
            fail_msg("row %u", i);
    assert_int_equal(listing_join(listing, false, &j.rows, &j.msgnums, &j.count), FAULT_GARBLED);
    listing_free(listing);
}

static void a_listing_that_was_trimmed_holds_what_was_joined(void **state)
{
    (void)state;
    struct listing *listing = listing_new();
    listing_add_uidl(listing, 1, SLICE_LITERAL("a"));
    listing_add_uidl(listing, 2, SLICE_LITERAL("b"));
    listing_add_octets(listing, 2, 7);
    struct joined j = join(listing, false);
    listing_trim(listing);
    assert_int_equal(listing_keep_common(listing), 1);
    assert_true(slice_equal(j.rows[0].uidl, SLICE_LITERAL("b")) && j.rows[0].octets == 7);
    assert_int_equal(listing_uidl_count(listing), 2);
    listing_free(listing);
}

static void without_uidl_the_numbers_of_list_are_names(void **state)
{
    (void)state;
    struct listing *listing = listing_new();
    listing_add_octets(listing, 3, 30);
    listing_add_octets(listing, 1, 10);
    struct joined j = join(listing, true);
    assert_int_equal(j.count, 2);
    assert_true(slice_equal(j.rows[0].uidl, SLICE_LITERAL("msg-1")));
    assert_int_equal(j.rows[0].octets, 10);
    assert_true(slice_equal(j.rows[1].uidl, SLICE_LITERAL("msg-3")));
    listing_free(listing);
}

/* Numbers above what STAT said are no answers to TOP where each list has as many as it said. */
static void gaps_in_the_numbers_are_no_strays_where_both_lists_have_them(void **state)
{
    (void)state;
    struct belief_listing counts;
    struct listing *listing = listing_new();
    listing_add_uidl(listing, 3, SLICE_LITERAL("three"));
    listing_add_uidl(listing, 6, SLICE_LITERAL("six"));
    listing_add_octets(listing, 3, 30);
    listing_add_octets(listing, 6, 60);
    (void)join(listing, false);
    listing_count(listing, 2, &counts);
    assert_false(counts.strays);
    listing_count(listing, 3, &counts);
    assert_true(counts.strays);
    listing_count(listing, 1, &counts);
    assert_true(counts.strays);
    listing_free(listing);
}

/* ---- header ---- */

static void a_header_ends_at_the_empty_line_at_every_split(void **state)
{
    (void)state;
    const char *texts[] = {"A: b\r\nC: d\r\n\r\nbody\r\n\r\nmore", "A: b\nC: d\n\nbody\n\nmore"};
    for (size_t t = 0; t < 2; t++) {
        struct slice text = slice_from_string(texts[t]);
        for (size_t split = 0; split <= text.len; split++) {
            struct header header = {0};
            header_feed(&header, (struct slice){text.data, split});
            header_feed(&header, slice_skip(text, split));
            assert_true(header.complete);
            header_done(&header);
        }
    }
}

static void a_header_without_end_is_cut(void **state)
{
    (void)state;
    struct header header = {0};
    static char line[1000];
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 1000; i++)
        header_feed(&header, (struct slice){line, sizeof(line)});
    assert_true(header.complete);
    assert_true(header.bytes.len < 300000);
    header_clear(&header);
    assert_false(header.complete);
    header_done(&header);
}

/* A header of `octets` before `last`, fed in pieces of `piece`. */
static void feed_long_header(struct header *header, size_t octets, const char *last, size_t piece)
{
    struct buffer text = {0};
    while (text.len + 100 < octets)
        assert_true(buffer_append_string(&text, "X-Filler: 0123456789\r\n"));
    assert_true(buffer_append_string(&text, "X-Last: "));
    while (text.len + 2 < octets)
        assert_true(buffer_append_string(&text, "x"));
    assert_true(buffer_append_string(&text, "\r\n") && buffer_append_string(&text, last));
    for (size_t at = 0; at < text.len; at += piece)
        header_feed(header,
                    (struct slice){text.data + at, text.len - at < piece ? text.len - at : piece});
    buffer_done(&text);
}

static void the_fields_that_are_read_come_though_they_lie_behind_the_bound(void **state)
{
    (void)state;
    static const char last[] = "DATE: Sun, 22 Nov 2026\r\n 14:30:00 +0100\r\nX-Filler: y\r\n z\r\n"
                               "Subject: one\r\nSubject: two\r\n\r\nFrom: body\r\n";
    const size_t pieces[] = {1, 7, 1000, 1000000};
    /* The bound lies in front of the field, behind it, and at each octet between. */
    for (size_t before = 0; before < sizeof(last); before++) {
        for (size_t p = before % 16 == 0 ? 0 : 2; p < 4; p++) {
            struct header header = {0};
            feed_long_header(&header, MAIL_HEADER_OCTETS_MAX - before, last, pieces[p]);
            assert_true(header.complete && !header.is_cut);
            int64_t seconds = 0;
            assert_true(mail_header_time(buffer_slice(&header.bytes), &seconds));
            assert_int_equal(seconds, 1795354200);
            struct buffer subject = {0};
            struct buffer from = {0};
            assert_true(mail_header_summary(buffer_slice(&header.bytes), 100, &from, &subject));
            assert_true(slice_equal(buffer_slice(&subject), SLICE_LITERAL("one")));
            assert_int_equal(from.len, 0);
            buffer_done(&subject);
            buffer_done(&from);
            header_done(&header);
        }
    }
}

static void a_date_is_found_however_far_behind_the_bound_it_lies(void **state)
{
    (void)state;
    struct header header = {0};
    feed_long_header(&header, 4 * MAIL_HEADER_OCTETS_MAX,
                     "Date: Sun, 22 Nov 2026 14:30:00 +0100\r\n\r\n", 4096);
    int64_t seconds = 0;
    assert_true(mail_header_time(buffer_slice(&header.bytes), &seconds));
    assert_int_equal(seconds, 1795354200);
    assert_true(header.bytes.len <= MAIL_HEADER_KEPT_MAX);
    header_done(&header);
}

static void what_is_kept_behind_the_bound_has_a_bound(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "Subject: ", "From: ", "To: ", "Received: ", "Date: ", " ", "x"};
    struct header header = {0};
    feed_long_header(&header, MAIL_HEADER_OCTETS_MAX + 1000, "", 4096);
    for (size_t f = 0; f < 10 * sizeof(fields) / sizeof(fields[0]); f++) {
        struct slice start = slice_from_string(fields[f % (sizeof(fields) / sizeof(fields[0]))]);
        header_feed(&header, start);
        for (size_t i = 0; i < 10000; i++)
            header_feed(&header, SLICE_LITERAL("xyz"));
        header_feed(&header, SLICE_LITERAL("\n"));
    }
    assert_true(header.bytes.len <= MAIL_HEADER_KEPT_MAX);
    assert_true(header.bytes.len > MAIL_HEADER_OCTETS_MAX + 5 * 4000);
    header_done(&header);
}

static void a_message_that_begins_with_an_empty_line_has_no_header(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_none;
    } rows[] = {{"", false},     {"\r", false},          {"\r\n", true},
                {"\n", true},    {"\r\nA: b\r\n", true}, {"A: b\r\n\r\n", false},
                {" \r\n", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct header header = {0};
        header_feed(&header, slice_from_string(rows[i].text));
        assert_int_equal(header_is_none(&header), rows[i].is_none);
        header_done(&header);
    }
}

#define CRAWL(name) cmocka_unit_test_setup_teardown(name, crawl_set_up, crawl_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_go_before_stat_before_read_ahead_before_the_sweep),
        cmocka_unit_test(nothing_is_asked_when_the_protocol_forbids_it),
        cmocka_unit_test(what_nobody_waits_for_stays_within_the_window_and_demand_does_not),
        cmocka_unit_test(one_command_may_always_be_outstanding_and_the_count_is_bounded),
        cmocka_unit_test(a_keepalive_is_sent_on_an_idle_line_only),
        cmocka_unit_test(the_window_grows_until_the_line_is_full),
        cmocka_unit_test(a_window_too_small_for_the_line_grows_though_it_comes_in_bursts),
        cmocka_unit_test(the_window_is_known_after_the_listing),
        cmocka_unit_test(the_window_of_a_slow_line_stays_small),
        cmocka_unit_test(a_pause_says_nothing_about_the_line),
        CRAWL(a_crawl_is_believed_at_its_second_open_and_its_window_grows),
        CRAWL(opens_here_and_there_are_no_crawl),
        CRAWL(two_readers_have_a_lane_each),
        CRAWL(a_tool_with_threads_opens_a_little_out_of_order),
        CRAWL(a_message_larger_than_the_window_is_not_guessed),
        CRAWL(read_ahead_ends_with_the_listing),
        cmocka_unit_test(a_lost_link_waits_from_one_second_to_a_minute),
        cmocka_unit_test(a_busy_maildrop_waits_from_five_seconds_to_two_minutes),
        cmocka_unit_test(a_refused_account_waits_a_minute_at_once),
        cmocka_unit_test(an_outage_lasts_until_a_session_or_an_answer),
        cmocka_unit_test(rows_of_both_lists_are_joined_by_number_in_any_order),
        cmocka_unit_test(a_number_with_two_uidls_is_hidden_and_one_said_twice_is_not),
        cmocka_unit_test(a_row_without_an_id_has_a_name_that_no_other_has),
        cmocka_unit_test(uidls_are_bounded_all_together),
        cmocka_unit_test(names_that_are_made_up_count_among_them),
        cmocka_unit_test(a_listing_that_was_trimmed_holds_what_was_joined),
        cmocka_unit_test(without_uidl_the_numbers_of_list_are_names),
        cmocka_unit_test(gaps_in_the_numbers_are_no_strays_where_both_lists_have_them),
        cmocka_unit_test(a_header_ends_at_the_empty_line_at_every_split),
        cmocka_unit_test(a_header_without_end_is_cut),
        cmocka_unit_test(the_fields_that_are_read_come_though_they_lie_behind_the_bound),
        cmocka_unit_test(a_date_is_found_however_far_behind_the_bound_it_lies),
        cmocka_unit_test(what_is_kept_behind_the_bound_has_a_bound),
        cmocka_unit_test(a_message_that_begins_with_an_empty_line_has_no_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
