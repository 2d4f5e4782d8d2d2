/* A disk that breaks, for one process: preloaded into a coordinator. What the file FARLOOP_TEST_BREAKS names, "sync" or
   "write", fails with EIO from the moment at which the file is there. A write fails in its middle: half of it is done. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int broken(const char *what) {
    const char *path = getenv("FARLOOP_TEST_BREAKS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    char said[16] = {0};
    ssize_t len = read(file, said, sizeof said - 1);
    close(file);
    return len > 0 && strcmp(said, what) == 0;
}

static int sync_or_fail(const char *name, int file) {
    if (broken("sync")) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return sync_or_fail("fsync", file); }

int fdatasync(int file) { return sync_or_fail("fdatasync", file); }

static ssize_t write_or_fail(int file, const void *bytes, size_t len, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (!broken("write")) return real(file, bytes, len, at);
    real(file, bytes, len / 2, at);
    errno = EIO;
    return -1;
}

ssize_t pwrite64(int file, const void *bytes, size_t len, off64_t at) { return write_or_fail(file, bytes, len, at); }

ssize_t pwrite(int file, const void *bytes, size_t len, off_t at) { return write_or_fail(file, bytes, len, at); }
