/* SPDX-License-Identifier: MIT */
/* The bin: what is added comes back, and what goes when. */
#include "fixture.h"

#include "bin.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KEEP_S 1000
#define MIB (1024 * 1024)

/* ---- a disk that fails ---- */

static int writes_left = -1; /* until the disk is full; -1: never */
static bool dies_then;       /* is killed instead */
static size_t write_octets_max = SIZE_MAX;
static int link_error;

ssize_t __real_disk_pwrite(int file, const void *octets, size_t count, off_t offset);
ssize_t __wrap_disk_pwrite(int file, const void *octets, size_t count, off_t offset);
int __real_disk_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int __wrap_disk_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);

ssize_t __wrap_disk_pwrite(int file, const void *octets, size_t count, off_t offset)
{
    if (writes_left == 0 && dies_then)
        _exit(0);
    if (writes_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    writes_left -= writes_left > 0;
    return __real_disk_pwrite(file, octets, count < write_octets_max ? count : write_octets_max,
                              offset);
}

int __wrap_disk_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    if (link_error == 0)
        return __real_disk_linkat(from_folder, from, to_folder, to, flags);
    errno = link_error;
    return -1;
}

/* ---- the bin of a test ---- */

struct place_of_test {
    char path[64], bin[80];
    int folder;
    struct bin opened;
};

static void open_anew(struct place_of_test *t, int64_t keep_s, uint64_t octets_max)
{
    bin_done(&t->opened);
    bin_init(&t->opened, t->folder, keep_s, octets_max);
}

static int set_up_bin(void **state)
{
    struct place_of_test *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    strcpy(t->path, "/tmp/popfs-bin-XXXXXX");
    assert_non_null(mkdtemp(t->path));
    snprintf(t->bin, sizeof(t->bin), "%s/bin", t->path);
    t->folder = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->folder >= 0);
    bin_init(&t->opened, t->folder, KEEP_S, 256 * MIB);
    writes_left = -1;
    write_octets_max = SIZE_MAX;
    link_error = 0;
    *state = t;
    return 0;
}

static int tear_down_bin(void **state)
{
    struct place_of_test *t = *state;
    char command[128];
    bin_done(&t->opened);
    close(t->folder);
    snprintf(command, sizeof(command), "rm -rf '%s'", t->path);
    int failed = system(command);
    free(t);
    return failed;
}

static struct store_deleted deleted_of(const char *name, int64_t deleted_s)
{
    return (struct store_deleted){.name = slice_from_string(name),
                                  .deleted_s = deleted_s,
                                  .time_s = deleted_s - 86400,
                                  .from = SLICE_LITERAL("Jan Novák"),
                                  .subject = SLICE_LITERAL("Offer for May")};
}

/* A body that no other name and size has: every octet depends on where it is. */
static char *body_of(const char *name, size_t octets)
{
    char *body = malloc(octets + 1);
    assert_non_null(body);
    for (size_t i = 0; i < octets; i++)
        body[i] = (char)(i * 7 + i / 251 + (unsigned char)name[i % strlen(name)]);
    return body;
}

static int file_of(const struct place_of_test *t, const char *name, size_t octets)
{
    char path[160];
    char *body = body_of(name, octets);
    snprintf(path, sizeof(path), "%s/body-%s", t->path, name);
    file_write(path, (struct slice){body, octets});
    free(body);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    return file;
}

static enum fault add_body(struct place_of_test *t, const char *name, size_t octets,
                           int64_t deleted_s, struct failure *ret_failure)
{
    struct store_deleted deleted = deleted_of(name, deleted_s);
    int file = file_of(t, name, octets);
    const struct bin_source source = {.body = {.descriptor = file, .octets = octets}};
    enum fault fault = bin_add(&t->opened, &deleted, &source, ret_failure);
    close(file);
    return fault;
}

static void must_add(struct place_of_test *t, const char *name, size_t octets, int64_t deleted_s)
{
    struct failure failure = {.text = ""};
    if (add_body(t, name, octets, deleted_s, &failure) != FAULT_NONE)
        fail_msg("%s", failure.text);
}

/* The body has a file of its own in the cache. */
static void must_add_file(struct place_of_test *t, const char *name, size_t octets,
                          int64_t deleted_s)
{
    char own[96];
    struct store_deleted deleted = deleted_of(name, deleted_s);
    int file = file_of(t, name, octets);
    snprintf(own, sizeof(own), "body-%s", name);
    const struct bin_source source = {
        .body = {.descriptor = file, .octets = octets}, .folder = t->folder, .name = own};
    assert_int_equal(bin_add(&t->opened, &deleted, &source, NULL), FAULT_NONE);
    close(file);
}

/* ---- what is there ---- */

struct listing {
    const struct place_of_test *t;
    char names[4096]; /* each with its size, and a blank */
    size_t count, damaged_count;
};

static void assert_is_body(const struct listing *listing, const struct store_deleted *deleted)
{
    char name[STORE_NAME_OCTETS_MAX + 1], path[160];
    struct buffer read = {0};
    snprintf(name, sizeof(name), "%.*s", (int)deleted->name.len, deleted->name.data);
    snprintf(path, sizeof(path), "%s/read", listing->t->path);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(store_bin_read(listing->t->bin, deleted, file), 0);
    close(file);
    file_read(path, &read);
    char *body = body_of(name, (size_t)deleted->octets);
    assert_int_equal(read.len, deleted->octets);
    assert_memory_equal(read.data, body, read.len);
    free(body);
    buffer_done(&read);
}

static bool list_one(void *context, const struct store_deleted *deleted)
{
    struct listing *listing = context;
    size_t len = strlen(listing->names);
    snprintf(listing->names + len, sizeof(listing->names) - len, "%.*s:%zu ",
             (int)deleted->name.len, deleted->name.data, (size_t)deleted->octets);
    listing->count++;
    if (deleted->octets > 0)
        assert_is_body(listing, deleted);
    return true;
}

/* Every body that is listed is read, and must be the one that was added. */
static void list(const struct place_of_test *t, struct listing *ret_listing)
{
    *ret_listing = (struct listing){.t = t};
    int error = store_bin_each(t->bin, list_one, ret_listing);
    assert_true(error == 0 || error == ENOENT);
}

static void assert_lists(const struct place_of_test *t, const char *names)
{
    struct listing listing;
    list(t, &listing);
    assert_string_equal(listing.names, names);
}

/* ---- tests ---- */

static void bodies_come_back_in_the_order_of_their_deletion(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "b.eml", 10, 5000);
    must_add(t, "a.eml", 4000, 5001);
    must_add(t, "a.eml", 4001, 5001); /* another one with its name */
    must_add(t, "empty.eml", 0, 5001);
    must_add(t, "large.eml", 300000, 5002);
    must_add(t, "c.eml", 65536, 5003);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "b.eml:10 a.eml:4000 a.eml:4001 empty.eml:0 large.eml:300000 c.eml:65536 ");
    assert_int_equal(t->opened.body_count, 6);
    assert_int_equal(t->opened.octets, 10 + 4000 + 4001 + 300000 + 65536);
    assert_int_equal(entries_count(t->bin), 2);
}

static bool take_first(void *context, const struct store_deleted *deleted)
{
    struct buffer *said = context;
    assert_true(
        buffer_printf(said, "%lld|%lld|%llu|%d|%.*s|%.*s|%.*s", (long long)deleted->deleted_s,
                      (long long)(deleted->time_s == STORE_TIME_UNKNOWN ? 0 : deleted->time_s),
                      (unsigned long long)deleted->octets, deleted->lf, (int)deleted->name.len,
                      deleted->name.data, (int)deleted->from.len, deleted->from.data,
                      (int)deleted->subject.len, deleted->subject.data));
    return false;
}

static void assert_first_says(const struct place_of_test *t, const char *text)
{
    struct buffer said = {0};
    assert_int_equal(store_bin_each(t->bin, take_first, &said), 0);
    assert_true(buffer_append(&said, (struct slice){"", 1}));
    assert_string_equal(said.data, text);
    buffer_done(&said);
}

static void a_line_says_what_is_known(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "%2E a.eml", 3, 86400);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_first_says(t, "86400|0|3|0|%2E a.eml|Jan Novák|Offer for May");
}

static void what_is_not_known_is_empty(void **state)
{
    struct place_of_test *t = *state;
    const struct store_deleted deleted = {
        .name = SLICE_LITERAL("a.eml"), .deleted_s = -5, .time_s = STORE_TIME_UNKNOWN, .lf = true};
    int file = file_of(t, "a.eml", 7);
    const struct bin_source source = {.body = {.descriptor = file, .octets = 7}};
    assert_int_equal(bin_add(&t->opened, &deleted, &source, NULL), FAULT_NONE);
    close(file);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_first_says(t, "-5|0|7|1|a.eml||");
}

static void no_text_ends_its_field_or_its_line(void **state)
{
    struct place_of_test *t = *state;
    struct store_deleted deleted = deleted_of("a\tb\n.eml", 5);
    deleted.subject = SLICE_LITERAL("one\ttwo\nthree");
    int file = file_of(t, "x", 7);
    const struct bin_source source = {.body = {.descriptor = file, .octets = 7}};
    assert_int_equal(bin_add(&t->opened, &deleted, &source, NULL), FAULT_NONE);
    close(file);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_first_says(t, "5|-86395|7|0|a b .eml|Jan Novák|one two three");
}

static void a_body_in_a_file_of_its_own_is_linked(void **state)
{
    struct place_of_test *t = *state;
    struct stat stat;
    char path[128];
    must_add(t, "before.eml", 5, 5000);
    must_add_file(t, "large.eml", 100000, 5000);
    must_add(t, "after.eml", 6, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    snprintf(path, sizeof(path), "%s/body-large.eml", t->path);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_nlink, 2);
    assert_int_equal(unlink(path), 0); /* as the cache does */
    assert_lists(t, "before.eml:5 large.eml:100000 after.eml:6 ");
    assert_int_equal(entries_count(t->bin), 6);
    open_anew(t, KEEP_S, 256 * MIB);
    bin_expire(&t->opened, 5000);
    assert_int_equal(t->opened.octets, 100011);
}

/* The file is the cache's as well. */
static void nothing_is_added_to_a_link(void **state)
{
    struct place_of_test *t = *state;
    must_add_file(t, "large.eml", 100000, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    open_anew(t, KEEP_S, 256 * MIB);
    must_add(t, "after.eml", 6, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "large.eml:100000 after.eml:6 ");
}

static void where_no_link_can_be_made_the_body_is_copied(void **state)
{
    struct place_of_test *t = *state;
    link_error = EXDEV;
    must_add_file(t, "large.eml", 100000, 5000);
    must_add_file(t, "small.eml", 100, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "large.eml:100000 small.eml:100 ");
    assert_int_equal(entries_count(t->bin), 2);
}

static void a_body_goes_after_its_time_and_not_before(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "old.eml", 10, 5000);
    must_add_file(t, "new.eml", 20, 5500);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    bin_expire(&t->opened, 5000 + KEEP_S - 1);
    assert_lists(t, "old.eml:10 new.eml:20 ");
    bin_expire(&t->opened, 5000 + KEEP_S);
    assert_lists(t, "new.eml:20 ");
    open_anew(t, KEEP_S, 256 * MIB);
    bin_expire(&t->opened, 5500 + KEEP_S);
    assert_lists(t, "");
    assert_int_equal(t->opened.octets + t->opened.body_count, 0);
    assert_int_equal(entries_count(t->bin), 0);
}

static void what_was_deleted_hours_apart_goes_apart(void **state)
{
    struct place_of_test *t = *state;
    open_anew(t, 86400, 256 * MIB);
    must_add(t, "a.eml", 10, 5000);
    must_add(t, "b.eml", 10, 5000 + 3599);
    must_add(t, "c.eml", 10, 5000 + 3600);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    bin_expire(&t->opened, 5000 + 86400);
    assert_lists(t, "a.eml:10 b.eml:10 c.eml:10 "); /* an hour longer at most */
    bin_expire(&t->opened, 5000 + 3599 + 86400);
    assert_lists(t, "c.eml:10 ");
}

static void a_later_mount_goes_on_where_an_earlier_one_ended(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "a.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    open_anew(t, KEEP_S, 256 * MIB);
    must_add(t, "b.eml", 20, 5001);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "a.eml:10 b.eml:20 ");
    assert_int_equal(t->opened.body_count, 2);
    assert_int_equal(entries_count(t->bin), 2);
}

static void what_was_deleted_first_makes_room(void **state)
{
    struct place_of_test *t = *state;
    open_anew(t, KEEP_S, 20 * MIB);
    must_add(t, "a.eml", 9 * MIB, 5000);
    must_add(t, "b.eml", 9 * MIB, 5000);
    must_add(t, "c.eml", 9 * MIB, 5000);
    must_add_file(t, "d.eml", 2 * MIB, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "b.eml:9437184 c.eml:9437184 d.eml:2097152 ");
    assert_int_equal(t->opened.octets, 20 * MIB);
    must_add(t, "e.eml", 1, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "c.eml:9437184 d.eml:2097152 e.eml:1 ");
}

static void a_body_larger_than_the_bin_drives_nothing_out(void **state)
{
    struct place_of_test *t = *state;
    struct failure failure;
    open_anew(t, KEEP_S, 1000);
    must_add(t, "a.eml", 900, 5000);
    assert_int_equal(add_body(t, "large.eml", 1001, 5000, &failure), FAULT_REFUSED);
    assert_string_equal(failure.text, "a body of 1001 octets is larger than the bin may be");
    must_add(t, "b.eml", 100, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "a.eml:900 b.eml:100 ");
}

static void the_body_that_is_added_drives_out_its_own_pair_if_need_be(void **state)
{
    struct place_of_test *t = *state;
    open_anew(t, KEEP_S, 1000);
    must_add(t, "a.eml", 900, 5000);
    must_add(t, "b.eml", 900, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "b.eml:900 ");
    assert_int_equal(t->opened.octets, 900);
    assert_int_equal(entries_count(t->bin), 2);
}

static void short_writes_are_gone_on_with(void **state)
{
    struct place_of_test *t = *state;
    write_octets_max = 7;
    must_add(t, "a.eml", 1000, 5000);
    must_add(t, "large.eml", 70001, 5000);
    must_add(t, "b.eml", 1001, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "a.eml:1000 large.eml:70001 b.eml:1001 ");
}

/* The disk fills at each write by turns, and within it. */
static void a_full_disk_leaves_nothing_that_is_not_whole(void **state)
{
    struct place_of_test *t = *state;
    for (int n = 0; n < 40; n++) {
        struct listing listing;
        open_anew(t, 0, 256 * MIB);
        bin_expire(&t->opened, 0);
        open_anew(t, KEEP_S, 256 * MIB);
        must_add(t, "first.eml", 100, 1000);
        must_add(t, "second.eml", 100, 4900);
        assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
        write_octets_max = 30000;
        writes_left = n;
        size_t failed_count = 0;
        for (int i = 0; i < 6; i++)
            failed_count += add_body(t, i % 2 == 0 ? "s.eml" : "l.eml", i % 2 == 0 ? 60000 : 150000,
                                     5000, NULL) != FAULT_NONE;
        failed_count += bin_settle(&t->opened, NULL) != FAULT_NONE;
        assert_true(failed_count <= 1); /* the others are not tried */
        writes_left = -1;
        list(t, &listing);
        assert_int_equal(listing.count, t->opened.body_count);
        assert_true(failed_count == 1 || listing.count == 8);
        /* The oldest went, so that the journal has room. */
        assert_int_equal(strncmp(listing.names, "first.eml", 9) != 0, failed_count == 1);
        must_add(t, "later.eml", 100, 5000);
        assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
        list(t, &listing);
        assert_int_equal(listing.count, t->opened.body_count);
        assert_non_null(strstr(listing.names, "later.eml"));
        write_octets_max = SIZE_MAX;
    }
}

static void what_a_killed_popfs_added_is_whole_or_not_there(void **state)
{
    struct place_of_test *t = *state;
    for (int writes = 1; writes < 12; writes++) {
        struct listing listing;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            writes_left = writes;
            dies_then = true;
            write_octets_max = 60000;
            for (int i = 0; i < 40; i++)
                CHILD_MUST(add_body(t, "a.eml", 50000, 5000, NULL) == FAULT_NONE);
            _exit(98); /* too few to die of */
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        list(t, &listing);
        open_anew(t, KEEP_S, 256 * MIB);
        must_add(t, "later.eml", 60, 5000);
        assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
        assert_int_equal(t->opened.body_count, listing.count + 1);
        list(t, &listing);
        assert_int_equal(t->opened.body_count, listing.count);
    }
}

static void a_mail_without_a_list_is_removed(void **state)
{
    struct place_of_test *t = *state;
    char path[128];
    must_add(t, "a.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    snprintf(path, sizeof(path), "%s/7.mail", t->bin);
    file_write(path, SLICE_LITERAL("linked, and killed then"));
    assert_lists(t, "a.eml:10 ");
    open_anew(t, KEEP_S, 256 * MIB);
    bin_expire(&t->opened, 5000);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(t->opened.body_count, 1);
}

static void cut(const struct place_of_test *t, const char *name, off_t octets)
{
    char path[128];
    struct stat stat;
    snprintf(path, sizeof(path), "%s/%s", t->bin, name);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(truncate(path, stat.st_size - octets), 0);
}

static void a_torn_line_spoils_no_other(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "a.eml", 10, 5000);
    must_add(t, "b.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    cut(t, "1.list", 1);
    assert_lists(t, "a.eml:10 ");
    open_anew(t, KEEP_S, 256 * MIB);
    must_add(t, "c.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "a.eml:10 c.eml:10 ");
}

static void a_body_beyond_the_end_is_not_listed(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "a.eml", 10, 5000);
    must_add(t, "b.eml", 10, 5000);
    must_add_file(t, "c.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    cut(t, "1.mail", 1);
    cut(t, "2.mail", 1);
    assert_lists(t, "a.eml:10 ");
}

static bool read_damaged(void *context, const struct store_deleted *deleted)
{
    struct listing *listing = context;
    char path[128];
    snprintf(path, sizeof(path), "%s/read", listing->t->path);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    listing->count++;
    listing->damaged_count += store_bin_read(listing->t->bin, deleted, file) == EBADMSG;
    close(file);
    return true;
}

static void zeros_in_the_place_of_a_body_are_seen(void **state)
{
    struct place_of_test *t = *state;
    struct listing listing = {.t = t};
    char path[128];
    must_add(t, "a.eml", 100000, 5000);
    must_add(t, "b.eml", 100, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    snprintf(path, sizeof(path), "%s/1.mail", t->bin);
    int mail = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(mail, "\0\0\0\0", 4, 4096), 4);
    close(mail);
    assert_int_equal(store_bin_each(t->bin, read_damaged, &listing), 0);
    assert_int_equal(listing.count, 2);
    assert_int_equal(listing.damaged_count, 1);
}

static void a_bin_that_is_switched_off_is_emptied(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "a.eml", 10, 5000);
    must_add_file(t, "b.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    open_anew(t, 0, 256 * MIB);
    bin_expire(&t->opened, 5000);
    assert_int_equal(access(t->bin, F_OK), -1);
    must_add(t, "c.eml", 10, 5000); /* does nothing */
    assert_int_equal(access(t->bin, F_OK), -1);
}

static void a_bin_without_a_place_keeps_nothing(void **state)
{
    struct place_of_test *t = *state;
    bin_init(&t->opened, -1, KEEP_S, 256 * MIB);
    must_add(t, "a.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    bin_expire(&t->opened, 5000);
    assert_int_equal(t->opened.body_count, 0);
}

static void a_bin_that_the_user_removed_is_begun_anew(void **state)
{
    struct place_of_test *t = *state;
    char command[128];
    must_add(t, "a.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    snprintf(command, sizeof(command), "rm -r '%s'", t->bin);
    assert_int_equal(system(command), 0);
    must_add(t, "b.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "b.eml:10 ");
    assert_int_equal(t->opened.octets, 10);
}

static void what_is_added_ahead_is_seen_when_it_is_wanted(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "before.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    bin_begin_ahead(&t->opened);
    must_add(t, "a.eml", 4000, 5000);
    must_add_file(t, "b.eml", 100000, 5000);
    must_add(t, "c.eml", 300000, 5000);
    must_add(t, "d.eml", 5, 5000);
    assert_lists(t, "before.eml:10 ");
    assert_int_equal(bin_end_ahead(&t->opened, true, NULL), FAULT_NONE);
    assert_lists(t, "before.eml:10 a.eml:4000 b.eml:100000 c.eml:300000 d.eml:5 ");
    must_add(t, "after.eml", 6, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "before.eml:10 a.eml:4000 b.eml:100000 c.eml:300000 d.eml:5 after.eml:6 ");
    assert_int_equal(t->opened.body_count, 6);
}

static void what_is_added_ahead_in_vain_leaves_nothing(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "before.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    bin_begin_ahead(&t->opened);
    must_add(t, "a.eml", 4000, 5000);
    must_add_file(t, "b.eml", 100000, 5000);
    must_add(t, "c.eml", 300000, 5000);
    assert_int_equal(bin_end_ahead(&t->opened, false, NULL), FAULT_NONE);
    assert_int_equal(t->opened.octets, 10);
    assert_int_equal(t->opened.body_count, 1);
    assert_int_equal(entries_count(t->bin), 2);
    must_add(t, "after.eml", 6, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_lists(t, "before.eml:10 after.eml:6 ");
}

static void what_a_killed_popfs_added_ahead_is_swept(void **state)
{
    struct place_of_test *t = *state;
    must_add(t, "before.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    bin_begin_ahead(&t->opened);
    must_add_file(t, "b.eml", 100000, 5000);
    must_add(t, "c.eml", 300000, 5000);
    open_anew(t, KEEP_S, 256 * MIB); /* without an end */
    assert_lists(t, "before.eml:10 ");
    bin_expire(&t->opened, 5000);
    assert_int_equal(entries_count(t->bin), 2);
    assert_int_equal(t->opened.octets, 10);
}

static void a_full_disk_ahead_keeps_what_was_written(void **state)
{
    struct place_of_test *t = *state;
    struct listing listing;
    bin_begin_ahead(&t->opened);
    must_add(t, "a.eml", 300000, 5000);
    must_add(t, "b.eml", 10, 5000);
    writes_left = 0;
    assert_int_equal(bin_end_ahead(&t->opened, true, NULL), FAULT_DISK);
    writes_left = -1;
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    list(t, &listing);
    assert_int_equal(listing.count, t->opened.body_count);
}

/* popfsctl may be root, and the folder somebody else's. */
static void nothing_but_files_is_read(void **state)
{
    struct place_of_test *t = *state;
    char path[128], other[128];
    must_add(t, "a.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    snprintf(path, sizeof(path), "%s/2.list", t->bin);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/3.list", t->bin);
    snprintf(other, sizeof(other), "%s/1.list", t->bin);
    assert_int_equal(symlink(other, path), 0);
    open_anew(t, KEEP_S, 256 * MIB);
    must_add(t, "b.eml", 10, 5000 + 3600);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    struct listing listing = {.t = t};
    assert_int_not_equal(store_bin_each(t->bin, list_one, &listing), 0);
    assert_string_equal(listing.names, "a.eml:10 b.eml:10 ");
    snprintf(path, sizeof(path), "%s/link", t->path);
    assert_int_equal(symlink(t->bin, path), 0);
    assert_int_not_equal(store_bin_each(path, list_one, &listing), 0);
}

static void all_files_are_the_users_alone(void **state)
{
    struct place_of_test *t = *state;
    struct stat stat;
    char path[128];
    mode_t before = umask(0);
    must_add(t, "a.eml", 10, 5000);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    umask(before);
    assert_int_equal(lstat(t->bin, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    snprintf(path, sizeof(path), "%s/1.mail", t->bin);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
    snprintf(path, sizeof(path), "%s/1.list", t->bin);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
}

static void ten_thousand_are_listed_and_counted(void **state)
{
    struct place_of_test *t = *state;
    char name[32];
    int file = file_of(t, "x", 4096);
    const struct bin_source source = {.body = {.descriptor = file, .octets = 4096}};
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "%d.eml", i);
        struct store_deleted deleted = deleted_of(name, 5000);
        assert_int_equal(bin_add(&t->opened, &deleted, &source, NULL), FAULT_NONE);
    }
    close(file);
    assert_int_equal(bin_settle(&t->opened, NULL), FAULT_NONE);
    assert_int_equal(t->opened.body_count, 10000);
    assert_int_equal(t->opened.count, 5); /* pairs, of 8 MiB */
    open_anew(t, KEEP_S, 256 * MIB);
    bin_expire(&t->opened, 5000);
    assert_int_equal(t->opened.body_count, 10000);
    assert_int_equal(t->opened.octets, 10000 * 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_bin, tear_down_bin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bodies_come_back_in_the_order_of_their_deletion),
        TEST(a_line_says_what_is_known),
        TEST(what_is_not_known_is_empty),
        TEST(no_text_ends_its_field_or_its_line),
        TEST(a_body_in_a_file_of_its_own_is_linked),
        TEST(nothing_is_added_to_a_link),
        TEST(where_no_link_can_be_made_the_body_is_copied),
        TEST(a_body_goes_after_its_time_and_not_before),
        TEST(what_was_deleted_hours_apart_goes_apart),
        TEST(a_later_mount_goes_on_where_an_earlier_one_ended),
        TEST(what_was_deleted_first_makes_room),
        TEST(a_body_larger_than_the_bin_drives_nothing_out),
        TEST(the_body_that_is_added_drives_out_its_own_pair_if_need_be),
        TEST(short_writes_are_gone_on_with),
        TEST(a_full_disk_leaves_nothing_that_is_not_whole),
        TEST(what_a_killed_popfs_added_is_whole_or_not_there),
        TEST(a_mail_without_a_list_is_removed),
        TEST(a_torn_line_spoils_no_other),
        TEST(a_body_beyond_the_end_is_not_listed),
        TEST(zeros_in_the_place_of_a_body_are_seen),
        TEST(a_bin_that_is_switched_off_is_emptied),
        TEST(a_bin_without_a_place_keeps_nothing),
        TEST(a_bin_that_the_user_removed_is_begun_anew),
        TEST(what_is_added_ahead_is_seen_when_it_is_wanted),
        TEST(what_is_added_ahead_in_vain_leaves_nothing),
        TEST(what_a_killed_popfs_added_ahead_is_swept),
        TEST(a_full_disk_ahead_keeps_what_was_written),
        TEST(nothing_but_files_is_read),
        TEST(all_files_are_the_users_alone),
        TEST(ten_thousand_are_listed_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
