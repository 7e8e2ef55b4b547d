/* SPDX-License-Identifier: MIT */
/*
 * faults: each way in which the model server misbehaves, by name.
 *
 * A name stands in the trace when its fault fires, can be switched off (`--without NAME`), and is
 * what the shrinker drops. Each fault draws from a stream of its own, so that switching one off
 * moves no draw of another.
 */
#ifndef POPFS_SIM_FAULTS_H
#define POPFS_SIM_FAULTS_H

#include "fault_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a fault is about; a class can be switched off as one. */
enum sim_class {
    SIM_CLASS_IDENTITY, /* a UIDL or a listing that says something else than before */
    SIM_CLASS_FRAMING,  /* answers too many, too few, or not where they end */
    SIM_CLASS_LOGIN,    /* from the greeting to the answer to PASS */
    SIM_CLASS_LISTING,  /* rows and UIDLs that are odd, yet of one mind */
    SIM_CLASS_DATA,     /* RETR, TOP and the sizes in LIST */
    SIM_CLASS_COMMIT,   /* DELE, RSET and QUIT */
    SIM_CLASS_LINE,     /* time, and links that end */
    SIM_CLASS_COUNT,
};

/* When a fault is drawn, and for how long it then holds. */
enum sim_scope {
    SIM_SCOPE_TRAIT,   /* once for a server: it is like that, and stays so while it behaves */
    SIM_SCOPE_MESSAGE, /* once for each message: bad until the server behaves */
    SIM_SCOPE_SESSION, /* at each connection */
    SIM_SCOPE_ANSWER,  /* at each command of the kinds that it concerns */
};

enum sim_fault {
#define SIM_FAULT_ENUMERATOR(id, name, class, scope, verbs, per_mille, text) SIM_FAULT_##id,
    SIM_FAULT_TABLE(SIM_FAULT_ENUMERATOR)
#undef SIM_FAULT_ENUMERATOR
        SIM_FAULT_COUNT,
};

struct sim_fault_row {
    const char *name;
    enum sim_class class;
    enum sim_scope scope;
    uint32_t verbs; /* bits of enum sim_verb; SIM_SCOPE_ANSWER alone */
    uint32_t per_mille;
    const char *text; /* one line: what the server does */
};

const struct sim_fault_row *sim_fault_row(enum sim_fault fault);
const char *sim_class_name(enum sim_class class);
/* False if no fault has this name. */
bool sim_fault_from_name(const char *name, enum sim_fault *ret_fault);

/* Which faults may fire. A plain value: copy it, change it, hand it to sim_server_new(). */
struct sim_faults {
    /*
     * The chance at each occasion of its scope; 0 is off, 1000 always.
     */
    uint32_t per_mille[SIM_FAULT_COUNT];
    /* After so many times a fault does not fire any more; the shrinker lowers it. */
    uint32_t most[SIM_FAULT_COUNT];
    /*
     * How many of the faults that are on take part in one history: each with this chance (traits
     * always do). Few at once go deeper than all at once. 0: drawn for each server.
     */
    uint32_t mix_per_mille;
};

void sim_faults_all(struct sim_faults *ret_faults);  /* as the table weighs them */
void sim_faults_none(struct sim_faults *ret_faults); /* an honest server without traits */
/* Switches off the fault or the whole class `name`. False if there is no such name. */
bool sim_faults_without(struct sim_faults *faults, const char *name);
/* Takes part for certain and fires at `per_mille`: for tests, and for `--only`. */
void sim_faults_force(struct sim_faults *faults, enum sim_fault fault, uint32_t per_mille);

#endif
