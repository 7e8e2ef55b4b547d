/* SPDX-License-Identifier: MIT */
/*
 * One POP3 session over one connection: carries bytes between net and pop3, so that the engine sees
 * events and issues commands. Never blocks. Refuses to know what the commands are for.
 */
#ifndef SYNC_LINK_H
#define SYNC_LINK_H

#include "popfs/net.h"
#include "popfs/pop3.h"

struct link;

struct link_options {
    struct net_connection_options net;
    struct pop3_options pop3;
    int64_t timeout_ms; /* silence while an answer is owed */
};

enum fault link_new(const struct link_options *options, int64_t now_ms, struct link **ret_link,
                    struct failure *ret_failure);
/* Closes without QUIT. NULL is fine. */
void link_free(struct link *link);
/* After QUIT was answered, or instead of it. */
void link_close(struct link *link);
/* Sends RSET as far as the socket takes it; for a link that is about to be freed. */
void link_reset(struct link *link);
/* The link failed because no authority vouches for the certificates that the server has shown. */
bool link_has_refused_certificate(const struct link *link);
/* What the server gave as the reason, after link_next_event() failed. */
enum pop3_code link_failure_code(const struct link *link);

/*
 * The next event, after moving as many bytes as that takes; POP3_EVENT_NONE when there is nothing
 * now, or when this turn has had its share (see link_begin_turn()). Once it has not returned
 * FAULT_NONE the link is only good for link_free().
 */
enum fault link_next_event(struct link *link, int64_t now_ms, struct pop3_event *ret_event,
                           struct failure *ret_failure);
/* A turn of the engine's loop begins: a fast line may not keep the engine from looking at its
 * requests. */
void link_begin_turn(struct link *link);

/* See pop3_session_assume_pipelining(), pop3_session_expect_auth(), pop3_session_forgo_binding().
 */
void link_assume_pipelining(struct link *link);
void link_expect_auth(struct link *link, enum pop3_auth auth);
void link_forgo_binding(struct link *link);
/* The login was begun together with CAPA, and that part of it has not been taken. */
bool link_is_anticipating(const struct link *link);
bool link_may_issue(const struct link *link);
/* See pop3_session_pipelines(). */
bool link_pipelines(const struct link *link);
enum fault link_issue(struct link *link, const struct pop3_request *request, int64_t now_ms);
/* Sends what the socket takes. */
enum fault link_flush(struct link *link, int64_t now_ms, struct failure *ret_failure);

size_t link_poll(const struct link *link, int64_t now_ms, struct pollfd fds[NET_POLL_MAX],
                 int64_t *ret_timeout_ms);

size_t link_outstanding_count(const struct link *link);
/* When the last byte came, or when the first command after a pause was issued. */
int64_t link_heard_ms(const struct link *link);
/* When any command was last issued or byte heard: what the server's idle clock sees. */
int64_t link_active_ms(const struct link *link);
uint64_t link_received_octets(const struct link *link);
/* The answer that is coming has less than 1 KiB a second, see flow.h. */
bool link_is_slow(const struct link *link, int64_t now_ms);
/* How long `octets` more of it take; INT64_MAX where nothing comes. */
int64_t link_rest_ms(const struct link *link, uint64_t octets, int64_t now_ms);
struct net_connection *link_connection(struct link *link);
const struct pop3_session *link_session(const struct link *link);
/* As pop3_session_show(). */
const char *link_show(struct link *link, struct slice text, char *out, size_t capacity);

#endif
