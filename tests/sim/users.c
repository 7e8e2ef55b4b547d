/* SPDX-License-Identifier: MIT */
#include "users.h"

#include "ledger.h"
#include "net.h"
#include "shown.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STREAM_STEP_OCTETS = 8192 };

/* One request of somebody, and what comes of it. */
struct user {
    struct sync_request request;
    struct user *next;
    uint64_t serial; /* 0: about no message, or one that the ledger cannot tell */
    bool waits;      /* for an answer */
    bool reads_on;   /* a stream, and an answer has come */
    struct sync_stream *stream;
    char *octets; /* what was read of it */
    uint64_t have, wanted;
    enum fault fault;
    bool is_final_commit;
    int64_t asked_ms;
};

/* A commit answers within 80 seconds, also one that has to wait for another. */
enum { COMMIT_ANSWER_MS = 80000 + 5000 };

static struct {
    struct sim_server *server;
    struct sync *sync;
    struct user *first;
    uint32_t session_seen;
    size_t failed_count;
    enum fault failed_last;
    bool commit_is_answered;
    enum fault commit_fault;
} users;

void users_begin(struct sim_server *server, struct sync *sync)
{
    users.server = server;
    users.sync = sync;
    users.first = NULL;
    users.session_seen = 0;
    users.failed_count = 0;
    users.failed_last = FAULT_NONE;
}

void users_forget(void)
{
    for (const struct user *user = users.first; user != NULL; user = user->next)
        if (user->request.want == SYNC_WANT_RESTORE) /* answered or not, nobody has looked */
            ledger_unsure(user->serial);
    users.first = NULL;
    users.sync = NULL;
}

/* ---- one user ---- */

static const char *want_name(enum sync_want want)
{
    static const char *const names[] = {"body",    "open",     "octets", "time",   "commit",
                                        "refresh", "prefetch", "verify", "restore"};
    return names[want];
}

static void user_free(struct user *user)
{
    struct user **link = &users.first;
    while (*link != user)
        link = &(*link)->next;
    *link = user->next;
    maildrop_message_unref(user->request.message);
    free(user->octets);
    free(user);
}

static void note_fault(const struct user *user, enum fault fault)
{
    enum sync_want want = user->request.want;
    if (fault == FAULT_NONE || want == SYNC_WANT_COMMIT || want == SYNC_WANT_REFRESH)
        return;
    users.failed_count++;
    users.failed_last = fault;
}

/* All octets of an extent, the caller's to free. */
static char *read_extent(struct extent body)
{
    char *octets = malloc((size_t)body.octets + 1);
    uint64_t have = 0;
    while (octets != NULL && have < body.octets) {
        ssize_t count = pread(body.descriptor, octets + have, (size_t)(body.octets - have),
                              (off_t)(body.offset + have));
        if (count <= 0) {
            free(octets);
            return NULL;
        }
        have += (uint64_t)count;
    }
    return octets;
}

/* What nothing was known to prove it by may have turned out to be the next one by its UIDL. */
static uint64_t serial_of(const struct user *user)
{
    const struct maildrop_message *message = user->request.message;
    struct evidence evidence;
    bool is_next =
        maildrop_message_is_proven(message) || !maildrop_message_evidence(message, &evidence);
    uint64_t serial = is_next && !maildrop_message_is_gone(message) ? ledger_serial(message) : 0;
    return serial != 0 ? serial : user->serial;
}

static void check_body(const struct user *user, struct extent body)
{
    bool exact;
    char *octets = read_extent(body);
    close(body.descriptor);
    if (octets == NULL)
        return; /* EIO, or ESTALE: the bytes may have been erased meanwhile */
    if (user->serial != 0)
        ledger_check_octets(serial_of(user), user->request.message, 0,
                            (struct slice){octets, (size_t)body.octets}, true);
    uint64_t shown = maildrop_message_octets(user->request.message, &exact);
    if (!exact || shown != body.octets)
        world_finding("4 another size than is shown",
                      "serial %" PRIu64 ": %" PRIu64 " octets, shown are %" PRIu64, user->serial,
                      body.octets, shown);
    free(octets);
}

static void answered(struct sync_request *request, enum fault fault, struct extent body)
{
    struct user *user = (struct user *)request;
    if (!user->waits)
        world_finding("6 a request is answered twice", "%s", want_name(request->want));
    user->waits = false;
    user->fault = fault;
    if (request->want == SYNC_WANT_COMMIT && world_now_ms() - user->asked_ms > COMMIT_ANSWER_MS)
        world_finding("6 a commit answers too late", "after %" PRId64 " ms",
                      world_now_ms() - user->asked_ms);
    world_trace("user  %s of %" PRIu64 ": %s", want_name(request->want), user->serial,
                fault_name(fault));
    note_fault(user, fault);
    if (request->want == SYNC_WANT_OCTETS && fault == FAULT_NONE &&
        sync_stream_available(user->stream) < request->upto)
        world_finding("4 less of a stream than it was said to have",
                      "serial %" PRIu64 ": %" PRIu64 " octets of %" PRIu64, user->serial,
                      sync_stream_available(user->stream), request->upto);
    if (request->want == SYNC_WANT_OPEN && fault == FAULT_NONE)
        user->stream = request->stream;
    if (request->want == SYNC_WANT_RESTORE && request->message != NULL && fault == FAULT_NONE)
        ledger_check_restored(user->serial, request->message);
    if (request->want == SYNC_WANT_TIME && user->serial != 0)
        shown_check_time(serial_of(user), request->message);
    if (body.descriptor >= 0)
        check_body(user, body);
}

static struct user *user_new(enum sync_want want, struct maildrop_message *message, uint64_t serial)
{
    struct user *user = calloc(1, sizeof(*user));
    if (user == NULL)
        abort();
    user->request.want = want;
    user->request.answer = answered;
    user->request.message = message == NULL ? NULL : maildrop_message_ref(message);
    user->serial = serial;
    user->next = users.first;
    users.first = user;
    return user;
}

static void submit(struct user *user)
{
    user->asked_ms = world_now_ms();
    user->waits = true;
    user->fault = FAULT_NONE;
    sync_submit(users.sync, &user->request);
}

static void ask(enum sync_want want, struct maildrop_message *message, uint64_t serial)
{
    submit(user_new(want, message, serial));
}

/* ---- streams ---- */

static void close_stream(struct user *user)
{
    if (user->stream != NULL)
        sync_stream_close(users.sync, user->stream);
    user->stream = NULL;
}

/* Reads what is there. */
static void read_stream(struct user *user)
{
    uint64_t available = sync_stream_available(user->stream);
    uint64_t upto = available < user->wanted ? available : user->wanted;
    if (upto <= user->have)
        return;
    user->octets = realloc(user->octets, (size_t)user->wanted + 1);
    ssize_t count = pread(sync_stream_descriptor(user->stream), user->octets + user->have,
                          (size_t)(upto - user->have), (off_t)user->have);
    if (count <= 0)
        return;
    sync_stream_note_read(user->stream);
    if (user->serial != 0)
        ledger_check_octets(serial_of(user), user->request.message, user->have,
                            (struct slice){user->octets + user->have, (size_t)count}, false);
    user->have += (uint64_t)count;
}

/* True: it is done with. */
static bool stream_goes_on(struct user *user)
{
    uint64_t all = sync_stream_octets(user->stream);
    if (user->wanted == 0 || user->wanted > all)
        user->wanted = all;
    if (user->fault != FAULT_NONE)
        return true;
    read_stream(user);
    if (user->have >= user->wanted) {
        if (user->have == all && user->serial != 0)
            ledger_check_octets(serial_of(user), user->request.message, 0,
                                (struct slice){user->octets, (size_t)all}, true);
        return true;
    }
    user->request.want = SYNC_WANT_OCTETS;
    user->request.stream = user->stream;
    user->request.upto = user->have + STREAM_STEP_OCTETS;
    if (user->request.upto > user->wanted)
        user->request.upto = user->wanted;
    submit(user);
    return false;
}

static void user_goes_on(struct user *user)
{
    if (user->waits)
        return;
    if (user->stream != NULL && !stream_goes_on(user))
        return;
    if (user->request.want == SYNC_WANT_COMMIT && user->fault == FAULT_NONE)
        ledger_check_commit(users.sync);
    if (user->request.want == SYNC_WANT_RESTORE)
        ledger_restored_all(users.sync, user->request.message == NULL, user->fault);
    if (user->is_final_commit) {
        users.commit_is_answered = true;
        users.commit_fault = user->fault;
    }
    close_stream(user);
    user_free(user);
}

void users_go_on(void)
{
    struct sync_status status;
    sync_status(users.sync, &status);
    uint32_t session = status.link == SYNC_LINK_ONLINE ? net_session_number() : 0;
    bool is_new = session != 0 && session != users.session_seen;
    if (is_new)
        ledger_note_listing(session);
    for (struct user *user = users.first, *next; user != NULL; user = next) {
        next = user->next;
        user_goes_on(user);
    }
    if (!is_new)
        return;
    ledger_check_snapshot(users.sync);
    shown_check_listing(users.sync, session);
    users.session_seen = session;
}

size_t users_waiting_count(void)
{
    size_t count = 0;
    for (const struct user *user = users.first; user != NULL; user = user->next)
        count += user->waits;
    return count;
}

const char *users_describe_waiting(void)
{
    static char text[100];
    for (const struct user *user = users.first; user != NULL; user = user->next)
        if (user->waits)
            snprintf(text, sizeof(text), "%s of serial %" PRIu64 ", of %zu that wait",
                     want_name(user->request.want), user->serial, users_waiting_count());
    return text;
}

void users_close_streams(void)
{
    for (struct user *user = users.first; user != NULL; user = user->next)
        if (!user->waits)
            close_stream(user);
}

size_t users_failed_count(enum fault *ret_last)
{
    *ret_last = users.failed_last;
    size_t count = users.failed_count;
    users.failed_count = 0;
    return count;
}

/* ---- what they do ---- */

/* Opens what is here already, as fs does, and asks for the rest. */
static void read_body(enum sync_want want, struct maildrop_message *message, uint64_t wanted)
{
    struct extent body = EXTENT_NONE;
    struct user *user = user_new(want, message, ledger_serial(message));
    user->wanted = wanted;
    if (sync_body_open(users.sync, message, &body) == FAULT_NONE) {
        world_trace("user  reads %" PRIu64 " from the cache", user->serial);
        check_body(user, body);
        user_free(user);
    } else {
        world_trace("user  asks for %s of %" PRIu64, want_name(want), user->serial);
        submit(user);
    }
}

static void remove_some(struct maildrop_snapshot *snapshot, size_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count && first + i < maildrop_snapshot_count(snapshot); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, first + i);
        uint64_t serial = ledger_serial(message);
        if (serial == 0 || maildrop_message_is_gone(message))
            continue;
        enum fault fault = sync_remove(users.sync, message);
        world_trace("user  removes %" PRIu64 ": %s", serial, fault_name(fault));
        ledger_removed(serial, message, fault);
    }
}

static struct maildrop_message *find_going(struct maildrop_snapshot *snapshot, size_t from)
{
    size_t count = maildrop_snapshot_count(snapshot);
    for (size_t i = 0; i < count; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, (from + i) % count);
        if (maildrop_message_is_going(message) && ledger_serial(message) != 0)
            return message;
    }
    return NULL;
}

static void restore_one(struct maildrop_snapshot *snapshot, size_t from)
{
    struct maildrop_message *message = find_going(snapshot, from);
    if (message == NULL)
        return;
    uint64_t serial = ledger_serial(message);
    enum fault fault = sync_restore(users.sync, message);
    world_trace("user  takes back %" PRIu64 ": %s", serial, fault_name(fault));
    ledger_restored(serial, message, fault);
}

static void act_on(const struct action *action, struct maildrop_snapshot *snapshot)
{
    size_t count = maildrop_snapshot_count(snapshot);
    size_t at = count == 0 ? 0 : (size_t)(action->draw % count);
    struct maildrop_message *message = count == 0 ? NULL : maildrop_snapshot_at(snapshot, at);
    if (message == NULL)
        return;
    switch ((int)action->kind) {
    case ACTION_READ:
        for (uint32_t i = 0; i < action->count && at + i < count; i++)
            read_body(SYNC_WANT_BODY, maildrop_snapshot_at(snapshot, at + i), 0);
        break;
    case ACTION_OPEN:
        read_body(SYNC_WANT_OPEN, message, (action->draw >> 32) % 3 == 0 ? 3000 : 0);
        break;
    case ACTION_STAT:
        ask(SYNC_WANT_TIME, message, ledger_serial(message));
        break;
    case ACTION_REMOVE:
        remove_some(snapshot, at, action->count);
        break;
    case ACTION_RESTORE:
        restore_one(snapshot, at);
        break;
    case ACTION_RESTORE_ASKED:
        message = (action->draw >> 32) % 2 == 0 ? NULL : find_going(snapshot, at);
        world_trace("user  asks to take back %s", message == NULL ? "all" : "one");
        ask(SYNC_WANT_RESTORE, message, message == NULL ? 0 : ledger_serial(message));
        break;
    case ACTION_VERIFY:
        ask(SYNC_WANT_VERIFY, message, ledger_serial(message));
        break;
    }
}

static void cancel(uint64_t draw)
{
    size_t count = users_waiting_count();
    size_t skip = count == 0 ? 0 : (size_t)(draw % count);
    for (struct user *user = users.first; user != NULL && count > 0; user = user->next)
        if (user->waits && skip-- == 0) {
            world_trace("user  cancels %s of %" PRIu64, want_name(user->request.want),
                        user->serial);
            sync_cancel(users.sync, &user->request);
            return;
        }
}

/* A message that is there, by chance; 0: none is. */
static uint64_t draw_present(uint64_t draw)
{
    size_t count = sim_server_message_count(users.server);
    for (size_t i = 0; i < count; i++) {
        uint64_t serial = 1 + (draw + i) % count;
        if (sim_server_message(users.server, serial)->gone_by == SIM_GONE_NOT)
            return serial;
    }
    return 0;
}

static void act_outside(const struct action *action)
{
    uint64_t serial;
    switch ((int)action->kind) {
    case ACTION_COMMIT:
        world_trace("user  asks for a commit");
        ask(SYNC_WANT_COMMIT, NULL, 0);
        break;
    case ACTION_REFRESH:
        world_trace("user  asks for a listing");
        ask(SYNC_WANT_REFRESH, NULL, 0);
        break;
    case ACTION_PREFETCH:
        /* Names that last for a session make each refresh begin anew, and a slow line never gets so
         * far. */
        if (!sim_server_has_trait(users.server, SIM_FAULT_NO_UIDL) ||
            !sim_server_has_trait(users.server, SIM_FAULT_SLOW_LINE))
            ask(SYNC_WANT_PREFETCH, NULL, 0);
        break;
    case ACTION_CANCEL:
        cancel(action->draw);
        break;
    case ACTION_SUSPEND:
        world_trace("user  closes the lid");
        world_suspend_ms((int64_t)(action->draw % 1200000));
        break;
    case ACTION_DELIVER:
        sim_server_deliver(users.server, world_now_ms());
        break;
    case ACTION_OTHER_DELETES:
        serial = draw_present(action->draw);
        if (serial != 0)
            sim_server_delete(users.server, serial, world_now_ms());
        break;
    }
}

void users_act(const struct action *action)
{
    struct maildrop_snapshot *snapshot = sync_snapshot(users.sync);
    act_on(action, snapshot);
    act_outside(action);
    maildrop_snapshot_unref(snapshot);
}

void users_read_all(void)
{
    struct maildrop_snapshot *snapshot = sync_snapshot(users.sync);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++)
        if (!maildrop_message_is_gone(maildrop_snapshot_at(snapshot, i)))
            read_body(SYNC_WANT_BODY, maildrop_snapshot_at(snapshot, i), 0);
    maildrop_snapshot_unref(snapshot);
}

void users_check_shown(void)
{
    struct sync_status status;
    sync_status(users.sync, &status);
    if (status.link == SYNC_LINK_ONLINE && net_session_number() == users.session_seen)
        shown_check_listing(users.sync, users.session_seen);
}

void users_refresh(void)
{
    ask(SYNC_WANT_REFRESH, NULL, 0);
}

void users_renew_removals(void)
{
    struct maildrop_snapshot *snapshot = sync_snapshot(users.sync);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        uint64_t serial = ledger_serial(message);
        if (serial == 0 || !maildrop_message_is_going(message))
            continue;
        ledger_restored(serial, message, sync_restore(users.sync, message));
        if (!maildrop_message_is_going(message))
            ledger_removed(serial, message, sync_remove(users.sync, message));
        world_trace("user  removes %" PRIu64 " once more", serial);
    }
    maildrop_snapshot_unref(snapshot);
}

void users_commit(void)
{
    struct user *user = user_new(SYNC_WANT_COMMIT, NULL, 0);
    user->is_final_commit = true;
    user->request.confirms = true; /* as popfsctl commit does */
    users.commit_is_answered = false;
    submit(user);
}

bool users_commit_is_answered(enum fault *ret_fault)
{
    *ret_fault = users.commit_fault;
    return users.commit_is_answered;
}
