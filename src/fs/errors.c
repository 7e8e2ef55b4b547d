/* SPDX-License-Identifier: MIT */
/* The table of DESIGN.md 6. */
#include "errors.h"

#include <errno.h>

int errno_from_fault(enum fault fault)
{
    switch (fault) {
    case FAULT_NONE:
        return 0;
    case FAULT_GONE:
        return ENOENT;
    case FAULT_REFUSED:
        return EIO;
    case FAULT_CANCELED:
        return EINTR;
    case FAULT_BUSY:
        return EBUSY;
    case FAULT_GARBLED:
    case FAULT_OFFLINE:
        return EIO;
    case FAULT_TIMEOUT:
        return ETIMEDOUT;
    case FAULT_LOGIN:
    case FAULT_UNTRUSTED:
        return EACCES;
    case FAULT_DISK:
        return EIO;
    case FAULT_FULL:
        return ENOSPC;
    case FAULT_MEMORY:
        return ENOMEM;
    }
    return EIO;
}

int errno_from_fault_of_removal(enum fault fault, bool read_only)
{
    if (fault == FAULT_REFUSED)
        return read_only ? EROFS : EPERM;
    /* A commit's QUIT is out that is about it. */
    if (fault == FAULT_BUSY)
        return EINPROGRESS;
    /* The wish could not be written down. */
    if (fault == FAULT_DISK)
        return ENOSPC;
    return errno_from_fault(fault);
}

int errno_from_fault_of_replacement(enum fault fault)
{
    switch (fault) {
    case FAULT_NONE:
    case FAULT_GONE: /* no removal of this name is pending any more */
    case FAULT_REFUSED:
        return EPERM;
    case FAULT_BUSY:
    case FAULT_CANCELED:
    case FAULT_GARBLED:
    case FAULT_TIMEOUT:
    case FAULT_OFFLINE:
    case FAULT_LOGIN:
    case FAULT_UNTRUSTED:
    case FAULT_FULL:
    case FAULT_MEMORY:
        return errno_from_fault(fault);
    case FAULT_DISK: /* the end of the removal could not be written down */
        return ENOSPC;
    }
    return EIO;
}
