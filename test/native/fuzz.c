/*
 * fuzz COUNT SEED: hands COUNT mutated messages to the parser of `lxcri-native serve`, and reads every field of what it
 * accepts as the steps would. Built with sanitizers by test/native/fuzz: they end it at the first wrong access.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/native/steps.h"

static uint64_t state;

/* xorshift64*: the same numbers for the same seed. */
static uint64_t random_below(uint64_t bound) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * UINT64_C(2685821657736338717) >> 11) % bound;
}

static void put_field(struct buffer *buffer, char tag, const char *value) {
  put_u8(buffer, (uint8_t)tag);
  put_text(buffer, value, strlen(value));
}

/* A valid body of a request with a step of each operation. */
static void sample(struct buffer *buffer) {
  enum { MOST = 9 };
  static const char *const fields[][MOST] = {
    {"a/bin/true", "ePATH=/bin", "d/", "f0 input", "f1 capture 1048576", "f3 open 577 /tmp/x", "f4 pipe-in", "f5 pipe-out", "f6 connect /tmp/s"},
    {"snone", "t/mnt", "ytmpfs", "f14", "osize=1", "u"},
    {"t/mnt", "f10", "a"},
    {"p/tmp/a", "p/tmp/b", "m384", "r"},
    {"p/tmp/a", "dtext", "f1", "m420"},
    {"p/etc"},
    {"p/etc/hostname", "l100"},
    {"p/tmp/a/b", "m448"},
    {"knet=/run/net", "kuser=/run/user", "m65536 65536", "hname", "l", "ynet/ipv4/ip_forward=1"},
    {"s/mnt", "m0 1", "t/x"},
    {"s/store", "klinks", "olowerdir=a", "f0", "t/mnt", "m65536 65536"},
  };
  uint32_t count = sizeof fields / sizeof *fields;
  put_u32(buffer, 7);
  put_u8(buffer, MESSAGE_RUN);
  put_u8(buffer, 0);
  put_u16(buffer, (uint16_t)count);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = 0;
    while (number < MOST && fields[i][number] != NULL) number++;
    put_u8(buffer, (uint8_t)(i + OP_SPAWN));
    put_u32(buffer, i);
    put_u32(buffer, number);
    for (uint32_t k = 0; k < number; k++) put_field(buffer, fields[i][k][0], fields[i][k] + 1);
  }
}

/* A valid body of a request without steps. */
static void sample_small(struct buffer *buffer) {
  static const uint8_t kinds[] = {MESSAGE_CANCEL, MESSAGE_HOLD, MESSAGE_RELEASE};
  uint8_t kind = kinds[random_below(3)];
  put_u32(buffer, 7);
  put_u8(buffer, kind);
  if (kind == MESSAGE_HOLD) put_field(buffer, 0, "/tmp/hold");
  if (kind == MESSAGE_RELEASE) put_u16(buffer, 1);
}

/* Changes, removes, doubles or cuts a few bytes. */
static void mutate(struct buffer *buffer) {
  for (uint64_t left = 1 + random_below(6); left > 0 && buffer->length > 0; left--) {
    size_t at = random_below(buffer->length), length = 1 + random_below(8);
    if (length > buffer->length - at) length = buffer->length - at;
    switch (random_below(6)) {
      case 0: buffer->bytes[at] = (uint8_t)random_below(256); break;
      case 1: buffer->bytes[at] ^= (uint8_t)(1 << random_below(8)); break;
      case 2: memset(buffer->bytes + at, random_below(2) ? 0xff : 0, length); break;
      case 3: buffer->length = at; break;
      case 4:
        memmove(buffer->bytes + at, buffer->bytes + at + length, buffer->length - at - length);
        buffer->length -= length;
        break;
      case 5: {
        uint8_t copy[8];
        memcpy(copy, buffer->bytes + at, length);
        put_bytes(buffer, copy, length);
        break;
      }
    }
  }
}

/* Reads all that a step may look at. Returns a number that depends on it, so that nothing is left out. */
static uint64_t use(const struct step *step) {
  uint64_t sum = 0, number;
  struct fd_plan plans[COMMAND_FD_LIMIT];
  struct id_map map;
  int count = spawn_plans(step, plans);
  for (int i = 0; i < count; i++) sum += (uint64_t)plans[i].number + (plans[i].path == NULL ? 0 : strlen(plans[i].path));
  if (step_map(step, &map)) sum += map.host + map.size;
  for (int tag = 0; tag < 256; tag++) {
    for (const struct field *field = NULL; (field = step_next(step, (char)tag, field)) != NULL;) {
      for (uint32_t i = 0; i <= field->length; i++) sum += (uint8_t)field->value[i];
    }
    const char *text = step_text(step, (char)tag);
    if (text != NULL) sum += strlen(text);
    if (step_number(step, (char)tag, UINT32_MAX, 1, &number)) sum += number;
  }
  return sum;
}

int main(int argc, char **argv) {
  uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000, accepted = 0, sum = 0;
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  if (state == 0) state = 1;
  for (uint64_t done = 0; done < total; done++) {
    struct buffer buffer = {0};
    uint32_t id;
    if (done > 0 && random_below(8) == 0) sample_small(&buffer);
    else sample(&buffer);
    if (done > 0) mutate(&buffer);
    /* A block of exactly this size: one byte beyond is an error. */
    uint8_t *body = malloc(buffer.length > 0 ? buffer.length : 1);
    if (buffer.length > 0) memcpy(body, buffer.bytes, buffer.length);
    struct request *request = request_parse(body, buffer.length, &id);
    free(body);
    buffer_free(&buffer);
    if (request == NULL) continue;
    accepted++;
    sum += request->released + (request->path == NULL ? 0 : strlen(request->path));
    for (uint16_t i = 0; i < request->step_count; i++) sum += use(&request->steps[i]);
    request_free(request);
  }
  printf("%" PRIu64 " of %" PRIu64 " accepted (%" PRIu64 ")\n", accepted, total, sum);
  return accepted == 0;
}
