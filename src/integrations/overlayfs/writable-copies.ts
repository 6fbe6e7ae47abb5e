import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { invalidArgument, notFound } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { Rootfs, RootfsOptions, Usage } from '../../core/model/rootfs.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { unmountBelow } from '../../host/mounts/mount.ts';
import { toJson } from '../../utils/json.ts';
import { diskUsage } from '../../host/trees/disk-usage.ts';
import type { Trash } from '../../host/trees/trash.ts';
import { describeDirectory, setFacts } from '../../host/layers/directory-facts.ts';
import type { LayerIndex } from './layer-index.ts';
import { namesIn } from '../../utils/fs/names.ts';

/** `rootfs.json` of a clone or view. It is written before anything that needs a rollback. */
const copySchema = z.object({
  format: z.literal(1),
  chainId: z.string().optional(),
  /** A view: its upper directory stays empty and is not mounted. */
  readonly: z.boolean().default(false),
  /** The user namespace it is for. */
  ids: z.object({ hostId: z.number(), size: z.number() }).optional(),
});
type Copy = z.output<typeof copySchema>;

/** A file name without commas and colons, which would separate mount options. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** A lower directory without files. */
const EMPTY = 'empty';

/** A read-only overlay, as mount(2) takes it. */
interface View {
  type: string;
  source: string;
  options: string;
  cwd: string;
}

/** Containers' writable filesystems: `containers/<id>/{rootfs.json,upper,work}`. The caller serializes changes. */
export class WritableCopies {
  readonly #root: string;
  readonly #layers: LayerIndex;
  readonly #trash: Trash;
  readonly #logger: Logger;

  constructor(root: string, { layers, trash, logger }: { layers: LayerIndex; trash: Trash; logger: Logger }) {
    this.#root = root;
    this.#layers = layers;
    this.#trash = trash;
    this.#logger = logger;
  }

  /** As RootfsStore.prepare. */
  async prepare(
    id: string,
    chainId: string | undefined,
    { readonly = false, ids, signal }: RootfsOptions,
  ): Promise<Rootfs> {
    if (!ID.test(id)) throw invalidArgument('rootfs id', `${JSON.stringify(id)} is not a valid name`);
    const existing = await this.#read(id);
    if (existing) {
      if (existing.chainId !== chainId) throw invalidArgument('rootfs id', `${id} exists with another image`);
      if (existing.readonly !== readonly) throw invalidArgument('rootfs id', `${id} exists with another access`);
      if (!isDeepStrictEqual(existing.ids, ids)) throw invalidArgument('rootfs id', `${id} exists with other ids`);
      return this.#valueOf(id, existing);
    }
    const copy: Copy = {
      format: 1,
      readonly,
      ...(chainId !== undefined && { chainId }),
      ...(ids !== undefined && { ids }),
    };
    const layers = this.#layers.visible(chainId);
    const directory = this.#directory(id);
    try {
      await mkdir(join(this.#root, EMPTY), { recursive: true, mode: 0o755 });
      await mkdir(join(directory, 'upper'), { recursive: true, mode: 0o700 });
      await mkdir(join(directory, 'work'), { recursive: true, mode: 0o700 });
      // The mounted root shows the upper directory's owner and mode.
      const facts = await describeDirectory(this.#layers.directories(layers), '');
      signal?.throwIfAborted();
      await setFacts(join(directory, 'upper'), facts ?? { mode: 0o755, uid: 0, gid: 0, mtime: '0' });
      await writeFileAtomic(join(directory, 'rootfs.json'), toJson(copy) + '\n');
      return this.#valueOf(id, copy);
    } catch (error) {
      await this.remove(id);
      throw error;
    }
  }

  /** As RootfsStore.get. */
  async get(id: string): Promise<Rootfs | undefined> {
    if (!ID.test(id)) return undefined;
    const copy = await this.#read(id);
    return copy && this.#valueOf(id, copy);
  }

  /**
   * What shows a clone's image, and the clone as it is: its upper directory as the top layer. @throws CriError NOT_FOUND when
   * it does not exist.
   */
  async views(id: string): Promise<{ image: View | undefined; rootfs: View }> {
    const copy = ID.test(id) ? await this.#read(id) : undefined;
    if (copy === undefined) throw notFound('root filesystem', id);
    const image = this.#layers.visible(copy.chainId).map(({ link }) => link);
    // Another overlay may use the upper directory meanwhile: with an index it would be refused.
    const view = (lower: readonly string[]) => ({
      type: 'overlay',
      source: 'overlay',
      options: `index=off,lowerdir=${lower.join(':')}`,
      cwd: this.#layers.links,
    });
    const upper = `../containers/${id}/upper`;
    await mkdir(join(this.#root, EMPTY), { recursive: true, mode: 0o755 });
    return {
      image: image.length === 0 ? undefined : view([...image, `../${EMPTY}`]),
      rootfs: view([upper, ...image, `../${EMPTY}`]),
    };
  }

  /** Removes the clone in one step; its files are removed in the background. No error when there is none. */
  async remove(id: string): Promise<void> {
    if (!ID.test(id)) return;
    // Earlier versions mounted a clone in its own directory.
    await unmountBelow(this.#directory(id));
    await this.#trash.discard(this.#directory(id), { patient: true });
  }

  list(): Promise<string[]> {
    return namesIn(join(this.#root, 'containers'));
  }

  /** The usage of the clone. undefined when there is none. */
  async usage(id: string): Promise<Usage | undefined> {
    if (!ID.test(id)) return undefined;
    return diskUsage(join(this.#directory(id), 'upper'));
  }

  /** The top layers of all clones and views; unknown where one cannot be read, which may belong to any layer. */
  async used(): Promise<ReadonlySet<string> | 'unknown'> {
    const used = new Set<string>();
    try {
      for (const id of await this.list()) used.add((await this.#read(id))?.chainId ?? '');
    } catch {
      return 'unknown';
    }
    return used;
  }

  /** Removes incomplete clones and keeps foreign files. A failure for one is reported, and it is kept unchanged. */
  async recover(): Promise<void> {
    for (const id of await this.list()) {
      try {
        if ((await this.#read(id)) === undefined && !(await this.#isForeign(id))) await this.remove(id);
      } catch (error) {
        this.#logger.error('Recovering the root filesystem of a container failed', {
          containerId: id,
          error: messageOf(error),
        });
      }
    }
  }

  /** Paths are relative to the directory of links: mount options are limited to one page. */
  #valueOf(id: string, { chainId, readonly, ids }: Copy): Rootfs {
    const lower = this.#layers.visible(chainId).map((layer) => layer.link);
    const copy = `../containers/${id}`;
    if (lower.length === 0) lower.push(`../${EMPTY}`);
    // Without an upper directory, the kernel requires at least two lower ones.
    if (readonly) lower.push(`../${EMPTY}`);
    const options = readonly
      ? ['ro', `lowerdir=${lower.join(':')}`]
      : [`lowerdir=${lower.join(':')}`, `upperdir=${copy}/upper`, `workdir=${copy}/work`];
    const mount = { type: 'overlay', source: 'overlay', options, target: '', directory: this.#layers.links };
    if (ids === undefined) return { mounts: [mount] };
    return { mounts: [{ ...mount, mappedDirectory: this.#root }], ids };
  }

  /** Whether it does not belong to the store: it is not a directory, or has files that no clone has. */
  async #isForeign(id: string): Promise<boolean> {
    try {
      const held = await readdir(this.#directory(id));
      return held.some((name) => !/^(upper|work|merged|rootfs\.json.*)$/.test(name));
    } catch (error) {
      if (isErrno(error, 'ENOTDIR')) return true;
      throw error;
    }
  }

  async #read(id: string): Promise<Copy | undefined> {
    try {
      return copySchema.parse(JSON.parse(await readFile(join(this.#directory(id), 'rootfs.json'), 'utf8')));
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  #directory(id: string): string {
    return join(this.#root, 'containers', id);
  }
}
