/* Carrying bytes between descriptors, for the relays; see carry.c. */
#ifndef CARRY_H
#define CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* One direction. What is read from `from` goes to `to`, or to `take` where there is no other descriptor. */
struct way {
  int from;
  int to;
  /* Bytes of one read, at most 65536. */
  size_t size;
  /* Each read is written as stream number, length (16 bits, big endian) and content: packets in a stream. */
  bool wrap;
  /* Bytes held for a slow reader before reading stops; it goes on when half of them are gone. 0: one read at a time. */
  size_t limit;
  /* Seconds that a reader may leave `limit` bytes unread; then it is cut off. 0: for ever. */
  int patience;
  /* A reader that is gone or cut off does not end this way: the rest is read and thrown away. */
  bool stay;
  /* All ends with this way. */
  bool last;
  void (*take)(const char *content, size_t length);
  /* Called when this way is over. */
  void (*end)(const struct way *way);
  /* When it is true, and there is nothing to read, this way is over. */
  bool (*until)(void);

  /* The engine's own. */
  char *buffer;
  size_t start, held, room;
  bool ended, over, discarding, full;
  time_t since;
};

/* Carries until all ways are over, or one that is `last`. Exits with 4 when a reader is cut off, with 3 without memory. */
void carry(struct way *ways, size_t count);

/* Prints `what` and, unless `error` is 0, its words on standard error, and exits with `code`. */
_Noreturn void fail(int code, const char *what, int error);

#endif
