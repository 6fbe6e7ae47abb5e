/* The commands of the native helper: one a file, listed in main.c. Each returns the program's exit code. */
#ifndef NATIVE_H
#define NATIVE_H

#include <stdbool.h>

/* See hook.c, keep.c, lock.c, notify.c and serve.c. */
int hook_main(int argc, char **argv);
int keep_main(int argc, char **argv);
int lock_main(int argc, char **argv);
int notify_main(int argc, char **argv);
int serve_main(int argc, char **argv);

/* enter …, exec …: see launch.c. */
int enter_main(int argc, char **argv);
int exec_main(int argc, char **argv);

/* relay MODE …: see relay.c. */
int relay_main(int argc, char **argv);

/* The mode `pty` of relay: see pty.c. */
int relay_pty(const char *path, char **command);

#endif
