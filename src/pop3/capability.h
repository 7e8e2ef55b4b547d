/* SPDX-License-Identifier: MIT */
/* What a server says it can (RFC 2449), one CAPA line after the other. */
#ifndef POPFS_POP3_CAPABILITY_H
#define POPFS_POP3_CAPABILITY_H

#include "veil.h"

/* An empty set that is known. */
void pop3_capability_start(struct pop3_capabilities *set);
/* A server without CAPA: what RFC 1939 knows is tried, nothing is assumed that could do harm. */
void pop3_capability_assume(struct pop3_capabilities *set);
void pop3_capability_add(struct pop3_capabilities *set, struct slice line, struct pop3_veil *veil);

#endif
