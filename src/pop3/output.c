/* SPDX-License-Identifier: MIT */
/* A command is never split over two writes (POP3.md rule 15), so output is given in whole lines. */
#include "output.h"

#include <stdlib.h>
#include <string.h>

static void output_drop(struct pop3_output *output)
{
    if (output->data != NULL)
        secret_wipe(output->data, output->capacity);
    free(output->data);
}

void pop3_output_done(struct pop3_output *output)
{
    output_drop(output);
    *output = (struct pop3_output){0};
}

void pop3_output_clear(struct pop3_output *output)
{
    if (output->data != NULL)
        secret_wipe(output->data, output->capacity);
    output->start = 0;
    output->len = 0;
}

bool pop3_output_reserve(struct pop3_output *output, size_t octets)
{
    if (output->capacity - output->start - output->len >= octets)
        return true;
    if (octets > SIZE_MAX / 4 || output->len > SIZE_MAX / 4)
        return false;
    size_t capacity = 2 * (output->len + octets) + 512;
    char *data = malloc(capacity);
    if (data == NULL)
        return false;
    if (output->len > 0)
        memcpy(data, output->data + output->start, output->len);
    output_drop(output);
    output->data = data;
    output->capacity = capacity;
    output->start = 0;
    return true;
}

void pop3_output_append(struct pop3_output *output, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    memcpy(output->data + output->start + output->len, bytes.data, bytes.len);
    output->len += bytes.len;
}

struct slice pop3_output_lines(const struct pop3_output *output, size_t most)
{
    if (output->len == 0)
        return (struct slice){"", 0};
    const char *data = output->data + output->start;
    if (output->len <= most)
        return (struct slice){data, output->len};
    const char *end = memrchr(data, '\n', most);
    if (end == NULL)
        end = memchr(data, '\n', output->len);
    return (struct slice){data, end == NULL ? output->len : (size_t)(end - data) + 1};
}

void pop3_output_sent(struct pop3_output *output, size_t octets)
{
    if (octets > output->len)
        octets = output->len;
    if (octets == 0)
        return;
    secret_wipe(output->data + output->start, octets);
    output->sent_octets += octets;
    output->len -= octets;
    output->start = output->len == 0 ? 0 : output->start + octets;
}
