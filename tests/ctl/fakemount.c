/* SPDX-License-Identifier: MIT */
/*
 * A file system of type fuse.popfs with no mail in it: what lies in .popfs is what lies in a folder
 * of the test. A write to control appends its line to the file `commands` there, runs the program
 * `answer` with the line as its argument, and fails with the errno that this exits with, or with
 * EINTR if the writer was interrupted.
 *     popfs-fake FOLDER MOUNTPOINT [-o ...]
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REAL_OCTETS = 2 * PATH_MAX };

static char folder[PATH_MAX];

/* Where "/.popfs/x" lies, which the kernel has checked to be no more than that. */
static const char *below(const char *path, char *real)
{
    const char *rest = strncmp(path, "/.popfs", 7) == 0 ? path + 7 : "/nothing";
    snprintf(real, REAL_OCTETS, "%s%s", folder, rest);
    return real;
}

static int fake_getattr(const char *path, struct stat *attributes, struct fuse_file_info *file)
{
    char real[REAL_OCTETS];
    (void)file;
    const char *place = strcmp(path, "/") == 0 ? folder : below(path, real);
    if (stat(place, attributes) != 0)
        return -errno;
    /* The kernel must leave it to us, see fake_read(). */
    if (S_ISFIFO(attributes->st_mode))
        attributes->st_mode ^= S_IFIFO ^ S_IFREG;
    return 0;
}

static int fake_open(const char *path, struct fuse_file_info *file)
{
    char real[REAL_OCTETS];
    file->direct_io = 1;
    return access(below(path, real), R_OK) == 0 ? 0 : -errno;
}

static int fake_read(const char *path, char *out, size_t octets, off_t offset,
                     struct fuse_file_info *file)
{
    char real[REAL_OCTETS];
    (void)file;
    int opened;
    /* A fifo that nobody writes to hangs, and no interrupt ends that. */
    do
        opened = open(below(path, real), O_RDONLY | O_CLOEXEC);
    while (opened < 0 && errno == EINTR);
    if (opened < 0)
        return -errno;
    ssize_t got = pread(opened, out, octets, offset);
    close(opened);
    return got < 0 ? -EIO : (int)got;
}

static void remember(const char *line)
{
    char real[REAL_OCTETS];
    FILE *commands = fopen(below("/.popfs/commands", real), "ae");
    if (commands == NULL)
        return;
    fprintf(commands, "%s\n", line);
    fclose(commands);
}

static int answer(const char *line)
{
    char real[REAL_OCTETS];
    int status;
    below("/.popfs/answer", real);
    pid_t child = fork();
    if (child == 0) {
        execl(real, real, line, (char *)NULL);
        _exit(ENOEXEC);
    }
    while (waitpid(child, &status, 0) < 0)
        if (fuse_interrupted()) {
            kill(child, SIGKILL); /* libfuse's threads block the milder ones, and so does a child */
            while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                continue;
            return EINTR;
        }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static int fake_write(const char *path, const char *octets, size_t count, off_t offset,
                      struct fuse_file_info *file)
{
    char line[PATH_MAX];
    (void)path;
    (void)file;
    if (offset != 0 || count == 0 || count >= sizeof(line) || octets[count - 1] != '\n')
        return -EINVAL;
    memcpy(line, octets, count - 1);
    line[count - 1] = '\0';
    remember(line);
    int error = answer(line);
    return error == 0 ? (int)count : -error;
}

/* libfuse takes the wish for a signal here, but has by then not installed a handler. */
static void wake(int number)
{
    (void)number;
}

/* The signal then ends the wait in answer(). */
static void *fake_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->intr = 1;
    sigaction(config->intr_signal, &(struct sigaction){.sa_handler = wake}, NULL);
    return NULL;
}

static const struct fuse_operations operations = {
    .init = fake_init,
    .getattr = fake_getattr,
    .open = fake_open,
    .read = fake_read,
    .write = fake_write,
};

/* A mount that takes its time to end. */
static void end_slowly(void)
{
    const char *seconds = getenv("FAKE_END_S");
    if (seconds != NULL)
        sleep((unsigned)atoi(seconds));
}

int main(int argc, char **argv)
{
    char foreground[] = "-f", type[] = "-osubtype=popfs";
    char *words[16] = {argv[0], foreground, type};
    int count = 3;
    if (argc < 3 || argc > 10 || realpath(argv[1], folder) == NULL)
        return 1;
    for (int i = 2; i < argc; i++)
        words[count++] = argv[i];
    int code = fuse_main(count, words, &operations, NULL);
    end_slowly();
    return code;
}
