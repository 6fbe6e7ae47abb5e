import { messageOf } from '../utils/errors.ts';

/** The server or the command line failed, not the command in the container (docker-run(1), podman-run(1)). */
const FAILED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/**
 * The exit code for an error of a command that runs others in containers, as in docker and podman: 127 when the program
 * does not exist, 126 when it cannot be executed, 125 for everything else.
 */
export function exitCodeOf(error: unknown): number {
  const message = messageOf(error);
  if (/executable file .*not found/i.test(message)) return NOT_FOUND;
  if (/(?:open|stat|find) executable|exec(?:ve)?\b.*(?:permission denied|format error|is a directory)/i.test(message)) {
    return /no such file or directory/i.test(message) ? NOT_FOUND : NOT_EXECUTABLE;
  }
  return FAILED;
}
