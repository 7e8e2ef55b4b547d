/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark's programs share: a clock, sizes, listening and connecting on this machine.
 *
 * They judge popfs, so they use none of its code. They are programs for one run: on trouble they
 * say so and end.
 */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOOL_MS_NS 1000000LL
#define TOOL_S_NS 1000000000LL

/* Prints "PROGRAM: text[: errno]" and exits with 1. */
_Noreturn void tool_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void tool_die_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The monotonic clock. */
int64_t tool_now_ns(void);
double tool_seconds(int64_t ns);

/* "170", "4K", "5M", "4G+1": binary units; ends the program on anything else. */
uint64_t tool_parse_size(const char *text);
int64_t tool_parse_number(const char *text, int64_t min, int64_t max);
double tool_parse_decimal(const char *text, double min, double max);

void *tool_allocate(size_t octets);

/* A listening, non-blocking socket on 127.0.0.1; port 0 takes a free one. Prints "port N" on
 * stdout. */
int tool_listen(uint16_t port);
/* Reads "HOST:PORT", where the host is an IPv4 address. */
void tool_parse_address(const char *text, struct sockaddr_in *ret_address);
/* A blocking connection without Nagle, or -1 with errno. */
int tool_connect(const struct sockaddr_in *address);
void tool_set_nodelay(int descriptor);

#endif
