/* SPDX-License-Identifier: MIT */
/*
 * link: a TCP relay on 127.0.0.1 that behaves like a line with a round-trip time and a bandwidth,
 * for kernels without netem.
 *
 * Knows octets and time. Refuses to know what they mean.
 *
 * Every octet waits its turn on the line of its direction, which all connections share, takes
 * size/rate to be sent and rtt/2 to arrive. What one direction of a connection may hold is what is
 * on its way (rate * rtt/2) plus one router's buffer: when that is full the relay stops reading, so
 * that the sender feels a slow line as it would feel a real one. A connection costs what its
 * handshake would: the client's first octets leave after one round trip, the server's after one and
 * a half.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    /* The router's buffer: what a common home router has, about 20 ms of a 100 Mbit/s line. */
    ROUTER_OCTETS = 256 * 1024,
    /* Sockets' own buffers, kept small so that they do not make the line longer than it says. */
    SOCKET_OCTETS = 256 * 1024,
    /* Without a rate nothing limits what may be on its way but this. */
    UNLIMITED_OCTETS = 64 * 1024 * 1024,
    /* Octets that arrive within this time of each other arrive together. */
    GRAIN_NS = 100 * 1000,
    /* One packet's worth of time: a burst is cut into pieces that take this long on the line. */
    SLICE_NS = 250 * 1000,
    PACKET_OCTETS = 1460,
    MARKS = 1 << 16,
    TURN_OCTETS = 1024 * 1024,
};

enum direction { UP, DOWN };

/* One direction of the line, shared by all connections. */
struct line {
    int64_t octets_per_s; /* 0: unlimited */
    int64_t delay_ns;
    int64_t free_ns; /* when the last octet accepted so far has been sent */
    size_t capacity;
    uint64_t octets;
};

/* Octets up to `end` may be delivered from `due_ns` on. */
struct mark {
    int64_t due_ns;
    uint64_t end;
};

/* One end of a connection, as epoll reported it last (edges). */
struct end {
    int descriptor;
    bool readable, writable;
};

/* One direction of one connection. Offsets count octets since its start. */
struct flow {
    struct line *line;
    struct end *from, *to;
    char *ring;
    uint64_t in, out, ripe; /* read; delivered; deliverable */
    struct mark *marks;
    uint32_t first_mark, mark_count;
    int64_t opens_ns; /* nothing enters before */
    int64_t end_due_ns;
    bool ended, done; /* end of file was read; was passed on */
};

struct connection {
    struct connection *next;
    struct end client, server;
    struct flow flows[2];
    bool broken;
};

struct relay {
    struct line lines[2];
    struct sockaddr_in to;
    int epoll, listener, signals;
    int64_t rtt_ns, cut_every_ns, cut_ns;
    struct connection *connections;
    uint64_t connection_count, cut_count;
};

/* ---- a flow ---- */

static struct mark *flow_mark(struct flow *flow, uint32_t index)
{
    return &flow->marks[(flow->first_mark + index) % MARKS];
}

static size_t flow_room(const struct flow *flow)
{
    return flow->mark_count == MARKS ? 0 : flow->line->capacity - (size_t)(flow->in - flow->out);
}

static int flow_ring_slices(const struct flow *flow, uint64_t from, size_t octets,
                            struct iovec slices[2])
{
    size_t start = (size_t)(from % flow->line->capacity);
    size_t first = flow->line->capacity - start < octets ? flow->line->capacity - start : octets;
    slices[0] = (struct iovec){flow->ring + start, first};
    slices[1] = (struct iovec){flow->ring, octets - first};
    return first < octets ? 2 : 1;
}

static void flow_add_mark(struct flow *flow, int64_t due_ns, uint64_t end)
{
    struct mark *last = flow->mark_count ? flow_mark(flow, flow->mark_count - 1) : NULL;
    /* With no room for another mark, what is left of this burst arrives with the piece before it.
     */
    if (last && (due_ns - last->due_ns <= GRAIN_NS || flow->mark_count == MARKS)) {
        last->end = end;
        return;
    }
    *flow_mark(flow, flow->mark_count) = (struct mark){due_ns, end};
    flow->mark_count++;
}

/* Puts `octets` that were just read onto the line, and notes when they will arrive. */
static void flow_send_on_line(struct flow *flow, size_t octets, int64_t now_ns)
{
    struct line *line = flow->line;
    int64_t enters_ns = now_ns > flow->opens_ns ? now_ns : flow->opens_ns;
    line->octets += octets;
    if (!line->octets_per_s) {
        flow->in += octets;
        flow_add_mark(flow, enters_ns + line->delay_ns, flow->in);
        return;
    }
    size_t slice = (size_t)(line->octets_per_s * SLICE_NS / TOOL_S_NS);
    slice = slice < PACKET_OCTETS ? PACKET_OCTETS : slice;
    line->free_ns = line->free_ns > enters_ns ? line->free_ns : enters_ns;
    while (octets > 0) {
        size_t piece = octets < slice ? octets : slice;
        line->free_ns += (int64_t)piece * TOOL_S_NS / line->octets_per_s;
        flow->in += piece;
        flow_add_mark(flow, line->free_ns + line->delay_ns, flow->in);
        octets -= piece;
    }
}

/* False: the connection broke. */
static bool flow_fill(struct flow *flow, int64_t now_ns)
{
    size_t turn = TURN_OCTETS;
    while (flow->from->readable && !flow->ended && turn > 0) {
        size_t room = flow_room(flow);
        if (room == 0) {
            return true;
        }
        struct iovec slices[2];
        int one = 1, count = flow_ring_slices(flow, flow->in, room < turn ? room : turn, slices);
        ssize_t got = readv(flow->from->descriptor, slices, count);
        if (got < 0 && errno == EAGAIN) {
            flow->from->readable = false;
        } else if (got < 0) {
            return false;
        } else if (got == 0) {
            flow->ended = true;
            flow->end_due_ns = now_ns + flow->line->delay_ns;
        } else {
            /* The line decides when the sender goes on, not this kernel's delayed ACK. */
            setsockopt(flow->from->descriptor, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
            flow_send_on_line(flow, (size_t)got, now_ns);
            turn -= (size_t)got;
        }
    }
    return true;
}

static void flow_ripen(struct flow *flow, int64_t now_ns)
{
    while (flow->mark_count && flow_mark(flow, 0)->due_ns <= now_ns) {
        flow->ripe = flow_mark(flow, 0)->end;
        flow->first_mark = (flow->first_mark + 1) % MARKS;
        flow->mark_count--;
    }
}

/* False: the connection broke. */
static bool flow_deliver(struct flow *flow, int64_t now_ns)
{
    flow_ripen(flow, now_ns);
    while (flow->to->writable && flow->out < flow->ripe) {
        struct iovec slices[2];
        int count = flow_ring_slices(flow, flow->out, (size_t)(flow->ripe - flow->out), slices);
        struct msghdr message = {.msg_iov = slices, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(flow->to->descriptor, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            flow->to->writable = false;
        } else if (sent < 0) {
            return false;
        } else {
            flow->out += (uint64_t)sent;
        }
    }
    if (flow->ended && !flow->done && flow->out == flow->in && flow->end_due_ns <= now_ns) {
        flow->done = true;
        shutdown(flow->to->descriptor, SHUT_WR);
    }
    return true;
}

/* When this flow next has something to do by itself; INT64_MAX: when epoll says so. */
static int64_t flow_due_ns(struct flow *flow)
{
    if (flow->mark_count) {
        return flow_mark(flow, 0)->due_ns;
    }
    if (flow->ended && !flow->done && flow->out == flow->in) {
        return flow->end_due_ns;
    }
    return INT64_MAX;
}

static void flow_init(struct flow *flow, struct line *line, struct end *from, struct end *to,
                      int64_t opens_ns)
{
    *flow = (struct flow){.line = line, .from = from, .to = to, .opens_ns = opens_ns};
    flow->marks = tool_allocate(MARKS * sizeof(struct mark));
    flow->ring = mmap(NULL, line->capacity, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (flow->ring == MAP_FAILED) {
        tool_die_errno("cannot map a queue");
    }
}

static void flow_done(struct flow *flow)
{
    munmap(flow->ring, flow->line->capacity);
    free(flow->marks);
}

/* ---- connections ---- */

static void end_watch(struct relay *relay, struct end *end, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = end};
    int octets = SOCKET_OCTETS;
    end->descriptor = descriptor;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &octets, sizeof(octets));
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &octets, sizeof(octets));
    tool_set_nodelay(descriptor);
    if (fcntl(descriptor, F_SETFL, O_NONBLOCK) ||
        epoll_ctl(relay->epoll, EPOLL_CTL_ADD, descriptor, &event)) {
        tool_die_errno("cannot watch a connection");
    }
}

static void close_with_reset(int descriptor)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(descriptor);
}

static void connection_free(struct connection *connection)
{
    if (connection->broken) {
        close_with_reset(connection->client.descriptor);
        close_with_reset(connection->server.descriptor);
    } else {
        close(connection->client.descriptor);
        close(connection->server.descriptor);
    }
    flow_done(&connection->flows[UP]);
    flow_done(&connection->flows[DOWN]);
    free(connection);
}

static void relay_accept(struct relay *relay)
{
    int client = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    int server = tool_connect(&relay->to);
    if (server < 0) {
        close_with_reset(client);
        return;
    }
    struct connection *connection = tool_allocate(sizeof(*connection));
    int64_t now_ns = tool_now_ns();
    flow_init(&connection->flows[UP], &relay->lines[UP], &connection->client, &connection->server,
              now_ns + relay->rtt_ns);
    flow_init(&connection->flows[DOWN], &relay->lines[DOWN], &connection->server,
              &connection->client, now_ns + relay->rtt_ns * 3 / 2);
    end_watch(relay, &connection->client, client);
    end_watch(relay, &connection->server, server);
    connection->next = relay->connections;
    relay->connections = connection;
    relay->connection_count++;
}

/* Moves what can be moved now. Returns when to come back. */
static int64_t connection_pump(struct connection *connection, int64_t now_ns)
{
    int64_t due_ns = INT64_MAX;
    for (int i = 0; i < 2; i++) {
        struct flow *flow = &connection->flows[i];
        if (!flow_deliver(flow, now_ns) || !flow_fill(flow, now_ns)) {
            connection->broken = true;
            return now_ns;
        }
        bool more = flow->from->readable && !flow->ended && flow_room(flow) > 0;
        int64_t flow_due = more ? now_ns : flow_due_ns(flow);
        due_ns = flow_due < due_ns ? flow_due : due_ns;
    }
    return due_ns;
}

static bool connection_is_over(const struct connection *connection)
{
    return connection->broken || (connection->flows[UP].done && connection->flows[DOWN].done);
}

/* Returns when to come back. */
static int64_t relay_pump(struct relay *relay)
{
    int64_t now_ns = tool_now_ns(), due_ns = INT64_MAX;
    struct connection **place = &relay->connections;
    while (*place) {
        struct connection *connection = *place;
        int64_t connection_due = connection_pump(connection, now_ns);
        if (connection_is_over(connection)) {
            *place = connection->next;
            connection_free(connection);
            continue;
        }
        due_ns = connection_due < due_ns ? connection_due : due_ns;
        place = &connection->next;
    }
    return due_ns;
}

static void relay_cut(struct relay *relay)
{
    relay->cut_count += relay->connections != NULL;
    while (relay->connections) {
        struct connection *connection = relay->connections;
        relay->connections = connection->next;
        connection->broken = true;
        connection_free(connection);
    }
    relay->lines[UP].free_ns = relay->lines[DOWN].free_ns = 0;
}

/* ---- the loop ---- */

static int relay_wait(struct relay *relay, int64_t due_ns, struct epoll_event *events, int capacity)
{
    int64_t wake_ns = due_ns;
    if (relay->cut_every_ns && relay->cut_ns < wake_ns) {
        wake_ns = relay->cut_ns;
    }
    if (wake_ns == INT64_MAX) {
        return epoll_wait(relay->epoll, events, capacity, -1);
    }
    int64_t left_ns = wake_ns - tool_now_ns();
    left_ns = left_ns < 0 ? 0 : left_ns;
    struct timespec left = {left_ns / TOOL_S_NS, (long)(left_ns % TOOL_S_NS)};
    return epoll_pwait2(relay->epoll, events, capacity, &left, NULL);
}

/* Until a signal. */
static void relay_run(struct relay *relay)
{
    struct epoll_event events[64];
    for (;;) {
        int count = relay_wait(relay, relay_pump(relay), events, 64);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &relay->signals) {
                return;
            }
            if (events[i].data.ptr == &relay->listener) {
                relay_accept(relay);
                continue;
            }
            struct end *end = events[i].data.ptr;
            bool broken = events[i].events & (EPOLLHUP | EPOLLERR);
            end->readable |= broken || (events[i].events & (EPOLLIN | EPOLLRDHUP));
            end->writable |= broken || (events[i].events & EPOLLOUT);
        }
        if (relay->cut_every_ns && tool_now_ns() >= relay->cut_ns) {
            relay_cut(relay);
            relay->cut_ns = tool_now_ns() + relay->cut_every_ns;
        }
    }
}

static void line_init(struct line *line, int64_t rtt_ns, double mbit)
{
    *line = (struct line){.delay_ns = rtt_ns / 2, .octets_per_s = (int64_t)(mbit * 1e6 / 8)};
    line->capacity = UNLIMITED_OCTETS;
    if (line->octets_per_s) {
        double on_its_way = (double)line->octets_per_s * tool_seconds(line->delay_ns);
        line->capacity = (size_t)on_its_way + ROUTER_OCTETS;
    }
}

static void relay_watch(struct relay *relay, int descriptor, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, descriptor, &event)) {
        tool_die_errno("cannot watch a descriptor");
    }
}

static void relay_start(struct relay *relay, uint16_t port)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    relay->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    relay->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (relay->signals < 0 || relay->epoll < 0) {
        tool_die_errno("cannot start");
    }
    relay->listener = tool_listen(port);
    relay_watch(relay, relay->signals, &relay->signals);
    relay_watch(relay, relay->listener, &relay->listener);
    relay->cut_ns = tool_now_ns() + relay->cut_every_ns;
}

static _Noreturn void usage(void)
{
    fputs("usage: link --to HOST:PORT [--listen PORT] [--rtt MS] [--rate MBIT] [--cut-every "
          "SECONDS]\n"
          "Prints \"port N\", relays until SIGTERM, then prints what it did as JSON. Rate 0: "
          "unlimited.\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},   {"listen", required_argument, NULL, 'l'},
        {"rtt", required_argument, NULL, 'r'},  {"cut-every", required_argument, NULL, 'c'},
        {"rate", required_argument, NULL, 'b'}, {NULL, 0, NULL, 0},
    };
    struct relay relay = {0};
    uint16_t port = 0;
    double mbit = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't':
            tool_parse_address(optarg, &relay.to);
            break;
        case 'l':
            port = (uint16_t)tool_parse_number(optarg, 0, 65535);
            break;
        case 'r':
            relay.rtt_ns = (int64_t)(tool_parse_decimal(optarg, 0, 10000) * (double)TOOL_MS_NS);
            break;
        case 'b':
            mbit = tool_parse_decimal(optarg, 0, 100000);
            break;
        case 'c':
            relay.cut_every_ns =
                (int64_t)(tool_parse_decimal(optarg, 0, 86400) * (double)TOOL_S_NS);
            break;
        default:
            usage();
        }
    }
    if (!relay.to.sin_port || optind != argc) {
        usage();
    }
    line_init(&relay.lines[UP], relay.rtt_ns, mbit);
    line_init(&relay.lines[DOWN], relay.rtt_ns, mbit);
    relay_start(&relay, port);
    relay_run(&relay);
    printf("{\"connections\": %llu, \"cuts\": %llu, \"octets_up\": %llu, \"octets_down\": %llu}\n",
           (unsigned long long)relay.connection_count, (unsigned long long)relay.cut_count,
           (unsigned long long)relay.lines[UP].octets,
           (unsigned long long)relay.lines[DOWN].octets);
    return 0;
}
