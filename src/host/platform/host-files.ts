import type { Stats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import type { DeviceFile, FileFacts, InnerMount, MountFacts, PlatformFiles } from '../../core/model/platform-files.ts';
import { invalidArgument, unavailable } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { ScopedFileError, readFileScoped, withScoped } from '../../utils/fs/scoped.ts';
import { idmapProblems } from '../idmap/support.ts';
import { mountOf } from '../mounts/mountinfo.ts';
import { StepError } from '../native/call.ts';
import { deviceNumbers, inspectPath, makeDirectories, readPath } from '../paths.ts';
import { copyDirectory } from '../trees/copy-directory.ts';
import { resolveInRoot } from './resolve-in-root.ts';
import { withDirectory } from './with-directory.ts';

/** Files of this host. The native helper accesses paths of requests, with a time limit. */
export class HostFiles implements PlatformFiles {
  async inspect(path: string): Promise<FileFacts | undefined> {
    return present(inspectPath(path));
  }

  async devicesBelow(directory: string, except: readonly string[]): Promise<DeviceFile[]> {
    // A stalled filesystem fails here; the many files in it are then read in this process.
    await inspectPath(directory);
    const devices: DeviceFile[] = [];
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (except.includes(entry.name)) continue;
      const path = posix.join(directory, entry.name);
      // Each may have been removed since.
      if (entry.isDirectory()) {
        const below = (await present(this.devicesBelow(path, []))) ?? [];
        devices.push(...below.map((one) => ({ ...one, path: posix.join(entry.name, one.path) })));
      } else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
        const stats = await present(stat(path));
        if (stats !== undefined) devices.push({ path: entry.name, facts: factsOf(stats) });
      }
    }
    return devices;
  }

  async resolve(path: string): Promise<string | undefined> {
    return (await present(inspectPath(path)))?.path;
  }

  async mountOf(path: string): Promise<MountFacts> {
    return mountOf(await readFile('/proc/self/mountinfo', 'utf8'), path);
  }

  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    try {
      return await present(readPath(path, maxBytes));
    } catch (error) {
      if (isErrno(error, 'EFBIG'))
        throw new Error(`${path} is larger than ${String(maxBytes)} bytes`, { cause: error });
      throw error;
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await makeDirectories(path, 0o755).catch(asUnavailable);
  }

  copyDirectory(source: string, target: string, signal?: AbortSignal): Promise<void> {
    return copyDirectory(source, target, signal);
  }

  withDirectory<T>(root: string, path: string, like: string, use: (path: string) => Promise<T>): Promise<T> {
    return withDirectory(root, path, like, use);
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

  async readInRoot(root: string, path: string, maxBytes: number): Promise<Buffer | undefined> {
    try {
      return await readFileScoped(root, path, maxBytes);
    } catch (error) {
      if (error instanceof ScopedFileError) throw invalidArgument('the image', error.message);
      throw error;
    }
  }
}

function factsOf(stats: Stats): FileFacts {
  const { mode, uid, gid, rdev } = stats;
  return { kind: kindOf(stats), mode: mode & 0o7777, uid, gid, ...deviceNumbers(rdev) };
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
    return asUnavailable(error);
  }
}

/** A stalled filesystem is not the caller's fault. @throws CriError UNAVAILABLE for a time limit, otherwise the error. */
function asUnavailable(error: unknown): never {
  if (error instanceof StepError && error.status === 'timeout') throw unavailable(messageOf(error), error);
  throw error;
}
