/* SPDX-License-Identifier: MIT */
/*
 * Replays tests/transcripts/NAME.pop3: whole, octet by octet, and cut in two at every place.
 * Whatever the cut, the client must say the same and the same events must come. A transcript has
 * one thing a line:
 *
 *   # …            for the reader
 *   @ key=value …  options: security=none|tls|stls auth= user= password= pipeline=on|off
 * trace=on|off binding=KIND S: …  L: …     the server says this line, ended by CRLF; by LF R: … the
 * server sends these octets and no line end; R*N: sends them N times C: …           the client says
 * this line; C~: a line that starts so; C?: this line or none, for what the cut decides I: RETR 1
 * the caller issues this E: …           the next event; E: DATA lines add up
 *
 * In text, \r \n \0 \\ and \xNN are what they are in C.
 */
#include "popfs/pop3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum step_kind { STEP_SERVER, STEP_CLIENT, STEP_CLIENT_PREFIX, STEP_CLIENT_MAYBE, STEP_ISSUE };

struct step {
    enum step_kind kind;
    struct buffer bytes;
};

enum { STEPS_MAX = 400, OPTION_OCTETS = 1100 };

struct transcript {
    struct step steps[STEPS_MAX];
    size_t step_count;
    size_t server_octets;
    struct buffer expected; /* the events, one a line */
    bool last_is_data;
    struct pop3_options options;
    char user[OPTION_OCTETS];
    char password[OPTION_OCTETS];
    char binding[32];
};

/* How the server's octets are cut: after every octet, or once before `split`. */
struct cut {
    bool every_octet;
    size_t split;
};

struct replay {
    const struct transcript *transcript;
    struct cut cut;
    struct pop3_session *session;
    struct buffer client;
    struct buffer events;
    bool last_is_data;
    size_t fed_octets;
};

/* ---- events as text ---- */

static void add_escaped(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char piece[8];
        text_escape((struct slice){text.data + i, 1}, piece, sizeof(piece));
        assert_true(buffer_append_string(out, piece));
    }
}

static void add_event(struct buffer *out, bool *last_is_data, bool is_data, const char *head,
                      struct slice text)
{
    if (!(is_data && *last_is_data))
        assert_true(buffer_printf(out, "%s%s", out->len > 0 ? "\n" : "", head));
    add_escaped(out, text);
    *last_is_data = is_data;
}

static const char *code_name(enum pop3_code code)
{
    static const char *const names[] = {
        [POP3_CODE_NONE] = "",
        [POP3_CODE_IN_USE] = " (IN_USE)",
        [POP3_CODE_LOGIN_DELAY] = " (LOGIN_DELAY)",
        [POP3_CODE_SYS_TEMP] = " (SYS_TEMP)",
        [POP3_CODE_SYS_PERM] = " (SYS_PERM)",
        [POP3_CODE_AUTH] = " (AUTH)",
        [POP3_CODE_UTF8] = " (UTF8)",
        [POP3_CODE_OTHER] = " (OTHER)",
    };
    return names[code];
}

static void head_of_status(const struct pop3_event *event, char *out, size_t capacity)
{
    const char *ok = event->ok ? "ok" : "err";
    const char *name = pop3_command_name(event->command);
    if (event->command == POP3_STAT && event->ok)
        snprintf(out, capacity, "STATUS STAT ok %u messages %llu octets: ", event->count,
                 (unsigned long long)event->octets);
    else
        snprintf(out, capacity, "STATUS %s %s%s: ", name, ok, code_name(event->code));
}

static void head_of_event(const struct replay *replay, const struct pop3_event *event, char *out,
                          size_t capacity)
{
    const char *name = pop3_command_name(event->command);
    switch (event->type) {
    case POP3_EVENT_NONE:
        fail_msg("NONE is not an event");
        break;
    case POP3_EVENT_SECURE:
        snprintf(out, capacity, "SECURE");
        break;
    case POP3_EVENT_LOGGED_IN:
        snprintf(out, capacity, "LOGGED_IN %s", pop3_session_mechanism(replay->session));
        break;
    case POP3_EVENT_STATUS:
        head_of_status(event, out, capacity);
        break;
    case POP3_EVENT_ROW:
        if (event->command == POP3_LIST)
            snprintf(out, capacity, "ROW %u %llu", event->msgnum,
                     (unsigned long long)event->octets);
        else
            snprintf(out, capacity, "ROW %u ", event->msgnum);
        break;
    case POP3_EVENT_BAD_ROW:
        snprintf(out, capacity, "BAD_ROW ");
        break;
    case POP3_EVENT_DATA:
        snprintf(out, capacity, "DATA ");
        break;
    case POP3_EVENT_END:
        snprintf(out, capacity, "END %s", name);
        break;
    case POP3_EVENT_FAILED:
        snprintf(out, capacity, "FAILED %s%s: ", fault_name(event->fault), code_name(event->code));
        break;
    case POP3_EVENT_TRACE:
        snprintf(out, capacity, "TRACE %c: ", event->from_client ? 'C' : 'S');
        break;
    }
}

/* ---- reading a transcript ---- */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    assert_non_null(at);
    return (int)(at - digits);
}

static char escape_octet(const char **at)
{
    char c = *(*at)++;
    if (c != '\\')
        return c;
    c = *(*at)++;
    switch (c) {
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case '0':
        return '\0';
    case '\\':
        return '\\';
    case 'x':
        c = (char)(hex_digit((*at)[0]) * 16 + hex_digit((*at)[1]));
        *at += 2;
        return c;
    default:
        fail_msg("unknown escape \\%c", c);
        return c;
    }
}

static void unescape(const char *text, struct buffer *out)
{
    while (*text != '\0') {
        char c = escape_octet(&text);
        assert_true(buffer_append(out, (struct slice){&c, 1}));
    }
}

static void read_option(struct transcript *transcript, const char *word)
{
    struct pop3_options *options = &transcript->options;
    char key[32];
    int taken = 0;
    assert_int_equal(sscanf(word, "%31[a-z]=%n", key, &taken), 1);
    const char *value = word + taken;
    if (strcmp(key, "security") == 0)
        options->security = strcmp(value, "tls") == 0    ? POP3_SECURITY_TLS
                            : strcmp(value, "stls") == 0 ? POP3_SECURITY_STLS
                                                         : POP3_SECURITY_NONE;
    else if (strcmp(key, "auth") == 0)
        assert_true(pop3_auth_from_word(value, &options->auth));
    else if (strcmp(key, "user") == 0)
        snprintf(transcript->user, sizeof(transcript->user), "%s", value);
    else if (strcmp(key, "password") == 0)
        snprintf(transcript->password, sizeof(transcript->password), "%s", value);
    else if (strcmp(key, "binding") == 0)
        snprintf(transcript->binding, sizeof(transcript->binding), "%s", value);
    else if (strcmp(key, "pipeline") == 0)
        options->pipeline = strcmp(value, "on") == 0;
    else if (strcmp(key, "trace") == 0)
        options->trace = strcmp(value, "on") == 0;
    else
        fail_msg("unknown option %s", word);
}

static void read_options(struct transcript *transcript, char *text)
{
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        read_option(transcript, word);
}

static void read_event(struct transcript *transcript, const char *text)
{
    bool is_data = strncmp(text, "DATA ", 5) == 0;
    const char *rest = is_data ? text + 5 : text;
    CLEANUP_BUFFER struct buffer plain = {0};
    unescape(rest, &plain);
    add_event(&transcript->expected, &transcript->last_is_data, is_data, is_data ? "DATA " : "",
              buffer_slice(&plain));
}

static struct step *add_step(struct transcript *transcript, enum step_kind kind, const char *text)
{
    assert_true(transcript->step_count < STEPS_MAX);
    struct step *step = &transcript->steps[transcript->step_count++];
    step->kind = kind;
    unescape(text, &step->bytes);
    return step;
}

static void read_server(struct transcript *transcript, const char *text, const char *line_end,
                        unsigned long count)
{
    CLEANUP_BUFFER struct buffer once = {0};
    unescape(text, &once);
    struct step *step = add_step(transcript, STEP_SERVER, "");
    for (unsigned long i = 0; i < count; i++)
        assert_true(buffer_append(&step->bytes, buffer_slice(&once)));
    assert_true(buffer_append_string(&step->bytes, line_end));
    transcript->server_octets += step->bytes.len;
}

/* The text after "X: ", or "X:" alone; NULL if the line has another mark. */
static const char *after_mark(const char *line, const char *mark)
{
    size_t len = strlen(mark);
    if (strncmp(line, mark, len) != 0)
        return NULL;
    return line[len] == ' ' ? line + len + 1 : line + len;
}

static void read_line(struct transcript *transcript, char *line)
{
    static const struct {
        const char *mark;
        enum step_kind kind;
    } steps[] = {
        {"C:", STEP_CLIENT},
        {"C~:", STEP_CLIENT_PREFIX},
        {"C?:", STEP_CLIENT_MAYBE},
        {"I:", STEP_ISSUE},
    };
    const char *text;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        text = after_mark(line, steps[i].mark);
        if (text != NULL) {
            add_step(transcript, steps[i].kind, text);
            return;
        }
    }
    char *end;
    if (line[0] == '#' || line[0] == '\0')
        return;
    if (line[0] == '@')
        read_options(transcript, line + 1);
    else if ((text = after_mark(line, "S:")) != NULL)
        read_server(transcript, text, "\r\n", 1);
    else if ((text = after_mark(line, "L:")) != NULL)
        read_server(transcript, text, "\n", 1);
    else if ((text = after_mark(line, "R:")) != NULL)
        read_server(transcript, text, "", 1);
    else if (strncmp(line, "R*", 2) == 0) {
        unsigned long count = strtoul(line + 2, &end, 10);
        read_server(transcript, after_mark(end, ":"), "", count);
    } else if ((text = after_mark(line, "E:")) != NULL)
        read_event(transcript, text);
    else
        fail_msg("not a line of a transcript: %s", line);
}

static struct transcript *transcript_read(const char *path)
{
    struct transcript *transcript = calloc(1, sizeof(*transcript));
    assert_non_null(transcript);
    strcpy(transcript->user, "alice");
    strcpy(transcript->password, "wonderland");
    transcript->options = (struct pop3_options){
        .security = POP3_SECURITY_NONE,
        .host = "pop.example.org",
        .user = transcript->user,
        .password = transcript->password,
        .pipeline = true,
    };
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    char line[4096];
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        read_line(transcript, line);
    }
    fclose(file);
    assert_true(transcript->server_octets > 0);
    return transcript;
}

static void transcript_free(struct transcript *transcript)
{
    for (size_t i = 0; i < transcript->step_count; i++)
        buffer_done(&transcript->steps[i].bytes);
    buffer_done(&transcript->expected);
    free(transcript);
}

/* ---- replaying it ---- */

static void collect_output(struct replay *replay)
{
    for (;;) {
        struct slice output = pop3_session_output(replay->session);
        if (output.len == 0)
            return;
        assert_true(buffer_append(&replay->client, output));
        pop3_session_sent(replay->session, output.len);
    }
}

static void pump(struct replay *replay)
{
    struct pop3_event event;
    bool secure = false;
    while (pop3_session_next_event(replay->session, &event) != POP3_EVENT_NONE) {
        char head[128];
        head_of_event(replay, &event, head, sizeof(head));
        add_event(&replay->events, &replay->last_is_data, event.type == POP3_EVENT_DATA, head,
                  event.text);
        secure |= event.type == POP3_EVENT_SECURE;
    }
    if (secure)
        pop3_session_secured(replay->session);
    collect_output(replay);
}

/* From memory of its own, so that a sanitizer sees a byte touched after its time. */
static void feed(struct replay *replay, const char *data, size_t len)
{
    char *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, data, len);
    pop3_session_feed(replay->session, (struct slice){copy, len});
    pump(replay);
    free(copy);
}

static void feed_cut(struct replay *replay, struct slice bytes)
{
    while (bytes.len > 0) {
        size_t len = bytes.len;
        size_t to_split = replay->cut.split - replay->fed_octets;
        if (replay->cut.every_octet)
            len = 1;
        else if (replay->cut.split > replay->fed_octets && to_split < len)
            len = to_split;
        feed(replay, bytes.data, len);
        replay->fed_octets += len;
        bytes = slice_skip(bytes, len);
    }
}

/* Octets that no line of the client's parts were under way together. */
static size_t feed_run(struct replay *replay, size_t at)
{
    const struct transcript *transcript = replay->transcript;
    CLEANUP_BUFFER struct buffer run = {0};
    for (; at < transcript->step_count && transcript->steps[at].kind == STEP_SERVER; at++)
        assert_true(buffer_append(&run, buffer_slice(&transcript->steps[at].bytes)));
    feed_cut(replay, buffer_slice(&run));
    return at;
}

static void expect_client(struct replay *replay, const struct step *step)
{
    struct slice said = buffer_slice(&replay->client);
    const char *end = said.len == 0 ? NULL : memmem(said.data, said.len, "\r\n", 2);
    struct slice line = {said.data, end == NULL ? 0 : (size_t)(end - said.data)};
    struct slice wanted = buffer_slice(&step->bytes);
    bool same =
        end != NULL && (step->kind == STEP_CLIENT_PREFIX ? slice_has_prefix_nocase(line, wanted)
                                                         : slice_equal(line, wanted));
    if (!same && step->kind == STEP_CLIENT_MAYBE)
        return;
    if (!same)
        fail_msg("the client should have said \"%.*s\", not \"%.*s\"; events:\n%.*s",
                 (int)wanted.len, wanted.data, (int)said.len, said.data, (int)replay->events.len,
                 replay->events.data);
    buffer_consume(&replay->client, line.len + 2);
}

static enum pop3_command command_of(struct slice verb)
{
    for (enum pop3_command command = POP3_STAT; command <= POP3_QUIT; command++)
        if (slice_equal(verb, slice_from_string(pop3_command_name(command))))
            return command;
    fail_msg("no command can be issued by the name of \"%.*s\"", (int)verb.len, verb.data);
    return POP3_NOOP;
}

static void issue(struct replay *replay, struct slice text)
{
    uint64_t msgnum = 0;
    uint64_t lines = 0;
    enum pop3_command command = command_of(slice_take_word(&text));
    (void)slice_to_number(slice_take_word(&text), UINT32_MAX, &msgnum);
    if (command == POP3_UIDL && msgnum > 0)
        command = POP3_UIDL_ONE;
    (void)slice_to_number(slice_take_word(&text), UINT32_MAX, &lines);
    const struct pop3_request request = {
        .command = command,
        .msgnum = (uint32_t)msgnum,
        .lines = (uint32_t)lines,
    };
    assert_int_equal(pop3_session_issue(replay->session, &request), FAULT_NONE);
    pump(replay);
}

static void replay_steps(struct replay *replay)
{
    const struct transcript *transcript = replay->transcript;
    size_t at = 0;
    pump(replay);
    while (at < transcript->step_count) {
        const struct step *step = &transcript->steps[at];
        if (step->kind == STEP_SERVER) {
            at = feed_run(replay, at);
            continue;
        }
        if (step->kind == STEP_ISSUE)
            issue(replay, buffer_slice(&step->bytes));
        else
            expect_client(replay, step);
        at++;
    }
}

static void replay_compare(const struct replay *replay)
{
    const struct buffer *expected = &replay->transcript->expected;
    if (replay->client.len > 0)
        fail_msg("the client also said \"%.*s\"", (int)replay->client.len, replay->client.data);
    if (!slice_equal(buffer_slice(expected), buffer_slice(&replay->events)))
        fail_msg("cut %s %zu: events should have been\n%.*s\nand were\n%.*s",
                 replay->cut.every_octet ? "after every octet" : "before octet", replay->cut.split,
                 (int)expected->len, expected->data, (int)replay->events.len, replay->events.data);
}

static void replay_once(const struct transcript *transcript, struct cut cut)
{
    struct replay replay = {.transcript = transcript, .cut = cut};
    replay.session = pop3_session_new(&transcript->options);
    assert_non_null(replay.session);
    pop3_session_bind(replay.session, transcript->binding,
                      SLICE_LITERAL("32 octets that TLS has exported."));
    replay_steps(&replay);
    replay_compare(&replay);
    pop3_session_free(replay.session);
    buffer_done(&replay.client);
    buffer_done(&replay.events);
}

static void replays_the_same_at_every_cut(void **state)
{
    struct transcript *transcript = transcript_read(*state);
    replay_once(transcript, (struct cut){.split = 0});
    replay_once(transcript, (struct cut){.every_octet = true});
    for (size_t split = 1; split < transcript->server_octets; split++)
        replay_once(transcript, (struct cut){.split = split});
    transcript_free(transcript);
}

static int is_transcript(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".pop3") == 0;
}

int main(int argc, char **argv)
{
    enum { TRANSCRIPTS_MAX = 500 };
    static struct CMUnitTest tests[TRANSCRIPTS_MAX];
    static char paths[TRANSCRIPTS_MAX][512];
    struct dirent **entries = NULL;
    int count = argc == 2 ? scandir(argv[1], &entries, is_transcript, alphasort) : -1;
    if (count <= 0 || count > TRANSCRIPTS_MAX) {
        fprintf(stderr, "usage: test_transcripts FOLDER, with transcripts in it\n");
        return 1;
    }
    for (int i = 0; i < count; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", argv[1], entries[i]->d_name);
        tests[i] = (struct CMUnitTest){
            .name = strrchr(paths[i], '/') + 1,
            .test_func = replays_the_same_at_every_cut,
            .initial_state = paths[i],
        };
        free(entries[i]);
    }
    free(entries);
    return _cmocka_run_group_tests("transcripts", tests, (size_t)count, NULL, NULL);
}
