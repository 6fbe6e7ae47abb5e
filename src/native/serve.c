/*
 * serve: carries out requests that come through descriptor 3 until its other end is closed, and answers through descriptor 4; README.md describes
 * the messages. One thread and one loop: every step is a child process, so that nothing here ever waits for a file system
 * or a program. Programs at work go on when this process ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"
#include "native.h"

enum { REQUESTS = 3, ANSWERS = 4 };

/* A request whose steps are at work. */
struct work {
  struct request *request;
  struct job *jobs; /* one a step */
  uint16_t next;    /* the first step that was not started */
  bool stopped;     /* no more steps are started */
  struct work *after;
};

/* All that the helper knows. */
struct server {
  int signals, null, hold;
  struct buffer in, out;
  size_t sent; /* bytes of `out` */
  struct work *first;
};

/* Answers a request that cannot be carried out as a whole. */
static void refuse(struct server *server, uint32_t id, int error, const char *what) {
  char text[256];
  snprintf(text, sizeof text, "%s: %s", what, strerror(error));
  size_t at = message_begin(&server->out, id, MESSAGE_DONE);
  put_u16(&server->out, 1);
  put_u8(&server->out, error == 0 ? STATUS_DONE : STATUS_FAILED);
  put_u32(&server->out, (uint32_t)error);
  put_text(&server->out, text, error == 0 ? 0 : strlen(text));
  put_u8(&server->out, 0);
  put_u32(&server->out, 0);
  put_u16(&server->out, 0);
  message_end(&server->out, at);
}

/* Whether a finished step keeps those after it from being started. */
static bool has_failed(const struct job *job) {
  uint32_t error = 0;
  if (job->report.length >= 4) memcpy(&error, job->report.bytes, 4);
  if (job->ended_by != STATUS_DONE || error != 0) return true;
  if (job->step->operation != OP_SPAWN && job->report.length < 8) return true;
  return job->step->operation == OP_SPAWN && job->wait_status != 0;
}

/* Sends the pid of a program that was just started, and where its pipes can be opened. */
static void tell_started(struct server *server, const struct work *work, const struct job *job) {
  size_t at = message_begin(&server->out, work->request->id, MESSAGE_STARTED);
  put_u16(&server->out, (uint16_t)(job - work->jobs));
  put_u32(&server->out, (uint32_t)job->pid);
  size_t count_at = server->out.length;
  put_u8(&server->out, 0);
  for (int i = 0; i < job->pipe_count; i++) {
    const struct job_pipe *mine = &job->pipes[i];
    if (!is_offered(mine)) continue;
    put_u8(&server->out, (uint8_t)mine->plan.number);
    put_u32(&server->out, (uint32_t)mine->fd);
    server->out.bytes[count_at]++;
  }
  message_end(&server->out, at);
}

/* Starts the steps whose turn it is: all, or the next one once those before it have ended well. */
static void start_steps(struct server *server, struct work *work) {
  const int mine[3] = {REQUESTS, ANSWERS, server->signals};
  while (!work->stopped && work->next < work->request->step_count) {
    const struct job *before = work->next > 0 && !work->request->side_by_side ? &work->jobs[work->next - 1] : NULL;
    if (before != NULL && !before->finished) return;
    if (before != NULL && has_failed(before)) work->stopped = true;
    if (work->stopped) return;
    struct job *job = &work->jobs[work->next];
    job_start(job, &work->request->steps[work->next], server->null, server->hold, mine);
    if (job->pid > 0 && is_told(job)) tell_started(server, work, job);
    work->next++;
  }
}

/* Looks at all steps of a request. True when it has ended and was answered. *when: see job_check. */
static bool advance(struct server *server, struct work *work, int64_t *when) {
  bool busy = false;
  start_steps(server, work);
  for (uint16_t i = 0; i < work->next; i++) {
    struct job *job = &work->jobs[i];
    int64_t look = job_check(job);
    if (look > 0 && (*when == 0 || look < *when)) *when = look;
    if (!job->finished) busy = true;
    if (!busy && i + 1 == work->next) start_steps(server, work);
  }
  if (busy) return false;
  size_t at = message_begin(&server->out, work->request->id, MESSAGE_DONE);
  put_u16(&server->out, work->request->step_count);
  for (uint16_t i = 0; i < work->request->step_count; i++) job_result(&work->jobs[i], &server->out);
  message_end(&server->out, at);
  return true;
}

static void work_free(struct work *work) {
  for (uint16_t i = 0; i < work->request->step_count; i++) job_free(&work->jobs[i]);
  free(work->jobs);
  request_free(work->request);
  free(work);
}

/* Replaces the FIFO that running commands keep open. */
static void take_hold(struct server *server, const struct request *request) {
  int file = open(request->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  int error = file < 0 ? errno : 0;
  if (file >= 0) {
    if (server->hold >= 0) close(server->hold);
    server->hold = file;
  }
  refuse(server, request->id, error, request->path);
}

/* Handles one message. */
static void handle(struct server *server, const uint8_t *body, size_t length) {
  uint32_t id;
  struct request *request = request_parse(body, length, &id);
  if (request == NULL) return refuse(server, id, EPROTO, "request");
  if (request->kind == MESSAGE_RUN) {
    struct work *work = allocate(1, sizeof *work);
    work->request = request;
    work->jobs = allocate(request->step_count, sizeof *work->jobs);
    struct work **last = &server->first;
    while (*last != NULL) last = &(*last)->after;
    *last = work;
    return;
  }
  if (request->kind == MESSAGE_HOLD) take_hold(server, request);
  for (struct work *work = server->first; work != NULL; work = work->after) {
    if (work->request->id != request->id) continue;
    if (request->kind == MESSAGE_RELEASE && request->released < work->next) job_release(&work->jobs[request->released]);
    if (request->kind != MESSAGE_CANCEL) continue;
    work->stopped = true;
    for (uint16_t i = 0; i < work->next; i++) job_kill(&work->jobs[i], STATUS_CANCELLED);
  }
  request_free(request);
}

/* Releases the memory of an exceptionally large message. */
static void give_back(struct buffer *buffer) {
  if (buffer->length == 0 && buffer->capacity > 1 << 20) buffer_free(buffer);
}

/* Reads requests and handles the whole messages. Ends the helper with the last one. */
static void receive(struct server *server) {
  static uint8_t bytes[65536];
  ssize_t count = read(REQUESTS, bytes, sizeof bytes);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) exit(0);
  put_bytes(&server->in, bytes, (size_t)count);
  size_t at = 0;
  while (server->in.length - at >= 4) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; i++) length |= (uint32_t)server->in.bytes[at + i] << (8 * i);
    if (length > MESSAGE_LIMIT) {
      fprintf(stderr, "lxcri-native: a message of %u bytes is too long\n", length);
      exit(2);
    }
    if (server->in.length - at - 4 < length) break;
    handle(server, server->in.bytes + at + 4, length);
    at += 4 + length;
  }
  if (at == 0) return;
  server->in.length -= at;
  memmove(server->in.bytes, server->in.bytes + at, server->in.length);
  give_back(&server->in);
}

/* Writes what the server takes of the answers. Ends the helper when nobody reads any more. */
static void send_out(struct server *server) {
  ssize_t count = write(ANSWERS, server->out.bytes + server->sent, server->out.length - server->sent);
  if (count < 0 && errno != EAGAIN && errno != EINTR) exit(0);
  if (count > 0) server->sent += (size_t)count;
  if (server->sent < server->out.length) return;
  server->sent = server->out.length = 0;
  give_back(&server->out);
  for (struct work *work = server->first; work != NULL; work = work->after) {
    for (uint16_t i = 0; i < work->next; i++) job_open_gate(&work->jobs[i]);
  }
}

/* Hands each child that has ended to its job. */
static void reap(struct server *server) {
  struct signalfd_siginfo info[16];
  while (read(server->signals, info, sizeof info) > 0) continue;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    for (struct work *work = server->first; work != NULL; work = work->after) {
      for (uint16_t i = 0; i < work->next; i++) {
        if (work->jobs[i].pid == pid) job_reaped(&work->jobs[i], status);
      }
    }
  }
}

/* Answers requests that have ended. Returns when to look again; see job_check. */
static int64_t advance_all(struct server *server) {
  int64_t when = 0;
  for (struct work **at = &server->first; *at != NULL;) {
    struct work *work = *at;
    if (!advance(server, work, &when)) {
      at = &work->after;
      continue;
    }
    *at = work->after;
    work_free(work);
  }
  return when;
}

/* Waits until something happens, and handles it. */
static void turn(struct server *server, int64_t when) {
  static struct pollfd *polls;
  static size_t room;
  size_t needed = 3, count = 3;
  for (struct work *work = server->first; work != NULL; work = work->after) needed += work->next * (COMMAND_FD_LIMIT + 1);
  if (needed > room) {
    free(polls);
    room = needed * 2;
    polls = allocate(room, sizeof *polls);
  }
  polls[0] = (struct pollfd){.fd = REQUESTS, .events = POLLIN};
  polls[1] = (struct pollfd){.fd = ANSWERS, .events = (short)(server->out.length > 0 ? POLLOUT : 0)};
  polls[2] = (struct pollfd){.fd = server->signals, .events = POLLIN};
  for (struct work *work = server->first; work != NULL; work = work->after) {
    for (uint16_t i = 0; i < work->next; i++) {
      if (!work->jobs[i].finished) count += (size_t)job_poll(&work->jobs[i], polls + count);
    }
  }
  int64_t now = now_ms(), wait = when == 0 ? -1 : when > now ? when - now : 0;
  if (poll(polls, count, wait > 3600000 ? 3600000 : (int)wait) < 0) return;
  size_t at = 3;
  for (struct work *work = server->first; work != NULL; work = work->after) {
    for (uint16_t i = 0; i < work->next; i++) {
      if (work->jobs[i].finished) continue;
      struct pollfd unused[COMMAND_FD_LIMIT + 1];
      int own = job_poll(&work->jobs[i], unused);
      job_handle(&work->jobs[i], polls + at, own);
      at += (size_t)own;
    }
  }
  if (polls[2].revents != 0) reap(server);
  if (polls[1].revents & POLLOUT) send_out(server);
  if (polls[1].revents & ~POLLOUT) exit(0);
  if (polls[0].revents != 0) receive(server);
}

/* Ends when the other end of either socket does. Exit code 2: a message or the caller was wrong, 3: out of memory. */
int serve_main(int argc, char **argv) {
  (void)argv;
  struct server server = {.hold = -1};
  sigset_t set;
  bool usable = argc == 1 && chdir("/") == 0;
  for (int fd = REQUESTS; usable && fd <= ANSWERS; fd++) {
    usable = fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
  }
  if (!usable) {
    fprintf(stderr, "usage: lxcri-native serve 3<>SOCKET 4<>SOCKET\n");
    return 2;
  }
  /* What the server was started with by mistake is for no command. */
  close_range(ANSWERS + 1, ~0U, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  server.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  server.null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (server.signals < 0 || server.null < 0) {
    fprintf(stderr, "lxcri-native: cannot begin: %s\n", strerror(errno));
    return 2;
  }
  while (true) {
    int64_t when = advance_all(&server);
    if (server.out.length > 0) send_out(&server);
    turn(&server, when);
  }
}
