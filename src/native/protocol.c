/* Parses requests and encodes answers. Nothing here reads outside of the bytes it was given. */
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A place in a message; `bad` once something was read beyond its end. */
struct cursor {
  const uint8_t *at, *end;
  bool bad;
};

void *allocate(size_t count, size_t size) {
  void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
  if (memory == NULL) {
    fprintf(stderr, "lxcri-native: out of memory\n");
    exit(3);
  }
  return memory;
}

/* The next little-endian number of `width` bytes. */
static uint32_t take(struct cursor *cursor, size_t width) {
  if (cursor->bad || (size_t)(cursor->end - cursor->at) < width) {
    cursor->bad = true;
    return 0;
  }
  uint32_t value = 0;
  for (size_t i = 0; i < width; i++) value |= (uint32_t)cursor->at[i] << (8 * i);
  cursor->at += width;
  return value;
}

/* Copies length and bytes of a field to *bytes, a NUL behind them, and moves *bytes on. */
static void take_field(struct cursor *cursor, struct field *field, char **bytes) {
  field->tag = (uint8_t)take(cursor, 1);
  field->length = take(cursor, 4);
  if (cursor->bad || field->length > (size_t)(cursor->end - cursor->at)) {
    cursor->bad = true;
    return;
  }
  field->value = *bytes;
  memcpy(*bytes, cursor->at, field->length);
  (*bytes)[field->length] = '\0';
  *bytes += field->length + 1;
  cursor->at += field->length;
}

/* Reads the steps of a request. A field has 5 bytes or more in the message, so their number is bounded by its length. */
static void take_steps(struct cursor *cursor, struct request *request, char *bytes) {
  request->side_by_side = take(cursor, 1) == 1;
  uint32_t count = take(cursor, 2);
  if (cursor->bad || count > STEP_LIMIT) {
    cursor->bad = true;
    return;
  }
  request->steps = allocate(count, sizeof *request->steps);
  request->step_count = (uint16_t)count;
  for (uint32_t i = 0; i < count && !cursor->bad; i++) {
    struct step *step = &request->steps[i];
    step->operation = (uint8_t)take(cursor, 1);
    step->limit_ms = take(cursor, 4);
    uint32_t fields = take(cursor, 4);
    if (cursor->bad || step->operation < OP_SPAWN || step->operation > OP_LAST || fields > FIELD_LIMIT ||
        fields > (size_t)(cursor->end - cursor->at) / 5) {
      cursor->bad = true;
      return;
    }
    step->fields = allocate(fields, sizeof *step->fields);
    for (uint32_t k = 0; k < fields && !cursor->bad; k++) {
      take_field(cursor, &step->fields[k], &bytes);
      step->field_count = k + 1;
    }
  }
}

struct request *request_parse(const uint8_t *body, size_t length, uint32_t *id) {
  struct cursor cursor = {body, body + length, false};
  struct request *request = allocate(1, sizeof *request);
  request->id = take(&cursor, 4);
  *id = request->id;
  request->kind = (uint8_t)take(&cursor, 1);
  /* Each field gives up five bytes of head for one NUL. */
  request->bytes = allocate(length + 1, 1);
  if (request->kind == MESSAGE_RUN) {
    take_steps(&cursor, request, request->bytes);
  } else if (request->kind == MESSAGE_HOLD) {
    struct field field = {0};
    char *bytes = request->bytes;
    take_field(&cursor, &field, &bytes);
    request->path = field.value;
    if (!cursor.bad && strlen(field.value) != field.length) cursor.bad = true;
  } else if (request->kind == MESSAGE_RELEASE) {
    request->released = (uint16_t)take(&cursor, 2);
  } else if (request->kind != MESSAGE_CANCEL) {
    cursor.bad = true;
  }
  if (!cursor.bad && cursor.at == cursor.end) return request;
  request_free(request);
  return NULL;
}

void request_free(struct request *request) {
  for (uint16_t i = 0; i < request->step_count; i++) free(request->steps[i].fields);
  free(request->steps);
  free(request->bytes);
  free(request);
}

const struct field *step_next(const struct step *step, char tag, const struct field *previous) {
  const struct field *field = previous == NULL ? step->fields : previous + 1;
  for (; field < step->fields + step->field_count; field++) {
    if (field->tag == (uint8_t)tag) return field;
  }
  return NULL;
}

const char *step_text(const struct step *step, char tag) {
  const struct field *field = step_next(step, tag, NULL);
  return field == NULL || strlen(field->value) != field->length ? NULL : field->value;
}

bool parse_number(const char **text, uint64_t max, uint64_t *number) {
  const char *at = *text;
  uint64_t value = 0;
  if (*at < '0' || *at > '9') return false;
  for (; *at >= '0' && *at <= '9'; at++) {
    uint64_t digit = (uint64_t)(*at - '0');
    if (value > (max - digit) / 10 || digit > max) return false;
    value = value * 10 + digit;
  }
  *text = at;
  *number = value;
  return true;
}

bool step_number(const struct step *step, char tag, uint64_t max, uint64_t otherwise, uint64_t *number) {
  *number = otherwise;
  if (step_next(step, tag, NULL) == NULL) return true;
  const char *text = step_text(step, tag);
  return text != NULL && parse_number(&text, max, number) && *text == '\0';
}

void put_bytes(struct buffer *buffer, const void *bytes, size_t length) {
  if (length == 0) return;
  if (buffer->capacity - buffer->length < length) {
    size_t capacity = buffer->capacity * 2 > buffer->length + length ? buffer->capacity * 2 : buffer->length + length;
    uint8_t *grown = realloc(buffer->bytes, capacity);
    if (grown == NULL) {
      fprintf(stderr, "lxcri-native: out of memory\n");
      exit(3);
    }
    buffer->bytes = grown;
    buffer->capacity = capacity;
  }
  memcpy(buffer->bytes + buffer->length, bytes, length);
  buffer->length += length;
}

/* Appends the lowest `width` bytes of a number, the least significant first. */
static void put_number(struct buffer *buffer, uint64_t value, size_t width) {
  uint8_t bytes[8];
  for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(value >> (8 * i));
  put_bytes(buffer, bytes, width);
}

void put_u8(struct buffer *buffer, uint8_t value) { put_number(buffer, value, 1); }
void put_u16(struct buffer *buffer, uint16_t value) { put_number(buffer, value, 2); }
void put_u32(struct buffer *buffer, uint32_t value) { put_number(buffer, value, 4); }
void put_u64(struct buffer *buffer, uint64_t value) { put_number(buffer, value, 8); }

void put_text(struct buffer *buffer, const char *bytes, size_t length) {
  put_u32(buffer, (uint32_t)length);
  put_bytes(buffer, bytes, length);
}

size_t message_begin(struct buffer *buffer, uint32_t id, uint8_t kind) {
  size_t at = buffer->length;
  put_u32(buffer, 0);
  put_u32(buffer, id);
  put_u8(buffer, kind);
  return at;
}

void message_end(struct buffer *buffer, size_t at) {
  uint64_t length = buffer->length - at - 4;
  for (size_t i = 0; i < 4; i++) buffer->bytes[at + i] = (uint8_t)(length >> (8 * i));
}

void buffer_free(struct buffer *buffer) {
  free(buffer->bytes);
  *buffer = (struct buffer){0};
}
