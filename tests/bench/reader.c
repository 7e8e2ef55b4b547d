/* SPDX-License-Identifier: MIT */
/*
 * reader: reads every regular file of a folder, one after the other in the order in which the
 * folder lists them, as cat does.
 *
 * A program of its own, so that what is measured is the file system and not the start of many
 * processes.
 */
#include "tool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_OCTETS = 128 * 1024 };

struct total {
    uint64_t files, failed, octets;
    int64_t slowest_ns;
};

static bool read_file(int folder, const char *name, char *buffer, uint64_t *octets)
{
    int descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = -1;
    while (descriptor >= 0 && (got = read(descriptor, buffer, READ_OCTETS)) > 0) {
        *octets += (uint64_t)got;
    }
    if (got < 0) {
        perror(name);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    return got == 0;
}

static void read_folder(DIR *folder, uint64_t most, struct total *total)
{
    char *buffer = tool_allocate(READ_OCTETS);
    struct dirent *entry;
    while (total->files < most && (entry = readdir(folder))) {
        if (entry->d_type != DT_REG) {
            continue;
        }
        int64_t start_ns = tool_now_ns();
        total->failed += !read_file(dirfd(folder), entry->d_name, buffer, &total->octets);
        int64_t took_ns = tool_now_ns() - start_ns;
        total->slowest_ns = took_ns > total->slowest_ns ? took_ns : total->slowest_ns;
        total->files++;
    }
    free(buffer);
}

int main(int argc, char **argv)
{
    struct total total = {0};
    if (argc != 2 && argc != 3) {
        fputs("usage: reader FOLDER [MOST-FILES]\nPrints what was read, as JSON; 1 if a file could "
              "not be.\n",
              stderr);
        return 2;
    }
    uint64_t most = argc == 3 ? (uint64_t)tool_parse_number(argv[2], 0, INT64_MAX) : UINT64_MAX;
    int64_t start_ns = tool_now_ns();
    DIR *folder = opendir(argv[1]);
    if (!folder) {
        tool_die_errno("%s", argv[1]);
    }
    read_folder(folder, most, &total);
    closedir(folder);
    printf("{\"files\": %llu, \"failed\": %llu, \"octets\": %llu, \"slowest_s\": %.6f, "
           "\"total_s\": %.6f}\n",
           (unsigned long long)total.files, (unsigned long long)total.failed,
           (unsigned long long)total.octets, tool_seconds(total.slowest_ns),
           tool_seconds(tool_now_ns() - start_ns));
    return total.failed ? 1 : 0;
}
