/* SPDX-License-Identifier: MIT */
/*
 * server: a model POP3 server for one maildrop, which keeps the rules or breaks them on purpose.
 *
 * Pure: octets in, octets out. It has no socket, no clock and no thread: every `now_ms` is virtual
 * time, handed in, and never runs backwards. All chance comes from the sim_random handed in; two
 * servers that are told the same do the same, to the octet. It knows what popfs cannot know: which
 * message is which (its serial). The invariants are checked against that.
 *
 * Owners: the server owns its messages, its sessions and every slice that it gives out. Serials,
 * session numbers, rows and octets stay readable until sim_server_free(), also after a session has
 * ended. Pointers to arrays (rows, sent) are good until the next call that can change the server.
 *
 * Want of memory ends the process: a simulation cannot go on without it.
 */
#ifndef POPFS_SIM_SERVER_H
#define POPFS_SIM_SERVER_H

#include "faults.h"
#include "random.h"

#include "popfs/base.h"

struct sim_server;
struct sim_session;

#define SIM_SERVER_USER "user"
/* What every password of it begins with; in base64, alone or behind the user in a PLAIN response,
 * as much of that as is the same for all. */
#define SIM_SERVER_SECRET "secret-"
#define SIM_SERVER_SECRET_BASE64 "c2VjcmV0"

/* ---- the server ---- */

/* Both are copied. The server draws from forks of `random` ("server", "fault NAME", "mail"). */
struct sim_server *sim_server_new(const struct sim_faults *faults, const struct sim_random *random);
void sim_server_free(struct sim_server *server); /* NULL is fine */

/* The password that it takes now: the fault `password-changed` makes it another one. */
const char *sim_server_password(const struct sim_server *server);

/*
 * True: from now on it behaves. Whatever is broken heals: outages and locks end, bad messages are
 * good, no fault fires, new sessions are honest. Traits stay (a server without TOP remains one), as
 * do limits and silences of sessions that are open: their client has to give them up.
 */
void sim_server_set_behaving(struct sim_server *server, int64_t now_ms, bool behaving);
/* The server has the trait, whether it has fired or not. */
bool sim_server_has_trait(const struct sim_server *server, enum sim_fault trait);

/*
 * Does what is due: idle sessions end, late deletions happen. Every call with a `now_ms` does so
 * first. sim_server_next_ms() is when there is something to do next, -1 for never.
 */
void sim_server_advance(struct sim_server *server, int64_t now_ms);
int64_t sim_server_next_ms(const struct sim_server *server);

/* ---- mail, and the other client ---- */

/* New mail, of random content: returns its serial. The first is 1. */
uint64_t sim_server_deliver(struct sim_server *server, int64_t now_ms);
/* New mail of these octets, which are copied: what RETR gives but for a last line end if missing.
 */
uint64_t sim_server_deliver_octets(struct sim_server *server, struct slice octets, int64_t now_ms);
/* Another client deletes the message. False if it has gone already. */
bool sim_server_delete(struct sim_server *server, uint64_t serial, int64_t now_ms);

/* ---- a session, as the client's side of the network sees it ---- */

/* NULL: refused. The session belongs to the server; the number is in the truth. */
struct sim_session *sim_server_accept(struct sim_server *server, int64_t now_ms);
/* Takes what the server reads now: returns how many octets, fewer than given when its buffer is
 * full. Octets to a session that has ended are taken and lost. */
size_t sim_session_feed(struct sim_session *session, struct slice bytes, int64_t now_ms);
/* Copies at most `capacity` octets that have arrived; 0 where there are none yet. */
size_t sim_session_take(struct sim_session *session, int64_t now_ms, char *data, size_t capacity);
/* When more can be taken, or the end be seen; `now_ms` or less: at once; -1: not by itself. */
int64_t sim_session_next_ms(const struct sim_session *session);
/* The server has closed, and everything before it was taken: the client reads the end. */
bool sim_session_is_closed(const struct sim_session *session, int64_t now_ms);
/* The client closes the link; the server sees it now (or late: fault `lock-lingers`). Do not feed
 * or take any more. */
void sim_session_drop(struct sim_session *session, int64_t now_ms);
/* The client is gone without a word (a power cut): the server holds the session until it has been
 * idle for too long. */
void sim_session_vanish(struct sim_session *session, int64_t now_ms);

/* ---- the truth: messages ---- */

enum sim_gone {
    SIM_GONE_NOT,    /* it is in the maildrop */
    SIM_GONE_DELE,   /* DELE and QUIT of a session of popfs */
    SIM_GONE_OTHER,  /* another client */
    SIM_GONE_HIDDEN, /* the server itself, since it was read (trait `hides-read`) */
    SIM_GONE_TAKEN,  /* another message has taken its UIDL (fault `body-changes`) */
};

struct sim_message {
    uint64_t serial;     /* from 1; never used again */
    struct slice uidl;   /* what it is called now; sessions may tell otherwise */
    struct slice octets; /* what a whole RETR gives, dots unstuffed, its last line ended */
    uint64_t stored_octets;
    int64_t delivered_ms;
    int64_t gone_ms; /* -1: it is in the maildrop */
    enum sim_gone gone_by;
    uint32_t gone_session; /* the session whose QUIT it was; 0 if none */
    uint64_t replaced;     /* its UIDL belonged to this serial before; 0 if to none */
    uint64_t twin;         /* its octets are those of this serial, delivered before; 0 if not so */
};

size_t sim_server_message_count(const struct sim_server *server); /* ever; serials are 1 to this */
const struct sim_message *sim_server_message(const struct sim_server *server, uint64_t serial);
/* How many are in the maildrop. */
size_t sim_server_present_count(const struct sim_server *server);

/* ---- the truth: sessions ---- */

enum sim_dele {
    SIM_DELE_NONE,
    SIM_DELE_REFUSED,   /* DELE was received, and not taken */
    SIM_DELE_MARKED,    /* to be deleted by QUIT */
    SIM_DELE_COMMITTED, /* QUIT has deleted it */
    SIM_DELE_KEPT,      /* QUIT came, and did not delete it */
};

/* One message of a session's view, fixed at the login (but for `sees-arrivals`). */
struct sim_row {
    uint32_t msgnum;
    uint64_t serial;
    struct slice uidl;     /* as this session tells it */
    int64_t listed_octets; /* as LIST tells it; SIM_OCTETS_NONSENSE: garbage */
    uint64_t twice; /* fault `number-twice`: UIDL gives the number the id of this serial, too */
    bool in_uidl, in_list; /* false: `listings-disagree` and its like leave the row out */
    enum sim_dele dele;
    uint32_t read_count; /* RETRs that were answered */
};

enum { SIM_OCTETS_NONSENSE = INT64_MIN };

/* An id that POP3 allows: without one the message is shown as msg-N. */
static inline bool sim_row_has_id(const struct sim_row *row)
{
    return row->uidl.len > 0 && row->uidl.len <= 500;
}

enum sim_quit {
    SIM_QUIT_NONE,
    SIM_QUIT_RECEIVED, /* it is being worked at, or was never answered */
    SIM_QUIT_OK,
    SIM_QUIT_ERR,
    SIM_QUIT_CLOSED, /* closed without a word */
};

/* Octets that answered RETR or TOP. */
struct sim_sent {
    enum sim_verb verb; /* SIM_VERB_RETR or SIM_VERB_TOP */
    uint32_t session;
    uint64_t serial;
    struct slice octets;       /* as a client reads them: dots unstuffed, without the final dot */
    bool is_ended;             /* the final dot line came behind them, at the right place */
    uint64_t wire_begin;       /* place of the first of them in the session's octets */
    uint64_t wire_end;         /* place behind the final dot line, or where the answer broke off */
    struct sim_sent *previous; /* of the same message */
};

struct sim_session_truth {
    uint32_t number;                          /* from 1 */
    int64_t accepted_ms, listed_ms, ended_ms; /* -1: not (yet) */
    bool is_logged_in;                        /* PASS or its like was taken: the view is fixed */
    bool is_left;                             /* by its client, which the server may not know yet */
    enum sim_quit quit;
    const struct sim_row *rows;
    size_t row_count;
    uint64_t wire_octets;  /* that it has made, in all */
    uint64_t taken_octets; /* that the client took */
    uint32_t command_count;
    uint32_t login_count; /* credentials received */
};

uint32_t sim_server_session_count(const struct sim_server *server); /* numbers are 1 to this */
struct sim_session_truth sim_server_session(const struct sim_server *server, uint32_t number);
uint32_t sim_session_number(const struct sim_session *session);

/* The last answer to RETR or TOP that sent octets of this message; NULL: none. */
/* In some session it had this UIDL. */
bool sim_server_has_listed(const struct sim_server *server, uint64_t serial, struct slice uidl);
const struct sim_sent *sim_server_last_sent(const struct sim_server *server, uint64_t serial);

/*
 * The octets are what a client was given of the message, from `offset` on, as RETR (or as TOP,
 * where `or_top`), and it took them off the wire. `is_all`: they are to be the whole body, so the
 * answer must have ended behind them.
 */
bool sim_server_has_sent(const struct sim_server *server, uint64_t serial, uint64_t offset,
                         struct slice octets, bool is_all, bool or_top);

/* ---- the truth: lies ---- */

struct sim_lie {
    enum sim_fault fault;
    int64_t at_ms;
    uint32_t session; /* 0: in none */
    uint64_t serial;  /* 0: about none */
};

size_t sim_server_lie_count(const struct sim_server *server);
const struct sim_lie *sim_server_lie(const struct sim_server *server, size_t position);
uint32_t sim_server_fired_count(const struct sim_server *server, enum sim_fault fault);

/* ---- the trace ---- */

/* One line without its end, such as "12.345 s3 S: +OK 120 octets (fault drip)". */
typedef void sim_trace_line(void *context, const char *line);

/* Each command, each answer, each fault and each change of the maildrop; NULL: none, at no cost. */
void sim_server_set_trace(struct sim_server *server, sim_trace_line *line, void *context);
/* What the server is like and what is in its maildrop, for the head of a trace. */
void sim_server_describe(const struct sim_server *server, sim_trace_line *line, void *context);

#endif
