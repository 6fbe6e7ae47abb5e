import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { run } from '../../host/processes/run.ts';
import { isErrno } from '../../utils/errors.ts';

/**
 * Unpacks the archive that `fill` writes, made inside a container with the one entry `name`, to the local path `target`. The
 * archive is untrusted: it is unpacked into a private directory, which tar does not leave, without owners, set-user-ID bits
 * and devices, and then moved to the target. @throws what `fill` throws, or Error with tar's message.
 */
export async function receive(target: string, name: string, fill: (archive: Writable) => Promise<void>): Promise<void> {
  const work = await mkdtemp(join(dirname(target), '.proxmox-lxcri-cp-'));
  try {
    const args = ['--extract', '--file=-', '--no-same-owner', '--no-same-permissions', '--delay-directory-restore'];
    const unpack = spawn('tar', [...args, '-C', work], { stdio: ['pipe', 'ignore', 'pipe'] });
    unpack.stdin.on('error', () => undefined); // its exit code reports it
    const over = Promise.all([once(unpack, 'close'), text(unpack.stderr)]);
    try {
      await fill(unpack.stdin);
    } finally {
      unpack.stdin.end();
    }
    const [[code], words] = (await over) as [[number | null], string];
    if (code !== 0) throw new Error(words.trim());
    await tame(join(work, name));
    await place(join(work, name), target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Removes devices and set-user-ID bits. */
async function tame(path: string): Promise<void> {
  const entry = await lstat(path);
  if (entry.isDirectory()) {
    for (const name of await readdir(path)) await tame(join(path, name));
  } else if (entry.isFile()) {
    if ((entry.mode & 0o7000) !== 0) await chmod(path, entry.mode & 0o777);
  } else if (!entry.isSymbolicLink()) {
    await rm(path);
  }
}

/** Renames, or merges a directory into an existing one. */
async function place(path: string, target: string): Promise<void> {
  try {
    await rename(path, target);
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    await run('cp', ['--archive', '--no-target-directory', '--', path, target]);
  }
}
