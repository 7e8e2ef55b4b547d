# SPDX-License-Identifier: MIT
"""Another user than root: calls are made in a child process, because the kernel asks who a process is."""

import os

OWNER, OTHER = 4711, 4712  # nobody on this machine has these numbers


def as_other(uid, call, *args, gid=None):
    """What call(*args), a small number, gives when `uid` makes the call; its group is `gid`, or has the same number."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups([])
            os.setresgid(*[uid if gid is None else gid] * 3)
            os.setresuid(uid, uid, uid)
            code = call(*args)
        finally:
            os._exit(code)
    _, waited = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(waited)
    assert 0 <= code < 255, f"{call.__name__} failed in the child with {code}"
    return code
