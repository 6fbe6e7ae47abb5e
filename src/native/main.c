/*
 * lxcri-native: what Node.js has no calls for, in one small static program. README.md describes its commands.
 */
#include <stdio.h>
#include <string.h>

#include "native.h"

/* A command of this program; `run` gets the arguments from the command's own name on. */
struct command {
  const char *name;
  int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
  {"enter", enter_main},
  {"exec", exec_main},
  {"hook", hook_main},
  {"keep", keep_main},
  {"lock", lock_main},
  {"notify", notify_main},
  {"relay", relay_main},
  {"serve", serve_main},
};

/* Runs the command that the first argument names. Exit code 2: there is no such command. */
int main(int argc, char **argv) {
  for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
  }
  fprintf(stderr, "usage: lxcri-native COMMAND [ARGUMENT...]\ncommands:");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) fprintf(stderr, " %s", commands[i].name);
  fputc('\n', stderr);
  return 2;
}
