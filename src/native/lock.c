/*
 * lock DESCRIPTOR: takes the whole-file lock (flock(2)) of a descriptor that the caller has handed down. Such a lock
 * belongs to the open file, not to the process: the caller keeps it until its own descriptor is closed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "native.h"

/* Exit code 0: taken; 1: another open file has it; 2: another error, described on standard error. */
int lock_main(int argc, char **argv) {
  char *end = NULL;
  long descriptor = argc == 2 ? strtol(argv[1], &end, 10) : -1;
  if (descriptor < 0 || descriptor > 1 << 20 || end == argv[1] || *end != '\0') {
    fprintf(stderr, "usage: lxcri-native lock DESCRIPTOR\n");
    return 2;
  }
  while (flock((int)descriptor, LOCK_EX | LOCK_NB) < 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return 1;
    fprintf(stderr, "flock: %s\n", strerror(errno));
    return 2;
  }
  return 0;
}
