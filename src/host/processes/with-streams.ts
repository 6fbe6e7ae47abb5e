import type { ChildProcess } from 'node:child_process';
import { unavailable } from '../../core/model/errors.ts';

/**
 * A process that Node.js is starting, with its streams: without free descriptors there are none, and an 'error' event
 * follows that would end this process.
 * @throws CriError UNAVAILABLE then.
 */
export function withStreams<T extends ChildProcess>(child: T): T {
  // Not in the types: Node.js returns before it sets them (EMFILE, ENFILE).
  if ((child.stdio as unknown) !== undefined) return child;
  child.on('error', () => undefined);
  throw unavailable(`cannot run ${child.spawnfile}: too many open files`);
}
