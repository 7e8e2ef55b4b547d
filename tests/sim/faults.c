/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <string.h>

static const struct sim_fault_row rows[SIM_FAULT_COUNT] = {
#define SIM_FAULT_ROW(id, name, class, scope, verbs, per_mille, text)                              \
    [SIM_FAULT_##id] = {name, SIM_CLASS_##class, SIM_SCOPE_##scope, verbs, per_mille, text},
    SIM_FAULT_TABLE(SIM_FAULT_ROW)
#undef SIM_FAULT_ROW
};

static const char *const class_names[SIM_CLASS_COUNT] = {
    [SIM_CLASS_IDENTITY] = "identity", [SIM_CLASS_FRAMING] = "framing",
    [SIM_CLASS_LOGIN] = "login",       [SIM_CLASS_LISTING] = "listing",
    [SIM_CLASS_DATA] = "data",         [SIM_CLASS_COMMIT] = "commit",
    [SIM_CLASS_LINE] = "line",
};

const struct sim_fault_row *sim_fault_row(enum sim_fault fault)
{
    return &rows[fault];
}

const char *sim_class_name(enum sim_class class)
{
    return class_names[class];
}

bool sim_fault_from_name(const char *name, enum sim_fault *ret_fault)
{
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *ret_fault = (enum sim_fault)i;
            return true;
        }
    }
    return false;
}

void sim_faults_none(struct sim_faults *ret_faults)
{
    *ret_faults = (struct sim_faults){0};
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        ret_faults->most[i] = UINT32_MAX;
}

void sim_faults_all(struct sim_faults *ret_faults)
{
    sim_faults_none(ret_faults);
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        ret_faults->per_mille[i] = rows[i].per_mille;
}

bool sim_faults_without(struct sim_faults *faults, const char *name)
{
    bool found = false;
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        if (strcmp(rows[i].name, name) != 0 && strcmp(class_names[rows[i].class], name) != 0)
            continue;
        faults->per_mille[i] = 0;
        found = true;
    }
    return found;
}

void sim_faults_force(struct sim_faults *faults, enum sim_fault fault, uint32_t per_mille)
{
    faults->per_mille[fault] = per_mille;
    faults->mix_per_mille = 1000;
}
