/* SPDX-License-Identifier: MIT */
/* A date as mail programs write it. Pure. */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Reads RFC 5322 with its obsolete forms, asctime(), ISO 8601 and what real programs made of them:
 * "10.00.00", "+02:00", "GMT+0100", "2:30 PM", years of two and three digits, comments anywhere. A
 * zone that is unknown or a day or more counts as UTC, a missing time as midnight. False if `text`
 * names no day that exists, or one outside MAIL_TIME_MIN_S to MAIL_TIME_MAX_S.
 */
bool date_parse(const char *text, int64_t *ret_seconds);

#endif
