import { randomUUID } from 'node:crypto';
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LayerApply, Usage } from '../../../core/model/rootfs.ts';
import { describeDirectory, setFacts } from '../../../host/layers/directory-facts.ts';
import type { TarLimits } from '../../../host/layers/extract.ts';
import type { LayerLimits } from '../../../host/layers/layer-filter.ts';
import { LayerWorkers } from '../../../host/layers/layer-workers.ts';
import { unmount } from '../../../host/mounts/mount.ts';
import type { Backing } from '../backing/backing.ts';
import type { Settings } from '../zfs.ts';
import { layerSettings } from './layer-snapshot.ts';

export interface LayerWriterOptions {
  backing: Backing;
  /** Directory where a dataset is mounted while it is written. */
  mounts: string;
  limits: LayerLimits & TarLimits;
}

/** Of the root directory of an image whose layers do not have it. */
const ROOT = { mode: 0o755, uid: 0, gid: 0, mtime: '0' };

/** Writes the files of layers, each into a dataset that has those of the layers below. */
export class LayerWriter {
  readonly #options: LayerWriterOptions;
  readonly #workers = new LayerWorkers();

  constructor(options: LayerWriterOptions) {
    this.#options = options;
  }

  /** Writes the empty root directory that layers without one have. Returns properties for the snapshot. */
  writeBase(dataset: string): Promise<Settings> {
    return this.#mounted(dataset, async (target) => {
      await setFacts(target, ROOT);
      return this.#options.backing.flush(dataset, target);
    });
  }

  /**
   * Writes a layer. Returns properties for the snapshot, which makes it complete.
   * @param usageBelow of the layers below. @throws as {@link unpackLayer}.
   */
  write(dataset: string, layer: LayerApply, usageBelow: Usage): Promise<Settings> {
    return this.#mounted(dataset, (target) => this.#unpack(dataset, target, layer, usageBelow), layer.signal);
  }

  async #unpack(
    dataset: string,
    target: string,
    { parent, diffId, chainId, blob, signal }: LayerApply,
    usageBelow: Usage,
  ): Promise<Settings> {
    const { backing, limits } = this.#options;
    // Nobody can guess it: no entry of the layer is written to it, or hidden by it.
    const stage = join(target, `.${randomUUID()}`);
    const below = await describeDirectory([target], '');
    await mkdir(stage, { mode: 0o755 });
    // The root that the layer may inherit is that of the layers below, without the new directory in it.
    await setFacts(target, below ?? ROOT);
    const task = { blob, diffId, directory: stage, onto: target, below: [target], usageBelow, limits };
    const { usage } = await this.#workers.run(task, signal);
    return { ...layerSettings({ chainId, parent, diffId, ...usage }), ...(await backing.flush(dataset, target)) };
  }

  /** What `work` returns, which is given the directory where a dataset is mounted for as long. */
  async #mounted<T>(dataset: string, work: (target: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const target = join(this.#options.mounts, randomUUID());
    await mkdir(target, { recursive: true, mode: 0o700 });
    try {
      await this.#options.backing.mount(dataset, target, signal);
      return await work(target);
    } finally {
      // Where it has taken too long, a repetition finds nothing mounted.
      await unmount(target)
        .catch(() => unmount(target))
        .catch(() => undefined);
      await rmdir(target).catch(() => undefined);
    }
  }
}
