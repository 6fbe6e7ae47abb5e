import type { Stats } from 'node:fs';
import { mkdir, open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import type { FileFacts, InnerMount, MountFacts, PlatformFiles } from '../../core/model/platform-files.ts';
import { isErrno } from '../../utils/errors.ts';
import { readFileScoped, withScoped } from '../../utils/fs/scoped.ts';
import { idmapProblems } from '../idmap/support.ts';
import { mountOf } from '../mounts/mountinfo.ts';
import { resolveInRoot } from './resolve-in-root.ts';

/** Files of this host. */
export class HostFiles implements PlatformFiles {
  async inspect(path: string): Promise<FileFacts | undefined> {
    const stats = await present(stat(path));
    return stats && factsOf(stats);
  }

  async devicesBelow(directory: string): Promise<{ path: string; facts: FileFacts }[]> {
    const devices: { path: string; facts: FileFacts }[] = [];
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = posix.join(directory, entry.name);
      if (entry.isDirectory()) {
        const below = await this.devicesBelow(path);
        devices.push(...below.map((one) => ({ ...one, path: posix.join(entry.name, one.path) })));
      } else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
        // It may have gone since.
        const facts = await this.inspect(path);
        if (facts !== undefined) devices.push({ path: entry.name, facts });
      }
    }
    return devices;
  }

  resolve(path: string): Promise<string | undefined> {
    return present(realpath(path));
  }

  async mountOf(path: string): Promise<MountFacts> {
    return mountOf(await readFile('/proc/self/mountinfo', 'utf8'), path);
  }

  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const file = await present(open(path, 'r'));
    if (file === undefined) return undefined;
    try {
      const { size } = await file.stat();
      if (size > maxBytes) throw new Error(`${path} is larger than ${String(maxBytes)} bytes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o755 });
  }

  idmapProblems(paths: readonly string[]): Promise<(string | undefined)[]> {
    return idmapProblems(paths);
  }

  resolveInRoot(root: string, path: string, field: string, mounts: readonly InnerMount[] = []): Promise<string> {
    return resolveInRoot(root, path, field, mounts);
  }

  inspectInRoot(root: string, path: string): Promise<FileFacts | undefined> {
    return withScoped(root, path, ({ stats }) => Promise.resolve(factsOf(stats)));
  }

  readInRoot(root: string, path: string, maxBytes: number): Promise<Buffer | undefined> {
    return readFileScoped(root, path, maxBytes);
  }
}

function factsOf(stats: Stats): FileFacts {
  const rdev = BigInt(stats.rdev);
  return {
    kind: kindOf(stats),
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    // The layout of dev_t in glibc's makedev(3).
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}

function kindOf(stats: Stats): FileFacts['kind'] {
  if (stats.isDirectory()) return 'directory';
  if (stats.isFile()) return 'file';
  if (stats.isBlockDevice()) return 'block';
  return stats.isCharacterDevice() ? 'char' : 'other';
}

async function present<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
