/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over the files of a corpus, without libFuzzer, so that every build replays
 * what fuzzing has found. */
#include "target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay_file(const char *folder, const char *name)
{
    enum { INPUT_OCTETS_MAX = 1 << 20 };
    static unsigned char input[INPUT_OCTETS_MAX];
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t len = fread(input, 1, sizeof(input), file);
    fclose(file);
    /* From memory of its own length, so that a sanitizer sees a read past the end. */
    unsigned char *copy = malloc(len + 1);
    if (copy == NULL)
        return 1;
    for (size_t i = 0; i < len; i++)
        copy[i] = input[i];
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int count = argc == 2 ? scandir(argv[1], &entries, is_file, alphasort) : -1;
    if (count <= 0) {
        fprintf(stderr, "usage: %s CORPUS, a folder with files in it\n", argv[0]);
        return 1;
    }
    int failed = 0;
    for (int i = 0; i < count; i++) {
        failed |= replay_file(argv[1], entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("%d inputs replayed\n", count);
    return failed;
}
