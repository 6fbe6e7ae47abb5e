/* The child that becomes a program: its descriptors, cgroups, namespaces, session and environment. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "steps.h"

extern char **environ;

/* Where a program without a slash is looked for when its environment has no PATH. */
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* Reads "NUMBER KIND [FLAGS] [PATH]". False when it is malformed. */
static bool read_plan(const char *text, struct fd_plan *plan) {
  static const char *const kinds[] = {"null", "input", "open", "capture", "line", "hold", "pipe-in", "pipe-out", "connect"};
  uint64_t number;
  *plan = (struct fd_plan){.child_end = -1};
  if (!parse_number(&text, COMMAND_FD_LIMIT - 1, &number) || *text++ != ' ') return false;
  plan->number = (int)number;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    size_t length = strlen(kinds[i]);
    if (strncmp(text, kinds[i], length) != 0) continue;
    plan->kind = (enum fd_kind)i;
    text += length;
    if (plan->kind == FD_CONNECT) {
      plan->path = text + 1;
      return *text == ' ' && text[1] != '\0';
    }
    if (plan->kind != FD_OPEN && plan->kind != FD_CAPTURE && plan->kind != FD_LINE) return *text == '\0';
    if (*text++ != ' ' || !parse_number(&text, INT_MAX, &plan->flags)) return false;
    if (plan->kind != FD_OPEN) return *text == '\0' && plan->flags < MESSAGE_LIMIT * 4;
    plan->path = text + 1;
    return *text == ' ' && text[1] != '\0';
  }
  return false;
}

int spawn_plans(const struct step *step, struct fd_plan plans[COMMAND_FD_LIMIT]) {
  int count = 0;
  bool taken[COMMAND_FD_LIMIT] = {false};
  if (step_text(step, 'a') == NULL) return -1;
  for (const struct field *field = NULL; (field = step_next(step, 'f', field)) != NULL;) {
    if (count == COMMAND_FD_LIMIT || strlen(field->value) != field->length || !read_plan(field->value, &plans[count])) return -1;
    if (taken[plans[count].number]) return -1;
    taken[plans[count++].number] = true;
  }
  return count;
}

/* The strings of all fields with this tag, and NULL. Exits the child when one contains a NUL. */
static char **texts(const struct step *step, char tag) {
  char **list = allocate(step->field_count + 1, sizeof *list);
  size_t count = 0;
  for (const struct field *field = NULL; (field = step_next(step, tag, field)) != NULL;) {
    if (strlen(field->value) != field->length) {
      errno = EINVAL;
      step_failed("request", NULL);
    }
    list[count++] = field->value;
  }
  return list;
}

/* Connects to a unix socket. Exits the child when that fails. */
static int connected(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    step_failed("connect", path);
  }
  memcpy(address.sun_path, path, strlen(path));
  int one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (one < 0 || connect(one, (struct sockaddr *)&address, sizeof address) < 0) step_failed("connect", path);
  return one;
}

/* Puts what the plans say at the command's descriptors. All others are closed by exec. */
static void arrange_descriptors(const struct fd_plan *plans, int count, const struct child *child) {
  int sources[COMMAND_FD_LIMIT];
  for (int i = 0; i < count; i++) {
    int source = child->null;
    if (plans[i].child_end >= 0) source = plans[i].child_end;
    if (plans[i].kind == FD_HOLD) source = child->hold;
    if (plans[i].kind == FD_OPEN) {
      source = open(plans[i].path, (int)plans[i].flags | O_CLOEXEC | O_NOCTTY, 0600);
      if (source < 0) step_failed("open", plans[i].path);
    }
    if (plans[i].kind == FD_CONNECT) source = connected(plans[i].path);
    /* Out of the way of the numbers that are still to be given. */
    sources[i] = source < 0 ? -1 : fcntl(source, F_DUPFD_CLOEXEC, COMMAND_FD_LIMIT);
    if (source >= 0 && sources[i] < 0) step_failed("dup", NULL);
  }
  for (int number = 0; number < 3; number++) {
    if (dup2(child->null, number) < 0) step_failed("dup", NULL);
  }
  for (int i = 0; i < count; i++) {
    if (sources[i] >= 0 && dup2(sources[i], plans[i].number) < 0) step_failed("dup", NULL);
  }
}

/* Enters the cgroups of `c`, scores `o`, enters the namespaces of `n` and makes those of `u` (flags of unshare(2)), in that
   order: paths are those of this process. */
static void enter(const struct step *step) {
  for (char **file = texts(step, 'c'); *file != NULL; file++) {
    int cgroup = open(*file, O_WRONLY | O_CLOEXEC);
    if (cgroup < 0 || write(cgroup, "0", 1) < 0) step_failed("enter", *file);
    close(cgroup);
  }
  const char *score = step_text(step, 'o');
  if (score != NULL) {
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t written = file < 0 ? -1 : write(file, score, strlen(score));
    /* What may not be lowered stays as it is. */
    if (written < 0 && errno != EACCES && errno != EPERM) step_failed("oom_score_adj", NULL);
    if (file >= 0) close(file);
  }
  for (char **path = texts(step, 'n'); *path != NULL; path++) {
    int file = open(*path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || setns(file, 0) < 0) step_failed("setns", *path);
    close(file);
  }
  uint64_t fresh;
  if (!step_number(step, 'u', INT_MAX, 0, &fresh)) errno = EPROTO;
  else if (fresh == 0 || unshare((int)fresh) == 0) return;
  step_failed("unshare", NULL);
}

/* execve(2) of a path, or of a name in the directories of the environment's PATH. Returns when there is none that runs. */
static void execute(char **arguments) {
  const char *name = arguments[0];
  if (strchr(name, '/') != NULL || *name == '\0') {
    execve(name, arguments, environ);
    return;
  }
  const char *path = getenv("PATH");
  bool denied = false;
  for (const char *at = path == NULL ? default_path : path;; at++) {
    size_t length = strcspn(at, ":");
    char file[PATH_MAX];
    if (length > 0 && snprintf(file, sizeof file, "%.*s/%s", (int)length, at, name) < (int)sizeof file) {
      execve(file, arguments, environ);
      if (errno == EACCES) denied = true;
      else if (errno != ENOENT && errno != ENOTDIR) return;
    }
    at += length;
    if (*at == '\0') break;
  }
  errno = denied ? EACCES : ENOENT;
}

_Noreturn void spawn_run(const struct step *step, const struct fd_plan *plans, int count, const struct child *child) {
  char **arguments = texts(step, 'a');
  char **environment = texts(step, 'e');
  const char *directory = step_text(step, 'd');
  int leader = step_next(step, 's', NULL) != NULL ? setsid() : setpgid(0, 0);
  if (leader < 0) step_failed("setsid", NULL);
  enter(step);
  if (directory != NULL && chdir(directory) < 0) step_failed("chdir", directory);
  arrange_descriptors(plans, count, child);
  environ = environment;
  execute(arguments);
  step_failed("exec", arguments[0]);
}
