/* SPDX-License-Identifier: MIT */
/*
 * What the sync thread works on. sync.c holds the door (any thread); all else in this folder runs
 * on the sync thread.
 *
 *     job.c      what is to be asked, and who waits for it
 *     issue.c    asks: schedule → command
 *     answer.c   what comes back: which answer it is, and listings
 *     mark.c     markers, and what they prove of the answers before them
 *     receive.c  bodies and headers as they arrive
 *     session.c  logging in, losing the link, back-off
 *     listed.c   asking for the listing, and taking it in
 *     doubt.c    whether a listing is believed
 *     upkeep.c   ending a session: new mail, idleness, the end
 *     commit.c   DELE and QUIT
 *     proof.c    whether the server did what it said then
 *     identity.c whether a UIDL still names the same message
 *     removals.c what a commit is about, and what becomes of each
 *     stream.c   large messages that are read while they arrive
 *     check.c    kept bodies, compared with their checksums
 *     index.c    what is remembered between mounts
 *     password.c fetched anew after a refusal
 *     thread.c   threads, the one wait of the loop, and who ends it
 *     publish.c  what others see of it
 *     engine.c   the loop
 */
#ifndef SYNC_ENGINE_H
#define SYNC_ENGINE_H

#include "agenda.h"
#include "backoff.h"
#include "belief.h"
#include "crawl.h"
#include "eol.h"
#include "evidence.h"
#include "header.h"
#include "isolate.h"
#include "job.h"
#include "link.h"
#include "listing.h"
#include "marker.h"
#include "outage.h"
#include "pace.h"
#include "popfs/store.h"
#include "popfs/sync.h"
#include "recent.h"
#include "schedule.h"
#include "thread.h"
#include "waiters.h"
#include "window.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SYNC_NOTES_MAX = 256,
    BELIEVED_MAX = 16,
    COMMIT_ATTEMPTS_MAX = 3,
    COMMIT_RETRY_MS = 1000,
    COMMIT_MS = 80000,     /* systemd kills a unit after 90 s; what is left stays pending */
    ITEM_ATTEMPTS_MAX = 3, /* links that may break under one message (POP3.md 17) */
    OUTAGES_BORNE = 2,     /* by one message, before it is not asked for but by a reader */
    PROOF_BY_TOP = 1,      /* the first of PROOFS_MAX attempts to prove a removal in a session */
    PROOFS_MAX = 2,
    MARK_ANSWER_OCTETS = 40,
};

/* Which part of the listing is to be asked for next. */
enum listing_step { LISTING_UIDL, LISTING_LIST, LISTING_ASKED };

/* Where the one session stands. */
enum session_phase {
    SESSION_NONE,
    SESSION_LOGIN,   /* connecting, TLS, login */
    SESSION_LISTING, /* STAT, UIDL, LIST */
    SESSION_ONLINE,
    SESSION_QUITTING,
};

/* What the thread is there for. */
enum engine_phase {
    ENGINE_SERVE,
    ENGINE_STOPPING, /* sync_stop(): nothing is served any more */
    ENGINE_OVER,
};

/* See commit.c. */
enum commit_phase {
    COMMIT_NONE,
    COMMIT_DELETING,
    COMMIT_RESETTING,
    COMMIT_QUITTING,
    COMMIT_PROVING,
};

struct removal {
    struct maildrop_message *message; /* one reference */
    bool made_up;                     /* its UIDL was, for the session that listed it */
    bool asked;                       /* DELE was sent in a session that has not failed */
    bool removed;                     /* has gone from the server */
    unsigned proofs_asked;            /* in this session */
    bool given_away;                  /* QUIT was about it, and another message has its UIDL now */
    bool failed;                      /* refused or given up, and said so */
    bool put_off;        /* refused in this session, which had taken others: asked in another one */
    bool broke_early;    /* a pipelined session broke under it before a second answer */
    unsigned suspicions; /* sessions of this mount that broke under it */
};

struct commit_outcome {
    size_t number; /* of the commits that had something to delete; 0: there was none */
    int64_t at_s;
    size_t removed_count, failed_count;
    struct sync_removal_failure failures[SYNC_FAILURES_MAX];
    size_t kept_count;
};

struct commit {
    enum commit_phase phase;
    struct removal *removals;
    size_t removals_count;
    size_t dele_next; /* the first removal whose DELE was not sent in this session */
    struct isolate isolate;
    size_t asked_count;      /* DELEs of this session */
    size_t answered_count;   /* of these, answered */
    size_t taken_count;      /* of these, answered +OK */
    int64_t asked_from_ms;   /* when the first DELE of this session was sent */
    int64_t ask_until_ms;    /* when QUIT has to follow */
    size_t removed_count;    /* as far as the last listing told */
    size_t put_off_first;    /* the first of the last ones in a row that were put off; SIZE_MAX */
    bool suspects_are_asked; /* in this session: one of them alone */
    bool broke;              /* the session, under a DELE or QUIT */
    struct failure last;     /* what the last one was refused with, or broke the session with */
    /* Which message each is has been asked for up to here in this pass, of which some were asked;
     * and the last pass is over. */
    size_t prove_next;
    bool proofs_asked, is_proven;
    bool asks_listed;  /* what is listed again, or newly, is being asked which message it is */
    bool asks_new;     /* what is gone may be there under a new UIDL: new headers are compared */
    uint64_t known_id; /* what has a greater id is newer than the commit */
    unsigned attempts;
    int64_t prove_again_ms; /* when to look again whether the server did as it said; 0: not yet */
    int64_t busy_until_ms;  /* no longer is waited for a maildrop in use */
    int64_t deadline_ms;
    struct commit_outcome outcome;
};

/* What the server's refusals of the login have come to (POP3.md rules 22 and 35). */
enum refusal {
    REFUSED_NOT,
    REFUSED_ONCE,       /* tried once more: at once with another password, else after a while */
    REFUSED_UNLESS_NEW, /* for good, unless the password that is being fetched is another one */
    REFUSED_FOR_GOOD,   /* until the user asks for a session */
};

/* What the next login does with SCRAM-SHA-256-PLUS, under auto, where it can do without. */
enum binding_use {
    BINDING_TRIED,
    BINDING_SPARED, /* in the next session alone: the link was lost while it was asked for */
    BINDING_SPARED_IN_MOUNT,
    BINDING_REFUSED, /* by the server, as the index knows */
};

/* Whether the authorities of TLS in memory can be other ones than those on the disk. */
enum trust_age {
    TRUST_FRESH,   /* no session has been made since they were read */
    TRUST_OLD,     /* they may have been replaced since */
    TRUST_REFUSED, /* they refused a certificate, and are read anew before the next attempt */
};

/* What engine_password_news() has to tell. */
enum password_news {
    PASSWORD_AS_BEFORE,   /* nothing has been fetched since */
    PASSWORD_COMING,      /* it is being fetched: nobody may log in */
    PASSWORD_NOT_ANOTHER, /* what was fetched is what there was, or nothing could be fetched */
    PASSWORD_ANOTHER,
};

/* A kept body that is being compared with its checksum; message NULL: none is. */
struct check {
    struct store_check *reading;
    struct maildrop_message *message; /* one reference */
};

/* Kept bodies of this mount that were damaged; one reference each, the last one before `count`. */
struct damages {
    size_t count;
    struct maildrop_message *last[SYNC_DAMAGES_MAX];
};

/* A body was opened. */
struct note {
    uint64_t id;
    uint64_t sum; /* as store_body_open() said */
};

/* The copies of what the options pointed to. */
struct account {
    char *host, *user;
    char *shown;           /* "alice@host:995" */
    char *password_source; /* for people; NULL: there is no password */
    const char *password;  /* the caller's, in memory that is not swapped */
    uint16_t port;
    enum sync_tls tls;
    enum pop3_auth auth;
    struct net_trust *trust;
    int64_t timeout_ms, keepalive_ms;
    enum sync_fetched (*fetch_password)(void *context, struct failure *ret_failure);
    enum fault (*fetch_authorities)(void *context, struct buffer *ret_pem,
                                    struct failure *ret_failure);
    void *fetch_context;
    bool is_token; /* the password is one that expires */
    bool pipeline, top, read_only, trace, prefetch, noquit, strict, lf, cache_off;
    uint64_t lazy_octets;
    int64_t bin_s;
    bool (*name_of)(struct slice uidl, uint32_t copy, char ret_name[SYNC_NAME_OCTETS]);
    enum fault (*thread_begin)(const void *context, struct failure *ret_failure);
    const void *thread_context;
};

/* What is put into the bin before a QUIT about it has been answered. */
struct bin_ahead {
    bool is_on;
    size_t next;       /* of the removals of the commit */
    struct buffer ids; /* of those that have been; rising */
};

struct sync {
    struct account account;
    struct store *store;

    /* ---- shared, under `lock`, which is never held over I/O, a call out or a loop over messages
     * ---- */
    pthread_mutex_t lock;
    struct sync_request *submitted, **submitted_end;
    struct maildrop_snapshot *snapshot;
    struct note notes[SYNC_NOTES_MAX]; /* too many at once are forgotten */
    size_t notes_count;
    uint64_t notes_octets;
    bool canceled; /* some request was */
    bool streams_closed;
    struct commit_outcome outcome; /* of the last commit */
    struct damages damages;        /* changed by the sync thread alone */
    bool stop, stop_commit;
    bool retire;
    bool fetch_done; /* said by fetch_thread, as its last word */
    enum sync_fetched fetched;
    struct failure fetch_failure;
    struct buffer fetched_pem; /* the thread's until fetch_done */
    struct sync_status status; /* what the thread last published */
    bool started;              /* the first listing is there, or `start_failure` says why not */
    struct failure start_failure;

    /* ---- shared, each a fact of its own ---- */
    atomic_size_t going_count;     /* pending removals; changed under `lock` */
    _Atomic size_t held_count;     /* of these */
    atomic_bool made_up;           /* this session's UIDLs are */
    atomic_bool list_is_doubted;   /* list_is_wrong, below */
    atomic_bool uidl_is_reused;    /* the server has been caught at it */
    atomic_bool journal_has_grown; /* since the last flush */

    /* Held, before `lock`, from a change of what is going until that is in the journal: who has had
     * it knows that the two agree. */
    pthread_mutex_t wish_lock;

    /* held while the listener is called, and for nothing else */
    pthread_mutex_t listener_lock;
    struct sync_listener listener;

    struct door door;
    struct thread thread, fetch_thread;

    /* ---- the sync thread's own ---- */
    enum engine_phase phase;
    int64_t turn_wall_ns; /* of the epoch, when this turn of the loop began */
    struct maildrop *maildrop;
    struct maildrop_snapshot *listed; /* of this session, with the numbers beside it */
    uint32_t *msgnums;                /* [position in listed] */
    struct link *link;
    enum session_phase session_phase;
    int64_t session_started_ms;
    int64_t login_took_ms; /* the last one, with its listing */
    int64_t session_count;
    struct backoff backoff;
    int64_t retry_ms; /* no new attempt before */
    int64_t heard_ms; /* when octets came last in a session that was online; 0: never */
    int64_t start_ms;
    int64_t expire_ms; /* when to look next for requests that waited too long */
    bool status_is_stale;
    struct failure last_failure;  /* of the link */
    struct failure shown_failure; /* the same, or of a message: for the status */
    int64_t shown_failure_wall_s;
    int64_t offline_since_s; /* wall; 0: not */
    bool login_failed;       /* the last attempt; a session that was lost is another matter */
    enum refusal refused;
    bool fetching;            /* there is a fetch_thread */
    bool fetches_authorities; /* the thread does, and not the password */
    enum trust_age trust_age;
    bool wants_listing; /* a session is wanted for the sake of its listing */
    struct agenda agenda;
    int64_t listed_wall_s;
    int64_t slept_ms;     /* as clock_slept_ms() said last */
    size_t careful_count; /* answers to take one at a time, after a link broke with several owed */
    struct marker marker;
    bool is_in_step;          /* a marker of this session has been answered well */
    bool is_out_of_step;      /* a marker has failed, and the link is about to be dropped for it */
    unsigned pipeline_losses; /* links in a row that broke with several owed, and few answered */
    size_t pipelined_count;   /* answers of this session that came while another was owed */
    bool last_was_pipelined;  /* the last command was issued while another was owed */
    bool pipeline_off;        /* for the rest of the mount */
    bool pipelining_known;    /* the last session's CAPA had all that a listing in one go needs */
    enum pop3_auth login_known; /* that the next session may expect; AUTO: it waits for CAPA */
    size_t login_losses;        /* logins in a row that failed when begun together with CAPA */
    enum binding_use binding_use;
    bool binding_was_lost; /* a link, while -PLUS was asked for; since then none was bound */

    struct jobs jobs;
    struct waiters refresh_waiters; /* for a listing that has not begun */
    struct waiters refresh_served;  /* for the one that is under way */
    struct waiters commit_waiters, commit_served;
    struct waiters prefetch_waiters;
    struct waiters check_waiters;  /* opens of large bodies */
    struct waiters verify_waiters; /* for one message each */
    struct waiters verify_all_waiters;
    struct check open_check, verify_check;
    struct maildrop_snapshot *verify_all; /* NULL: nobody wants all to be verified */
    size_t verify_next;                   /* positions of it below this have been looked at */
    size_t verified_count;                /* bodies in this mount, for whoever asked */
    struct window window;
    struct pace pace;
    struct crawl crawl;
    size_t sweep_left;        /* positions below this have not been swept */
    size_t sweep_forward;     /* positions from here on are swept first */
    size_t prefetch_next;     /* positions below this have been fetched or are going to be */
    bool prefetch_wanted;     /* the option, or a request that is waiting */
    bool prefetch_is_full;    /* the cache cannot hold more */
    unsigned prefetch_losses; /* links that broke under it since it was asked for */
    bool looks_on;            /* there is more to do now, in a turn of its own */
    uint64_t header_octets;   /* of a header, on average */
    unsigned tops_refused;    /* in a row */
    bool top_useless;     /* refused so often that it is not asked for any more in this session */
    uint64_t top_suspect; /* the message whose TOP was owed when the link broke; 0: none */
    unsigned top_losses;  /* links in a row that broke under it */
    bool top_given_up;    /* for one message, and no header has come since */
    unsigned top_breaks;  /* links that broke after TOP had been refused, no header since */
    bool top_off;         /* for the rest of the mount */
    unsigned tops_out; /* sessions in a row that ended under TOP with [SYS/TEMP], no header since */
    bool top_rests;    /* because of them: not asked for until a session from `top_again_ms` on */
    int64_t top_again_ms;
    struct backoff top_backoff;
    struct outages top_outages;   /* since TOP was asked for again */
    struct outages retr_outages;  /* in this mount */
    struct outages dele_outages;  /* in this mount */
    struct outages retr_refusals; /* asked for again; since a body came that had been refused */
    size_t bodies_count;          /* that came in this session */
    bool body_waits;          /* a body that this session refused is asked for in the next one */
    int64_t sole_issued_ms;   /* when a command was issued with nothing else owed; -1: taken */
    uint64_t received_before; /* by earlier links */

    struct listing *listing; /* while SESSION_LISTING */
    enum listing_step listing_next;
    unsigned listing_answers_left;
    bool made_up_listing;
    uint64_t listing_total; /* rows to come, as STAT said */
    bool stat_known;        /* it has */
    bool list_refused;
    bool listing_alone;        /* one command at a time while listing */
    struct belief_doubt doubt; /* while it is held, all listings are asked so */
    unsigned doubtful_count;   /* sessions in a row whose listing was not believed */
    size_t unshown_count;      /* messages that the believed listing told of, and nobody is shown */
    size_t skipped_rows_count; /* of it */
    bool uidls_are_new;   /* it lacks most of what was known, so what it lacks is not deleted */
    bool some_went;       /* it lacks some of what nobody removed, or all that tells is to go */
    size_t unsure_count;  /* messages of it without a UIDL to be known by, but for new mail */
    bool unsure_more;     /* than in the one before */
    uint32_t guess_count; /* numbers whose header is asked for before the listing is complete */
    uint32_t guess_next;  /* of these, up to here have been */
    size_t bad_uidl_rows_count, bad_list_rows_count;
    size_t lies_count;       /* sizes of LIST that RETR did not bear out, be it by an octet */
    size_t truths_count;     /* those that it did */
    bool list_is_wrong;      /* two messages have told so */
    uint64_t accuser;        /* the first of them in this mount; 0: none */
    bool list_is_on_trial;   /* since that one no size has told whether LIST is right */
    struct store_body *body; /* what is arriving; a stream's if `stream` is not NULL */
    uint64_t arrived_octets; /* of it, in this answer, as they are kept */
    uint64_t raw_octets;     /* of this answer, as they were sent */
    bool begins_as_status;   /* it does: its own status may have been an unasked line */
    uint64_t lost_octets;    /* the same, when body_failure came */
    struct eol eol;
    bool body_not_kept_said; /* the disk is full, and that has been logged */
    char cache_failure[FAILURE_TEXT_OCTETS];
    struct outages told; /* messages that cannot be had, of which the log has told */
    struct sync_stream *streams;
    struct sync_stream *stream; /* that what is arriving belongs to */
    bool top_differs;           /* from RETR: it is not used for content any more */
    bool top_is_no_evidence;    /* the same of its headers: they prove nothing */
    size_t gather_next;         /* positions below this have been looked at for missing evidence */
    bool gathers;               /* in this pass some were asked, by TOP */
    bool gathers_by_body;       /* the second pass */
    struct header header;
    struct recent recent;
    struct failure body_failure; /* why the arriving body is no good; fault NONE if it is */

    struct commit commit;
    bool quit_is_unheard; /* a commit's QUIT has gone out, and no listing has come since */
    bool quit_is_doubted; /* the last listing that was to prove a QUIT had what it should delete */
    struct believed {
        struct maildrop_message *message; /* one reference */
        struct maildrop_message *suspect; /* one that has its UIDL now; NULL: none was listed yet */
    } believed[BELIEVED_MAX];             /* see proof.c */
    size_t believed_count;
    bool dele_sent;      /* in this session: it must not just be closed */
    bool dele_was_taken; /* in this session, if only before an RSET */
    bool deles_are_slow; /* a commit ended while some were owed: few at first, until the pace shows
                          */
    bool stop_commits, stop_committed;
    bool is_retired; /* see sync_retire() */
    struct sync_report report;
    size_t failed_for_good_count; /* removals, while stopping */

    bool index_is_failing;
    bool bin_is_failing, bin_has_failed; /* that has been said; and happened in this commit */
    struct bin_ahead bin_ahead;
    int64_t bin_at_ms;          /* when what was kept long enough is dropped */
    size_t index_changes_count; /* since the last flush */
    int64_t index_flush_ms;
};

/* ---- issue.c ---- */
/* Fills the pipe as far as the schedule says. */
enum fault engine_issue(struct sync *sync, int64_t now_ms, struct failure *ret_failure);
/* Asks for `job` now; it is in flight when this returns FAULT_NONE. */
enum fault engine_ask(struct sync *sync, struct job *job, int64_t now_ms);
/* What is owed was asked for in a pipeline, of which one answer may be left. */
bool engine_has_pipelined(const struct sync *sync);
/* 0 if the message is not in this session's listing. */
uint32_t engine_msgnum(const struct sync *sync, const struct maildrop_message *message);
bool engine_has_top(const struct sync *sync);
/* The body is there, unless the disk has lost it. */
bool engine_has_body_probably(const struct sync *sync, const struct maildrop_message *message);
/* The body is whole on the local disk. */
bool engine_has_body(const struct sync *sync, const struct maildrop_message *message);
/* Answers who waits for all bodies. */
void engine_prefetch_answer(struct sync *sync, enum fault fault);
/* The same, if they are here or cannot be; false otherwise. */
bool engine_prefetch_settle(struct sync *sync);
/* The job that fetches the body, new in this class if there is none yet; NULL for want of memory.
 */
struct job *engine_body_job(struct sync *sync, struct maildrop_message *message,
                            enum schedule_class class);

/* ---- check.c ---- */
/* Takes the request, which waits until the body, or every one, has been compared. */
void engine_verify(struct sync *sync, struct sync_request *request);
/* A kept body is not what it was: drops it, and says so. */
void engine_body_is_damaged(struct sync *sync, struct maildrop_message *message);
/* Reads some octets more; true if there are others to read in the next turn. */
bool engine_check(struct sync *sync);
void engine_check_answer_all(struct sync *sync, enum fault fault);
void engine_check_answer_canceled(struct sync *sync);
void engine_check_done(struct sync *sync);
/* The command is that of one message, and nothing may be asked together with it. */
bool engine_is_asked_alone(const struct sync *sync, const struct job *job);

/* ---- mark.c ---- */
/* `job` is about to be asked: the marker that what is in flight needs for it. */
enum fault engine_mark_before(struct sync *sync, const struct job *job, int64_t now_ms);
/* It has been: the marker that it needs. */
enum fault engine_mark_behind(struct sync *sync, const struct job *job, int64_t now_ms);
/* No other command of this turn follows: the marker of the last few headers, if it is due. */
enum fault engine_mark_rest(struct sync *sync, int64_t now_ms);
/* The answer to BODY, HEADER, GUESS or START has come whole, or `refusal` says why there is none.
 * It is taken once it is proven, or where it needs no proof. */
enum fault engine_mark_ended(struct sync *sync, struct job *job, const char *refusal,
                             int64_t now_ms);
/* The marker has been answered: takes all that it proves. FAULT_GARBLED. */
enum fault engine_mark_answered(struct sync *sync, struct job *mark, const struct pop3_event *event,
                                int64_t now_ms, struct failure *ret_failure);
/* The link broke; what it owes is in flight still. */
void engine_mark_lost(struct sync *sync, enum fault fault);

/* ---- guess.c ---- */
/* The listing will have so many rows. */
void engine_guess_begin(struct sync *sync, uint32_t count);
/* Asks for as many headers as the window has room for. */
enum fault engine_guess_continue(struct sync *sync, int64_t now_ms);
/* The listing is complete. */
enum fault engine_guess_bind(struct sync *sync);

/* ---- doubt.c ---- */
/* Whether the listing that has come counts; if so, *count rows of it do. If not, the session has
 * been ended, or must be. */
enum fault engine_believe(struct sync *sync, const struct maildrop_row *rows, size_t *count,
                          int64_t now_ms, bool *ret_believed, struct failure *ret_failure);
/* One command at a time is asked while listing. */
bool engine_lists_alone(const struct sync *sync);

/* ---- answer.c ---- */
enum fault engine_event(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                        struct failure *ret_failure);
/* Asks for what of the listing has not been asked for, as far as pipelining allows. */
enum fault engine_listing_continue(struct sync *sync, int64_t now_ms);
/* As engine_no_date(), and finishes the job. */
void engine_header_missing(struct sync *sync, struct job *job);
/* Forgets what was arriving. */
void engine_answer_abandon(struct sync *sync);

/* ---- receive.c ---- */
/* An answer to BODY, HEADER or START begins, goes on, is taken to its end, or is a refusal. */
void engine_receive_start(struct sync *sync, struct job *job);
enum fault engine_receive_data(struct sync *sync, struct job *job, struct slice bytes,
                               struct failure *ret_failure);
void engine_receive_end(struct sync *sync, struct job *job);
/* sync->body_failure says why what is arriving is no good; the answer is read to its end all the
 * same, and thrown away. FAULT_FULL: to where a new session costs less. */
void engine_show_failure(struct sync *sync, const struct failure *failure);
void engine_receive_failed(struct sync *sync);
/* The link broke while this answer was the next to come; may finish the job. */
void engine_receive_lost(struct sync *sync, struct job *job, enum fault fault, int64_t now_ms);
/* A session broke; TOP may have been what the server took amiss. */
void engine_receive_note_break(struct sync *sync);
/* The server says [SYS/TEMP] to TOP, for this message or for any: its date is not asked for, and
 * stays unknown, so that nobody keeps the one that stands in for it. */
bool engine_header_waits(const struct sync *sync, const struct maildrop_message *message);
/* A session begins: what engine_header_waits() said is over if it is time, or the user's wish. */
void engine_headers_again(struct sync *sync, bool user_asks, int64_t now_ms);
/* The time, sender and subject that sync->header says; false if they were known before. */
bool engine_learn_header(struct sync *sync, struct maildrop_message *message);
void engine_receive_refused(struct sync *sync, struct job *job, const char *why, int64_t now_ms);
/* Forgets what was arriving; a stream keeps what it has. */
void engine_receive_abandon(struct sync *sync);
/* Forgets what was learnt since the pipe was last empty, and the bodies that were kept: they are
 * asked for again. */
void engine_receive_forget_recent(struct sync *sync);

/* ---- identity.c ---- */
/* A body that is kept must not be shown before its message has been proven. Any thread. */
bool engine_must_prove(const struct sync *sync, const struct maildrop_message *message);
/* The job whose answer proves it, for whoever wants the body that is kept; NULL for want of
 * memory. */
struct job *engine_proof_job(struct sync *sync, struct maildrop_message *message);
/* Its header is worth asking for although its date is known. */
bool engine_wants_evidence(const struct sync *sync, const struct maildrop_message *message);
/* TOP was refused: those who wait for more than a date wait for RETR. */
void engine_prove_by_body(struct sync *sync, struct job *job);
/* The evidence of the header of the kept body, none if that has no header; false: there is no body,
 * or one that does not say. */
bool engine_kept_evidence(const struct sync *sync, const struct maildrop_message *message,
                          struct evidence *ret_evidence);
/* Has some of the kept bodies proven in the background. */
void engine_sample(struct sync *sync);
/* The answer to HEADER or BODY has ended: takes what its header proves, and says what to do. */
enum evidence_verdict engine_read_evidence(struct sync *sync, const struct job *job);
/* EVIDENCE_ASK_TOP: who waits for the body waits for TOP; finishes the job. */
void engine_ask_top(struct sync *sync, struct job *body);
/* EVIDENCE_IS_ANOTHER: sync->header is that of another message, which takes the place. */
enum fault engine_replace(struct sync *sync, struct maildrop_message *message, bool by_retr);
/* What a DELE for the message needs in this session. */
enum evidence_need engine_need_of(const struct maildrop_message *message);
/* Asks for what is to be proven before a DELE; *ret_done: no more can be done in this session. */
enum fault engine_prove_pending(struct sync *sync, int64_t now_ms, bool *ret_done);
/* The same for what a QUIT should have deleted, and is listed. */
enum fault engine_prove_asked(struct sync *sync, int64_t now_ms, bool *ret_done);
/* Another session, or another commit. */
void engine_prove_anew(struct commit *commit);
/* Before a session ends: fetches the evidence of what was removed in it, where it is missing. */
enum fault engine_gather_evidence(struct sync *sync, int64_t now_ms, bool *ret_done);
/* The same of what is newer than the commit. */
enum fault engine_gather_new(struct sync *sync, int64_t now_ms, bool *ret_done);
/* A message newer than the commit has the same header, or may have: there is no other evidence than
 * its size. */
bool engine_is_listed_anew(const struct sync *sync, const struct maildrop_message *message);

/* ---- stream.c ---- */
/* A small message, but not that one, whose RETR will show whether LIST can be believed; NULL. */
struct maildrop_message *engine_find_probe(const struct sync *sync,
                                           const struct maildrop_message *but);
/* True if the request was answered with a stream, or waits to see whether LIST can be believed. */
bool engine_stream_open(struct sync *sync, struct sync_request *request);
/* Asks for what the request waits for; answers it if that is not needed, or of no use. */
void engine_stream_want(struct sync *sync, struct sync_request *request, int64_t now_ms);
/* An answer to `job` begins: if the message has a stream, its bytes go there. True if it has. */
bool engine_stream_begin(struct sync *sync, const struct job *job);
/* Takes from the front of *bytes what the stream holds already; FAULT_GARBLED if it is not the
 * same. */
enum fault engine_stream_skip(struct sync *sync, struct slice *bytes);
/* And that is proven: the stream ends. */
void engine_stream_differs(struct sync *sync);
/* What is arriving can be of no other message: all that was asked before has been proven, and
 * nothing has been asked since. */
bool engine_stream_is_of_no_other(const struct sync *sync);
/* The stream that is arriving cannot go on; who waits for it is answered, and its body freed. */
void engine_stream_fail(struct sync *sync, enum fault fault);
/* The link broke too often under it. */
void engine_stream_give_up(struct sync *sync, const struct maildrop_message *message,
                           enum fault fault);
/* True if what has come, to its end, is shorter than what the stream holds. */
bool engine_stream_is_cut(struct sync *sync);
/* The start that TOP gave has come. */
void engine_stream_start_complete(struct sync *sync, struct job *job);
/* The server says [SYS/TEMP] to TOP: RETR from now on, in this mount. */
void engine_stream_start_out(struct sync *sync, struct job *job);
/* All has come, and the store has taken the body: was the size right? Answers who waits. */
void engine_stream_complete(struct sync *sync, uint64_t octets);
/*
 * Makes available what has arrived; if the disk does not take it, that fails. Unless `is_proven`,
 * only what can be of no other message: a marker has proven all that was asked before, and nothing
 * has been asked since.
 */
void engine_stream_publish(struct sync *sync, bool is_proven);
/* The answers are out of step: what the stream has beyond what was available is forgotten. */
void engine_stream_forget(struct sync *sync);
/* The last command that was sent is that of a stream: what is asked behind it keeps its readers
 * from seeing it before it is whole. */
bool engine_stream_is_last(const struct sync *sync);
/* What is arriving belongs to no answer any more. */
void engine_stream_detach(struct sync *sync);
/* Somebody has it open, and may read on. */
bool engine_stream_is_open(const struct sync *sync, const struct maildrop_message *message);
/* Frees streams that nobody has open; all of them when `all`. */
void engine_streams_reap(struct sync *sync, bool all);

/* ---- session.c ---- */
/* Starts to connect if somebody wants a session and the back-off allows it. */
void engine_connect(struct sync *sync, int64_t now_ms);
/* Has the link log in and list together with its CAPAs, if what is known of the server allows it.
 */
void engine_anticipate(struct sync *sync);
/* The server breaks a session in which several commands are owed: it is asked for one at a time. */
void engine_pipelining_is_to_blame(struct sync *sync);
/* The session is no more. */
void engine_link_lost(struct sync *sync, const struct failure *failure, int64_t now_ms);
/* Drops the link for the sake of those who wait for something else than the answer that is coming,
 * which is asked for again behind them if somebody waits for it. Nothing is blamed on the server.
 */
void engine_link_yield(struct sync *sync, const struct failure *failure, int64_t now_ms);
/* Drops the link without judging it. */
void engine_link_drop(struct sync *sync);
/* When engine_connect() will want to be called again; -1: not by itself. */
int64_t engine_connect_at_ms(const struct sync *sync);

/* Takes the link away after a QUIT that was answered, or instead of one: the session has come to a
 * good end. */
void engine_link_close(struct sync *sync);
/* No date can be had for this message: when it was first seen must do, for good or for this mount.
 */
void engine_no_date(struct sync *sync, struct maildrop_message *message, bool for_good);

/* ---- listed.c ---- */
/* The login succeeded: asks for the listing. */
enum fault engine_list(struct sync *sync, int64_t now_ms);
/* UIDL and LIST have come: takes them in, if they are believed. */
enum fault engine_listed(struct sync *sync, int64_t now_ms, struct failure *ret_failure);
/* The first listing is complete, or `failure` (may be NULL) says why there is none. */
void engine_start_is_over(struct sync *sync, const struct failure *failure);
/* Counts off the pending removals among what has vanished. */
void engine_note_vanished(struct sync *sync, const struct maildrop_changes *changes);
/* True if messages are known by their UIDLs. A session without UIDL would make new ones of them
 * all, and of what is to be deleted. */
bool engine_knows_messages(const struct sync *sync);

/* ---- upkeep.c ---- */
/* True when what nobody waits for is to be held back; *ret_completely: everything is. */
bool engine_is_draining(const struct sync *sync, int64_t now_ms, bool *ret_completely);
/* See sync_retire(). */
void engine_retire(struct sync *sync);
/* Ends the session if it is time, and nothing is owed. */
enum fault engine_upkeep(struct sync *sync, int64_t now_ms);
/* QUIT, or with `noquit` and nothing to commit, just closes. Nothing may be owed. */
enum fault engine_end_session(struct sync *sync, int64_t now_ms);
/* One step towards ENGINE_OVER. */
enum fault engine_stop(struct sync *sync, int64_t now_ms);

/* ---- bin.c ---- */
/* These leave the maildrop, and are about to be forgotten. */
void engine_bin_keep(struct sync *sync, struct maildrop_message *const *messages, size_t count);
/* QUIT is out: what it is about may be put there ahead. */
void engine_bin_begin_ahead(struct sync *sync);
/* Some of it. */
void engine_bin_go_ahead(struct sync *sync);
/* The commit is over. */
void engine_bin_drop_ahead(struct sync *sync);
/* Once in an hour. */
void engine_bin_tend(struct sync *sync, int64_t now_ms);

/* ---- index.c ---- */
/* Opens the store and reads what it knows of the server and the maildrop. */
enum fault engine_index_load(struct sync *sync, struct failure *ret_failure);
/* Writes what a listing or a commit changed, and flushes. */
void engine_index_changes(struct sync *sync, const struct maildrop_changes *changes);
void engine_index_octets(struct sync *sync, const struct maildrop_message *message);
/* The message's time has been decided; `header` may be empty. */
void engine_index_header(struct sync *sync, const struct maildrop_message *message,
                         struct slice header);
/* Takes back what the two above wrote, as far as it was learnt recently. */
void engine_index_forget(struct sync *sync, const struct maildrop_message *message,
                         const struct recent_message *recent);
/* Whether LIST can be believed. */
void engine_index_sizes(struct sync *sync);
/* What `UIDL n` is good for. */
void engine_index_marker(struct sync *sync);
void engine_index_top_differs(struct sync *sync);
/* What was found out about UIDL and TOP. */
void engine_index_identity(struct sync *sync);
/* LIST says another size of it, and that it is the same message is not doubted. */
void engine_index_listed(struct sync *sync, const struct maildrop_message *message);
/* The message's evidence has been learnt, or forgotten. */
void engine_index_evidence(struct sync *sync, const struct maildrop_message *message);
/* Whether a session may begin as pop3_session_assume_pipelining() says. */
void engine_index_pipelining(struct sync *sync, bool known);
/* sync->login_known and sync->login_losses. */
void engine_index_login(struct sync *sync);
/* The server refused -PLUS just now. */
void engine_index_unbound(struct sync *sync);
/* Sets sync->deles_are_slow, which is remembered for a month. */
void engine_index_slow_deles(struct sync *sync);
void engine_index_flush(struct sync *sync);
/* Flushes if it is time. */
void engine_index_settle(struct sync *sync, int64_t now_ms);
/* When that will be; -1: there is nothing to flush. */
int64_t engine_index_at_ms(const struct sync *sync);

/* ---- password.c: also what else is fetched anew before a session can be had ---- */
/* The link is about to be dropped because a certificate was refused. Begins at once to read the
 * authorities anew if that may help: sync->fetching. */
void engine_trust_note_refusal(struct sync *sync);
/* True while the authorities have to be read anew before the next attempt; begins with it. */
bool engine_trust_is_awaited(struct sync *sync);
/* Begins to fetch the password anew, if that is possible: sync->fetching. There must be no link,
 * which would look at the password meanwhile. */
void engine_password_fetch(struct sync *sync);
/* The same for the commit at the end of the mount: what was refused is not said again unless it is
 * another one. */
void engine_password_fetch_last(struct sync *sync);
/* What came of that; told once. */
enum password_news engine_password_news(struct sync *sync);
/* Waits for it, for a minute at most: what it writes to is about to go. */
void engine_password_end(struct sync *sync);

/* ---- dele.c ---- */
/* Forgets what the session was asked that is over, or that RSET has undone. */
void engine_commit_begin_session(struct commit *commit);
/* Some wait for another session. */
bool engine_commit_goes_on(const struct commit *commit);
/* Sends the DELEs that the protocol and this turn take; *ret_all: none is left for this session. */
enum fault engine_deles_send(struct sync *sync, int64_t now_ms, bool *ret_all);
/* The commit ends although DELEs may be owed. */
void engine_deles_note_deadline(struct sync *sync);
void engine_dele_answered(struct sync *sync, const struct job *job, const struct pop3_event *event);
/* The session breaks; what it owes is in flight still. */
void engine_commit_note_break(struct sync *sync, const struct failure *failure);

/* ---- commit.c ---- */
enum fault engine_commit_ask(struct sync *sync, enum job_kind kind,
                             struct maildrop_message *message, size_t removal, int64_t now_ms);
/* Takes over all who wait for a commit. */
enum fault engine_commit_begin(struct sync *sync, int64_t now_ms);
/* The mount is ending: from now on there is an end to it. */
void engine_commit_hurry(struct sync *sync, int64_t now_ms);
/* One step. */
enum fault engine_commit(struct sync *sync, int64_t now_ms);
/* From now on a maildrop in use, be it by a lost session of ours, is waited for as long as for an
 * answer. */
void engine_commit_may_wait(struct sync *sync, int64_t now_ms);
/* When engine_commit() wants to be called again; -1: not by itself. */
int64_t engine_commit_at_ms(const struct sync *sync);
enum fault engine_rset_answered(struct sync *sync, const struct pop3_event *event,
                                struct failure *ret_failure);
enum fault engine_quit_answered(struct sync *sync, const struct pop3_event *event, int64_t now_ms,
                                struct failure *ret_failure);
/* The link was lost while committing; `code`: what the server gave as the reason. */
void engine_commit_link_lost(struct sync *sync, const struct failure *failure, enum pop3_code code,
                             int64_t now_ms);

/* ---- proof.c ---- */
/* A new listing has come, and others have been told of it. */
void engine_commit_listed(struct sync *sync, const struct maildrop_changes *changes,
                          int64_t now_ms);
/* COMMIT_PROVING: goes on proving what is listed again. */
enum fault engine_commit_prove(struct sync *sync, int64_t now_ms);
/* The message's evidence is known now. */
void engine_check_believed(struct sync *sync, const struct maildrop_message *message);
/* The commit's QUIT was answered +OK, and the link has been closed. */
enum fault engine_quit_accepted(struct sync *sync, int64_t now_ms);
/*
 * No later session is to come soon that would show whether that is true. Of a server that has said
 * so when it was not, a later listing tells. Ends the commit.
 */
enum fault engine_quit_believe(struct sync *sync);
/* The session that was to prove the commit could not be had, and is not waited for. */
void engine_proof_failed(struct sync *sync, const struct failure *failure, enum pop3_code code,
                         int64_t now_ms);
/* The commit's time is over before its proof was. `why` may be empty. */
void engine_proof_gives_up(struct sync *sync, const char *why);
/* Forgets a commit that was cut short. */
void engine_commit_done(struct sync *sync);

/* ---- removals.c ---- */
/* Why nothing is deleted that may be another message, and what the user can do. */
extern const char removal_not_proven[];
extern const char removal_listed_anew[];
bool removal_is_going(const struct removal *removal);
/* Neither gone nor failed, and going. */
bool removal_is_pending(const struct removal *removal);
/* The server deletes it at QUIT, or may; or has. */
bool removal_is_asked(const struct removal *removal);
bool removal_is_removed(const struct removal *removal);
/* No other session can tell it from the rest. */
bool removal_is_beyond_proof(const struct removal *removal);
/* Takes up every message that is going now, by rising id. What is removed later waits for the next
 * commit. */
enum fault engine_removals_collect(struct sync *sync);
void engine_removals_done(struct commit *commit);
size_t engine_removals_count(const struct commit *commit,
                             bool (*are)(const struct removal *removal));
/* The commit that is under way will say what became of it. */
bool engine_commit_hears_of(const struct sync *sync, const struct maildrop_message *message);
void engine_removal_failed(struct sync *sync, struct removal *removal, const char *why);
/* An empty reason: it takes too long. */
void engine_removals_fail_pending(struct sync *sync, const char *why);
/* The UIDL of this message names another one: after a QUIT that was to delete it, it has gone. */
void engine_removal_is_another(struct sync *sync, const struct maildrop_message *message,
                               const char *why);
/* This message has got a UIDL that was another one's: what has the same evidence, and counts as
 * gone, is not. */
void engine_commit_found(struct sync *sync, const struct maildrop_message *found);
/* These have gone, as far as can be known. */
enum fault engine_removals_settle(struct sync *sync, bool (*is_due)(const struct removal *removal));
/* The commit is over. `fault`: what the whole of it failed with, or FAULT_NONE if each removal
 * tells for itself. */
void engine_commit_conclude(struct sync *sync, enum fault fault);
void engine_outcome_done(struct commit_outcome *outcome);

/* ---- sync.c ---- */
/* The evidence of the message was `old` until now: a wish in the journal goes by it. */
void engine_renew_wish(struct sync *sync, const struct maildrop_message *message,
                       const struct evidence *old);
/* sync_restore() in two halves, so that what lies between can wait for the disk. Only on the sync
 * thread, with nothing else in between. */
enum fault engine_restore_note(struct sync *sync, const struct maildrop_message *message);
/* False: it is going still. */
void engine_restore_end(struct sync *sync, struct maildrop_message *message, bool is_restored);
/* The user means what is held as well. */
void engine_confirm_held(struct sync *sync);
void engine_wake(const struct sync *sync);
/* As store_body_open(). */
enum fault engine_body_open(const struct sync *sync, const struct maildrop_message *message,
                            struct extent *ret_extent, uint64_t *ret_sum);

/* ---- publish.c ---- */
/* Puts what goes on where sync_status() sees it. */
void engine_publish_status(struct sync *sync, int64_t now_ms);
/* Puts the maildrop's newest state where others see it, and tells the listener. */
void engine_publish_snapshot(struct sync *sync, const struct maildrop_changes *changes);
/* Tells the listener alone. */
void engine_tell(struct sync *sync, const struct maildrop_changes *changes);
/* LIST says another size of some, and nothing better is known. */
void engine_publish_listed_sizes(struct sync *sync, const struct maildrop_changes *changes);
void engine_publish_size(struct sync *sync, struct maildrop_message *message);

/* ---- engine.c ---- */
void *engine_run(void *sync);
/*
 * No session, and none to be had: sync->last_failure says why. A busy maildrop is waited for
 * instead, and so is a server that cannot be reached, until that has lasted for `timeout`.
 */
bool engine_is_away(const struct sync *sync, int64_t now_ms);
/* Cannot be reached for so long that nobody waits any more, but for the next attempt if that is
 * due.
 */
bool engine_is_away_for_long(const struct sync *sync, int64_t now_ms);

#endif
