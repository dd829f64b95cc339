// A clock that is CLOCK_AHEAD seconds ahead, for a program that is started with this in LD_PRELOAD.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t which, struct timespec *at) {
  const char *ahead = getenv("CLOCK_AHEAD");
  int failed = syscall(SYS_clock_gettime, which, at);
  if (!failed && ahead && which == CLOCK_REALTIME) at->tv_sec += atol(ahead);
  return failed;
}
