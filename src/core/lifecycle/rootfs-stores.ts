import { messageOf } from '../../utils/errors.ts';
import type { Logger } from '../model/logger.ts';
import type { RootfsStore, Usage } from '../model/rootfs.ts';

/**
 * The stores of root filesystems of a server. Those in use have every image. Those left, by an earlier configuration, serve the
 * containers that they have: nothing new is stored in them, and they are erased when they are empty.
 */
export class RootfsStores {
  /** The stores that handlers use, each once; that of the default handler is the first. */
  readonly used: readonly [RootfsStore, ...RootfsStore[]];
  #left: readonly RootfsStore[];
  readonly #logger: Logger;

  constructor({
    used,
    left = [],
    logger,
  }: {
    used: readonly RootfsStore[];
    left?: readonly RootfsStore[];
    logger: Logger;
  }) {
    const [first, ...others] = new Set(used);
    if (first === undefined) throw new Error('no store of root filesystems');
    this.used = [first, ...others];
    this.#left = left.filter(({ name }) => !this.used.some((store) => store.name === name));
    this.#logger = logger;
  }

  /** Those that no handler uses any more. */
  get left(): readonly RootfsStore[] {
    return this.#left;
  }

  /** All of them, those in use first. */
  get all(): readonly RootfsStore[] {
    return [...this.used, ...this.#left];
  }

  /** The store of that name; undefined when the server has none. */
  find(name: string): RootfsStore | undefined {
    return this.all.find((store) => store.name === name);
  }

  /** Recovers all of them. Failures of those left are logged. @throws what a store in use throws. */
  async recover(): Promise<void> {
    await this.each('recovering it', (store) => store.recover());
  }

  /**
   * Runs `work` for each store, those in use first. Failures of one that is left, such as those of a pool that is not imported any
   * more, are logged. @throws what `work` throws for a store in use.
   */
  async each(what: string, work: (store: RootfsStore, isUsed: boolean) => Promise<void>): Promise<void> {
    for (const store of this.used) await work(store, true);
    for (const store of this.#left) {
      try {
        await work(store, false);
      } catch (error) {
        const values = { store: store.name, what, error: messageOf(error) };
        this.#logger.error('Root filesystem store of an earlier configuration failed', values);
      }
    }
  }

  /** Erases the stores that are left and have no layers, root filesystems and volumes. Failures are logged. */
  async retire(): Promise<void> {
    await this.each('erasing it', async (store, isUsed) => {
      if (isUsed) return;
      const content = [await store.list(), await store.listLayers(), (await store.volumes?.list()) ?? []];
      if (content.some((part) => part.length > 0)) return;
      const kept = (await store.erase?.()) ?? [];
      if (kept.length > 0) {
        this.#logger.warn('Root filesystem store of an earlier configuration not erased', { store: store.name, kept });
        return;
      }
      this.#left = this.#left.filter((each) => each !== store);
      this.#logger.info('Root filesystem store of an earlier configuration retired', { store: store.name });
    });
  }

  /**
   * The filesystem of each store by its name, with what its layers use. One that fails, such as that of a suspended pool, is missing.
   * @throws what the first throws, which is that of the default handler: the kubelet reads no other.
   */
  async filesystems(): Promise<ReadonlyMap<string, Usage & { mountpoint: string }>> {
    const [first, ...others] = this.all;
    const filesystems = new Map<string, Usage & { mountpoint: string }>();
    if (first !== undefined) filesystems.set(first.name, await first.fsUsage());
    for (const store of others) {
      try {
        filesystems.set(store.name, await store.fsUsage());
      } catch (error) {
        // The kubelet asks every few seconds: a failure of one that is left is not logged.
        if (this.#left.includes(store)) continue;
        this.#logger.warn('Reading the usage of a root filesystem store failed', {
          store: store.name,
          error: messageOf(error),
        });
      }
    }
    return filesystems;
  }
}
