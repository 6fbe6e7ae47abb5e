/*
 * hook [--name NAME] EVENT …: what liblxc runs when the container of a pod starts and ends, also while the server is down.
 * Without lxc.hook.version = 1, as on Proxmox VE, liblxc appends the container's name, the section and the event. A container
 * of another name is a copy of the pod's, such as a restored one: it does not start, and its end does nothing to the pod.
 *
 * hook pre-start FILE: removes the permit that the server wrote, and fails without one: nobody else can start the container
 *   again, which would be a pod without containers.
 * hook stop [--also FILE] DIRECTORY…: kills whatever is left in the pod's cgroup, whose directory in every hierarchy is given:
 *   liblxc ends only the first process of its container. FILE has one directory more, or is not there: the cgroup of a pod that
 *   took a container which was started before.
 * hook post-stop: fails when the container asked for a reboot, which keeps liblxc from starting an empty one in its place.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "native.h"

enum { ROUNDS = 400, PAUSE_MS = 20, DESCRIPTORS = 16 };

/* How many processes the walk of a round found. */
static unsigned long found;

/* Whether the kernel kills the tree itself: AppArmor may refuse this process the signals, and would record each. */
static bool kernel_kills;

/* Writes to a file that exists; what does not succeed is tried again in the next round. */
static bool put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, strlen(text)) >= 0;
  close(fd);
  return written;
}

/* Kills the processes that a cgroup.procs lists; those of other PID namespaces show as 0. */
static void kill_listed(const char *path) {
  FILE *list = fopen(path, "re");
  if (list == NULL) return;
  for (long pid; fscanf(list, "%ld", &pid) == 1;) {
    if (pid <= 1 || pid == getpid()) continue;
    found++;
    if (!kernel_kills) kill((pid_t)pid, SIGKILL);
  }
  fclose(list);
}

/* One file of a cgroup's tree: processes are killed, and frozen ones of v1 thawed, for they end only then. */
static int visit(const char *path, const struct stat *status, int type, struct FTW *place) {
  (void)status;
  if (type != FTW_F) return 0;
  const char *name = path + place->base;
  if (strcmp(name, "cgroup.procs") == 0) kill_listed(path);
  if (strcmp(name, "freezer.state") == 0) put(path, "THAWED");
  return 0;
}

/* Kills until a round finds nobody, or for eight seconds; the server does the rest. */
static int stop(int count, char **directories) {
  for (int round = 0; round < ROUNDS; round++) {
    found = 0;
    for (int i = 0; i < count; i++) {
      char path[4096];
      /* The whole tree in one step (Linux 5.14), frozen processes as well. */
      kernel_kills = snprintf(path, sizeof path, "%s/cgroup.kill", directories[i]) < (int)sizeof path && put(path, "1");
      nftw(directories[i], visit, DESCRIPTORS, FTW_PHYS);
    }
    if (found == 0) return 0;
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
  }
  return 0;
}

/* The directory in a file of one line, in place; false when there is none. */
static bool read_directory(const char *path, char *directory, size_t size) {
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  bool is_read = fgets(directory, (int)size, file) != NULL;
  fclose(file);
  if (!is_read) return false;
  directory[strcspn(directory, "\n")] = '\0';
  return directory[0] == '/';
}

static int stop_with(const char *file, int count, char **directories) {
  char also[4096];
  char *all[DESCRIPTORS];
  int known = 0;
  for (; known < count && known < DESCRIPTORS - 1; known++) all[known] = directories[known];
  if (read_directory(file, also, sizeof also)) all[known++] = also;
  return stop(known, all);
}

static int pre_start(const char *permit, bool is_copy) {
  if (!is_copy && unlink(permit) == 0) return 0;
  fprintf(stderr, is_copy ? "this container is a copy of a Kubernetes pod's; it cannot be started\n"
                          : "this container is a Kubernetes pod that has ended; the kubelet creates a new one\n");
  return 1;
}

/* What liblxc appends to the arguments. */
enum { APPENDED = 3 };

/* Exit code 0: liblxc goes on; 1: it must not; 2: wrong arguments. */
int hook_main(int argc, char **argv) {
  bool is_copy = false;
  if (argc >= 3 && strcmp(argv[1], "--name") == 0) {
    const char *own = getenv("LXC_NAME");
    is_copy = own == NULL || strcmp(own, argv[2]) != 0;
    argc -= 2;
    argv += 2;
  }
  const char *event = argc > 1 ? argv[1] : "";
  if (argc >= 2 + APPENDED && strcmp(argv[argc - 1], event) == 0) argc -= APPENDED;
  if (argc == 3 && strcmp(event, "pre-start") == 0) return pre_start(argv[2], is_copy);
  if (argc == 2 && strcmp(event, "post-stop") == 0) {
    const char *target = getenv("LXC_TARGET");
    return target != NULL && strcmp(target, "reboot") == 0;
  }
  if (argc >= 3 && strcmp(event, "stop") == 0) {
    if (is_copy) return 0;
    if (argc >= 4 && strcmp(argv[2], "--also") == 0) return stop_with(argv[3], argc - 4, argv + 4);
    return stop(argc - 2, argv + 2);
  }
  fprintf(stderr, "usage: lxcri-native hook [--name NAME] (pre-start FILE | stop [--also FILE] DIRECTORY... | post-stop)\n");
  return 2;
}
