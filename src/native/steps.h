/* What a forked child of `serve` does for one step, and how it reports the result. */
#ifndef STEPS_H
#define STEPS_H

#include <sys/types.h>

#include "protocol.h"

/* Descriptors that the child of a step starts with. */
struct child {
  int report;    /* the pipe that takes the report */
  int hold;      /* the FIFO that running commands keep open; -1: none */
  int null;      /* /dev/null, open for reading and writing */
};

/* Ends the child: the step has failed, with errno and what was tried, which may contain a path ("mount /x"). */
_Noreturn void step_failed(const char *what, const char *object);

/* Ends the child: the step is done; the bytes are its result. */
_Noreturn void step_done(const void *bytes, size_t length);

/* The descriptor for the report of this child. */
void report_to(int descriptor);

/* The number of the first descriptors that a command may be given. */
enum { COMMAND_FD_LIMIT = 16 };

/* How a command's descriptor is made; see README.md. */
enum fd_kind { FD_NULL, FD_INPUT, FD_OPEN, FD_CAPTURE, FD_LINE, FD_HOLD, FD_PIPE_IN, FD_PIPE_OUT, FD_CONNECT };

struct fd_plan {
  int number;
  enum fd_kind kind;
  uint64_t flags;   /* FD_OPEN: of open(2); FD_CAPTURE, FD_LINE: bytes that are kept */
  const char *path; /* FD_OPEN, FD_CONNECT */
  int child_end;    /* the command's end of its pipe; -1: there is none, or it is not made yet */
};

/* Reads the plans of a spawn step; -1 when one is malformed, or two are for the same descriptor. */
int spawn_plans(const struct step *step, struct fd_plan plans[COMMAND_FD_LIMIT]);

/* Becomes the step's program; reports only when that fails. */
_Noreturn void spawn_run(const struct step *step, const struct fd_plan *plans, int count, const struct child *child);

/* Does any other step, reports and ends. */
_Noreturn void call_run(const struct step *step);

/* Steps of mounts.c and namespaces.c. */
_Noreturn void mount_run(const struct step *step);
_Noreturn void umount_run(const struct step *step);
_Noreturn void idmap_run(const struct step *step);
_Noreturn void overlay_run(const struct step *step);
_Noreturn void pin_run(const struct step *step);

/* Whether something is mounted exactly at `path` (which is not followed when it is a link). */
bool is_mount_point(const char *path);

/* A range of ids that a user namespace has from 0 on. */
struct id_map {
  uint64_t host, size;
};

/* Reads "HOST SIZE" from field `m`; false when it is missing or malformed. */
bool step_map(const struct step *step, struct id_map *map);

/* An open file of a fresh user namespace with these ids; no process stays in it. Ends the child when it cannot be made. */
int user_namespace(struct id_map map);

/* Writes uid_map and gid_map of a process. Ends the child when it cannot. */
void write_maps(pid_t pid, struct id_map map);

/* Runs `inside` in a child of its own after unshare(flags), and `outside` in this one in between, with the child's pid.
   Ends this process with the child's report when that fails. */
void in_namespaces(int flags, void (*outside)(pid_t pid, void *), void (*inside)(void *), void *argument);

#endif
