import type { ExecutionContext } from 'ava';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rmdir } from 'node:fs/promises';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';

/** A mounted filesystem with one `file` that stalls when told to, and resumes. */
export interface StallingVolume {
  /** Resolves once it stalls. */
  stall: () => Promise<unknown>;
  resume: () => void;
  /** Resolves once this many accesses have stalled. */
  waiting: (count: number) => Promise<unknown>;
}

/**
 * Mounts it at a new directory; it is unmounted after the test, and what still waits for it gets an error.
 * @param source has the content and the name of its file, instead of `file`.
 */
export async function stallingVolume(t: ExecutionContext, path: string, source?: string): Promise<StallingVolume> {
  await mkdir(path);
  const child = fork('test/fixtures/hanging/volume.ts', source === undefined ? [path] : [path, source]);
  let stalled = 0;
  t.teardown(async () => {
    const ended = once(child, 'exit');
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await ended;
    await run('umount', ['-l', '--', path]);
    await rmdir(path);
  });
  await once(child, 'message');
  let stalling = Promise.withResolvers<undefined>();
  child.on('message', (message) => {
    if (message === 'stalling') stalling.resolve(undefined);
    else stalled += 1;
  });
  return {
    stall: () => {
      stalling = Promise.withResolvers<undefined>();
      child.send('stall');
      return stalling.promise;
    },
    resume: () => child.send('resume'),
    waiting: (count) => eventually('a stalled access', () => stalled >= count),
  };
}
