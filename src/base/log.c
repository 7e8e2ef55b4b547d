/* SPDX-License-Identifier: MIT */
/* Where lines for a person go once the terminal may be gone. Set up once, before any thread. */
#include "popfs/base.h"

#include <stdio.h>
#include <syslog.h>

static enum log_sink log_sink = LOG_SINK_STDERR;
static enum log_level log_most = LOG_LEVEL_INFO;
static const char *log_ident = "popfs";
static char log_named[200]; /* with ": " behind it, or empty */

static int syslog_priority(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return LOG_ERR;
    case LOG_LEVEL_WARNING:
        return LOG_WARNING;
    case LOG_LEVEL_INFO:
        return LOG_INFO;
    case LOG_LEVEL_DEBUG:
        return LOG_DEBUG;
    }
    return LOG_ERR;
}

void log_start(enum log_sink sink, enum log_level most, const char *ident)
{
    log_sink = sink;
    log_most = most;
    log_ident = ident;
    if (sink == LOG_SINK_SYSLOG)
        openlog(ident, LOG_PID, LOG_MAIL);
}

void log_name(const char *what)
{
    char shown[sizeof(log_named) - 2];
    snprintf(log_named, sizeof(log_named),
             "%s: ", text_show(slice_from_string(what), shown, sizeof(shown)));
}

void log_write_args(enum log_level level, const char *format, va_list args)
{
    if (level > log_most)
        return;
    char line[2048];
    vsnprintf(line, sizeof(line), format, args);
    /* One write a line, so that lines of two threads do not mix. */
    if (log_sink == LOG_SINK_SYSLOG)
        syslog(syslog_priority(level), "%s%s", log_named, line);
    else
        fprintf(stderr, "%s: %s%s\n", log_ident, log_named, line);
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_write_args(level, format, args);
    va_end(args);
}
