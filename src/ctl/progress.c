/* SPDX-License-Identifier: MIT */
/*
 * A thread of its own looks into status.json, because the other one waits in write(). Refuses to
 * know what was asked for: it shows what the mount says it is doing.
 */
#include "progress.h"

#include "status.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PERIOD_MS = 200, COLUMNS_DEFAULT = 80, COLUMNS_MAX = 200, TAIL_OCTETS = 120, BAR_LEAST = 8 };

/* ---- the line ---- */

static void render_rate(int64_t octets_per_s, char *out, size_t capacity)
{
    static const char *const units[] = {"octets", "KiB", "MiB", "GiB", "TiB"};
    double amount = (double)octets_per_s;
    size_t unit = 0;
    for (; amount >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        amount /= 1024;
    out[0] = '\0';
    if (octets_per_s > 0)
        snprintf(out, capacity, "  %.*f %s/s", unit == 0 ? 0 : 1, amount, units[unit]);
}

static void render_bar(size_t cells, double part, char *out)
{
    size_t full = (size_t)((double)cells * part);
    *out++ = '[';
    memset(out, '#', full);
    memset(out + full, '-', cells - full);
    memcpy(out + cells, "]", 2);
}

void progress_render(const struct progress_facts *facts, size_t columns, char *out, size_t capacity)
{
    char tail[TAIL_OCTETS], rate[40], bar[COLUMNS_MAX + 3] = "";
    int64_t done = facts->done < 0 ? 0 : facts->done;
    double part = facts->total <= 0 ? 0 : (double)done / (double)facts->total;
    part = part > 1 ? 1 : part;
    render_rate(facts->octets_per_s, rate, sizeof(rate));
    /* As wide from the start as it will be, so that the bar does not shrink. */
    int digits = snprintf(NULL, 0, "%" PRId64, facts->total);
    if (facts->total > 0)
        snprintf(tail, sizeof(tail), " %3d%%  %*" PRId64 " of %" PRId64 "%s", (int)(part * 100),
                 digits, done, facts->total, rate);
    else
        snprintf(tail, sizeof(tail), "%s", rate);
    columns = columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
    size_t used = strlen(facts->kind) + strlen(" []") + strlen(tail);
    if (facts->total > 0 && columns >= used + BAR_LEAST)
        render_bar(columns - used, part, bar);
    columns = columns < capacity ? columns : capacity - 1;
    snprintf(out, columns + 1, "%s %s%s", facts->kind, bar, tail);
}

/* ---- what it shows ---- */

/* A word of our own: that of the mount is not to be trusted on a terminal. */
static const char *kind_of(const char *word)
{
    static const char *const known[] = {"refresh", "commit", "prefetch", "verify"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i], word) == 0)
            return known[i];
    return "waiting";
}

struct rate {
    int64_t begun_ms; /* 0: not yet */
    int64_t octets;   /* received when it began */
};

static int64_t octets_per_s(struct rate *rate, int64_t received)
{
    int64_t now = clock_now_ms();
    if (rate->begun_ms == 0)
        *rate = (struct rate){now, received};
    int64_t passed = now - rate->begun_ms;
    /* By way of double: a mount may say any number. */
    return passed <= 0
               ? 0
               : (int64_t)(((double)received - (double)rate->octets) * 1000 / (double)passed);
}

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

static void draw(const struct place *place, struct rate *rate)
{
    CLEANUP_STATUS struct json_object *status = NULL;
    char line[COLUMNS_MAX + 1];
    if (status_load(place, &status) != 0)
        return;
    const struct progress_facts facts = {
        .kind = kind_of(status_text(status, "/work/kind")),
        .done = status_number(status, "/work/done"),
        .total = status_number(status, "/work/total"),
        .octets_per_s = octets_per_s(rate, status_number(status, "/received_octets")),
    };
    /* Not the last column: some terminals wrap there. */
    progress_render(&facts, terminal_columns() - 1, line, sizeof(line));
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
}

static void *run(void *context)
{
    const struct progress *progress = context;
    struct pollfd stop = {.fd = progress->stop, .events = POLLIN};
    struct rate rate = {0};
    bool drawn = false;
    while (poll(&stop, 1, PERIOD_MS) == 0) {
        draw(progress->place, &rate);
        drawn = true;
    }
    if (drawn)
        fputs("\r\033[K", stderr);
    return NULL;
}

static bool can_draw(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

void progress_start(struct progress *progress, const struct place *place, bool wanted)
{
    sigset_t all, before;
    *progress = (struct progress){.place = place, .stop = -1};
    if (!wanted || !can_draw())
        return;
    progress->stop = eventfd(0, EFD_CLOEXEC);
    if (progress->stop < 0)
        return;
    /* Signals are for the thread that waits in write(). */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&progress->thread, NULL, run, progress) != 0) {
        close(progress->stop);
        progress->stop = -1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_stop(struct progress *progress)
{
    if (progress->stop < 0)
        return;
    eventfd_write(progress->stop, 1);
    pthread_join(progress->thread, NULL);
    close(progress->stop);
}
