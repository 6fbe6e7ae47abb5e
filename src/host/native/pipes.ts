import { closeSync, constants, openSync } from 'node:fs';
import type { SpawnStep } from './steps.ts';

/** Pipes of a program that the helper has open. */
export interface OfferedPipes {
  /** Pid of the helper. */
  helper: number;
  /** Its own descriptors, by the program's. */
  numbers: ReadonlyMap<number, number>;
}

/**
 * Opens this process's ends, non-blocking ones; by the program's descriptors. Opening a pipe by proc_pid_fd(5) does not
 * block. @throws Error of open(2), such as EMFILE; nothing is left open then.
 */
export function openPipes({ descriptors }: SpawnStep, { helper, numbers }: OfferedPipes): ReadonlyMap<number, number> {
  const opened = new Map<number, number>();
  try {
    for (const [descriptor, number] of numbers) {
      const direction = descriptors[descriptor]?.kind === 'pipe-in' ? constants.O_WRONLY : constants.O_RDONLY;
      const path = `/proc/${String(helper)}/fd/${String(number)}`;
      opened.set(descriptor, openSync(path, direction | constants.O_NONBLOCK));
    }
    return opened;
  } catch (error) {
    for (const descriptor of opened.values()) closeSync(descriptor);
    throw error;
  }
}
