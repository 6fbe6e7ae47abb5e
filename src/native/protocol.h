/* The messages between the server and `serve`; README.md has their layout. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of what the server may send; a message beyond them ends the helper or is answered with an error. */
enum { MESSAGE_LIMIT = 16 << 20, STEP_LIMIT = 256, FIELD_LIMIT = 65536 };

/* Kinds of messages: to the helper, then from it. */
enum { MESSAGE_RUN = 1, MESSAGE_CANCEL = 2, MESSAGE_HOLD = 3, MESSAGE_RELEASE = 4 };
enum { MESSAGE_STARTED = 1, MESSAGE_DONE = 2 };

/* What a step does. */
enum operation {
  OP_SPAWN = 1,
  OP_MOUNT,
  OP_UMOUNT,
  OP_MKFIFO,
  OP_WRITE,
  OP_STAT,
  OP_READ,
  OP_MKDIRS,
  OP_PIN,
  OP_IDMAP,
  OP_OVERLAY,
  OP_LAST = OP_OVERLAY
};

/* How a step has ended. */
enum status { STATUS_DONE, STATUS_FAILED, STATUS_SKIPPED, STATUS_CANCELLED, STATUS_TIMED_OUT };

/* Bytes under a one-letter tag; a NUL that is not counted follows them. */
struct field {
  uint8_t tag;
  uint32_t length;
  char *value;
};

struct step {
  uint8_t operation;
  uint32_t limit_ms; /* 0: none */
  uint32_t field_count;
  struct field *fields;
};

struct request {
  uint32_t id;
  uint8_t kind;
  bool side_by_side;
  uint16_t released; /* MESSAGE_RELEASE: the number of a step */
  uint16_t step_count;
  struct step *steps;
  const char *path; /* MESSAGE_HOLD */
  char *bytes;      /* what fields point into */
};

/* Parses the body of a message (what follows its length). Returns NULL when it is malformed; *id is 0 then unless it was
   readable. The result is released with request_free. */
struct request *request_parse(const uint8_t *body, size_t length, uint32_t *id);

/* Releases a request and all that belongs to it. */
void request_free(struct request *request);

/* The first field with this tag after `previous` (NULL: from the start), or NULL. */
const struct field *step_next(const struct step *step, char tag, const struct field *previous);

/* The text of the first field with this tag; NULL when there is none or it contains a NUL. */
const char *step_text(const struct step *step, char tag);

/* The decimal number in such a field, from 0 to `max`; `otherwise` when there is no such field. False: it is another text. */
bool step_number(const struct step *step, char tag, uint64_t max, uint64_t otherwise, uint64_t *number);

/* Reads a decimal number from 0 to `max` at *text and moves *text behind it. */
bool parse_number(const char **text, uint64_t max, uint64_t *number);

/* Bytes that grow. */
struct buffer {
  uint8_t *bytes;
  size_t length, capacity;
};

/* Append to a buffer; they end the process when memory is out. */
void put_bytes(struct buffer *buffer, const void *bytes, size_t length);
void put_u8(struct buffer *buffer, uint8_t value);
void put_u16(struct buffer *buffer, uint16_t value);
void put_u32(struct buffer *buffer, uint32_t value);
void put_u64(struct buffer *buffer, uint64_t value);
void put_text(struct buffer *buffer, const char *bytes, size_t length);

/* Begins a message of this kind and returns the place of its length, for message_end. */
size_t message_begin(struct buffer *buffer, uint32_t id, uint8_t kind);
void message_end(struct buffer *buffer, size_t at);

/* Releases the bytes; the buffer is empty then. */
void buffer_free(struct buffer *buffer);

/* malloc that ends the process when memory is out; the bytes are 0. */
void *allocate(size_t count, size_t size);

#endif
