/* SPDX-License-Identifier: MIT */
/* A client for the tests of the model server: it talks, waits in virtual time, and reads all. */
#ifndef POPFS_SIM_SERVER_TALK_H
#define POPFS_SIM_SERVER_TALK_H

#include "server.h"

struct talk {
    struct sim_server *server;
    struct sim_session *session;
    int64_t now_ms;
    int64_t patience_ms; /* how long an answer is waited for */
    struct buffer heard; /* the last answer, terminated by a NUL */
};

/* The first three messages of every talk. */
extern const char *const talk_messages[3];

/* A server with three messages, which has no fault but `fault`, for certain (SIM_FAULT_COUNT:
 * none). */
void talk_begin(struct talk *talk, enum sim_fault fault, uint64_t seed);
void talk_begin_with(struct talk *talk, const struct sim_faults *faults, uint64_t seed);
void talk_end(struct talk *talk);

/* A new session in place of the last; hears the greeting. False: no connection. */
bool talk_connect(struct talk *talk);
/* USER and PASS; returns the answer to PASS. */
const char *talk_log_in(struct talk *talk);
/* Connects and logs in, which must succeed. */
void talk_enter(struct talk *talk);

/* Says one line, hears what comes until the patience ends; the text is good until the next call. */
const char *talk_say(struct talk *talk, const char *line);
void talk_send(struct talk *talk, const char *line); /* and does not listen */
const char *talk_hear(struct talk *talk);
/* As STAT, UIDL and the like say it to a client that is new: commands separated by '|'; the answer
 * to the last. */
const char *talk_say_all(struct talk *talk, const char *lines);
bool talk_is_closed(const struct talk *talk);
void talk_drop(struct talk *talk);

#endif
