/* SPDX-License-Identifier: MIT */
#include "mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the lines of bodies are cut from: long enough that few are the same. */
static const char POOL[] =
    "The harbour was quiet when the letters came, and the clerk who sorted them had gone to lunch. "
    "Nobody asked for the blue envelope until evening, although it lay on top of all the others. "
    "She wrote that the roof had been mended at last, that the cat was well, and that the price of "
    "coal would not come down before spring; would he send the long ladder back? He would, he "
    "said, "
    "as soon as the cart was free again. > On Monday you asked whether the minutes were complete. "
    "They are, but for the last two pages, which I enclose. -- Yours sincerely, the treasurer. "
    "0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz != == <> [] {} ~ # @ $ & * ( "
    ")"
    " PGh0bWw+PGJvZHk+PHA+SGVsbG8sIHdvcmxkITwvcD48L2JvZHk+PC9odG1sPg== =C3=A9t=C3=A9 =E2=82=AC 12 ";

static const char *const DATES[] = {
    "Mon, 12 Oct 2026 08:15:42 +0200",
    "Tue, 3 Nov 2026 23:59:60 -0330",
    "3 Nov 26 10:11 EST",
    "Sun,  1 Feb 2004 00:00:00 GMT",
    "Thu, 29 Feb 2024 12:00:00 +0000 (UTC)",
    "Wed, 31 Dec 1969 23:59:59 +0000",
    "1 Jan 1970 00:00:00 -0000",
    "Friday, 13-Nov-98 04:05:06 PST",
    "2026-11-30T20:54:13Z",
    "Mon, 30 Nov 2026 20:54 +0100",
    "Sat, 45 Foo 2026 99:99:99 +9999",
    "",
    "=?utf-8?q?Mon=2C_30_Nov_2026?=",
    "Mon, 30 Nov 2026\r\n 20:54:13\r\n\t+0100",
};

static const char *const SENDERS[] = {
    "Anna Hedlund <anna@example.org>",
    "\"Smith, John\" <john.smith@example.com>",
    "=?iso-8859-1?Q?J=F6rg_M=FCller?= <joerg@example.de>",
    "=?utf-8?B?5bGx55Sw5aSq6YOO?= <taro@example.jp>",
    "bounce-4711@lists.example.net",
    "<>",
    "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd <ivan@example.ru>",
    "group: a@example.org, b@example.org;",
};

static const char *const SUBJECTS[] = {
    "Minutes of the meeting",
    "Re: Re: AW: the long ladder",
    "=?utf-8?q?R=C3=A9union_de_lundi?=",
    "=?utf-8?B?44GK55+l44KJ44Gb?=",
    "a subject that is folded\r\n over two lines\r\n\tand a third",
    "",
    "caf\xc3\xa9 at eight",
    "../../etc/passwd",
    "$(reboot) `id` \"quoted\" <b>bold</b>",
    "caf\xe9 in latin1",
};

/* Lines that have hurt somebody's framing. */
static const struct slice TRAPS[] = {
    {".", 1},
    {"..", 2},
    {".hidden", 7},
    {"...", 3},
    {". ", 2},
    {"-ERR [SYS/TEMP] read failed", 27},
    {"+OK 120 octets", 14},
    {"+OK", 3},
    {"From nobody Mon Nov 30 20:54:13 2026", 36},
    {"\n.\n", 3},
    {"a\n.\nb", 5},
    {"bare\rcr", 7},
    {"\r", 1},
    {"bare\nlf", 7},
    {"nul\0nul", 7},
    {"\xff\xfe\x80 8-bit \xc3\xa9", 13},
    {"", 0},
    {".\r.", 3},
};

static void put(struct buffer *out, struct slice bytes)
{
    if (!buffer_append(out, bytes))
        abort();
}

static void put_text(struct buffer *out, const char *text)
{
    put(out, slice_from_string(text));
}

static const char *one_of(struct sim_random *random, const char *const *texts, size_t count)
{
    return texts[sim_random_below(random, count)];
}

#define ONE_OF(random, texts) one_of(random, texts, sizeof(texts) / sizeof((texts)[0]))

/* ---- headers ---- */

static void put_field(struct buffer *out, const char *name, const char *value)
{
    put_text(out, name);
    put_text(out, ": ");
    put_text(out, value);
    put_text(out, "\r\n");
}

static void put_received(struct sim_random *random, uint64_t serial, struct buffer *out)
{
    char line[160];
    snprintf(
        line, sizeof(line),
        "from relay%u.example.net (relay [192.0.2.%u])\r\n\tby mx.example.org with ESMTP id %llx;"
        "\r\n\t",
        (unsigned)sim_random_below(random, 9), (unsigned)sim_random_below(random, 256),
        (unsigned long long)serial);
    put_text(out, "Received: ");
    put_text(out, line);
    put_text(out, DATES[sim_random_below(random, 2)]);
    put_text(out, "\r\n");
}

static void put_message_id(struct sim_random *random, uint64_t serial, struct buffer *out)
{
    char id[96];
    snprintf(id, sizeof(id),
             sim_random_chance(random, 100) ? "\r\n <%llu.%08x@mail.example.org>"
                                            : "<%llu.%08x@mail.example.org>",
             (unsigned long long)serial, (unsigned)sim_random_next(random));
    put_field(out, sim_random_chance(random, 100) ? "Message-Id" : "Message-ID", id);
}

/* Dates, for the most part well formed: the first two rows are what most mail has. */
static const char *some_date(struct sim_random *random)
{
    return sim_random_chance(random, 600) ? DATES[sim_random_below(random, 2)]
                                          : ONE_OF(random, DATES);
}

static void put_header(struct sim_random *random, uint64_t serial, struct buffer *out)
{
    char subject[32];
    for (uint64_t left = sim_random_below(random, 4); left > 0; left--)
        put_received(random, serial, out);
    if (sim_random_chance(random, 950))
        put_field(out, "From", ONE_OF(random, SENDERS));
    put_field(out, "To", "user@example.org");
    snprintf(subject, sizeof(subject), "number %llu", (unsigned long long)serial);
    if (sim_random_chance(random, 950))
        put_field(out, "Subject",
                  sim_random_chance(random, 500) ? subject : ONE_OF(random, SUBJECTS));
    if (sim_random_chance(random, 920))
        put_field(out, "Date", some_date(random));
    if (sim_random_chance(random, 880))
        put_message_id(random, serial, out);
    put_text(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n");
    if (sim_random_chance(random, 20)) /* a header of many KiB */
        for (uint64_t left = sim_random_below(random, 900); left > 0; left--)
            put_field(out, "References", "<0123456789abcdef0123456789abcdef@example.net>");
}

/* ---- bodies ---- */

static void put_body_line(struct sim_random *random, uint64_t serial, uint32_t line,
                          struct buffer *out)
{
    char tag[48];
    int len = 0;
    /* The tag tells, in a hex dump, which message a stray piece comes from. */
    if (line % 8 == 0)
        len = snprintf(tag, sizeof(tag), "[%llu/%u] ", (unsigned long long)serial, line);
    put(out, (struct slice){tag, (size_t)len});
    uint64_t drawn = sim_random_next(random);
    size_t octets = (size_t)(drawn % 77);
    size_t from = (size_t)((drawn >> 8) % (sizeof(POOL) - 1 - octets));
    put(out, (struct slice){POOL + from, octets});
    put(out, SLICE_LITERAL("\r\n"));
}

static void put_long_line(struct sim_random *random, struct buffer *out)
{
    for (uint64_t left = 1 + sim_random_below(random, 40); left > 0; left--)
        put(out, (struct slice){POOL, sizeof(POOL) - 1});
    put(out, SLICE_LITERAL("\r\n"));
}

static size_t body_octets(struct sim_random *random)
{
    if (sim_random_chance(random, 25))
        return (size_t)sim_random_below(random, 100000);
    return (size_t)sim_random_skewed(random, 8192);
}

static void put_body(struct sim_random *random, uint64_t serial, struct buffer *out)
{
    size_t end = out->len + body_octets(random);
    uint32_t trap_per_mille = sim_random_chance(random, 400) ? 120 : 0;
    for (uint32_t line = 0; out->len < end; line++) {
        if (trap_per_mille > 0 && sim_random_chance(random, trap_per_mille)) {
            put(out, TRAPS[sim_random_below(random, sizeof(TRAPS) / sizeof(TRAPS[0]))]);
            put(out, SLICE_LITERAL("\r\n"));
        } else if (trap_per_mille > 0 && sim_random_chance(random, 3)) {
            put_long_line(random, out);
        } else {
            put_body_line(random, serial, line, out);
        }
    }
}

/* The last line of some mail has no end, or half of one. */
static void spoil_end(struct sim_random *random, struct buffer *out)
{
    if (!sim_random_chance(random, 120) || out->len < 2)
        return;
    static const struct slice ends[] = {{"no end", 6}, {".", 1}, {"bare cr\r", 8}, {"\n", 1}};
    put(out, ends[sim_random_below(random, sizeof(ends) / sizeof(ends[0]))]);
}

void sim_mail_write(struct sim_random *random, uint64_t serial, struct buffer *out)
{
    uint64_t kind = sim_random_below(random, 1000);
    if (kind < 15) /* an empty message */
        return;
    if (kind < 30) { /* no header at all */
        put_body(random, serial, out);
        spoil_end(random, out);
        return;
    }
    if (kind >= 50) /* else: the blank line comes first */
        put_header(random, serial, out);
    if (kind < 70) /* the header is all there is */
        return;
    put(out, SLICE_LITERAL("\r\n"));
    put_body(random, serial, out);
    spoil_end(random, out);
}

size_t sim_mail_header_octets(struct slice octets)
{
    if (octets.len >= 2 && memcmp(octets.data, "\r\n", 2) == 0)
        return 0;
    const char *blank = memmem(octets.data, octets.len, "\r\n\r\n", 4);
    return blank == NULL ? octets.len : (size_t)(blank - octets.data) + 4;
}
