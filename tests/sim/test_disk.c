/* SPDX-License-Identifier: MIT */
/* The model disk: what lasts, what may be lost, and how it fails. */
#include "disk.h"

#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER SIM_DISK_PATH "/folder"

enum { TRIES = 200, PAGE = 4096 };

static struct sim_random chance;
static struct sim_disk *disk;

static void begin(uint64_t seed)
{
    chance = sim_random_from_seed(seed);
    disk = sim_disk_new(&chance);
    sim_disk_use(disk);
}

static void end(void)
{
    sim_disk_kill(disk);
    sim_disk_free(disk);
}

static int set_up(void **state)
{
    (void)state;
    begin(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    end();
    return 0;
}

/* Another disk, with other chances. */
static void begin_anew(uint64_t seed)
{
    end();
    begin(seed);
}

static int open_at(const char *path, int flags)
{
    int file = disk_openat(AT_FDCWD, path, flags | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    return file;
}

static int make_folder(void)
{
    assert_int_equal(disk_mkdirat(AT_FDCWD, FOLDER, 0700), 0);
    return open_at(FOLDER, O_RDONLY | O_DIRECTORY);
}

static void sync_at(const char *path)
{
    int folder = open_at(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(disk_fsync(folder), 0);
    close(folder);
}

static int make_file(const char *path, const char *text)
{
    int file = open_at(path, O_RDWR | O_CREAT);
    assert_int_equal(disk_pwrite(file, text, strlen(text), 0), strlen(text));
    return file;
}

/* A file that lasts, name and all. */
static int make_lasting(const char *path, const char *text)
{
    int file = make_file(path, text);
    assert_int_equal(disk_fsync(file), 0);
    sync_at(SIM_DISK_PATH);
    return file;
}

static bool is_there(const char *path)
{
    struct stat stat;
    return disk_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) == 0;
}

static const char *text_of(const char *path)
{
    static char text[3 * PAGE + 1];
    int file = open_at(path, O_RDONLY);
    ssize_t count = disk_pread(file, text, sizeof(text) - 1, 0);
    assert_true(count >= 0);
    text[count] = '\0';
    close(file);
    return text;
}

static void cut(void)
{
    sim_disk_power_cut(disk, &chance);
}

/* ---- a disk like another ---- */

static void names_and_octets_are_as_on_any_disk(void **state)
{
    struct stat stat;
    (void)state;
    int folder = make_folder();
    int file = make_file(FOLDER "/a", "one");
    assert_int_equal(disk_openat(folder, "a", O_CREAT | O_EXCL | O_RDWR, 0600), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(disk_openat(folder, "b", O_RDWR, 0), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(disk_openat(folder, "a/b", O_RDWR, 0), -1);
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(disk_openat(AT_FDCWD, FOLDER, O_RDWR, 0), -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(disk_mkdirat(folder, "a", 0700), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(disk_unlinkat(AT_FDCWD, FOLDER, AT_REMOVEDIR), -1);
    assert_int_equal(errno, ENOTEMPTY);
    assert_int_equal(disk_renameat(folder, "a", folder, "b"), 0);
    assert_string_equal(text_of(FOLDER "/b"), "one");
    assert_int_equal(disk_fstat(file, &stat), 0);
    assert_true(S_ISREG(stat.st_mode) && stat.st_size == 3 && stat.st_nlink == 1);
    assert_int_equal(disk_unlinkat(folder, "b", 0), 0);
    assert_int_equal(disk_fstat(file, &stat), 0);
    assert_int_equal(stat.st_nlink, 0);
    assert_int_equal(disk_unlinkat(AT_FDCWD, FOLDER, AT_REMOVEDIR), 0);
    assert_false(is_there(FOLDER));
    close(file);
    close(folder);
}

static void a_folder_is_listed_with_all_its_names(void **state)
{
    char names[64] = "";
    (void)state;
    int folder = make_folder();
    close(make_file(FOLDER "/a", ""));
    close(make_file(FOLDER "/b", ""));
    DIR *list = disk_fdopendir(folder);
    for (struct dirent *entry = disk_readdir(list); entry != NULL; entry = disk_readdir(list)) {
        strcat(strcat(names, entry->d_name), " ");
        (void)disk_unlinkat(folder, entry->d_name, 0);
    }
    assert_string_equal(names, ". .. a b ");
    assert_int_equal(disk_closedir(list), 0);
    assert_false(is_there(FOLDER "/a") || is_there(FOLDER "/b"));
}

static void a_nameless_file_can_be_linked_by_its_descriptor(void **state)
{
    char path[40];
    (void)state;
    int folder = make_folder();
    int file = disk_openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(disk_pwrite(file, "one", 3, 0), 3);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    assert_int_equal(disk_linkat(AT_FDCWD, path, folder, "a", AT_SYMLINK_FOLLOW), 0);
    assert_string_equal(text_of(FOLDER "/a"), "one");
    assert_int_equal(disk_linkat(AT_FDCWD, path, folder, "a", AT_SYMLINK_FOLLOW), -1);
    assert_int_equal(errno, EEXIST);
    close(file);
    close(folder);
}

static void a_lock_is_held_until_its_popfs_is_killed(void **state)
{
    (void)state;
    int file = make_file(SIM_DISK_PATH "/lock", "");
    assert_int_equal(disk_flock(file, LOCK_EX | LOCK_NB), 0);
    int other = open_at(SIM_DISK_PATH "/lock", O_RDWR);
    assert_int_equal(disk_flock(other, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    sim_disk_kill(disk);
    other = open_at(SIM_DISK_PATH "/lock", O_RDWR);
    assert_int_equal(disk_flock(other, LOCK_EX | LOCK_NB), 0);
    close(other);
}

static void killing_popfs_loses_nothing(void **state)
{
    (void)state;
    (void)make_file(SIM_DISK_PATH "/a", "one");
    sim_disk_kill(disk);
    assert_string_equal(text_of(SIM_DISK_PATH "/a"), "one");
}

/* ---- a power cut: what was synced ---- */

static void what_was_synced_lasts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= TRIES; seed++) {
        begin_anew(seed);
        (void)make_lasting(SIM_DISK_PATH "/a", "one");
        cut();
        assert_string_equal(text_of(SIM_DISK_PATH "/a"), "one");
    }
}

static void a_sync_of_everything_is_one_of_each(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= TRIES; seed++) {
        begin_anew(seed);
        int folder = make_folder();
        (void)make_file(FOLDER "/a", "one");
        assert_int_equal(disk_syncfs(folder), 0);
        cut();
        assert_string_equal(text_of(FOLDER "/a"), "one");
    }
}

/* ---- a power cut: what was not ---- */

/* Each of the outcomes comes about, and no other. */
static void assert_outcomes(void (*work)(void), const char *(*outcome)(void),
                            const char *const *expected)
{
    size_t seen[8] = {0}, count = 0;
    while (expected[count] != NULL)
        count++;
    for (uint64_t seed = 1; seed <= TRIES; seed++) {
        begin_anew(seed);
        work();
        cut();
        size_t i = 0;
        while (i < count && strcmp(outcome(), expected[i]) != 0)
            i++;
        if (i == count)
            fail_msg("seed %llu: %s", (unsigned long long)seed, outcome());
        seen[i]++;
    }
    for (size_t i = 0; i < count; i++)
        if (seen[i] == 0)
            fail_msg("never: %s", expected[i]);
}

static void make_without_syncing_the_folder(void)
{
    int file = make_file(SIM_DISK_PATH "/a", "one");
    assert_int_equal(disk_fsync(file), 0);
}

static const char *text_or_gone(void)
{
    return is_there(SIM_DISK_PATH "/a") ? text_of(SIM_DISK_PATH "/a") : "gone";
}

static void a_files_own_sync_does_not_make_its_name_last(void **state)
{
    static const char *const outcomes[] = {"one", "gone", NULL};
    (void)state;
    assert_outcomes(make_without_syncing_the_folder, text_or_gone, outcomes);
}

static void make_in_a_new_folder(void)
{
    int folder = make_folder();
    int file = make_file(FOLDER "/a", "one");
    assert_int_equal(disk_fsync(file), 0);
    assert_int_equal(disk_fsync(folder), 0);
}

static const char *folder_or_gone(void)
{
    return is_there(FOLDER) ? text_of(FOLDER "/a") : "gone";
}

static void a_folders_own_sync_does_not_make_its_name_last(void **state)
{
    static const char *const outcomes[] = {"one", "gone", NULL};
    (void)state;
    assert_outcomes(make_in_a_new_folder, folder_or_gone, outcomes);
}

static void replace_by_a_rename(void)
{
    (void)make_lasting(SIM_DISK_PATH "/a", "one");
    int file = make_file(SIM_DISK_PATH "/b", "two");
    assert_int_equal(disk_fsync(file), 0);
    assert_int_equal(disk_renameat(AT_FDCWD, SIM_DISK_PATH "/b", AT_FDCWD, SIM_DISK_PATH "/a"), 0);
}

static const char *both_texts(void)
{
    static char texts[40];
    snprintf(texts, sizeof(texts), "%s", text_or_gone());
    if (is_there(SIM_DISK_PATH "/b"))
        snprintf(texts + strlen(texts), 20, " and %s", text_of(SIM_DISK_PATH "/b"));
    return texts;
}

static void a_rename_has_happened_or_not(void **state)
{
    static const char *const outcomes[] = {"one", "one and two", "two", NULL};
    (void)state;
    assert_outcomes(replace_by_a_rename, both_texts, outcomes);
}

static void remove_and_make_another(void)
{
    (void)make_lasting(SIM_DISK_PATH "/a", "one");
    assert_int_equal(disk_unlinkat(AT_FDCWD, SIM_DISK_PATH "/a", 0), 0);
    int file = make_file(SIM_DISK_PATH "/b", "two");
    assert_int_equal(disk_fsync(file), 0);
}

static void of_the_names_in_a_folder_no_later_change_lasts_without_an_earlier_one(void **state)
{
    static const char *const outcomes[] = {"one", "gone", "gone and two", NULL};
    (void)state;
    assert_outcomes(remove_and_make_another, both_texts, outcomes);
}

static void append_without_syncing(void)
{
    int file = make_lasting(SIM_DISK_PATH "/a", "one");
    assert_int_equal(disk_pwrite(file, "two", 3, 3), 3);
}

static const char *text_with_zeros(void)
{
    static char shown[20];
    int file = open_at(SIM_DISK_PATH "/a", O_RDONLY);
    memset(shown, 0, sizeof(shown));
    ssize_t count = disk_pread(file, shown, sizeof(shown) - 1, 0);
    for (ssize_t i = 0; i < count; i++)
        shown[i] = shown[i] == '\0' ? '0' : shown[i];
    close(file);
    return shown;
}

static void octets_that_were_appended_may_be_missing_or_zeros(void **state)
{
    static const char *const outcomes[] = {"one", "onetwo", "one000", NULL};
    (void)state;
    assert_outcomes(append_without_syncing, text_with_zeros, outcomes);
}

static char page_text(char c)
{
    return c == '\0' ? '0' : c;
}

/* Two pages, and how each came out of it. */
static void overwrite_two_pages(void)
{
    char pages[2 * PAGE + 1];
    memset(pages, 'a', 2 * PAGE);
    pages[2 * PAGE] = '\0';
    int file = make_lasting(SIM_DISK_PATH "/a", pages);
    memset(pages, 'b', 2 * PAGE);
    assert_int_equal(disk_pwrite(file, pages, 2 * PAGE, 0), 2 * PAGE);
}

/* A T is a page that has parts of both. */
static const char *two_pages(void)
{
    static char shown[3];
    const char *text = text_of(SIM_DISK_PATH "/a");
    assert_int_equal(strlen(text), 2 * PAGE);
    for (size_t page = 0; page < 2; page++) {
        shown[page] = page_text(text[page * PAGE]);
        for (size_t i = 0; i < PAGE; i += 512) {
            for (size_t j = 1; j < 512; j++)
                assert_int_equal(text[page * PAGE + i + j], text[page * PAGE + i]);
            if (text[page * PAGE + i] != text[page * PAGE])
                shown[page] = 'T';
        }
    }
    return shown;
}

static void each_page_is_old_or_new_or_torn_between_sectors(void **state)
{
    (void)state;
    size_t torn_count = 0, unlike_count = 0;
    for (uint64_t seed = 1; seed <= TRIES; seed++) {
        begin_anew(seed);
        overwrite_two_pages();
        cut();
        const char *shown = two_pages();
        torn_count += strchr(shown, 'T') != NULL;
        unlike_count += strcmp(shown, "ab") == 0 || strcmp(shown, "ba") == 0;
    }
    assert_true(torn_count > 0 && unlike_count > 0);
}

static void truncate_and_write_anew(void)
{
    int file = make_lasting(SIM_DISK_PATH "/a", "one and only");
    assert_int_equal(disk_ftruncate(file, 0), 0);
    assert_int_equal(disk_pwrite(file, "two", 3, 4), 3);
    assert_int_equal(disk_fdatasync(file), 0);
}

static void what_was_cut_off_does_not_come_back_behind_what_was_synced(void **state)
{
    static char expected[] = "0000two";
    static const char *const outcomes[] = {expected, NULL};
    (void)state;
    assert_outcomes(truncate_and_write_anew, text_with_zeros, outcomes);
}

static void the_next_boot_has_another_name(void **state)
{
    (void)state;
    char before[40] = "", after[40] = "";
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    int file = disk_openat(AT_FDCWD, path, O_RDONLY, 0);
    assert_true(disk_read(file, before, sizeof(before) - 1) > 0);
    close(file);
    cut();
    file = disk_openat(AT_FDCWD, path, O_RDONLY, 0);
    assert_true(disk_read(file, after, sizeof(after) - 1) > 0);
    close(file);
    assert_string_not_equal(before, after);
}

/* ---- a sync that fails ---- */

/* The next calls of these kinds fail, so many of them. */
static void fail_next(unsigned calls, uint64_t count, int error)
{
    sim_disk_fail(disk, calls, sim_disk_count(disk, calls), count, error);
}

static void fail_a_sync_and_sync_again(void)
{
    int file = make_lasting(SIM_DISK_PATH "/a", "one");
    assert_int_equal(disk_pwrite(file, "two", 3, 3), 3);
    fail_next(SIM_DISK_SYNC, 1, EIO);
    assert_int_equal(disk_fsync(file), -1);
    assert_int_equal(errno, EIO);
    assert_string_equal(text_of(SIM_DISK_PATH "/a"), "onetwo");
    assert_int_equal(disk_fsync(file), 0);
}

static void what_a_failed_sync_was_to_save_is_not_saved_by_the_next(void **state)
{
    static const char *const outcomes[] = {"one000", "onetwo", NULL};
    (void)state;
    assert_outcomes(fail_a_sync_and_sync_again, text_with_zeros, outcomes);
}

static void fail_a_sync_and_write_on(void)
{
    int file = make_lasting(SIM_DISK_PATH "/a", "one");
    assert_int_equal(disk_pwrite(file, "two", 3, 3), 3);
    fail_next(SIM_DISK_SYNC, 1, EIO);
    assert_int_equal(disk_fsync(file), -1);
    assert_int_equal(disk_pwrite(file, "more", 4, 6), 4);
    assert_int_equal(disk_fsync(file), 0);
}

static void a_page_that_was_not_saved_is_when_it_is_changed_again(void **state)
{
    static const char *const outcomes[] = {"onetwomore", NULL};
    (void)state;
    assert_outcomes(fail_a_sync_and_write_on, text_with_zeros, outcomes);
}

/* ---- faults ---- */

static void the_nth_call_fails_and_no_other(void **state)
{
    (void)state;
    int file = make_file(SIM_DISK_PATH "/a", "one");
    uint64_t count = sim_disk_count(disk, SIM_DISK_WRITE);
    sim_disk_fail(disk, SIM_DISK_WRITE, count + 1, 2, EIO);
    assert_int_equal(disk_pwrite(file, "1", 1, 0), 1);
    assert_int_equal(disk_fsync(file), 0);
    assert_int_equal(disk_pwrite(file, "2", 1, 0), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(disk_ftruncate(file, 0), -1);
    assert_int_equal(disk_pwrite(file, "4", 1, 0), 1);
    assert_string_equal(text_of(SIM_DISK_PATH "/a"), "4ne");
    close(file);
}

static void a_disk_that_is_out_does_nothing_until_the_power_is_back(void **state)
{
    char octets[4];
    (void)state;
    int file = make_lasting(SIM_DISK_PATH "/a", "one");
    assert_int_equal(disk_pwrite(file, "two", 3, 0), 3);
    sim_disk_go_out(disk, SIM_DISK_CHANGES, sim_disk_count(disk, SIM_DISK_CHANGES));
    assert_int_equal(disk_fsync(file), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(disk_pread(file, octets, 3, 0), -1);
    assert_int_equal(disk_unlinkat(AT_FDCWD, SIM_DISK_PATH "/a", 0), -1);
    cut();
    assert_true(is_there(SIM_DISK_PATH "/a"));
    close(make_file(SIM_DISK_PATH "/b", "three"));
}

static void a_full_disk_takes_what_fits_and_has_room_again_when_something_goes(void **state)
{
    static const char pages[3 * PAGE];
    (void)state;
    sim_disk_set_capacity(disk, 4 * PAGE);
    int large = make_file(SIM_DISK_PATH "/a", "");
    assert_int_equal(disk_pwrite(large, pages, 3 * PAGE, 0), 3 * PAGE);
    int file = make_file(SIM_DISK_PATH "/b", "");
    assert_int_equal(disk_pwrite(file, pages, 2 * PAGE, 0), PAGE);
    assert_int_equal(disk_pwrite(file, pages, PAGE, PAGE), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(disk_pwrite(file, "in place", 8, 0), 8);
    assert_int_equal(disk_unlinkat(AT_FDCWD, SIM_DISK_PATH "/a", 0), 0);
    assert_int_equal(disk_pwrite(file, pages, PAGE, PAGE), -1); /* it is open still */
    close(large);
    assert_int_equal(disk_pwrite(file, pages, PAGE, PAGE), PAGE);
    assert_int_equal(sim_disk_used_octets(disk), 2 * PAGE);
    close(file);
}

static void a_disk_tells_how_much_of_it_is_free(void **state)
{
    static const char pages[3 * PAGE];
    struct statvfs said;
    (void)state;
    int file = make_file(SIM_DISK_PATH "/a", "");
    assert_int_equal(disk_fstatvfs(file, &said), 0);
    assert_true(said.f_blocks > 1000000 && said.f_bavail == said.f_blocks);
    sim_disk_set_capacity(disk, 4 * PAGE);
    assert_int_equal(disk_pwrite(file, pages, 3 * PAGE, 0), 3 * PAGE);
    assert_int_equal(disk_fstatvfs(file, &said), 0);
    assert_int_equal(said.f_frsize, PAGE);
    assert_int_equal(said.f_blocks, 4);
    assert_int_equal(said.f_bavail, 1);
    close(file);
}

/* What fires is named, and what is switched off does not. */
static char fired[200];

static void note_fault(void *context, enum sim_disk_fault fault, const char *line)
{
    (void)context;
    (void)fault;
    snprintf(fired, sizeof(fired), "%s", line);
}

static void force(const char *name)
{
    struct sim_disk_faults faults;
    enum sim_disk_fault fault;
    const struct sim_disk_watcher watcher = {.fault = note_fault};
    sim_disk_faults_none(&faults);
    assert_true(sim_disk_fault_from_name(name, &fault));
    faults.per_mille[fault] = 1000;
    faults.most[fault] = 1;
    sim_disk_set_faults(disk, &faults);
    sim_disk_watch(disk, &watcher);
}

static void assert_fails(ssize_t result, int error, const char *line)
{
    assert_int_equal(result, -1);
    assert_int_equal(errno, error);
    assert_string_equal(fired, line);
}

static void each_fault_has_its_errno_and_its_name(void **state)
{
    char octets[4];
    (void)state;
    int file = make_file(SIM_DISK_PATH "/a", "one");
    force("disk-read-error");
    assert_fails(disk_pread(file, octets, 3, 0), EIO, "disk-read-error: pread a");
    assert_int_equal(disk_pread(file, octets, 3, 0), 3); /* once, as it was told */
    force("disk-write-error");
    assert_fails(disk_pwrite(file, "x", 1, 0), EIO, "disk-write-error: pwrite a");
    force("disk-sync-error");
    assert_fails(disk_fdatasync(file), EIO, "disk-sync-error: fdatasync a");
    force("disk-name-error");
    assert_fails(disk_mkdirat(AT_FDCWD, FOLDER, 0700), EIO, "disk-name-error: mkdirat folder");
    force("disk-open-error");
    assert_fails(disk_openat(AT_FDCWD, SIM_DISK_PATH "/a", O_RDONLY, 0), EMFILE,
                 "disk-open-error: openat a");
    force("disk-elsewhere-full");
    assert_fails(disk_memfd_create("x", 0), ENOSPC, "disk-elsewhere-full: memfd_create x");
    force("disk-short-write");
    assert_int_equal(disk_pwrite(file, "ab", 2, 0), 1);
    assert_string_equal(fired, "disk-short-write: write to a");
    close(file);
}

static void assert_refused(const char *name, int error)
{
    int file = make_file(SIM_DISK_PATH "/a", "one");
    force(name);
    assert_int_equal(disk_pwrite(file, "four", 4, PAGE), -1);
    assert_int_equal(errno, error);
    assert_int_equal(disk_mkdirat(AT_FDCWD, FOLDER, 0700), -1);
    assert_int_equal(errno, error);
    assert_int_equal(disk_pwrite(file, "x", 1, 0), error == EROFS ? -1 : 1);
    sim_disk_set_behaving(disk, true);
    assert_int_equal(disk_pwrite(file, "four", 4, PAGE), 4);
    close(file);
    begin_anew(1);
}

static void a_lasting_trouble_lasts_until_the_disk_is_healed(void **state)
{
    (void)state;
    assert_refused("disk-full-for-good", ENOSPC);
    assert_refused("disk-read-only", EROFS);
}

static void a_passing_trouble_passes(void **state)
{
    static const char *const names[] = {"disk-full", "disk-quota"};
    static const int errors[] = {ENOSPC, EDQUOT};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        off_t end = PAGE;
        int file = make_file(SIM_DISK_PATH "/a", "one");
        force(names[i]);
        assert_int_equal(disk_pwrite(file, "x", 1, end), -1);
        assert_int_equal(errno, errors[i]);
        size_t tries = 0;
        while (disk_pwrite(file, "x", 1, end) < 0)
            assert_true(++tries < 1000);
        close(file);
        begin_anew(1);
    }
}

static uint32_t waited_ms;

static void note_wait(void *context, uint32_t ms)
{
    (void)context;
    waited_ms += ms;
}

static void a_slow_sync_takes_virtual_time(void **state)
{
    const struct sim_disk_watcher watcher = {.wait = note_wait};
    (void)state;
    int file = make_file(SIM_DISK_PATH "/a", "one");
    force("disk-sync-slow");
    sim_disk_watch(disk, &watcher);
    assert_int_equal(disk_fsync(file), 0);
    assert_true(waited_ms > 0 && waited_ms <= 30001);
    close(file);
}

static void faults_can_be_switched_off_one_by_one_or_all(void **state)
{
    struct sim_disk_faults faults;
    (void)state;
    sim_disk_faults_all(&faults);
    assert_true(sim_disk_faults_without(&faults, "disk-full"));
    assert_int_equal(faults.per_mille[SIM_DISK_FAULT_FULL], 0);
    assert_true(faults.per_mille[SIM_DISK_FAULT_QUOTA] > 0);
    assert_false(sim_disk_faults_without(&faults, "disk-fool"));
    assert_true(sim_disk_faults_without(&faults, "disk"));
    assert_int_equal(faults.per_mille[SIM_DISK_FAULT_QUOTA], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_and_octets_are_as_on_any_disk),
        TEST(a_folder_is_listed_with_all_its_names),
        TEST(a_nameless_file_can_be_linked_by_its_descriptor),
        TEST(a_lock_is_held_until_its_popfs_is_killed),
        TEST(killing_popfs_loses_nothing),
        TEST(what_was_synced_lasts),
        TEST(a_sync_of_everything_is_one_of_each),
        TEST(a_files_own_sync_does_not_make_its_name_last),
        TEST(a_folders_own_sync_does_not_make_its_name_last),
        TEST(a_rename_has_happened_or_not),
        TEST(of_the_names_in_a_folder_no_later_change_lasts_without_an_earlier_one),
        TEST(octets_that_were_appended_may_be_missing_or_zeros),
        TEST(each_page_is_old_or_new_or_torn_between_sectors),
        TEST(what_was_cut_off_does_not_come_back_behind_what_was_synced),
        TEST(the_next_boot_has_another_name),
        TEST(what_a_failed_sync_was_to_save_is_not_saved_by_the_next),
        TEST(a_page_that_was_not_saved_is_when_it_is_changed_again),
        TEST(the_nth_call_fails_and_no_other),
        TEST(a_disk_that_is_out_does_nothing_until_the_power_is_back),
        TEST(a_full_disk_takes_what_fits_and_has_room_again_when_something_goes),
        TEST(a_disk_tells_how_much_of_it_is_free),
        TEST(each_fault_has_its_errno_and_its_name),
        TEST(a_lasting_trouble_lasts_until_the_disk_is_healed),
        TEST(a_passing_trouble_passes),
        TEST(a_slow_sync_takes_virtual_time),
        TEST(faults_can_be_switched_off_one_by_one_or_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
