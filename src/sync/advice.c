/* SPDX-License-Identifier: MIT */
#include "advice.h"

#include <stdio.h>
#include <string.h>

enum { ADVICE_OCTETS = 300 };

/* "login by PLAIN as alice with the password from passfile=/etc/p (if that is right, try
 * auth=user)"
 */
static void advise_on_refusal(const struct advice_facts *facts, const struct failure *failure,
                              char out[ADVICE_OCTETS])
{
    char user[60];
    bool with_password = facts->password_source != NULL && failure->fault == FAULT_LOGIN;
    int used = snprintf(out, ADVICE_OCTETS, "login by %s as %s", facts->refused,
                        text_show(slice_from_string(facts->user), user, sizeof(user)));
    if (with_password)
        used += snprintf(out + used, ADVICE_OCTETS - (size_t)used, " with the %s from %.100s",
                         facts->is_token ? "token" : "password", facts->password_source);
    char *rest = out + used;
    size_t room = ADVICE_OCTETS - (size_t)used;
    if (facts->code == POP3_CODE_SYS_PERM)
        snprintf(rest, room, " (ask those who run the server)");
    else if (facts->is_token && with_password)
        snprintf(rest, room, " (has it expired?)");
    else if (facts->other_auth != NULL)
        snprintf(rest, room, " (%stry auth=%s)", with_password ? "if that is right, " : "",
                 facts->other_auth);
    else if (with_password)
        snprintf(rest, room, " (are both right?)");
}

static void advise(const struct advice_facts *facts, const struct failure *failure,
                   char out[ADVICE_OCTETS])
{
    out[0] = '\0';
    if (facts->foreign != NULL && failure->fault == FAULT_GARBLED)
        snprintf(out, ADVICE_OCTETS,
                 "%s answers at this port; POP3 is at 995 for pops:// and 110 for pop3://",
                 facts->foreign);
    if (facts->refused[0] == '\0')
        return;
    if (failure->fault == FAULT_LOGIN || failure->fault == FAULT_OFFLINE)
        advise_on_refusal(facts, failure, out);
    else if (failure->fault == FAULT_BUSY && facts->code == POP3_CODE_LOGIN_DELAY)
        snprintf(out, ADVICE_OCTETS, "wait, or use a longer refresh=");
    else if (failure->fault == FAULT_BUSY && facts->code != POP3_CODE_SYS_TEMP)
        snprintf(out, ADVICE_OCTETS,
                 "end the other mail program or mount that has the maildrop, or wait");
}

void advice_add(const struct advice_facts *facts, struct failure *failure)
{
    char advice[ADVICE_OCTETS];
    char text[FAILURE_TEXT_OCTETS];
    advise(facts, failure, advice);
    if (advice[0] == '\0')
        return;
    memcpy(text, failure->text, sizeof(text));
    failure_set(failure, failure->fault, "%s: %s", advice, text);
}
