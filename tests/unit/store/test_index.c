/* SPDX-License-Identifier: MIT */
/* Messages and facts in the index. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void a_message_is_loaded_as_it_was_added(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    struct store_message message = {.id = 5,
                                    .uidl = SLICE_LITERAL("a\0%\xff"),
                                    .listed_octets = 17,
                                    .exact_octets = 18,
                                    .time_s = -3,
                                    .first_seen_ns = 1700000000000000001};
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_int_equal(loaded.count, 1);
    assert_int_equal(loaded.last.id, 5);
    assert_int_equal(loaded.last.uidl.len, 4);
    assert_int_equal(loaded.last.listed_octets, 17);
    assert_int_equal(loaded.last.exact_octets, 18);
    assert_int_equal(loaded.last.time_s, -3);
    assert_int_equal(loaded.last.first_seen_ns, 1700000000000000001);
    assert_false(loaded.last.going);
}

static void what_is_unknown_is_loaded_as_unknown(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    assert_true(add(f->store, 1, "a", 0));
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_true(loaded.last.exact_octets == STORE_OCTETS_UNKNOWN);
    assert_true(loaded.last.time_s == STORE_TIME_UNKNOWN);
    assert_int_equal(loaded.last.listed_octets, 0);
}

static void messages_are_loaded_by_rising_id(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 9, "i", 0) && add(f->store, 2, "b", 0) && add(f->store, 4, "d", 0));
    assert_loads(f->store, "b- d- i- ");
    store_must_reopen(f);
    assert_loads(f->store, "b- d- i- ");
}

static bool refuse(void *context, const struct store_message *message)
{
    *(uint64_t *)context += message->id;
    return false;
}

static void loading_stops_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    uint64_t sum = 0;
    assert_true(add(f->store, 1, "a", 0) && add(f->store, 2, "b", 0));
    assert_int_equal(store_load(f->store, refuse, &sum, NULL), FAULT_MEMORY);
    assert_int_equal(sum, 1);
    assert_loads(f->store, "a- b- ");
}

static void an_id_is_never_given_again(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_last_id(f->store), 0);
    assert_true(add(f->store, 3, "a", 0) && add(f->store, 7, "b", 0));
    assert_int_equal(store_last_id(f->store), 7);
    assert_true(forget(f->store, 7, "b", 0));
    store_must_reopen(f);
    assert_int_equal(store_last_id(f->store), 7);
    assert_true(forget(f->store, 3, "a", 0));
    store_must_reopen(f);
    assert_int_equal(store_last_id(f->store), 7);
    assert_loads(f->store, "");
}

static void a_message_with_a_known_uidl_replaces_the_other(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 10) && add(f->store, 2, "b", 10));
    assert_true(keep(f->store, 1, "old"));
    assert_true(add(f->store, 3, "a", 11));
    assert_loads(f->store, "b- a- ");
    assert_false(is_kept(f->store, 1, 3));
    /* Whoever forgets the old one a moment later does no harm. */
    assert_true(forget(f->store, 1, "a", 10));
    assert_loads(f->store, "b- a- ");
}

/* The table has something against one of the block, or against two of the same block. */
static void many_messages_are_added_as_if_one_by_one(void **state)
{
    enum { COUNT = 40 };
    struct fixture *f = *state;
    struct store_message messages[COUNT];
    char uidls[COUNT][8];
    struct loaded loaded;
    assert_true(add(f->store, 1, "uidl20", 10));
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(uidls[i], sizeof(uidls[i]), "uidl%zu", i == 5 ? 4 : i);
        messages[i] = message_of(i + 2, uidls[i], 10 + i);
    }
    assert_int_equal(store_add_all(f->store, messages, COUNT, NULL), FAULT_NONE);
    assert_int_equal(store_last_id(f->store), COUNT + 1);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_int_equal(loaded.last.id, COUNT + 1);
    assert_int_equal(loaded.last.listed_octets, 10 + COUNT - 1);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM message"), COUNT - 1);
    assert_int_equal(sql_number(f, "SELECT id FROM message WHERE uidl = CAST('uidl20' AS BLOB)"),
                     22);
    assert_int_equal(sql_number(f, "SELECT id FROM message WHERE uidl = CAST('uidl4' AS BLOB)"), 7);
}

static void a_message_may_be_added_twice(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 10) && add(f->store, 1, "a", 10));
    assert_loads(f->store, "a- ");
}

static void an_id_that_another_message_has_is_a_fault(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    struct store_message message = message_of(1, "b", 10);
    assert_true(add(f->store, 1, "a", 10));
    assert_int_equal(store_add(f->store, &message, &failure), FAULT_DISK);
    assert_non_null(strstr(failure.text, "1"));
    assert_loads(f->store, "a- ");
}

static void sizes_and_headers_are_learned(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    struct store_summary summary;
    assert_true(add(f->store, 1, "a", 10));
    store_summary(f->store, 1, &summary);
    assert_string_equal(summary.from, "");
    assert_int_equal(store_learn_octets(f->store, 1, 12, NULL), FAULT_NONE);
    const struct store_header header = {.time_s = 1234,
                                        .sender = SLICE_LITERAL("Jan Nov\xc3\xa1k"),
                                        .subject = SLICE_LITERAL("Offer")};
    assert_int_equal(store_learn_header(f->store, 1, &header, NULL), FAULT_NONE);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_int_equal(loaded.last.exact_octets, 12);
    assert_int_equal(loaded.last.time_s, 1234);
    store_summary(f->store, 1, &summary);
    assert_string_equal(summary.from, "Jan Nov\xc3\xa1k");
    assert_string_equal(summary.subject, "Offer");
    store_summary(f->store, 99, &summary);
    assert_string_equal(summary.from, "");
    assert_string_equal(summary.subject, "");
}

static void a_header_without_a_time_and_texts_is_learned(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    struct store_summary summary;
    assert_true(add(f->store, 1, "a", 10));
    const struct store_header header = {.time_s = STORE_TIME_UNKNOWN};
    assert_int_equal(store_learn_header(f->store, 1, &header, NULL), FAULT_NONE);
    load(f->store, &loaded);
    assert_true(loaded.last.time_s == STORE_TIME_UNKNOWN);
    store_summary(f->store, 1, &summary);
    assert_string_equal(summary.subject, "");
}

static void a_whole_text_is_kept_and_cut_for_reports(void **state)
{
    struct fixture *f = *state;
    struct store_summary summary;
    char text[STORE_FIELD_OCTETS_MAX];
    memset(text, 'x', sizeof(text));
    memcpy(text + STORE_TEXT_OCTETS_MAX - 1, "\xc3\xa9", 2);
    const struct slice whole = {text, sizeof(text)};
    const struct store_header header = {.time_s = 5,
                                        .sender = {text, STORE_TEXT_OCTETS_MAX - 1},
                                        .from = whole,
                                        .to = whole,
                                        .subject = whole};
    assert_true(add(f->store, 1, "a", 10));
    assert_int_equal(store_learn_header(f->store, 1, &header, NULL), FAULT_NONE);
    store_summary(f->store, 1, &summary);
    assert_int_equal(strlen(summary.from), STORE_TEXT_OCTETS_MAX - 1);
    assert_string_equal(summary.from, summary.subject);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT sum(length(author)) + sum(length(recipients))"
                                   " + sum(length(subject)) FROM header"),
                     3 * (STORE_FIELD_OCTETS_MAX - 1));
}

static void evidence_is_learned_and_taken_back(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    struct evidence evidence = {"0123456789abcdef0123456789abcde"};
    assert_true(add(f->store, 1, "a", 10));
    load(f->store, &loaded);
    assert_false(evidence_is_known(&loaded.last.evidence));
    assert_int_equal(store_learn_evidence(f->store, 1, &evidence, NULL), FAULT_NONE);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_true(evidence_is_equal(&loaded.last.evidence, &evidence));
    evidence = (struct evidence){{0}};
    assert_int_equal(store_learn_evidence(f->store, 1, &evidence, NULL), FAULT_NONE);
    load(f->store, &loaded);
    assert_false(evidence_is_known(&loaded.last.evidence));
}

static void evidence_that_comes_with_a_header_is_learned_and_stays(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    struct store_header header = {.time_s = 5, .evidence = {"0123456789abcdef0123456789abcde"}};
    const struct evidence evidence = header.evidence;
    assert_true(add(f->store, 1, "a", 10));
    assert_int_equal(store_learn_header(f->store, 1, &header, NULL), FAULT_NONE);
    header.evidence = (struct evidence){{0}};
    assert_int_equal(store_learn_header(f->store, 1, &header, NULL), FAULT_NONE);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_int_equal(loaded.last.time_s, 5);
    assert_true(evidence_is_equal(&loaded.last.evidence, &evidence));
}

static void a_header_goes_with_its_message(void **state)
{
    struct fixture *f = *state;
    const struct store_header header = {.time_s = 5, .sender = SLICE_LITERAL("x")};
    for (uint64_t id = 1; id <= 3; id++)
        assert_true(add(f->store, id, id == 1 ? "a" : id == 2 ? "b" : "c", 10));
    for (uint64_t id = 1; id <= 4; id++)
        assert_int_equal(store_learn_header(f->store, id, &header, NULL), FAULT_NONE);
    assert_true(forget(f->store, 2, "b", 10));
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT sum(id) FROM header"), 1 + 3);
    store_must_open(f);
    struct store_message both[] = {message_of(1, "a", 10), message_of(3, "c", 10)};
    assert_int_equal(store_forget(f->store, both, 2, NULL), FAULT_NONE);
    store_must_close(f);
    assert_int_equal(sql_number(f, "SELECT count(*) FROM header"), 0);
}

static void facts_are_remembered(void **state)
{
    struct fixture *f = *state;
    int64_t value = 77;
    assert_false(store_fact(f->store, "list-lies", &value));
    assert_int_equal(value, 77);
    assert_int_equal(store_set_fact(f->store, "list-lies", 1, NULL), FAULT_NONE);
    assert_int_equal(store_set_fact(f->store, "list-lies", -2, NULL), FAULT_NONE);
    assert_int_equal(store_set_fact(f->store, "other", 5, NULL), FAULT_NONE);
    store_must_reopen(f);
    assert_true(store_fact(f->store, "list-lies", &value));
    assert_int_equal(value, -2);
}

static void forgetting_takes_row_and_body(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(keep(f->store, 1, "one") && keep(f->store, 2, "two"));
    assert_true(forget(f->store, 1, "a", 3));
    assert_false(is_kept(f->store, 1, 3));
    assert_loads(f->store, "b- ");
    assert_int_equal(entries_count(bodies_folder(f)), 1);
    assert_true(forget(f->store, 99, "z", 3));
}

static void other_line_ends_drop_bodies_and_sizes(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    assert_true(add(f->store, 1, "a", 3));
    assert_true(keep(f->store, 1, "one"));
    assert_int_equal(store_learn_octets(f->store, 1, 3, NULL), FAULT_NONE);
    const struct store_header header = {.time_s = 5, .sender = SLICE_LITERAL("x")};
    assert_int_equal(store_learn_header(f->store, 1, &header, NULL), FAULT_NONE);
    f->options.lf = true;
    store_must_reopen(f);
    assert_false(is_kept(f->store, 1, 3));
    load(f->store, &loaded);
    assert_true(loaded.last.exact_octets == STORE_OCTETS_UNKNOWN);
    assert_int_equal(loaded.last.time_s, 5);
    assert_true(keep(f->store, 1, "two"));
    store_must_reopen(f);
    assert_kept(f->store, 1, "two");
    f->options.lf = false;
    store_must_reopen(f);
    assert_false(is_kept(f->store, 1, 3));
    assert_int_equal(entries_count(bodies_folder(f)), 0);
}

static bool count_octets(void *context, const struct store_message *message)
{
    uint64_t *sum = context;
    *sum += message->listed_octets + message->uidl.len;
    return true;
}

static void a_hundred_thousand_messages_are_loaded(void **state)
{
    struct fixture *f = *state;
    char uidl[40];
    uint64_t sum = 0;
    for (uint64_t id = 1; id <= 100000; id++) {
        snprintf(uidl, sizeof(uidl), "%020d", (int)id);
        assert_true(add(f->store, id, uidl, 1));
    }
    store_must_reopen(f);
    assert_int_equal(store_load(f->store, count_octets, &sum, NULL), FAULT_NONE);
    assert_int_equal(sum, 2100000);
    assert_int_equal(store_last_id(f->store), 100000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_loaded_as_it_was_added),
        TEST(what_is_unknown_is_loaded_as_unknown),
        TEST(messages_are_loaded_by_rising_id),
        TEST(loading_stops_when_it_is_told_to),
        TEST(an_id_is_never_given_again),
        TEST(a_message_with_a_known_uidl_replaces_the_other),
        TEST(many_messages_are_added_as_if_one_by_one),
        TEST(a_message_may_be_added_twice),
        TEST(an_id_that_another_message_has_is_a_fault),
        TEST(sizes_and_headers_are_learned),
        TEST(a_header_without_a_time_and_texts_is_learned),
        TEST(a_whole_text_is_kept_and_cut_for_reports),
        TEST(evidence_is_learned_and_taken_back),
        TEST(evidence_that_comes_with_a_header_is_learned_and_stays),
        TEST(a_header_goes_with_its_message),
        TEST(facts_are_remembered),
        TEST(forgetting_takes_row_and_body),
        TEST(other_line_ends_drop_bodies_and_sizes),
        TEST(a_hundred_thousand_messages_are_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
