/* Mounts, unmounts, and mounts with mapped ids. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"

/* Of <sys/mount.h>, whose other content differs from the kernel's header in Debian 12. */
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

/* Numbers that are the same on all architectures; musl and glibc of Debian 12 have no functions for them. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

bool is_mount_point(const char *path) {
  struct statx facts;
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &facts) < 0) return false;
  return (facts.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* Ends the child when a field is missing. */
static const char *needed(const struct step *step, char tag) {
  const char *text = step_text(step, tag);
  if (text != NULL) return text;
  errno = EPROTO;
  step_failed("request", NULL);
}

/* The number of field `f`, of mount(2) or umount2(2). */
static uint64_t flags_of(const struct step *step) {
  uint64_t flags;
  if (step_number(step, 'f', UINT32_MAX, 0, &flags)) return flags;
  errno = EPROTO;
  step_failed("request", NULL);
}

/* mount(2) of source `s` at `t`, type `y`, flags `f`, data `o`, from directory `d`; with `u` only where nothing is mounted. */
_Noreturn void mount_run(const struct step *step) {
  const char *target = needed(step, 't'), *directory = step_text(step, 'd');
  if (step_next(step, 'u', NULL) != NULL && is_mount_point(target)) step_done(NULL, 0);
  if (directory != NULL && chdir(directory) < 0) step_failed("chdir", directory);
  if (mount(step_text(step, 's'), target, step_text(step, 'y'), flags_of(step), step_text(step, 'o')) < 0) {
    step_failed("mount", target);
  }
  step_done(NULL, 0);
}

/* umount2(2) of `t` with flags `f`, or of all that is mounted there with `a`. Done as well where nothing is mounted. */
_Noreturn void umount_run(const struct step *step) {
  const char *target = needed(step, 't');
  int flags = (int)flags_of(step);
  do {
    if (umount2(target, flags) == 0) continue;
    if (errno != EINVAL && errno != ENOENT && errno != ENOTDIR) step_failed("umount", target);
    break;
  } while (step_next(step, 'a', NULL) != NULL);
  step_done(NULL, 0);
}

/* A clone of the mount at `path`, attached nowhere, that shows and takes ids as the user namespace maps them. */
static int idmapped(const char *path, int namespace) {
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) step_failed("open_tree", path);
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)namespace};
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0) {
    step_failed("mount_setattr", path);
  }
  return tree;
}

/* Attaches a mount that is attached nowhere. */
static void attach(int tree, const char *target) {
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) step_failed("move_mount", target);
}

/* The ids of field `m`, which must be there. */
static struct id_map map_of(const struct step *step) {
  struct id_map map;
  if (step_map(step, &map)) return map;
  errno = EPROTO;
  step_failed("request", NULL);
}

/* Mounts `s` with the ids `m` at `t`; without `t` it only tries whether the file system can. */
_Noreturn void idmap_run(const struct step *step) {
  const char *target = step_text(step, 't');
  int tree = idmapped(needed(step, 's'), user_namespace(map_of(step)));
  if (target != NULL && !(step_next(step, 'u', NULL) != NULL && is_mount_point(target))) attach(tree, target);
  step_done(NULL, 0);
}

/*
 * Mounts at `t` an overlay with options `o` and flags `f` of directories in the directory `k` of `s`, which it sees with the ids `m`. In a
 * mount namespace of its own it mounts a clone of `s` with mapped ids and the overlay on it, then hands the overlay alone to
 * the namespace it came from. The overlay's own access to its directories uses the ids of who mounts it, and those must be
 * mapped too: they are those of the user namespace's root, with all capabilities kept.
 */
_Noreturn void overlay_run(const struct step *step) {
  const char *target = needed(step, 't'), *links = needed(step, 'k'), *options = needed(step, 'o');
  struct id_map map = map_of(step);
  char clone[PATH_MAX], overlay[PATH_MAX], inside[2 * PATH_MAX];
  if (step_next(step, 'u', NULL) != NULL && is_mount_point(target)) step_done(NULL, 0);
  int tree = idmapped(needed(step, 's'), user_namespace(map));
  int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (home < 0 || unshare(CLONE_NEWNS) < 0) step_failed("unshare", NULL);
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) step_failed("mount", "/");
  if (mount("tmpfs", target, "tmpfs", 0, NULL) < 0) step_failed("mount", target);
  snprintf(clone, sizeof clone, "%s/store", target);
  snprintf(overlay, sizeof overlay, "%s/overlay", target);
  snprintf(inside, sizeof inside, "%s/%s", clone, links);
  if (mkdir(clone, 0700) < 0 || mkdir(overlay, 0700) < 0) step_failed("mkdir", clone);
  attach(tree, clone);
  if (chdir(inside) < 0) step_failed("chdir", links);
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0) step_failed("prctl", NULL);
  setfsgid((gid_t)map.host);
  setfsuid((uid_t)map.host);
  int mounted = mount("overlay", overlay, "overlay", flags_of(step), options), error = errno;
  setfsuid(0);
  setfsgid(0);
  errno = error;
  if (mounted < 0) step_failed("mount overlay", target);
  int made = (int)syscall(SYS_open_tree, AT_FDCWD, overlay, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (made < 0) step_failed("open_tree", overlay);
  if (setns(home, CLONE_NEWNS) < 0) step_failed("setns", NULL);
  attach(made, target);
  step_done(NULL, 0);
}
