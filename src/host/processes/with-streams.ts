import type { ChildProcess } from 'node:child_process';
import { unavailable } from '../../core/model/errors.ts';

/**
 * A process that Node.js has just been asked to start, with its streams: out of descriptors it makes none, and emits an
 * 'error' later that would end this process.
 * @throws CriError UNAVAILABLE then.
 */
export function withStreams<T extends ChildProcess>(child: T): T {
  // Not in the types: Node.js returns before it sets them (EMFILE, ENFILE).
  if ((child.stdio as unknown) !== undefined) return child;
  child.on('error', () => undefined);
  throw unavailable(`cannot run ${child.spawnfile}: too many open files`);
}
