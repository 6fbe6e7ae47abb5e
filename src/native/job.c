/* Starts the child of a step, collects its output, and reports its result. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds to wait after a command's end for data in its pipes; a background process may keep them
   open forever. */
enum { DRAIN_MS = 200 };
/* Milliseconds after which a killed child that does not end is left to itself: it hangs in the kernel. */
enum { KILL_MS = 1000 };
/* Bytes that a pipe between a command and the server takes, where the system allows it: fewer changes between the two. */
enum { PIPE_BYTES = 1 << 18 };

/* Bytes of a command's output that are read at once. */
enum { OUTPUT_BYTES = 1 << 16 };

int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000 + 1;
}

/* The job has ended before its child began. */
static void fail_early(struct job *job, const char *what) {
  char text[128];
  int error = errno;
  snprintf(text, sizeof text, "%s: %s", what, strerror(error));
  buffer_free(&job->report);
  put_u32(&job->report, (uint32_t)error);
  put_text(&job->report, text, strlen(text));
  job->finished = true;
}

static void close_once(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

bool is_offered(const struct job_pipe *mine) { return mine->plan.kind == FD_PIPE_IN || mine->plan.kind == FD_PIPE_OUT; }

/* Makes the pipes of a command. The ends of the command are in the plans. */
static bool make_pipes(struct job *job) {
  for (int i = 0; i < job->pipe_count; i++) {
    struct job_pipe *mine = &job->pipes[i];
    int ends[2];
    mine->fd = -1;
    bool input = mine->plan.kind == FD_INPUT || mine->plan.kind == FD_PIPE_IN;
    if (!input && mine->plan.kind != FD_CAPTURE && mine->plan.kind != FD_LINE && mine->plan.kind != FD_PIPE_OUT) continue;
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    mine->fd = ends[input ? 1 : 0];
    mine->plan.child_end = ends[input ? 0 : 1];
    if (is_offered(mine)) fcntl(mine->fd, F_SETPIPE_SZ, PIPE_BYTES);
    if (fcntl(mine->fd, F_SETFL, O_NONBLOCK) < 0) return false;
  }
  return true;
}

/* Signals as a program expects them. */
static void reset_signals(void) {
  static const int ignored[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP};
  sigset_t none;
  sigemptyset(&none);
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Waits until the server knows this process; ends with the helper until then. */
static void wait_at(int gate, pid_t parent) {
  char byte;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  ssize_t count;
  while ((count = read(gate, &byte, 1)) < 0 && errno == EINTR) continue;
  if (count != 1) _exit(1);
  close(gate);
  prctl(PR_SET_PDEATHSIG, 0);
}

/* What the child does, from fork(2) on. */
static _Noreturn void run_child(struct job *job, int report, int null, int hold, const int close_these[3], pid_t parent, int gate) {
  reset_signals();
  for (int i = 0; i < 3; i++) close(close_these[i]);
  if (job->step->operation == OP_SPAWN) {
    if (gate >= 0) wait_at(gate, parent);
    report_to(report);
    struct fd_plan plans[COMMAND_FD_LIMIT];
    for (int i = 0; i < job->pipe_count; i++) plans[i] = job->pipes[i].plan;
    struct child child = {report, hold, null};
    spawn_run(job->step, plans, job->pipe_count, &child);
  }
  /* A call must not go on behind the back of the next helper, which may repeat it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  setpgid(0, 0);
  /* A call that hangs must not keep the input of other steps' commands from ending. */
  /* What changes nothing is for no next server to wait for, if it hangs. */
  bool reads = job->step->operation == OP_STAT || job->step->operation == OP_READ;
  if (dup2(report, 0) < 0 || dup2(hold >= 0 && !reads ? hold : null, 1) < 0) _exit(1);
  close_range(3, ~0U, 0);
  report_to(0);
  call_run(job->step);
}

void job_start(struct job *job, const struct step *step, int null, int hold, const int close_these[3]) {
  struct fd_plan plans[COMMAND_FD_LIMIT];
  int ends[2] = {-1, -1}, gate[2] = {-1, -1};
  *job = (struct job){.step = step, .report_fd = -1, .gate = -1, .started = true};
  if (step->operation == OP_SPAWN) {
    job->pipe_count = spawn_plans(step, plans);
    if (job->pipe_count < 0) {
      job->pipe_count = 0;
      errno = EPROTO;
      return fail_early(job, "request");
    }
  }
  for (int i = 0; i < job->pipe_count; i++) job->pipes[i] = (struct job_pipe){.plan = plans[i], .fd = -1};
  pid_t parent = getpid(), pid = -1;
  const char *what = "pipe";
  if (make_pipes(job) && pipe2(ends, O_CLOEXEC) == 0 && (!is_told(job) || pipe2(gate, O_CLOEXEC) == 0)) {
    what = "fork";
    pid = fork();
    if (pid == 0) run_child(job, ends[1], null, hold, close_these, parent, gate[0]);
  }
  int error = errno;
  close_once(&ends[1]);
  close_once(&gate[0]);
  if (pid < 0) close_once(&gate[1]);
  job->gate = gate[1];
  for (int i = 0; i < job->pipe_count; i++) {
    /* An input without a reader cannot be opened, and the command may end at once. */
    if (pid < 0 || job->pipes[i].plan.kind != FD_PIPE_IN) close_once(&job->pipes[i].plan.child_end);
    if (pid > 0 && is_offered(&job->pipes[i])) job->offered = true;
  }
  job->report_fd = ends[0];
  if (pid < 0) {
    errno = error;
    return fail_early(job, what);
  }
  /* Both do it: whoever is first. */
  if (step_next(step, 's', NULL) == NULL) setpgid(pid, pid);
  fcntl(job->report_fd, F_SETFL, O_NONBLOCK);
  job->pid = pid;
  if (step->limit_ms > 0) job->deadline = now_ms() + step->limit_ms;
}

bool is_told(const struct job *job) {
  if (job->step->operation != OP_SPAWN) return false;
  for (int i = 0; i < job->pipe_count; i++) {
    if (is_offered(&job->pipes[i])) return true;
  }
  return step_next(job->step, 'k', NULL) != NULL;
}

void job_open_gate(struct job *job) {
  if (job->gate < 0) return;
  /* A program that was killed meanwhile does not read it. */
  while (write(job->gate, "", 1) < 0 && errno == EINTR) continue;
  close_once(&job->gate);
}

void job_kill(struct job *job, enum status status) {
  if (job->finished || job->ended_by != STATUS_DONE) return;
  job->ended_by = status;
  job->deadline = now_ms() + KILL_MS;
  if (job->pid == 0) return;
  if (kill(-job->pid, SIGKILL) < 0) kill(job->pid, SIGKILL);
}

void job_reaped(struct job *job, int wait_status) {
  job->pid = 0;
  job->wait_status = wait_status;
  job->reaped_at = now_ms();
}

void job_release(struct job *job) {
  for (int i = 0; i < job->pipe_count && job->offered; i++) {
    if (!is_offered(&job->pipes[i])) continue;
    close_once(&job->pipes[i].fd);
    close_once(&job->pipes[i].plan.child_end);
  }
  job->offered = false;
}

int job_poll(const struct job *job, struct pollfd *polls) {
  int count = 0;
  if (job->report_fd >= 0) polls[count++] = (struct pollfd){.fd = job->report_fd, .events = POLLIN};
  for (int i = 0; i < job->pipe_count; i++) {
    if (job->pipes[i].fd < 0 || is_offered(&job->pipes[i])) continue;
    polls[count++] = (struct pollfd){.fd = job->pipes[i].fd, .events = job->pipes[i].plan.kind == FD_INPUT ? POLLOUT : POLLIN};
  }
  return count;
}

/* Reads what has come; returns the number of bytes, 0: the end, -1: nothing now. */
static ssize_t read_some(int fd, uint8_t *bytes, size_t size) {
  ssize_t count = read(fd, bytes, size);
  if (count < 0) return errno == EAGAIN || errno == EINTR ? -1 : 0;
  return count;
}

/* Takes output of a command; what is beyond the limit is counted and dropped. */
static void take_output(struct job_pipe *mine) {
  uint8_t bytes[OUTPUT_BYTES];
  ssize_t count = read_some(mine->fd, bytes, sizeof bytes);
  if (count < 0) return;
  if (count == 0) return close_once(&mine->fd);
  size_t length = (size_t)count, room = mine->plan.flags - mine->output.length;
  uint8_t *end = mine->plan.kind == FD_LINE ? memchr(bytes, '\n', length) : NULL;
  if (end != NULL) length = (size_t)(end - bytes) + 1;
  put_bytes(&mine->output, bytes, length < room ? length : room);
  mine->dropped += length < room ? 0 : length - room;
  if (end != NULL || (mine->plan.kind == FD_LINE && length >= room)) close_once(&mine->fd);
}

/* Gives the command more of its input, and its end after the last byte. */
static void give_input(struct job *job, struct job_pipe *mine) {
  const struct field *input = step_next(job->step, 'i', NULL);
  size_t length = input == NULL ? 0 : input->length;
  if (mine->written < length) {
    ssize_t count = write(mine->fd, input->value + mine->written, length - mine->written);
    if (count > 0) mine->written += (size_t)count;
    /* A command that does not read its input is no error. */
    else if (errno != EAGAIN && errno != EINTR) return close_once(&mine->fd);
  }
  if (mine->written == length) close_once(&mine->fd);
}

void job_handle(struct job *job, const struct pollfd *polls, int count) {
  for (int i = 0; i < count; i++) {
    if (polls[i].revents == 0) continue;
    if (polls[i].fd == job->report_fd) {
      uint8_t bytes[65536];
      ssize_t length = read_some(job->report_fd, bytes, sizeof bytes);
      if (length > 0) put_bytes(&job->report, bytes, (size_t)length);
      if (length == 0) close_once(&job->report_fd);
      continue;
    }
    for (int k = 0; k < job->pipe_count; k++) {
      struct job_pipe *mine = &job->pipes[k];
      if (mine->fd != polls[i].fd) continue;
      if (mine->plan.kind == FD_INPUT) give_input(job, mine);
      else take_output(mine);
      break;
    }
  }
}

/*
 * Takes what is in the pipes of a program that has ended and was waited for: this process may have had no processor time since
 * then. What others write meanwhile is not waited for.
 */
static void take_rest(struct job *job) {
  for (int i = 0; i < job->pipe_count; i++) {
    struct job_pipe *mine = &job->pipes[i];
    if (mine->plan.kind != FD_CAPTURE && mine->plan.kind != FD_LINE) continue;
    int ready = 0;
    if (mine->fd >= 0) ioctl(mine->fd, FIONREAD, &ready);
    for (; ready > 0 && mine->fd >= 0; ready -= OUTPUT_BYTES) take_output(mine);
  }
}

/* What the job waits for besides its child's end: bit 0: a line or a report, bit 1: output. */
static int waits_for(const struct job *job) {
  int what = job->report_fd >= 0 ? 1 : 0;
  for (int i = 0; i < job->pipe_count; i++) {
    if (job->pipes[i].fd < 0) continue;
    if (job->pipes[i].plan.kind == FD_LINE) what |= 1;
    if (job->pipes[i].plan.kind == FD_CAPTURE) what |= 2;
  }
  return what;
}

int64_t job_check(struct job *job) {
  int64_t now = now_ms();
  if (job->finished) return 0;
  if (job->deadline > 0 && now >= job->deadline) {
    if (job->ended_by == STATUS_DONE) job_kill(job, STATUS_TIMED_OUT);
    else job->finished = !job->offered;
  }
  /* The numbers of its pipes were sent: they may not be reused before the server has opened them. */
  if (job->offered) return job->ended_by == STATUS_DONE ? job->deadline : 0;
  /* A program that is left to itself: nothing was reported, so it has begun. */
  bool left = job->step->operation == OP_SPAWN && step_next(job->step, 'b', NULL) != NULL;
  if (left && job->report_fd < 0 && job->report.length == 0) job->finished = true;
  uint64_t drain = DRAIN_MS;
  step_number(job->step, 'w', 3600000, DRAIN_MS, &drain);
  if (job->reaped_at > 0) {
    bool over = now >= job->reaped_at + (int64_t)drain;
    if (over) take_rest(job);
    int waits = waits_for(job);
    if (waits == 0 || (over && (job->ended_by != STATUS_DONE || (waits & 1) == 0))) job->finished = true;
  }
  if (job->finished) return 0;
  if (job->reaped_at > 0 && now < job->reaped_at + (int64_t)drain) {
    int64_t drained = job->reaped_at + (int64_t)drain;
    return job->deadline > 0 && job->deadline < drained ? job->deadline : drained;
  }
  return job->deadline;
}

void job_result(const struct job *job, struct buffer *out) {
  struct buffer report = job->report;
  enum status status = job->ended_by;
  uint32_t error = 0, length = 0;
  if (!job->started) status = STATUS_SKIPPED;
  if (report.length >= 8) {
    memcpy(&error, report.bytes, 4);
    memcpy(&length, report.bytes + 4, 4);
    if (length > report.length - 8) length = (uint32_t)report.length - 8;
    if (error != 0 && status == STATUS_DONE) status = STATUS_FAILED;
  }
  bool spawned = job->step != NULL && job->step->operation == OP_SPAWN;
  char text[64] = "";
  if (job->started && !spawned && report.length < 8 && status == STATUS_DONE) {
    status = STATUS_FAILED;
    snprintf(text, sizeof text, "the step's process ended with status %d", job->wait_status);
  }
  put_u8(out, (uint8_t)status);
  put_u32(out, error);
  if (length > 0) put_text(out, (char *)report.bytes + 8, length);
  else put_text(out, text, strlen(text));
  bool signalled = job->reaped_at > 0 && WIFSIGNALED(job->wait_status);
  /* 0: no program has ended, 1: with an exit code, 2: by a signal. */
  put_u8(out, job->reaped_at == 0 || !spawned ? 0 : signalled ? 2 : 1);
  put_u32(out, (uint32_t)(signalled ? WTERMSIG(job->wait_status) : WEXITSTATUS(job->wait_status)));
  size_t count_at = out->length;
  uint16_t count = 0;
  put_u16(out, 0);
  for (int i = 0; i < job->pipe_count; i++) {
    const struct job_pipe *mine = &job->pipes[i];
    if (mine->plan.kind != FD_CAPTURE && mine->plan.kind != FD_LINE) continue;
    put_u8(out, (uint8_t)mine->plan.number);
    put_u64(out, mine->dropped);
    put_text(out, (char *)mine->output.bytes, mine->output.length);
    count++;
  }
  if (!spawned && report.length > 8 + (size_t)length) {
    put_u8(out, 1);
    put_u64(out, 0);
    put_text(out, (char *)report.bytes + 8 + length, report.length - 8 - length);
    count++;
  }
  out->bytes[count_at] = (uint8_t)count;
}

void job_free(struct job *job) {
  if (!job->started) return;
  close_once(&job->report_fd);
  close_once(&job->gate);
  buffer_free(&job->report);
  for (int i = 0; i < job->pipe_count; i++) {
    close_once(&job->pipes[i].fd);
    close_once(&job->pipes[i].plan.child_end);
    buffer_free(&job->pipes[i].output);
  }
}
