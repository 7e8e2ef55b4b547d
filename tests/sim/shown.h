/* SPDX-License-Identifier: MIT */
/* shown: whether what users are shown is what the model server has told: which messages there are,
 * and their dates. Texts are to show no secret. */
#ifndef POPFS_SIM_SHOWN_H
#define POPFS_SIM_SHOWN_H

#include "server.h"

#include "popfs/sync.h"

void shown_begin(struct sim_server *of);
/* popfs has read the whole listing of this session, and no other since. */
void shown_check_listing(struct sync *sync, uint32_t session);
/* The date is that of the header, as the server sent it for this message, or when it was first
 * seen. */
void shown_check_time(uint64_t serial, const struct maildrop_message *message);
/* A text for the log or for a person. */
void shown_check_text(const char *text);
/* All texts that popfs publishes about itself. */
void shown_check_status(struct sync *sync);

#endif
