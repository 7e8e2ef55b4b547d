/* SPDX-License-Identifier: MIT */
/*
 * ledger: what the user wished, message by message (by serial, which popfs cannot know), and the
 * six invariants that are checked against it and against the model server. tests/README.md says
 * what each is.
 */
#ifndef POPFS_SIM_LEDGER_H
#define POPFS_SIM_LEDGER_H

#include "server.h"
#include "world.h"

#include "popfs/sync.h"

void ledger_begin(struct sim_server *server, bool state_off, bool lf);

/* ---- which message is which ---- */

/* popfs has read the listing of this session of the server. */
void ledger_note_listing(uint32_t session);
/* A mount has begun: the last listing is the one that it began with. */
void ledger_note_start(void);
/* The serial of a message of popfs by that listing; 0: the ledger cannot tell. */
uint64_t ledger_serial(const struct maildrop_message *message);

/* ---- what the user does ---- */

void ledger_removed(uint64_t serial, const struct maildrop_message *message, enum fault fault);
void ledger_restored(uint64_t serial, const struct maildrop_message *message, enum fault fault);
/* It was just said that this one has been taken back. */
void ledger_check_restored(uint64_t serial, const struct maildrop_message *message);
/* A request to restore one or all was answered: what is not going any more has been taken back. */
void ledger_restored_all(struct sync *sync, bool all, enum fault fault);

/* popfs was killed before it had answered whether this, or all (0), has been taken back. */
void ledger_unsure(uint64_t serial);

/* ---- what is checked ---- */

/* The server has heard a QUIT in this session. */
void ledger_quit_heard(void *context, uint32_t session);
/* popfs logs a line. */
void ledger_heard(void *context, const char *line);
/* At any time while popfs is mounted. */
void ledger_check_snapshot(struct sync *sync);
/* What a reader was given of the message. */
void ledger_check_octets(uint64_t serial, const struct maildrop_message *message, uint64_t offset,
                         struct slice octets, bool is_all);
/* The mount has ended in an orderly way. */
void ledger_check_report(const struct sync_report *report, bool commit);
/* A commit that was answered well, while mounted. */
void ledger_check_commit(struct sync *sync);
/* The server behaves, and a commit was answered well: nothing is left. */
void ledger_check_nothing_pending(void);
/* Nothing is left but what no other session can prove, because it has no header. */
bool ledger_pending_has_no_header(void);
/* Whether a removal is pending as far as the user knows. */
size_t ledger_pending_count(void);

/* ---- how a process of popfs ends ---- */

void ledger_process_ended(enum world_end end);
/* Another is there: by now what it found in the journal is on the disk. */
void ledger_process_began(void);

#endif
