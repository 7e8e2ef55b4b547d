/* SPDX-License-Identifier: MIT */
/*
 * What a stranger would gain who took the daemon over by an answer that a server crafted: as little
 * as the kernel lets us arrange. sandbox_files says which files are left, sandbox_calls which
 * system calls. Refuses to know what the daemon does with them.
 *
 * When. Both hold for a thread and what it starts. The thread that hears the server (sync's, and
 * those of glibc that look names up for it) is confined before it connects. The FUSE thread is
 * confined when the file system is mounted and before the first request is answered, because
 * Landlock refuses mount(2) and no_new_privs makes fusermount3 powerless; until then it waits for
 * the first listing and reads nothing that the server sent. Confining all threads at one moment is
 * not to be had: Landlock has no such call before ABI 8.
 *
 * What is needed later and cannot be done inside (unmounting, running passcmd again) is done by a
 * process that was forked before: helper.c.
 *
 * What is missing is said and not fatal, because popfs is of use on old kernels too. What is there
 * and fails is fatal, so that nobody believes in a sandbox that is not.
 */
#include "sandbox.h"

#include "sandbox_calls.h"
#include "sandbox_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void sandbox_init(struct sandbox *sandbox, bool wanted, const char *cache_folder,
                  const char *tmpdir)
{
    *sandbox = (struct sandbox){.cache_folder = cache_folder, .tmpdir = tmpdir, .ruleset = -1};
    char *text = sandbox->text;
    if (!wanted) {
        snprintf(text, SANDBOX_TEXT_OCTETS, "off (-o sandbox=off)");
        return;
    }
    sandbox->landlock_abi = sandbox_files_abi();
    sandbox->seccomp = sandbox_calls_are_known();
    if (sandbox->landlock_abi > 0)
        snprintf(text, SANDBOX_TEXT_OCTETS, "Landlock (ABI %d)%s", sandbox->landlock_abi,
                 sandbox->seccomp ? " and seccomp" : "; this kernel has no seccomp");
    else
        snprintf(text, SANDBOX_TEXT_OCTETS, "%s",
                 sandbox->seccomp ? "seccomp; this kernel has no Landlock"
                                  : "none: this kernel has neither Landlock nor seccomp");
}

bool sandbox_confines(const struct sandbox *sandbox)
{
    return sandbox->landlock_abi > 0 || sandbox->seccomp;
}

enum fault sandbox_prepare(struct sandbox *sandbox, struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    if (sandbox->landlock_abi > 0)
        fault = sandbox_files_prepare(sandbox->landlock_abi, sandbox->cache_folder,
                                      sandbox->state_folder, sandbox->tmpdir, &sandbox->ruleset,
                                      ret_failure);
    if (fault == FAULT_NONE && sandbox->seccomp)
        fault = sandbox_calls_prepare(&sandbox->filter, ret_failure);
    return fault;
}

enum fault sandbox_enter(const struct sandbox *sandbox, struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    if (!sandbox_confines(sandbox))
        return FAULT_NONE;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failure_set(ret_failure, FAULT_MEMORY, "no_new_privs: %s; try -o sandbox=off",
                           strerror(errno));
    if (sandbox->landlock_abi > 0)
        fault = sandbox_files_restrict(sandbox->ruleset, ret_failure);
    /* Last: it is to refuse what the line above had to do. */
    if (fault == FAULT_NONE && sandbox->seccomp)
        fault = sandbox_calls_restrict(sandbox->filter, ret_failure);
    return fault;
}

void sandbox_done(struct sandbox *sandbox)
{
    if (sandbox->ruleset >= 0)
        close(sandbox->ruleset);
    sandbox->ruleset = -1;
    sandbox_calls_done(sandbox->filter);
    sandbox->filter = NULL;
}
