/* SPDX-License-Identifier: MIT */
/*
 * sync: one account, kept up to date by one thread: the only place where clock, socket, protocol
 * and disk meet.
 *
 * Knows sessions, message numbers, back-off and what to ask for next. Refuses to know FUSE, file
 * names and errno.
 *
 * Facts go up as snapshots, extents and answers; wishes come down as requests. Unless a line
 * says otherwise, a function here may be called from any thread, takes a lock for a few
 * instructions, and waits for neither network nor transfers.
 */
#ifndef POPFS_SYNC_H
#define POPFS_SYNC_H

#include "popfs/base.h"
#include "popfs/maildrop.h"

enum sync_tls {
    SYNC_TLS_ON,       /* from the first byte */
    SYNC_TLS_STARTTLS, /* STLS before anything secret */
    SYNC_TLS_OFF,
};

enum sync_fetched {
    SYNC_FETCHED_NOTHING, /* it could not be had */
    SYNC_FETCHED_THE_SAME,
    SYNC_FETCHED_ANOTHER,
};

enum { SYNC_NAME_OCTETS = 256 };

/* Copied by sync_new(), but for the password. NULL where not given. */
struct sync_options {
    const char *host;
    uint16_t port;
    enum sync_tls tls;
    const char *cafile, *cert, *key, *pin;
    const char *auth; /* a word of the option auth=; NULL: auto */
    const char *user;
    const char *password_source; /* "passfile=/etc/p", for people; NULL: there is no password */
    const char *password; /* not copied: stays in the caller's locked memory until sync_free() */
    /*
     * Fetches the password anew into where `password` points, after it was refused or a token has
     * expired; NULL: it cannot be had again. May block for a minute: it is called on a thread of
     * its own, while there is no session.
     */
    enum sync_fetched (*fetch_password)(void *context, struct failure *ret_failure);
    /*
     * Reads the authorities of TLS anew, after a certificate was refused, by
     * sync_read_authorities(); NULL: they cannot be read a second time. Called as `fetch_password`
     * is.
     */
    enum fault (*fetch_authorities)(void *context, struct buffer *ret_pem,
                                    struct failure *ret_failure);
    void *fetch_context;      /* of both */
    const char *account;      /* "user@host:port": what cache and state go by, with tls */
    const char *mountpoint;   /* told to whoever mounts the account a second time */
    const char *cache_folder; /* holds the folders of all accounts */
    bool cache_off;           /* what is in the cache does not outlive the mount */
    const char *state_folder; /* the same for what must not be lost; NULL: removals are forgotten */
    uint64_t cache_octets_max; /* of bodies; 0: no limit */
    int64_t
        bin_s; /* a body that is in the cache when its message is deleted is kept so long; 0: no */
    /* Writes the name that a message with this UIDL is shown by, terminated; `copy` as
     * maildrop_message_copy(). False: it has none. NULL: what is deleted is not kept. */
    bool (*name_of)(struct slice uidl, uint32_t copy, char ret_name[SYNC_NAME_OCTETS]);
    int64_t timeout_s;
    int64_t keepalive_s;  /* 0: none */
    int64_t refresh_s;    /* look for new mail so often; 0: only when asked */
    int64_t idle_s;       /* end the session after so much idleness; 0: keep it */
    bool noquit;          /* end a session that has nothing to delete by closing it */
    bool strict;          /* no size that LIST said is believed */
    bool lf;              /* bodies have LF where the server sends CRLF */
    bool pipeline;        /* false: never, even if offered */
    bool top;             /* false: never, even if offered */
    uint64_t lazy_octets; /* larger messages are read while they arrive; 0: none is */
    bool prefetch;        /* fetch every body in the background */
    bool read_only;       /* no removal is accepted and no DELE can be sent */
    bool trace;           /* the dialogue goes to the log, secrets starred */
    /* The first thing that the thread does, before it hears anybody; what it says other than
     * FAULT_NONE is what sync_start() then says. NULL: nothing. */
    enum fault (*thread_begin)(const void *context, struct failure *ret_failure);
    const void *thread_context;
};

struct sync;

/*
 * Reads the file with the authorities of TLS as it is now: `cafile`, or with NULL that of the
 * system's store, which may be missing. Needs no struct sync, and may be called in another process.
 * FAULT_UNTRUSTED, FAULT_MEMORY.
 */
enum fault sync_read_authorities(const char *cafile, struct buffer *ret_pem,
                                 struct failure *ret_failure);

/* Checks the options (auth word, files of the trust) and opens the store. No thread, no network
 * yet. */
enum fault sync_new(const struct sync_options *options, struct sync **ret_sync,
                    struct failure *ret_failure);

/* The folder of the account where what must not be lost is; NULL with state=off. Borrowed. */
const char *sync_state_path(const struct sync *sync);

/* What is known of the process that has the account, when sync_new() says FAULT_BUSY. */
enum sync_hold {
    SYNC_HOLD_KEEPS,     /* it is mounted, or readers have files open since a lazy unmount */
    SYNC_HOLD_UNMOUNTED, /* it is not mounted any more, and may not know that yet */
    SYNC_HOLD_ENDS,      /* it ends its session */
};
enum sync_hold sync_hold(const struct sync_options *options);

/*
 * Starts the thread and blocks until the first listing is complete or cannot be had; bounded by the
 * time-outs. `stop_descriptor` (a signalfd, or -1) makes it give up with FAULT_CANCELED when it
 * becomes readable. The thread has every signal blocked. Call once, after any fork().
 */
enum fault sync_start(struct sync *sync, int stop_descriptor, struct failure *ret_failure);

/* ---- facts ---- */

/* A new reference to the newest listing; never NULL after sync_start(). */
struct maildrop_snapshot *sync_snapshot(struct sync *sync);

/*
 * Called on the sync thread, without a lock of the caller's, whenever a listing or a commit changed
 * the maildrop; sync_snapshot() gives the new state already. `changed` calls
 * maildrop_changes_take_effect() in the moment in which it makes the changes its own. Set it before
 * requests are submitted; NULL takes it away, and when that returns no call is running any more.
 */
struct sync_listener {
    void (*changed)(void *context, const struct maildrop_changes *changes);
    /* A body came whole, and its size is not the one that LIST said. Before anybody who waits for
     * the body is answered. */
    void (*resized)(void *context, struct maildrop_message *message);
    void *context;
};
void sync_set_listener(struct sync *sync, const struct sync_listener *listener);

/* Where a body is that is whole on the local disk, the descriptor the caller's to close; FAULT_GONE
 * if it is not there, FAULT_DISK if it cannot be opened: SYNC_WANT_BODY fetches it in either case.
 */
enum fault sync_body_open(struct sync *sync, struct maildrop_message *message,
                          struct extent *ret_extent);

/*
 * False: the only size known of the message is LIST's, and that must not be shown as its size: ask
 * for SYNC_WANT_BODY. (size=strict, eol=lf, or a server whose LIST has been wrong.)
 */
bool sync_size_is_believed(const struct sync *sync, const struct maildrop_message *message);

enum sync_link {
    SYNC_LINK_OFFLINE,
    SYNC_LINK_CONNECTING,
    SYNC_LINK_ONLINE,
    SYNC_LINK_IDLE, /* no session, because none is wanted: the next wish makes one */
};

/* Whether LIST's sizes can be believed. */
enum sync_sizes { SYNC_SIZES_UNPROVEN, SYNC_SIZES_TRUSTED, SYNC_SIZES_WRONG };

enum sync_work {
    SYNC_WORK_NONE,
    SYNC_WORK_REFRESH,
    SYNC_WORK_COMMIT,
    SYNC_WORK_PREFETCH,
    SYNC_WORK_VERIFY,
};

struct sync_status {
    enum sync_link link;
    char account[200];        /* "alice@host:995", harmless on a terminal */
    char server[300];         /* "host port 995" */
    char transport[160];      /* address, TLS version and cipher; "" when offline */
    char mechanism[32];       /* how the session logged in */
    char implementation[128]; /* what CAPA said, escaped */
    bool pipelining, top, uidl, utf8;
    int64_t session_age_s; /* 0 when offline */
    int64_t session_count; /* logins of this mount */
    size_t message_count;
    uint64_t message_octets;
    size_t going_count;   /* pending removals */
    size_t held_count;    /* of these, which only a commit that confirms them carries out */
    size_t unshown_count; /* messages that the server counts or lists, but not so that they can be
                             shown */
    size_t skipped_row_count; /* rows of the last listing that are about no message */
    bool listing_is_doubted; /* the last one is not believed before another session says the same */
    size_t waiting_count;    /* requests not answered yet */
    uint64_t received_octets;
    int64_t failed_at_s; /* epoch seconds of `failure`; 0: none so far */
    struct failure failure;
    int64_t offline_since_s; /* epoch seconds; 0: not offline */
    int64_t next_attempt_s;  /* OFFLINE: seconds until the next attempt, if somebody wants one */
    int64_t listed_at_s;     /* epoch seconds of the last complete listing */
    enum sync_sizes sizes;
    char cache_folder[300]; /* escaped; "" with cache_off */
    char state_folder[300]; /* escaped; "" with state=off */
    uint64_t cache_octets, cache_octets_max;
    size_t cache_body_count;
    char cache_failure[FAILURE_TEXT_OCTETS]; /* why the last body could not be kept; "": it was */
    size_t verified_count;  /* bodies that SYNC_WANT_VERIFY has looked at in this mount */
    size_t damaged_count;   /* bodies that an open or a verify has found damaged in this mount */
    const char *bin_folder; /* NULL: there is none. Borrowed until sync_free() */
    uint64_t bin_octets, bin_octets_max;
    size_t bin_count; /* of deleted messages that are kept */
    int64_t bin_s;
    enum sync_work work; /* the longest of what goes on; `done` of `total` */
    uint64_t work_done, work_total;
    size_t
        commit_number; /* of the last commit that had something to delete; 0: none in this mount */
    int64_t committed_at_s; /* epoch seconds of its end */
    size_t commit_removed_count;
    size_t commit_failed_count;
};
void sync_status(struct sync *sync, struct sync_status *ret_status);

enum { SYNC_FAILURES_MAX = 100, SYNC_REASON_OCTETS = 200 };

/* A removal that the last commit could not carry out. All texts are harmless on a terminal; `from`
 * and `subject` are UTF-8 and may be empty. */
struct sync_removal_failure {
    struct maildrop_message *message; /* one reference, the caller's */
    char reason[SYNC_REASON_OCTETS];
    char from[204];
    char subject[204];
};
/* The first `room` of them; returns how many were written. At most SYNC_FAILURES_MAX are kept. */
size_t sync_commit_failures(struct sync *sync, struct sync_removal_failure *ret_failures,
                            size_t room);

enum { SYNC_DAMAGES_MAX = 1000 };

/* Messages whose kept bodies were damaged, the last one last: the last `room` of those that are
 * counted. Returns how many were written; the references are the caller's. At most SYNC_DAMAGES_MAX
 * are kept. */
size_t sync_damages(struct sync *sync, struct maildrop_message **ret_messages, size_t room);

/* ---- wishes ---- */

/*
 * A large message that is read while it arrives. Its size is what maildrop_message_octets() said
 * when it was opened; the last octet becomes available only when all have come and were as many as
 * that, so that nobody takes a part for the whole.
 */
struct sync_stream;

/* Octets from the start that a pread() of the descriptor gives now. Wait for more with
 * SYNC_WANT_OCTETS. */
uint64_t sync_stream_available(const struct sync_stream *stream);
int sync_stream_descriptor(const struct sync_stream *stream);
/* Somebody has read from it: from then on the page cache holds none but its bytes. */
void sync_stream_note_read(struct sync_stream *stream);
bool sync_stream_was_read(const struct sync_stream *stream);
/* The promised size. */
uint64_t sync_stream_octets(const struct sync_stream *stream);
/* Borrowed until the stream is closed. */
struct maildrop_message *sync_stream_message(const struct sync_stream *stream);
/* Gives the stream back. */
void sync_stream_close(struct sync *sync, struct sync_stream *stream);

enum sync_want {
    SYNC_WANT_BODY,   /* the whole body on the local disk; the answer says where */
    SYNC_WANT_OPEN,   /* like BODY, but a large message may be answered early with a `stream` */
    SYNC_WANT_OCTETS, /* `upto` octets of `stream` available */
    SYNC_WANT_TIME,   /* maildrop_message_time() known */
    /* Without a message: */
    SYNC_WANT_COMMIT,   /* DELE for what is going and not held, QUIT, and a new listing that proves
                           it;   FAULT_REFUSED if any failed (sync_commit_failures()), or why no
                           session   could be had */
    SYNC_WANT_REFRESH,  /* a listing that was begun after the request */
    SYNC_WANT_PREFETCH, /* every body on the local disk; FAULT_REFUSED if some cannot be had */
    SYNC_WANT_VERIFY,   /* the kept body of `message`, or every one if NULL, compared with its
                           checksum: what is damaged is dropped and counted (sync_damages()) */
    SYNC_WANT_RESTORE,  /* like sync_restore(), for `message` or, if NULL, for all that are going;
                           answered when it will outlive a power cut (FAULT_DISK: it may not), and
                           the listener has been told of them as appeared */
};

/*
 * A request belongs to the caller until it is submitted, to sync until `answer` is called, once, on
 * the sync thread and without a lock; from then on to the caller again, who may free it there.
 * FAULT_NONE: the wish is fulfilled, and the descriptor of `body` is the callee's to close (-1
 * unless BODY, or OPEN without a stream). Otherwise it is -1. Every request is answered: by
 * `timeout` of silence at the latest, a commit after three attempts, each of which may be silent so
 * long, and `timeout` of a maildrop in use before each; to prove it, as many again, or `timeout` of
 * a maildrop in use or of LOGIN-DELAY before each of two listings, or a minute for a password that
 * is refused all at once.
 */
struct sync_request {
    enum sync_want want;
    struct maildrop_message *message; /* borrowed until the answer; NULL where none is meant */
    struct sync_stream
        *stream;   /* OCTETS: of what. OPEN: in the answer, the caller's to close, or NULL */
    uint64_t upto; /* OCTETS */
    bool confirms; /* COMMIT: the user means all that is going, also what is held since the journal
                      of removals has lost lines */
    void (*answer)(struct sync_request *request, enum fault fault, struct extent body);
    /* sync's own */
    struct sync_request *next;
    bool probed;
    _Atomic bool canceled;
    int64_t submitted_ms;
};

void sync_submit(struct sync *sync, struct sync_request *request);
/* Asks for an early answer, FAULT_CANCELED unless another comes first. Only between submission and
 * answer. */
void sync_cancel(struct sync *sync, struct sync_request *request);

/*
 * Marks the message as going (removed at the commit); FAULT_GONE if it has gone or is going
 * already, FAULT_REFUSED when read_only, FAULT_DISK when the wish could not be written down. No
 * network. From then on it is in the journal and outlives the process.
 */
enum fault sync_remove(struct sync *sync, struct maildrop_message *message);
/*
 * Takes that back, in the journal at once and on the disk a second later. FAULT_GONE if it is not
 * going, or has gone; FAULT_REFUSED when read_only; FAULT_BUSY from a commit's QUIT that is about
 * it until a listing tells what became of that. If its DELE has been sent in a commit that is under
 * way, that session is reset. The listener is not told.
 */
enum fault sync_restore(struct sync *sync, struct maildrop_message *message);

/* ---- the end ---- */

/*
 * The file system has been unmounted lazily: only those who have a file open can read. Ends the
 * session when nobody has waited for two seconds, and makes another only for somebody who does;
 * looks for no new mail and reads nothing ahead. Any thread.
 */
void sync_retire(struct sync *sync);

struct sync_report {
    size_t removed_count;
    size_t failed_count; /* still on the server as far as is known; each has been logged by UIDL */
    size_t forgotten_count; /* of these: no other mount could tell which they are */
};

/*
 * Answers every waiting request (FAULT_CANCELED), ends the session and joins the thread. `commit`:
 * first deletes on the server what is going, and says QUIT; otherwise nothing is deleted. Blocks
 * for 80 seconds of a commit at most, and for the silence that a last QUIT may meet. Call once
 * after a successful sync_start(), not from the sync thread.
 */
void sync_stop(struct sync *sync, bool commit, struct sync_report *ret_report);
/* After sync_stop(), or if sync_start() failed. NULL is fine. */
void sync_free(struct sync *sync);

#endif
