import { chmod, chown, mkdir, realpath, rmdir, statfs, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { deadlineExceeded, invalidArgument } from '../../core/model/errors.ts';
import type { IdRange } from '../../core/model/id-range.ts';
import type { Rootfs, RootfsMount } from '../../core/model/rootfs.ts';
import type { Capacity, RootfsMountPoint, RootfsMounts } from '../../core/model/rootfs-mounts.ts';
import { runLocked, withinLimit } from '../../utils/async/abortable.ts';
import { KeyedLock } from '../../utils/async/keyed-lock.ts';
import { isErrno } from '../../utils/errors.ts';
import { isMountPoint, mountPoints, unmountAll } from '../mounts/mount.ts';
import { call } from '../native/call.ts';
import { MountFlag, type Step } from '../native/steps.ts';
import { run } from '../processes/run.ts';
import { resolveInRoot } from './resolve-in-root.ts';
import { namesIn } from '../../utils/fs/names.ts';

/** A file name. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** Milliseconds for a killed program to end. */
const KILLED_MS = 1000;
const ROOT = 'root';
/** Where a block device is mounted whose root filesystem shows it with mapped ids. */
const DEVICE = 'device';

type Device = Extract<Rootfs, { blockDevice: string }>;

const FLAGS: ReadonlyMap<string, number> = new Map([
  ['ro', MountFlag.readonly],
  ['nosuid', MountFlag.nosuid],
  ['nodev', MountFlag.nodev],
  ['noexec', MountFlag.noexec],
  ['bind', MountFlag.bind],
]);

/** Mounts root filesystems on this kernel, at `<directory>/<id>/root`. */
export class HostRootfsMounts implements RootfsMounts {
  readonly #directory: string;
  readonly #locks = new KeyedLock();

  /** @param directory created when needed; a reboot should empty it, as it does the mounts. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async mount(id: string, rootfs: Rootfs, signal?: AbortSignal): Promise<string> {
    if (!ID.test(id)) throw invalidArgument('rootfs id', `${JSON.stringify(id)} is no plain name`);
    return runLocked(this.#locks, id, signal, () => this.#mount(id, rootfs, signal));
  }

  async sync(id: string, limitMs: number): Promise<void> {
    const root = join(this.#directory, id, ROOT);
    if (!ID.test(id) || !(await isMountPoint(root))) return;
    const over = () => deadlineExceeded(`${root} is not written to disk after ${String(limitMs)} ms`);
    await withinLimit({ limitMs, graceMs: KILLED_MS, over }, (signal) =>
      run('sync', ['--file-system', '--', root], { cwd: '/', holds: 'nothing', signal }),
    );
  }

  async dropCache(): Promise<void> {
    // Only for all filesystems at once (proc_sys_vm(5)): nothing drops the pages of one, or of files that are not known.
    await writeFile('/proc/sys/vm/drop_caches', '1');
  }

  async unmount(id: string): Promise<void> {
    if (ID.test(id)) await this.#locks.run(id, () => clear(join(this.#directory, id)));
  }

  async capacity(id: string): Promise<Capacity | undefined> {
    if (!ID.test(id)) return undefined;
    try {
      const { blocks, bsize, files, ffree } = await statfs(join(this.#directory, id, ROOT), { bigint: true });
      return { bytes: blocks * bsize, inodes: files, freeInodes: ffree };
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async list(): Promise<RootfsMountPoint[]> {
    const ids = (await namesIn(this.#directory)).filter((name) => ID.test(name));
    if (ids.length === 0) return [];
    const mounted = await mountPoints();
    // The kernel lists mount points without links.
    const directory = await realpath(this.#directory);
    return ids.map((id) => ({ id, isMounted: mounted.has(join(directory, id, ROOT)) }));
  }

  async #mount(id: string, rootfs: Rootfs, signal: AbortSignal | undefined): Promise<string> {
    const own = join(this.#directory, id);
    const root = join(own, ROOT);
    await mkdir(this.#directory, { recursive: true, mode: 0o711 });
    await mkdir(root, { recursive: true, mode: 0o700 });
    if (rootfs.ids !== undefined) await letIn(own, rootfs.ids.hostId);
    const whole = 'mounts' in rootfs ? asDevice(rootfs) : rootfs;
    if (whole !== undefined) await mountDevice(own, whole, signal);
    else if ('mounts' in rootfs) await mountAll(root, rootfs.mounts, rootfs.ids, signal);
    return root;
  }
}

async function clear(own: string): Promise<void> {
  const targets = (await namesIn(own))
    .filter((name) => name === ROOT || name === DEVICE)
    .map((name) => join(own, name));
  await unmountAll(targets);
  // Never a tree: mounted or foreign files must not be deleted.
  for (const path of [...targets, own]) await removeEmpty(path);
}

/** Lets the root of a user namespace, which has no privileges over foreign files, reach the files below. */
async function letIn(directory: string, gid: number): Promise<void> {
  await chown(directory, 0, gid);
  await chmod(directory, 0o710);
}

/**
 * A filesystem that is shown with mapped ids as a whole, such as that of a dataset: mounted like a device's. undefined for mounts
 * without mapped ids, and for overlayfs, which maps those of its layers.
 */
function asDevice({ mounts, ids }: Extract<Rootfs, { mounts: unknown }>): Device | undefined {
  const [mount, more] = mounts;
  if (ids === undefined || mount === undefined || more !== undefined) return undefined;
  if (mount.type === 'overlay' || mount.target !== '') return undefined;
  return { blockDevice: mount.source, fsType: mount.type, options: mount.options, ids };
}

async function mountAll(
  root: string,
  mounts: readonly RootfsMount[],
  ids: IdRange | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const mount of mounts) {
    // Links of the image on the path must not lead outside.
    const inside = mount.target === '' ? '' : await resolveInRoot(root, mount.target, 'rootfs mount');
    await call([stepFor(mount, join(root, inside), ids)], signal);
  }
}

function stepFor(mount: RootfsMount, target: string, ids: IdRange | undefined): Step {
  const { type, source, directory, mappedDirectory } = mount;
  const { flags, options } = parse(mount.options);
  if (ids === undefined) {
    return {
      do: 'mount',
      source,
      target,
      type,
      flags,
      options,
      ...(directory !== undefined && { cwd: directory }),
      unlessMounted: true,
    };
  }
  if (type !== 'overlay' || directory === undefined || mappedDirectory === undefined) {
    throw invalidArgument('rootfs mount', `${type} at ${target} cannot be mounted with mapped ids`);
  }
  const links = relative(mappedDirectory, directory) || '.';
  return { do: 'overlay', store: mappedDirectory, links, options, flags, target, map: ids };
}

/** With mapped ids the device is mounted beside the root, which shows a clone of that mount. */
async function mountDevice(
  own: string,
  { blockDevice, fsType, options: all = [], ids }: Device,
  signal: AbortSignal | undefined,
): Promise<void> {
  const root = join(own, ROOT);
  const target = ids === undefined ? root : join(own, DEVICE);
  const mount = { do: 'mount', source: blockDevice, target, type: fsType, ...parse(all), unlessMounted: true } as const;
  if (ids === undefined) {
    await call([mount], signal);
    return;
  }
  await mkdir(target, { recursive: true, mode: 0o700 });
  // The clone would be mounted over the existing one.
  if (await isMountPoint(root)) return;
  await call([mount, { do: 'idmap', source: target, map: ids, target: root }], signal);
}

/** Options as mount(2) takes them. */
function parse(options: readonly string[]): { flags: number; options: string } {
  const flags = options.reduce((sum, option) => sum | (FLAGS.get(option) ?? 0), 0);
  return { flags, options: options.filter((option) => !FLAGS.has(option)).join(',') };
}

async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
