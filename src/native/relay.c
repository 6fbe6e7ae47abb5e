/*
 * relay MODE …: carries bytes between its standard streams and something else.
 *
 * - `attach PATH LIMIT SECONDS MODE`: conmon's SOCK_SEQPACKET socket. Packets out are written as stream number, length (16
 *   bits, big endian) and content, since a pipe keeps no boundaries. conmon waits for whoever does not read, and with it
 *   the container, its log and all who are attached: LIMIT bytes are held for a slow reader, and one that leaves them full
 *   for SECONDS is cut off (exit code 4). MODE says what becomes of the input: `input` carries standard input; `output`
 *   does not. `stay` is as `output`, and `input-stay` as `input`, but they stay attached when the reader has gone or is cut
 *   off: conmon closes the container's input at the first connection that ends, and forgets to when the output it has for
 *   that one fails before it notices the end (2.1.6 looks at the connection once it has freed it).
 * - `tcp PORT [NETNS]`: a connection to the loopback of a network namespace, its own or that of the path NETNS, IPv4 first.
 * - `pty PATH COMMAND…`: see pty.c.
 *
 * Exit code 3: no connection, with the reason on standard error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "carry.h"
#include "native.h"

/* A number of the command line from 1 to `most`, or exit code 2. */
static long number(const char *text, long most) {
  char *end = NULL;
  long value = strtol(text, &end, 10);
  if (end == text || *end != '\0' || value < 1 || value > most) fail(2, "relay: not a number in range", 0);
  return value;
}

/* The end of the input is passed on, and the connection stays for the output. */
static void shut(const struct way *way) { shutdown(way->to, SHUT_WR); }

static void close_output(const struct way *way) { close(way->to); }

static int attach(char **argv) {
  long limit = number(argv[1], 1L << 30), patience = number(argv[2], 86400);
  const char *mode = argv[3];
  bool both = strcmp(mode, "input-stay") == 0, input = both || strcmp(mode, "input") == 0;
  bool stay = both || strcmp(mode, "stay") == 0;
  if (!input && !stay && strcmp(mode, "output") != 0) fail(2, "relay attach: no such mode", 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(argv[0]) >= sizeof address.sun_path) fail(3, argv[0], ENAMETOOLONG);
  strcpy(address.sun_path, argv[0]);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(3, "socket", errno);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail(3, "connect", errno);
  struct way ways[] = {
    {.from = fd,
     .to = STDOUT_FILENO,
     .size = 65536,
     .wrap = true,
     .limit = (size_t)limit,
     .patience = (int)patience,
     .stay = stay,
     .last = true},
    {.from = STDIN_FILENO, .to = fd, .size = 8192, .end = shut},
  };
  carry(ways, input ? 2 : 1);
  return 0;
}

static int tcp(char **argv) {
  long port = number(argv[0], 65535);
  if (argv[1] != NULL) {
    int netns = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (netns < 0 || setns(netns, CLONE_NEWNET) < 0) fail(3, argv[1], errno);
    close(netns);
  }
  struct sockaddr_in four = {
    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in6 six = {
    .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int problem = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&four, sizeof four) < 0) {
    problem = errno;
    if (fd >= 0) close(fd);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&six, sizeof six) < 0) {
      fprintf(stderr, "%s\n", strerror(problem));
      return 3;
    }
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct way ways[] = {
    {.from = fd, .to = STDOUT_FILENO, .size = 65536, .end = close_output},
    {.from = STDIN_FILENO, .to = fd, .size = 65536, .end = shut},
  };
  carry(ways, 2);
  return 0;
}

/* See the head of this file. Exit code 2: wrong arguments. */
int relay_main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 6 && strcmp(argv[1], "attach") == 0) return attach(argv + 2);
  if ((argc == 3 || argc == 4) && strcmp(argv[1], "tcp") == 0) return tcp(argv + 2);
  if (argc >= 4 && strcmp(argv[1], "pty") == 0) return relay_pty(argv[2], argv + 3);
  fprintf(stderr, "usage: lxcri-native relay attach PATH LIMIT SECONDS input|input-stay|output|stay\n"
                  "       lxcri-native relay tcp PORT [NETNS]\n"
                  "       lxcri-native relay pty PATH COMMAND...\n");
  return 2;
}
