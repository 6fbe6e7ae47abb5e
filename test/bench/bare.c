/*
 * Runs pods by the parts that a CRI server uses, without a server: the floor of its figures.
 *
 *   bare LIVES together|apart DIRECTORY LOWER CONFIG BRIDGE PORTMAP CRUN CONMON
 *
 * Each life has a directory in DIRECTORY and the read-only root LOWER. CONFIG is the OCI configuration, in which @ID@ and
 * @DIR@ stand for its id and its directory; BRIDGE and PORTMAP are configurations of two CNI plugins in /usr/lib/cni, or "-"
 * for none; CONMON is "-" when crun writes to a pipe instead. Prints "MILLISECONDS NAME" for each step of each life.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOM 65536
static char report[ROOM];

static void die(const char *what) {
  fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
  exit(1);
}

static char *text(const char *format, ...) {
  char *result;
  va_list args;
  va_start(args, format);
  if (vasprintf(&result, format, args) < 0) die("vasprintf");
  va_end(args);
  return result;
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

/* Notes how long a step took, and returns the time. */
static double took(const char *name, double since) {
  double at = now();
  snprintf(report + strlen(report), ROOM - strlen(report), "%.3f %s\n", at - since, name);
  return at;
}

static char *contents(const char *path) {
  char *buffer = calloc(1, ROOM);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, buffer, ROOM - 1) < 0) die(path);
  close(fd);
  return buffer;
}

static char *replaced(const char *from, const char *what, const char *with) {
  char *result = calloc(1, 2 * ROOM), *to = result;
  for (const char *at; (at = strstr(from, what)); from = at + strlen(what)) to = stpcpy(mempcpy(to, from, at - from), with);
  strcpy(to, from);
  return result;
}

static void write_file(const char *path, const char *what) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, what, strlen(what)) < 0) die(path);
  close(fd);
}

/* Runs a program to its end; `input` is its standard input, what it prints goes to `output` (may be NULL). */
static void command(char **argv, char **environment, const char *input, char *output) {
  int in[2], out[2], status;
  size_t size = 0;
  pid_t pid;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) die("pipe");
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  if (output) posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  if ((errno = posix_spawn(&pid, argv[0], &actions, NULL, argv, environment))) die(argv[0]);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (input && write(in[1], input, strlen(input)) < 0) die("write");
  close(in[1]);
  for (ssize_t got; output && (got = read(out[0], output + size, ROOM - 1 - size)) > 0; size += got) output[size + got] = 0;
  close(out[0]);
  if (waitpid(pid, &status, 0) < 0 || status != 0) {
    fprintf(stderr, "bare: %s %s failed: %s\n", argv[0], argv[1] ? argv[1] : "", output ? output : "");
    exit(1);
  }
}

/* Network, IPC and UTS namespaces as files. */
static void pin(const char *directory) {
  static const char *names[] = {"net", "ipc", "uts"};
  int ready[2], go[2];
  char byte = 0;
  if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC)) die("pipe");
  pid_t pid = fork();
  if (pid == 0) {
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)) die("unshare");
    if (write(ready[1], &byte, 1) < 0) _exit(1);
    close(go[1]);
    _exit(read(go[0], &byte, 1) < 0);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) die("unshare");
  for (int index = 0; index < 3; index++) {
    char *target = text("%s/%s", directory, names[index]);
    write_file(target, "");
    if (mount(text("/proc/%d/ns/%s", pid, names[index]), target, NULL, MS_BIND, NULL)) die(target);
  }
  close(go[0]);
  close(go[1]);
  close(ready[0]);
  waitpid(pid, NULL, 0);
}

static void cni(const char *verb, const char *plugin, const char *id, const char *directory, const char *conf, char *result) {
  char *argv[] = {text("/usr/lib/cni/%s", plugin), NULL};
  char *environment[] = {text("CNI_COMMAND=%s", verb), text("CNI_CONTAINERID=%s", id), text("CNI_NETNS=%s/net", directory),
                         "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni", text("PATH=%s", getenv("PATH")), NULL};
  command(argv, environment, conf, result);
}

/* Inserts a result into a plugin's configuration, which ends with a brace. */
static char *after(const char *conf, const char *result) {
  return text("%.*s,\"prevResult\":%s}", (int)(strrchr(conf, '}') - conf), conf, result);
}

/* Starts the monitor or the runtime itself; returns the container's process. */
static pid_t create(const char *crun, const char *conmon, const char *root, const char *id, const char *directory, int *out) {
  char *pid_file = text("%s/pid", directory);
  int pipes[2], status;
  pid_t child;
  if (pipe2(pipes, O_CLOEXEC)) die("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (strcmp(conmon, "-") == 0) {
    char *argv[] = {(char *)crun, text("--root=%s", root), "create", "--bundle", (char *)directory, "--pid-file", pid_file, (char *)id, NULL};
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    if ((errno = posix_spawn(&child, crun, &actions, NULL, argv, environ))) die(crun);
  } else {
    char *argv[] = {(char *)conmon, "-c", (char *)id, "-u", (char *)id, "-n", (char *)id, "-b", (char *)directory, "-p", pid_file,
                    "-r", (char *)crun, "--runtime-arg", text("--root=%s", root), "-l", text("k8s-file:%s/log/0.log", directory),
                    "--exit-dir", text("%s/exit", directory), "--socket-dir-path", (char *)directory, NULL};
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 20);
    setenv("_OCI_SYNCPIPE", "20", 1);
    if ((errno = posix_spawn(&child, conmon, &actions, NULL, argv, environ))) die(conmon);
  }
  posix_spawn_file_actions_destroy(&actions);
  close(pipes[1]);
  if (waitpid(child, &status, 0) < 0 || status != 0) {
    errno = ECHILD;
    die("create");
  }
  *out = pipes[0];
  if (strcmp(conmon, "-") != 0) {
    char line[ROOM] = "";
    if (read(pipes[0], line, ROOM - 1) <= 0 || !strstr(line, "pid\"")) die(line);
    return atoi(strpbrk(line, "0123456789"));
  }
  return atoi(contents(pid_file));
}

static void first_byte(const char *conmon, const char *directory, int watch, int out) {
  char byte[4096];
  struct stat file;
  if (strcmp(conmon, "-") == 0) {
    if (read(out, byte, 1) != 1) die("the container's output");
    return;
  }
  while (stat(text("%s/log/0.log", directory), &file) || file.st_size == 0)
    if (read(watch, byte, sizeof byte) < 0) die("inotify");
}

static void live(const char *id, char **argv) {
  const char *lower = argv[4], *bridge = argv[6], *portmap = argv[7], *crun = argv[8], *conmon = argv[9];
  char *directory = text("%s/%s", argv[3], id), *root = text("%s/runtime", argv[3]), *target = text("%s/rootfs", directory);
  char *conf = strcmp(bridge, "-") ? contents(bridge) : NULL, *next = conf ? contents(portmap) : NULL, *result = calloc(1, ROOM);
  static const char *parts[] = {"", "rootfs", "upper", "work", "log", "exit"};
  int out, watch = inotify_init1(IN_CLOEXEC);
  double begin = now(), at = begin;
  for (int index = 0; index < 6; index++)
    if (mkdir(text("%s/%s", directory, parts[index]), 0755)) die(directory);
  inotify_add_watch(watch, text("%s/log", directory), IN_MODIFY | IN_CREATE);
  pin(directory);
  if (conf) {
    cni("ADD", "bridge", id, directory, conf, result);
    next = after(next, result);
    cni("ADD", "portmap", id, directory, next, result);
  }
  at = took("RunPodSandbox", begin);
  if (mount("overlay", target, "overlay", 0, text("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, directory, directory)))
    die("overlay");
  write_file(text("%s/config.json", directory), replaced(replaced(contents(argv[5]), "@ID@", id), "@DIR@", directory));
  pid_t pid = create(crun, conmon, root, id, directory, &out);
  at = took("CreateContainer", at);
  command((char *[]){(char *)crun, text("--root=%s", root), "start", (char *)id, NULL}, environ, NULL, NULL);
  took("StartContainer", at);
  first_byte(conmon, directory, watch, out);
  took("first log line", begin);
  at = now();
  command((char *[]){(char *)crun, text("--root=%s", root), "exec", (char *)id, "true", NULL}, environ, NULL, NULL);
  at = took("ExecSync", at);
  struct pollfd end = {.fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
  kill(pid, SIGTERM);
  if (end.fd < 0 || poll(&end, 1, 60000) != 1) die("the container does not end");
  at = took("StopContainer", at);
  command((char *[]){(char *)crun, text("--root=%s", root), "delete", (char *)id, NULL}, environ, NULL, NULL);
  if (umount2(target, MNT_DETACH)) die(target);
  at = took("RemoveContainer", at);
  if (conf) {
    cni("DEL", "portmap", id, directory, next, result);
    cni("DEL", "bridge", id, directory, after(conf, result), NULL);
  }
  for (const char **name = (const char *[]){"net", "ipc", "uts", NULL}; *name; name++) umount2(text("%s/%s", directory, *name), MNT_DETACH);
  took("StopPodSandbox", at);
  took("whole life", begin);
  fputs(report, stdout);
  fflush(stdout);
}

int main(int argc, char **argv) {
  int failed = 0, status;
  if (argc != 10) {
    fprintf(stderr, "usage: bare LIVES together|apart DIRECTORY LOWER CONFIG BRIDGE PORTMAP CRUN CONMON\n");
    return 2;
  }
  for (int number = 0; number < atoi(argv[1]); number++) {
    if (fork() == 0) {
      live(text("bare%d-%d", getpid(), number), argv);
      _exit(0);
    }
    if (strcmp(argv[2], "apart") == 0) {
      wait(&status);
      failed |= status;
    }
  }
  while (wait(&status) > 0) failed |= status;
  return failed != 0;
}
