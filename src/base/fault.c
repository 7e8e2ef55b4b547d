/* SPDX-License-Identifier: MIT */
/* Faults, and the text that goes with them. */
#include "popfs/base.h"

#include <stdio.h>
#include <string.h>

const char *fault_name(enum fault fault)
{
    switch (fault) {
    case FAULT_NONE:
        return "none";
    case FAULT_GONE:
        return "gone";
    case FAULT_REFUSED:
        return "refused";
    case FAULT_CANCELED:
        return "canceled";
    case FAULT_BUSY:
        return "busy";
    case FAULT_GARBLED:
        return "garbled";
    case FAULT_TIMEOUT:
        return "timeout";
    case FAULT_OFFLINE:
        return "offline";
    case FAULT_LOGIN:
        return "login";
    case FAULT_UNTRUSTED:
        return "untrusted";
    case FAULT_DISK:
        return "disk";
    case FAULT_FULL:
        return "full";
    case FAULT_MEMORY:
        return "memory";
    }
    return "unknown";
}

enum fault failure_set(struct failure *ret, enum fault fault, const char *format, ...)
{
    if (ret == NULL)
        return fault;
    /* Formatted aside first: an argument may be the old text. */
    char text[FAILURE_TEXT_OCTETS];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ret->fault = fault;
    memcpy(ret->text, text, sizeof(text));
    return fault;
}
