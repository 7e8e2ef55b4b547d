/* SPDX-License-Identifier: MIT */
/*
 * base: bytes, faults and the log, on which every other folder rests.
 *
 * Knows memory, bytes and the kernel's table of mounts. Refuses to know mail, protocols or files.
 */
#ifndef POPFS_BASE_H
#define POPFS_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* ---- slices: borrowed bytes, not terminated, any value ---- */

struct slice {
    const char *data;
    size_t len;
};

#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

struct slice slice_from_string(const char *text);
bool slice_equal(struct slice a, struct slice b);
/* ASCII case only, in every locale: POP3 keywords are case-insensitive (RFC 1939, 3). */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_has_prefix_nocase(struct slice text, struct slice prefix);
/* The bytes after the first `count`; empty if there are fewer. */
struct slice slice_skip(struct slice text, size_t count);
/* Without spaces and tabs at either end. */
struct slice slice_trim(struct slice text);
/* Takes the next word (no space, no tab) off the front of *text; empty at the end. */
struct slice slice_take_word(struct slice *text);
/* All of text must be decimal digits and the value at most `max`; else false, *ret untouched. */
bool slice_to_number(struct slice text, uint64_t max, uint64_t *ret);

/* ---- buffers: bytes that grow; a zeroed one is empty and valid ---- */

struct buffer {
    char *data;
    size_t len;
    size_t capacity;
};

void buffer_done(struct buffer *buffer);
/* For secrets: overwrites the whole capacity before it is freed. */
void buffer_done_wiping(struct buffer *buffer);
/* These return false for want of memory, with the buffer as it was. */
bool buffer_append(struct buffer *buffer, struct slice bytes);
bool buffer_append_string(struct buffer *buffer, const char *text);
bool buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Drops `count` octets, at most all, from the front. */
void buffer_consume(struct buffer *buffer, size_t count);
struct slice buffer_slice(const struct buffer *buffer);

/* ---- what a mount and popfsctl agree on ---- */

/* A command for .popfs/control by ioctl(2), where nothing can be opened for writing: a line as it
 * would be written there, behind it NULs. */
enum { CONTROL_LINE_OCTETS = 512 };

struct control_line {
    char text[CONTROL_LINE_OCTETS];
};

#define CONTROL_COMMAND _IOW('p', 0xb0, struct control_line)

/* ---- the heap ---- */

/* Once, first of all, in a program that lives long. */
void heap_begin(void);
/* For whoever waits anyway: takes memory from the system for what will be allocated soon, at most
 * 4 MiB. May do nothing. */
void heap_prepare(size_t octets);

/* ---- extents: bytes in a file that is open ---- */

struct extent {
    int descriptor; /* -1: none */
    uint64_t offset, octets;
    uint64_t sum; /* equal for equal bytes, as good as never for others; 0: not known */
};

#define EXTENT_NONE ((struct extent){.descriptor = -1})

/* ---- faults: what the caller does next, in the order of how much is lost ---- */

enum fault {
    FAULT_NONE,
    /* this message */
    FAULT_GONE,     /* the message is no longer in the maildrop */
    FAULT_REFUSED,  /* the server said -ERR to this command, or popfs will not do it */
    FAULT_CANCELED, /* whoever asked does not want it any more */
    /* this session: drop it, log in again later */
    FAULT_BUSY,    /* [IN-USE], [LOGIN-DELAY], [SYS/TEMP]: the same again later may work */
    FAULT_GARBLED, /* not POP3, or beyond a bound: nothing more from this session is believed */
    FAULT_TIMEOUT, /* silence for longer than allowed */
    FAULT_OFFLINE, /* no connection, or it was lost */
    /* the account: no sense in trying again unchanged */
    FAULT_LOGIN,     /* user, password or mechanism refused; [AUTH], [SYS/PERM] */
    FAULT_UNTRUSTED, /* certificate, name, pin, or TLS stripped: no secret was sent */
    /* the machine */
    FAULT_DISK,
    FAULT_FULL, /* no room for what is to be read */
    FAULT_MEMORY,
};

/* The enumerator's word in lower case, for logs and status: "gone", "timeout", … */
const char *fault_name(enum fault fault);

enum { FAILURE_TEXT_OCTETS = 400 };

/* A fault and one line for a person, already escaped; cut at the end if it is too long. */
struct failure {
    enum fault fault;
    char text[FAILURE_TEXT_OCTETS];
};

/* Fills *ret, which may be NULL, and returns `fault`, so that `return failure_set(…)` reads well.
 */
enum fault failure_set(struct failure *ret, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Once, first of all: lets the stacks of the program be as large as usual, whatever the soft limit
 * was. FAULT_MEMORY if the hard limit leaves too little.
 */
enum fault stack_begin(struct failure *ret_failure);

/* ---- text that somebody else wrote ---- */

/*
 * Copies `text` into out[capacity] with control and 8-bit bytes and backslashes as \xNN, so that it
 * is harmless on a terminal; cut at the end if it is too long. Always terminated. Returns `out`.
 */
const char *text_escape(struct slice text, char *out, size_t capacity);
/* The same for what the user or root wrote, such as a path: UTF-8 stays as it is, but for what
 * text_is_harmless() refuses. */
const char *text_show(struct slice text, char *out, size_t capacity);

/* Octets of the character at the front; 0 if it is not UTF-8 (RFC 3629, 4). */
size_t text_character(struct slice text, uint32_t *ret_code);
/* How many letters must be changed, added, left out or swapped with their neighbour to make `b` of
 * `a`; a large number for words beyond 32 octets. */
size_t text_distance(struct slice a, struct slice b);
/* No control character (C0 or C1), and none that is not seen or turns the direction of text. */
bool text_is_harmless(uint32_t code);

/* ---- secrets, digests, hashes ---- */

/* Overwrites memory in a way that the compiler may not drop. */
void secret_wipe(void *memory, size_t octets);

enum { DIGEST_MD5_HEX_OCTETS = 33, DIGEST_SHA256_OCTETS = 32 };

/* MD5 of a then b in lower-case hex, for APOP alone (RFC 1939, 7). False: no memory or no MD5. */
bool digest_md5_hex(struct slice a, struct slice b, char ret_hex[DIGEST_MD5_HEX_OCTETS]);
bool digest_sha256(struct slice bytes, unsigned char ret_digest[DIGEST_SHA256_OCTETS]);

/*
 * Keyed hash for tables in memory (SipHash-2-4, key drawn once in this process): a server that
 * chooses the UIDLs cannot make them collide. Never stored, never sent. Any thread.
 */
uint64_t hash_bytes(struct slice bytes);

/*
 * Evidence of a message: proves that a UIDL still names the message that it named before. It is a
 * SHA-256 of what the header says. Octets that are all 0 mean that there is no evidence. The last
 * octet tells where it is from, and is not compared.
 */
enum {
    EVIDENCE_OCTETS_COMPARED = DIGEST_SHA256_OCTETS - 1,
    EVIDENCE_BY_RETR = 1, /* in the last octet: RETR gave it, and not TOP */
};

struct evidence {
    unsigned char octets[DIGEST_SHA256_OCTETS];
};

bool evidence_is_known(const struct evidence *evidence);
/* False unless both are known. */
bool evidence_is_equal(const struct evidence *a, const struct evidence *b);
bool evidence_is_by_retr(const struct evidence *evidence);
/* It is of two messages. A server may give other headers by TOP than by RETR, so evidence from
 * both, unless it is equal, tells nothing; nor does evidence that is not known. */
bool evidence_is_of_two(const struct evidence *a, const struct evidence *b);

/* ---- mounts: the rows of /proc/self/mountinfo, see proc(5) ---- */

enum { MOUNT_DEVICE_OCTETS = 24 };

/* Tells one mount from all others as long as its file system lives. The kernel gives both numbers
 * away again after that, so the source has to be the same, too. */
struct mount_identity {
    uint64_t id;                      /* of the mount; it moves with the mount */
    char device[MOUNT_DEVICE_OCTETS]; /* of the file system, which may have several: "0:38" */
    uint64_t source_hash;             /* of the text in the row */
};

/* The slices lie in the table. */
struct mount_row {
    uint64_t id, parent_id; /* the parent is the mount that this one is mounted on, or in */
    struct slice device, root;
    struct slice mountpoint, source; /* escaped: mounts_text_is(), mounts_text_append() */
    struct slice type;
    struct slice flags;   /* of the mount: "rw,nosuid" */
    struct slice options; /* of the file system: "rw,allow_other" */
};

/* The whole table, appended, from a descriptor of it, whatever was read from that before. False: it
 * cannot be read. */
bool mounts_read(int descriptor, struct buffer *table);
/* The same of the calling process. Returns 0 or an errno. */
int mounts_load(struct buffer *table);

/* Takes the next row off the front; a line that is no row is left out. False at the end. */
bool mounts_take_row(struct slice *table, struct mount_row *ret_row);
/* Finds the mount of a popfs that has this identity. */
bool mounts_find_row(struct slice table, const struct mount_identity *identity,
                     struct mount_row *ret_row);
/* Whether a popfs is mounted there. */
bool mounts_have_popfs(struct slice table, const char *mountpoint);
/* Of type "fuse.popfs". */
bool mounts_row_is_popfs(const struct mount_row *row);
/* The file system of this popfs, in this mount or in another. */
bool mounts_row_is_same_popfs(const struct mount_row *row, const struct mount_identity *identity);
struct mount_identity mounts_row_identity(const struct mount_row *row);
/* A word of a list with commas. */
bool mounts_options_have(struct slice options, const char *word);
/* A blank, a tab, a line end, a backslash in a text is \ and three octal digits. */
bool mounts_text_is(struct slice text, const char *plain);
/* Appends it as it was, terminated. False for want of memory. */
bool mounts_text_append(struct slice text, struct buffer *plain);

/* The mount that an open file is in. Asks the kernel alone, and not the file system. Returns 0 or
 * an errno. */
int mounts_id_of(int descriptor, uint64_t *ret_id);
/* A number of that mount that the kernel gives to no other until it is started anew. ENOSYS before
 * Linux 6.8. */
int mounts_unique_id_of(int descriptor, uint64_t *ret_id);
/*
 * Finds the row of the mount on top at `path`, in a table that is loaded for it. *ret_unique_id
 * (may be NULL) is the number of mounts_unique_id_of(), or 0 before Linux 6.8. Keeps the mount busy
 * at no time. Returns 0 or an errno; EAGAIN: another mount came to be on top meanwhile.
 */
int mounts_find(const char *path, struct buffer *table, struct mount_row *ret_row,
                uint64_t *ret_unique_id);

/* ---- the clock and chance: the one place in which each comes from the kernel. Any thread ---- */

/* Monotonic; for deadlines. */
int64_t clock_now_ns(void);
int64_t clock_now_ms(void);
/* Of the epoch; for first_seen and for people. */
int64_t clock_wall_ns(void);
/* How long the machine has been suspended since it was started. */
int64_t clock_slept_ms(void);

/* At most 256 octets that nobody can guess. False: the kernel gives none. */
bool chance_draw(void *memory, size_t octets);

/* ---- the log: sync, fs and cli write to it, lower folders return a failure instead ---- */

enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG };
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Before any thread starts. `ident` is borrowed for the life of the process. */
void log_start(enum log_sink sink, enum log_level most, const char *ident);
/* Each line names it from then on, such as "alice@host:995". Before any thread starts. */
void log_name(const char *what);
/* One line without a line end. Any thread. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_write_args(enum log_level level, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* ---- descriptors ---- */

/* Writes all of it, however often that takes. False with errno; some of it may have been written.
 */
bool descriptor_write(int descriptor, const void *bytes, size_t len);

/* ---- clean-up attributes, for memory and descriptors, never for locks ---- */

void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *descriptor);

#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))
#define CLEANUP_BUFFER __attribute__((cleanup(buffer_done)))

#endif
