/* SPDX-License-Identifier: MIT */
/* Whose folder it is: locks, owners, names, and mounts that keep nothing. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel would say to a sync of a folder, and of a file; 0: what it says. */
static int folder_error, file_error;

static int sync_of(long number, int descriptor)
{
    struct stat stat;
    if (fstat(descriptor, &stat) == 0)
        errno = S_ISDIR(stat.st_mode) ? folder_error : file_error;
    return errno != 0 ? -1 : (int)syscall(number, descriptor);
}

/* In place of libc's. */
int fsync(int descriptor)
{
    errno = 0;
    return sync_of(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    errno = 0;
    return sync_of(SYS_fdatasync, descriptor);
}

static void a_second_opener_is_told_who_has_the_account(void **state)
{
    struct fixture *f = *state;
    struct store *other;
    struct failure failure;
    assert_int_equal(store_open(&f->options, &other, &failure), FAULT_BUSY);
    assert_string_equal(failure.text,
                        "alice@host:995 is already mounted on /home/a/mail by process 12");
    char owner[STORE_OWNER_OCTETS];
    assert_true(store_owner(&f->options, owner));
    assert_string_equal(owner, "mounted on /home/a/mail by process 12");
    store_say_owner(f->store, "ending");
    assert_int_equal(store_open(&f->options, &other, &failure), FAULT_BUSY);
    assert_string_equal(failure.text, "alice@host:995 is already ending");
    assert_true(add(f->store, 1, "a", 0)); /* the first is not disturbed */
}

static void a_folder_that_was_only_taken_is_left_as_it_was(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3) && keep(f->store, 1, "one"));
    store_must_close(f);
    size_t before = entries_count(f->folder);
    assert_int_equal(store_open(&f->options, &f->store, NULL), FAULT_NONE);
    store_must_close(f);
    assert_int_equal(entries_count(f->folder), before);
    store_must_open(f);
    assert_string_equal(f->notice, "");
    assert_kept(f->store, 1, "one");
}

/* In a process of its own, as it is in life. */
static int fault_in_child(struct fixture *f)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store *store;
        _exit((int)store_open(&f->options, &store, NULL));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_lock_holds_between_processes_until_it_is_closed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fault_in_child(f), FAULT_BUSY);
    f->options.account = "bob@host:995";
    assert_int_equal(fault_in_child(f), FAULT_NONE);
    f->options.account = ACCOUNT;
    store_must_close(f);
    assert_int_equal(fault_in_child(f), FAULT_NONE);
}

static void nothing(struct fixture *f)
{
    (void)f;
}

static void the_lock_dies_with_its_process(void **state)
{
    struct fixture *f = *state;
    store_must_close(f);
    killed_after(f, nothing);
    store_must_open(f);
}

static void everything_is_for_the_owner_alone(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"lock", "index.sqlite", "index.sqlite-wal", "CACHEDIR.TAG"};
    static const char *const state_names[] = {"lock", "removals"};
    struct stat stat;
    assert_true(add(f->store, 1, "a", 0) && note(f->store, "a", 0, true));
    assert_true(keep(f->store, 1, "x"));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(lstat(path_of(names[i], f), &stat), 0);
        assert_int_equal(stat.st_mode, S_IFREG | 0600);
    }
    for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
        assert_int_equal(lstat(state_path_of(state_names[i], f), &stat), 0);
        assert_int_equal(stat.st_mode, S_IFREG | 0600);
    }
    assert_int_equal(lstat(state_path_of("", f), &stat), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
    assert_int_equal(lstat(pack_path(1, 0, f), &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0600);
    assert_int_equal(lstat(bodies_folder(f), &stat), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
    assert_int_equal(lstat(path_of("", f), &stat), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
    assert_int_equal(lstat(f->folder, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
}

static void assert_account_is_kept_in(struct fixture *f, const char *account, const char *name)
{
    char path[300];
    store_must_close(f);
    f->options.account = account;
    store_must_open(f);
    snprintf(path, sizeof(path), "%s/%s/lock", f->folder, name);
    assert_int_equal(access(path, F_OK), 0);
}

static void an_account_cannot_leave_its_folder(void **state)
{
    struct fixture *f = *state;
    assert_account_is_kept_in(f, "../../x@host:995", "%2E.%2F..%2Fx@host:995");
    assert_account_is_kept_in(f, "..", "%2E.");
    assert_account_is_kept_in(f, "a/b@[::1]:995", "a%2Fb@%5B::1%5D:995");
    assert_account_is_kept_in(f, "j%2F\xc3\xa1~@h:1", "j%252F%C3%A1%7E@h:1");
}

static void a_folder_that_others_may_write_to_is_refused(void **state)
{
    struct fixture *f = *state;
    store_must_close(f);
    assert_int_equal(chmod(f->folder, 0720), 0);
    store_must_refuse(f, "others may write");
    assert_int_equal(chmod(f->folder, 0702), 0);
    store_must_refuse(f, "others may write");
    assert_int_equal(chmod(f->folder, 0755), 0);
    store_must_open(f);
}

static void a_link_is_followed_if_it_is_ours(void **state)
{
    struct fixture *f = *state;
    char link[90];
    snprintf(link, sizeof(link), "%s/link", f->base);
    assert_int_equal(symlink(f->folder, link), 0);
    store_must_close(f);
    f->options.folder = link;
    store_must_open(f);
}

static void links_in_our_folder_are_not_followed(void **state)
{
    struct fixture *f = *state;
    char elsewhere[90];
    store_must_close(f);
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", f->base);
    assert_int_equal(unlink(path_of("lock", f)), 0);
    assert_int_equal(symlink(elsewhere, path_of("lock", f)), 0);
    store_must_refuse(f, "lock");
    assert_int_equal(access(elsewhere, F_OK), -1);
}

static void a_folder_that_cannot_be_made_is_a_disk_fault_with_its_name(void **state)
{
    struct fixture *f = *state;
    f->options.folder = "/proc/popfs/cache";
    store_must_refuse(f, "/proc/popfs/cache");
}

/* ---- file systems that cannot sync all that popfs asks for ---- */

static bool note_and_flush(struct fixture *f)
{
    return note(f->store, "a", 3, true) && store_flush(f->store, NULL) == FAULT_NONE;
}

static void a_file_system_that_cannot_sync_a_folder_will_do(void **state)
{
    struct fixture *f = *state;
    static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP};
    char folder[3][90];
    for (size_t i = 0; i < 3; i++) {
        snprintf(folder[i], sizeof(folder[i]), "%s/new%zu", f->folder, i);
        f->options.folder = folder[i];
        folder_error = errors[i];
        store_must_open(f);
        assert_true(add(f->store, 1, "a", 3));
        assert_true(note_and_flush(f));
        store_must_reopen(f);
        assert_loads(f->store, "a+ ");
        folder_error = 0;
        store_must_close(f);
    }
}

static void an_error_of_a_disk_is_one_of_a_folder_too(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3));
    folder_error = EIO;
    assert_false(note_and_flush(f));
    folder_error = 0;
}

static void a_file_must_be_synced_whatever_the_file_system(void **state)
{
    struct fixture *f = *state;
    assert_true(add(f->store, 1, "a", 3));
    file_error = EINVAL;
    assert_false(note_and_flush(f));
    file_error = 0;
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
}

/* ---- whose folder it is ---- */

static void a_host_in_another_case_is_the_same_account(void **state)
{
    struct fixture *f = *state;
    f->options.account = "Alice@HOST.Example:995";
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3));
    store_must_close(f);
    f->options.account = "Alice@host.example:995";
    store_must_open(f);
    assert_loads(f->store, "a- ");
    store_must_close(f);
    assert_int_equal(entries_count(f->folder), 1);
    f->options.account = "alice@host.example:995"; /* but users differ by case */
    store_must_open(f);
    store_must_close(f);
    assert_int_equal(entries_count(f->folder), 2);
}

static void nothing_is_left_of_an_account_that_was_never_listed(void **state)
{
    struct fixture *f = *state;
    f->options.account = "alice@mistyped.example:995";
    store_must_open(f);
    store_spare(f->store);
    store_must_close(f);
    assert_int_equal(entries_count(f->folder), 0);
    store_must_open(f);
    assert_true(add(f->store, 1, "a", 3));
    store_must_close(f);
    store_must_open(f); /* what was there before stays */
    store_spare(f->store);
    store_must_close(f);
    assert_int_equal(entries_count(f->folder), 1);
}

static void a_folder_that_popfs_did_not_make_is_not_swept(void **state)
{
    struct fixture *f = *state;
    char folder[PATH_MAX], file[PATH_MAX + 20];
    snprintf(folder, sizeof(folder), "%s/mount~backup", f->folder);
    snprintf(file, sizeof(file), "%s/letters.txt", folder);
    store_must_open(f);
    store_must_close(f);
    assert_int_equal(mkdir(folder, 0700), 0);
    int descriptor = open(file, O_WRONLY | O_CREAT, 0600);
    assert_true(descriptor >= 0);
    close(descriptor);
    store_must_open(f);
    assert_int_equal(access(file, F_OK), 0);
    store_must_close(f);
    assert_int_equal(unlink(file), 0);
    store_must_open(f);
    assert_int_equal(access(folder, F_OK), -1);
}

/* ---- mounts that keep nothing ---- */

static void nothing_is_left_of_a_temporary_store(void **state)
{
    struct fixture *f = *state;
    struct loaded loaded;
    f->options.temporary = true;
    store_must_open(f);
    assert_int_equal(entries_count(f->folder), 1);
    assert_true(add(f->store, 1, "a", 3) && keep(f->store, 1, "one"));
    assert_true(note(f->store, "a", 3, true));
    assert_int_equal(store_flush(f->store, NULL), FAULT_NONE);
    assert_kept(f->store, 1, "one");
    load(f->store, &loaded);
    assert_int_equal(loaded.count, 1);
    store_must_close(f);
    assert_int_equal(entries_count(f->folder), 0);
}

static void two_temporary_stores_of_one_account_go_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct store *other;
    f->options.state_folder = NULL;
    store_must_open(f); /* nor does one that lasts mind */
    f->options.temporary = true;
    assert_int_equal(open_and_begin(f, &other, NULL), FAULT_NONE);
    assert_true(add(f->store, 1, "a", 3) && keep(f->store, 1, "one"));
    assert_true(add(other, 1, "b", 3) && keep(other, 1, "two"));
    struct store *third;
    assert_int_equal(open_and_begin(f, &third, NULL), FAULT_NONE);
    assert_int_equal(entries_count(f->folder), 3);
    assert_kept(f->store, 1, "one");
    assert_kept(other, 1, "two");
    assert_false(is_kept(third, 1, 3));
    store_close(third);
    store_close(other);
    assert_int_equal(entries_count(f->folder), 1);
}

static void keep_one(struct fixture *f)
{
    CHILD_MUST(add(f->store, 1, "a", 3) && keep(f->store, 1, "one"));
    CHILD_MUST(store_flush(f->store, NULL) == FAULT_NONE);
}

static void a_temporary_store_of_a_dead_popfs_is_swept_and_that_of_a_living_one_is_not(void **state)
{
    struct fixture *f = *state;
    f->options.temporary = true;
    killed_after(f, keep_one);
    assert_int_equal(entries_count(f->folder), 1);
    store_must_open(f);
    assert_int_equal(entries_count(f->folder), 1);
    assert_true(keep(f->store, 1, "one"));
    f->options.state_folder = NULL;
    assert_int_equal(fault_in_child(f), FAULT_NONE);
    assert_kept(f->store, 1, "one");
}

/* ---- the state ---- */

static void one_state_is_not_used_with_two_caches_at_once(void **state)
{
    struct fixture *f = *state;
    struct store *other;
    struct failure failure = {0};
    char folder[120];
    store_must_open(f);
    snprintf(folder, sizeof(folder), "%s/other", f->base);
    f->options.folder = folder;
    assert_int_equal(store_open(&f->options, &other, &failure), FAULT_BUSY);
    assert_non_null(strstr(failure.text, "mounted on /home/a/mail by process 12"));
    f->options.temporary = true;
    assert_int_equal(store_open(&f->options, &other, &failure), FAULT_BUSY);
    f->options.folder = f->folder;
}

static void the_state_folder_is_told(void **state)
{
    struct fixture *f = *state;
    struct stat by_path, by_descriptor;
    store_must_open(f);
    assert_int_equal(stat(store_state_path(f->store), &by_path), 0);
    assert_int_equal(fstat(store_state_descriptor(f->store), &by_descriptor), 0);
    assert_int_equal(by_path.st_ino, by_descriptor.st_ino);
    f->options.state_folder = NULL;
    store_must_reopen(f);
    assert_null(store_state_path(f->store));
    assert_int_equal(store_state_descriptor(f->store), -1);
}

static void a_state_that_others_may_write_to_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->state_folder, 0700), 0);
    assert_int_equal(chmod(f->state_folder, 0777), 0);
    store_must_refuse(f, "others may write to the state folder");
}

static void the_cache_says_that_it_is_one_and_the_state_does_not(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUFFER struct buffer tag = {0};
    store_must_open(f);
    file_read(path_of("CACHEDIR.TAG", f), &tag);
    assert_memory_equal(tag.data, "Signature: 8a477f597d28d172789f06886806bc55", 43);
    assert_int_not_equal(access(state_path_of("CACHEDIR.TAG", f), F_OK), 0);
    /* What the user made of it stays. */
    file_write(path_of("CACHEDIR.TAG", f), SLICE_LITERAL("mine"));
    store_must_reopen(f);
    tag.len = 0;
    file_read(path_of("CACHEDIR.TAG", f), &tag);
    assert_int_equal(tag.len, 4);
}

static void what_is_not_ours_is_not_swept(void **state)
{
    struct fixture *f = *state;
    char letters[128], file[160];
    store_must_open(f);
    snprintf(letters, sizeof(letters), "%s/mount-letters", f->folder);
    snprintf(file, sizeof(file), "%s/1", letters);
    assert_int_equal(mkdir(letters, 0700), 0);
    file_write(file, SLICE_LITERAL("dear"));
    store_must_reopen(f);
    f->options.temporary = true;
    f->options.account = "carol@host:995";
    store_must_reopen(f);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(access(path_of("index.sqlite", f), F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_CLOSED(name) cmocka_unit_test_setup_teardown(name, set_up_closed, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_opener_is_told_who_has_the_account),
        TEST(the_lock_holds_between_processes_until_it_is_closed),
        TEST(the_lock_dies_with_its_process),
        TEST(a_folder_that_was_only_taken_is_left_as_it_was),
        TEST(everything_is_for_the_owner_alone),
        TEST(an_account_cannot_leave_its_folder),
        TEST(a_folder_that_others_may_write_to_is_refused),
        TEST(a_link_is_followed_if_it_is_ours),
        TEST(links_in_our_folder_are_not_followed),
        TEST_CLOSED(a_folder_that_cannot_be_made_is_a_disk_fault_with_its_name),
        TEST_CLOSED(a_file_system_that_cannot_sync_a_folder_will_do),
        TEST(an_error_of_a_disk_is_one_of_a_folder_too),
        TEST(a_file_must_be_synced_whatever_the_file_system),
        TEST_CLOSED(a_host_in_another_case_is_the_same_account),
        TEST_CLOSED(nothing_is_left_of_an_account_that_was_never_listed),
        TEST_CLOSED(a_folder_that_popfs_did_not_make_is_not_swept),
        TEST_CLOSED(nothing_is_left_of_a_temporary_store),
        TEST_CLOSED(two_temporary_stores_of_one_account_go_side_by_side),
        TEST_CLOSED(a_temporary_store_of_a_dead_popfs_is_swept_and_that_of_a_living_one_is_not),
        TEST_CLOSED(what_is_not_ours_is_not_swept),
        TEST_CLOSED(one_state_is_not_used_with_two_caches_at_once),
        TEST_CLOSED(the_state_folder_is_told),
        TEST_CLOSED(a_state_that_others_may_write_to_is_refused),
        TEST_CLOSED(the_cache_says_that_it_is_one_and_the_state_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
