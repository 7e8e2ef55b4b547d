/* SPDX-License-Identifier: MIT */
/*
 * mail: what the header of a message says (RFC 5322), by GMime.
 *
 * Pure: bytes in, facts out. Refuses to know where the bytes come from. Any thread.
 */
#ifndef POPFS_MAIL_H
#define POPFS_MAIL_H

#include "popfs/base.h"

enum {
    /* How much of a header is looked at as it is; the longest seen in the wild is below 64 KiB. */
    MAIL_HEADER_OCTETS_MAX = 262144,
    /* How much of one field is looked at. */
    MAIL_FIELD_OCTETS_MAX = 4096,
    /* With the first of each field that matters behind that, see mail_field_index(). */
    MAIL_FIELDS = 5,
    MAIL_FIELD_NAME_OCTETS_MAX = 9, /* of the longest of their names, with the colon */
    MAIL_HEADER_KEPT_MAX = MAIL_HEADER_OCTETS_MAX + MAIL_FIELDS * (MAIL_FIELD_OCTETS_MAX + 2),
    /* How much of a header is evidence: Maillennium ends TOP after 64 KiB, and RETR goes on. */
    MAIL_EVIDENCE_OCTETS_MAX = 49152,
};

/*
 * What a date must be within: the year 1902, with which 32-bit times and file systems begin, and
 * the last second that fits into 32 bits without a sign, in February 2106.
 */
#define MAIL_TIME_MIN_S INT64_C(-2145916800)
#define MAIL_TIME_MAX_S INT64_C(4294967295)

/*
 * The time of the first Date field that makes sense, else of the topmost (newest) Received field,
 * in seconds of the epoch. `header` may go on into the body and may be cut anywhere. False if
 * neither is there or lies within MAIL_TIME_MIN_S to MAIL_TIME_MAX_S.
 */
bool mail_header_time(struct slice header, int64_t *ret_seconds);

/*
 * Sender (the name, else the address, of the first From) and Subject, decoded (RFC 2047), as UTF-8
 * without control, format and bidirectional characters, runs of blanks as one; each at most
 * `octets_max`, cut at a character. Empty where the field is missing. False for want of memory.
 */
bool mail_header_summary(struct slice header, size_t octets_max, struct buffer *ret_from,
                         struct buffer *ret_subject);
/*
 * The sender as above, and the whole texts of the first From, To and Subject, made fit in the same
 * way: addresses stay in them.
 */
struct mail_texts {
    struct buffer sender, from, to, subject;
};

/* The same bounds hold. False for want of memory; *ret_texts is to be freed in any case. */
bool mail_header_texts(struct slice header, size_t octets_max, struct mail_texts *ret_texts);
void mail_texts_done(struct mail_texts *texts);

/*
 * Which of the fields that are read of any header `line` starts: Date, From, Received, Subject and
 * To are 0 to MAIL_FIELDS - 1; -1 if none of them. MAIL_FIELD_NAME_OCTETS_MAX octets of it do.
 */
int mail_field_index(struct slice line);

/*
 * Evidence of the message: a digest of its first Message-ID, Date, From and Subject or, without a
 * Message-ID, of the whole header less what servers themselves add (Status, X-Status, X-UIDL). The
 * case of names, folding, runs of blanks and the kind of line ends do not matter, nor does the
 * order of the four. `header` is whole, or has at least MAIL_EVIDENCE_OCTETS_MAX octets, and may go
 * on into the body: fields that end behind that bound do not count. None where there is no field,
 * or for want of memory. The lowest bit of the last octet is 0, for the use of the caller.
 */
void mail_evidence(struct slice header, struct evidence *ret_evidence);

#endif
