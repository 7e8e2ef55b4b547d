/* SPDX-License-Identifier: MIT */
/*
 * popfs: main(), and the map of the program.
 *
 *     kernel <-> fs        answers from snapshots; turns read, unlink and the rest into requests
 *                |  ^ snapshots of the maildrop, descriptors of bodies
 *        request v  |
 *              sync        logs in, lists, fetches, deletes; owns the connection
 *          /    |    |    \
 *       net   pop3  maildrop  store      and mail; none of them knows another
 *
 * Processes. The one that the user started reads the command line (options, url, account), gets the
 * password (secret, passcmd, netrc, prompt) and, unless -f, forks (daemon): then it only waits for
 * the other to say that the mount is there, or why not, and ends with the exit code of mount(8).
 * The other lives as long as the mount (life). It confines itself (sandbox); what it may not do
 * then is done by processes that it forked before (helper): one unmounts, one gets the password
 * anew, and each can do nothing else.
 *
 * Threads. That process has two: this one, which becomes the FUSE loop (fs_run) and touches memory
 * and local files only, and sync's, which is the only one that uses the network. fs and sync share
 * struct sync: requests down, answers and snapshots up. fs never waits for sync; a FUSE request
 * that needs the network is kept and answered by the sync thread. A third thread lives for as long
 * as it takes to get the password anew.
 *
 * The life of a mount:
 *     sync_new      options checked, cache and state folders locked
 *     sandbox_prepare
 *     sync_start    connect, TLS, login, UIDL and LIST; until then nothing is mounted
 *     fs_new        mount(2)
 *     sandbox_enter the other thread has done so before it connected
 *     daemon_report_success
 *                   the waiting process is told, the terminal is left
 *     fs_run        until umount, SIGTERM, SIGINT or SIGHUP
 *     fs_unmount    no new removals from here on
 *     sync_stop     the commit: DELE for each pending removal, QUIT; then the thread ends
 *     fs_free, sync_free
 *
 * Only this folder ends the process, with 0, 1 (usage), 2 (system) or 32 (no mount), and says so in
 * one line.
 */
#include "account.h"
#include "daemon.h"
#include "life.h"
#include "options.h"
#include "paths.h"
#include "secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: popfs [-fdshV] [-o option[,option...]] SOURCE MOUNTPOINT\n"
    "\n"
    "Shows the messages of a POP3 maildrop as files. SOURCE is\n"
    "  pops://[user@]host[:port]    TLS from the first byte (port 995)\n"
    "  pop3://[user@]host[:port]    STLS before anything secret is said (port 110)\n"
    "\n"
    "  -f  stay in the foreground       -d  the same, with a trace of everything\n"
    "  -h  this help                    -V  versions\n"
    "\n"
    "  user=NAME  port=N                instead of what SOURCE says\n"
    "  passcmd=CMD  passfile=PATH  password_stdin\n"
    "                                   where the password is; else ~/.netrc, else a prompt\n"
    "  auth=MECHANISM  tls=on|starttls|off\n"
    "  cafile=PATH  cert=PATH  key=PATH  pin=sha256//BASE64\n"
    "  timeout=SECONDS  keepalive=SECONDS  pipeline=auto|off  top=auto|off\n"
    "  refresh=SECONDS  idle=SECONDS    look for new mail; end a session that nobody needs\n"
    "  noquit                           end sessions without QUIT (Gmail hides mail otherwise)\n"
    "  lazy=SIZE  prefetch              open larger messages early; fetch all in the background\n"
    "  cache=FOLDER|off  cache_size=SIZE\n"
    "                                   where messages are kept, also between mounts\n"
    "  state=FOLDER|off                 where pending removals are kept, which must not be lost\n"
    "  bin=DAYS                         how long local messages are kept there that were deleted\n"
    "  size=auto|strict  eol=crlf|lf    wait for exact sizes; line ends\n"
    "  control=hidden|visible|off       whether .popfs is listed\n"
    "  sandbox=auto|off                 confine the daemon as far as the kernel can\n"
    "  ro  uid=N  gid=N  umask=OCTAL  allow_other  auto_unmount\n"
    "\n"
    "popfsctl undelete brings removed messages back; popfsctl commit deletes them on the server,\n"
    "and so does unmounting (popfsctl umount, umount, fusermount3 -u).\n"
    "The manual, popfs(1), says the rest.\n";

static int fail(enum fault fault, const struct failure *failure)
{
    fprintf(stderr, "popfs: %s\n", failure->text);
    if (fault == FAULT_REFUSED)
        return EXIT_USAGE;
    return fault == FAULT_MEMORY ? EXIT_SYSTEM : EXIT_MOUNT;
}

/* Nobody who is not root may look into this process or find a password in a core file, or mail in a
 * file that it makes. */
static bool harden(void)
{
    const struct rlimit none = {0, 0};
    umask(077);
    return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* No secret is left; a leak checker looks at the end of the process and needs leave to. */
static void unharden(void)
{
    prctl(PR_SET_DUMPABLE, 1);
}

static enum fault obtain_secret(const struct options *options, const struct account *account,
                                struct secret *secret, struct failure *ret_failure)
{
    const struct secret_sources sources = account_secret_sources(options, account);
    if (!secret_init(secret))
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return account->needs_password ? secret_obtain(secret, &sources, ret_failure) : FAULT_NONE;
}

/* Only what an option or mount.fuse3 names stays open. */
static bool close_inherited(const struct options *options)
{
    const char *const paths[] = {options->mountpoint, options->cafile, options->cert, options->key};
    int kept[sizeof(paths) / sizeof(paths[0])];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (paths[i] != NULL && path_descriptor(paths[i]) >= 0)
            kept[count++] = path_descriptor(paths[i]);
    return daemon_close_inherited(kept, count);
}

static int fork_and_run(const struct options *options, const struct account *account,
                        struct secret *secret)
{
    struct daemon daemon = {.pipe = -1};
    if (!close_inherited(options)) {
        perror("popfs: close_range");
        return EXIT_SYSTEM;
    }
    if (options->foreground)
        return life_run(options, account, secret, &daemon);
    if (!daemon_fork(&daemon))
        return EXIT_SYSTEM;
    if (daemon.child > 0) {
        secret_done(secret);
        /* At once, because the user waits: what the libraries do at exit takes 2 ms. */
        _exit(daemon_wait(&daemon));
    }
    secret_lock(secret);
    return life_run(options, account, secret, &daemon);
}

static int run(const struct options *options)
{
    struct account account;
    struct secret secret = {0};
    struct failure failure = {0};
    int code;
    if (!harden()) {
        perror("popfs: cannot protect the password in memory");
        return EXIT_SYSTEM;
    }
    if (!path_correct_home()) {
        perror("popfs: HOME");
        return EXIT_SYSTEM;
    }
    enum fault fault = account_resolve(options, &account, &failure); /* reads ~/.netrc */
    if (fault == FAULT_NONE)
        fault = obtain_secret(options, &account, &secret, &failure);
    if (fault == FAULT_NONE)
        code = fork_and_run(options, &account, &secret);
    else
        code = fail(fault, &failure);
    secret_done(&secret);
    account_done(&account);
    unharden();
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    struct failure failure = {0};
    int code = EXIT_OK;
    heap_begin();
    if (!daemon_open_standard_descriptors())
        return EXIT_SYSTEM;
    if (stack_begin(&failure) != FAULT_NONE) {
        fprintf(stderr, "popfs: %s\n", failure.text);
        return EXIT_SYSTEM;
    }
    enum fault fault = options_parse(argc, argv, &options, &failure);
    if (fault != FAULT_NONE)
        code = fail(fault, &failure);
    else if (options.help)
        fputs(usage, stdout);
    else if (options.version)
        printf("popfs %s\nlibfuse %s\nOpenSSL %s\n", POPFS_VERSION, POPFS_FUSE_VERSION,
               POPFS_OPENSSL_VERSION);
    else
        code = run(&options);
    options_done(&options);
    return code;
}
