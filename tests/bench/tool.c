/* SPDX-License-Identifier: MIT */
/* What the benchmark's programs share; see tool.h. */
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

__attribute__((format(printf, 2, 0))) static _Noreturn void
die_with(const char *reason, const char *format, va_list args)
{
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    if (reason) {
        fprintf(stderr, ": %s", reason);
    }
    fputc('\n', stderr);
    exit(1);
}

void tool_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    die_with(NULL, format, args);
}

void tool_die_errno(const char *format, ...)
{
    const char *reason = strerror(errno);
    va_list args;
    va_start(args, format);
    die_with(reason, format, args);
}

int64_t tool_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * TOOL_S_NS + now.tv_nsec;
}

double tool_seconds(int64_t ns)
{
    return (double)ns / (double)TOOL_S_NS;
}

uint64_t tool_parse_size(const char *text)
{
    uint64_t sum = 0;
    const char *rest = text;
    for (;;) {
        char *end;
        errno = 0;
        uint64_t value = strtoull(rest, &end, 10);
        if (end == rest || errno || *rest == '-') {
            tool_die("not a size: %s", text);
        }
        const char *unit = *end ? strchr("KMG", *end) : NULL;
        if (unit) {
            value <<= *unit == 'K' ? 10 : *unit == 'M' ? 20 : 30;
            end++;
        }
        sum += value;
        if (*end != '+') {
            if (*end) {
                tool_die("not a size: %s", text);
            }
            return sum;
        }
        rest = end + 1;
    }
}

int64_t tool_parse_number(const char *text, int64_t min, int64_t max)
{
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < min || value > max) {
        tool_die("not a number from %lld to %lld: %s", (long long)min, (long long)max, text);
    }
    return value;
}

double tool_parse_decimal(const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max)) {
        tool_die("not a number from %g to %g: %s", min, max, text);
    }
    return value;
}

void *tool_allocate(size_t octets)
{
    void *memory = calloc(1, octets ? octets : 1);
    if (!memory) {
        tool_die("out of memory");
    }
    return memory;
}

int tool_listen(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof(address);
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&address, &len)) {
        tool_die_errno("cannot listen on 127.0.0.1:%u", port);
    }
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

void tool_parse_address(const char *text, struct sockaddr_in *ret_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(host)) {
        tool_die("not HOST:PORT: %s", text);
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    address.sin_port = htons((uint16_t)tool_parse_number(colon + 1, 1, 65535));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        tool_die("not an IPv4 address: %s", host);
    }
    *ret_address = address;
}

int tool_connect(const struct sockaddr_in *address)
{
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return -1;
    }
    if (connect(descriptor, (const struct sockaddr *)address, sizeof(*address))) {
        close(descriptor);
        return -1;
    }
    tool_set_nodelay(descriptor);
    return descriptor;
}

void tool_set_nodelay(int descriptor)
{
    int one = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}
