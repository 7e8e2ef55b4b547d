/* SPDX-License-Identifier: MIT */
/*
 * Reads the command line into a struct. One row of the table is one option. Refuses to know what
 * the options do, and never shows what stands behind the '=' of a name that it does not know: it
 * could be a password.
 */
#include "options.h"

#include "paths.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the tables ---- */

enum option_kind {
    KIND_TEXT,
    KIND_PATH,
    KIND_NUMBER,
    KIND_OCTAL,
    KIND_SIZE,   /* octets; K, M, G and T count in powers of 1024 */
    KIND_CHOICE, /* one of `words`; its index is kept */
    KIND_FLAG,   /* no value; the field becomes `set` */
};

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset; /* of the field */
    int64_t min, max;
    const char *words[4];
    const char *word; /* KIND_PATH: kept as it is, for it is no path */
    bool set;
    bool for_kernel; /* handed on as well; ro and allow_other are fs's to say */
};

#define FIELD(name) .offset = offsetof(struct options, name)
/* Linux keeps (uid_t)-1 for "no change". */
#define ID_MAX INT64_C(4294967294)

static const struct option_row option_rows[] = {
    {"user", KIND_TEXT, FIELD(user)},
    {"port", KIND_NUMBER, FIELD(port), .min = 1, .max = 65535},
    {"passcmd", KIND_TEXT, FIELD(passcmd)},
    {"passfile", KIND_PATH, FIELD(passfile)},
    {"password_stdin", KIND_FLAG, FIELD(password_stdin), .set = true},
    {"auth", KIND_TEXT, FIELD(auth)},
    {"tls", KIND_CHOICE, FIELD(tls), .words = {"on", "starttls", "off"}},
    {"cafile", KIND_PATH, FIELD(cafile)},
    {"cert", KIND_PATH, FIELD(cert)},
    {"key", KIND_PATH, FIELD(key)},
    {"pin", KIND_TEXT, FIELD(pin)},
    {"timeout", KIND_NUMBER, FIELD(timeout_s), .min = 1, .max = 3600},
    {"keepalive", KIND_NUMBER, FIELD(keepalive_s), .max = 3600},
    {"pipeline", KIND_CHOICE, FIELD(pipeline), .words = {"auto", "off"}},
    {"top", KIND_CHOICE, FIELD(top), .words = {"auto", "off"}},
    {"lazy", KIND_SIZE, FIELD(lazy_octets), .max = INT64_MAX},
    {"prefetch", KIND_FLAG, FIELD(prefetch), .set = true},
    {"refresh", KIND_NUMBER, FIELD(refresh_s), .max = 604800},
    {"idle", KIND_NUMBER, FIELD(idle_s), .max = 604800},
    {"noquit", KIND_FLAG, FIELD(noquit), .set = true},
    {"cache", KIND_PATH, FIELD(cache), .word = "off"},
    {"state", KIND_PATH, FIELD(state), .word = "off"},
    {"bin", KIND_NUMBER, FIELD(bin_days), .max = 3650},
    {"cache_size", KIND_SIZE, FIELD(cache_octets_max), .max = INT64_MAX},
    {"size", KIND_CHOICE, FIELD(size), .words = {"auto", "strict"}},
    {"eol", KIND_CHOICE, FIELD(eol), .words = {"crlf", "lf"}},
    {"control", KIND_CHOICE, FIELD(control), .words = {"hidden", "visible", "off"}},
    {"sandbox", KIND_CHOICE, FIELD(sandbox), .words = {"auto", "off"}},
    {"uid", KIND_NUMBER, FIELD(uid), .max = ID_MAX},
    {"gid", KIND_NUMBER, FIELD(gid), .max = ID_MAX},
    {"umask", KIND_OCTAL, FIELD(umask), .max = 0777},
    {"ro", KIND_FLAG, FIELD(read_only), .set = true},
    {"rw", KIND_FLAG, FIELD(read_only), .set = false},
    {"allow_other", KIND_FLAG, FIELD(allow_other), .set = true},
    {"auto_unmount", KIND_FLAG, FIELD(auto_unmount), .set = true},
    {"max_read", KIND_NUMBER, FIELD(max_read), .min = 4096, .max = 1048576, .for_kernel = true},
};

/* Handed on as they are: libfuse 3.14 and fusermount3 know them. */
static const char *const kernel_words[] = {
    "default_permissions",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "noexec",
    "async",
    "sync",
    "dirsync",
    "atime",
    "noatime",
};

/* Said to others in fstab; mount(8) hands some of it on (FUSE.md A). "x-*" is whatever begins so.
 */
static const char *const ignored_words[] = {
    "user",    "users",    "nouser",   "owner",      "group",    "auto", "noauto", "nofail",
    "_netdev", "defaults", "relatime", "norelatime", "nonempty", "x-*",  "X-*",    "comment=*",
};

static bool word_matches(const char *pattern, const char *word)
{
    size_t len = strlen(pattern);
    if (pattern[len - 1] == '*')
        return strncmp(pattern, word, len - 1) == 0;
    return strcmp(pattern, word) == 0;
}

static bool is_listed(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (word_matches(words[i], word))
            return true;
    }
    return false;
}

#define IS_LISTED(words, word) is_listed(words, sizeof(words) / sizeof(words[0]), word)

static const struct option_row *find_row(struct slice name)
{
    for (size_t i = 0; i < sizeof(option_rows) / sizeof(option_rows[0]); i++) {
        if (slice_equal(slice_from_string(option_rows[i].name), name))
            return &option_rows[i];
    }
    return NULL;
}

/* ---- what people write in place of an option ---- */

static const struct {
    const char *word, *hint;
} meant[] = {
    {"password", "; no option holds a password, which all could see: passfile=, passcmd="},
    {"passwd", "; no option holds a password, which all could see: passfile=, passcmd="},
    {"pass", "; no option holds a password, which all could see: passfile=, passcmd="},
    {"pw", "; no option holds a password, which all could see: passfile=, passcmd="},
    {"username", "; write user="},
    {"login", "; write user="},
    {"host", "; the source names the server: pops://USER@pop.example.org"},
    {"server", "; the source names the server: pops://USER@pop.example.org"},
    {"ssl", "; write tls=on"},
    {"starttls", "; write tls=starttls"},
    {"insecure", "; for a server with a certificate of its own, write cafile="},
    {"ca", "; write cafile="},
    {"interval", "; write refresh="},
    {"poll", "; write refresh="},
    {"readonly", "; write ro"},
    {"read_only", "; write ro"},
    {"cachedir", "; write cache="},
};

static void note_nearer(struct slice name, const char *word, size_t *distance, const char **nearest)
{
    size_t away = text_distance(name, slice_from_string(word));
    /* Of a short word, two changes leave nothing. */
    if (away < *distance && away <= (name.len < 5 ? 1 : 2)) {
        *distance = away;
        *nearest = word;
    }
}

/* The option that was meant; NULL: it is like none. */
static const char *find_nearest(struct slice name)
{
    const char *nearest = NULL;
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < sizeof(option_rows) / sizeof(option_rows[0]); i++)
        note_nearer(name, option_rows[i].name, &distance, &nearest);
    for (size_t i = 0; i < sizeof(kernel_words) / sizeof(kernel_words[0]); i++)
        note_nearer(name, kernel_words[i], &distance, &nearest);
    return nearest;
}

static enum fault refuse_unknown(struct slice name, const char *before, struct failure *ret_failure)
{
    char shown[80];
    char hint[100] = "";
    const char *nearest = find_nearest(name);
    text_escape(name, shown, sizeof(shown));
    for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++)
        if (slice_equal(name, slice_from_string(meant[i].word)))
            snprintf(hint, sizeof(hint), "%s", meant[i].hint);
    if (hint[0] == '\0' && nearest != NULL)
        snprintf(hint, sizeof(hint), "; did you mean '%s'?", nearest);
    else if (hint[0] == '\0' && before != NULL)
        snprintf(hint, sizeof(hint), "; a comma in the value of %s= is written \\,", before);
    return failure_set(ret_failure, FAULT_REFUSED, "unknown option '%s'%s", shown, hint);
}

/* ---- one option ---- */

static void *field_of(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

static enum fault out_of_memory(struct failure *ret_failure)
{
    return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

static enum fault set_text(struct options *options, const struct option_row *row, const char *value,
                           struct failure *ret_failure)
{
    if (*value == '\0')
        return failure_set(ret_failure, FAULT_REFUSED, "option '%s' has an empty value", row->name);
    bool is_path = row->kind == KIND_PATH && (row->word == NULL || strcmp(row->word, value) != 0);
    char *copy = is_path ? path_absolute(value) : strdup(value);
    if (copy == NULL)
        return out_of_memory(ret_failure);
    char **field = field_of(options, row);
    free(*field);
    *field = copy;
    return FAULT_NONE;
}

static bool octal_to_number(const char *text, int64_t max, int64_t *ret)
{
    int64_t value = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '7')
            return false;
        value = value * 8 + (*at - '0');
        if (value > max)
            return false;
    }
    *ret = value;
    return *text != '\0';
}

static const char *hint_at_number(const struct option_row *row, const char *value)
{
    bool is_word = *value != '\0' && strspn(value, "0123456789.-+") == 0;
    if (strcmp(row->name, "uid") == 0 && is_word)
        return "; id -u NAME prints it";
    if (strcmp(row->name, "gid") == 0 && is_word)
        return "; id -g NAME prints that of a user, getent group NAME that of a group";
    if (strcmp(row->name, "port") == 0)
        return is_word ? "; 995 goes with pops://, 110 with pop3://" : "";
    bool is_time = row->max == 604800 || row->max == 3600;
    return is_time && value[strcspn(value, "smhd.")] != '\0'
               ? "; it counts whole seconds, 300 for five minutes"
               : "";
}

static enum fault set_number(struct options *options, const struct option_row *row,
                             const char *value, struct failure *ret_failure)
{
    int64_t *field = field_of(options, row);
    uint64_t number;
    if (row->kind == KIND_OCTAL) {
        if (!octal_to_number(value, row->max, field))
            return failure_set(ret_failure, FAULT_REFUSED,
                               "option '%s' wants an octal number up to %llo", row->name,
                               (unsigned long long)row->max);
        return FAULT_NONE;
    }
    if (!slice_to_number(slice_from_string(value), (uint64_t)row->max, &number) ||
        (int64_t)number < row->min)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "option '%s' wants a number from %lld to %lld%s", row->name,
                           (long long)row->min, (long long)row->max, hint_at_number(row, value));
    *field = (int64_t)number;
    return FAULT_NONE;
}

static enum fault set_size(struct options *options, const struct option_row *row, const char *value,
                           struct failure *ret_failure)
{
    static const char suffixes[] = "KMGT";
    struct slice digits = slice_from_string(value);
    unsigned shift = 0;
    uint64_t number;
    const char *suffix = digits.len == 0 ? NULL : strchr(suffixes, value[digits.len - 1]);
    if (suffix != NULL) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        digits.len--;
    }
    if (!slice_to_number(digits, (uint64_t)row->max >> shift, &number))
        return failure_set(
            ret_failure, FAULT_REFUSED, "option '%s' wants a size like 1M or 0%s", row->name,
            strpbrk(value, "bB") == NULL ? "" : "; K, M, G or T, and no B behind it");
    *(int64_t *)field_of(options, row) = (int64_t)(number << shift);
    return FAULT_NONE;
}

static enum fault set_choice(struct options *options, const struct option_row *row,
                             const char *value, struct failure *ret_failure)
{
    int64_t *field = field_of(options, row);
    size_t i = 0;
    for (; row->words[i] != NULL; i++) {
        if (strcmp(row->words[i], value) == 0) {
            *field = (int64_t)i;
            return FAULT_NONE;
        }
    }
    return failure_set(ret_failure, FAULT_REFUSED, "option '%s' wants %s%s%s or %s", row->name,
                       i > 2 ? row->words[0] : "", i > 2 ? ", " : "", row->words[i - 2],
                       row->words[i - 1]);
}

static enum fault set_value(struct options *options, const struct option_row *row,
                            const char *value, struct failure *ret_failure)
{
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_PATH:
        return set_text(options, row, value, ret_failure);
    case KIND_NUMBER:
    case KIND_OCTAL:
        return set_number(options, row, value, ret_failure);
    case KIND_SIZE:
        return set_size(options, row, value, ret_failure);
    case KIND_CHOICE:
        return set_choice(options, row, value, ret_failure);
    case KIND_FLAG:
        break;
    }
    *(bool *)field_of(options, row) = row->set;
    return FAULT_NONE;
}

static enum fault hand_on(struct options *options, const char *word, struct failure *ret_failure)
{
    const char *comma = options->kernel.len > 0 ? "," : "";
    if (!buffer_printf(&options->kernel, "%s%s", comma, word))
        return out_of_memory(ret_failure);
    return FAULT_NONE;
}

/* `word` is one option without escapes: "name" or "name=value". *before is the name of the option
 * in front of it, if its value may be any text. */
static enum fault set_option(struct options *options, const char *word, const char **before,
                             struct failure *ret_failure)
{
    if (IS_LISTED(ignored_words, word))
        return FAULT_NONE;
    if (IS_LISTED(kernel_words, word))
        return hand_on(options, word, ret_failure);

    struct slice name = {word, strcspn(word, "=")};
    const char *value = word[name.len] == '=' ? word + name.len + 1 : NULL;
    const struct option_row *row = find_row(name);
    if (strcmp(word, "remount") == 0)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "popfs cannot change a mount: unmount and mount again, or for ro and rw "
                           "alone use mount -i -o remount,ro MOUNTPOINT");
    if (row == NULL)
        return refuse_unknown(name, *before, ret_failure);
    *before = row->kind == KIND_TEXT || row->kind == KIND_PATH ? row->name : NULL;
    if (row->kind == KIND_FLAG && value != NULL)
        return failure_set(ret_failure, FAULT_REFUSED, "option '%s' takes no value", row->name);
    if (row->kind != KIND_FLAG && value == NULL)
        return failure_set(ret_failure, FAULT_REFUSED, "option '%s' needs a value: %s=...",
                           row->name, row->name);
    enum fault fault = set_value(options, row, value, ret_failure);
    if (fault == FAULT_NONE && row->for_kernel)
        fault = hand_on(options, word, ret_failure);
    return fault;
}

/* ---- the command line ---- */

/* Takes the next option off the front of *list: up to a comma that has no backslash before it. */
static bool take_option(const char **list, struct buffer *word)
{
    const char *at = *list;
    word->len = 0;
    for (; *at != '\0' && *at != ','; at++) {
        if (at[0] == '\\' && at[1] == ',')
            at++;
        if (!buffer_append(word, (struct slice){at, 1}))
            return false;
    }
    *list = *at == ',' ? at + 1 : at;
    return buffer_append(word, (struct slice){"", 1});
}

static enum fault set_list(struct options *options, const char *list, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer word = {0};
    const char *before = NULL;
    enum fault fault = FAULT_NONE;
    while (fault == FAULT_NONE && *list != '\0') {
        if (!take_option(&list, &word))
            return out_of_memory(ret_failure);
        if (word.data[0] != '\0')
            fault = set_option(options, word.data, &before, ret_failure);
    }
    return fault;
}

static enum fault set_operand(struct options *options, const char *text,
                              struct failure *ret_failure)
{
    char **field = options->source == NULL ? &options->source : &options->mountpoint;
    if (*field != NULL)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "one source and one mountpoint, no more (popfs -h)");
    *field = strdup(text);
    return *field == NULL ? out_of_memory(ret_failure) : FAULT_NONE;
}

static enum fault set_letter(struct options *options, int letter, struct failure *ret_failure)
{
    switch (letter) {
    case 1: /* not an option */
        return set_operand(options, optarg, ret_failure);
    case 'o':
        return set_list(options, optarg, ret_failure);
    case 'd':
        options->debug = true;
        options->foreground = true;
        return FAULT_NONE;
    case 'f':
        options->foreground = true;
        return FAULT_NONE;
    case 's': /* popfs always answers the kernel from one thread */
        return FAULT_NONE;
    case 'h':
        options->help = true;
        return FAULT_NONE;
    case 'V':
        options->version = true;
        return FAULT_NONE;
    case ':':
        return failure_set(ret_failure, FAULT_REFUSED, "-%c needs an option list (popfs -h)",
                           optopt);
    default:
        return FAULT_REFUSED;
    }
}

/* getopt_long() says '?': optopt is the letter, or 0 for a long option, which is the word that it
 * has just passed. */
static enum fault refuse_letter(char **argv, struct failure *ret_failure)
{
    char letter[] = {'-', (char)optopt, '\0'}, shown[80];
    const char *word = optopt != 0 ? letter : argv[optind - 1];
    struct slice name = {word, strcspn(word, "=")};
    bool is_ours = optopt == 0 && name.len > 2 && find_row(slice_skip(name, 2)) != NULL;
    return failure_set(ret_failure, FAULT_REFUSED, "unknown option '%s'%s (popfs -h)",
                       text_escape(name, shown, sizeof(shown)),
                       is_ours ? ": it comes behind -o, without --" : "");
}

static enum fault set_all(struct options *options, int argc, char **argv,
                          struct failure *ret_failure)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    enum fault fault = FAULT_NONE;
    int letter;
    optind = 0; /* 0, not 1: glibc then starts afresh, which tests need */
    opterr = 0;
    /* '-': operands come as they stand, also when POSIXLY_CORRECT is set; fstab puts options last.
     */
    while (fault == FAULT_NONE &&
           (letter = getopt_long(argc, argv, "-:o:fdshV", long_options, NULL)) != -1)
        fault = letter == '?' ? refuse_letter(argv, ret_failure)
                              : set_letter(options, letter, ret_failure);
    for (int i = optind; fault == FAULT_NONE && i < argc; i++)
        fault = set_operand(options, argv[i], ret_failure);
    return fault;
}

static enum fault check_all(const struct options *options, struct failure *ret_failure)
{
    if (options->help || options->version)
        return FAULT_NONE;
    if (options->source == NULL || options->mountpoint == NULL)
        return failure_set(ret_failure, FAULT_REFUSED,
                           "usage: popfs [-o option[,option...]] SOURCE MOUNTPOINT (popfs -h)");
    if (options->key != NULL && options->cert == NULL)
        return failure_set(ret_failure, FAULT_REFUSED, "option 'key' means nothing without 'cert'");
    return FAULT_NONE;
}

static struct options options_default(void)
{
    return (struct options){
        .port = OPTION_NOT_GIVEN,
        .tls = OPTION_NOT_GIVEN,
        .timeout_s = 60,
        .keepalive_s = 45,
        .refresh_s = 300,
        .cache_octets_max = INT64_C(1) << 30,
        .bin_days = 7,
        .lazy_octets = 1024 * 1024,
        .uid = (int64_t)getuid(),
        .gid = (int64_t)getgid(),
        .umask = 077,
    };
}

enum fault options_parse(int argc, char **argv, struct options *ret_options,
                         struct failure *ret_failure)
{
    *ret_options = options_default();
    enum fault fault = set_all(ret_options, argc, argv, ret_failure);
    return fault == FAULT_NONE ? check_all(ret_options, ret_failure) : fault;
}

void options_done(struct options *options)
{
    char *texts[] = {options->source, options->mountpoint, options->user,     options->passcmd,
                     options->auth,   options->pin,        options->passfile, options->cafile,
                     options->cert,   options->key,        options->cache,    options->state};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    buffer_done(&options->kernel);
    *options = (struct options){0};
}
