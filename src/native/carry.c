/*
 * One buffer per direction: a slow side blocks only the other side. Descriptors are made non-blocking.
 */
#include "carry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_WAYS = 4, HEADER = 3, LARGEST_READ = 65536 };

void fail(int code, const char *what, int error) {
  if (error != 0) fprintf(stderr, "%s: %s\n", what, strerror(error));
  else fprintf(stderr, "%s\n", what);
  _exit(code);
}

/* Seconds of a clock that is never set. */
static time_t seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

static bool may_be_repeated(int error) { return error == EINTR || error == EAGAIN || error == EWOULDBLOCK; }

/* What comes from now on is read and thrown away. */
static void discard(struct way *way) {
  way->discarding = true;
  way->held = 0;
  way->full = false;
  way->patience = 0;
}

/* The reader has gone. */
static void lose_reader(struct way *way) {
  discard(way);
  if (!way->stay) way->ended = true;
}

/* The reader is slower than the rest can bear. */
static void cut(struct way *way) {
  static const char words[] = "its output was not read fast enough";
  if (!way->stay) fail(4, words, 0);
  fprintf(stderr, "%s\n", words);
  close(STDERR_FILENO);
  close(way->to);
  discard(way);
}

/* Holds `length` more bytes. */
static void hold(struct way *way, const char *content, size_t length) {
  if (way->start > 0 && way->start + way->held + length > way->room) {
    memmove(way->buffer, way->buffer + way->start, way->held);
    way->start = 0;
  }
  if (way->held + length > way->room) {
    size_t room = way->held + length + way->room;
    char *larger = realloc(way->buffer, room);
    if (larger == NULL) fail(3, "out of memory", 0);
    way->buffer = larger;
    way->room = room;
  }
  memcpy(way->buffer + way->start + way->held, content, length);
  way->held += length;
}

static void take_in(struct way *way) {
  static char content[LARGEST_READ];
  ssize_t count = read(way->from, content, way->size);
  if (count < 0) {
    if (!may_be_repeated(errno)) way->ended = true;
  } else if (count == 0) {
    way->ended = true;
  } else if (way->take != NULL) {
    way->take(content, (size_t)count);
  } else if (!way->discarding) {
    size_t length = (size_t)count;
    if (way->wrap) {
      char header[HEADER] = {content[0], (char)((length - 1) >> 8), (char)(length - 1)};
      hold(way, header, HEADER);
    }
    hold(way, content + (way->wrap ? 1 : 0), length - (way->wrap ? 1 : 0));
  }
}

static void hand_on(struct way *way) {
  ssize_t count = write(way->to, way->buffer + way->start, way->held);
  if (count >= 0) {
    way->held -= (size_t)count;
    way->start = way->held == 0 ? 0 : way->start + (size_t)count;
  } else if (!may_be_repeated(errno)) {
    lose_reader(way);
  }
}

/* Whether reading must wait for the reader. */
static void note_fullness(struct way *way) {
  size_t limit = way->limit > 0 ? way->limit : 1;
  if (way->held >= limit) {
    if (!way->full) way->since = seconds();
    way->full = true;
  } else if (way->held <= limit / 2) {
    way->full = false;
  }
}

/* As carry, without freeing the buffers. */
static void run(struct way *ways, size_t count) {
  struct pollfd polled[2 * MOST_WAYS];
  for (size_t i = 0; i < count; i++) {
    int fds[] = {ways[i].from, ways[i].take == NULL ? ways[i].to : -1};
    for (size_t k = 0; k < 2; k++) {
      if (fds[k] >= 0) fcntl(fds[k], F_SETFL, fcntl(fds[k], F_GETFL) | O_NONBLOCK);
    }
  }
  for (;;) {
    bool any = false;
    int timeout = -1;
    for (size_t i = 0; i < count; i++) {
      struct way *way = &ways[i];
      struct pollfd *in = &polled[2 * i], *out = &polled[2 * i + 1];
      *in = *out = (struct pollfd){.fd = -1};
      if (way->over) continue;
      any = true;
      note_fullness(way);
      if (!way->full && !way->ended) {
        *in = (struct pollfd){.fd = way->from, .events = POLLIN};
        if (way->until != NULL && way->until()) timeout = 0;
      }
      if (way->full && way->patience > 0 && timeout < 0) timeout = 1000;
      // Asked also when nothing is held: a reader that has gone is noticed at once.
      if (way->take == NULL && !way->discarding)
        *out = (struct pollfd){.fd = way->to, .events = way->held > 0 ? POLLOUT : 0};
    }
    if (!any) return;
    if (poll(polled, 2 * count, timeout) < 0) continue;
    for (size_t i = 0; i < count; i++) {
      struct way *way = &ways[i];
      if (way->over) continue;
      short in = polled[2 * i].revents, out = polled[2 * i + 1].revents;
      if (out != 0 && way->held > 0) hand_on(way);
      else if ((out & (POLLERR | POLLHUP)) != 0 && way->to == STDOUT_FILENO) lose_reader(way);
      if (way->full && way->patience > 0 && seconds() - way->since > way->patience) cut(way);
      if (in != 0) take_in(way);
      else if (timeout == 0 && polled[2 * i].fd >= 0 && way->until != NULL && way->until()) way->ended = true;
      if (!way->ended || way->held > 0) continue;
      way->over = true;
      if (way->end != NULL) way->end(way);
      if (way->last) return;
    }
  }
}

void carry(struct way *ways, size_t count) {
  run(ways, count);
  for (size_t i = 0; i < count; i++) {
    free(ways[i].buffer);
    ways[i].buffer = NULL;
  }
}
