/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include "mail.h"
#include "shown.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FLUSH_MS = 2500 }; /* the journal is synced a second after it has grown */

enum wish_state {
    WISH_NONE,
    WISH_PENDING,
    WISH_TAKEN_BACK,
    WISH_ENDED, /* popfs has said that it can no longer be carried out */
};

struct wish {
    enum wish_state state;
    int64_t changed_ms;
    bool outlives;             /* the session, so the process as well */
    bool is_durable;           /* taken back, and said to outlive a power cut */
    bool is_unsynced;          /* its process was killed before the journal was synced */
    bool is_unsure;            /* it may have been lost: popfs says next what it is */
    bool is_blurred;           /* a listing since then had its UIDL for another one as well */
    bool is_reported;          /* as deleted */
    bool is_announced;         /* popfs said aloud that it is still there */
    bool is_disowned;          /* popfs said aloud that its UIDL is another one's by its header */
    bool is_renamed;           /* it ended because the server gave its UIDL to others */
    bool is_unlisted;          /* a listing since then that is to be believed lacked it */
    struct slice uidl;         /* by which it was wished; of the server's memory */
    struct slice uidl_before;  /* of a wish that stays, when that of its UIDL of now goes */
    uint32_t restored_session; /* whose listing popfs had when it was taken back */
    struct maildrop_message *message; /* of this process; one reference */
};

static struct {
    struct sim_server *server;
    struct wish *wishes; /* [serial] */
    size_t room;
    uint32_t session;        /* whose listing popfs has */
    uint32_t session_before; /* and had when the last process ended that had one */
    uint32_t looked_at;
    size_t commit_number; /* of the last one that was looked at */
    bool state_off, lf;
    bool is_caught; /* this process has said that UIDLs go to other messages */
} ledger;

void ledger_begin(struct sim_server *server, bool state_off, bool lf)
{
    free(ledger.wishes);
    memset(&ledger, 0, sizeof(ledger));
    ledger.server = server;
    ledger.state_off = state_off;
    ledger.lf = lf;
    shown_begin(server);
}

static struct wish *wish_of(uint64_t serial)
{
    if (serial >= ledger.room) {
        size_t room = (size_t)serial * 2 + 64;
        ledger.wishes = realloc(ledger.wishes, room * sizeof(ledger.wishes[0]));
        if (ledger.wishes == NULL)
            abort();
        memset(ledger.wishes + ledger.room, 0, (room - ledger.room) * sizeof(ledger.wishes[0]));
        ledger.room = room;
    }
    return &ledger.wishes[serial];
}

static size_t serial_count(void)
{
    return sim_server_message_count(ledger.server);
}

static bool is_there(uint64_t serial)
{
    return sim_server_message(ledger.server, serial)->gone_by == SIM_GONE_NOT;
}

static void set_state(struct wish *wish, enum wish_state state)
{
    wish->state = state;
    wish->changed_ms = world_now_ms();
    wish->is_durable = false;
    wish->is_unsure = false;
    if (state == WISH_PENDING)
        return;
    maildrop_message_unref(wish->message);
    wish->message = NULL;
}

/* ---- which message is which ---- */

static bool has_uidls(const struct sim_session_truth *truth)
{
    for (size_t i = 0; i < truth->row_count; i++)
        if (truth->rows[i].in_uidl)
            return true;
    return false;
}

/* Listed under one number of its own, with an id that POP3 allows. */
static bool is_plain(const struct sim_row *row)
{
    return row->in_uidl && row->twice == 0 && sim_row_has_id(row);
}

/* By rising numbers, as popfs counts copies. */
static const struct sim_row *find_copy(const struct sim_session_truth *truth, struct slice uidl,
                                       uint32_t copy)
{
    uint32_t below = 0;
    const struct sim_row *found;
    do {
        found = NULL;
        for (size_t i = 0; i < truth->row_count; i++) {
            const struct sim_row *row = &truth->rows[i];
            if (is_plain(row) && row->msgnum > below && slice_equal(row->uidl, uidl) &&
                (found == NULL || row->msgnum < found->msgnum))
                found = row;
        }
        below = found == NULL ? 0 : found->msgnum;
    } while (found != NULL && copy-- > 0);
    return found;
}

static const struct sim_row *find_number(const struct sim_session_truth *truth, struct slice name)
{
    uint64_t msgnum;
    if (!slice_has_prefix_nocase(name, SLICE_LITERAL("msg-")) ||
        !slice_to_number(slice_skip(name, 4), UINT32_MAX, &msgnum))
        return NULL;
    for (size_t i = 0; i < truth->row_count; i++)
        if (truth->rows[i].msgnum == msgnum)
            return &truth->rows[i];
    return NULL;
}

uint64_t ledger_serial(const struct maildrop_message *message)
{
    if (ledger.session == 0)
        return 0;
    struct sim_session_truth truth = sim_server_session(ledger.server, ledger.session);
    struct slice uidl = maildrop_message_uidl(message);
    const struct sim_row *row = find_copy(&truth, uidl, maildrop_message_copy(message));
    if (row != NULL)
        return row->serial;
    row = find_number(&truth, uidl);
    bool is_so_named = row != NULL && (!has_uidls(&truth) || !is_plain(row));
    return is_so_named ? row->serial : 0;
}

static const struct sim_row *row_of(const struct sim_session_truth *truth, uint64_t serial)
{
    for (size_t i = 0; i < truth->row_count; i++)
        if (truth->rows[i].serial == serial)
            return &truth->rows[i];
    return NULL;
}

static bool shares_uidl(const struct sim_session_truth *truth, const struct sim_row *row)
{
    size_t count = 0;
    for (size_t i = 0; i < truth->row_count; i++)
        count += truth->rows[i].in_uidl && slice_equal(truth->rows[i].uidl, row->uidl);
    return count > 1;
}

static bool was_asked(const struct sim_row *row)
{
    return row->dele != SIM_DELE_NONE && row->dele != SIM_DELE_REFUSED;
}

/* The last session before this one that was asked to delete something, or the first one. */
static struct sim_session_truth asking_before(uint32_t session)
{
    for (uint32_t number = session - 1; number > 1; number--) {
        struct sim_session_truth truth = sim_server_session(ledger.server, number);
        for (size_t i = 0; i < truth.row_count; i++)
            if (was_asked(&truth.rows[i]))
                return truth;
    }
    return sim_server_session(ledger.server, 1);
}

/*
 * By POP3.md rules 6 and 18 a wish ends where a listing lacks the message and yet has at least half
 * of the others that the one before had, those less that QUIT was about; or where the next listing
 * lacks it as well. No client can tell a listing that is not whole from mail that another deleted.
 */
static bool is_to_be_believed(const struct sim_session_truth *truth, uint32_t before,
                              uint64_t serial)
{
    size_t known = 0, kept = 0;
    struct sim_session_truth old = sim_server_session(ledger.server, before);
    struct sim_session_truth asking = asking_before(truth->number);
    if (row_of(&old, serial) == NULL)
        return true;
    for (size_t i = 0; i < old.row_count; i++) {
        const struct sim_row *asked = row_of(&asking, old.rows[i].serial);
        bool stays = asked == NULL || !was_asked(asked);
        known += stays;
        kept += stays && row_of(truth, old.rows[i].serial) != NULL;
    }
    return kept >= known - known / 2;
}

/* 0: none. */
static uint32_t login_before(uint32_t session)
{
    do
        session--;
    while (session > 0 && !sim_server_session(ledger.server, session).is_logged_in);
    return session;
}

/* Some session between `known` and this one lacked it as well. One in between that refused UIDL or
 * LIST told popfs nothing. */
static bool was_lacked(uint32_t known, uint32_t session, uint64_t serial)
{
    while (--session > known) {
        struct sim_session_truth truth = sim_server_session(ledger.server, session);
        if (truth.is_logged_in && row_of(&truth, serial) == NULL)
            return true;
    }
    return false;
}

static bool lacks(const struct sim_session_truth *truth, uint64_t serial)
{
    uint32_t before = login_before(truth->number);
    uint32_t known = ledger.session != 0 ? ledger.session : ledger.session_before;
    return row_of(truth, serial) == NULL && before != 0 &&
           (is_to_be_believed(truth, before, serial) || was_lacked(known, truth->number, serial) ||
            (known != 0 && is_to_be_believed(truth, known, serial)));
}

static void note_rows(uint32_t session)
{
    struct sim_session_truth truth = sim_server_session(ledger.server, session);
    for (uint64_t serial = 1; serial <= serial_count() && truth.is_logged_in; serial++) {
        struct wish *wish = wish_of(serial);
        if (wish->state != WISH_PENDING)
            continue;
        const struct sim_row *row = row_of(&truth, serial);
        wish->is_unlisted |= lacks(&truth, serial);
        if (row == NULL)
            continue;
        /* Where two sessions list it without its UIDL, the wish ends (POP3.md rule 33). */
        wish->is_blurred |= shares_uidl(&truth, row) || !is_plain(row);
    }
}

/* Those that ended before popfs could tell of them count as well. */
static void look_at_sessions(void)
{
    for (uint32_t number = ledger.looked_at + 1; number <= sim_server_session_count(ledger.server);
         number++) {
        struct sim_session_truth truth = sim_server_session(ledger.server, number);
        if (!truth.is_logged_in && truth.ended_ms < 0 && !truth.is_left)
            return;
        note_rows(number);
        ledger.looked_at = number;
    }
}

void ledger_note_listing(uint32_t session)
{
    if (session == ledger.session || session == 0)
        return;
    look_at_sessions();
    ledger.session = session;
}

void ledger_note_start(void)
{
    uint32_t number = sim_server_session_count(ledger.server);
    while (number > 0 && sim_server_session(ledger.server, number).listed_ms < 0)
        number--;
    ledger_note_listing(number);
}

/* ---- what the user does ---- */

static bool outlives_session(const struct sim_session_truth *truth, const struct sim_row *row)
{
    return !ledger.state_off && row != NULL && is_plain(row) && !shares_uidl(truth, row);
}

/* A wish that could not be written down does not count, for anybody who looks. */
static void check_unchanged(uint64_t serial, const struct maildrop_message *message, bool going)
{
    if (maildrop_message_is_going(message) != going)
        world_finding("3 a wish counts that could not be noted", "serial %" PRIu64, serial);
}

void ledger_removed(uint64_t serial, const struct maildrop_message *message, enum fault fault)
{
    struct wish *wish = wish_of(serial);
    if (fault == FAULT_DISK) {
        check_unchanged(serial, message, false);
        /* Some of the line may have come to the disk. */
        wish->is_unsure = true;
        return;
    }
    if (fault != FAULT_NONE)
        return;
    struct sim_session_truth truth = sim_server_session(ledger.server, ledger.session);
    const struct sim_row *row = row_of(&truth, serial);
    set_state(wish, WISH_PENDING);
    wish->outlives = outlives_session(&truth, row);
    wish->is_blurred = row == NULL || !is_plain(row) || shares_uidl(&truth, row);
    wish->is_reported = wish->is_announced = wish->is_disowned = wish->is_renamed = false;
    wish->is_unlisted = false;
    wish->uidl = row == NULL ? (struct slice){0} : row->uidl;
    struct maildrop_message *kept = (struct maildrop_message *)(uintptr_t)message;
    wish->message = maildrop_message_ref(kept);
}

static void take_back(struct wish *wish)
{
    set_state(wish, WISH_TAKEN_BACK);
    wish->restored_session = ledger.session;
}

void ledger_check_restored(uint64_t serial, const struct maildrop_message *message)
{
    if (maildrop_message_is_going(message))
        world_finding("3 said to be taken back, and it is going", "serial %" PRIu64, serial);
}

void ledger_restored(uint64_t serial, const struct maildrop_message *message, enum fault fault)
{
    struct wish *wish = wish_of(serial);
    if (fault == FAULT_DISK) {
        check_unchanged(serial, message, true);
        wish->is_unsure = true;
    }
    if (fault != FAULT_NONE)
        return;
    ledger_check_restored(serial, message);
    /* What was taken back is the wish of who had its UIDL before. */
    if (wish->state == WISH_PENDING && !slice_equal(wish->uidl, maildrop_message_uidl(message)))
        wish->uidl_before = wish->uidl;
    take_back(wish);
}

void ledger_restored_all(struct sync *sync, bool all, enum fault fault)
{
    /* What is shown is a listing of an earlier mount, and which message is which is not known. */
    /* Or the line that takes it back has come to the disk, and the one behind it not. */
    if (ledger.session == 0 || fault == FAULT_DISK)
        ledger_unsure(0);
    struct maildrop_snapshot *snapshot = sync_snapshot(sync);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        const struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        uint64_t serial = ledger_serial(message);
        if (serial == 0 || maildrop_message_is_gone(message))
            continue;
        if (!maildrop_message_is_going(message)) {
            struct wish *wish = wish_of(serial);
            if (wish->state == WISH_PENDING && !wish->is_unsure) {
                take_back(wish);
                wish->is_durable = fault == FAULT_NONE;
            }
        } else if (all && (fault == FAULT_NONE || fault == FAULT_BUSY) &&
                   !maildrop_message_is_leaving(message)) {
            world_finding("3 not taken back, and no QUIT is about it", "serial %" PRIu64, serial);
        }
    }
    maildrop_snapshot_unref(snapshot);
}

void ledger_unsure(uint64_t serial)
{
    for (uint64_t other = 1; other <= serial_count(); other++)
        if (serial == 0 || other == serial)
            wish_of(other)->is_unsure |= wish_of(other)->state == WISH_PENDING;
}

/* Their headers are alike to the octet, so no evidence tells which is which (POP3.md rule 29). */
static bool are_alike(uint64_t serial, uint64_t other)
{
    struct slice one = sim_server_message(ledger.server, serial)->octets;
    struct slice two = sim_server_message(ledger.server, other)->octets;
    size_t octets = sim_mail_header_octets(one);
    return octets == sim_mail_header_octets(two) && memcmp(one.data, two.data, octets) == 0;
}

/*
 * A copy of what the user removed, with the UIDL that this had then: by POP3.md 29 nothing tells
 * one from the other. Where one session lists both under that UIDL they are told apart.
 */
static bool is_copy_of_wished(const struct sim_session_truth *truth, const struct sim_row *row)
{
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        const struct wish *wish = wish_of(serial);
        const struct sim_row *wished = row_of(truth, serial);
        if (serial != row->serial && (wish->state == WISH_PENDING || wish->is_renamed) &&
            slice_equal(wish->uidl, row->uidl) && are_alike(serial, row->serial) &&
            (wished == NULL || !slice_equal(wished->uidl, row->uidl)))
            return true;
    }
    return false;
}

/* ---- 1 and 5: what is deleted was to be ---- */

static bool somebody_wished(struct slice uidl)
{
    for (uint64_t serial = 1; serial <= serial_count(); serial++)
        if (wish_of(serial)->state == WISH_PENDING &&
            slice_equal(sim_server_message(ledger.server, serial)->uidl, uidl))
            return true;
    return false;
}

void ledger_quit_heard(void *context, uint32_t session)
{
    (void)context;
    struct sim_session_truth truth = sim_server_session(ledger.server, session);
    for (size_t i = 0; i < truth.row_count; i++) {
        const struct sim_row *row = &truth.rows[i];
        bool asked = was_asked(row);
        const struct wish *wish = wish_of(row->serial);
        if (!asked || wish->state == WISH_PENDING || wish->is_unsure ||
            is_copy_of_wished(&truth, row))
            continue;
        if (wish->state == WISH_TAKEN_BACK)
            world_finding("1 deletes what was taken back", "session %u, serial %" PRIu64, session,
                          row->serial);
        if (wish->state == WISH_ENDED)
            world_finding("1 deletes what it said it would not", "session %u, serial %" PRIu64,
                          session, row->serial);
        if (somebody_wished(row->uidl))
            world_finding("5 deletes another message", "session %u, serial %" PRIu64, session,
                          row->serial);
        world_finding("1 deletes what nobody removed", "session %u, serial %" PRIu64, session,
                      row->serial);
    }
}

/* ---- 2: what is reported as deleted is ---- */

/* The server said that it had deleted it, and had not. */
static bool was_lied_about(uint64_t serial)
{
    for (uint32_t number = 1; number <= sim_server_session_count(ledger.server); number++) {
        struct sim_session_truth truth = sim_server_session(ledger.server, number);
        const struct sim_row *row = truth.quit == SIM_QUIT_OK ? row_of(&truth, serial) : NULL;
        if (row != NULL && (row->dele == SIM_DELE_KEPT || row->dele == SIM_DELE_MARKED))
            return true;
        /* It says so, and does it later. */
        if (row != NULL && row->dele == SIM_DELE_COMMITTED &&
            sim_server_message(ledger.server, serial)->gone_ms > truth.ended_ms)
            return true;
    }
    return false;
}

/* A wish goes by a UIDL, and it has another one now. */
static bool is_renamed(uint64_t serial, const struct wish *wish)
{
    return wish->uidl.len > 0 &&
           !slice_equal(sim_server_message(ledger.server, serial)->uidl, wish->uidl);
}

/* Another message had its UIDL in some session. */
static bool was_of_another(uint64_t serial)
{
    struct slice uidl = wish_of(serial)->uidl;
    for (uint64_t other = 1; other <= serial_count(); other++)
        if (other != serial && sim_server_has_listed(ledger.server, other, uidl))
            return true;
    return false;
}

/* LIST has told no size, or wrong ones. */
static bool was_size_unknown(void)
{
    static const enum sim_fault reasons[] = {SIM_FAULT_ROWS_REFUSED, SIM_FAULT_LIST_NONSENSE,
                                             SIM_FAULT_LIST_OFF, SIM_FAULT_LIST_WRONG};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (sim_server_fired_count(ledger.server, reasons[i]) > 0)
            return true;
    return false;
}

/* A body was sent that ended in a valid dot within the header. Where the size is not known, nothing
 * tells that it is not the whole, and its header is evidence. */
static bool was_cut_in_header(uint64_t serial)
{
    struct slice own = sim_server_message(ledger.server, serial)->octets;
    for (const struct sim_sent *sent = sim_server_last_sent(ledger.server, serial); sent != NULL;
         sent = sent->previous)
        if (sent->verb == SIM_VERB_RETR && sent->is_ended &&
            sent->octets.len < sim_mail_header_octets(own))
            return true;
    return false;
}

/* Only where the server gave a reason: another message or another header by that name, or two
 * messages. */
static bool may_be_disowned(uint64_t serial)
{
    static const enum sim_fault reasons[] = {SIM_FAULT_TOP_CUT, SIM_FAULT_TOP_DIFFERS,
                                             SIM_FAULT_REWRITES_8BIT, SIM_FAULT_UIDL_TWICE};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (sim_server_fired_count(ledger.server, reasons[i]) > 0)
            return true;
    return was_of_another(serial) || is_renamed(serial, wish_of(serial)) ||
           (was_size_unknown() && was_cut_in_header(serial));
}

/* As a word of its own. */
static bool names(const char *line, const char *uidl)
{
    size_t len = strlen(uidl);
    for (const char *at = strstr(line, uidl); len > 0 && at != NULL; at = strstr(at + 1, uidl))
        if ((at == line || at[-1] == ' ') && (at[len] == ' ' || at[len] == ':' || at[len] == ','))
            return true;
    return false;
}

/* A wish that ended so is over; the text is cut at what is long. */
static void disown(const char *line)
{
    char uidl[600];
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        struct wish *wish = wish_of(serial);
        text_escape(wish->uidl, uidl, sizeof(uidl));
        if (wish->state == WISH_PENDING && names(line, uidl) && may_be_disowned(serial))
            wish->is_disowned = true;
    }
}

/* It names what it had reported as deleted. */
static void announce(const char *line)
{
    char uidl[600];
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        struct wish *wish = wish_of(serial);
        text_escape(wish->uidl, uidl, sizeof(uidl));
        wish->is_announced |= wish->is_reported && names(line, uidl);
    }
}

void ledger_heard(void *context, const char *line)
{
    (void)context;
    shown_check_text(line);
    static const char *const ends[] = {": nothing is deleted", "can no longer be identified",
                                       "cannot be identified any more", ", under another one"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strstr(line, ends[i]) != NULL)
            disown(line);
    ledger.is_caught |= strstr(line, "gives UIDLs to other messages") != NULL;
    if (strstr(line, "lists it again") != NULL)
        announce(line);
}

/* popfs tells once the header has come: what is listed may be another message by its UIDL. */
static void check_listed(uint64_t serial, const struct maildrop_message *message)
{
    struct wish *wish = wish_of(serial);
    struct evidence evidence;
    if (!wish->is_reported || wish->is_announced || !is_there(serial) ||
        !maildrop_message_evidence(message, &evidence))
        return;
    world_finding("2 reported as deleted, and listed again", "serial %" PRIu64, serial);
}

/* What has been taken back since the last listing is deleted all the same. */
static void check_taken_back(void)
{
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        const struct sim_message *message = sim_server_message(ledger.server, serial);
        const struct wish *wish = wish_of(serial);
        if (wish->state == WISH_TAKEN_BACK && message->gone_by == SIM_GONE_DELE &&
            message->gone_session >= wish->restored_session && !wish->is_unsure)
            world_finding("1 deletes what was taken back", "serial %" PRIu64 ", while QUIT was out",
                          serial);
    }
}

/* A later session has listed the maildrop since the QUIT that deleted it. */
static bool is_proven(uint64_t serial)
{
    const struct sim_message *message = sim_server_message(ledger.server, serial);
    uint32_t number = sim_server_session_count(ledger.server);
    if (message->gone_by != SIM_GONE_DELE)
        return true;
    while (number > message->gone_session &&
           sim_server_session(ledger.server, number).listed_ms < 0)
        number--;
    return number > message->gone_session;
}

/* The last commit said that something was deleted; a commit of nothing says nothing. */
static bool has_said_deleted(struct sync *sync)
{
    struct sync_status status;
    sync_status(sync, &status);
    bool is_new = status.commit_number != ledger.commit_number;
    ledger.commit_number = status.commit_number;
    return is_new && status.commit_removed_count > 0;
}

void ledger_check_commit(struct sync *sync)
{
    bool has_said = has_said_deleted(sync);
    bool delays = sim_server_has_trait(ledger.server, SIM_FAULT_LOGIN_DELAY);
    look_at_sessions();
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        struct wish *wish = wish_of(serial);
        if (wish->state == WISH_PENDING && wish->message != NULL &&
            maildrop_message_is_gone(wish->message) && !wish->is_blurred && !wish->is_unlisted &&
            !wish->is_disowned && (has_said || !is_renamed(serial, wish))) {
            wish->is_reported = true;
            /* Another session can prove it, unless the server will not have one so soon. */
            if (is_there(serial) && !delays)
                world_finding("2 a commit says that it is deleted, and it is there",
                              "serial %" PRIu64, serial);
            if (!is_proven(serial) && !delays)
                world_finding("2 a commit is done that no session has proven", "serial %" PRIu64,
                              serial);
        }
    }
}

void ledger_check_report(const struct sync_report *report, bool commit)
{
    if (!commit || report->failed_count > 0 || ledger.session == 0)
        return;
    ledger_note_listing(sim_server_session_count(ledger.server));
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        const struct wish *wish = wish_of(serial);
        if (wish->state == WISH_PENDING && is_there(serial) && !wish->is_blurred &&
            !wish->is_unsure && !wish->is_unlisted && !wish->is_disowned && !was_lied_about(serial))
            world_finding("2 the end says all is deleted, and it is not",
                          "serial %" PRIu64 ", reported as deleted: %zu", serial,
                          report->removed_count);
    }
}

/* ---- 3: what was removed stays so ---- */

/* Until it has been asked, it is taken for the one that had its UIDL before and was removed. */
static bool inherits_wish(uint64_t serial, const struct maildrop_message *message)
{
    for (uint64_t other = 1; other <= serial_count(); other++) {
        const struct wish *wish = wish_of(other);
        bool stands = wish->state == WISH_PENDING || wish->is_unsure || wish->is_renamed ||
                      slice_equal(wish->uidl_before, maildrop_message_uidl(message));
        if (other != serial && stands &&
            (!maildrop_message_is_proven(message) || are_alike(serial, other)) &&
            sim_server_has_listed(ledger.server, other, maildrop_message_uidl(message)))
            return true;
    }
    return false;
}

static void check_going(uint64_t serial, const struct maildrop_message *message)
{
    struct wish *wish = wish_of(serial);
    bool going = maildrop_message_is_going(message);
    check_listed(serial, message);
    if (going == (wish->state == WISH_PENDING) || !is_there(serial)) {
        wish->is_unlisted = false; /* popfs has not believed it, or has been told since */
        return;
    }
    if (going && inherits_wish(serial, message))
        return;
    if (going) {
        if (!wish->is_unsure && !wish->is_renamed)
            world_finding(wish->state == WISH_TAKEN_BACK ? "3 what was taken back is going again"
                                                         : "1 going, and nobody removed it",
                          "serial %" PRIu64, serial);
        set_state(wish, WISH_PENDING);
        wish->outlives = true;
        return;
    }
    /* The lines that say so may be lost in their turn, if power is cut now. */
    if (is_renamed(serial, wish)) {
        /* What has its UIDL now inherits it until it has been asked. */
        wish->is_renamed = true;
        set_state(wish, WISH_ENDED);
    } else if (wish->is_unsure || was_lied_about(serial))
        take_back(wish);
    else if (wish->is_blurred || wish->is_disowned || wish->is_unlisted)
        set_state(wish, WISH_ENDED);
    else
        world_finding("3 a removal is lost", "serial %" PRIu64, serial);
}

void ledger_check_snapshot(struct sync *sync)
{
    check_taken_back();
    struct maildrop_snapshot *snapshot = sync_snapshot(sync);
    for (size_t i = 0; i < maildrop_snapshot_count(snapshot); i++) {
        const struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        uint64_t serial = ledger_serial(message);
        if (serial == 0 || maildrop_message_is_gone(message))
            continue;
        check_going(serial, message);
        shown_check_time(serial, message);
    }
    maildrop_snapshot_unref(snapshot);
}

void ledger_process_began(void)
{
    ledger.commit_number = 0;
    for (uint64_t serial = 1; serial <= serial_count(); serial++)
        wish_of(serial)->is_unsynced = false;
}

void ledger_process_ended(enum world_end end)
{
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        struct wish *wish = wish_of(serial);
        /* Its memory may be that of a process that was killed: it is left where it is. */
        wish->message = NULL;
        if (wish->state == WISH_PENDING && !wish->outlives)
            wish->state = WISH_ENDED;
        /* Another process cannot know what this one was told. */
        wish->is_reported = wish->is_reported && !was_lied_about(serial);
        bool lasts = wish->state != WISH_NONE && wish->outlives;
        if (lasts && !wish->is_durable && end != WORLD_GOES_ON &&
            wish->changed_ms >= world_now_ms() - FLUSH_MS)
            wish->is_unsynced = true;
        if (lasts && end == WORLD_POWER_CUT && wish->is_unsynced)
            wish->is_unsure = true;
    }
    ledger.is_caught = false;
    if (ledger.session != 0)
        ledger.session_before = ledger.session;
    ledger.session = 0;
}

/* ---- 4: octets ---- */

/* As eol=lf keeps them. */
static bool is_lf_image(struct slice sent, struct slice octets)
{
    size_t at = 0;
    for (size_t i = 0; i < sent.len; i++) {
        if (sent.data[i] == '\r' && i + 1 < sent.len && sent.data[i + 1] == '\n')
            continue;
        if (at == octets.len || octets.data[at] != sent.data[i])
            return false;
        at++;
    }
    return at == octets.len;
}

static bool was_sent_as_lf(uint64_t serial, struct slice octets)
{
    for (const struct sim_sent *sent = sim_server_last_sent(ledger.server, serial); sent != NULL;
         sent = sent->previous)
        if (sent->verb == SIM_VERB_RETR && sent->is_ended && is_lf_image(sent->octets, octets))
            return true;
    return false;
}

/* Where two messages are alike to the octet, nothing tells whose these are, nor need it. */
static bool are_its_own(uint64_t serial, uint64_t offset, struct slice octets, bool is_all)
{
    struct slice own = sim_server_message(ledger.server, serial)->octets;
    if (ledger.lf)
        return is_all && is_lf_image(own, octets);
    if (offset > own.len)
        return false;
    own = slice_skip(own, (size_t)offset);
    return (is_all ? own.len == octets.len : own.len >= octets.len) &&
           (octets.len == 0 || memcmp(own.data, octets.data, octets.len) == 0);
}

static bool are_right(uint64_t serial, uint64_t offset, struct slice octets, bool is_all)
{
    if (are_its_own(serial, offset, octets, is_all))
        return true;
    if (ledger.lf)
        return !is_all || was_sent_as_lf(serial, octets);
    return sim_server_has_sent(ledger.server, serial, offset, octets, is_all, !is_all);
}

/* As LIST said last. */
static int64_t listed_octets(uint64_t serial)
{
    for (uint32_t number = sim_server_session_count(ledger.server); number > 0; number--) {
        struct sim_session_truth truth = sim_server_session(ledger.server, number);
        const struct sim_row *row = row_of(&truth, serial);
        if (row != NULL)
            return row->listed_octets;
    }
    return -1;
}

/*
 * The kept body of `other`, which had the UIDL before, may be shown for the message: where their
 * headers are alike, nothing tells them apart; and where the row of LIST is the same, too, the body
 * is shown until the sample of the session has come to it, unless the server has been caught
 * (POP3.md rule 29).
 */
static bool stands_for(uint64_t other, uint64_t serial, const struct maildrop_message *message)
{
    if (other == serial ||
        !sim_server_has_listed(ledger.server, other, maildrop_message_uidl(message)))
        return false;
    return are_alike(serial, other) || (!ledger.is_caught && !maildrop_message_is_proven(message) &&
                                        listed_octets(other) == listed_octets(serial));
}

void ledger_check_octets(uint64_t serial, const struct maildrop_message *message, uint64_t offset,
                         struct slice octets, bool is_all)
{
    bool right = are_right(serial, offset, octets, is_all);
    for (uint64_t other = 1; other <= serial_count() && !right; other++)
        right = stands_for(other, serial, message) && are_right(other, offset, octets, is_all);
    if (!right)
        world_finding(is_all ? "4 a body that the server did not send"
                             : "4 part of a body that the server did not send",
                      "serial %" PRIu64 ", %zu octets from %" PRIu64 " on", serial, octets.len,
                      offset);
}

/* ---- 6: all comes to an end ---- */

size_t ledger_pending_count(void)
{
    size_t count = 0;
    for (uint64_t serial = 1; serial <= serial_count(); serial++)
        count += wish_of(serial)->state == WISH_PENDING && is_there(serial);
    return count;
}

static bool has_header(uint64_t serial)
{
    struct slice octets = sim_server_message(ledger.server, serial)->octets;
    return octets.len > 0 && octets.data[0] != '\r' && octets.data[0] != '\n';
}

bool ledger_pending_has_no_header(void)
{
    for (uint64_t serial = 1; serial <= serial_count(); serial++)
        if (wish_of(serial)->state == WISH_PENDING && is_there(serial) && has_header(serial))
            return false;
    return true;
}

void ledger_check_nothing_pending(void)
{
    for (uint64_t serial = 1; serial <= serial_count(); serial++) {
        const struct wish *wish = wish_of(serial);
        /* No session of this mount has told which message it is that was taken back. */
        if (wish->is_unsure && ledger.session == 0)
            continue;
        if (wish->state == WISH_PENDING && is_there(serial) && !wish->is_blurred &&
            !wish->is_disowned && !wish->is_unlisted && !is_renamed(serial, wish) &&
            !was_lied_about(serial) && has_header(serial))
            world_finding("6 a commit leaves it pending", "serial %" PRIu64, serial);
    }
}
