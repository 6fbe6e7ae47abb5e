import type { ExecutionContext } from 'ava';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rmdir } from 'node:fs/promises';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';

/** A mounted filesystem with one `file` that stalls when told to, and resumes. */
export interface StallingVolume {
  stall: () => void;
  resume: () => void;
  /** Resolves once this many accesses have stalled. */
  waiting: (count: number) => Promise<unknown>;
}

/** Mounts it at a new directory; it is unmounted after the test, and what still waits for it gets an error. */
export async function stallingVolume(t: ExecutionContext, path: string): Promise<StallingVolume> {
  await mkdir(path);
  const child = fork('test/fixtures/hanging/volume.ts', [path]);
  let stalled = 0;
  t.teardown(async () => {
    const ended = once(child, 'exit');
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await ended;
    await run('umount', ['-l', '--', path]);
    await rmdir(path);
  });
  await once(child, 'message');
  child.on('message', () => (stalled += 1));
  return {
    stall: () => child.send('stall'),
    resume: () => child.send('resume'),
    waiting: (count) => eventually('a stalled access', () => stalled >= count),
  };
}
