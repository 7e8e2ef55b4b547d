/* SPDX-License-Identifier: MIT */
/* The operations that answer at once, as the kernel sees them. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct maildrop_row rows[] = {
    {SLICE_LITERAL("first"), 100},
    {SLICE_LITERAL("a/b"), 200},
    {SLICE_LITERAL("first"), 300},
    {SLICE_LITERAL("last"), 5000},
};
enum { ROW_COUNT = 4 };

static struct reply reply;

static int set_up_as(void **state, bool read_only)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    assert_non_null(kernel);
    struct sync *sync = fake_sync_new();
    sync->read_only = read_only;
    fake_sync_list(sync, rows, ROW_COUNT);
    kernel_init(kernel, sync, read_only);
    *state = kernel;
    return 0;
}

static int set_up(void **state)
{
    return set_up_as(state, false);
}

static int set_up_read_only(void **state)
{
    return set_up_as(state, true);
}

static int tear_down(void **state)
{
    struct kernel *kernel = *state;
    kernel_done(kernel);
    fake_sync_free(kernel->sync);
    free(kernel);
    return 0;
}

/* ---- LOOKUP, FORGET, GETATTR ---- */

static void a_message_is_found_by_its_name(void **state)
{
    struct kernel *kernel = *state;
    kernel_lookup(kernel, FUSE_ROOT_ID, "a%2Fb.eml", &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.entry.nodeid, inode_of_message(fake_sync_message(kernel->sync, 1)));
    assert_int_equal(reply.entry.attr.size, 200);
    assert_int_equal(reply.entry.attr.mode, S_IFREG | 0600);
    assert_int_equal(reply.entry.entry_valid, 3600);
    assert_int_equal(reply.entry.attr_valid, 0);
}

static void copies_have_names_of_their_own(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(kernel_ino(kernel, "first.eml"),
                     inode_of_message(fake_sync_message(kernel->sync, 0)));
    assert_int_equal(kernel_ino(kernel, "first~2.eml"),
                     inode_of_message(fake_sync_message(kernel->sync, 2)));
}

static void expect_absence(struct kernel *kernel, uint64_t parent, const char *name)
{
    kernel_lookup(kernel, parent, name, &reply);
    assert_int_equal(reply.error, ENOENT);
}

/* An entry without an inode would be remembered. */
static void a_name_that_is_not_there_is_an_error(void **state)
{
    struct kernel *kernel = *state;
    expect_absence(kernel, FUSE_ROOT_ID, "first");
    expect_absence(kernel, FUSE_ROOT_ID, "a/b.eml");
    expect_absence(kernel, FUSE_ROOT_ID, "status");
    expect_absence(kernel, kernel_ino(kernel, ".popfs"), "first.eml");
}

static void a_name_of_more_than_255_octets_is_too_long(void **state)
{
    struct kernel *kernel = *state;
    char name[257];
    memset(name, 'x', 256);
    name[256] = '\0';
    kernel_lookup(kernel, FUSE_ROOT_ID, name, &reply);
    assert_int_equal(reply.error, ENAMETOOLONG);
}

static void attributes_are_cached_once_size_and_time_are_certain(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 0);
    maildrop_message_learn_octets(message, 111);
    maildrop_message_learn_time(message, 1234567890);
    kernel_lookup(kernel, FUSE_ROOT_ID, "first.eml", &reply);
    assert_true(reply.entry.attr_valid > 1000000);
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, reply.entry.nodeid, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.attr.attr.size, 111);
    assert_int_equal(reply.attr.attr.mtime, 1234567890);
    assert_int_equal(reply.attr.attr.nlink, 1);
    assert_true(reply.attr.attr_valid > 1000000);
}

static void the_root_is_a_private_folder(void **state)
{
    struct kernel *kernel = *state;
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, FUSE_ROOT_ID, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.attr.attr.mode, S_IFDIR | 0700);
    assert_int_equal(reply.attr.attr.uid, 1000);
    assert_int_equal(reply.attr.attr.gid, 1001);
}

static void forgotten_inodes_leave_the_table(void **state)
{
    struct kernel *kernel = *state;
    uint64_t first = kernel_ino(kernel, "first.eml");
    uint64_t last = kernel_ino(kernel, "last.eml");
    assert_int_equal(kernel_ino(kernel, "last.eml"), last);
    const struct fuse_forget_in forget = {.nlookup = 1};
    kernel_send(kernel, FUSE_FORGET, first, PAYLOAD(forget));
    assert_null(inodes_find(&kernel->fs->inodes, first));
    struct {
        struct fuse_batch_forget_in batch;
        struct fuse_forget_one one[2];
    } forgets = {{.count = 2}, {{last, 2}, {FUSE_ROOT_ID, 1}}};
    assert_non_null(inodes_find(&kernel->fs->inodes, last));
    kernel_send(kernel, FUSE_BATCH_FORGET, 0, PAYLOAD(forgets));
    assert_int_equal(kernel->fs->inodes.count, 0);
    kernel_expect_silence(kernel);
}

/* ---- READDIR ---- */

struct seen {
    size_t count;
    struct {
        char name[300];
        uint64_t ino;
        uint64_t offset;
        uint32_t type;
        uint64_t nodeid;
        uint64_t mtime_s; /* READDIRPLUS alone, as the next two */
        uint64_t size;
        uint64_t entry_valid_s;
    } entries[64];
};

static void see(struct seen *seen, const struct fuse_dirent *dirent,
                const struct fuse_entry_out *entry)
{
    assert_true(seen->count < 64);
    memcpy(seen->entries[seen->count].name, dirent->name, dirent->namelen);
    seen->entries[seen->count].name[dirent->namelen] = '\0';
    seen->entries[seen->count].ino = dirent->ino;
    seen->entries[seen->count].offset = dirent->off;
    seen->entries[seen->count].type = dirent->type;
    seen->entries[seen->count].nodeid = entry->nodeid;
    seen->entries[seen->count].mtime_s = entry->attr.mtime;
    seen->entries[seen->count].size = entry->attr.size;
    seen->entries[seen->count].entry_valid_s = entry->entry_valid;
    seen->count++;
}

static size_t see_next(struct seen *seen, const char *at, bool plus)
{
    if (plus) {
        struct fuse_direntplus *entry = malloc(FUSE_NAME_OFFSET_DIRENTPLUS + 1024);
        memcpy(entry, at, FUSE_NAME_OFFSET_DIRENTPLUS);
        memcpy(entry->dirent.name, at + FUSE_NAME_OFFSET_DIRENTPLUS, entry->dirent.namelen);
        size_t len = FUSE_DIRENTPLUS_SIZE(entry);
        see(seen, &entry->dirent, &entry->entry_out);
        free(entry);
        return len;
    }
    struct fuse_dirent *entry = malloc(FUSE_NAME_OFFSET + 1024);
    memcpy(entry, at, FUSE_NAME_OFFSET);
    memcpy(entry->name, at + FUSE_NAME_OFFSET, entry->namelen);
    size_t len = FUSE_DIRENT_SIZE(entry);
    see(seen, entry, &(const struct fuse_entry_out){0});
    free(entry);
    return len;
}

static uint64_t open_folder(struct kernel *kernel, uint64_t ino)
{
    const struct fuse_open_in open = {0};
    kernel_ask(kernel, FUSE_OPENDIR, ino, PAYLOAD(open), &reply);
    assert_int_equal(reply.error, 0);
    return reply.open.fh;
}

static void close_folder(struct kernel *kernel, uint64_t ino, uint64_t handle)
{
    const struct fuse_release_in release = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASEDIR, ino, PAYLOAD(release), &reply);
    assert_int_equal(reply.error, 0);
}

/* One READDIR; false at the end of the folder. */
static bool read_some(struct kernel *kernel, uint64_t ino, uint64_t handle, uint64_t offset,
                      uint32_t size, bool plus, struct seen *seen)
{
    const struct fuse_read_in read_in = {.fh = handle, .offset = offset, .size = size};
    kernel_ask(kernel, plus ? FUSE_READDIRPLUS : FUSE_READDIR, ino, PAYLOAD(read_in), &reply);
    assert_int_equal(reply.error, 0);
    assert_true(reply.len <= size);
    for (size_t at = 0; at < reply.len;)
        at += see_next(seen, reply.bytes + at, plus);
    return reply.len > 0;
}

static void read_folder(struct kernel *kernel, uint64_t ino, uint32_t size, bool plus,
                        struct seen *seen)
{
    uint64_t handle = open_folder(kernel, ino);
    uint64_t offset = 0;
    seen->count = 0;
    while (read_some(kernel, ino, handle, offset, size, plus, seen))
        offset = seen->entries[seen->count - 1].offset;
    close_folder(kernel, ino, handle);
}

static void expect_seen(const struct seen *seen, const char *const *names, size_t count)
{
    assert_int_equal(seen->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(seen->entries[i].name, names[i]);
}

static const char *const all_names[] = {".",         "..",          "first.eml",
                                        "a%2Fb.eml", "first~2.eml", "last.eml"};

static void the_root_lists_the_messages_in_listing_order_and_nothing_hidden(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    read_folder(kernel, FUSE_ROOT_ID, 4096, false, &seen);
    expect_seen(&seen, all_names, 6);
    assert_int_equal(seen.entries[0].type, DT_DIR);
    assert_int_equal(seen.entries[2].type, DT_REG);
    assert_int_equal(seen.entries[2].ino, inode_of_message(fake_sync_message(kernel->sync, 0)));
}

static void a_listing_may_be_read_in_the_smallest_pieces(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    read_folder(kernel, FUSE_ROOT_ID, 40, false, &seen);
    expect_seen(&seen, all_names, 6);
    read_folder(kernel, FUSE_ROOT_ID, 180, true, &seen);
    expect_seen(&seen, all_names, 6);
}

static void readdirplus_counts_a_look_up_for_each_message_it_gave(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    read_folder(kernel, FUSE_ROOT_ID, 400, true, &seen);
    assert_int_equal(kernel->fs->inodes.count, ROW_COUNT);
    assert_int_equal(seen.entries[0].nodeid, 0);
    for (size_t i = 2; i < seen.count; i++) {
        assert_int_equal(seen.entries[i].nodeid, seen.entries[i].ino);
        const struct fuse_forget_in forget = {.nlookup = 1};
        kernel_send(kernel, FUSE_FORGET, seen.entries[i].nodeid, PAYLOAD(forget));
    }
    assert_int_equal(kernel->fs->inodes.count, 0);
}

static void a_folder_that_shrinks_while_it_is_read_skips_nothing(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    seen.count = 0;
    uint64_t handle = open_folder(kernel, FUSE_ROOT_ID);
    assert_true(read_some(kernel, FUSE_ROOT_ID, handle, 0, 120, false, &seen));
    assert_string_equal(seen.entries[seen.count - 1].name, "first.eml");
    kernel_ask(kernel, FUSE_UNLINK, FUSE_ROOT_ID, SLICE_LITERAL("first.eml\0"), &reply);
    kernel_ask(kernel, FUSE_UNLINK, FUSE_ROOT_ID, SLICE_LITERAL("first~2.eml\0"), &reply);
    assert_int_equal(reply.error, 0);
    uint64_t offset = seen.entries[seen.count - 1].offset;
    seen.count = 0;
    assert_true(read_some(kernel, FUSE_ROOT_ID, handle, offset, 4096, false, &seen));
    const char *const rest[] = {"a%2Fb.eml", "last.eml"};
    expect_seen(&seen, rest, 2);
    close_folder(kernel, FUSE_ROOT_ID, handle);
}

static void rewinding_shows_what_is_new(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    seen.count = 0;
    uint64_t handle = open_folder(kernel, FUSE_ROOT_ID);
    fake_sync_list(kernel->sync, rows + 3, 1);
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
    read_some(kernel, FUSE_ROOT_ID, handle, 0, 4096, false, &seen);
    const char *const names[] = {".", "..", "last.eml"};
    expect_seen(&seen, names, 3);
    close_folder(kernel, FUSE_ROOT_ID, handle);
}

static void the_control_folder_lists_its_files(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    read_folder(kernel, kernel_ino(kernel, ".popfs"), 4096, true, &seen);
    const char *const names[] = {".", "..", "trash", "control", "status", "status.json"};
    expect_seen(&seen, names, 6);
    assert_int_equal(seen.entries[1].ino, FUSE_ROOT_ID);
    assert_int_equal(seen.entries[2].type, DT_DIR);
    assert_int_equal(seen.entries[4].type, DT_REG);
}

/* ---- OPEN and READ of what is there ---- */

/* The one that the next open() of anything takes. */
static int lowest_free_descriptor(void)
{
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(descriptor);
    return descriptor;
}

static void a_local_body_opens_at_once_and_reads_byte_for_byte(void **state)
{
    struct kernel *kernel = *state;
    int free_before = lowest_free_descriptor();
    static const struct slice body = SLICE_LITERAL("Subject: x\r\n\r\n\0\xff\r.\r\nno end");
    fake_sync_store(kernel->sync, fake_sync_message(kernel->sync, 0), body);
    uint64_t ino = kernel_ino(kernel, "first.eml");
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.open.open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
    uint64_t handle = reply.open.fh;
    assert_int_not_equal(lowest_free_descriptor(), free_before);
    kernel_read(kernel, ino, handle, 0, 4096, &reply);
    assert_int_equal(reply.len, body.len);
    assert_memory_equal(reply.bytes, body.data, body.len);
    kernel_read(kernel, ino, handle, 8, 3, &reply);
    assert_int_equal(reply.len, 3);
    assert_memory_equal(reply.bytes, body.data + 8, 3);
    kernel_read(kernel, ino, handle, 4096, 4096, &reply);
    assert_int_equal(reply.len, 0);
    const struct fuse_release_in release = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(lowest_free_descriptor(), free_before);
}

/* Where the system's libraries have 32 bits for them (Debian on i386), too. */
static void times_after_2038_and_sizes_above_4_gib_reach_the_kernel_as_they_are(void **state)
{
    enum { MESSAGE_AT = 2 }; /* behind "." and ".." */
    const int64_t year_2050_s = 2524608000, year_9999_s = 253402300799;
    const uint64_t octets = UINT64_C(5) << 32;
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 0);
    struct seen seen;
    maildrop_message_learn_time(message, year_2050_s);
    maildrop_message_learn_octets(message, octets);
    maildrop_message_learn_time(fake_sync_message(kernel->sync, 3), year_9999_s);
    kernel_lookup(kernel, FUSE_ROOT_ID, "first.eml", &reply);
    assert_true(reply.entry.attr.mtime == (uint64_t)year_2050_s);
    assert_true(reply.entry.attr.atime == (uint64_t)year_2050_s);
    assert_true(reply.entry.attr.size == octets && reply.entry.attr.blocks == octets / 512);
    assert_int_equal(reply.entry.attr_valid, 1000000000);
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, inode_of_message(message), PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, 0);
    assert_true(reply.attr.attr.mtime == (uint64_t)year_2050_s);
    assert_true(reply.attr.attr.size == octets);
    read_folder(kernel, FUSE_ROOT_ID, 65536, true, &seen);
    assert_true(seen.entries[MESSAGE_AT].mtime_s == (uint64_t)year_2050_s);
    assert_true(seen.entries[MESSAGE_AT].size == octets);
    assert_int_equal(seen.entries[MESSAGE_AT].entry_valid_s, 3600);
    assert_true(seen.entries[MESSAGE_AT + 3].mtime_s == (uint64_t)year_9999_s);
}

static void a_status_ends_where_it_ends_even_for_a_read_4_gib_further_on(void **state)
{
    struct kernel *kernel = *state;
    kernel_lookup(kernel, kernel_ino(kernel, ".popfs"), "status", &reply);
    uint64_t ino = reply.entry.nodeid;
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    uint64_t handle = reply.open.fh;
    kernel_read(kernel, ino, handle, UINT64_C(1) << 32, 100, &reply);
    assert_true(reply.error == 0 && reply.len == 0);
    const struct fuse_release_in release = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
}

static void status_is_rendered_at_open_and_stays_the_same_while_it_is_read(void **state)
{
    struct kernel *kernel = *state;
    kernel->sync->status.message_count = 4711;
    uint64_t folder = kernel_ino(kernel, ".popfs");
    kernel_lookup(kernel, folder, "status", &reply);
    uint64_t ino = reply.entry.nodeid;
    uint64_t size = reply.entry.attr.size;
    assert_int_equal(reply.entry.attr_valid, 0);
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    assert_true((reply.open.open_flags & FOPEN_DIRECT_IO) != 0);
    uint64_t handle = reply.open.fh;
    kernel->sync->status.message_count = 1;
    kernel_read(kernel, ino, handle, 0, 4096, &reply);
    assert_int_equal(reply.len, size);
    reply.bytes[reply.len] = '\0';
    assert_non_null(strstr(reply.bytes, "messages:          4711\n"));
    kernel_read(kernel, ino, handle, 1000000, 4096, &reply);
    assert_int_equal(reply.len, 0);
    const struct fuse_release_in release = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
}

static void status_json_is_there_too(void **state)
{
    struct kernel *kernel = *state;
    kernel_lookup(kernel, kernel_ino(kernel, ".popfs"), "status.json", &reply);
    assert_true(reply.entry.nodeid != 0);
    assert_int_equal(reply.entry.attr.mode, S_IFREG | 0400);
}

static void statfs_tells_the_size_of_the_maildrop(void **state)
{
    struct kernel *kernel = *state;
    kernel->sync->status.message_count = 4;
    kernel->sync->status.message_octets = 8193;
    kernel_ask(kernel, FUSE_STATFS, FUSE_ROOT_ID, (struct slice){NULL, 0}, &reply);
    assert_int_equal(reply.statfs.st.blocks, 3);
    assert_int_equal(reply.statfs.st.bsize, 4096);
    assert_int_equal(reply.statfs.st.files, 4);
    /* Nothing can be written, and yet df does not say 100 %, neither of octets nor of files. */
    assert_int_equal(reply.statfs.st.bfree, 3);
    assert_int_equal(reply.statfs.st.ffree, 4);
    assert_int_equal(reply.statfs.st.bavail, 0);
    assert_int_equal(reply.statfs.st.namelen, 255);
}

/* ---- UNLINK ---- */

static int unlink_error(struct kernel *kernel, uint64_t parent, const char *name)
{
    kernel_ask(kernel, FUSE_UNLINK, parent, (struct slice){name, strlen(name) + 1}, &reply);
    return reply.error;
}

static uint64_t root_changed_ns(struct kernel *kernel)
{
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, FUSE_ROOT_ID, PAYLOAD(getattr), &reply);
    return reply.attr.attr.mtime * 1000000000 + reply.attr.attr.mtimensec;
}

static void a_removed_message_is_hidden_at_once(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    uint64_t before_ns = root_changed_ns(kernel);
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "a%2Fb.eml"), 0);
    assert_true(maildrop_message_is_going(fake_sync_message(kernel->sync, 1)));
    assert_true(root_changed_ns(kernel) > before_ns);
    expect_absence(kernel, FUSE_ROOT_ID, "a%2Fb.eml");
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "a%2Fb.eml"), ENOENT);
    read_folder(kernel, FUSE_ROOT_ID, 4096, false, &seen);
    assert_int_equal(seen.count, 5);
}

static void an_open_file_stays_readable_after_it_was_removed_and_committed(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 0);
    fake_sync_store(kernel->sync, message, SLICE_LITERAL("body"));
    maildrop_message_learn_time(message, 1);
    uint64_t ino = kernel_ino(kernel, "first.eml");
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    uint64_t handle = reply.open.fh;
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "first.eml"), 0);
    fake_sync_forget(kernel->sync, message);
    while (kernel_receive(kernel, &reply))
        assert_int_equal(reply.unique, 0);
    kernel_read(kernel, ino, handle, 0, 100, &reply);
    assert_int_equal(reply.len, 4);
    assert_memory_equal(reply.bytes, "body", 4);
    const struct fuse_getattr_in getattr = {0};
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.attr.attr.nlink, 0);
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    assert_int_equal(reply.error, ESTALE);
    const struct fuse_release_in release = {.fh = handle};
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
}

static void a_removal_that_sync_refuses_is_not_permitted_and_hides_nothing(void **state)
{
    struct kernel *kernel = *state;
    kernel->sync->removal_fault = FAULT_REFUSED;
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "first.eml"), EPERM);
    kernel_ino(kernel, "first.eml");
}

static void what_is_not_a_message_cannot_be_removed(void **state)
{
    struct kernel *kernel = *state;
    uint64_t control = kernel_ino(kernel, ".popfs");
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "none.eml"), ENOENT);
    assert_int_equal(unlink_error(kernel, control, "status"), EPERM);
    assert_int_equal(unlink_error(kernel, control, "first.eml"), ENOENT);
}

/* ---- what is refused ---- */

static void expect_refusals(struct kernel *kernel, int expected)
{
    uint64_t ino = kernel_ino(kernel, "first.eml");
    static const uint32_t flags[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC};
    for (size_t i = 0; i < 3; i++) {
        kernel_send_open(kernel, ino, flags[i]);
        assert_true(kernel_receive(kernel, &reply));
        assert_int_equal(reply.error, expected);
    }
    const struct fuse_setattr_in setattr = {.valid = FATTR_SIZE};
    kernel_ask(kernel, FUSE_SETATTR, ino, PAYLOAD(setattr), &reply);
    assert_int_equal(reply.error, expected);
    kernel_ask(kernel, FUSE_RMDIR, FUSE_ROOT_ID, SLICE_LITERAL(".popfs\0"), &reply);
    assert_int_equal(reply.error, expected);
    kernel_ask(kernel, FUSE_SYMLINK, FUSE_ROOT_ID, SLICE_LITERAL("a\0b\0"), &reply);
    assert_int_equal(reply.error, expected);
    struct {
        struct fuse_create_in in;
        char name[8];
    } create = {{.flags = O_WRONLY}, "x"};
    kernel_ask(kernel, FUSE_CREATE, FUSE_ROOT_ID, PAYLOAD(create), &reply);
    assert_int_equal(reply.error, expected);
    struct {
        struct fuse_mkdir_in in;
        char name[8];
    } mkdir = {{.mode = 0700}, "x"};
    kernel_ask(kernel, FUSE_MKDIR, FUSE_ROOT_ID, PAYLOAD(mkdir), &reply);
    assert_int_equal(reply.error, expected);
    struct {
        struct fuse_mknod_in in;
        char name[8];
    } mknod = {{.mode = S_IFREG}, "x"};
    kernel_ask(kernel, FUSE_MKNOD, FUSE_ROOT_ID, PAYLOAD(mknod), &reply);
    assert_int_equal(reply.error, expected);
    struct {
        struct fuse_rename2_in in;
        char names[16];
    } rename = {{.newdir = FUSE_ROOT_ID}, "first.eml\0x"};
    kernel_ask(kernel, FUSE_RENAME2, FUSE_ROOT_ID, PAYLOAD(rename), &reply);
    assert_int_equal(reply.error, expected);
    struct {
        struct fuse_link_in in;
        char name[8];
    } link = {{.oldnodeid = ino}, "x"};
    kernel_ask(kernel, FUSE_LINK, FUSE_ROOT_ID, PAYLOAD(link), &reply);
    assert_int_equal(reply.error, expected);
}

static void nothing_can_be_written_or_made(void **state)
{
    expect_refusals(*state, EPERM);
}

static void a_read_only_mount_says_so(void **state)
{
    expect_refusals(*state, EROFS);
    assert_int_equal(unlink_error(*state, FUSE_ROOT_ID, "first.eml"), EROFS);
}

/* ---- what a new listing changes ---- */

struct told {
    size_t count;
    uint64_t inos[8];
};

static struct told hear_all(struct kernel *kernel)
{
    struct told told = {0};
    struct fuse_notify_inval_inode_out inode;
    while (kernel_receive(kernel, &reply)) {
        assert_int_equal(reply.unique, 0);
        /* Each other notification would take a lock that may be held by who waits for popfs. */
        assert_int_equal(reply.error, FUSE_NOTIFY_INVAL_INODE);
        memcpy(&inode, reply.bytes, sizeof(inode));
        assert_true(inode.off < 0);
        told.inos[told.count++] = inode.ino;
    }
    return told;
}

static bool heard(const struct told *told, uint64_t ino)
{
    for (size_t i = 0; i < told->count; i++)
        if (told->inos[i] == ino)
            return true;
    return false;
}

static void a_new_listing_is_told_to_the_kernel_and_can_be_looked_up(void **state)
{
    struct kernel *kernel = *state;
    uint64_t stays = kernel_ino(kernel, "a%2Fb.eml"), last = kernel_ino(kernel, "last.eml");
    expect_absence(kernel, FUSE_ROOT_ID, "new.eml");
    const struct maildrop_row newer[] = {rows[0], rows[1], rows[2], {SLICE_LITERAL("new"), 9}};
    fake_sync_list(kernel->sync, newer, 4);
    struct told told = hear_all(kernel);
    assert_true(heard(&told, FUSE_ROOT_ID));
    assert_true(heard(&told, last));
    assert_false(heard(&told, stays));
    kernel_ino(kernel, "new.eml");
    kernel_ino(kernel, "first.eml");
    expect_absence(kernel, FUSE_ROOT_ID, "last.eml");
}

static int access_error(struct kernel *kernel, uint64_t ino, uint32_t mask)
{
    const struct fuse_access_in access = {.mask = mask};
    kernel_ask(kernel, FUSE_ACCESS, ino, PAYLOAD(access), &reply);
    return reply.error;
}

static int open_error(struct kernel *kernel, uint64_t ino)
{
    kernel_send_open(kernel, ino, O_RDONLY);
    assert_true(kernel_receive(kernel, &reply));
    return reply.error;
}

static void what_has_gone_makes_the_kernel_look_its_name_up_anew(void **state)
{
    struct kernel *kernel = *state;
    const struct fuse_getattr_in getattr = {0};
    uint64_t ino = kernel_ino(kernel, "last.eml");
    assert_int_equal(access_error(kernel, ino, F_OK), 0);
    fake_sync_list(kernel->sync, rows, 3);
    hear_all(kernel);
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, ESTALE);
    assert_int_equal(access_error(kernel, ino, F_OK), ESTALE);
    assert_int_equal(open_error(kernel, ino), ESTALE);
}

/* The listing is written to the index first; its name may be another one's afterwards. */
static void what_has_gone_is_there_until_what_takes_its_place_is(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    struct maildrop_message *message = maildrop_message_ref(fake_sync_message(kernel->sync, 3));
    fake_sync_store(kernel->sync, message, SLICE_LITERAL("body"));
    uint64_t ino = kernel_ino(kernel, "last.eml");
    assert_int_equal(maildrop_forget(kernel->sync->maildrop, &message, 1), FAULT_NONE);
    assert_int_equal(kernel_ino(kernel, "last.eml"), ino);
    assert_int_equal(open_error(kernel, ino), 0);
    read_folder(kernel, FUSE_ROOT_ID, 4096, false, &seen);
    expect_seen(&seen, all_names, 6);
    maildrop_message_unref(message);
}

static void a_listing_that_began_before_has_the_name_of_what_was_replaced(void **state)
{
    struct kernel *kernel = *state;
    static struct seen seen;
    for (int plus = 0; plus < 2; plus++) {
        seen.count = 0;
        uint64_t handle = open_folder(kernel, FUSE_ROOT_ID);
        read_some(kernel, FUSE_ROOT_ID, handle, 0, 200, plus, &seen);
        uint64_t offset = seen.entries[seen.count - 1].offset;
        fake_sync_replace(kernel->sync, fake_sync_message(kernel->sync, 3));
        hear_all(kernel);
        seen.count = 0;
        read_some(kernel, FUSE_ROOT_ID, handle, offset, 4096, plus, &seen);
        assert_string_equal(seen.entries[seen.count - 1].name, "last.eml");
        assert_int_equal(seen.entries[seen.count - 1].nodeid, 0);
        close_folder(kernel, FUSE_ROOT_ID, handle);
    }
}

/* fstat() of an open file reaches popfs as stat() does. */
static void what_has_gone_keeps_its_attributes_while_it_is_open_and_no_longer(void **state)
{
    struct kernel *kernel = *state;
    const struct fuse_getattr_in getattr = {0};
    struct maildrop_message *message = fake_sync_message(kernel->sync, 3);
    fake_sync_store(kernel->sync, message, SLICE_LITERAL("body"));
    maildrop_message_learn_time(message, 1);
    uint64_t ino = kernel_ino(kernel, "last.eml");
    assert_int_equal(open_error(kernel, ino), 0);
    const struct fuse_release_in release = {.fh = reply.open.fh};
    fake_sync_list(kernel->sync, rows, 3);
    hear_all(kernel);
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.attr.attr.size, 4);
    assert_int_equal(reply.attr.attr_valid, 0);
    assert_int_equal(open_error(kernel, ino), ESTALE);
    kernel_ask(kernel, FUSE_RELEASE, ino, PAYLOAD(release), &reply);
    kernel_ask(kernel, FUSE_GETATTR, ino, PAYLOAD(getattr), &reply);
    assert_int_equal(reply.error, ESTALE);
}

static void folders_can_be_entered_and_no_message_be_run(void **state)
{
    struct kernel *kernel = *state;
    assert_int_equal(access_error(kernel, FUSE_ROOT_ID, X_OK), 0);
    assert_int_equal(access_error(kernel, kernel_ino(kernel, ".popfs"), R_OK | X_OK), 0);
    assert_int_equal(access_error(kernel, kernel_ino(kernel, "first.eml"), R_OK | W_OK), 0);
    assert_int_equal(access_error(kernel, kernel_ino(kernel, "first.eml"), X_OK), EACCES);
}

static void a_message_that_takes_the_place_of_another_gets_its_name(void **state)
{
    struct kernel *kernel = *state;
    uint64_t old = kernel_ino(kernel, "last.eml");
    fake_sync_replace(kernel->sync, fake_sync_message(kernel->sync, 3));
    hear_all(kernel);
    uint64_t new = kernel_ino(kernel, "last.eml");
    assert_true(new > old);
}

static void the_same_listing_again_is_not_worth_a_word(void **state)
{
    struct kernel *kernel = *state;
    fake_sync_list(kernel->sync, rows + 1, 1);
    hear_all(kernel);
    uint64_t before_ns = root_changed_ns(kernel);
    fake_sync_list(kernel->sync, rows + 1, 1);
    kernel_expect_silence(kernel);
    assert_int_equal(root_changed_ns(kernel), before_ns);
}

/* Its name may be remembered in the trash, where rename() took it. */
static void the_kernel_is_told_of_what_a_commit_has_deleted(void **state)
{
    struct kernel *kernel = *state;
    struct maildrop_message *message = fake_sync_message(kernel->sync, 3);
    uint64_t ino = inode_of_message(message);
    assert_int_equal(unlink_error(kernel, FUSE_ROOT_ID, "last.eml"), 0);
    fake_sync_forget(kernel->sync, message);
    struct told told = hear_all(kernel);
    assert_int_equal(told.count, 2);
    assert_true(heard(&told, ino));
    assert_true(heard(&told, FUSE_ROOT_ID));
}

static void a_change_after_unmounting_is_harmless(void **state)
{
    struct kernel *kernel = *state;
    fs_unmount(kernel->fs);
    fake_sync_list(kernel->sync, NULL, 0);
    kernel_expect_silence(kernel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_found_by_its_name),
        TEST(copies_have_names_of_their_own),
        TEST(a_name_that_is_not_there_is_an_error),
        TEST(a_name_of_more_than_255_octets_is_too_long),
        TEST(attributes_are_cached_once_size_and_time_are_certain),
        TEST(the_root_is_a_private_folder),
        TEST(forgotten_inodes_leave_the_table),
        TEST(the_root_lists_the_messages_in_listing_order_and_nothing_hidden),
        TEST(a_listing_may_be_read_in_the_smallest_pieces),
        TEST(readdirplus_counts_a_look_up_for_each_message_it_gave),
        TEST(a_folder_that_shrinks_while_it_is_read_skips_nothing),
        TEST(rewinding_shows_what_is_new),
        TEST(the_control_folder_lists_its_files),
        TEST(a_local_body_opens_at_once_and_reads_byte_for_byte),
        TEST(times_after_2038_and_sizes_above_4_gib_reach_the_kernel_as_they_are),
        TEST(a_status_ends_where_it_ends_even_for_a_read_4_gib_further_on),
        TEST(status_is_rendered_at_open_and_stays_the_same_while_it_is_read),
        TEST(status_json_is_there_too),
        TEST(statfs_tells_the_size_of_the_maildrop),
        TEST(a_removed_message_is_hidden_at_once),
        TEST(an_open_file_stays_readable_after_it_was_removed_and_committed),
        TEST(a_removal_that_sync_refuses_is_not_permitted_and_hides_nothing),
        TEST(what_is_not_a_message_cannot_be_removed),
        TEST(nothing_can_be_written_or_made),
        cmocka_unit_test_setup_teardown(a_read_only_mount_says_so, set_up_read_only, tear_down),
        TEST(a_new_listing_is_told_to_the_kernel_and_can_be_looked_up),
        TEST(what_has_gone_makes_the_kernel_look_its_name_up_anew),
        TEST(what_has_gone_is_there_until_what_takes_its_place_is),
        TEST(a_listing_that_began_before_has_the_name_of_what_was_replaced),
        TEST(what_has_gone_keeps_its_attributes_while_it_is_open_and_no_longer),
        TEST(folders_can_be_entered_and_no_message_be_run),
        TEST(a_message_that_takes_the_place_of_another_gets_its_name),
        TEST(the_same_listing_again_is_not_worth_a_word),
        TEST(the_kernel_is_told_of_what_a_commit_has_deleted),
        TEST(a_change_after_unmounting_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
