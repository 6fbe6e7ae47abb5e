/* User namespaces, and namespaces that bind mounts keep alive. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <grp.h>

#include "steps.h"

bool step_map(const struct step *step, struct id_map *map) {
  const char *text = step_text(step, 'm');
  return text != NULL && parse_number(&text, UINT32_MAX, &map->host) && *text++ == ' ' &&
         parse_number(&text, UINT32_MAX, &map->size) && *text == '\0';
}

/* Writes a text to a file of /proc in one write(2). Ends the child when it cannot: `what` names the file. */
static void write_proc(const char *path, const char *text, const char *what, const char *object) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, text, strlen(text)) < 0) step_failed(what, object);
  close(file);
}

void write_maps(pid_t pid, struct id_map map) {
  char path[64], line[64];
  snprintf(line, sizeof line, "0 %llu %llu\n", (unsigned long long)map.host, (unsigned long long)map.size);
  snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
  write_proc(path, line, "uid_map", NULL);
  snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
  write_proc(path, line, "gid_map", NULL);
}

void in_namespaces(int flags, void (*outside)(pid_t, void *), void (*inside)(void *), void *argument) {
  int made[2], ready[2];
  char byte;
  if (pipe2(made, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0) step_failed("pipe", NULL);
  pid_t pid = fork();
  if (pid < 0) step_failed("fork", NULL);
  if (pid == 0) {
    close(made[0]);
    close(ready[1]);
    if (unshare(flags) < 0) step_failed("unshare", NULL);
    if (write(made[1], ".", 1) != 1) _exit(1);
    /* Nothing comes when the other one has failed. */
    if (read(ready[0], &byte, 1) != 1) _exit(1);
    inside(argument);
    _exit(0);
  }
  close(made[1]);
  close(ready[0]);
  if (read(made[0], &byte, 1) == 1) {
    outside(pid, argument);
    if (write(ready[1], ".", 1) != 1) step_failed("pipe", NULL);
  }
  close(ready[1]);
  close(made[0]);
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) step_failed("wait", NULL);
  }
  /* It has reported itself. */
  if (status != 0) _exit(1);
}

/* What in_namespaces hands to the functions for a user namespace alone. */
struct fresh_user {
  struct id_map map;
  int file;
};

static void open_user(pid_t pid, void *argument) {
  struct fresh_user *fresh = argument;
  char path[64];
  write_maps(pid, fresh->map);
  snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
  fresh->file = open(path, O_RDONLY | O_CLOEXEC);
  if (fresh->file < 0) step_failed("user namespace", NULL);
}

static void nothing(void *argument) { (void)argument; }

int user_namespace(struct id_map map) {
  struct fresh_user fresh = {map, -1};
  in_namespaces(CLONE_NEWUSER, open_user, nothing, &fresh);
  return fresh.file;
}

/* Kinds of namespaces that can be pinned, as /proc/PID/ns names them. */
static const struct {
  const char *name;
  int flag;
} kinds[] = {{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"user", CLONE_NEWUSER}, {"cgroup", CLONE_NEWCGROUP}};

/* The flag of a pin "KIND=PATH", and its path in *path; 0 when it is malformed. */
static int pin_flag(const struct field *pin, const char **path) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    size_t length = strlen(kinds[i].name);
    if (strncmp(pin->value, kinds[i].name, length) != 0 || pin->value[length] != '=') continue;
    *path = pin->value + length + 1;
    return strlen(pin->value) == pin->length ? kinds[i].flag : 0;
  }
  return 0;
}

/* Binds the namespaces of a process to the files of the pins; what an earlier try has bound there is taken off first. */
static void bind_pins(pid_t pid, void *argument) {
  const struct step *step = argument;
  struct id_map map;
  if (step_map(step, &map)) write_maps(pid, map);
  for (const struct field *pin = NULL; (pin = step_next(step, 'k', pin)) != NULL;) {
    const char *path = "";
    char source[96];
    pin_flag(pin, &path);
    snprintf(source, sizeof source, "/proc/%d/ns/%.*s", pid, (int)(path - pin->value - 1), pin->value);
    while (is_mount_point(path)) {
      if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) step_failed("umount", path);
    }
    if (mount(source, path, NULL, MS_BIND, NULL) < 0) step_failed("pin", path);
  }
}

/* Brings the loopback interface of this network namespace up. */
static void loopback_up(void) {
  int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo"};
  if (file < 0 || ioctl(file, SIOCGIFFLAGS, &request) < 0) step_failed("loopback", NULL);
  request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
  if (ioctl(file, SIOCSIFFLAGS, &request) < 0) step_failed("loopback", NULL);
  close(file);
}

/* Sets host name, loopback and kernel parameters. A write below /proc/sys goes to the writer's own namespaces. */
static void set_up(void *argument) {
  const struct step *step = argument;
  const char *hostname = step_text(step, 'h');
  struct id_map map;
  if (step_map(step, &map) && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)) {
    step_failed("become root of the user namespace", NULL);
  }
  if (hostname != NULL && sethostname(hostname, strlen(hostname)) < 0) step_failed("sethostname", NULL);
  if (step_next(step, 'l', NULL) != NULL) loopback_up();
  for (const struct field *field = NULL; (field = step_next(step, 'y', field)) != NULL;) {
    char *value = strchr(field->value, '=');
    char path[512];
    if (value == NULL || strstr(field->value, "..") != NULL) {
      errno = EINVAL;
      step_failed("sysctl", field->value);
    }
    *value++ = '\0';
    if (snprintf(path, sizeof path, "/proc/sys/%s", field->value) >= (int)sizeof path) {
      errno = ENAMETOOLONG;
      step_failed("sysctl", NULL);
    }
    write_proc(path, value, "sysctl", field->value);
  }
}

/* Enters an existing network namespace. */
static void join_network(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || setns(file, CLONE_NEWNET) < 0) step_failed("join", path);
  close(file);
}

/*
 * Makes namespaces and binds each to the file of its pin `k` ("KIND=PATH"); with `m` ("HOST SIZE") they belong to a user
 * namespace with these ids, which is among the pins. With `n`, the path of a network namespace, that one is joined and
 * bound instead of a new one. Then sets host name `h`, brings loopback up (`l`) and writes the parameters `y`
 * ("net/ipv4/x=1") inside. What is bound when it fails stays.
 */
_Noreturn void pin_run(const struct step *step) {
  int flags = 0;
  for (const struct field *pin = NULL; (pin = step_next(step, 'k', pin)) != NULL;) {
    const char *path;
    int flag = pin_flag(pin, &path);
    if (flag == 0) {
      errno = EPROTO;
      step_failed("request", NULL);
    }
    flags |= flag;
  }
  const char *network = step_text(step, 'n');
  if (network != NULL) {
    join_network(network);
    flags &= ~CLONE_NEWNET;
  }
  /* What has entered a user namespace has no right to mount outside of it: hence two processes. */
  in_namespaces(flags, bind_pins, set_up, (void *)step);
  step_done(NULL, 0);
}
