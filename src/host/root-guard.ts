import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { failedPrecondition } from '../core/model/errors.ts';

/**
 * Makes sure that no other process writes the same data: an abstract socket named after the folder is held for the life of
 * the process, and the kernel gives it up even when the process is killed (unix(7)).
 * @throws CriError FAILED_PRECONDITION when another one holds it.
 */
export async function takeRoot(root: string): Promise<void> {
  const guard = createServer((caller) => caller.destroy());
  await new Promise<void>((resolve, reject) => {
    guard.once('error', (cause) => {
      reject(
        failedPrecondition(`root: another server uses ${root}: stop it, or give this one a folder of its own`, cause),
      );
    });
    guard.listen({ path: nameOf(root) }, resolve);
  });
  guard.unref();
}

/** Whether a process of this network namespace has taken the folder. */
export function isRootTaken(root: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path: nameOf(root) });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

/** Hashed, because a socket's name holds no more than 107 bytes. */
function nameOf(root: string): string {
  return `\0proxmox-lxcri-${createHash('sha256').update(root).digest('hex')}`;
}
