/* The commands of the native helper: one a file, listed in main.c. Each returns the program's exit code. */
#ifndef NATIVE_H
#define NATIVE_H

/* See lock.c and serve.c. */
int lock_main(int argc, char **argv);
int serve_main(int argc, char **argv);

#endif
