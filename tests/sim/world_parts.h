/* SPDX-License-Identifier: MIT */
/* What the files that take the place of popfs's own (threads.c, net.c, outside.c) share with
 * world.c. */
#ifndef POPFS_SIM_WORLD_PARTS_H
#define POPFS_SIM_WORLD_PARTS_H

#include "world.h"

struct coroutine;

/* ---- world.c ---- */

int64_t world_wall_ns(void);
int64_t world_slept_ms(void);
void world_draw(void *memory, size_t octets);
/* Octets have moved: it does not go round in circles. */
void world_note_progress(void);
void world_log(const char *line);

/* Number of a new coroutine, which runs when the world gets to it. */
int world_start(void *(*run)(void *argument), void *argument);
bool world_has_ended(int number);
/* Lets the world go on until it has: from the main stack, or from another coroutine. */
void world_join(int number);

int world_door_new(void);
void world_door_knock(int door);
bool world_door_was_knocked(int door);
void world_door_forget_knock(int door);
/* The coroutine that runs waits for the door, for the network, or for time to pass. */
void world_wait(int door, bool network, int64_t timeout_ms);

/* ---- net.c ---- */

/* When the connection has something for popfs; -1: not by itself. */
int64_t net_next_ms(void);

#endif
