/*
 * Start a program of containers.
 *
 * - `enter [--score N] [--cgroup FILE]... PROGRAM [ARGUMENT...]`: enters the cgroups whose `cgroup.procs` files are named, in
 *   their order, and becomes PROGRAM.
 * - `exec [--score N] [--cgroup FILE]... PID-FILE RUNTIME [ARGUMENT...]`: does the same, runs an OCI runtime that starts a
 *   process in a container, writes its pid into PID-FILE and ends (`exec --detach`), and waits for that process alone: a
 *   runtime that waits itself waits for what the process leaves behind, too. The exit code is the process's, or 128 plus
 *   the number of the signal that ended it; the runtime's own when it fails.
 *
 * `--score` sets oom_score_adj (proc_pid_oom_score_adj(5)), which children inherit; what may not be lowered stays. Where a
 * standard stream is the null device it is replaced by an empty file in memory: OCI runtimes give their standard streams to
 * the container's user, who must not own a device of the node. Programs are absolute paths. Exit code 125: a cgroup cannot be
 * entered; 127: the program cannot be started.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native.h"

enum { CANNOT_ENTER = 125, CANNOT_START = 127 };

/* Writes to a file of the kernel; false with errno when it cannot. */
static bool put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool done = write(fd, text, strlen(text)) >= 0;
  int error = errno;
  close(fd);
  errno = error;
  return done;
}

static bool is_null_device(int fd) {
  struct stat facts;
  return fstat(fd, &facts) == 0 && S_ISCHR(facts.st_mode) && facts.st_rdev == makedev(1, 3);
}

/*
 * Replaces the null device where it is a standard stream; see the head of this file. Nothing can be written to what comes
 * in its place. False with errno when it cannot.
 */
static bool replace_null(void) {
  int empty = -1;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (!is_null_device(fd)) continue;
    if (empty < 0) {
      empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (empty < 0 || fchmod(empty, 0444) < 0) return false;
      if (fcntl(empty, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) return false;
    }
    // Reopened for reading: programs look at how their input was opened.
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", empty);
    int opened = fd == STDIN_FILENO ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (dup2(opened < 0 ? empty : opened, fd) != fd) return false;
    if (opened >= 0) close(opened);
  }
  return true;
}

/* Follows the options and gives the arguments after them; exits with 125 when it cannot. */
static char **prepare(char **argv) {
  for (; argv[0] != NULL && argv[1] != NULL; argv += 2) {
    if (strcmp(argv[0], "--score") == 0) {
      put("/proc/self/oom_score_adj", argv[1]);
    } else if (strcmp(argv[0], "--cgroup") == 0) {
      if (put(argv[1], "0")) continue;
      fprintf(stderr, "cannot enter %s: %s\n", argv[1], strerror(errno));
      exit(CANNOT_ENTER);
    } else {
      break;
    }
  }
  if (!replace_null()) {
    fprintf(stderr, "cannot replace the null device: %s\n", strerror(errno));
    exit(CANNOT_ENTER);
  }
  return argv;
}

static _Noreturn void become(char **command) {
  execv(command[0], command);
  fprintf(stderr, "cannot run %s: %s\n", command[0], strerror(errno));
  _exit(CANNOT_START);
}

static int code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* Waits for `pid` and for whatever other children end until then; false when there is no such child. */
static bool wait_for(pid_t pid, int *status) {
  for (;;) {
    pid_t gone = waitpid(-1, status, 0);
    if (gone == pid) return true;
    if (gone < 0 && errno != EINTR) return false;
  }
}

/* The number in a pid file, or 0. */
static pid_t read_pid(const char *path) {
  char text[32] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  return count > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* enter …: see the head of this file. */
int enter_main(int argc, char **argv) {
  char **command = argc > 1 ? prepare(argv + 1) : NULL;
  if (command != NULL && command[0] != NULL) become(command);
  fprintf(stderr, "usage: lxcri-native enter [--score N] [--cgroup FILE]... PROGRAM [ARGUMENT...]\n");
  return 2;
}

/* exec …: see the head of this file. */
int exec_main(int argc, char **argv) {
  char **rest = argc > 1 ? prepare(argv + 1) : NULL;
  if (rest == NULL || rest[0] == NULL || rest[1] == NULL) {
    fprintf(stderr, "usage: lxcri-native exec [--score N] [--cgroup FILE]... PID-FILE RUNTIME [ARGUMENT...]\n");
    return 2;
  }
  // The process becomes a child of this one as soon as the runtime has ended.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t runtime = fork();
  if (runtime == 0) become(rest + 1);
  if (runtime < 0) return CANNOT_START;
  // The streams are the process's: while they are open here, their other ends would not see that it has closed them.
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) dup2(null, fd);
  int status;
  // Not for any child: the process may end before the runtime does.
  while (waitpid(runtime, &status, 0) < 0) {
    if (errno != EINTR) return CANNOT_START;
  }
  if (code_of(status) != 0) return code_of(status);
  pid_t process = read_pid(rest[0]);
  return process > 0 && wait_for(process, &status) ? code_of(status) : 255;
}
