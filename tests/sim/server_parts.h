/* SPDX-License-Identifier: MIT */
/*
 * The parts of the model server, for its own files alone:
 *   server.c          life, chance, time, mail
 *   server_session.c  octets in and out, time-outs, the end of a link
 *   server_command.c  one command: read, drawn for, answered, spoilt
 *   server_login.c    greeting, CAPA, credentials, the lock
 *   server_listing.c  a session's view, STAT, UIDL, LIST
 *   server_body.c     RETR, TOP
 *   server_commit.c   DELE, RSET, QUIT
 *   server_spoil.c    what is done to an answer that was made
 *   server_trace.c    the trace and the description
 *   server_truth.c    what the invariants may ask
 *   server_uidl.c     names of messages
 */
#ifndef POPFS_SIM_SERVER_PARTS_H
#define POPFS_SIM_SERVER_PARTS_H

#include "arena.h"
#include "server.h"

enum { MESSAGE_FORMS_MAX = 6 };

/* A message as one kind of session gives it: with a Status field, with LF, … */
struct message_form {
    uint32_t key;
    struct slice octets;
};

struct message {
    struct sim_message truth;
    struct sim_sent *last_sent;
    struct message_form forms[MESSAGE_FORMS_MAX];
    uint32_t form_count;
    bool bad[SIM_FAULT_COUNT]; /* faults of SIM_SCOPE_MESSAGE that it has */
    uint32_t read_session;     /* the first session that gave its body; 0: none */
    uint32_t listed_session;   /* the first session that listed it; 0: none */
};

enum uidl_style { UIDL_STYLE_HEX, UIDL_STYLE_MAILDIR, UIDL_STYLE_NUMBER, UIDL_STYLE_COUNT };
enum lock_style { LOCK_STYLE_NONE, LOCK_STYLE_REFUSES, LOCK_STYLE_WAITS };

/* What servers differ in without breaking a rule, and the figures of traits. */
struct style {
    enum uidl_style uidl;
    enum lock_style lock;
    bool has_stamp, has_plain, has_utf8, says_timeout, changes_subject;
    int64_t idle_before_ms, idle_after_ms; /* the login */
    int64_t thinking_ms, slow_ms, quit_ms, login_delay_ms;
    int64_t list_off, top_cut_octets;
    uint32_t line_rate; /* octets a second */
    bool is_serial;     /* it thinks about one command after the other */
    uint32_t error_limit, nonsense, vanished;
};

enum phase { PHASE_AUTHORIZATION, PHASE_TRANSACTION, PHASE_UPDATE, PHASE_ENDED };

enum client { CLIENT_THERE, CLIENT_DROPPED, CLIENT_VANISHED };

/* Output up to `end` may be taken from `at_ms` on: at once, or `rate` octets in 1000 seconds. */
struct gate {
    uint64_t begin, end;
    int64_t at_ms;
    uint32_t rate; /* 0: at once */
};

/* The answer that is being made, for those who spoil it. */
struct answer {
    uint64_t begin;   /* place of its first octet */
    uint64_t content; /* place of the first octet behind its status line */
    enum sim_verb verb;
    enum sim_fault drawn[8]; /* for it; one that cannot take effect leaves the others in place */
    uint32_t drawn_count;
    uint64_t serial; /* what it is about; 0: nothing */
    struct sim_sent *sent;
    int64_t delay_ms;
    uint32_t rate;
    bool is_open;
    enum sim_fault noted[8]; /* for the trace */
    uint32_t noted_count;
};

struct sim_session {
    struct sim_server *server;
    uint32_t number;
    enum phase phase;
    enum client client;
    bool has[SIM_FAULT_COUNT];  /* faults of SIM_SCOPE_SESSION that it has */
    bool told[SIM_FAULT_COUNT]; /* traits that were noted in this session */
    bool is_silent;             /* it says nothing any more */
    bool is_closing;            /* the end follows what is in the output */
    bool is_utf8, has_user;
    bool has_uidls; /* UIDL was answered: what arrives later is in LIST alone */
    int64_t accepted_ms, listed_ms, ended_ms;
    int64_t active_ms, noticed_ms, update_ms; /* the last two: -1, not to come */
    int64_t close_ms;                         /* when the end can be seen */

    struct buffer input, output;
    uint64_t wire_made, wire_taken, deaf_until;
    struct gate *gates;
    size_t gate_first, gate_count, gate_capacity;
    int64_t quiet_ms; /* when the last gate is open to its end */

    struct sim_row *rows;
    uint32_t row_count, row_capacity;
    uint32_t stat_off;
    uint64_t last_serial; /* the newest message when the view was last made or added to */
    struct answer answer;
    uint32_t command_count, error_count, login_count, retr_count, dele_count;
    uint32_t retr_limit, dele_limit, command_limit;
    int shift; /* 1: it has sent an answer too many, -1: one too few */
    enum sim_quit quit;
    enum sim_fault quit_fault; /* how QUIT lies; SIM_FAULT_COUNT: it does not */
};

struct sim_server {
    struct sim_faults faults;
    struct sim_random random, mail_random;
    struct sim_random streams[SIM_FAULT_COUNT];
    bool takes_part[SIM_FAULT_COUNT];
    enum sim_fault session_faults[SIM_FAULT_COUNT], answer_faults[SIM_FAULT_COUNT];
    size_t session_fault_count, answer_fault_count;
    uint32_t fired[SIM_FAULT_COUNT];
    bool is_behaving;
    struct style style;

    struct sim_arena arena;
    struct buffer scratch;
    struct message **messages;
    size_t message_count, message_capacity, present_count;
    uint64_t next_uidl;

    struct sim_session **sessions;
    uint32_t session_count, session_capacity;
    uint32_t first_live;        /* sessions before this number have ended */
    struct sim_session *holder; /* of the lock */
    int64_t now_ms, outage_until_ms, last_login_ms;
    uint32_t password_number;
    char password[32];

    struct sim_lie *lies;
    size_t lie_count, lie_capacity;
    sim_trace_line *trace;
    void *trace_context;
};

/* ---- server.c ---- */

/* Draws for one occasion. False while the server behaves, and for what does not take part. */
bool server_draws(struct sim_server *server, enum sim_fault fault);
/* Notes that the fault took effect; `session` may be NULL. */
void server_note(struct sim_server *server, struct sim_session *session, uint64_t serial,
                 enum sim_fault fault);
/* The server has the trait; notes it once a session. */
bool session_trait(struct sim_session *session, enum sim_fault trait);
/* The session has the fault; notes it. */
bool session_fault(struct sim_session *session, enum sim_fault fault);
/* The message has the fault; notes it. */
bool message_fault(struct sim_session *session, struct message *message, enum sim_fault fault);
/* The fault was drawn for the answer that is being made; notes it. */
bool answer_fault(struct sim_session *session, enum sim_fault fault);
struct sim_random *fault_random(struct sim_server *server, enum sim_fault fault);

struct message *server_message(const struct sim_server *server, uint64_t serial);
bool message_is_there(const struct message *message);
/* New mail, under the UIDL of `before` if that is not NULL. */
struct message *server_deliver(struct sim_server *server, struct message *before);
void server_change_password(struct sim_server *server);
void server_remove(struct sim_server *server, struct message *message, enum sim_gone by,
                   uint32_t session);
void server_begin_outage(struct sim_server *server, enum sim_fault fault);
/* Mail arrives, or another client deletes some, amid a session. */
void server_disturb(struct sim_session *session);

/* ---- server_uidl.c ---- */

struct slice server_new_uidl(struct sim_server *server, const struct message *message,
                             uint64_t *ret_replaced);
/* The last owner of the UIDL that the next mail takes over (`uidl-reuse`); NULL: it gets a new one.
 */
const struct message *server_next_owner(const struct sim_server *server);
void server_rename_all(struct sim_session *session);

/* ---- server_session.c ---- */

void session_put(struct sim_session *session, struct slice bytes);
/* The text and a line end. */
void session_put_line(struct sim_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void session_put_line_args(struct sim_session *session, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
struct slice session_eol(const struct sim_session *session);
/* The octets from `begin` on, as far as they are still there. */
struct slice session_made_since(const struct sim_session *session, uint64_t begin);
/* Takes back what was made from `end` on. */
void session_truncate(struct sim_session *session, uint64_t end);
/* Lets out what was made since the last gate: in `delay_ms`, `rate` octets in 1000 seconds (0: at
 * once).
 */
void session_let_out(struct sim_session *session, int64_t delay_ms, uint32_t rate);
/* The end of the link follows what was made so far. */
void session_close(struct sim_session *session);
/* The session is over for the maildrop: marks are forgotten, the lock is free. */
void session_end(struct sim_session *session);
/* When the session has something to do by itself; -1: never. */
int64_t session_due_ms(const struct sim_session *session);
void session_do_due(struct sim_session *session);
/* The server behaves from now on: it notices at once that a client has gone. */
void session_heal(struct sim_session *session);
void session_free(struct sim_session *session);

/* ---- server_command.c ---- */

struct request {
    enum sim_verb verb;
    struct slice argument; /* all behind the verb */
    uint32_t msgnum, lines;
    bool has_msgnum, has_lines;
};

void session_command(struct sim_session *session, struct slice line);
void answer_begin(struct sim_session *session, enum sim_verb verb);
void answer_finish(struct sim_session *session);
void answer_ok(struct sim_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void answer_error(struct sim_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The final dot line. */
void answer_dot(struct sim_session *session);

/* ---- server_login.c ---- */

void answer_greeting(struct sim_session *session);
void answer_capa(struct sim_session *session);
void answer_user(struct sim_session *session);
void answer_pass(struct sim_session *session, const struct request *request);
void answer_apop(struct sim_session *session, const struct request *request);
void answer_auth(struct sim_session *session, const struct request *request);
void answer_utf8(struct sim_session *session);

/* ---- server_listing.c ---- */

void session_make_view(struct sim_session *session);
/* NULL: no such message, or it is marked. */
struct sim_row *session_row(const struct sim_session *session, const struct request *request);
void answer_stat(struct sim_session *session);
void answer_uidl(struct sim_session *session, const struct request *request);
void answer_list(struct sim_session *session, const struct request *request);

/* ---- server_body.c ---- */

/* The message as this session gives it. */
struct slice session_form(struct sim_session *session, struct message *message);
void answer_retr(struct sim_session *session, const struct request *request);
void answer_top(struct sim_session *session, const struct request *request);
/* The octets of a body up to the place `wire_end`, dots unstuffed; for an answer that broke off. */
void sent_cut(struct sim_session *session, struct sim_sent *sent, uint64_t wire_end);

/* ---- server_commit.c ---- */

void answer_dele(struct sim_session *session, const struct request *request);
void answer_rset(struct sim_session *session);
void answer_quit(struct sim_session *session);
/* QUIT deletes now what it is to delete. */
void session_update(struct sim_session *session);

/* ---- server_spoil.c ---- */

void answer_spoil(struct sim_session *session);

/* ---- server_trace.c ---- */

void server_say(struct sim_server *server, const struct sim_session *session, const char *format,
                ...) __attribute__((format(printf, 3, 4)));
void trace_command(struct sim_session *session, struct slice line);
void trace_answer(struct sim_session *session);

#endif
