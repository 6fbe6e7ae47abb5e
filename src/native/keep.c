/*
 * keep: prints the pid of a process of its own session without open files that waits to be killed: the one process of a
 * systemd scope, which systemd removes when it is empty.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"

/* Exit code 0: it waits; 2: wrong arguments or an error, described on standard error. */
int keep_main(int argc, char **argv) {
  (void)argv;
  if (argc != 1) {
    fprintf(stderr, "usage: lxcri-native keep\n");
    return 2;
  }
  pid_t child = fork();
  if (child < 0) {
    fprintf(stderr, "fork: %s\n", strerror(errno));
    return 2;
  }
  if (child == 0) {
    setsid();
    if (chdir("/") < 0 || syscall(SYS_close_range, 0U, ~0U, 0U) < 0) {
      /* Linux before 5.9 */
      for (int fd = (int)sysconf(_SC_OPEN_MAX) - 1; fd >= 0; fd--) close(fd);
    }
    for (;;) pause();
  }
  printf("%d\n", (int)child);
  return 0;
}
