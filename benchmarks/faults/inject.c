/* Faults of a disk and of a clock, put between a program and the C library: preloaded by benchmarks/disk_faults.py.
 *
 * Calls that name a path below `folder`, or use a descriptor that was opened there, are counted by kind; those from
 * number `first` on, `many` of them, fail with `number` as their errno. TAL_FAULTS="number kinds first many folder" at
 * the start of a process (workers inherit it), or fault_set() later. TAL_CLOCK="first seconds", or clock_set(): the wall
 * clock is off by so many seconds from its first-th reading on.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { MAKE = 1, OPEN = 2, READ = 4, WRITE = 8, SYNC = 16, NAME = 32, STAT = 64, LIST = 128 };
#define MOST_DESCRIPTORS 4096

static int fault_errno, fault_kinds;
static long fault_first, fault_many, clock_first, clock_seconds;
static atomic_long seen, readings;
static char fault_folder[PATH_MAX];
static size_t fault_length;
static atomic_char inside[MOST_DESCRIPTORS];

void fault_set(int number, int kinds, long first, long many, const char *folder) {
  fault_errno = number, fault_kinds = kinds, fault_first = first, fault_many = many;
  snprintf(fault_folder, sizeof fault_folder, "%s", folder);
  fault_length = strlen(fault_folder);
  seen = 0;
}

long fault_seen(void) { return seen; }

void clock_set(long first, long seconds) {
  clock_first = first, clock_seconds = seconds;
  readings = 0;
}

long clock_seen(void) { return readings; }

__attribute__((constructor)) static void from_environment(void) {
  const char *text = getenv("TAL_FAULTS");
  int number, kinds, at;
  long first, many;
  if (text && sscanf(text, "%d %d %ld %ld %n", &number, &kinds, &first, &many, &at) == 4)
    fault_set(number, kinds, first, many, text + at);
  if ((text = getenv("TAL_CLOCK"))) sscanf(text, "%ld %ld", &clock_first, &clock_seconds);
}

static int below(const char *path) {
  char whole[PATH_MAX];
  if (!fault_length || !path) return 0;
  if (path[0] != '/') {
    if (!getcwd(whole, sizeof whole)) return 0;
    size_t used = strlen(whole);
    snprintf(whole + used, sizeof whole - used, "/%s", path);
    path = whole;
  }
  return !strncmp(path, fault_folder, fault_length) && (path[fault_length] == '/' || !path[fault_length]);
}

static int known(int descriptor) {
  return descriptor >= 0 && descriptor < MOST_DESCRIPTORS && inside[descriptor];
}

static void note(int descriptor, int is_inside) {
  if (descriptor >= 0 && descriptor < MOST_DESCRIPTORS) inside[descriptor] = (char)is_inside;
}

/* Count a call that is inside; return 1, with errno set, where it is to fail. */
static int fails(int kinds, int is_inside) {
  if (!is_inside || !(kinds & fault_kinds)) return 0;
  long number = atomic_fetch_add(&seen, 1) + 1;
  if (!fault_first || number < fault_first || number >= fault_first + fault_many) return 0;
  errno = fault_errno;
  return 1;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

#define OPENER(name)                                                                        \
  int name(const char *path, int flags, ...) {                                              \
    va_list rest;                                                                           \
    va_start(rest, flags);                                                                  \
    mode_t mode = (mode_t)va_arg(rest, int);                                                \
    va_end(rest);                                                                           \
    int is_inside = below(path), writes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);  \
    if (fails(writes ? OPEN | MAKE : OPEN, is_inside)) return -1;                           \
    int found = NEXT(int (*)(const char *, int, ...), #name)(path, flags, mode);            \
    note(found, is_inside);                                                                 \
    return found;                                                                           \
  }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name)                                                                     \
  int name(int at, const char *path, int flags, ...) {                                      \
    va_list rest;                                                                           \
    va_start(rest, flags);                                                                  \
    mode_t mode = (mode_t)va_arg(rest, int);                                                \
    va_end(rest);                                                                           \
    int is_inside = path[0] == '/' || at == AT_FDCWD ? below(path) : known(at);             \
    int writes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);                           \
    if (fails(writes ? OPEN | MAKE : OPEN, is_inside)) return -1;                           \
    int found = NEXT(int (*)(int, const char *, int, ...), #name)(at, path, flags, mode);   \
    note(found, is_inside);                                                                 \
    return found;                                                                           \
  }
OPENER_AT(openat)
OPENER_AT(openat64)

#define STREAM(name)                                                                        \
  FILE *name(const char *path, const char *mode) {                                          \
    if (fails(mode[0] == 'r' ? OPEN : OPEN | MAKE, below(path))) return NULL;               \
    return NEXT(FILE *(*)(const char *, const char *), #name)(path, mode);                  \
  }
STREAM(fopen)
STREAM(fopen64)

#define ON_DESCRIPTOR(kind, type, name, declared, given)                                    \
  type name declared {                                                                      \
    if (fails(kind, known(descriptor))) return -1;                                          \
    return NEXT(type(*) declared, #name) given;                                             \
  }
ON_DESCRIPTOR(READ, ssize_t, read, (int descriptor, void *to, size_t size), (descriptor, to, size))
ON_DESCRIPTOR(READ, ssize_t, pread, (int descriptor, void *to, size_t size, off_t at), (descriptor, to, size, at))
ON_DESCRIPTOR(READ, ssize_t, pread64, (int descriptor, void *to, size_t size, off64_t at), (descriptor, to, size, at))
ON_DESCRIPTOR(WRITE, ssize_t, write, (int descriptor, const void *from, size_t size), (descriptor, from, size))
ON_DESCRIPTOR(WRITE, int, ftruncate, (int descriptor, off_t size), (descriptor, size))
ON_DESCRIPTOR(WRITE, int, ftruncate64, (int descriptor, off64_t size), (descriptor, size))
ON_DESCRIPTOR(SYNC, int, fsync, (int descriptor), (descriptor))
ON_DESCRIPTOR(SYNC, int, fdatasync, (int descriptor), (descriptor))

int close(int descriptor) {
  note(descriptor, 0);
  return NEXT(int (*)(int), "close")(descriptor);
}

#define ON_PATH(kind, name, declared, given)                                                \
  int name declared {                                                                       \
    if (fails(kind, below(path))) return -1;                                                \
    return NEXT(int(*) declared, #name) given;                                              \
  }
ON_PATH(NAME | MAKE, mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(NAME, unlink, (const char *path), (path))
ON_PATH(NAME, rmdir, (const char *path), (path))
ON_PATH(NAME, chmod, (const char *path, mode_t mode), (path, mode))
ON_PATH(NAME | MAKE, rename, (const char *path, const char *to), (path, to))
ON_PATH(NAME | MAKE, link, (const char *path, const char *to), (path, to))
ON_PATH(STAT, stat, (const char *path, struct stat *found), (path, found))
ON_PATH(STAT, stat64, (const char *path, struct stat64 *found), (path, found))
ON_PATH(STAT, lstat, (const char *path, struct stat *found), (path, found))
ON_PATH(STAT, lstat64, (const char *path, struct stat64 *found), (path, found))

int symlink(const char *to, const char *path) {
  if (fails(NAME | MAKE, below(path))) return -1;
  return NEXT(int (*)(const char *, const char *), "symlink")(to, path);
}

int unlinkat(int at, const char *path, int flags) {
  if (fails(NAME, path[0] == '/' || at == AT_FDCWD ? below(path) : known(at))) return -1;
  return NEXT(int (*)(int, const char *, int), "unlinkat")(at, path, flags);
}

DIR *opendir(const char *path) {
  if (fails(LIST | OPEN, below(path))) return NULL;
  return NEXT(DIR *(*)(const char *), "opendir")(path);
}

int clock_gettime(clockid_t which, struct timespec *now) {
  int status = NEXT(int (*)(clockid_t, struct timespec *), "clock_gettime")(which, now);
  if (status || which != CLOCK_REALTIME) return status;
  long number = atomic_fetch_add(&readings, 1) + 1;
  if (clock_first && number >= clock_first) now->tv_sec += clock_seconds;
  return status;
}
