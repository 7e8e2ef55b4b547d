/* SPDX-License-Identifier: MIT */
/* net: popfs/net.h over the model server, in the place of all of src/net. */
#ifndef POPFS_SIM_NET_H
#define POPFS_SIM_NET_H

#include "server.h"

/* `piece_octets`: reads and writes give or take up to so many, drawn; 0: all. */
void net_use(struct sim_server *server, const struct sim_random *random, uint32_t piece_octets);
/* The process has ended: its link is closed, or nobody tells the server (a power cut). */
void net_process_ended(bool power_cut);
/* Of the connection that there is; 0: none, or it has not come so far. */
uint32_t net_session_number(void);
/* Called when the server has heard a QUIT of the session. */
void net_on_quit(void (*heard)(void *context, uint32_t session), void *context);

#endif
