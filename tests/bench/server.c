/* SPDX-License-Identifier: MIT */
/*
 * server: a POP3 server for any user and password whose maildrop exists only as a rule, so that it
 * can hold a million messages or messages of many gigabytes, and answers as fast as the socket
 * takes it.
 *
 * Message `id` is the same in every run: a header of fixed length, then lines of 76 characters; the
 * first line of each segment names message and segment, so that octets of another message or place
 * are noticed; some lines begin with a dot. `--body ID` writes it to stdout as RETR must deliver
 * it. Deletions are kept as long as the process lives. Refuses to know files, TLS and time.
 */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_OCTETS = 78,
    TEMPLATE_LINES = 4096,
    SEGMENT_LINES = 840, /* the first is the stamp */
    DOTTED_EVERY = 97,   /* one template line in so many begins with a dot */
    FIRST_DATE = 1700000000,
    DATE_STEP_S = 61,
    COMMAND_OCTETS = 255 + 2,
    INPUT_OCTETS = 64 * 1024,
    ARENA_OCTETS = 256 * 1024,
    ARENA_SPARE_OCTETS = 2048, /* nothing that is written in one go is longer */
    PIECES = 1000,             /* below IOV_MAX */
    PIECES_SPARE = 8,
    MESSAGES_MOST = 100000000,
    SIZE_RUNS_MOST = 64,
};

/* ---- the maildrop as a rule ---- */

/* So many messages of this size; the runs repeat for ever. */
struct size_run {
    uint64_t octets, count;
};

struct rule {
    uint32_t message_count;
    int64_t lie_percent; /* LIST is off by so much */
    bool mixed;
    struct size_run runs[SIZE_RUNS_MOST];
    size_t run_count;
    uint64_t period;
    uint64_t header_octets;
};

/* Lines as they are, and as they go over the wire. */
struct text {
    char *data;
    size_t *at; /* where each line starts */
};

static struct text raw_text, wire_text;

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15U;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31);
}

static void text_init(struct text *text, bool stuffed)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t lines = TEMPLATE_LINES + SEGMENT_LINES, octets = 0;
    text->data = tool_allocate(lines * (LINE_OCTETS + 1));
    text->at = tool_allocate((lines + 1) * sizeof(size_t));
    for (size_t i = 0; i < lines; i++) {
        size_t number = i % TEMPLATE_LINES;
        bool dotted = number % DOTTED_EVERY == 0;
        text->at[i] = octets;
        if (dotted && stuffed) {
            text->data[octets++] = '.';
        }
        for (size_t j = 0; j < LINE_OCTETS - 2; j++) {
            text->data[octets++] =
                dotted && j == 0 ? '.' : digits[mix(number * LINE_OCTETS + j) & 63];
        }
        text->data[octets++] = '\r';
        text->data[octets++] = '\n';
    }
    text->at[lines] = octets;
}

/* Fixed width throughout: every header is equally long. Returns the length; `out` has
 * ARENA_SPARE_OCTETS. */
static size_t header_write(char *out, uint32_t id)
{
    char date[64];
    struct tm when;
    time_t epoch = FIRST_DATE + (time_t)id * DATE_STEP_S;
    gmtime_r(&epoch, &when);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &when);
    int len = snprintf(out, ARENA_SPARE_OCTETS,
                       "Return-Path: <sender%09u@example.org>\r\n"
                       "From: Sender %09u <sender%09u@example.org>\r\n"
                       "To: Reader <reader@example.net>\r\n"
                       "Subject: Message %09u of a synthetic maildrop\r\n"
                       "Date: %s\r\n"
                       "Message-ID: <%09u.%08x@example.org>\r\n"
                       "MIME-Version: 1.0\r\n"
                       "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
                       id, id % 1000, id % 1000, id, date, id, (unsigned)mix(id));
    return (size_t)len;
}

/* Sizes as in a person's mailbox: log-normal, median 12 KiB, at most 25 MiB. */
static uint64_t mixed_size(uint32_t id)
{
    double u = ((double)(mix(id * 2U) >> 11) + 1) / 9007199254740993.0;
    double v = (double)(mix(id * 2U + 1) >> 11) / 9007199254740992.0;
    double octets = 12288 * exp(2.0 * sqrt(-2 * log(u)) * cos(2 * M_PI * v));
    return (uint64_t)fmin(octets, 25 * 1048576.0);
}

static uint64_t message_size(const struct rule *rule, uint32_t id)
{
    uint64_t octets;
    uint64_t least = rule->header_octets + 2;
    if (rule->mixed) {
        octets = mixed_size(id);
    } else {
        const struct size_run *run = rule->runs;
        uint64_t place = (id - 1) % rule->period;
        while (place >= run->count) {
            place -= run->count;
            run++;
        }
        octets = run->octets;
    }
    return octets < least ? least : octets;
}

static uint64_t message_listed_size(const struct rule *rule, uint32_t id)
{
    uint64_t octets = message_size(rule, id);
    int64_t error = (int64_t)(octets / 100) * rule->lie_percent;
    return octets + (uint64_t)error;
}

/* ---- output: pieces of the template, and what was written into the arena between them ---- */

struct output {
    int descriptor;
    bool broken;
    size_t piece_count, arena_used;
    struct iovec pieces[PIECES];
    char arena[ARENA_OCTETS];
};

static void output_flush(struct output *output)
{
    struct iovec *piece = output->pieces;
    size_t left = output->piece_count;
    while (left > 0 && !output->broken) {
        ssize_t sent = writev(output->descriptor, piece, (int)left);
        if (sent < 0) {
            output->broken = errno != EINTR;
            continue;
        }
        while (left > 0 && (size_t)sent >= piece->iov_len) {
            sent -= (ssize_t)piece->iov_len;
            piece++;
            left--;
        }
        if (left > 0) {
            piece->iov_base = (char *)piece->iov_base + sent;
            piece->iov_len -= (size_t)sent;
        }
    }
    output->piece_count = output->arena_used = 0;
}

static void output_add(struct output *output, char *data, size_t octets)
{
    struct iovec *last = output->piece_count ? &output->pieces[output->piece_count - 1] : NULL;
    if (last && (char *)last->iov_base + last->iov_len == data) {
        last->iov_len += octets;
        return;
    }
    output->pieces[output->piece_count++] = (struct iovec){data, octets};
}

/* Room for ARENA_SPARE_OCTETS; output_took() tells how many were used. */
static char *output_room(struct output *output)
{
    if (output->piece_count > PIECES - PIECES_SPARE ||
        output->arena_used > ARENA_OCTETS - ARENA_SPARE_OCTETS) {
        output_flush(output);
    }
    return output->arena + output->arena_used;
}

static void output_took(struct output *output, size_t octets)
{
    output_add(output, output->arena + output->arena_used, octets);
    output->arena_used += octets;
}

static void output_string(struct output *output, const char *text)
{
    size_t octets = strlen(text);
    memcpy(output_room(output), text, octets);
    output_took(output, octets);
}

static size_t write_number(char *out, uint64_t value)
{
    char digits[20];
    size_t count = 0, written = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) {
        out[written++] = digits[--count];
    }
    return written;
}

/* ---- messages ---- */

static void output_stamp(struct output *output, uint32_t id, uint64_t segment)
{
    char *out = output_room(output);
    int len = snprintf(out, ARENA_SPARE_OCTETS, "== message %09u segment %015llu ", id,
                       (unsigned long long)segment);
    memset(out + len, '=', (size_t)(LINE_OCTETS - 2 - len));
    memcpy(out + LINE_OCTETS - 2, "\r\n", 2);
    output_took(output, LINE_OCTETS);
}

/* The first `lines` full lines of a body. */
static void output_lines(struct output *output, const struct text *text, uint32_t id,
                         uint64_t lines)
{
    for (uint64_t segment = 0; lines > 0 && !output->broken; segment++) {
        uint64_t count = lines < SEGMENT_LINES ? lines : SEGMENT_LINES;
        size_t first = (size_t)(mix((uint64_t)id << 32 ^ segment) % TEMPLATE_LINES);
        const size_t *at = text->at + first;
        output_stamp(output, id, segment);
        output_add(output, text->data + at[0], at[count - 1] - at[0]);
        lines -= count;
    }
}

/* The last line takes up what full lines cannot: 2 to 79 octets with its end. */
static void output_last_line(struct output *output, size_t octets)
{
    char *out = output_room(output);
    memset(out, 'z', octets - 2);
    memcpy(out + octets - 2, "\r\n", 2);
    output_took(output, octets);
}

static void output_message(struct output *output, const struct rule *rule, const struct text *text,
                           uint32_t id, uint64_t most_lines)
{
    uint64_t body = message_size(rule, id) - rule->header_octets;
    uint64_t full_lines = (body - 2) / LINE_OCTETS;
    output_took(output, header_write(output_room(output), id));
    output_lines(output, text, id, full_lines < most_lines ? full_lines : most_lines);
    if (most_lines > full_lines) {
        output_last_line(output, (size_t)(body - full_lines * LINE_OCTETS));
    }
}

/* ---- a session ---- */

struct counters {
    atomic_ullong logins, retr, top, dele, uidl, list;
};

struct server {
    struct rule rule;
    struct counters counters;
    pthread_mutex_t lock; /* guards `deleted` */
    bool *deleted;        /* by id */
};

static struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct session {
    bool in_transaction, over;
    uint32_t *ids; /* by number - 1; taken at login */
    bool *going;   /* by number - 1 */
    uint32_t count;
    struct output output;
};

static void session_login(struct session *session)
{
    if (session->in_transaction) {
        output_string(&session->output, "-ERR already\r\n");
        return;
    }
    session->ids = tool_allocate(server.rule.message_count * sizeof(uint32_t));
    session->going = tool_allocate(server.rule.message_count);
    pthread_mutex_lock(&server.lock);
    for (uint32_t id = 1; id <= server.rule.message_count; id++) {
        if (!server.deleted[id]) {
            session->ids[session->count++] = id;
        }
    }
    pthread_mutex_unlock(&server.lock);
    session->in_transaction = true;
    server.counters.logins++;
    output_string(&session->output, "+OK\r\n");
}

static void session_capa(struct session *session)
{
    output_string(&session->output, "+OK\r\nUSER\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\n"
                                    "IMPLEMENTATION popfs-bench\r\n.\r\n");
}

static void session_stat(struct session *session)
{
    uint64_t octets = 0, count = 0;
    for (uint32_t i = 0; i < session->count; i++) {
        if (!session->going[i]) {
            octets += message_listed_size(&server.rule, session->ids[i]);
            count++;
        }
    }
    char *out = output_room(&session->output);
    output_took(&session->output,
                (size_t)sprintf(out, "+OK %llu %llu\r\n", (unsigned long long)count,
                                (unsigned long long)octets));
}

static void session_row(struct session *session, uint32_t index, bool uidl)
{
    char *out = output_room(&session->output);
    size_t len = write_number(out, index + 1U);
    out[len++] = ' ';
    if (uidl) {
        out[len++] = 's';
        len += write_number(out + len, session->ids[index]);
        out[len++] = '.';
        len += write_number(out + len, (uint32_t)mix(session->ids[index]));
    } else {
        len += write_number(out + len, message_listed_size(&server.rule, session->ids[index]));
    }
    memcpy(out + len, "\r\n", 2);
    output_took(&session->output, len + 2);
}

static void session_rows(struct session *session, bool uidl)
{
    output_string(&session->output, "+OK\r\n");
    for (uint32_t i = 0; i < session->count; i++) {
        if (!session->going[i]) {
            session_row(session, i, uidl);
        }
    }
    output_string(&session->output, ".\r\n");
}

static void session_message(struct session *session, uint32_t index, uint64_t most_lines)
{
    output_string(&session->output, "+OK\r\n");
    output_message(&session->output, &server.rule, &wire_text, session->ids[index], most_lines);
    output_string(&session->output, ".\r\n");
}

static void session_quit(struct session *session)
{
    pthread_mutex_lock(&server.lock);
    for (uint32_t i = 0; i < session->count; i++) {
        server.deleted[session->ids[i]] |= session->going[i];
    }
    pthread_mutex_unlock(&server.lock);
    output_string(&session->output, "+OK\r\n");
    session->over = true;
}

/* Commands about one message; `argument` is what follows its number. */
static void session_one(struct session *session, const char *verb, uint32_t index,
                        const char *argument)
{
    if (strcasecmp(verb, "RETR") == 0) {
        server.counters.retr++;
        session_message(session, index, UINT64_MAX);
    } else if (strcasecmp(verb, "TOP") == 0) {
        server.counters.top++;
        session_message(session, index, strtoull(argument, NULL, 10));
    } else if (strcasecmp(verb, "DELE") == 0) {
        server.counters.dele++;
        session->going[index] = true;
        output_string(&session->output, "+OK\r\n");
    } else if (strcasecmp(verb, "UIDL") == 0 || strcasecmp(verb, "LIST") == 0) {
        output_string(&session->output, "+OK ");
        session_row(session, index, strcasecmp(verb, "UIDL") == 0);
    } else {
        output_string(&session->output, "-ERR unknown\r\n");
    }
}

static void session_all(struct session *session, const char *verb)
{
    if (strcasecmp(verb, "UIDL") == 0) {
        server.counters.uidl++;
        session_rows(session, true);
    } else if (strcasecmp(verb, "LIST") == 0) {
        server.counters.list++;
        session_rows(session, false);
    } else if (strcasecmp(verb, "STAT") == 0) {
        session_stat(session);
    } else if (strcasecmp(verb, "RSET") == 0) {
        memset(session->going, 0, session->count);
        output_string(&session->output, "+OK\r\n");
    } else if (strcasecmp(verb, "NOOP") == 0) {
        output_string(&session->output, "+OK\r\n");
    } else {
        output_string(&session->output, "-ERR unknown\r\n");
    }
}

static void session_command(struct session *session, const char *line)
{
    char verb[8] = "";
    char *end;
    size_t len = strcspn(line, " ");
    const char *argument = line + len + strspn(line + len, " ");
    memcpy(verb, line, len < sizeof(verb) ? len : 0);
    if (strcasecmp(verb, "QUIT") == 0) {
        session_quit(session);
    } else if (strcasecmp(verb, "CAPA") == 0) {
        session_capa(session);
    } else if (strcasecmp(verb, "USER") == 0) {
        output_string(&session->output, "+OK\r\n");
    } else if (strcasecmp(verb, "PASS") == 0) {
        session_login(session);
    } else if (!session->in_transaction) {
        output_string(&session->output, "-ERR log in first\r\n");
    } else if (!*argument) {
        session_all(session, verb);
    } else {
        unsigned long number = strtoul(argument, &end, 10);
        if (number < 1 || number > session->count || session->going[number - 1]) {
            output_string(&session->output, "-ERR no such message\r\n");
        } else {
            session_one(session, verb, (uint32_t)(number - 1), end);
        }
    }
}

/* Takes the whole lines out of input[*used]; the rest moves to the front. */
static void session_take(struct session *session, char *input, size_t *used)
{
    char *line = input, *end;
    while (!session->over && !session->output.broken &&
           (end = memchr(line, '\n', *used - (size_t)(line - input)))) {
        char *text_end = end > line && end[-1] == '\r' ? end - 1 : end;
        *text_end = '\0';
        session_command(session, line);
        line = end + 1;
    }
    *used -= (size_t)(line - input);
    memmove(input, line, *used);
    session->over |= *used > COMMAND_OCTETS;
}

static void *session_run(void *argument)
{
    struct session *session = argument;
    char *input = tool_allocate(INPUT_OCTETS);
    size_t used = 0;
    output_string(&session->output, "+OK synthetic\r\n");
    for (;;) {
        output_flush(&session->output);
        if (session->over || session->output.broken) {
            break;
        }
        ssize_t got = recv(session->output.descriptor, input + used, INPUT_OCTETS - used, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        session_take(session, input, &used);
    }
    close(session->output.descriptor);
    free(input);
    free(session->ids);
    free(session->going);
    free(session);
    return NULL;
}

/* ---- the program ---- */

static void serve(int descriptor)
{
    pthread_t thread;
    struct session *session = tool_allocate(sizeof(*session));
    session->output.descriptor = descriptor;
    tool_set_nodelay(descriptor);
    if (pthread_create(&thread, NULL, session_run, session)) {
        tool_die("cannot start a thread");
    }
    pthread_detach(thread);
}

/* Until SIGTERM. */
static void run(uint16_t port)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    struct pollfd watched[2] = {
        {.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN},
        {.fd = tool_listen(port), .events = POLLIN},
    };
    for (;;) {
        poll(watched, 2, -1);
        if (watched[0].revents) {
            return;
        }
        int descriptor = accept4(watched[1].fd, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor >= 0) {
            serve(descriptor);
        }
    }
}

static void print_counters(void)
{
    struct counters *counters = &server.counters;
    printf("{\"logins\": %llu, \"uidl\": %llu, \"list\": %llu, \"top\": %llu, \"retr\": %llu, "
           "\"dele\": %llu}\n",
           counters->logins, counters->uidl, counters->list, counters->top, counters->retr,
           counters->dele);
}

static void print_body(uint32_t id)
{
    struct output *output = tool_allocate(sizeof(*output));
    if (id > server.rule.message_count) {
        tool_die("there is no message %u", id);
    }
    output->descriptor = STDOUT_FILENO;
    output_message(output, &server.rule, &raw_text, id, UINT64_MAX);
    output_flush(output);
    if (output->broken) {
        tool_die_errno("writing");
    }
    free(output);
}

/* "mix", or "SIZE[*COUNT],…". */
static void rule_parse_sizes(struct rule *rule, char *text)
{
    char *rest = text, *word;
    rule->mixed = strcmp(text, "mix") == 0;
    rule->run_count = 0;
    rule->period = 0;
    while (!rule->mixed && (word = strsep(&rest, ","))) {
        char *star = strchr(word, '*');
        if (rule->run_count == SIZE_RUNS_MOST) {
            tool_die("more than %d sizes", SIZE_RUNS_MOST);
        }
        struct size_run *run = &rule->runs[rule->run_count++];
        run->count = star ? (uint64_t)tool_parse_number(star + 1, 1, MESSAGES_MOST) : 1;
        if (star) {
            *star = '\0';
        }
        run->octets = tool_parse_size(word);
        rule->period += run->count;
    }
}

static _Noreturn void usage(void)
{
    fputs("usage: server [--listen PORT] [--messages N] [--sizes SIZE[*COUNT],…|mix] [--lie "
          "PERCENT]\n"
          "       server … --body ID\n"
          "Prints \"port N\", serves until SIGTERM, then prints what was asked of it as JSON.\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'p'}, {"messages", required_argument, NULL, 'm'},
        {"sizes", required_argument, NULL, 's'},  {"lie", required_argument, NULL, 'l'},
        {"body", required_argument, NULL, 'b'},   {NULL, 0, NULL, 0},
    };
    struct rule *rule = &server.rule;
    char scratch[ARENA_SPARE_OCTETS];
    uint32_t body = 0;
    uint16_t port = 0;
    int option;
    *rule = (struct rule){.message_count = 1000, .runs = {{4096, 1}}, .run_count = 1, .period = 1};
    rule->header_octets = header_write(scratch, 1);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            port = (uint16_t)tool_parse_number(optarg, 0, 65535);
            break;
        case 'm':
            rule->message_count = (uint32_t)tool_parse_number(optarg, 0, MESSAGES_MOST);
            break;
        case 's':
            rule_parse_sizes(rule, optarg);
            break;
        case 'l':
            rule->lie_percent = tool_parse_number(optarg, -99, 1000);
            break;
        case 'b':
            body = (uint32_t)tool_parse_number(optarg, 1, MESSAGES_MOST);
            break;
        default:
            usage();
        }
    }
    if (optind != argc) {
        usage();
    }
    signal(SIGPIPE, SIG_IGN);
    text_init(&raw_text, false);
    text_init(&wire_text, true);
    if (body) {
        print_body(body);
        return 0;
    }
    server.deleted = tool_allocate(rule->message_count + 1U);
    run(port);
    print_counters();
    return 0;
}
