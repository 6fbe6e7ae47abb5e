import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeclaredVolumes } from '../../core/model/declared-volumes.ts';
import { invalidArgument, unknown } from '../../core/model/errors.ts';
import type { OciMount } from '../../core/model/oci-runtime.ts';
import type { Remains, Usage } from '../../core/model/rootfs.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { withScoped } from '../../utils/fs/scoped.ts';
import { copyDirectory } from '../trees/copy-directory.ts';
import { diskUsage } from '../trees/disk-usage.ts';
import { Trash } from '../trees/trash.ts';
import { resolveInRoot } from './resolve-in-root.ts';
import { namesIn } from '../../utils/fs/names.ts';

/** Paths of the kernel: a mount over them would remove the confinement of the container. */
const KERNEL = ['/proc', '/sys', '/dev'];

/** The directory, beside those of the containers, of volumes that are being removed. */
const REMOVED = 'removed';

/** Declared volumes as directories of this host: `<directory>/<container id>/<number>`, one for each path of an image. */
export class VolumeDirectories implements DeclaredVolumes {
  readonly #directory: string;
  readonly #trash: Trash;

  /** @param onError receives failures of removals in the background, and delays on a read-only filesystem. */
  constructor(directory: string, onError: (error: unknown) => void) {
    this.#directory = directory;
    this.#trash = new Trash(join(directory, REMOVED), onError);
  }

  async make(
    containerId: string,
    rootfs: string,
    request: {
      volumes: readonly string[];
      requested: readonly string[];
      owner: number;
      place?: ((number: number, destination: string) => Promise<string>) | undefined;
      signal?: AbortSignal | undefined;
    },
  ): Promise<OciMount[]> {
    const { requested, owner, signal } = request;
    const place = request.place ?? ((number: number) => this.#own(containerId, number));
    const taken = new Set(requested);
    const wanted: { destination: string; field: string }[] = [];
    for (const volume of request.volumes) {
      const field = `the image's Volumes: ${JSON.stringify(volume)}`;
      const destination = await resolveInRoot(rootfs, volume, field);
      if (destination === '/') throw invalidArgument(field, 'must not be the root directory');
      if (KERNEL.some((path) => destination === path || destination.startsWith(`${path}/`))) {
        throw invalidArgument(field, 'belongs to the kernel');
      }
      if (taken.has(destination)) continue;
      taken.add(destination);
      wanted.push({ destination, field });
    }
    const mounts: OciMount[] = [];
    // The outer ones first: their content includes the inner ones, so that all together are not larger than the image.
    for (const { destination, field } of wanted.sort((a, b) => a.destination.length - b.destination.length)) {
      signal?.throwIfAborted();
      const isCovered = (path: string, by: string) => path.startsWith(`${by}/`);
      const outer = mounts.find((mount) => isCovered(destination, mount.destination));
      const isApart =
        outer && requested.some((path) => isCovered(path, outer.destination) && isCovered(destination, path));
      // A mount of the request between the two would hide it.
      if (outer !== undefined && isApart === false) {
        await makeInside(outer.source, destination.slice(outer.destination.length + 1), { field, owner });
        continue;
      }
      const source = await place(mounts.length, destination);
      await fill(source, rootfs, destination, { field, owner, signal });
      mounts.push({ destination, type: 'bind', source, options: ['rbind', 'rprivate', 'rw'] });
    }
    return mounts;
  }

  /** A new directory in that of a container, which only root can enter. */
  async #own(containerId: string, number: number): Promise<string> {
    const path = join(this.#directory, containerId, String(number));
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  }

  async remove(containerId: string): Promise<void> {
    const directory = join(this.#directory, containerId);
    // Most containers have none.
    if (await exists(directory)) await this.#trash.discard(directory, { patient: true });
  }

  async usage(containerId: string): Promise<Usage> {
    const directory = join(this.#directory, containerId);
    return (await diskUsage(directory)) ?? { bytes: 0n, inodes: 0n };
  }

  async list(): Promise<string[]> {
    return (await namesIn(this.#directory)).filter((name) => name !== REMOVED);
  }

  remains(): Promise<Remains[]> {
    return this.#trash.remains();
  }

  recover(): Promise<void> {
    return this.#trash.sweep();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Creates a directory inside a new volume where the image has none. Its path has no links. */
async function makeInside(
  volume: string,
  path: string,
  { field, owner }: { field: string; owner: number },
): Promise<void> {
  let directory = volume;
  for (const name of path.split('/')) {
    directory = join(directory, name);
    try {
      await mkdir(directory, { mode: 0o755 });
      await chown(directory, owner, owner);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
      if (!(await lstat(directory)).isDirectory()) throw invalidArgument(field, 'is not a directory in the image');
    }
  }
}

/** Copies the image's content at `path`, through an open directory, so that no link can lead outside. */
async function fill(
  target: string,
  rootfs: string,
  path: string,
  { field, owner, signal }: { field: string; owner: number; signal: AbortSignal | undefined },
): Promise<void> {
  const found = await withScoped(rootfs, path, async ({ path: source, stats }) => {
    if (!stats.isDirectory()) throw invalidArgument(field, 'is not a directory in the image');
    try {
      await copyDirectory(source, target, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw unknown(`${field}: copying the content to the container failed: ${messageOf(error)}`, error);
    }
    return true;
  });
  if (found !== undefined) return;
  await chmod(target, 0o755);
  await chown(target, owner, owner);
}
