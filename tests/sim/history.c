/* SPDX-License-Identifier: MIT */
#include "history.h"

#include "disk.h"
#include "ledger.h"
#include "net.h"
#include "server.h"
#include "shown.h"
#include "users.h"
#include "world.h"

#include "store/disk.h"

#include "popfs/sync.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    CALM_MS = 600000,           /* ten minutes, after which all waits are over */
    CALM_MOST_MS = 3600000,     /* what is tried again and again comes right by then */
    CALM_RETRY_MS = 21300,      /* what failed is tried again, at no multiple of `refresh` */
    UNMOUNT_MS = 80000 + 65000, /* the commit, and a password that is still being fetched */
    PASSWORD_OCTETS = 64,
};

struct history {
    const struct plan *plan;
    struct sim_server *server;
    struct sim_disk *disk;
    struct sim_random random;
    char password[PASSWORD_OCTETS];
    /* of the mount that there is */
    const struct plan_mount *mount;
    int64_t begun_ms;
    int64_t writes_left; /* -1: it is not killed by one */
    bool is_calm;
    struct sync *sync;
};

/* ---- what happens by itself ---- */

static enum world_end killing(const struct history *history)
{
    return history->mount->killed_by_power ? WORLD_POWER_CUT : WORLD_KILLED;
}

static int64_t killed_at_ms(void *context)
{
    const struct history *history = context;
    if (history->is_calm || history->mount == NULL || history->mount->killed_ms < 0)
        return -1;
    return history->begun_ms + history->mount->killed_ms;
}

static void kill_now(void *context)
{
    const struct history *history = context;
    world_end_process(killing(history));
}

static void before_change(void *context)
{
    struct history *history = context;
    if (history->mount == NULL || history->is_calm || history->writes_left < 0)
        return;
    if (history->writes_left-- == 0)
        world_end_process(killing(history));
}

static void disk_waits(void *context, uint32_t ms)
{
    (void)context;
    world_pass_ms(ms);
}

static void disk_fault(void *context, enum sim_disk_fault fault, const char *line)
{
    (void)context;
    (void)fault;
    world_trace("disk  %s", line);
}

static void disk_change(void *context, const char *line)
{
    (void)context;
    world_trace("disk  %s", line);
}

static void server_line(void *context, const char *line)
{
    (void)context;
    world_trace("      %s", line);
}

/* On a coroutine of its own. */
static enum sync_fetched fetch_password(void *context, struct failure *ret_failure)
{
    struct history *history = context;
    world_sleep_ms((int64_t)sim_random_skewed(&history->random, 60000));
    if (!history->is_calm && sim_random_chance(&history->random, 200)) {
        failure_set(ret_failure, FAULT_LOGIN, "the password command failed");
        return SYNC_FETCHED_NOTHING;
    }
    const char *password = sim_server_password(history->server);
    bool same = strcmp(history->password, password) == 0;
    snprintf(history->password, sizeof(history->password), "%s", password);
    world_trace("user  the password was fetched anew, %s", same ? "the same" : "another one");
    return same ? SYNC_FETCHED_THE_SAME : SYNC_FETCHED_ANOTHER;
}

/* ---- a mount ---- */

/* Which listing is shown; none of this process where it is in doubt. */
static void note_start(struct sync *sync)
{
    struct sync_status status;
    sync_status(sync, &status);
    if (!status.listing_is_doubted)
        ledger_note_start();
}

/* For the bin; nobody here looks a file up. */
static bool name_of(struct slice uidl, uint32_t copy, char ret_name[SYNC_NAME_OCTETS])
{
    snprintf(ret_name, SYNC_NAME_OCTETS, "%.*s~%u", uidl.len < 200 ? (int)uidl.len : 200, uidl.data,
             copy);
    return true;
}

static enum fault mount_begin(struct history *history, struct failure *ret_failure)
{
    const struct plan *plan = history->plan;
    const struct sync_options options = {
        .host = "127.0.0.1",
        .port = plan->tls ? 995 : 110,
        .tls = plan->tls ? SYNC_TLS_ON : SYNC_TLS_OFF,
        .user = SIM_SERVER_USER,
        .password = history->password,
        .fetch_password = plan->has_fetch ? fetch_password : NULL,
        .fetch_context = history,
        .account = SIM_SERVER_USER "@127.0.0.1",
        .mountpoint = "/mnt",
        .cache_folder = SIM_DISK_PATH "/cache",
        .cache_off = plan->cache_off,
        .state_folder = plan->state_off ? NULL : SIM_DISK_PATH "/state",
        .cache_octets_max = plan->cache_octets_max,
        .bin_s = 7 * 86400,
        .name_of = name_of,
        .timeout_s = plan->timeout_s,
        .keepalive_s = plan->keepalive_s,
        .refresh_s = plan->refresh_s,
        .idle_s = plan->idle_s,
        .noquit = plan->noquit,
        .strict = plan->strict,
        .lf = plan->lf,
        .pipeline = plan->pipeline,
        .top = plan->top,
        .lazy_octets = plan->lazy_octets,
        .prefetch = plan->prefetch,
        .read_only = plan->read_only,
    };
    snprintf(history->password, sizeof(history->password), "%s",
             sim_server_password(history->server));
    history->sync = NULL;
    enum fault fault = sync_new(&options, &history->sync, ret_failure);
    if (fault == FAULT_NONE)
        fault = sync_start(history->sync, -1, ret_failure);
    if (fault == FAULT_NONE) {
        ledger_process_began();
        note_start(history->sync);
        users_begin(history->server, history->sync);
        users_go_on();
        return FAULT_NONE;
    }
    shown_check_text(ret_failure->text);
    sync_free(history->sync);
    history->sync = NULL;
    world_forget_process();
    return fault;
}

static bool go_on(void *context)
{
    (void)context;
    users_go_on();
    return false;
}

static void pass_ms(int64_t ms)
{
    world_run(go_on, NULL, world_now_ms() + ms);
    users_go_on();
}

static void act(const struct plan_mount *mount)
{
    for (uint32_t i = 0; i < mount->action_count; i++) {
        pass_ms(mount->actions[i].gap_ms);
        users_act(&mount->actions[i]);
        users_go_on();
    }
    pass_ms(mount->end_gap_ms);
}

static void mount_over(struct history *history, enum world_end end)
{
    users_forget();
    ledger_process_ended(end);
    history->sync = NULL;
}

static void unmount(struct history *history, bool commit)
{
    struct sync_report report = {0};
    world_trace("user  unmounts%s", commit ? "" : " lazily");
    ledger_check_snapshot(history->sync);
    shown_check_status(history->sync);
    users_close_streams();
    int64_t begun_ms = world_now_ms();
    sync_stop(history->sync, commit, &report);
    if (world_now_ms() - begun_ms > UNMOUNT_MS)
        world_finding("6 an unmount takes too long", "%" PRId64 " ms", world_now_ms() - begun_ms);
    users_go_on();
    if (users_waiting_count() > 0)
        world_finding("6 a request is never answered", "%s, after the end",
                      users_describe_waiting());
    world_trace("user  unmounted: %zu deleted, %zu not, %zu forgotten", report.removed_count,
                report.failed_count, report.forgotten_count);
    ledger_check_report(&report, commit);
    struct sync *sync = history->sync;
    users_close_streams();
    sync_free(sync);
    mount_over(history, WORLD_GOES_ON);
}

/* ---- the end of it all: the server and the disk behave ---- */

static bool nobody_waits(void *context)
{
    (void)context;
    users_go_on();
    return users_waiting_count() == 0;
}

/* Ten minutes; longer where a line is slow for good. */
static void wait_for_all(struct history *history, const char *what)
{
    bool slow = sim_server_has_trait(history->server, SIM_FAULT_SLOW_LINE) ||
                sim_server_has_trait(history->server, SIM_FAULT_SLOW_SERVER);
    if (!world_run(nobody_waits, NULL, world_now_ms() + (slow ? CALM_MOST_MS : CALM_MS)))
        world_finding("6 a wait does not end", "%s: %s", what, users_describe_waiting());
}

/* One wait ends within ten minutes; that it ends well may take longer, where a lock of a session
 * that was there before lingers. */
static void calm_commit(struct history *history, int64_t until_ms)
{
    bool hurries = false;
    for (;;) {
        enum fault fault;
        users_commit();
        wait_for_all(history, "commit");
        users_go_on();
        if (users_commit_is_answered(&fault) && fault == FAULT_NONE)
            return;
        if (fault == FAULT_REFUSED && world_now_ms() >= until_ms && ledger_pending_has_no_header())
            return;
        if (world_now_ms() >= until_ms)
            world_finding("6 a commit goes on failing", "%s", fault_name(fault));
        /* As `status` says: what cannot be proven any more is wished again, and committed while the
         * session lasts that lists it. */
        hurries = fault == FAULT_REFUSED && !hurries;
        if (!hurries)
            pass_ms(CALM_RETRY_MS);
        if (fault == FAULT_REFUSED)
            users_renew_removals();
    }
}

/* Where one message alone is shorter than LIST says, nobody can tell that it is whole; one with a
 * dot on a line of its own, not stuffed, ends each session that asks for it. */
static bool may_look_like_parts(const struct history *history, enum fault fault)
{
    bool is_short = fault == FAULT_GARBLED &&
                    sim_server_has_trait(history->server, SIM_FAULT_LIST_OFF) &&
                    sim_server_present_count(history->server) < 2;
    return is_short || sim_server_has_trait(history->server, SIM_FAULT_NO_STUFFING);
}

static void calm_read(struct history *history, int64_t until_ms)
{
    enum fault fault = FAULT_REFUSED;
    for (;;) {
        /* What somebody else has deleted is in the listing until there is a new one. What turned
         * out to be another message is opened once more by the kernel. */
        if (fault != FAULT_BUSY && fault != FAULT_GONE)
            users_refresh();
        wait_for_all(history, "a listing");
        users_failed_count(&fault);
        users_read_all();
        wait_for_all(history, "reading all");
        if (users_failed_count(&fault) == 0)
            return;
        /* Headers that are others each time are those of others. */
        if (fault == FAULT_GONE && world_now_ms() >= until_ms &&
            sim_server_has_trait(history->server, SIM_FAULT_REWRITES_8BIT))
            return;
        if (world_now_ms() >= until_ms && may_look_like_parts(history, fault))
            return;
        if (world_now_ms() >= until_ms)
            world_finding("6 a message cannot be read", "%s", fault_name(fault));
        pass_ms(CALM_RETRY_MS);
    }
}

static void be_calm(struct history *history)
{
    history->is_calm = true;
    sim_server_set_behaving(history->server, world_now_ms(), true);
    sim_disk_set_behaving(history->disk, true);
    world_trace("      the server and the disk behave from now on");
}

static void calm(struct history *history)
{
    be_calm(history);
    int64_t until_ms = world_now_ms() + CALM_MOST_MS;
    wait_for_all(history, "what was asked for before");
    if (!history->plan->read_only) {
        calm_commit(history, until_ms);
        ledger_check_nothing_pending();
    }
    calm_read(history, until_ms);
    users_check_shown();
    unmount(history, true);
}

/* Without CAPA, twice, and without UIDL there are three errors, and it may hang up at the third. */
static bool refuses_all_that_is_asked(const struct history *history)
{
    return sim_server_has_trait(history->server, SIM_FAULT_NO_CAPA) &&
           sim_server_has_trait(history->server, SIM_FAULT_NO_UIDL) &&
           sim_server_has_trait(history->server, SIM_FAULT_HANGS_UP_ON_ERRORS);
}

static void calm_mount(struct history *history)
{
    struct failure failure = {0};
    int64_t until_ms = world_now_ms() + CALM_MOST_MS;
    be_calm(history);
    while (mount_begin(history, &failure) != FAULT_NONE) {
        world_trace("user  cannot mount: %s", failure.text);
        if (world_now_ms() >= until_ms && refuses_all_that_is_asked(history))
            return;
        if (world_now_ms() >= until_ms)
            world_finding("6 it cannot be mounted", "%s", failure.text);
        world_run(NULL, NULL, world_now_ms() + CALM_RETRY_MS);
    }
    calm(history);
}

/* ---- mount after mount ---- */

static void wipe_cache(const struct history *history)
{
    char wiped[64];
    snprintf(wiped, sizeof(wiped), SIM_DISK_PATH "/wiped-%td",
             history->mount - history->plan->mounts);
    world_trace("user  wipes the cache");
    (void)disk_renameat(AT_FDCWD, SIM_DISK_PATH "/cache", AT_FDCWD, wiped);
}

static void run_mount(struct history *history, bool is_last)
{
    const struct plan_mount *mount = history->mount;
    struct failure failure = {0};
    if (mount->finds_no_cache)
        wipe_cache(history);
    world_trace("user  mounts");
    if (mount_begin(history, &failure) != FAULT_NONE) {
        world_trace("user  cannot mount: %s", failure.text);
        mount_over(history, WORLD_GOES_ON);
        if (is_last)
            calm_mount(history);
        return;
    }
    act(mount);
    ledger_check_snapshot(history->sync);
    if (is_last)
        calm(history);
    else if (mount->end == END_UNMOUNT || mount->end == END_LAZY)
        unmount(history, mount->end == END_UNMOUNT);
    else
        world_end_process(mount->end == END_KILL ? WORLD_KILLED : WORLD_POWER_CUT);
}

static void bury(struct history *history, enum world_end end)
{
    bool power_cut = end == WORLD_POWER_CUT;
    world_trace("      %s", power_cut ? "POWER CUT" : "KILLED");
    world_forget_process();
    net_process_ended(power_cut);
    if (power_cut)
        sim_disk_power_cut(history->disk, &history->random);
    else
        sim_disk_kill(history->disk);
    mount_over(history, end);
}

static void begin_mount(struct history *history, uint32_t number)
{
    history->mount = &history->plan->mounts[number];
    history->begun_ms = world_now_ms();
    history->writes_left = history->mount->killed_writes;
}

void history_run(const struct plan *plan, bool trace)
{
    static struct history history;
    static volatile uint32_t number;
    const struct world_events events = {killed_at_ms, kill_now, &history};
    const struct sim_disk_watcher watcher = {&history, disk_fault, trace ? disk_change : NULL,
                                             before_change, disk_waits};
    history = (struct history){.plan = plan, .random = sim_random_fork(&plan->random, "history")};
    world_begin(&plan->random, trace);
    history.server = sim_server_new(&plan->faults, &plan->random);
    history.disk = sim_disk_new(&plan->random);
    sim_disk_use(history.disk);
    sim_disk_watch(history.disk, &watcher);
    sim_disk_set_faults(history.disk, &plan->disk_faults);
    net_use(history.server, &plan->random, plan->piece_octets);
    ledger_begin(history.server, plan->state_off, plan->lf);
    net_on_quit(ledger_quit_heard, NULL);
    world_on_log(ledger_heard, NULL);
    world_set_events(&events);
    plan_trace(plan);
    for (uint32_t i = 0; i < plan->message_count; i++)
        sim_server_deliver(history.server, world_now_ms());
    if (trace) {
        sim_server_set_trace(history.server, server_line, NULL);
        sim_server_describe(history.server, server_line, NULL);
    }
    for (number = 0; number < plan->mount_count; number++) {
        begin_mount(&history, number);
        int end = setjmp(*world_process());
        if (end == WORLD_GOES_ON)
            run_mount(&history, number + 1 == plan->mount_count);
        else
            bury(&history, (enum world_end)end);
        history.mount = NULL;
        world_forget_process();
        world_run(NULL, NULL, world_now_ms() + plan->mounts[number].after_ms);
    }
    sim_disk_use(NULL);
    sim_disk_free(history.disk);
    sim_server_free(history.server);
}
