/* The report of a step's child, and the steps that are a few system calls on a path. */
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int report_descriptor = -1;

void report_to(int descriptor) { report_descriptor = descriptor; }

/* Writes the report: errno, the text's length, the text, the result. The reader may have gone. */
static void report(int error, const char *text, const void *bytes, size_t length) {
  struct buffer buffer = {0};
  put_u32(&buffer, (uint32_t)error);
  put_text(&buffer, text, strlen(text));
  put_bytes(&buffer, bytes, length);
  for (size_t at = 0; at < buffer.length;) {
    ssize_t count = write(report_descriptor, buffer.bytes + at, buffer.length - at);
    if (count < 0 && errno != EINTR) break;
    if (count > 0) at += (size_t)count;
  }
  buffer_free(&buffer);
}

_Noreturn void step_failed(const char *what, const char *object) {
  int error = errno;
  char text[PATH_MAX + 512];
  snprintf(text, sizeof text, "%s%s%s: %s", what, object == NULL ? "" : " ", object == NULL ? "" : object, strerror(error));
  report(error, text, NULL, 0);
  _exit(1);
}

_Noreturn void step_done(const void *bytes, size_t length) {
  report(0, "", bytes, length);
  _exit(0);
}

/* The text of a field that must be there. */
static const char *needed(const struct step *step, char tag) {
  const char *text = step_text(step, tag);
  if (text != NULL) return text;
  errno = EPROTO;
  step_failed("request", NULL);
}

/* The number of a field, see step_number. */
static uint64_t number_of(const struct step *step, char tag, uint64_t max, uint64_t otherwise) {
  uint64_t number;
  if (step_number(step, tag, max, otherwise, &number)) return number;
  errno = EPROTO;
  step_failed("request", NULL);
}

/* A FIFO at each path `p` with mode `m`; an existing one is replaced with `r`. */
static _Noreturn void mkfifo_run(const struct step *step) {
  mode_t mode = (mode_t)number_of(step, 'm', 07777, 0600);
  for (const struct field *path = NULL; (path = step_next(step, 'p', path)) != NULL;) {
    if (strlen(path->value) != path->length) {
      errno = EINVAL;
      step_failed("mkfifo", path->value);
    }
    if (step_next(step, 'r', NULL) != NULL && unlink(path->value) < 0 && errno != ENOENT) step_failed("unlink", path->value);
    if (mkfifo(path->value, mode) < 0 || chmod(path->value, mode) < 0) step_failed("mkfifo", path->value);
  }
  step_done(NULL, 0);
}

/* Writes the bytes of `d` to the file `p`, opened with the flags `f` and, where it is made, the mode `m`. */
static _Noreturn void write_run(const struct step *step) {
  const char *path = needed(step, 'p');
  const struct field *data = step_next(step, 'd', NULL);
  int flags = (int)number_of(step, 'f', INT_MAX, O_WRONLY | O_CREAT | O_TRUNC);
  int file = open(path, flags | O_CLOEXEC | O_NOCTTY, (mode_t)number_of(step, 'm', 07777, 0600));
  if (file < 0) step_failed("open", path);
  for (uint32_t at = 0; data != NULL && at < data->length;) {
    ssize_t count = write(file, data->value + at, data->length - at);
    if (count < 0) step_failed("write", path);
    at += (uint32_t)count;
  }
  if (close(file) < 0) step_failed("close", path);
  step_done(NULL, 0);
}

/* Only the target of the link `p`. */
static _Noreturn void readlink_run(const char *path) {
  char target[PATH_MAX];
  ssize_t length = readlink(path, target, sizeof target);
  if (length < 0) step_failed("readlink", path);
  step_done(target, (size_t)length);
}

/* What is at `p`, links followed: "mode uid gid rdev size dev ino mtimeNs" and, after a line break, its path without links. */
static _Noreturn void stat_run(const struct step *step) {
  const char *path = needed(step, 'p');
  if (step_next(step, 'l', NULL) != NULL) readlink_run(path);
  struct stat facts;
  char *real = realpath(path, NULL);
  if (real == NULL || stat(real, &facts) < 0) step_failed("stat", path);
  char numbers[256];
  int length = snprintf(numbers, sizeof numbers, "%u %u %u %llu %lld %llu %llu %lld\n", facts.st_mode, facts.st_uid,
                        facts.st_gid, (unsigned long long)facts.st_rdev, (long long)facts.st_size,
                        (unsigned long long)facts.st_dev, (unsigned long long)facts.st_ino,
                        (long long)facts.st_mtim.tv_sec * 1000000000 + facts.st_mtim.tv_nsec);
  struct buffer buffer = {0};
  put_bytes(&buffer, numbers, (size_t)length);
  put_bytes(&buffer, real, strlen(real));
  step_done(buffer.bytes, buffer.length);
}

/* The content of the regular file `p`. EFBIG: it has more than `l` bytes; EINVAL: it is no regular file. */
static _Noreturn void read_run(const struct step *step) {
  const char *path = needed(step, 'p');
  uint64_t limit = number_of(step, 'l', MESSAGE_LIMIT / 2, 1 << 20);
  int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct stat facts;
  if (file < 0 || fstat(file, &facts) < 0) step_failed("open", path);
  if (!S_ISREG(facts.st_mode)) {
    errno = EINVAL;
    step_failed("read", path);
  }
  struct buffer buffer = {0};
  char bytes[65536];
  for (ssize_t count; (count = read(file, bytes, sizeof bytes)) != 0;) {
    if (count < 0) step_failed("read", path);
    put_bytes(&buffer, bytes, (size_t)count);
    if (buffer.length > limit) {
      errno = EFBIG;
      step_failed("read", path);
    }
  }
  step_done(buffer.bytes, buffer.length);
}

/* The directory `p` and those above it that are missing, with mode `m`. */
static _Noreturn void mkdirs_run(const struct step *step) {
  char *path = strdup(needed(step, 'p'));
  mode_t mode = (mode_t)number_of(step, 'm', 07777, 0755);
  if (path == NULL) step_failed("mkdir", NULL);
  for (char *at = path + 1; *path != '\0'; at++) {
    char kept = *at;
    if (kept != '/' && kept != '\0') continue;
    *at = '\0';
    struct stat facts;
    if (mkdir(path, mode) < 0) {
      int error = errno;
      if (stat(path, &facts) < 0 || !S_ISDIR(facts.st_mode)) {
        errno = error;
        step_failed("mkdir", path);
      }
    }
    if (kept == '\0') break;
    *at = kept;
  }
  step_done(NULL, 0);
}

_Noreturn void call_run(const struct step *step) {
  switch (step->operation) {
    case OP_MOUNT: mount_run(step);
    case OP_UMOUNT: umount_run(step);
    case OP_MKFIFO: mkfifo_run(step);
    case OP_WRITE: write_run(step);
    case OP_STAT: stat_run(step);
    case OP_READ: read_run(step);
    case OP_MKDIRS: mkdirs_run(step);
    case OP_PIN: pin_run(step);
    case OP_IDMAP: idmap_run(step);
    case OP_OVERLAY: overlay_run(step);
  }
  errno = ENOSYS;
  step_failed("request", NULL);
}
