/* Preloaded into a process: records its file calls below some directories, and makes some of them fail.
 *
 * CALLS_BELOW  the directories, separated by `:`; calls elsewhere pass unseen
 * CALLS_LOG    a file that each call is appended to: `call TAB path [TAB second path]`, refused ones as `!call`
 * CALLS_FAIL   the calls that may fail, separated by `,`: the names that the log has
 * CALLS_PATH   only calls whose path (of two, the second) holds this text fail
 * CALLS_ERRNO  what they fail with, a number
 * CALLS_FROM   the first that fails, counted from 1
 * CALLS_COUNT  how many fail; without it, all from there on
 * CALLS_KILL   the number of the change, counted from 1, before which the process is killed as by SIGKILL
 * CALLS_HOLD   a file: for as long as it exists, the calls that may fail wait instead
 * CALLS_WHILE  a file: calls fail only while it exists; with CALLS_ERRNO unset it holds the number
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long matched, changes;
static const char *const reading = "open,read,list";

static int listed(const char *list, const char *word, char separator) {
    size_t length = strlen(word);
    for (const char *at = list; at && *at; at = strchr(at, separator), at = at ? at + 1 : NULL)
        if (!strncmp(at, word, length) && (at[length] == separator || !at[length]))
            return 1;
    return 0;
}

static int below(const char *path) {
    const char *at = getenv("CALLS_BELOW");
    while (at && *at) {
        size_t length = strcspn(at, ":");
        if (!strncmp(path, at, length) && (path[length] == '/' || !path[length]))
            return 1;
        at += length + (at[length] == ':');
    }
    return 0;
}

static void of_descriptor(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
}

static void of_place(int directory, const char *name, char *path) {
    if (!name || *name == '/' || directory == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name ? name : "");
        return;
    }
    char top[PATH_MAX];
    of_descriptor(directory, top);
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", top, name);
}

static int number_to_fail_with(void) {
    const char *given = getenv("CALLS_ERRNO"), *file = getenv("CALLS_WHILE");
    char text[16] = "";
    if (file) {
        int descriptor = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
        if (descriptor < 0)
            return 0;
        if (syscall(SYS_read, descriptor, text, sizeof text - 1) < 0)
            text[0] = 0;
        syscall(SYS_close, descriptor);
    }
    return atoi(given ? given : text);
}

/* True, with errno set, where this call is to fail. */
static int refuse(const char *call, const char *path, const char *second) {
    int kept = errno, number = 0;
    if (!below(path) && !(second && below(second)))
        return 0;
    pthread_mutex_lock(&lock);
    const char *log = getenv("CALLS_LOG"), *fail = getenv("CALLS_FAIL");
    const char *last = getenv("CALLS_KILL");
    if (last && !listed(reading, call, ',') && ++changes == atol(last))
        kill(getpid(), SIGKILL);
    const char *part = getenv("CALLS_PATH"), *from = getenv("CALLS_FROM"), *count = getenv("CALLS_COUNT");
    const char *hold = getenv("CALLS_HOLD");
    int may_fail = fail && listed(fail, call, ',') && (!part || strstr(second ? second : path, part));
    if (may_fail && !hold) {
        number = number_to_fail_with();
        if (number) {
            long first = from ? atol(from) : 1;
            matched++;
            if (matched < first || (count && matched >= first + atol(count)))
                number = 0;
        }
    }
    if (log) {
        char line[2 * PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s%s\t%s%s%s\n", number ? "!" : "", call, path, second ? "\t" : "",
                              second ? second : "");
        int descriptor = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (descriptor >= 0) {
            syscall(SYS_write, descriptor, line, length);
            syscall(SYS_close, descriptor);
        }
    }
    pthread_mutex_unlock(&lock);
    while (may_fail && hold && !syscall(SYS_faccessat, AT_FDCWD, hold, F_OK))
        usleep(10000);
    errno = number ? number : kept;
    return number != 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OF_DESCRIPTOR(type, name, call, parameters, arguments) \
    type name parameters { \
        char path[PATH_MAX]; \
        of_descriptor(descriptor, path); \
        return refuse(call, path, NULL) ? -1 : REAL(name) arguments; \
    }

OF_DESCRIPTOR(ssize_t, write, "write", (int descriptor, const void *data, size_t size), (descriptor, data, size))
OF_DESCRIPTOR(ssize_t, pwrite, "write", (int descriptor, const void *data, size_t size, off_t at),
              (descriptor, data, size, at))
OF_DESCRIPTOR(ssize_t, pwrite64, "write", (int descriptor, const void *data, size_t size, off64_t at),
              (descriptor, data, size, at))
OF_DESCRIPTOR(ssize_t, writev, "write", (int descriptor, const struct iovec *data, int count),
              (descriptor, data, count))
OF_DESCRIPTOR(int, ftruncate, "truncate", (int descriptor, off_t size), (descriptor, size))
OF_DESCRIPTOR(int, ftruncate64, "truncate", (int descriptor, off64_t size), (descriptor, size))
OF_DESCRIPTOR(int, fsync, "fsync", (int descriptor), (descriptor))
OF_DESCRIPTOR(int, fdatasync, "fsync", (int descriptor), (descriptor))
OF_DESCRIPTOR(int, syncfs, "syncfs", (int descriptor), (descriptor))
OF_DESCRIPTOR(int, fchmod, "chmod", (int descriptor, mode_t mode), (descriptor, mode))
OF_DESCRIPTOR(ssize_t, read, "read", (int descriptor, void *data, size_t size), (descriptor, data, size))
OF_DESCRIPTOR(ssize_t, pread64, "read", (int descriptor, void *data, size_t size, off64_t at),
              (descriptor, data, size, at))

ssize_t sendfile64(int descriptor, int source, off64_t *at, size_t size) {
    char path[PATH_MAX];
    of_descriptor(descriptor, path);
    return refuse("write", path, NULL) ? -1 : syscall(SYS_sendfile, descriptor, source, at, size);
}

#define OF_PATH(name, call, parameters, arguments) \
    int name parameters { return refuse(call, path, NULL) ? -1 : REAL(name) arguments; }

OF_PATH(mkdir, "mkdir", (const char *path, mode_t mode), (path, mode))
OF_PATH(unlink, "unlink", (const char *path), (path))
OF_PATH(rmdir, "rmdir", (const char *path), (path))
OF_PATH(chmod, "chmod", (const char *path, mode_t mode), (path, mode))
OF_PATH(truncate, "truncate", (const char *path, off_t size), (path, size))

int utimensat(int directory, const char *name, const struct timespec times[2], int flags) {
    char path[PATH_MAX];
    of_place(directory, name, path);
    return refuse("utime", path, NULL) ? -1 : REAL(utimensat)(directory, name, times, flags);
}

int unlinkat(int directory, const char *name, int flags) {
    char path[PATH_MAX];
    of_place(directory, name, path);
    const char *call = flags & AT_REMOVEDIR ? "rmdir" : "unlink";
    return refuse(call, path, NULL) ? -1 : REAL(unlinkat)(directory, name, flags);
}

int mkdirat(int directory, const char *name, mode_t mode) {
    char path[PATH_MAX];
    of_place(directory, name, path);
    return refuse("mkdir", path, NULL) ? -1 : REAL(mkdirat)(directory, name, mode);
}

#define OF_TWO(name, call, parameters, arguments) \
    int name parameters { return refuse(call, source, target) ? -1 : REAL(name) arguments; }

OF_TWO(rename, "rename", (const char *source, const char *target), (source, target))
OF_TWO(link, "link", (const char *source, const char *target), (source, target))
OF_TWO(symlink, "symlink", (const char *source, const char *target), (source, target))

int linkat(int from, const char *source, int to, const char *target, int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    of_place(from, source, first);
    of_place(to, target, second);
    return refuse("link", first, second) ? -1 : REAL(linkat)(from, source, to, target, flags);
}

int renameat(int from, const char *source, int to, const char *target) {
    char first[PATH_MAX], second[PATH_MAX];
    of_place(from, source, first);
    of_place(to, target, second);
    return refuse("rename", first, second) ? -1 : REAL(renameat)(from, source, to, target);
}

int renameat2(int from, const char *source, int to, const char *target, unsigned int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    of_place(from, source, first);
    of_place(to, target, second);
    return refuse("rename", first, second) ? -1 : REAL(renameat2)(from, source, to, target, flags);
}

int symlinkat(const char *source, int to, const char *target) {
    char path[PATH_MAX];
    of_place(to, target, path);
    return refuse("symlink", source, path) ? -1 : REAL(symlinkat)(source, to, target);
}

#define OPENING(name, before, parameters, arguments) \
    int name parameters { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        char path[PATH_MAX]; \
        before; \
        const char *call = (flags & O_CREAT) ? "create" : (flags & O_ACCMODE) ? "open-to-write" : "open"; \
        return refuse(call, path, NULL) ? -1 : REAL(name) arguments; \
    }

OPENING(open, of_place(AT_FDCWD, file, path), (const char *file, int flags, ...), (file, flags, mode))
OPENING(open64, of_place(AT_FDCWD, file, path), (const char *file, int flags, ...), (file, flags, mode))
OPENING(openat, of_place(directory, file, path), (int directory, const char *file, int flags, ...),
        (directory, file, flags, mode))
OPENING(openat64, of_place(directory, file, path), (int directory, const char *file, int flags, ...),
        (directory, file, flags, mode))

DIR *opendir(const char *path) { return refuse("list", path, NULL) ? NULL : REAL(opendir)(path); }
