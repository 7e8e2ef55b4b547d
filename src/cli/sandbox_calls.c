/* SPDX-License-Identifier: MIT */
/*
 * A list of what is refused, not of what is allowed: the system calls that glibc, OpenSSL and the
 * kernel's FUSE make differ from release to release, a list of allowed ones is out of date with the
 * next update, and a daemon that dies of it leaves a mount that hangs. For the same reason nothing
 * is killed: what is refused fails with EPERM. The list holds what popfs has no use for and an
 * intruder has: other programs, other processes, mounts, namespaces, other users, kernel
 * interfaces with a record of holes, and changes to files that Landlock does not watch.
 *
 * Unix sockets are left for datagrams alone (syslog): by a stream one could ask the user's session
 * bus or systemd to run a program outside of the sandbox, and before ABI 9 Landlock cannot tell
 * sockets apart. Look-up by nscd or systemd-resolved's module then falls back to DNS.
 *
 * Not so on 32-bit x86 and on s390, where glibc makes every socket by socketcall: this call has its
 * arguments in memory, where no filter sees them, and popfs cannot do without it. Other
 * architectures that have the call (64-bit POWER) are treated likewise. So every kind of socket can
 * be made there, and what still holds is that none can be listened to, nor accepted from (without
 * which the kernel's ciphers, AF_ALG, are of no use either).
 *
 * Names are given to libseccomp, which knows the numbers of each architecture. It knows no call
 * that is newer than itself; such a call is given by its number.
 */
#include "sandbox_calls.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of the kernel's interface; sockets are no other business of cli's. */
enum { FAMILY_UNIX = 1, FAMILY_PACKET = 17, TYPE_MASK = 0xf, TYPE_STREAM = 1, TYPE_SEQPACKET = 5 };

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

/* What libseccomp does not know, or the machine does not have, is left out. */
static const char *const refused[] = {
    /* another program */
    "execve", "execveat",
/* other processes */
#if !defined(__SANITIZE_ADDRESS__) && !HAS_FEATURE(address_sanitizer)
    "ptrace", /* LeakSanitizer stops the threads of its own process with it */
#endif
    "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "pidfd_send_signal",
    "process_mrelease", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill", "kcmp", "perf_event_open",
    /* mounts and namespaces */
    "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "unshare", "setns", "swapon", "swapoff",
    "quotactl", "quotactl_fd",
    /* ways round the permissions of a path */
    "open_by_handle_at", "fanotify_init",
    /* another user */
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid",
    "setfsgid", "setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32",
    "setgroups32", "setfsuid32", "setfsgid32", "capset",
    /* the kernel and the machine */
    "bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "reboot", "iopl", "ioperm", "acct", "settimeofday", "clock_settime", "clock_settime64",
    "clock_adjtime", "clock_adjtime64", "adjtimex", "stime", "sethostname", "setdomainname",
    "syslog", "vhangup", "personality", "modify_ldt", "vm86", "vm86old", "userfaultfd",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key",
    "uselib", "lookup_dcookie", "nfsservctl",
    /* what Landlock does not watch */
    "chmod", "fchmodat", "chown", "lchown", "fchownat", "chown32", "lchown32", "setxattr",
    "lsetxattr", "removexattr", "lremovexattr",
    /* a door into the machine */
    "listen", "accept", "accept4"};

/* Newer than the libseccomp of Debian 12. From 424 on a call has the same number on every
 * architecture, but that some add a constant to all of theirs. */
enum { NUMBERS_BEGIN = SYS_pidfd_send_signal - 424 };
static const int refused_newer[] = {
    NUMBERS_BEGIN + 452, /* fchmodat2 */
    NUMBERS_BEGIN + 460, /* lsm_set_self_attr */
    NUMBERS_BEGIN + 463, /* setxattrat */
    NUMBERS_BEGIN + 466, /* removexattrat */
    NUMBERS_BEGIN + 467, /* open_tree_attr */
    NUMBERS_BEGIN + 469, /* file_setattr */
};

bool sandbox_calls_are_known(void)
{
    const uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* These return 0 or a negative errno, as libseccomp does. */

static int refuse_names(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int number = seccomp_syscall_resolve_name(refused[i]);
        int error = number == __NR_SCMP_ERROR
                        ? 0
                        : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
        if (error != 0)
            return error;
    }
    return 0;
}

static int refuse_newer(scmp_filter_ctx filter)
{
    int error = 0;
    for (size_t i = 0; i < sizeof(refused_newer) / sizeof(refused_newer[0]) && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused_newer[i], 0);
    return error;
}

/* A system call that is refused with these arguments only. */
struct rule {
    int call;
    unsigned count;
    struct scmp_arg_cmp when[2];
};

/* Of a register, the kernel looks at the lower half. */
#define LOW(number, value) SCMP_CMP64((number), SCMP_CMP_MASKED_EQ, UINT32_MAX, (value))

static int refuse_all(scmp_filter_ctx filter, const struct rule *rules, size_t count)
{
    int error = 0;
    for (size_t i = 0; i < count && error == 0; i++)
        error = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), rules[i].call, rules[i].count,
                                       rules[i].when);
    return error;
}

static int refuse_arguments(scmp_filter_ctx filter)
{
    const struct rule rules[] = {
        /* keys typed into the terminal of whoever runs popfs -f */
        {SCMP_SYS(ioctl), 1, {LOW(1, TIOCSTI)}},
        {SCMP_SYS(ioctl), 1, {LOW(1, TIOCLINUX)}},
        {SCMP_SYS(kill), 1, {SCMP_CMP64(0, SCMP_CMP_NE, (scmp_datum_t)getpid(), 0)}},
        {SCMP_SYS(tgkill), 1, {SCMP_CMP64(0, SCMP_CMP_NE, (scmp_datum_t)getpid(), 0)}},
    };
    return refuse_all(filter, rules, sizeof(rules) / sizeof(rules[0]));
}

/* socketcall would fail with whatever arguments if one of these were added (see above). */
static int refuse_sockets(scmp_filter_ctx filter)
{
    const struct rule rules[] = {
        {SCMP_SYS(socket), 1, {SCMP_CMP64(0, SCMP_CMP_GE, FAMILY_PACKET, 0)}},
        {SCMP_SYS(socket),
         2,
         {LOW(0, FAMILY_UNIX), SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, TYPE_MASK, TYPE_STREAM)}},
        {SCMP_SYS(socket),
         2,
         {LOW(0, FAMILY_UNIX), SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, TYPE_MASK, TYPE_SEQPACKET)}},
    };
    if (SCMP_SYS(socketcall) >= 0)
        return 0;
    return refuse_all(filter, rules, sizeof(rules) / sizeof(rules[0]));
}

/* A thread may be started, but not in a namespace of its own. */
static int refuse_namespaces(scmp_filter_ctx filter)
{
    static const scmp_datum_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                         CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
#ifdef __s390__
    const unsigned argument = 1;
#else
    const unsigned argument = 0;
#endif
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                     SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
        if (error != 0)
            return error;
    }
    /* Its flags are in memory, where no filter can see them; glibc then falls back to clone. */
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int fill(scmp_filter_ctx filter)
{
    /* Calls of another architecture would kill otherwise. */
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    /* popfs runs no foreign code that would have to be kept from guessing: the kernel need not slow
     * it down. Not known everywhere, and not needed. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    if (error == 0)
        error = refuse_names(filter);
    if (error == 0)
        error = refuse_newer(filter);
    if (error == 0)
        error = refuse_arguments(filter);
    if (error == 0)
        error = refuse_sockets(filter);
    if (error == 0)
        error = refuse_namespaces(filter);
    return error;
}

static enum fault fail(int error, struct failure *ret_failure)
{
    return failure_set(ret_failure, FAULT_MEMORY, "seccomp: %s; try -o sandbox=off",
                       strerror(-error));
}

enum fault sandbox_calls_prepare(void **ret_filter, struct failure *ret_failure)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int error = filter == NULL ? -ENOMEM : fill(filter);
    if (error == 0) {
        *ret_filter = filter;
        return FAULT_NONE;
    }
    seccomp_release(filter);
    return fail(error, ret_failure);
}

void sandbox_calls_done(void *filter)
{
    seccomp_release(filter);
}

enum fault sandbox_calls_restrict(void *filter, struct failure *ret_failure)
{
    int error = seccomp_load(filter);
    return error == 0 ? FAULT_NONE : fail(error, ret_failure);
}
