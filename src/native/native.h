/* The commands of the native helper: one a file, listed in main.c. Each returns the program's exit code. */
#ifndef NATIVE_H
#define NATIVE_H

/* lock DESCRIPTOR: see lock.c. */
int lock_main(int argc, char **argv);

#endif
