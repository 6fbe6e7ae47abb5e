import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdtemp, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { run } from '../../host/processes/run.ts';
import { removeTree } from '../../host/trees/remove-tree.ts';
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
    await removeTree(work);
  }
}

/**
 * Removes devices, FIFOs and set-user-ID bits. By find(1), which works on open directories: an archive may have paths that are
 * too long here.
 */
async function tame(path: string): Promise<void> {
  await lstat(path);
  const isSpecial = ['(', '-type', 'b', '-o', '-type', 'c', '-o', '-type', 'p', '-o', '-type', 's', ')'];
  const hasSpecialBits = ['-type', 'f', '-perm', '/7000'];
  const plain = ['-execdir', 'chmod', 'a-st', '{}', '+'];
  const rules = [...isSpecial, '-delete', '-o', ...hasSpecialBits, ...plain];
  // -execdir refuses a PATH with relative directories.
  await run('find', ['-P', path, ...rules], { holds: 'nothing', env: { PATH: '/usr/bin:/bin' } });
}

/** Renames, or merges a directory into an existing one. */
async function place(path: string, target: string): Promise<void> {
  try {
    await rename(path, target);
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    // A file replaces a link of that name, which an earlier copy may have brought, and is not written through it.
    await run('cp', ['--archive', '--remove-destination', '--no-target-directory', '--', path, target]);
  }
}
