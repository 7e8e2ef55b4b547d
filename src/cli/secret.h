/* SPDX-License-Identifier: MIT */
/* A password: memory that is neither swapped nor dumped, and the places that one may come from. */
#ifndef POPFS_CLI_SECRET_H
#define POPFS_CLI_SECRET_H

#include "popfs/base.h"

enum {
    /* Tokens of 16 KiB exist; with the terminator this is whole pages. */
    SECRET_OCTETS_MAX = 65535,
};

enum secret_source {
    SECRET_FROM_NOWHERE,
    SECRET_FROM_PASSCMD,
    SECRET_FROM_PASSFILE,
    SECRET_FROM_STDIN,
    SECRET_FROM_CREDENTIAL,
    SECRET_FROM_NETRC,
    SECRET_FROM_TERMINAL,
};

/* A zeroed one is empty and valid. */
struct secret {
    char *text; /* SECRET_OCTETS_MAX + 1 octets, always terminated; NULL before secret_init() */
    size_t len;
    enum secret_source source; /* of the last secret_obtain() that succeeded */
};

bool secret_init(struct secret *secret);
/* To be called again in a child: locks are not inherited over fork(2). */
void secret_lock(const struct secret *secret);
/* Wipes and unmaps. */
void secret_done(struct secret *secret);

/* Reads from a descriptor to its end, or with `one_line` not a byte beyond the first line end.
 * `what` is for messages. */
enum fault secret_read(struct secret *secret, int descriptor, bool one_line, const char *what,
                       struct failure *ret_failure);
/* Keeps the first line, without its LF or CRLF. FAULT_REFUSED if that is empty or holds CR or NUL:
 * POP3 cannot send them. */
enum fault secret_keep_first_line(struct secret *secret, const char *what,
                                  struct failure *ret_failure);
/* A regular file; with `private` one that neither group nor others may read or write. FAULT_GONE if
 * there is none. */
enum fault secret_read_file(struct secret *secret, const char *path, bool private, const char *what,
                            struct failure *ret_failure);

/* NULL or false where there is none. */
struct secret_sources {
    const char *user, *host;
    const char *passcmd;
    const char *passfile;
    bool password_stdin;
    const char *credentials_folder; /* systemd's */
    const char *netrc;
    const char *terminal;
};

/*
 * The password from the first of the sources that was given or holds one. May ask the user, and
 * wait for that without end. FAULT_REFUSED: something to put right (permissions, an empty line, no
 * source at all); FAULT_LOGIN: the source failed; FAULT_MEMORY.
 */
enum fault secret_obtain(struct secret *secret, const struct secret_sources *sources,
                         struct failure *ret_failure);

/* Where it came from, for people: "passfile=/etc/p". A passcmd is not shown: it may hold a secret.
 * Returns `out`; NULL before secret_obtain(). */
const char *secret_source_show(const struct secret *secret, const struct secret_sources *sources,
                               char *out, size_t capacity);

/* False: it was typed, or came from stdin, and cannot be had a second time. */
bool secret_can_refetch(const struct secret *secret);
/*
 * Fetches the password anew from the source that secret_obtain() had it from. Whoever reads
 * `secret->text` meanwhile sees the old one for as long as that takes (a minute at most, from a
 * passcmd) and must not look at the very end, when the new one is put in its place; on a failure
 * the old one stays. Faults as secret_obtain(). From any thread, one at a time.
 */
enum fault secret_refetch(struct secret *secret, const struct secret_sources *sources,
                          struct failure *ret_failure);

/* The login that ~/.netrc names for the host, a new string; NULL if it names none. */
char *secret_netrc_login(const char *netrc, const char *host);

#endif
