import { lstat, readdir } from 'node:fs/promises';
import { isErrno } from '../errors.ts';

/** Bytes and inodes used by something on a file system. */
export interface DiskUsage {
  bytes: bigint;
  inodes: bigint;
}

/** Bytes on disk (st_blocks) and inodes of everything below a folder, without the folder itself. What vanishes meanwhile is not counted. */
export async function diskUsage(directory: string): Promise<DiskUsage> {
  const usage: DiskUsage = { bytes: 0n, inodes: 0n };
  const linked = new Set<bigint>();
  // Names are bytes: an image may hold any.
  const pending = [Buffer.from(directory)];
  for (let current = pending.pop(); current; current = pending.pop()) {
    for (const entry of await present(readdir(current, { withFileTypes: true, encoding: 'buffer' }), [])) {
      const path = Buffer.concat([current, Buffer.from('/'), entry.name]);
      const stat = await present(lstat(path, { bigint: true }), undefined);
      if (!stat) continue;
      if (stat.isDirectory()) pending.push(path);
      else if (stat.nlink > 1n) {
        if (linked.has(stat.ino)) continue;
        linked.add(stat.ino);
      }
      usage.bytes += stat.blocks * 512n;
      usage.inodes += 1n;
    }
  }
  return usage;
}

async function present<T, F>(promise: Promise<T>, otherwise: F): Promise<T | F> {
  try {
    return await promise;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return otherwise;
    throw error;
  }
}
