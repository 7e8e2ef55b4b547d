/* SPDX-License-Identifier: MIT */
/* Bodies on the disk, and what is left of them. */
#include "popfs/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64];
    struct store *store;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char base[] = "/tmp/popfs-store-XXXXXX";
    if (mkdtemp(base) == NULL)
        return 1;
    snprintf(f->folder, sizeof(f->folder), "%s/a/b", base);
    *state = f;
    return store_open(f->folder, &f->store, NULL) != FAULT_NONE;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    for (int i = 0; i < 3; i++) {
        rmdir(f->folder);
        *strrchr(f->folder, '/') = '\0';
    }
    free(f);
    return 0;
}

/* Entries that are not . and .. */
static size_t entries_count(const char *folder)
{
    size_t count = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

static int keep(struct fixture *f, uint64_t id, struct slice bytes, int times)
{
    struct store_body *body;
    int descriptor = -1;
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    for (int i = 0; i < times; i++)
        assert_int_equal(store_body_append(body, bytes, NULL), FAULT_NONE);
    assert_int_equal(store_body_octets(body), bytes.len * (size_t)times);
    assert_int_equal(store_body_keep(body, id, &descriptor, NULL), FAULT_NONE);
    return descriptor;
}

static void assert_reads(int descriptor, struct slice bytes, int times)
{
    struct stat stat;
    char *read = malloc(bytes.len);
    assert_int_equal(fstat(descriptor, &stat), 0);
    assert_int_equal(stat.st_size, bytes.len * (size_t)times);
    for (int i = 0; i < times; i++) {
        assert_int_equal(pread(descriptor, read, bytes.len, (off_t)bytes.len * i), bytes.len);
        assert_memory_equal(read, bytes.data, bytes.len);
    }
    free(read);
}

static void what_was_kept_is_read_again_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct slice bytes = SLICE_LITERAL("a\r\n\0.\xff\n");
    int descriptor = keep(f, 7, bytes, 1);
    assert_reads(descriptor, bytes, 1);
    close(descriptor);
    assert_int_equal(store_body_open(f->store, 7, &descriptor), FAULT_NONE);
    assert_reads(descriptor, bytes, 1);
    close(descriptor);
}

static void bodies_of_every_size_around_the_gathering_are_whole(void **state)
{
    struct fixture *f = *state;
    static char block[70000];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 + i / 251);
    const size_t sizes[] = {0, 1, 21845, 32768, 65535, 65536, 65537, 70000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int descriptor = keep(f, i, (struct slice){block, sizes[i]}, 4);
        assert_reads(descriptor, (struct slice){block, sizes[i]}, 4);
        close(descriptor);
    }
}

static void what_is_not_there_is_gone(void **state)
{
    struct fixture *f = *state;
    int descriptor = -7;
    assert_int_equal(store_body_open(f->store, 9, &descriptor), FAULT_GONE);
    assert_int_equal(descriptor, -7);
}

static void a_body_that_is_not_whole_cannot_be_opened_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_body *body;
    int descriptor;
    assert_int_equal(store_body_new(f->store, &body, NULL), FAULT_NONE);
    assert_int_equal(store_body_append(body, SLICE_LITERAL("half"), NULL), FAULT_NONE);
    assert_int_equal(store_body_open(f->store, 1, &descriptor), FAULT_GONE);
    store_body_free(body);
    store_close(f->store);
    assert_int_equal(entries_count(f->folder), 0);
    assert_int_equal(store_open(f->folder, &f->store, NULL), FAULT_NONE);
}

static void a_descriptor_outlives_removal_and_store(void **state)
{
    struct fixture *f = *state;
    int descriptor = keep(f, 3, SLICE_LITERAL("stay"), 1);
    store_body_remove(f->store, 3);
    int gone;
    assert_int_equal(store_body_open(f->store, 3, &gone), FAULT_GONE);
    store_close(f->store);
    assert_reads(descriptor, SLICE_LITERAL("stay"), 1);
    close(descriptor);
    assert_int_equal(store_open(f->folder, &f->store, NULL), FAULT_NONE);
}

static void a_later_body_of_the_same_id_replaces_the_earlier(void **state)
{
    struct fixture *f = *state;
    int descriptor;
    close(keep(f, 5, SLICE_LITERAL("old"), 1));
    close(keep(f, 5, SLICE_LITERAL("newer"), 1));
    assert_int_equal(store_body_open(f->store, 5, &descriptor), FAULT_NONE);
    assert_reads(descriptor, SLICE_LITERAL("newer"), 1);
    close(descriptor);
}

static void nothing_is_left_after_closing(void **state)
{
    struct fixture *f = *state;
    close(keep(f, 1, SLICE_LITERAL("x"), 1));
    store_close(f->store);
    assert_int_equal(entries_count(f->folder), 0);
    assert_int_equal(store_open(f->folder, &f->store, NULL), FAULT_NONE);
}

static void the_folder_of_a_dead_popfs_is_swept_and_that_of_a_living_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct store *other;
    char dead[128], file[160];
    close(keep(f, 1, SLICE_LITERAL("x"), 1));
    snprintf(dead, sizeof(dead), "%s/mount-dead01", f->folder);
    snprintf(file, sizeof(file), "%s/17", dead);
    assert_int_equal(mkdir(dead, 0700), 0);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(entries_count(f->folder), 2);
    assert_int_equal(store_open(f->folder, &other, NULL), FAULT_NONE);
    assert_int_equal(access(dead, F_OK), -1);
    assert_int_equal(entries_count(f->folder), 2); /* the two that live */
    int descriptor;
    assert_int_equal(store_body_open(f->store, 1, &descriptor), FAULT_NONE);
    close(descriptor);
    store_close(other);
}

static void what_is_not_ours_is_not_swept(void **state)
{
    struct fixture *f = *state;
    char other[128];
    struct store *second;
    snprintf(other, sizeof(other), "%s/letters", f->folder);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(store_open(f->folder, &second, NULL), FAULT_NONE);
    store_close(second);
    assert_int_equal(access(other, F_OK), 0);
    rmdir(other);
}

static void a_folder_that_cannot_be_made_is_a_disk_fault_with_its_name(void **state)
{
    (void)state;
    struct store *store;
    struct failure failure;
    assert_int_equal(store_open("/proc/popfs/cache", &store, &failure), FAULT_DISK);
    assert_non_null(strstr(failure.text, "/proc/popfs/cache"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_kept_is_read_again_byte_for_byte),
        TEST(bodies_of_every_size_around_the_gathering_are_whole),
        TEST(what_is_not_there_is_gone),
        TEST(a_body_that_is_not_whole_cannot_be_opened_and_leaves_nothing),
        TEST(a_descriptor_outlives_removal_and_store),
        TEST(a_later_body_of_the_same_id_replaces_the_earlier),
        TEST(nothing_is_left_after_closing),
        TEST(the_folder_of_a_dead_popfs_is_swept_and_that_of_a_living_one_is_not),
        TEST(what_is_not_ours_is_not_swept),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_a_disk_fault_with_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
