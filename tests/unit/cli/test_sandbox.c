/* SPDX-License-Identifier: MIT */
/* Each test confines a child of its own, because there is no way back. On a kernel that lacks a
 * part, that part must be left out and said; such kernels are also made here, by a filter that
 * hides what this one has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, strerror(errno));          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Not below /tmp, where more is allowed. */
static char top[] = "/dev/shm/popfs-sandbox-XXXXXX";
static char cache[64], state_folder[64], neighbour[80], other[64], secret_file[64];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(cache, sizeof(cache), "%s/cache", top);
    snprintf(other, sizeof(other), "%s/other", top);
    snprintf(state_folder, sizeof(state_folder), "%s/state", top);
    snprintf(neighbour, sizeof(neighbour), "%s/statement", top);
    snprintf(secret_file, sizeof(secret_file), "%s/other/file", top);
    int file = mkdir(cache, 0700) == 0 && mkdir(state_folder, 0700) == 0 && mkdir(other, 0700) == 0
                   ? open(secret_file, O_CREAT | O_WRONLY, 0600)
                   : -1;
    return file < 0 ? -1 : close(file);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(secret_file);
    rmdir(other);
    rmdir(state_folder);
    return rmdir(cache) == 0 && rmdir(top) == 0 ? 0 : -1;
}

static void in_child(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static struct sandbox enter(void)
{
    struct sandbox sandbox;
    struct failure failure = {0};
    sandbox_init(&sandbox, true, cache, NULL);
    sandbox.state_folder = state_folder;
    WANT(sandbox_prepare(&sandbox, &failure) == FAULT_NONE);
    WANT(sandbox_enter(&sandbox, &failure) == FAULT_NONE);
    sandbox_done(&sandbox);
    return sandbox;
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

/* ---- files ---- */

static bool can_open(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC, 0600);
    return file >= 0 && close(file) == 0;
}

static void use_files_outside(void)
{
    enum { ABI_WATCHES_TRUNCATE = 3 };
    bool refused = has_landlock();
    char new[80];
    struct sandbox sandbox = enter();
    snprintf(new, sizeof(new), "%s/new", other);
    WANT(can_open(secret_file, O_RDONLY) != refused);
    WANT(!refused || errno == EACCES);
    WANT(can_open(secret_file, O_WRONLY) != refused);
    WANT((truncate(secret_file, 1) == 0) != (sandbox.landlock_abi >= ABI_WATCHES_TRUNCATE));
    WANT(can_open(new, O_CREAT | O_WRONLY) != refused);
    if (!refused)
        unlink(new);
    WANT(!can_open("/etc/popfs-sandbox-test", O_CREAT | O_WRONLY) || !refused);
    WANT(!can_open("/usr/popfs-sandbox-test", O_CREAT | O_WRONLY) || !refused);
}

static void a_file_that_is_none_of_its_business_is_closed_to_it(void **state)
{
    (void)state;
    in_child(use_files_outside);
}

static void use_the_cache(void)
{
    char path[80], moved[80], link[64];
    enter();
    WANT(chdir(cache) == 0);
    /* As the index does it: a folder, a file that is locked, mapped, truncated, renamed, removed.
     */
    WANT(mkdir("one", 0700) == 0 && mkdir("two", 0700) == 0);
    snprintf(path, sizeof(path), "%s/one/file", cache);
    snprintf(moved, sizeof(moved), "%s/two/file", cache);
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    WANT(file >= 0 && write(file, "abc", 3) == 3 && ftruncate(file, 4096) == 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    WANT(fcntl(file, F_SETLK, &lock) == 0 && flock(file, LOCK_EX) == 0);
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    WANT(map != MAP_FAILED && munmap(map, 4096) == 0);
    WANT(fsync(file) == 0 && syncfs(file) == 0);
    WANT(rename(path, moved) == 0 || errno == EXDEV); /* EXDEV: before ABI 2 */
    WANT(unlink(moved) == 0 || unlink(path) == 0);
    /* As bodies are kept: written without a name, then linked by way of /proc. */
    int folder = open("one", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int body = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", body);
    WANT(body >= 0 && linkat(AT_FDCWD, link, folder, "1", AT_SYMLINK_FOLLOW) == 0);
    WANT(unlinkat(folder, "1", 0) == 0);
    WANT(rmdir("one") == 0 && rmdir("two") == 0);
}

static void the_cache_folder_can_be_used_in_every_way(void **state)
{
    (void)state;
    in_child(use_the_cache);
}

/* As the journal does it, by a descriptor that was there before. */
static void use_the_state(void)
{
    int folder = open(state_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enter();
    int file = openat(folder, "new", O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    WANT(file >= 0 && write(file, "abc", 3) == 3 && fdatasync(file) == 0);
    WANT(renameat(folder, "new", folder, "removals") == 0 && fsync(folder) == 0);
    WANT(unlinkat(folder, "removals", 0) == 0);
    WANT(mkdir(neighbour, 0700) != 0 || !has_landlock());
    rmdir(neighbour);
}

static void the_state_folder_can_be_used_and_those_beside_it_cannot(void **state)
{
    (void)state;
    in_child(use_the_state);
}

static void use_temporary_files(void)
{
    char name[] = "/tmp/popfs-sandbox-XXXXXX";
    enter();
    int file = mkostemp(name, O_CLOEXEC);
    WANT(file >= 0 && unlink(name) == 0 && write(file, "x", 1) == 1);
    WANT(can_open("/tmp", O_TMPFILE | O_RDWR));
    WANT(memfd_create("x", MFD_CLOEXEC) >= 0);
}

static void temporary_files_can_be_made(void **state)
{
    (void)state;
    in_child(use_temporary_files);
}

static void read_what_the_libraries_read(void)
{
    struct addrinfo *found = NULL;
    time_t now = time(NULL);
    enter();
    WANT(can_open("/etc/passwd", O_RDONLY) && can_open("/proc/self/mountinfo", O_RDONLY));
    WANT(can_open("/dev/null", O_RDWR) && can_open("/dev/urandom", O_RDONLY));
    WANT(can_open("/usr/lib", O_RDONLY | O_DIRECTORY));
    bool has_names = access("/etc/hosts", R_OK) == 0;
    WANT(getaddrinfo("localhost", "110", NULL, &found) == 0 || !has_names);
    if (found != NULL)
        freeaddrinfo(found);
    WANT(localtime(&now) != NULL);
}

static void names_and_times_are_found_as_before(void **state)
{
    (void)state;
    in_child(read_what_the_libraries_read);
}

/* ---- system calls ---- */

static bool is_refused(long result)
{
    return result == -1 && errno == EPERM;
}

static void run_programs(void)
{
    char name[] = "true";
    char *const arguments[] = {name, NULL};
    enter();
    WANT(is_refused(execv("/bin/true", arguments)));
    WANT(is_refused(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, environ, 0)));
}

static void no_program_can_be_run(void **state)
{
    (void)state;
    in_child(run_programs);
}

static void meddle(void)
{
    enter();
    WANT(is_refused(unshare(CLONE_NEWUSER)));
    WANT(is_refused(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)));
    WANT(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
    WANT(is_refused(mount("none", cache, "tmpfs", 0, NULL)));
    WANT(is_refused(umount2(cache, MNT_DETACH)));
    WANT(is_refused(setuid(getuid())));
    WANT(is_refused(chmod(cache, 0700)));
    WANT(is_refused(kill(getppid(), 0)));
    WANT(is_refused(syscall(SYS_io_uring_setup, 0, NULL)));
    WANT(is_refused(syscall(SYS_bpf, 0, NULL, 0)));
    WANT(is_refused(syscall(SYS_keyctl, 0, 0)));
#ifndef __SANITIZE_ADDRESS__
    WANT(is_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)));
#endif
}

static void other_processes_mounts_users_and_the_kernel_are_left_alone(void **state)
{
    (void)state;
    in_child(meddle);
}

static void use_sockets(void)
{
    enter();
    WANT(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
    WANT(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
    WANT(socket(AF_INET6, SOCK_STREAM, 0) >= 0 || errno == EAFNOSUPPORT);
    WANT(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
    WANT(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
}

static void sockets_for_mail_names_and_the_log_can_be_made(void **state)
{
    (void)state;
    in_child(use_sockets);
}

static void wait_to_be_called(void)
{
    enter();
    int door = socket(AF_INET, SOCK_STREAM, 0);
    WANT(door >= 0 && is_refused(listen(door, 1)));
    WANT(is_refused(accept(door, NULL, NULL)) && is_refused(accept4(door, NULL, NULL, 0)));
    WANT(is_refused(syscall(SYS_accept4, door, NULL, NULL, 0)));
}

static void no_socket_can_be_listened_to(void **state)
{
    (void)state;
    in_child(wait_to_be_called);
}

static void make_other_sockets(void)
{
    enter();
    WANT(is_refused(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    WANT(is_refused(socket(AF_UNIX, SOCK_SEQPACKET, 0)));
    WANT(is_refused(socket(AF_PACKET, SOCK_RAW, 0)));
    WANT(is_refused(socket(AF_ALG, SOCK_SEQPACKET, 0)));
#ifdef __LP64__
    /* The kernel takes the lower half of a register alone. */
    WANT(is_refused(syscall(SYS_socket, 0x100000000 | AF_UNIX, SOCK_STREAM, 0)));
#endif
}

static void no_socket_can_be_made_for_another_purpose(void **state)
{
    (void)state;
#ifdef SYS_socketcall
    skip(); /* its arguments are in memory, see sandbox_calls.c */
#endif
    in_child(make_other_sockets);
}

/* Numbers that the libseccomp of Debian 12 does not know; they are the same on x86, ARM and RISC-V.
 */
static void make_new_calls(void)
{
    enum { FCHMODAT2 = 452, SETXATTRAT = 463, REMOVEXATTRAT = 466 };
    enter();
    WANT(is_refused(syscall(FCHMODAT2, AT_FDCWD, cache, 0700, 0)));
    WANT(is_refused(syscall(SETXATTRAT, AT_FDCWD, cache, 0, "user.x", NULL, 0)));
    WANT(is_refused(syscall(REMOVEXATTRAT, AT_FDCWD, cache, 0, "user.x")));
}

static void a_call_that_is_newer_than_libseccomp_is_refused_like_its_elders(void **state)
{
    (void)state;
    in_child(make_new_calls);
}

static void *count_up(void *number)
{
    ++*(int *)number;
    return NULL;
}

static void start_threads(void)
{
    pthread_t thread;
    int number = 0;
    enter();
    WANT(pthread_create(&thread, NULL, count_up, &number) == 0);
    WANT(pthread_join(thread, NULL) == 0 && number == 1);
    WANT(kill(getpid(), 0) == 0 && signal(SIGUSR1, SIG_IGN) == SIG_DFL && raise(SIGUSR1) == 0);
}

static void threads_can_be_started_and_signalled(void **state)
{
    (void)state;
    in_child(start_threads);
}

/* ---- what there is, what there is not, and what is not wanted ---- */

static void compare_text(void)
{
    char want[SANDBOX_TEXT_OCTETS];
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    struct sandbox sandbox = enter();
    if (abi > 0)
        snprintf(want, sizeof(want), "Landlock (ABI %ld) and seccomp", abi);
    else
        snprintf(want, sizeof(want), "seccomp; this kernel has no Landlock");
    WANT(strcmp(sandbox.text, want) == 0);
    WANT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_SECCOMP) == 2);
}

static void what_the_kernel_has_is_used_and_said(void **state)
{
    (void)state;
    in_child(compare_text);
}

/* From here on this kernel refuses the call. */
static void hide(int call, int error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    WANT(filter != NULL);
    WANT(seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), call, 0) == 0);
    WANT(seccomp_load(filter) == 0);
    seccomp_release(filter);
}

static void do_without_landlock(void)
{
    hide(SCMP_SYS(landlock_create_ruleset), ENOSYS);
    struct sandbox sandbox = enter();
    WANT(strcmp(sandbox.text, "seccomp; this kernel has no Landlock") == 0);
    WANT(sandbox_confines(&sandbox));
    WANT(can_open(secret_file, O_RDONLY));
    WANT(is_refused(unshare(CLONE_NEWUSER)));
}

static void do_without_seccomp(void)
{
    bool landlock = has_landlock();
    hide(SCMP_SYS(seccomp), EINVAL);
    struct sandbox sandbox = enter();
    WANT(strstr(sandbox.text, landlock
                                  ? "; this kernel has no seccomp"
                                  : "none: this kernel has neither Landlock nor seccomp") != NULL);
    WANT(sandbox_confines(&sandbox) == landlock);
    WANT(can_open(secret_file, O_RDONLY) != landlock);
}

static void do_without_both(void)
{
    hide(SCMP_SYS(landlock_create_ruleset), EPERM);
    hide(SCMP_SYS(seccomp), ENOSYS);
    struct sandbox sandbox = enter();
    WANT(strcmp(sandbox.text, "none: this kernel has neither Landlock nor seccomp") == 0);
    WANT(!sandbox_confines(&sandbox) && can_open(secret_file, O_RDONLY));
}

static void what_the_kernel_lacks_is_left_out_and_said(void **state)
{
    (void)state;
    in_child(do_without_landlock);
    in_child(do_without_seccomp);
    in_child(do_without_both);
}

static void fail_to_enter(void)
{
    struct sandbox sandbox;
    struct failure failure = {0};
    bool landlock = has_landlock();
    hide(SCMP_SYS(landlock_restrict_self), E2BIG);
    sandbox_init(&sandbox, true, cache, NULL);
    WANT(sandbox_prepare(&sandbox, &failure) == FAULT_NONE);
    WANT((sandbox_enter(&sandbox, &failure) == FAULT_MEMORY) == landlock);
    WANT(!landlock || strstr(failure.text, "sandbox=off") != NULL);
    sandbox_done(&sandbox);
}

static void fail_to_prepare(void)
{
    struct sandbox sandbox;
    struct failure failure = {0};
    bool landlock = has_landlock();
    sandbox_init(&sandbox, true, cache, NULL);
    hide(SCMP_SYS(landlock_add_rule), ENOMEM);
    WANT((sandbox_prepare(&sandbox, &failure) == FAULT_MEMORY) == landlock);
    WANT(!landlock || strstr(failure.text, "sandbox=off") != NULL);
    sandbox_done(&sandbox);
}

static void what_is_there_and_fails_is_a_failure(void **state)
{
    (void)state;
    in_child(fail_to_enter);
    in_child(fail_to_prepare);
}

static void leave_it_off(void)
{
    struct sandbox sandbox;
    sandbox_init(&sandbox, false, cache, NULL);
    WANT(sandbox_prepare(&sandbox, NULL) == FAULT_NONE);
    WANT(sandbox_enter(&sandbox, NULL) == FAULT_NONE && !sandbox_confines(&sandbox));
    sandbox_done(&sandbox);
    WANT(strcmp(sandbox.text, "off (-o sandbox=off)") == 0);
    WANT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && prctl(PR_GET_SECCOMP) == 0);
}

static void nothing_is_taken_away_if_it_is_not_wanted(void **state)
{
    (void)state;
    in_child(leave_it_off);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_none_of_its_business_is_closed_to_it),
        cmocka_unit_test(the_cache_folder_can_be_used_in_every_way),
        cmocka_unit_test(the_state_folder_can_be_used_and_those_beside_it_cannot),
        cmocka_unit_test(temporary_files_can_be_made),
        cmocka_unit_test(names_and_times_are_found_as_before),
        cmocka_unit_test(no_program_can_be_run),
        cmocka_unit_test(other_processes_mounts_users_and_the_kernel_are_left_alone),
        cmocka_unit_test(sockets_for_mail_names_and_the_log_can_be_made),
        cmocka_unit_test(no_socket_can_be_listened_to),
        cmocka_unit_test(no_socket_can_be_made_for_another_purpose),
        cmocka_unit_test(a_call_that_is_newer_than_libseccomp_is_refused_like_its_elders),
        cmocka_unit_test(threads_can_be_started_and_signalled),
        cmocka_unit_test(what_the_kernel_has_is_used_and_said),
        cmocka_unit_test(what_the_kernel_lacks_is_left_out_and_said),
        cmocka_unit_test(what_is_there_and_fails_is_a_failure),
        cmocka_unit_test(nothing_is_taken_away_if_it_is_not_wanted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
