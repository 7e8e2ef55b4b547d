/* SPDX-License-Identifier: MIT */
/*
 * pop3: the client's side of one POP3 session, as bytes (RFC 1939, 1734, 2449, 2595, 3206, 5034,
 * 6856).
 *
 * Bytes are fed in, events are taken out, output is taken out. Refuses to know sockets, clocks,
 * threads and files, so that a transcript, a fuzzer and a server drive it alike. It never calls
 * back and never blocks.
 *
 * One session object is one session, from greeting to QUIT. It logs in by itself (capabilities,
 * STLS, UTF8, mechanism); after POP3_EVENT_LOGGED_IN the caller issues commands, and answers come
 * in the order of issue.
 */
#ifndef POPFS_POP3_H
#define POPFS_POP3_H

#include "popfs/base.h"

enum {
    POP3_LINE_OCTETS_MAX = 8192, /* status and CAPA lines: above, it is garbage. Of a longer row of
                                    LIST or UIDL the rest is thrown away */
    POP3_CAPA_LINES_MAX = 200,   /* the longest seen in the wild is 25 */
    POP3_UIDL_OCTETS_MAX = 500,  /* RFC 1939 says 70; longer ones exist */
    POP3_LISTING_ROWS_MAX = 1000000,
    POP3_COMMAND_OCTETS_MAX = 255, /* RFC 2449, 4, with CRLF; an AUTH token line may be longer */
    POP3_OUTPUT_OCTETS_MAX = 8192, /* what pop3_session_output() gives at once, whole commands */
    POP3_CHALLENGES_MAX = 10,      /* of one SASL exchange; SCRAM has three */
    POP3_SCRAM_ITERATIONS_MAX =
        1000000,                  /* about a second of work; servers ask for 4,096 to 600,000 */
    POP3_BINDING_OCTETS_MAX = 64, /* tls-exporter has 32, tls-unique 12 */
};

enum pop3_command {
    POP3_GREETING, /* not a command: what answers the connection itself */
    POP3_CAPA,
    POP3_STLS,
    POP3_USER,
    POP3_PASS,
    POP3_APOP,
    POP3_AUTH,
    POP3_UTF8,
    POP3_STAT,
    POP3_UIDL,
    POP3_UIDL_ONE, /* `UIDL n`: one line, which names the message */
    POP3_LIST,
    POP3_RETR,
    POP3_TOP,
    POP3_DELE,
    POP3_RSET,
    POP3_NOOP,
    POP3_QUIT,
};

enum pop3_state {
    POP3_STATE_GREETING,
    POP3_STATE_AUTHORIZATION,
    POP3_STATE_TRANSACTION,
    POP3_STATE_UPDATE, /* QUIT has been sent */
    POP3_STATE_CLOSED, /* QUIT was answered, or the session failed */
};

/* Response codes: RFC 2449, 8.1 and RFC 3206. */
enum pop3_code {
    POP3_CODE_NONE,
    POP3_CODE_IN_USE,
    POP3_CODE_LOGIN_DELAY,
    POP3_CODE_SYS_TEMP,
    POP3_CODE_SYS_PERM,
    POP3_CODE_AUTH,
    POP3_CODE_UTF8,
    POP3_CODE_OTHER,
};

enum pop3_auth {
    POP3_AUTH_AUTO, /* the strongest that both sides have; POP3.md rule 27 gives the order */
    POP3_AUTH_USER,
    POP3_AUTH_APOP,
    POP3_AUTH_PLAIN,
    POP3_AUTH_LOGIN,
    POP3_AUTH_CRAM_MD5,
    POP3_AUTH_SCRAM_SHA_1,
    POP3_AUTH_SCRAM_SHA_256,
    POP3_AUTH_SCRAM_SHA_256_PLUS, /* bound to the TLS connection: pop3_session_bind() */
    POP3_AUTH_XOAUTH2,            /* the password is an access token */
    POP3_AUTH_OAUTHBEARER,        /* likewise (RFC 7628) */
    POP3_AUTH_EXTERNAL,           /* the client certificate says who it is; no password */
};

/* Where this session's secrecy comes from. */
enum pop3_security {
    POP3_SECURITY_TLS,  /* the connection is under TLS before the greeting */
    POP3_SECURITY_STLS, /* STLS must succeed before anything secret is said */
    POP3_SECURITY_NONE, /* the user chose tls=off */
};

/* What became of pop3_session_expect_auth(). */
enum pop3_anticipation {
    POP3_ANTICIPATION_NONE,
    POP3_ANTICIPATION_OPEN,   /* the line has gone out, or failed to; CAPA is not answered */
    POP3_ANTICIPATION_RIGHT,  /* CAPA agrees; the line is not answered, or refused */
    POP3_ANTICIPATION_WRONG,  /* CAPA does not */
    POP3_ANTICIPATION_PROVEN, /* the line was taken: whatever follows has other reasons */
};

/* What becomes of tying the login to the TLS connection, which auto may do without. */
enum pop3_binding_state {
    POP3_BINDING_OF_NO_MATTER, /* not wanted or not to be had, asked for by name, or taken */
    POP3_BINDING_OPEN,         /* -PLUS was begun; the server has neither refused nor gone on */
    POP3_BINDING_REFUSED,      /* by the server: without it */
    POP3_BINDING_FORGONE,      /* as pop3_session_forgo_binding() was told: without it */
};

/* Borrowed until POP3_EVENT_LOGGED_IN or POP3_EVENT_FAILED, but for the password. */
struct pop3_options {
    enum pop3_security security;
    enum pop3_auth auth;
    const char *host; /* for SASL alone, and the port likewise; 0: it is not said */
    uint16_t port;
    const char *user;
    /* No CR, LF or NUL: POP3_EVENT_FAILED with FAULT_LOGIN otherwise. Borrowed until
     * pop3_session_free(): the server may repeat it at any time. */
    const char *password;
    bool pipeline; /* false: one command at a time even if the server offers more */
    bool trace;    /* give POP3_EVENT_TRACE */
};

enum pop3_event_type {
    POP3_EVENT_NONE,      /* all that was fed has been used up; feed more */
    POP3_EVENT_SECURE,    /* start TLS now, then call pop3_session_secured() */
    POP3_EVENT_LOGGED_IN, /* state is TRANSACTION, capabilities are the final ones, or those of
                             pop3_session_assume_pipelining() */
    POP3_EVENT_STATUS,  /* the first line of an answer: ok, code, text. With ok, multi-line ones go
                           on */
    POP3_EVENT_ROW,     /* of UIDL (msgnum, text = UIDL; empty if it has none of 1 to
                           POP3_UIDL_OCTETS_MAX octets) or LIST (msgnum, octets) */
    POP3_EVENT_BAD_ROW, /* a row that makes no sense: skipped, `text` holds it */
    POP3_EVENT_DATA,    /* of RETR or TOP: `text` holds the next bytes, dots unstuffed */
    POP3_EVENT_END,     /* a multi-line answer is complete. With octets of RETR or TOP at hand that
                           answer nothing, POP3_EVENT_FAILED comes instead: its end was none */
    POP3_EVENT_FAILED,  /* the session is over: fault, code, text. Nothing follows */
    POP3_EVENT_TRACE,   /* one line of the dialogue, secrets and challenges starred, not escaped;
                           from_client */
};

/*
 * `text` lives until the next call of pop3_session_next_event(). Where it is the server's words for
 * people (STATUS without ok, FAILED, TRACE) *** stands for each secret of the login that the server
 * repeats, raw or in base64; all else, a BAD_ROW too, is as it was sent, and is to be shown by
 * pop3_session_show() alone.
 */
struct pop3_event {
    enum pop3_event_type type;
    enum pop3_command command; /* whose answer this is: STATUS, ROW, BAD_ROW, DATA, END */
    void *tag;                 /* as given to pop3_session_issue() */
    bool ok;                   /* STATUS */
    bool from_client;          /* TRACE */
    enum pop3_code code;       /* STATUS, FAILED */
    enum fault fault;          /* FAILED */
    uint32_t msgnum;           /* ROW: 1 … 2^31 - 1 */
    uint64_t octets;           /* ROW of LIST; STATUS of STAT */
    uint32_t count;            /* STATUS of STAT: messages; UINT32_MAX if it made no sense */
    struct slice text;
};

struct pop3_capabilities {
    bool known; /* false: the server has no CAPA */
    bool top;
    bool uidl;
    bool user;
    bool stls;
    bool pipelining;
    bool utf8;
    bool resp_codes;
    bool sasl; /* any mechanism at all, known or not */
    bool sasl_plain;
    bool sasl_login;
    bool sasl_cram_md5;
    bool sasl_scram_sha_1;
    bool sasl_scram_sha_256;
    bool sasl_scram_sha_256_plus;
    bool sasl_xoauth2;
    bool sasl_oauthbearer;
    bool sasl_external;
    uint32_t login_delay_s;   /* 0: none given */
    char implementation[128]; /* escaped, without secrets; "" if not given */
};

struct pop3_session;

/* NULL for want of memory. */
struct pop3_session *pop3_session_new(const struct pop3_options *options);
void pop3_session_free(struct pop3_session *session);

/*
 * Gives bytes from the server. They are borrowed until pop3_session_next_event() has returned
 * POP3_EVENT_NONE; only then may more be fed or the memory be used again.
 */
void pop3_session_feed(struct pop3_session *session, struct slice bytes);
enum pop3_event_type pop3_session_next_event(struct pop3_session *session,
                                             struct pop3_event *ret_event);
/* What the server said, as text_escape() has it, with *** for each secret; returns `out`. It may
 * take a millisecond. */
const char *pop3_session_show(struct pop3_session *session, struct slice text, char *out,
                              size_t capacity);
/* The TLS handshake asked for by POP3_EVENT_SECURE is done; all learnt in the clear is forgotten.
 */
void pop3_session_secured(struct pop3_session *session);
/*
 * What SCRAM-SHA-256-PLUS binds the login to: the name that IANA knows the kind by, "tls-exporter"
 * (RFC 9266) or "tls-unique" (RFC 5929), and its octets. To be told before the greeting is fed, or
 * before pop3_session_secured(). Copied. Other kinds, and more octets than
 * POP3_BINDING_OCTETS_MAX, are as good as none.
 */
void pop3_session_bind(struct pop3_session *session, const char *kind, struct slice octets);

/*
 * An earlier session of this account had -PLUS refused, or not answered: under auto the form
 * without it is chosen where the server offers it. To be told before the greeting is fed.
 */
void pop3_session_forgo_binding(struct pop3_session *session);
/* Also after the login. */
enum pop3_binding_state pop3_session_binding(const struct pop3_session *session);

/*
 * An earlier session of this account was offered PIPELINING, TOP and UIDL by the CAPA after its
 * login: POP3_EVENT_LOGGED_IN does not wait for this session's, so that a listing goes out in the
 * same round trip. What that CAPA says then holds from the next event on. To be told before the
 * login is over.
 */
void pop3_session_assume_pipelining(struct pop3_session *session);

/*
 * An earlier session of this account chose this mechanism, and pop3_session_repeatable_auth() named
 * it: its first line, which may be the whole login, goes out together with the CAPA before the
 * login; never before TLS where TLS is wanted, and in clear only if the user named the mechanism.
 * If that CAPA would lead to another login, POP3_EVENT_FAILED with FAULT_OFFLINE. To be told before
 * the greeting is fed; POP3_AUTH_AUTO: nothing is expected.
 */
void pop3_session_expect_auth(struct pop3_session *session, enum pop3_auth auth);

/* What to send next: whole commands, at most POP3_OUTPUT_OCTETS_MAX unless one command is longer.
 * Empty: nothing. */
struct slice pop3_session_output(const struct pop3_session *session);
/*
 * `count` octets of the output have been sent; they are wiped. Call it before feeding what comes
 * back: an answer to a command that has not been sent is none, and ends the session.
 */
void pop3_session_sent(struct pop3_session *session, size_t count);

/*
 * True if a command may follow now: in TRANSACTION, which QUIT ends, if either nothing is
 * outstanding or the server pipelines.
 */
bool pop3_session_may_issue(const struct pop3_session *session);
/* Several may be outstanding at once. */
bool pop3_session_pipelines(const struct pop3_session *session);

struct pop3_request {
    enum pop3_command command; /* STAT UIDL UIDL_ONE LIST RETR TOP DELE RSET NOOP QUIT */
    uint32_t msgnum;           /* UIDL_ONE RETR TOP DELE */
    uint32_t lines;            /* TOP */
    void *tag;
};

/* FAULT_REFUSED when pop3_session_may_issue() is false; FAULT_MEMORY. */
enum fault pop3_session_issue(struct pop3_session *session, const struct pop3_request *request);

/* Commands whose answer is not complete, those of the login included; after a failure, those that
 * never will be. */
size_t pop3_session_outstanding_count(const struct pop3_session *session);
/* Status lines and rows that have come whole, those of the login among them. */
uint64_t pop3_session_line_count(const struct pop3_session *session);
enum pop3_state pop3_session_state(const struct pop3_session *session);
const struct pop3_capabilities *pop3_session_capabilities(const struct pop3_session *session);
/* The mechanism that logged in, "SCRAM-SHA-256", "USER", "APOP", …; "" before. */
const char *pop3_session_mechanism(const struct pop3_session *session);
enum pop3_anticipation pop3_session_anticipation(const struct pop3_session *session);
/* After the login: what the next session may expect, if the CAPA before the login had PIPELINING
 * and nothing else came in between; else POP3_AUTH_AUTO. */
enum pop3_auth pop3_session_repeatable_auth(const struct pop3_session *session);
/* What answers there in place of POP3, as far as its greeting tells: "an IMAP server"; NULL: none
 * that is known. */
const char *pop3_session_foreign(const struct pop3_session *session);
/* After a login that the server refused: the name of the mechanism that was tried; "" if none was
 * refused. */
const char *pop3_session_refused(const struct pop3_session *session);
/* The word of auth= for another one that the server offers for a password; NULL if there is none.
 */
const char *pop3_session_other_auth(const struct pop3_session *session);

/*
 * The text of +OK to UIDL_ONE names this message. A server may leave out the number (twisted does),
 * and some repeat the status before it.
 */
bool pop3_uidl_names(struct slice text, uint32_t msgnum, struct slice uidl);
/*
 * The octets begin as a status line does, or as much of one as there is of them. A message that
 * begins so, or a listing, may have had an unasked line taken for its own status.
 */
bool pop3_begins_as_status(struct slice octets);

/* False for an unknown word. The words are those of the option auth=. */
bool pop3_auth_from_word(const char *word, enum pop3_auth *ret_auth);
const char *pop3_command_name(enum pop3_command command);
const char *pop3_state_name(enum pop3_state state);

#endif
