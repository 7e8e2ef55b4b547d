/* SPDX-License-Identifier: MIT */
/* Pending removals: what outlives the process, and what must not. */
#include "fixture.h"

#include <pthread.h>
#include <sys/stat.h>

enum { THREADS_COUNT = 4, NOTES_COUNT = 500 };

static void a_wish_is_there_at_the_next_opening(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b- ");
    store_must_reopen(f);
    assert_loads(f->store, "a+ b- ");
    assert_string_equal(f->notice, "");
}

static void a_wish_can_be_taken_back(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true) && note(f->store, "b", 3, true));
    assert_true(note(f->store, "a", 3, false));
    store_must_reopen(f);
    assert_loads(f->store, "a- b+ ");
    assert_true(note(f->store, "b", 3, false));
    store_must_reopen(f);
    assert_loads(f->store, "a- b- ");
}

static void of_many_wishes_for_one_message_the_last_counts(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    for (int i = 0; i < 7; i++)
        assert_true(note(f->store, "a", 3, i % 2 == 0) && note(f->store, "b", 3, i % 2 == 1));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b- ");
}

static void any_octet_may_be_in_a_uidl(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    char uidl[255];
    for (size_t i = 0; i < sizeof(uidl); i++)
        uidl[i] = (char)(i + 1);
    struct store_message message = message_of(1, "", 3);
    message.uidl = (struct slice){uidl, sizeof(uidl)};
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    assert_int_equal(
        store_note_removal(
            f->store,
            &(struct store_removal){.uidl = message.uidl, .listed_octets = 3, .going = true}, NULL),
        FAULT_NONE);
    store_must_reopen(f);
    load(f->store, &loaded);
    assert_int_equal(loaded.count, 1);
    assert_int_equal(loaded.going_count, 1);
}

static void a_uidl_beyond_all_measure_is_refused(void **state)
{
    struct fixture *f = *state;
    char uidl[1001];
    struct failure failure;
    memset(uidl, 0xff, sizeof(uidl));
    assert_int_equal(store_note_removal(f->store,
                                        &(struct store_removal){.uidl = (struct slice){uidl, 1001},
                                                                .listed_octets = 3,
                                                                .going = true},
                                        &failure),
                     FAULT_DISK);
    assert_non_null(strstr(failure.text, "1001"));
    assert_int_equal(store_note_removal(f->store,
                                        &(struct store_removal){.uidl = (struct slice){uidl, 1000},
                                                                .listed_octets = 3,
                                                                .going = true},
                                        NULL),
                     FAULT_NONE);
    assert_int_equal(store_note_removal(f->store,
                                        &(struct store_removal){.uidl = (struct slice){uidl, 0},
                                                                .listed_octets = 3,
                                                                .going = true},
                                        NULL),
                     FAULT_DISK);
}

static void a_size_that_says_nothing_contradicts_none(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 0) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true) && note(f->store, "b", 0, true));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b+ ");
}

static void a_wish_for_another_message_of_the_same_uidl_is_dropped(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3));
    assert_true(note(f->store, "a", 4, true));
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
    assert_non_null(strstr(f->notice, "1 pending removal dropped"));
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
}

/* ---- what proves a message ---- */

static const struct evidence some_evidence = {"0123456789abcdef0123456789abcde"};
static const struct evidence other_evidence = {"another message by its evidence"};

static void note_proven(struct fixture *f, const char *uidl, uint64_t octets,
                        const struct evidence *evidence, bool going)
{
    const struct store_removal removal = {.uidl = slice_from_string(uidl),
                                          .listed_octets = octets,
                                          .evidence = *evidence,
                                          .time_s = -1234,
                                          .from = SLICE_LITERAL("Jan Nov\xc3\xa1k %"),
                                          .subject = SLICE_LITERAL("-"),
                                          .going = going};
    assert_int_equal(store_note_removal(f->store, &removal, NULL), FAULT_NONE);
}

static bool check_proof(void *context, const struct store_removal *removal)
{
    size_t *count = context;
    assert_true(slice_equal(removal->uidl, SLICE_LITERAL("a b")));
    assert_int_equal(removal->listed_octets, 3);
    assert_true(evidence_is_equal(&removal->evidence, &some_evidence));
    assert_int_equal(removal->time_s, -1234);
    assert_true(slice_equal(removal->from, SLICE_LITERAL("Jan Nov\xc3\xa1k %")));
    assert_true(slice_equal(removal->subject, SLICE_LITERAL("-")));
    assert_true(removal->going);
    ++*count;
    return true;
}

static void a_wish_needs_no_index_to_show_and_prove_its_message(void **state)
{
    struct fixture *f = *state;
    size_t count = 0;
    note_proven(f, "a b", 3, &some_evidence, true);
    for (int opening = 0; opening < 3; opening++) {
        store_must_close(f);
        /* The last opening has the line that the others have written anew. */
        assert_int_equal(unlink(path_of("index.sqlite", f)), 0);
        store_must_open(f);
        assert_string_equal(f->notice, "");
        assert_int_equal(store_load_removals(f->store, check_proof, &count, NULL), FAULT_NONE);
    }
    assert_int_equal(count, 3);
}

static void the_same_evidence_with_another_size_is_the_same_message(void **state)
{
    struct fixture *f = *state;
    struct store_message message = message_of(1, "a", 3);
    message.evidence = some_evidence;
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    note_proven(f, "a", 10, &some_evidence, true);
    store_must_reopen(f);
    assert_loads(f->store, "a+ ");
    assert_string_equal(f->notice, "");
    note_proven(f, "a", 17, &some_evidence, false);
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
    assert_string_equal(f->notice, "");
}

/* As a power cut leaves it, which takes what was written to the index and not what was to the
 * journal. */
static void an_index_that_is_older_than_a_wish_with_evidence_takes_nothing_from_it(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    size_t count = 0;
    struct store_message message = message_of(1, "a b", 3);
    message.evidence = other_evidence;
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    assert_true(keep(f->store, 1, "abc"));
    note_proven(f, "a b", 3, &some_evidence, true);
    store_must_reopen(f);
    assert_loads(f->store, "a b+ ");
    assert_string_equal(f->notice, "");
    assert_int_equal(store_load_removals(f->store, check_proof, &count, NULL), FAULT_NONE);
    assert_int_equal(count, 1);
    /* Nothing of the other message is its. */
    load(f->store, &loaded);
    assert_true(loaded.last.id > 1 && loaded.last.exact_octets == STORE_OCTETS_UNKNOWN);
    assert_true(evidence_is_equal(&loaded.last.evidence, &some_evidence));
    assert_false(is_kept(f->store, 1, 3));
}

static void of_wishes_for_several_messages_of_a_uidl_the_last_stands(void **state)
{
    struct fixture *f = *state;
    size_t count = 0;
    struct evidence third = {"a third one that the index has"};
    struct store_message message = message_of(1, "a b", 3);
    message.evidence = third;
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    note_proven(f, "a b", 3, &other_evidence, true);
    note_proven(f, "a b", 3, &some_evidence, true);
    store_must_reopen(f);
    assert_loads(f->store, "a b+ ");
    assert_non_null(strstr(f->notice, "1 pending removal dropped"));
    assert_int_equal(store_load_removals(f->store, check_proof, &count, NULL), FAULT_NONE);
    assert_int_equal(count, 1);
}

static void where_evidence_is_from_makes_no_other_message(void **state)
{
    struct fixture *f = *state;
    struct store_message message = message_of(1, "a", 3);
    struct evidence by_other_means = other_evidence;
    by_other_means.octets[EVIDENCE_OCTETS_COMPARED] ^= EVIDENCE_BY_RETR;
    message.evidence = other_evidence;
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    note_proven(f, "a", 0, &by_other_means, true);
    store_must_reopen(f);
    assert_loads(f->store, "a+ ");
    assert_string_equal(f->notice, "");
}

/* The server's TOP differs from its RETR, and popfs was killed before the index had the latter. */
static void evidence_by_retr_is_no_other_message_than_evidence_by_top(void **state)
{
    struct fixture *f = *state;
    size_t count = 0;
    struct store_message message = message_of(1, "a b", 3);
    message.evidence = other_evidence;
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    struct evidence by_retr = some_evidence;
    by_retr.octets[EVIDENCE_OCTETS_COMPARED] ^= EVIDENCE_BY_RETR;
    note_proven(f, "a b", 3, &by_retr, true);
    for (int opening = 0; opening < 2; opening++) {
        store_must_reopen(f);
        assert_loads(f->store, "a b+ ");
        assert_string_equal(f->notice, "");
    }
    assert_int_equal(store_load_removals(f->store, check_proof, &count, NULL), FAULT_NONE);
    assert_int_equal(count, 1);
}

static void a_wish_taken_back_names_no_evidence_and_proves_none(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3));
    note_proven(f, "a", 0, &some_evidence, true);
    store_must_reopen(f);
    assert_true(note(f->store, "a", 0, false));
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
    note_proven(f, "a", 0, &other_evidence, false);
    assert_true(note(f->store, "a", 0, true));
    store_must_reopen(f);
    assert_loads(f->store, "a+ ");
    assert_string_equal(f->notice, "");
}

static void a_message_that_leaves_takes_its_wish_with_it_whatever_its_size(void **state)
{
    struct fixture *f = *state;
    struct store_message message = message_of(1, "a", 3);
    message.evidence = some_evidence;
    assert_int_equal(store_add(f->store, &message, NULL), FAULT_NONE);
    note_proven(f, "a", 3, &some_evidence, true);
    store_must_reopen(f);
    message.listed_octets = 10;
    assert_int_equal(store_forget(f->store, &message, 1, NULL), FAULT_NONE);
    store_must_reopen(f);
    assert_loads(f->store, "");
}

/* ---- after a kill ---- */

static void add_and_note(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
    CHILD_MUST(add(f->store, 3, "c", 3) && add(f->store, 4, "d", 3)); /* not flushed */
    CHILD_MUST(note(f->store, "a", 3, true) && note(f->store, "c", 3, true));
    CHILD_MUST(note(f->store, "d", 3, true) && note(f->store, "d", 3, false));
}

static void what_was_noted_outlives_a_kill_and_what_was_not_flushed_does_not(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    killed_after(f, add_and_note);
    store_must_open(f);
    assert_loads(f->store, "a+ b- c+ ");
    assert_string_equal(f->notice, "");
    load(f->store, &loaded);
    assert_int_equal(loaded.last.id, 3);
    assert_int_equal(loaded.last.listed_octets, 3);
    assert_true(loaded.last.first_seen_ns > 1700000000000000000);
    assert_int_equal(store_last_id(f->store), 3);
}

static void forget_noted(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    CHILD_MUST(note(f->store, "a", 3, true));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
    CHILD_MUST(forget(f->store, 1, "a", 3));
}

static void forget_noted_and_flush(struct fixture *f)
{
    forget_noted(f);
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
}

static void add_and_forget_unflushed(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    CHILD_MUST(forget(f->store, 1, "a", 3));
}

static void a_forgotten_message_leaves_no_wish_however_late_the_kill_comes(void **state)
{
    struct fixture *f = *state;
    killed_after(f, forget_noted);
    store_must_open(f);
    assert_loads(f->store, "a- b- ");
    assert_true(forget(f->store, 1, "a", 3));
    store_must_reopen(f);
    assert_loads(f->store, "b- ");
}

static void a_forgotten_message_leaves_neither_row_nor_wish_after_a_flush(void **state)
{
    struct fixture *f = *state;
    killed_after(f, forget_noted_and_flush);
    store_must_open(f);
    assert_loads(f->store, "b- ");
    /* A new message that gets the same UIDL and size is nobody's to remove. */
    assert_true(add(f->store, 3, "a", 3));
    store_must_reopen(f);
    assert_loads(f->store, "b- a- ");
}

static void a_message_that_the_index_never_knew_is_not_made_up_when_it_was_forgotten(void **state)
{
    struct fixture *f = *state;
    killed_after(f, add_and_forget_unflushed);
    store_must_open(f);
    assert_loads(f->store, "");
}

static void
a_message_whose_row_could_not_be_written_leaves_no_wish_when_it_is_forgotten(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(note(f->store, "a", 3, true) && note(f->store, "b", 3, true));
    assert_true(forget(f->store, 1, "a", 3));
    assert_true(add(f->store, 2, "a", 3));
    store_must_reopen(f);
    assert_loads(f->store, "a- b+ ");
}

static void what_leaves_without_a_uidl_takes_back_nothing(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    assert_true(forget(f->store, 2, "", 3));
    store_must_reopen(f);
    assert_loads(f->store, "a+ ");
}

static void many_that_are_forgotten_at_once_leave_neither_rows_nor_wishes(void **state)
{
    struct fixture *f = *state;
    struct store_message messages[200];
    char uidls[200][16];
    store_must_open(f);
    for (uint64_t id = 1; id <= 200; id++) {
        char *uidl = uidls[id - 1];
        snprintf(uidl, sizeof(uidls[0]), "u%d", (int)id);
        assert_true(add(f->store, id, uidl, 3) && keep(f->store, id, "abc"));
        assert_true(id % 2 == 0 || note(f->store, uidl, 3, true));
        messages[id - 1] = id == 7 ? message_of(1007, "u1007", 3) : message_of(id, uidl, 3);
    }
    assert_int_equal(store_forget(f->store, messages, 200, NULL), FAULT_NONE);
    assert_loads(f->store, "u7- ");
    assert_kept(f->store, 7, "abc");
    assert_false(is_kept(f->store, 8, 3));
    for (uint64_t id = 201; id <= 205; id++)
        assert_true(add(f->store, id, uidls[id - 201], 3));
    store_must_reopen(f);
    assert_loads(f->store, "u7+ u1- u2- u3- u4- u5- ");
}

static void clear_without_flush(struct fixture *f)
{
    CHILD_MUST(note(f->store, "a", 3, true) && note(f->store, "b", 3, true));
    CHILD_MUST(store_clear_removals(f->store, store_removals_mark(f->store), NULL) == FAULT_NONE);
    CHILD_MUST(note(f->store, "c", 3, true));
    CHILD_MUST(forget(f->store, 1, "a", 3) && forget(f->store, 2, "b", 3));
}

static void
what_was_noted_is_over_when_the_journal_is_cleared_and_what_comes_later_is_not(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3) && add(f->store, 3, "c", 3));
    store_must_close(f);
    killed_after(f, clear_without_flush);
    store_must_open(f);
    assert_loads(f->store, "a- b- c+ ");
}

static void a_wish_of_an_earlier_mount_is_cleared_as_well(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    store_must_reopen(f);
    assert_int_equal(store_clear_removals(f->store, store_removals_mark(f->store), NULL),
                     FAULT_NONE);
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
}

static void what_is_noted_behind_the_mark_is_not_cleared(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3) && add(f->store, 3, "c", 3));
    assert_true(note(f->store, "a", 3, true) && note(f->store, "b", 3, true));
    uint64_t mark = store_removals_mark(f->store);
    assert_true(note(f->store, "b", 3, false) && note(f->store, "b", 3, true));
    assert_true(note(f->store, "c", 3, true));
    assert_int_equal(store_clear_removals(f->store, mark, NULL), FAULT_NONE);
    assert_true(note(f->store, "c", 3, false));
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "a- b+ c- ");
}

static void all_that_are_forgotten_at_once_give_their_ids_to_nobody(void **state)
{
    struct fixture *f = *state;
    const struct store_message all[] = {message_of(1, "a", 3), message_of(2, "b", 3),
                                        message_of(3, "c", 3)};
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && keep(f->store, 1, "abc"));
    assert_true(add(f->store, 2, "b", 3) && add(f->store, 3, "c", 3));
    assert_int_equal(store_forget(f->store, all, 3, NULL), FAULT_NONE);
    assert_loads(f->store, "");
    assert_false(is_kept(f->store, 1, 3));
    store_must_reopen(f);
    assert_loads(f->store, "");
    assert_int_equal(store_last_id(f->store), 3);
    assert_true(add(f->store, 4, "a", 3));
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
}

static void forget_what_was_going_before(struct fixture *f)
{
    CHILD_MUST(forget(f->store, 1, "a", 3));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
}

static void a_wish_of_an_earlier_mount_goes_with_its_message(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    store_must_reopen(f);
    assert_loads(f->store, "a+ ");
    store_must_close(f);
    killed_after(f, forget_what_was_going_before);
    store_must_open(f);
    assert_loads(f->store, "");
    assert_true(add(f->store, 2, "a", 3));
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
}

static void the_wish_for_a_replaced_message_does_not_pass_to_the_new_one(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    assert_true(add(f->store, 2, "a", 4));
    store_must_reopen(f);
    assert_loads(f->store, "a- ");
    assert_string_equal(f->notice, "");
    /* And a wish for the new one that comes before the old one is replaced stays. */
    assert_true(note(f->store, "a", 4, true) && note(f->store, "a", 5, true));
    assert_true(add(f->store, 3, "a", 5));
    store_must_reopen(f);
    assert_loads(f->store, "a+ ");
}

/* ---- a journal that is damaged, or the only thing left ---- */

static void append(const char *path, struct slice bytes)
{
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    fclose(file);
}

static void note_three(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3) && add(f->store, 3, "c", 3));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
    CHILD_MUST(note(f->store, "a", 3, true) && note(f->store, "b", 3, true) &&
               note(f->store, "c", 3, true));
}

static void a_torn_last_line_is_ignored_at_every_length(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer whole = {0};
    killed_after(f, note_three);
    file_read(state_path_of("removals", f), &whole);
    size_t line = whole.len / 3;
    for (size_t cut = 1; cut <= line; cut++) {
        file_write(state_path_of("removals", f), (struct slice){whole.data, whole.len - cut});
        store_must_open(f);
        assert_loads(f->store, "a+ b+ c- ");
        bool nothing_left = cut == line || cut == line - 1;
        assert_int_equal(strstr(f->notice, "1 damaged line in") != NULL, !nothing_left);
        store_must_close(f);
    }
}

static void a_torn_line_does_not_spoil_the_next(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true));
    append(state_path_of("removals", f), SLICE_LITERAL("\n+ 3 x"));
    assert_true(note(f->store, "b", 3, true));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b+ ");
    assert_non_null(strstr(f->notice, "1 damaged line in the journal of removals"));
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
}

static void a_journal_with_line_ends_behind_its_lines_is_read_as_well(void **state)
{
    struct fixture *f = *state;
    killed_after(f, note_three);
    append(state_path_of("removals", f), SLICE_LITERAL("\n\n- 3 a dc0ebdf6\n\n- 3 b db0ebc63\n"));
    store_must_open(f);
    assert_loads(f->store, "a- b- c+ ");
    assert_string_equal(f->notice, "");
}

static void garbage_in_the_journal_is_ignored(void **state)
{
    struct fixture *f = *state;
    static char zeros[5000];
    killed_after(f, note_three);
    append(state_path_of("removals", f), (struct slice){zeros, sizeof(zeros)});
    append(state_path_of("removals", f), SLICE_LITERAL("\n+ 3 a 00000000\n- 3 b\n \n%%%\xff\n"));
    store_must_open(f);
    assert_loads(f->store, "a+ b+ c+ ");
    assert_non_null(strstr(f->notice, "5 damaged lines"));
}

static void a_flipped_bit_is_noticed(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer journal = {0};
    killed_after(f, note_three);
    file_read(state_path_of("removals", f), &journal);
    char *sign = memchr(journal.data, '+', journal.len);
    assert_non_null(sign);
    sign[2] ^= 1; /* its size */
    file_write(state_path_of("removals", f), buffer_slice(&journal));
    store_must_open(f);
    assert_loads(f->store, "a- b+ c+ ");
}

static void wishes_outlive_the_index(void **state)
{
    struct fixture *f = *state;
    killed_after(f, note_three);
    store_must_open(f); /* the index has them now, and so has the journal */
    store_must_close(f);
    assert_int_equal(unlink(path_of("index.sqlite", f)), 0);
    store_must_open(f);
    assert_loads(f->store, "a+ b+ c+ ");
}

static void without_its_journal_an_index_knows_of_no_wish(void **state)
{
    struct fixture *f = *state;
    killed_after(f, note_three);
    store_must_open(f);
    store_must_close(f);
    assert_int_equal(unlink(state_path_of("removals", f)), 0);
    store_must_open(f);
    assert_loads(f->store, "a- b- c- ");
}

static void the_journal_does_not_grow_over_mounts(void **state)
{
    struct fixture *f = *state;
    struct stat first, later;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true));
    store_must_reopen(f);
    assert_int_equal(stat(state_path_of("removals", f), &first), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(note(f->store, "b", 3, true) && note(f->store, "b", 3, false));
        assert_true(note(f->store, "a", 3, true));
        store_must_reopen(f);
        assert_int_equal(stat(state_path_of("removals", f), &later), 0);
        assert_int_equal(later.st_size, first.st_size);
    }
    assert_true(forget(f->store, 1, "a", 3));
    store_must_reopen(f);
    assert_int_equal(stat(state_path_of("removals", f), &later), 0);
    assert_int_equal(later.st_size, 0);
}

static void a_tidy_journal_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct stat first, later;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    store_must_reopen(f);
    assert_int_equal(stat(state_path_of("removals", f), &first), 0);
    store_must_reopen(f);
    assert_int_equal(stat(state_path_of("removals", f), &later), 0);
    assert_int_equal(later.st_ino, first.st_ino);
}

/* ---- threads ---- */

struct noter {
    struct store *store;
    int number;
    bool failed;
};

static void *note_many(void *argument)
{
    struct noter *noter = argument;
    char uidl[40];
    for (int i = 0; i < NOTES_COUNT; i++) {
        snprintf(uidl, sizeof(uidl), "%d-%d", noter->number, i);
        noter->failed |= !note(noter->store, uidl, 3, true);
        if (i % 2 == 1)
            noter->failed |= !note(noter->store, uidl, 3, false);
    }
    return NULL;
}

static bool count_going(void *context, const struct store_message *message)
{
    *(size_t *)context += message->going;
    return true;
}

static void wishes_of_several_threads_do_not_mix(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS_COUNT];
    struct noter noters[THREADS_COUNT];
    size_t going_count = 0;
    store_must_open(f);
    for (int i = 0; i < THREADS_COUNT; i++) {
        noters[i] = (struct noter){f->store, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, &noters[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    for (int i = 0; i < THREADS_COUNT; i++) {
        pthread_join(threads[i], NULL);
        assert_false(noters[i].failed);
    }
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_int_equal(store_load(f->store, count_going, &going_count, NULL), FAULT_NONE);
    assert_int_equal(going_count, THREADS_COUNT * NOTES_COUNT / 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_CLOSED(name) cmocka_unit_test_setup_teardown(name, set_up_closed, tear_down)

/* ---- numbers and checksums ---- */

/* Damages or takes away line `number`, from 1 on. */
static void spoil_line(const struct fixture *f, int number, bool take_away)
{
    CLEANUP_BUFFER struct buffer journal = {0};
    file_read(state_path_of("removals", f), &journal);
    char *line = journal.data;
    for (int i = 0; i < number; i++) {
        line = memchr(line, '\n', (size_t)(journal.data + journal.len - line));
        assert_non_null(line++);
    }
    char *line_end = memchr(line, '\n', (size_t)(journal.data + journal.len - line));
    if (line_end == NULL)
        line_end = journal.data + journal.len;
    if (take_away) {
        memmove(line, line_end, (size_t)(journal.data + journal.len - line_end));
        journal.len -= (size_t)(line_end - line);
    } else {
        line[(line_end - line) / 2] ^= 1;
    }
    file_write(state_path_of("removals", f), buffer_slice(&journal));
}

/* FNV-1a, once more. */
static unsigned sum_of(const char *text)
{
    unsigned sum = 2166136261U;
    for (; *text != '\0'; text++)
        sum = (sum ^ (unsigned char)*text) * 16777619U;
    return sum;
}

/* As a later version writes it. */
static void append_chained(const struct fixture *f, const char *content)
{
    CLEANUP_BUFFER struct buffer journal = {0};
    char line[200], sum[16];
    file_read(state_path_of("removals", f), &journal);
    assert_true(journal.len > 8 && buffer_append(&journal, (struct slice){"", 1}));
    snprintf(line, sizeof(line), "%lu %s %s",
             strtoul(strrchr(journal.data, '\n') + 1, NULL, 10) + 1, journal.data + journal.len - 9,
             content);
    snprintf(sum, sizeof(sum), " %08x", sum_of(line));
    append(state_path_of("removals", f), SLICE_LITERAL("\n"));
    append(state_path_of("removals", f), slice_from_string(line));
    append(state_path_of("removals", f), slice_from_string(sum));
}

static void note_and_take_back(struct fixture *f)
{
    note_three(f);
    CHILD_MUST(note(f->store, "b", 3, false) && store_flush(f->store, NULL) == FAULT_NONE);
}

struct held {
    char uidls[100];
};

static bool look_for_held(void *context, const struct store_message *message)
{
    struct held *held = context;
    size_t len = strlen(held->uidls);
    if (message->held)
        snprintf(held->uidls + len, sizeof(held->uidls) - len, "%.*s ", (int)message->uidl.len,
                 message->uidl.data);
    return true;
}

static void assert_held(struct fixture *f, const char *uidls)
{
    struct held held = {""};
    assert_int_equal(store_load(f->store, look_for_held, &held, NULL), FAULT_NONE);
    assert_string_equal(held.uidls, uidls);
}

static void behind_a_damage_each_wish_waits_for_the_user(void **state)
{
    struct fixture *f = *state;
    for (int number = 1; number <= 4; number++) {
        for (int take_away = 0; take_away < 2; take_away++) {
            killed_after(f, note_and_take_back);
            spoil_line(f, number, take_away);
            store_must_open(f);
            assert_loads(f->store, number == 1   ? "a- b- c+ "
                                   : number == 2 ? "a+ b- c+ "
                                   : number == 3 ? "a+ b- c- "
                                                 : "a+ b+ c+ ");
            assert_held(f, number == 1   ? "c "
                           : number == 2 ? "a c "
                           : number == 3 ? "a "
                                         : "a b c ");
            assert_non_null(strstr(f->notice, "lines are missing from the journal of removals"));
            /* It is said once, and remembered. */
            store_must_reopen(f);
            assert_string_equal(f->notice, "");
            assert_held(f, number == 1   ? "c "
                           : number == 2 ? "a c "
                           : number == 3 ? "a "
                                         : "a b c ");
            store_must_close(f);
            assert_int_equal(unlink(state_path_of("removals", f)), 0);
            assert_int_equal(unlink(path_of("index.sqlite", f)), 0);
        }
    }
}

static void a_wish_that_is_confirmed_or_wished_again_waits_no_more(void **state)
{
    struct fixture *f = *state;
    killed_after(f, note_and_take_back);
    spoil_line(f, 4, false);
    store_must_open(f);
    assert_held(f, "a b c ");
    assert_true(note(f->store, "a", 3, true) && note(f->store, "b", 3, false));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b- c+ ");
    assert_held(f, "c ");
}

static void a_line_of_another_kind_is_passed_over_and_kept(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer journal = {0};
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true));
    store_must_close(f);
    append_chained(f, "flags a - FS and more");
    store_must_open(f);
    assert_string_equal(f->notice, "");
    assert_true(note(f->store, "b", 3, true) && note(f->store, "b", 3, false));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b- ");
    assert_int_equal(store_clear_removals(f->store, store_removals_mark(f->store), NULL),
                     FAULT_NONE);
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "a- b- ");
    file_read(state_path_of("removals", f), &journal);
    assert_true(buffer_append(&journal, (struct slice){"", 1}));
    char line[100] = "1 00000000 flags a - FS and more";
    snprintf(line + strlen(line), 16, " %08x", sum_of(line));
    assert_string_equal(journal.data + 1, line);
}

static void a_journal_does_not_grow_without_end_while_it_is_open(void **state)
{
    struct fixture *f = *state;
    struct stat stat_of;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "b", 3, true));
    for (int i = 0; i < 20000; i++) {
        assert_true(note(f->store, "a", 3, i % 2 == 0));
        if (i % 1000 == 0)
            assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
        assert_int_equal(stat(state_path_of("removals", f), &stat_of), 0);
        assert_true(stat_of.st_size < 500000);
    }
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "a- b+ ");
}

static void what_is_noted_while_the_journal_is_replaced_is_in_the_new_one(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    struct noter noter = {NULL, 0, false};
    size_t going_count = 0;
    store_must_open(f);
    noter.store = f->store;
    assert_int_equal(pthread_create(&thread, NULL, note_many, &noter), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(store_clear_removals(f->store, 0, NULL), FAULT_NONE);
    pthread_join(thread, NULL);
    assert_false(noter.failed);
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_int_equal(store_load(f->store, count_going, &going_count, NULL), FAULT_NONE);
    assert_int_equal(going_count, NOTES_COUNT / 2);
}

static void a_line_that_nobody_could_finish_is_no_gap(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "a", 3, true));
    append(state_path_of("removals", f), SLICE_LITERAL("\n2 0123"));
    assert_true(note(f->store, "b", 3, true));
    store_must_reopen(f);
    assert_loads(f->store, "a+ b+ ");
    assert_held(f, "");
}

/* ---- two folders ---- */

static void wipe_cache(const struct fixture *f)
{
    char command[200];
    snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
}

static void a_wish_outlives_the_cache(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && add(f->store, 2, "b", 3));
    assert_true(note(f->store, "b", 3, true));
    store_must_close(f);
    wipe_cache(f);
    store_must_open(f);
    assert_loads(f->store, "b+ ");
    store_must_close(f);
    f->options.temporary = true;
    store_must_open(f);
    assert_loads(f->store, "b+ ");
    assert_true(note(f->store, "b", 3, false) && note(f->store, "c", 4, true));
    store_must_close(f);
    f->options.temporary = false;
    store_must_open(f);
    assert_loads(f->store, "b- c+ ");
}

static void without_a_state_wishes_are_forgotten_at_the_end(void **state)
{
    struct fixture *f = *state;
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3) && note(f->store, "a", 3, true));
    store_must_close(f);
    wipe_cache(f);
    f->options.state_folder = NULL;
    store_must_open(f);
    assert_true(add(f->store, 2, "b", 3) && note(f->store, "b", 3, true));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    assert_int_equal(store_clear_removals(f->store, store_removals_mark(f->store), NULL),
                     FAULT_NONE);
    store_must_reopen(f);
    assert_loads(f->store, "b- ");
    /* Those of mounts with a state stay. */
    f->options.state_folder = f->state_folder;
    store_must_reopen(f);
    assert_loads(f->store, "b- a+ ");
}

/* As popfs 0.1 left it: in the cache. */
static void put_into_cache(struct fixture *f)
{
    CLEANUP_BUFFER struct buffer lines = {0};
    store_must_open(f);
    assert_true(note(f->store, "old", 4, true));
    store_must_close(f);
    file_read(state_path_of("removals", f), &lines);
    assert_int_equal(unlink(state_path_of("removals", f)), 0);
    wipe_cache(f);
    store_must_open(f);
    store_must_close(f);
    assert_int_equal(unlink(state_path_of("removals", f)), 0);
    file_write(path_of("removals", f), buffer_slice(&lines));
}

static void a_journal_in_the_cache_moves_to_the_state(void **state)
{
    struct fixture *f = *state;
    put_into_cache(f);
    store_must_open(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "old+ ");
    assert_int_not_equal(access(path_of("removals", f), F_OK), 0);
    store_must_reopen(f);
    assert_loads(f->store, "old+ ");
}

static void a_journal_that_was_copied_and_not_taken_away_is_no_other_one(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer lines = {0};
    put_into_cache(f);
    file_read(path_of("removals", f), &lines);
    file_write(state_path_of("removals", f), buffer_slice(&lines));
    store_must_open(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "old+ ");
    assert_int_not_equal(access(path_of("removals", f), F_OK), 0);
}

static void of_two_journals_that_of_the_state_counts_and_the_other_is_named(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer lines = {0};
    store_must_open(f);
    assert_true(note(f->store, "new", 5, true));
    store_must_close(f);
    file_read(state_path_of("removals", f), &lines);
    assert_int_equal(unlink(state_path_of("removals", f)), 0);
    wipe_cache(f);
    put_into_cache(f);
    file_write(state_path_of("removals", f), buffer_slice(&lines));
    store_must_open(f);
    assert_loads(f->store, "new+ ");
    const char *name = strstr(f->notice, "/removals.aside-");
    assert_non_null(name);
    assert_int_not_equal(access(path_of("removals", f), F_OK), 0);
    assert_int_equal(access(path_of(name + 1, f), F_OK), 0);
    store_must_reopen(f);
    assert_string_equal(f->notice, "");
    assert_loads(f->store, "new+ ");
}

static void without_a_state_a_journal_in_the_cache_stays_there(void **state)
{
    struct fixture *f = *state;
    put_into_cache(f);
    f->options.state_folder = NULL;
    store_must_open(f);
    assert_loads(f->store, "");
    f->options.state_folder = f->state_folder;
    store_must_reopen(f);
    assert_loads(f->store, "old+ ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wish_is_there_at_the_next_opening),
        TEST(a_wish_can_be_taken_back),
        TEST(of_many_wishes_for_one_message_the_last_counts),
        TEST(any_octet_may_be_in_a_uidl),
        TEST(a_uidl_beyond_all_measure_is_refused),
        TEST(a_size_that_says_nothing_contradicts_none),
        TEST(a_wish_for_another_message_of_the_same_uidl_is_dropped),
        TEST(a_wish_needs_no_index_to_show_and_prove_its_message),
        TEST(the_same_evidence_with_another_size_is_the_same_message),
        TEST(an_index_that_is_older_than_a_wish_with_evidence_takes_nothing_from_it),
        TEST(of_wishes_for_several_messages_of_a_uidl_the_last_stands),
        TEST(where_evidence_is_from_makes_no_other_message),
        TEST(evidence_by_retr_is_no_other_message_than_evidence_by_top),
        TEST(a_wish_taken_back_names_no_evidence_and_proves_none),
        TEST(a_message_that_leaves_takes_its_wish_with_it_whatever_its_size),
        TEST_CLOSED(what_was_noted_outlives_a_kill_and_what_was_not_flushed_does_not),
        TEST_CLOSED(a_forgotten_message_leaves_no_wish_however_late_the_kill_comes),
        TEST_CLOSED(a_forgotten_message_leaves_neither_row_nor_wish_after_a_flush),
        TEST_CLOSED(a_message_that_the_index_never_knew_is_not_made_up_when_it_was_forgotten),
        TEST_CLOSED(a_message_whose_row_could_not_be_written_leaves_no_wish_when_it_is_forgotten),
        TEST_CLOSED(what_leaves_without_a_uidl_takes_back_nothing),
        TEST_CLOSED(many_that_are_forgotten_at_once_leave_neither_rows_nor_wishes),
        TEST_CLOSED(what_was_noted_is_over_when_the_journal_is_cleared_and_what_comes_later_is_not),
        TEST_CLOSED(a_wish_of_an_earlier_mount_is_cleared_as_well),
        TEST_CLOSED(what_is_noted_behind_the_mark_is_not_cleared),
        TEST_CLOSED(all_that_are_forgotten_at_once_give_their_ids_to_nobody),
        TEST_CLOSED(a_wish_of_an_earlier_mount_goes_with_its_message),
        TEST_CLOSED(the_wish_for_a_replaced_message_does_not_pass_to_the_new_one),
        TEST_CLOSED(a_torn_last_line_is_ignored_at_every_length),
        TEST_CLOSED(a_torn_line_does_not_spoil_the_next),
        TEST_CLOSED(a_journal_with_line_ends_behind_its_lines_is_read_as_well),
        TEST_CLOSED(garbage_in_the_journal_is_ignored),
        TEST_CLOSED(a_flipped_bit_is_noticed),
        TEST_CLOSED(wishes_outlive_the_index),
        TEST_CLOSED(without_its_journal_an_index_knows_of_no_wish),
        TEST_CLOSED(the_journal_does_not_grow_over_mounts),
        TEST_CLOSED(a_tidy_journal_is_left_alone),
        TEST_CLOSED(wishes_of_several_threads_do_not_mix),
        TEST_CLOSED(behind_a_damage_each_wish_waits_for_the_user),
        TEST_CLOSED(a_wish_that_is_confirmed_or_wished_again_waits_no_more),
        TEST_CLOSED(a_line_of_another_kind_is_passed_over_and_kept),
        TEST_CLOSED(a_journal_does_not_grow_without_end_while_it_is_open),
        TEST_CLOSED(what_is_noted_while_the_journal_is_replaced_is_in_the_new_one),
        TEST_CLOSED(a_line_that_nobody_could_finish_is_no_gap),
        TEST_CLOSED(a_wish_outlives_the_cache),
        TEST_CLOSED(without_a_state_wishes_are_forgotten_at_the_end),
        TEST_CLOSED(a_journal_in_the_cache_moves_to_the_state),
        TEST_CLOSED(a_journal_that_was_copied_and_not_taken_away_is_no_other_one),
        TEST_CLOSED(of_two_journals_that_of_the_state_counts_and_the_other_is_named),
        TEST_CLOSED(without_a_state_a_journal_in_the_cache_stays_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
