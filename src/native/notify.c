/*
 * notify SOCKET PID STATE: sends one datagram to the socket of a service manager (sd_notify(3)), in the name of the process PID:
 * the manager takes it from the main process of the service alone. SOCKET is a path, or "@NAME" in the abstract namespace.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "native.h"

/* Sends `state` with the credentials of `pid` (unix(7), SCM_CREDENTIALS), which only root may choose; false with errno. */
static bool send_as(int fd, const struct sockaddr_un *address, socklen_t size, pid_t pid, char *state) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
  } control = {0};
  struct iovec text = {.iov_base = state, .iov_len = strlen(state)};
  struct msghdr message = {
    .msg_name = (void *)address,
    .msg_namelen = size,
    .msg_iov = &text,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof(struct ucred));
  struct ucred sender = {.pid = pid, .uid = getuid(), .gid = getgid()};
  memcpy(CMSG_DATA(header), &sender, sizeof sender);
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

/* Exit code 0: sent; 2: wrong arguments or an error, described on standard error. */
int notify_main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char *end = NULL;
  long pid = argc == 4 ? strtol(argv[2], &end, 10) : 0;
  if (pid <= 0 || *end != '\0' || (argv[1][0] != '/' && argv[1][0] != '@') || strlen(argv[1]) >= sizeof address.sun_path) {
    fprintf(stderr, "usage: lxcri-native notify SOCKET PID STATE\n");
    return 2;
  }
  size_t length = strlen(argv[1]);
  memcpy(address.sun_path, argv[1], length);
  if (argv[1][0] == '@') address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || !send_as(fd, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length), (pid_t)pid, argv[3])) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    return 2;
  }
  return 0;
}
