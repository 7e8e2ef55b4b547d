/* SPDX-License-Identifier: MIT */
/*
 * floor: the least time in which a mailbox can be had over one POP3 session: no program can be
 * faster on the same line.
 *
 * USER and PASS in clear, each waiting for its answer as RFC 1939 wants; then every command at
 * once, always reading (a server such as Dovecot stops taking commands while its answers are not
 * read), every answer counted and thrown away. Refuses to know what a message means or where it
 * could be kept.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_OCTETS = 256 * 1024,
    STATUS_OCTETS = 512,
    COMMAND_OCTETS = 32,
    SILENCE_MS = 120 * 1000,
};

/* So many replies that are alike. */
struct run {
    uint64_t count;
    bool multi_line;
};

struct client {
    int descriptor;
    char *read_buffer;
    /* where the parser is: in which run, in a status line or a body, and how far into its line */
    const struct run *run;
    size_t run_count;
    uint64_t run_left;
    bool in_body;
    uint64_t line_octets;
    char line_head[2];
    char status[STATUS_OCTETS];
    /* what came */
    uint64_t replies, refused, octets;
};

/* ---- answers ---- */

static void client_next_reply(struct client *client)
{
    client->replies++;
    client->in_body = false;
    client->run_left--;
    while (client->run_count && client->run_left == 0) {
        client->run++;
        client->run_count--;
        client->run_left = client->run_count ? client->run->count : 0;
    }
}

static void client_end_status(struct client *client)
{
    uint64_t len = client->line_octets < STATUS_OCTETS ? client->line_octets : STATUS_OCTETS - 1;
    client->status[len] = '\0';
    bool ok = strncasecmp(client->status, "+OK", 3) == 0;
    if (!ok && strncasecmp(client->status, "-ERR", 4) != 0) {
        tool_die("garbled answer: %.80s", client->status);
    }
    client->refused += !ok;
    if (ok && client->run->multi_line) {
        client->in_body = true;
    } else {
        client_next_reply(client);
    }
}

static void client_end_body_line(struct client *client)
{
    bool dotted = client->line_head[0] == '.';
    if (dotted && client->line_octets == 3 && client->line_head[1] == '\r') {
        client_next_reply(client);
        return;
    }
    client->octets += client->line_octets - dotted;
}

/* Notes a piece of a line; the status is kept, of a body's line only the head. */
static void client_take_piece(struct client *client, const char *piece, size_t octets)
{
    for (uint64_t at = client->line_octets, i = 0; at < 2 && i < octets; at++, i++) {
        client->line_head[at] = piece[i];
    }
    if (!client->in_body && client->line_octets < STATUS_OCTETS) {
        size_t room = STATUS_OCTETS - (size_t)client->line_octets;
        memcpy(client->status + client->line_octets, piece, octets < room ? octets : room);
    }
    client->line_octets += octets;
}

static void client_parse(struct client *client, const char *data, size_t octets)
{
    while (octets > 0) {
        if (client->run_count == 0) {
            tool_die("more answers than commands");
        }
        const char *end = memchr(data, '\n', octets);
        size_t piece = end ? (size_t)(end - data) + 1 : octets;
        client_take_piece(client, data, piece);
        if (end) {
            if (client->in_body) {
                client_end_body_line(client);
            } else {
                client_end_status(client);
            }
            client->line_octets = 0;
        }
        data += piece;
        octets -= piece;
    }
}

/* ---- talking ---- */

static void client_read(struct client *client)
{
    ssize_t got = recv(client->descriptor, client->read_buffer, READ_OCTETS, 0);
    if (got == 0) {
        tool_die("the server hung up after %llu replies", (unsigned long long)client->replies);
    }
    if (got > 0) {
        client_parse(client, client->read_buffer, (size_t)got);
    } else if (errno != EAGAIN) {
        tool_die_errno("reading");
    }
}

/* Sends all of `commands` as the socket takes them, reads all the while, returns when every reply
 * is in. */
static void client_exchange(struct client *client, const char *commands, size_t octets,
                            const struct run *runs, size_t run_count)
{
    client->run = runs;
    client->run_count = run_count;
    client->run_left = runs[0].count;
    while (client->run_count > 0 || octets > 0) {
        struct pollfd poll_for = {.fd = client->descriptor,
                                  .events = (short)(POLLIN | (octets ? POLLOUT : 0))};
        if (poll(&poll_for, 1, SILENCE_MS) <= 0) {
            tool_die("the server is silent after %llu replies",
                     (unsigned long long)client->replies);
        }
        if (poll_for.revents & POLLOUT) {
            ssize_t sent = send(client->descriptor, commands, octets, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) {
                tool_die_errno("writing");
            }
            commands += sent > 0 ? sent : 0;
            octets -= sent > 0 ? (size_t)sent : 0;
        }
        if (poll_for.revents & ~POLLOUT) {
            client_read(client);
        }
    }
}

/* One command with a one-line answer, which must be +OK. */
static void client_ask(struct client *client, const char *command)
{
    static const struct run one = {1, false};
    uint64_t refused = client->refused;
    client_exchange(client, command, strlen(command), &one, 1);
    if (client->refused != refused) {
        tool_die("the server refused: %.200s", client->status);
    }
}

static void client_login(struct client *client, const char *user, const char *password)
{
    char command[STATUS_OCTETS];
    client_ask(client, ""); /* the greeting */
    snprintf(command, sizeof(command), "USER %s\r\n", user);
    client_ask(client, command);
    snprintf(command, sizeof(command), "PASS %s\r\n", password);
    client_ask(client, command);
}

static uint64_t client_stat(struct client *client)
{
    unsigned long long count;
    client_ask(client, "STAT\r\n");
    if (sscanf(client->status + 3, "%llu", &count) != 1) {
        tool_die("no count in the answer to STAT");
    }
    return count;
}

/* ---- the work ---- */

struct work {
    const char *name;
    const char *verb; /* sent once for each message */
    bool multi_line;
    bool quits; /* QUIT belongs to the work */
};

static const struct work works[] = {
    {"retr", "RETR", true, false},
    {"top", "TOP", true, false},
    {"dele", "DELE", false, true},
    {"list", NULL, true, false},
};

static void client_do(struct client *client, const struct work *work, size_t count,
                      const char *argument)
{
    const struct run runs[2] = {{count, work->multi_line}, {1, false}};
    char *commands = tool_allocate(count * COMMAND_OCTETS + COMMAND_OCTETS);
    size_t octets = 0;
    for (size_t i = 1; i <= count; i++) {
        octets += (size_t)sprintf(commands + octets, "%s %llu%s\r\n", work->verb,
                                  (unsigned long long)i, argument);
    }
    if (work->quits) {
        octets += (size_t)sprintf(commands + octets, "QUIT\r\n");
    }
    size_t skipped = count ? 0 : 1;
    size_t run_count = work->quits ? 2 : 1;
    if (run_count > skipped) {
        client_exchange(client, commands, octets, runs + skipped, run_count - skipped);
    }
    free(commands);
}

static void client_list(struct client *client)
{
    static const struct run lists[] = {{2, true}};
    static const char commands[] = "UIDL\r\nLIST\r\n";
    client_exchange(client, commands, sizeof(commands) - 1, lists, 1);
}

static const struct work *find_work(const char *name)
{
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        if (name && strcmp(works[i].name, name) == 0) {
            return &works[i];
        }
    }
    return NULL;
}

/* STAT goes with UIDL and LIST when they are the work, since a client that wants both need not wait
 * between. */
static void measure(struct client *client, const struct work *work, uint64_t most,
                    const struct sockaddr_in *to, const char *user, const char *password,
                    uint64_t lines)
{
    char argument[COMMAND_OCTETS / 2] = "";
    if (strcmp(work->name, "top") == 0) {
        snprintf(argument, sizeof(argument), " %llu", (unsigned long long)lines);
    }
    int64_t start_ns = tool_now_ns();
    client->descriptor = tool_connect(to);
    if (client->descriptor < 0 || fcntl(client->descriptor, F_SETFL, O_NONBLOCK)) {
        tool_die_errno("cannot connect");
    }
    client_login(client, user, password);
    int64_t login_ns = tool_now_ns();
    uint64_t count = work->verb ? client_stat(client) : 0;
    count = count < most ? count : most;
    int64_t stat_ns = tool_now_ns();
    uint64_t before = client->replies;
    if (work->verb) {
        client_do(client, work, (size_t)count, argument);
    } else {
        client_list(client);
    }
    int64_t end_ns = tool_now_ns();
    printf("{\"work\": \"%s\", \"replies\": %llu, \"refused\": %llu, \"octets\": %llu, "
           "\"login_s\": %.6f, \"stat_s\": %.6f, \"work_s\": %.6f, \"total_s\": %.6f}\n",
           work->name, (unsigned long long)(client->replies - before),
           (unsigned long long)client->refused, (unsigned long long)client->octets,
           tool_seconds(login_ns - start_ns), tool_seconds(stat_ns - login_ns),
           tool_seconds(end_ns - stat_ns), tool_seconds(end_ns - start_ns));
    if (!work->quits) {
        client_ask(client, "QUIT\r\n");
    }
    close(client->descriptor);
}

static _Noreturn void usage(void)
{
    fputs("usage: floor --to HOST:PORT --user USER --pass PASSWORD [--count N] [--lines N] "
          "retr|top|dele|list\n"
          "Prints how long the login, STAT and the work took, as JSON. dele deletes for good.\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},    {"user", required_argument, NULL, 'u'},
        {"pass", required_argument, NULL, 'p'},  {"count", required_argument, NULL, 'c'},
        {"lines", required_argument, NULL, 'l'}, {NULL, 0, NULL, 0},
    };
    struct sockaddr_in to = {0};
    const char *user = NULL, *password = NULL;
    uint64_t most = UINT64_MAX, lines = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't':
            tool_parse_address(optarg, &to);
            break;
        case 'u':
            user = optarg;
            break;
        case 'p':
            password = optarg;
            break;
        case 'c':
            most = (uint64_t)tool_parse_number(optarg, 0, 10000000);
            break;
        case 'l':
            lines = (uint64_t)tool_parse_number(optarg, 0, 1000000);
            break;
        default:
            usage();
        }
    }
    const struct work *work = find_work(argv[optind]);
    if (!to.sin_port || !user || !password || !work || optind + 1 != argc) {
        usage();
    }
    struct client client = {.read_buffer = tool_allocate(READ_OCTETS)};
    measure(&client, work, most, &to, user, password, lines);
    free(client.read_buffer);
    return 0;
}
