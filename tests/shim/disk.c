// A disk that fails or loses power, for a program that is started with this in LD_PRELOAD. Of files below DISK_FOLDER:
//
//   DISK_FAIL=k      the k-th write, truncation or sync fails; all from it on if DISK_STAYS is set
//   DISK_ERROR=n     with this errno
//   DISK_WHILE=path  only while that is there
//   DISK_COUNT=path  how many there were is written there, anew with each
//   DISK_OF=text     only at files whose path holds this, and others are not counted
//   DISK_SYNCS=1     only syncs fail, and are counted
//   DISK_SLOW=n      a sync takes so many milliseconds longer
//   DISK_SYNCED=dir  what was synced is copied there: all that a power cut would leave. After a sync that failed the
//                    file keeps what it has there, whatever later syncs say, as on Linux
//   DISK_LIES=text   a sync of a file whose name ends so is acknowledged, and copies nothing
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static long count;
// Files of which a sync failed: inode and birth, since numbers are used again.
static struct statx lost[256];
static int losses;

static int is_lost(int fd) {
  struct statx about;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &about)) return 0;
  for (int at = 0; at < losses; at++)
    if (lost[at].stx_ino == about.stx_ino && lost[at].stx_btime.tv_sec == about.stx_btime.tv_sec && lost[at].stx_btime.tv_nsec == about.stx_btime.tv_nsec)
      return 1;
  return 0;
}

// The path of an open file below the folder, or 0.
static int inside(int fd, char *path) {
  const char *folder = getenv("DISK_FOLDER");
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = folder ? readlink(link, path, PATH_MAX - 1) : -1;
  if (length <= 0) return 0;
  path[length] = 0;
  return strncmp(path, folder, strlen(folder)) == 0;
}

static int ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

// Whether this one is to fail.
static int fails(int fd, int is_sync) {
  char path[PATH_MAX];
  const char *of = getenv("DISK_OF");
  if (!inside(fd, path) || (of && !strstr(path, of)) || (getenv("DISK_SYNCS") && !is_sync)) return 0;
  const char *at = getenv("DISK_FAIL"), *error = getenv("DISK_ERROR"), *told = getenv("DISK_COUNT");
  pthread_mutex_lock(&gate);
  long number = ++count;
  if (told) {
    // Written over and never cut: the process may be killed at any moment.
    int file = open(told, O_WRONLY | O_CREAT, 0600);
    if (file >= 0) {
      dprintf(file, "%019ld\n", number);
      close(file);
    }
  }
  pthread_mutex_unlock(&gate);
  const char *only = getenv("DISK_WHILE");
  if (only && access(only, F_OK)) return 0;
  if (!at || !(getenv("DISK_STAYS") ? number >= atol(at) : number == atol(at))) return 0;
  errno = error ? atoi(error) : EIO;
  return 1;
}

// Copies what a file holds now to the folder of synced ones, under its path below DISK_FOLDER with dashes for slashes.
static void keep(int fd) {
  const char *folder = getenv("DISK_FOLDER"), *synced = getenv("DISK_SYNCED"), *lies = getenv("DISK_LIES");
  char path[PATH_MAX], kept[PATH_MAX], part[PATH_MAX + 8], own[64], block[65536];
  struct stat about;
  if (!synced || !inside(fd, path) || fstat(fd, &about) || !S_ISREG(about.st_mode)) return;
  if (lies && ends_with(path, lies)) return;
  if (is_lost(fd)) return;
  for (char *at = path + strlen(folder) + 1; *at; at++)
    if (*at == '/') *at = '-';
  snprintf(kept, sizeof kept, "%s/%s", synced, path + strlen(folder) + 1);
  snprintf(part, sizeof part, "%s.part", kept);
  pthread_mutex_lock(&gate);
  // It may be open for writing alone.
  snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
  int in = open(own, O_RDONLY), out = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (in >= 0 && out >= 0) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    off_t place = 0;
    for (ssize_t length; (length = pread(in, block, sizeof block, place)) > 0; place += length)
      if (real(out, block, length) != length) abort();
    close(out);
    close(in);
    rename(part, kept);
  }
  pthread_mutex_unlock(&gate);
}

// What a sync that failed leaves: pages that count as written.
static int lose(int fd) {
  int error = errno;
  pthread_mutex_lock(&gate);
  if (losses < 256 && !statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &lost[losses])) losses++;
  pthread_mutex_unlock(&gate);
  errno = error;
  return -1;
}

#define WRAP(type, name, declared, passed)                                                                                                           \
  type name declared {                                                                                                                               \
    static type(*real) declared;                                                                                                                     \
    if (!real) real = dlsym(RTLD_NEXT, #name);                                                                                                       \
    if (fails(fd, 0)) return -1;                                                                                                                     \
    return real passed;                                                                                                                              \
  }

WRAP(ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length))
WRAP(ssize_t, pwrite, (int fd, const void *bytes, size_t length, off_t place), (fd, bytes, length, place))
WRAP(ssize_t, pwrite64, (int fd, const void *bytes, size_t length, off64_t place), (fd, bytes, length, place))
WRAP(ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number))
WRAP(int, ftruncate, (int fd, off_t length), (fd, length))
WRAP(int, ftruncate64, (int fd, off64_t length), (fd, length))

#define SYNC(name)                                                                                                                                   \
  int name(int fd) {                                                                                                                                 \
    static int (*real)(int);                                                                                                                         \
    if (!real) real = dlsym(RTLD_NEXT, #name);                                                                                                       \
    if (fails(fd, 1)) return lose(fd);                                                                                                               \
    keep(fd);                                                                                                                                        \
    if (getenv("DISK_SLOW")) usleep(1000 * atol(getenv("DISK_SLOW")));                                                                               \
    return real(fd);                                                                                                                                 \
  }

SYNC(fsync)
SYNC(fdatasync)
