import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { failedPrecondition } from '../core/model/errors.ts';
import { ROOT } from '../core/state-layout.ts';
import { isErrno } from '../utils/errors.ts';
import { findNative } from './native/find.ts';
import { makeDirectories } from './paths.ts';
import { checkRoot, markRoot } from './root-marker.ts';

/** Milliseconds that a start waits for the lock, which `doctor` and `wipe` acquire for a moment. */
const WAIT_MS = 5000;
const LOOK_MS = 100;

/** A garbage-collected handle is closed: this one must live as long as the process. */
let held: FileHandle | undefined;

/**
 * Creates the missing root directory and locks it for this process, by flock(2) on a file in it: the lock is the same for every
 * path of the directory, and the kernel releases it even when the process is killed.
 * @throws CriError FAILED_PRECONDITION when another process has it, or the directory does not belong to the server.
 */
export async function takeRoot(root: string): Promise<void> {
  await checkRoot(root);
  await makeDirectories(root, 0o711);
  const file = await openLock(await realpath(root));
  try {
    for (let waited = 0; !(await lock(file)); waited += LOOK_MS) {
      if (waited >= WAIT_MS) {
        throw failedPrecondition(`root: another server uses ${root}; stop it, or set another directory`);
      }
      await sleep(LOOK_MS);
    }
    await markRoot(root);
  } catch (error) {
    await file.close();
    throw error;
  }
  held = file;
}

/** Whether a server uses the directory. */
export async function isRootTaken(root: string): Promise<boolean> {
  if (held !== undefined) return true;
  let file: FileHandle;
  try {
    file = await open(join(root, ROOT.lock), 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
  try {
    return !(await lock(file));
  } finally {
    await file.close();
  }
}

async function openLock(root: string): Promise<FileHandle> {
  const path = join(root, ROOT.lock);
  try {
    // On a read-only disk it can be opened, and locked, all the same.
    return await open(path, 'r');
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    return open(path, constants.O_RDONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  }
}

/** Whether this process acquired the lock. */
async function lock(file: FileHandle): Promise<boolean> {
  const child = spawn(findNative(), ['lock', '3'], { stdio: ['ignore', 'ignore', 'inherit', file.fd] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0 || code === 1) return code === 0;
  throw new Error(`root: locking failed (exit code ${String(code)})`);
}
