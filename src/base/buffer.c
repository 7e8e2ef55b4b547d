/* SPDX-License-Identifier: MIT */
/* Bytes that grow. The bound is the caller's business: whoever appends knows why it is bounded. */
#include "popfs/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool buffer_reserve(struct buffer *buffer, size_t more)
{
    if (more > SIZE_MAX - buffer->len)
        return false;
    size_t needed = buffer->len + more;
    if (needed <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_done(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_done_wiping(struct buffer *buffer)
{
    if (buffer->data != NULL)
        secret_wipe(buffer->data, buffer->capacity);
    buffer_done(buffer);
}

bool buffer_append(struct buffer *buffer, struct slice bytes)
{
    if (!buffer_reserve(buffer, bytes.len))
        return false;
    if (bytes.len > 0)
        memcpy(buffer->data + buffer->len, bytes.data, bytes.len);
    buffer->len += bytes.len;
    return true;
}

bool buffer_append_string(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, slice_from_string(text));
}

bool buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !buffer_reserve(buffer, (size_t)len + 1))
        return false;
    va_start(args, format);
    vsnprintf(buffer->data + buffer->len, (size_t)len + 1, format, args);
    va_end(args);
    buffer->len += (size_t)len;
    return true;
}

void buffer_consume(struct buffer *buffer, size_t count)
{
    if (count >= buffer->len) {
        buffer->len = 0;
        return;
    }
    if (count == 0)
        return;
    memmove(buffer->data, buffer->data + count, buffer->len - count);
    buffer->len -= count;
}

struct slice buffer_slice(const struct buffer *buffer)
{
    return (struct slice){buffer->data, buffer->len};
}

bool descriptor_write(int descriptor, const void *bytes, size_t len)
{
    const char *next = bytes;
    while (len > 0) {
        ssize_t written = write(descriptor, next, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        next += written;
        len -= (size_t)written;
    }
    return true;
}

void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void cleanup_close(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}
