/* SPDX-License-Identifier: MIT */
/*
 * The table of all faults: id, name, class, scope, commands that it concerns, chance in a thousand,
 * what the server does. POP3.md's rules ask for each of them, or a server was seen to do it.
 */
#ifndef POPFS_SIM_FAULT_TABLE_H
#define POPFS_SIM_FAULT_TABLE_H

/* What a client can say; SIM_VERB_GREETING stands for its connecting. */
enum sim_verb {
    SIM_VERB_GREETING,
    SIM_VERB_CAPA,
    SIM_VERB_USER,
    SIM_VERB_PASS,
    SIM_VERB_APOP,
    SIM_VERB_AUTH,
    SIM_VERB_UTF8,
    SIM_VERB_STAT,
    SIM_VERB_UIDL,     /* all rows */
    SIM_VERB_UIDL_ONE, /* `UIDL n` */
    SIM_VERB_LIST,
    SIM_VERB_LIST_ONE,
    SIM_VERB_RETR,
    SIM_VERB_TOP,
    SIM_VERB_DELE,
    SIM_VERB_RSET,
    SIM_VERB_NOOP,
    SIM_VERB_QUIT,
    SIM_VERB_UNKNOWN,
    SIM_VERB_COUNT,
};

#define SIM_ON(verb) (1u << SIM_VERB_##verb)
#define SIM_ON_BODY (SIM_ON(RETR) | SIM_ON(TOP))
#define SIM_ON_ROWS (SIM_ON(UIDL) | SIM_ON(LIST))
#define SIM_ON_ANY (~0u)
#define SIM_ON_MAILDROP                                                                            \
    (SIM_ON(STAT) | SIM_ON(UIDL) | SIM_ON(UIDL_ONE) | SIM_ON(LIST) | SIM_ON(LIST_ONE) |            \
     SIM_ON(RETR) | SIM_ON(TOP) | SIM_ON(DELE) | SIM_ON(RSET) | SIM_ON(NOOP))

/* clang-format off */
#define SIM_FAULT_TABLE(X)                                                                                                            \
    /* what the server is like */                                                                                                     \
    X(NO_TOP,              "no-top",               DATA,     TRAIT,   0, 60,  "it has no TOP")                                        \
    X(CAPA_HIDES_TOP,      "capa-hides-top",       DATA,     TRAIT,   0, 50,  "TOP works, CAPA does not name it")                     \
    X(NO_UIDL,             "no-uidl",              LISTING,  TRAIT,   0, 40,  "it has no UIDL")                                       \
    X(NO_UIDL_ONE,         "no-uidl-one",          LISTING,  TRAIT,   0, 30,  "UIDL n is refused, UIDL works")                        \
    X(UIDL_ONE_BARE,       "uidl-one-bare",        LISTING,  TRAIT,   0, 40,  "UIDL n answers without the number")                    \
    X(NO_CAPA,             "no-capa",              LOGIN,    TRAIT,   0, 60,  "it has no CAPA")                                       \
    X(NO_PIPELINING,       "no-pipelining",        LINE,     TRAIT,   0, 200, "CAPA does not name PIPELINING")                        \
    X(PIPELINING_LATE,     "pipelining-late",      LOGIN,    TRAIT,   0, 100, "PIPELINING is in the CAPA after the login alone")      \
    X(PIPELINING_KILLS,    "pipelining-kills",     LINE,     TRAIT,   0, 40,  "it hangs up when a command comes before the last was answered") \
    X(DEAF_BEHIND_CAPA,    "deaf-behind-capa",     LOGIN,    TRAIT,   0, 40,  "what comes behind CAPA before the login is lost")      \
    X(DEAF_BEHIND_PASS,    "deaf-behind-pass",     LOGIN,    TRAIT,   0, 200, "what comes behind PASS before its answer is lost")     \
    X(UTF8_REFUSED,        "utf8-refused",         LOGIN,    TRAIT,   0, 60,  "UTF8 is offered and refused")                          \
    X(LOGIN_DELAY,         "login-delay",          LOGIN,    TRAIT,   0, 50,  "a login too soon after the last is refused")           \
    X(SLOW_SERVER,         "slow-server",          LINE,     TRAIT,   0, 80,  "each answer takes up to some seconds")                 \
    X(SLOW_LINE,           "slow-line",            LINE,     TRAIT,   0, 150, "some KiB a second")                                    \
    X(BARE_LF,             "bare-lf",              LINE,     TRAIT,   0, 30,  "all its lines end in a bare LF")                       \
    X(BARE_ANSWERS,        "bare-answers",         LINE,     TRAIT,   0, 60,  "its answers have no text")                             \
    X(STOPS_READING,       "stops-reading",        LINE,     TRAIT,   0, 300, "it reads no command while 4 KiB of answers wait")      \
    X(HANGS_UP_ON_ERRORS,  "hangs-up-on-errors",   LINE,     TRAIT,   0, 80,  "it hangs up after a few -ERR")                         \
    X(EMPTY_HAS_NO_ROWS,   "empty-has-no-rows",    LISTING,  TRAIT,   0, 80,  "UIDL and LIST of an empty maildrop are refused, or never answered") \
    X(UIDL_ODD,            "uidl-odd",             LISTING,  TRAIT,   0, 80,  "UIDLs have slashes, 8-bit octets, blanks, and great length") \
    X(UIDL_OF_HEADER,      "uidl-of-header",       LISTING,  TRAIT,   0, 60,  "the UIDL is a hash of the header: copies share it")    \
    X(NUMBER_GAPS,         "number-gaps",          LISTING,  TRAIT,   0, 60,  "message numbers have gaps")                            \
    X(RENUMBERS_ON_DELE,   "renumbers-on-dele",    LISTING,  TRAIT,   0, 60,  "LIST and UIDL are numbered anew after a DELE")         \
    X(SHOWS_DELETED,       "shows-deleted",        LISTING,  TRAIT,   0, 40,  "LIST goes on to show what DELE marked, with size 0")   \
    X(LIST_STORED,         "list-stored",          DATA,     TRAIT,   0, 300, "LIST is 2 or 3 short where the last line has no end")  \
    X(LIST_OFF,            "list-off",             DATA,     TRAIT,   0, 60,  "LIST is off by as much for every message")             \
    X(LIST_NONSENSE,       "list-nonsense",        DATA,     TRAIT,   0, 30,  "LIST gives no numbers, negative ones, or 0")           \
    X(STATUS_HEADER,       "status-header",        DATA,     TRAIT,   0, 60,  "a Status field changes once a message was read")       \
    X(REWRITES_8BIT,       "rewrites-8bit",        DATA,     TRAIT,   0, 40,  "8-bit headers are rewritten, each time in another way, unless UTF8 was sent") \
    X(TOP_BODY,            "top-body",             DATA,     TRAIT,   0, 50,  "TOP n 0 carries the body")                             \
    X(TOP_NO_BLANK,        "top-no-blank",         DATA,     TRAIT,   0, 50,  "TOP n 0 lacks the blank line")                         \
    X(TOP_DIFFERS,         "top-differs",          DATA,     TRAIT,   0, 50,  "TOP gives another header than RETR")                   \
    X(TOP_CUT,             "top-cut",              DATA,     TRAIT,   0, 60,  "TOP ends after some KiB, inside a line")               \
    X(NO_STUFFING,         "no-stuffing",          FRAMING,  TRAIT,   0, 50,  "it does not stuff dots")                               \
    X(UIDL_REUSE,          "uidl-reuse",           IDENTITY, TRAIT,   0, 150, "new mail gets the lowest UIDL that is free")           \
    X(SIZE_CHANGES,        "size-changes",         IDENTITY, TRAIT,   0, 60,  "a message grows by a field once it was listed")        \
    X(CUT_COMMITS,         "cut-commits",          COMMIT,   TRAIT,   0, 300, "commands that came before a cut are still executed")   \
    X(HIDES_READ,          "hides-read",           COMMIT,   TRAIT,   0, 30,  "mail that was RETRieved is gone after QUIT")           \
    /* a message that is bad */                                                                                                       \
    X(RETR_POISON,         "retr-poison",          DATA,     MESSAGE, 0, 60,  "RETR of it is always refused")                         \
    X(RETR_KILLS,          "retr-kills",           DATA,     MESSAGE, 0, 40,  "RETR of it makes the server hang up")                  \
    X(RETR_HANGS,          "retr-hangs",           DATA,     MESSAGE, 0, 30,  "RETR of it is never answered")                         \
    X(RETR_ALWAYS_SHORT,   "retr-always-short",    DATA,     MESSAGE, 0, 100,  "RETR of it ends too early, in a valid dot")            \
    X(TOP_POISON,          "top-poison",           DATA,     MESSAGE, 0, 60,  "TOP of it is always refused")                          \
    X(LIST_WRONG,          "list-wrong",           DATA,     MESSAGE, 0, 60,  "its row of LIST is wrong")                             \
    X(DELE_POISON,         "dele-poison",          COMMIT,   MESSAGE, 0, 250,  "DELE of it is always refused")                         \
    X(DELE_KILLS,          "dele-kills",           COMMIT,   MESSAGE, 0, 150,  "DELE of it makes the server hang up")                  \
    X(DELE_HANGS,          "dele-hangs",           COMMIT,   MESSAGE, 0, 150,  "DELE of it is never answered")                         \
    X(DELE_KEPT,           "dele-kept",            COMMIT,   MESSAGE, 0, 300,  "DELE and QUIT say +OK, and it stays")                  \
    X(BODY_CHANGES,        "body-changes",         IDENTITY, MESSAGE, 0, 80,  "another message takes over its UIDL")                  \
    /* a session that is bad */                                                                                                       \
    X(CONNECT_REFUSED,     "connect-refused",      LINE,     SESSION, 0, 80,  "no connection")                                        \
    X(OUTAGE,              "outage",               LINE,     SESSION, 0, 40,  "no connection for minutes, all sessions cut")          \
    X(GREETING_REFUSED,    "greeting-refused",     LOGIN,    SESSION, 0, 80,  "the greeting is -ERR")                                 \
    X(GREETING_GARBLED,    "greeting-garbled",     LOGIN,    SESSION, 0, 40,  "the greeting is not POP3")                             \
    X(LOGIN_TEMP,          "login-temp",           LOGIN,    SESSION, 0, 80,  "-ERR [SYS/TEMP] to the login")                         \
    X(LOGIN_PERM,          "login-perm",           LOGIN,    SESSION, 0, 20,  "-ERR [SYS/PERM] to the login")                         \
    X(LOGIN_IN_USE,        "login-in-use",         LOGIN,    SESSION, 0, 80,  "-ERR [IN-USE] to the login, without anybody else")     \
    X(LOGIN_LOCKED,        "login-locked",         LOGIN,    SESSION, 0, 60,  "-ERR without a code, but with the word locked")        \
    X(LOGIN_AUTH,          "login-auth",           LOGIN,    SESSION, 0, 50,  "-ERR [AUTH] to the right password")                    \
    X(LOGIN_REFUSED,       "login-refused",        LOGIN,    SESSION, 0, 40,  "-ERR without a code to the right password")            \
    X(LOGIN_ECHOES,        "login-echoes",         LOGIN,    SESSION, 0, 20,  "-ERR with the password in it")                         \
    X(LOGIN_SLOW,          "login-slow",           LOGIN,    SESSION, 0, 80,  "the answer to the login takes seconds or minutes")     \
    X(LOGIN_AND_ERROR,     "login-and-error",      LOGIN,    SESSION, 0, 80,  "+OK to the login, -ERR unasked behind it, closed")     \
    X(PASSWORD_CHANGED,    "password-changed",     LOGIN,    SESSION, 0, 40,  "the password is another one from now on")              \
    X(LOCK_LINGERS,        "lock-lingers",         LOGIN,    SESSION, 0, 300, "a lost link of this session is noticed late")          \
    X(REORDERED,           "reordered",            LISTING,  SESSION, 0, 250, "the messages come in another order")                   \
    X(UIDL_TWICE,          "uidl-twice",           LISTING,  SESSION, 0, 120,  "two messages are listed with the same UIDL")           \
    X(UIDL_EMPTY,          "uidl-empty",           LISTING,  SESSION, 0, 100,  "a row of UIDL has no id")                              \
    X(UIDL_OVERLONG,       "uidl-overlong",        LISTING,  SESSION, 0, 100,  "a row of UIDL has an id of over 500 octets")           \
    X(NUMBER_TWICE,        "number-twice",         LISTING,  SESSION, 0, 80,  "a number is listed with two UIDLs")                    \
    X(ODD_ROWS,            "odd-rows",             LISTING,  SESSION, 0, 80,  "rows with blanks and +OK, rows that are none")         \
    X(SEES_ARRIVALS,       "sees-arrivals",        LISTING,  SESSION, 0, 300, "LIST shows mail that arrived after the login")         \
    X(LISTING_EMPTY,       "listing-empty",        IDENTITY, SESSION, 0, 60,  "this session sees an empty maildrop")                  \
    X(LISTING_HALF,        "listing-half",         IDENTITY, SESSION, 0, 60,  "this session sees some of the messages only")          \
    X(LISTINGS_DISAGREE,   "listings-disagree",    IDENTITY, SESSION, 0, 80,  "STAT, UIDL and LIST hold unlike numbers of messages")  \
    X(UIDL_ALL_NEW,        "uidl-all-new",         IDENTITY, SESSION, 0, 80,  "every message has a new UIDL from now on")             \
    X(UIDL_SHIFTED,        "uidl-shifted",         IDENTITY, SESSION, 0, 80,  "UIDLs are given out anew, to other messages than before") \
    X(RETR_LIMIT,          "retr-limit",           DATA,     SESSION, 0, 300,  "RETR is refused after a few of them")                  \
    X(DELE_LIMIT,          "dele-limit",           COMMIT,   SESSION, 0, 400,  "DELE is refused after a few of them")                  \
    X(COMMAND_LIMIT,       "command-limit",        LINE,     SESSION, 0, 120,  "it hangs up after some commands")                      \
    /* an answer that is bad */                                                                                                       \
    X(SILENCE,             "silence",              LINE,     ANSWER,  SIM_ON_ANY, 10, "nothing comes any more")                       \
    X(SLOW_ANSWER,         "slow-answer",          LINE,     ANSWER,  SIM_ON_ANY, 30, "the answer takes seconds or minutes")          \
    X(DRIP,                "drip",                 LINE,     ANSWER,  SIM_ON_ANY, 12, "the answer drips, an octet now and then")      \
    X(HANG_UP,             "hang-up",              LINE,     ANSWER,  SIM_ON_ANY, 15, "it hangs up in place of an answer")            \
    X(CUT,                 "cut",                  LINE,     ANSWER,  SIM_ON_ANY, 20, "it hangs up inside the answer")                \
    X(HANG_UP_AFTER,       "hang-up-after",        LINE,     ANSWER,  SIM_ON_ANY, 12, "it hangs up behind the answer")                \
    X(UNASKED_ERROR,       "unasked-error",        LINE,     ANSWER,  SIM_ON_MAILDROP, 10, "-ERR unasked behind the answer, closed")  \
    X(GARBLED_ANSWER,      "garbled-answer",       LINE,     ANSWER,  SIM_ON_ANY, 8, "the status is none, or a line of many KiB")     \
    X(OUTAGE_BEGINS,       "outage-begins",        LINE,     ANSWER,  SIM_ON_ANY, 4,  "all sessions are cut, none for minutes")       \
    X(STAT_ODD,            "stat-odd",             LISTING,  ANSWER,  SIM_ON(STAT), 150, "STAT has negative octets, or no numbers")    \
    X(STAT_REFUSED,        "stat-refused",         LISTING,  ANSWER,  SIM_ON(STAT), 120, "STAT is refused")                            \
    X(ROWS_REFUSED,        "rows-refused",         LISTING,  ANSWER,  SIM_ON_ROWS, 80, "UIDL or LIST is refused once")                \
    X(MAIL_ARRIVES,        "mail-arrives",         LISTING,  ANSWER,  SIM_ON_ANY, 20, "mail arrives now")                             \
    X(OTHER_DELETES,       "other-deletes",        LISTING,  ANSWER,  SIM_ON_ANY, 10, "another client deletes a message now")         \
    X(RETR_REFUSED,        "retr-refused",         DATA,     ANSWER,  SIM_ON(RETR), 30, "RETR is refused once")                       \
    X(BODY_TEMP,           "body-temp",            DATA,     ANSWER,  SIM_ON_BODY, 20, "-ERR [SYS/TEMP] to RETR or TOP")              \
    X(RETR_EMPTY,          "retr-empty",           DATA,     ANSWER,  SIM_ON(RETR), 40, "+OK and an empty body")                      \
    X(RETR_SHORT,          "retr-short",           DATA,     ANSWER,  SIM_ON(RETR), 60, "the body ends too early, in a valid dot")    \
    X(TOP_REFUSED,         "top-refused",          DATA,     ANSWER,  SIM_ON(TOP), 30, "TOP is refused once")                         \
    X(STRAY_ANSWER,        "stray-answer",         FRAMING,  ANSWER,  SIM_ON_MAILDROP, 15, "a status line that answers nothing")      \
    X(MISSING_ANSWER,      "missing-answer",       FRAMING,  ANSWER,  SIM_ON_MAILDROP, 12, "no answer, and then the next one's")      \
    X(DOUBLED_ANSWER,      "doubled-answer",       FRAMING,  ANSWER,  SIM_ON_MAILDROP, 15, "the same answer twice")                   \
    X(TORN_BODY,           "torn-body",            FRAMING,  ANSWER,  SIM_ON_BODY, 20, "the body stops without an end, the next answer follows") \
    X(STATUS_IN_BODY,      "status-in-body",       FRAMING,  ANSWER,  SIM_ON_BODY, 20, "the body stops, a status line stands inside its end") \
    X(MISSING_LF,          "missing-lf",           FRAMING,  ANSWER,  SIM_ON_BODY, 20, "the LF before the final dot is missing")      \
    X(DELE_REFUSED,        "dele-refused",         COMMIT,   ANSWER,  SIM_ON(DELE), 200, "DELE is refused once")                       \
    X(RSET_REFUSED,        "rset-refused",         COMMIT,   ANSWER,  SIM_ON(RSET), 400, "RSET is refused, and what was marked stays so") \
    X(QUIT_NOTHING,        "quit-nothing",         COMMIT,   ANSWER,  SIM_ON(QUIT), 350, "+OK, and nothing is deleted")                \
    X(QUIT_PART,           "quit-part",            COMMIT,   ANSWER,  SIM_ON(QUIT), 350, "+OK, and only a part is deleted")            \
    X(QUIT_REFUSED,        "quit-refused",         COMMIT,   ANSWER,  SIM_ON(QUIT), 250, "-ERR, and nothing is deleted")               \
    X(QUIT_REFUSED_PART,   "quit-refused-part",    COMMIT,   ANSWER,  SIM_ON(QUIT), 250, "-ERR, and a part is deleted, or all")        \
    X(QUIT_WORDLESS,       "quit-wordless",        COMMIT,   ANSWER,  SIM_ON(QUIT), 250, "closed without a word, and all is deleted")  \
    X(QUIT_CUT,            "quit-cut",             COMMIT,   ANSWER,  SIM_ON(QUIT), 250, "closed without a word, and nothing is deleted") \
    X(QUIT_SLOW,           "quit-slow",            COMMIT,   ANSWER,  SIM_ON(QUIT), 250, "deletes after seconds or minutes, and then answers") \
    X(QUIT_LATE,           "quit-late",            COMMIT,   ANSWER,  SIM_ON(QUIT), 350, "+OK at once, and deletes seconds later")
/* clang-format on */

#endif
