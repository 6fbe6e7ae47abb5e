/*
 * relay pty PATH COMMAND…: runs an OCI runtime that passes a terminal through the socket at PATH (`--console-socket`), which
 * is made here, and carries bytes between the terminal and the standard streams. Lines "ROWS COLUMNS" on descriptor 3 change
 * its size. The exit code is the command's, or 128 plus the number of the signal that ended it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "carry.h"
#include "native.h"

enum { SIZES = 3 };

/* The signal handler's end of the pipe that reports the command's exit. */
static int end_writer;
static int master = -1;
static bool command_ended;

static void on_child(int number) {
  (void)number;
  int saved = errno;
  // A full pipe has reported it already.
  ssize_t written = write(end_writer, ".", 1);
  (void)written;
  errno = saved;
}

static void note_end(const char *content, size_t length) {
  (void)content;
  (void)length;
  command_ended = true;
}

static bool has_ended(void) { return command_ended; }

/* Takes the lines of descriptor 3, in whatever pieces they come; others are passed over. */
static void resize(const char *content, size_t length) {
  static char line[64];
  static size_t held;
  for (size_t i = 0; i < length; i++) {
    if (content[i] != '\n') {
      if (held < sizeof line - 1) line[held++] = content[i];
      continue;
    }
    line[held] = '\0';
    held = 0;
    struct winsize size = {0};
    if (sscanf(line, "%hu %hu", &size.ws_row, &size.ws_col) == 2) ioctl(master, TIOCSWINSZ, &size);
  }
}

/* The one descriptor that the peer passes (SCM_RIGHTS), or -1. */
static int receive(int connection) {
  char data[4096];
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {.iov_base = data, .iov_len = sizeof data};
  struct msghdr message = {
    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t count;
  while ((count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  struct cmsghdr *header = count < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

/* A listening socket at `path`; the name is relative, for a whole path may be too long for an address. */
static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail(3, path, ENAMETOOLONG);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(3, "socket", errno);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0) fail(3, path, errno);
  return fd;
}

static pid_t start(char **command) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  if (null > STDERR_FILENO) close(null);
  close(SIZES);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  execv(command[0], command);
  _exit(127);
}

/* See the head of this file. */
int relay_pty(const char *path, char **command) {
  int ended[2];
  if (pipe2(ended, O_CLOEXEC | O_NONBLOCK) < 0) fail(3, "pipe", errno);
  end_writer = ended[1];
  if (fcntl(SIZES, F_GETFD) < 0) fail(3, "descriptor 3", errno);
  struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
  sigaction(SIGCHLD, &action, NULL);
  int listener = listen_at(path);
  pid_t pid = start(command);
  if (pid < 0) fail(3, "fork", errno);
  struct pollfd first[] = {{.fd = listener, .events = POLLIN}, {.fd = ended[0], .events = POLLIN}};
  while (poll(first, 2, -1) < 0) {
  }
  int connection = first[0].revents != 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
  if (connection >= 0 && (master = receive(connection)) >= 0) {
    struct way ways[] = {
      {.from = master, .to = STDOUT_FILENO, .size = 65536, .last = true, .until = has_ended},
      {.from = STDIN_FILENO, .to = master, .size = 4096},
      {.from = SIZES, .size = 1024, .take = resize},
      {.from = ended[0], .size = 16, .take = note_end},
    };
    carry(ways, 4);
    close(master);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return 3;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
