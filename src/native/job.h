/* One step at work: its child, the pipes to it and when to give it up. */
#ifndef JOB_H
#define JOB_H

#include <poll.h>
#include <sys/types.h>

#include "steps.h"

/* Our end of a pipe to or from a command. */
struct job_pipe {
  struct fd_plan plan;
  int fd; /* -1: over */
  struct buffer output;
  uint64_t dropped;
  size_t written; /* FD_INPUT: bytes of the step's field `i` that the command has taken */
};

struct job {
  const struct step *step;
  pid_t pid; /* 0 once it is reaped */
  int report_fd;
  int gate; /* a program that the server is told of waits at its other end; -1: nothing waits */
  struct buffer report;
  struct job_pipe pipes[COMMAND_FD_LIMIT];
  int pipe_count;
  int64_t deadline;  /* ms; 0: none. After a kill: when it is given up */
  int64_t reaped_at; /* ms; 0: not yet */
  int wait_status;
  enum status ended_by; /* STATUS_DONE while nobody has killed it */
  /* `offered`: pipes of the command are kept open here until the server has opened them, too. */
  bool started, offered, finished;
};

/* Milliseconds of a clock that only runs forward. */
int64_t now_ms(void);

/* Starts the step's child. When that fails the job is finished, with the reason in its report. `close_these` are the
   helper's own descriptors, which a slow child must not keep open: the sockets and the signals. */
void job_start(struct job *job, const struct step *step, int null, int hold, const int close_these[3]);

/* Whether the server is told that the step's program has started. */
bool is_told(const struct job *job);

/* The server was told: lets the program begin. Were it to begin earlier, it could outlive this helper unknown to the server. */
void job_open_gate(struct job *job);

/* Kills the child with its process group, unless it has ended; the job ends soon with that status. */
void job_kill(struct job *job, enum status status);

/* The child has ended. */
void job_reaped(struct job *job, int wait_status);

/* Whether this is a pipe between the command and the server. */
bool is_offered(const struct job_pipe *mine);

/* The server has opened its ends of the pipes, or does not want them. */
void job_release(struct job *job);

/* Appends what the job waits for; returns the number, at most COMMAND_FD_LIMIT + 1. */
int job_poll(const struct job *job, struct pollfd *polls);

/* Handles what poll(2) has found, in the order of job_poll. */
void job_handle(struct job *job, const struct pollfd *polls, int count);

/* Looks at the clock: kills what is over its time, and finishes the job when nothing more comes. Returns when to look
   again, in ms of the clock; 0: never. */
int64_t job_check(struct job *job);

/* Appends the result of a finished job, or of one that was never started. */
void job_result(const struct job *job, struct buffer *out);

/* Closes and releases all of it; the child, if any, goes on. */
void job_free(struct job *job);

#endif
