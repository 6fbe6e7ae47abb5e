import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { rootfsChooser } from './choose-rootfs.ts';
import { limitPolicy, type RootfsOfHandler, rootfsOfHandler } from './core/config/rootfs.ts';
import type { Config } from './core/config/schema.ts';
import { failedPrecondition } from './core/model/errors.ts';
import type { Logger } from './core/model/logger.ts';
import type { Backend } from './core/model/backend.ts';
import type { RootfsStore } from './core/model/rootfs.ts';
import { ROOT } from './core/state-layout.ts';
import { readZfsStorages } from './host/proxmox-storage.ts';
import { OverlayStore } from './integrations/overlayfs/overlay-store.ts';
import { zfsClient } from './integrations/zfs/client.ts';
import { poolOf } from './integrations/zfs/names.ts';
import { type KnownStore, storeDirectory, storesBelow } from './integrations/zfs/store/store-directory.ts';
import { ZfsStore } from './integrations/zfs/store/zfs-store.ts';
import { proxmoxNodeName } from './proxmox-node.ts';
import { namesIn } from './utils/fs/names.ts';

/** The stores of this host. */
export interface HostStores {
  /** The store of a handler's new root filesystems, and their limits. */
  of(handler: string): Required<Pick<Backend, 'rootfs' | 'limits'>>;
  /** Those that an earlier configuration used and that may hold something. */
  left: readonly RootfsStore[];
}

/** Chooses and opens the stores of the handlers, each once. @throws CriError naming the key and the remedy. */
export async function openHostStores(
  config: Config,
  handlers: readonly string[],
  logger: Logger,
  measured: (store: RootfsStore) => RootfsStore = (store) => store,
): Promise<HostStores> {
  const client = zfsClient();
  const choose = rootfsChooser(config, client);
  const overlay = join(config.root, ROOT.overlay);
  const directories = join(config.root, ROOT.zfs);
  const ofGuests = config.proxmox.hosts.length > 0 ? await guestStorage(config) : undefined;
  const make = (dataset: string | undefined): RootfsStore => {
    if (dataset === undefined) return new OverlayStore({ root: overlay, logger });
    const guests = ofGuests !== undefined && poolOf(ofGuests) === poolOf(dataset) ? ofGuests : undefined;
    const { compression, recordsize } = config.rootfs;
    const mounts = join(directories, storeDirectory(dataset));
    return new ZfsStore({
      zfs: client.zfs,
      dataset,
      root: config.root,
      mounts,
      compression,
      recordsize,
      guests,
      logger,
    });
  };
  // By their datasets; undefined: overlayfs.
  const open = new Map<string | undefined, RootfsStore>();
  const byHandler = new Map<string, RootfsStore>();
  const known = await storesBelow(directories, client);
  for (const handler of handlers) {
    const choice = await choose(handler);
    if (choice.store === 'overlayfs') needImported(known, rootfsOfHandler(config, handler));
    logger.info('Root filesystem store chosen', { handler, ...choice });
    const dataset = choice.store === 'zfs' ? choice.dataset : undefined;
    const store = open.get(dataset) ?? measured(make(dataset));
    open.set(dataset, store);
    byHandler.set(handler, store);
    // By this directory, a later start finds a store that no handler uses any more.
    if (dataset !== undefined)
      await mkdir(join(directories, storeDirectory(dataset)), { recursive: true, mode: 0o700 });
  }
  const left: RootfsStore[] = [];
  if (!open.has(undefined) && (await holdsOverlay(overlay))) left.push(make(undefined));
  for (const { dataset } of known) if (!open.has(dataset)) left.push(make(dataset));
  for (const { name } of left) logger.info('Root filesystem store of an earlier configuration kept', { store: name });
  return {
    of: (handler) => {
      const rootfs = byHandler.get(handler);
      if (rootfs === undefined) throw new Error(`no store was opened for the handler ${handler}`);
      return { rootfs, limits: limitPolicy(rootfsOfHandler(config, handler)) };
    },
    left,
  };
}

/** The dataset of the Proxmox storage of guests, where that is one of ZFS. */
async function guestStorage(config: Config): Promise<string | undefined> {
  const storages = await readZfsStorages(undefined, proxmoxNodeName(config));
  return storages.find(({ name }) => name === config.proxmox.storage)?.pool;
}

/**
 * With `auto`, a pool that is imported too late must not move the node to overlayfs, where it has no image. @throws CriError
 * FAILED_PRECONDITION when one is missing.
 */
function needImported(known: readonly KnownStore[], { store, table }: RootfsOfHandler): void {
  const missing = known.find(({ isImported }) => !isImported)?.dataset;
  if (store !== 'auto' || missing === undefined) return;
  throw failedPrecondition(
    `${table}.store: the pool of dataset ${missing}, in which this server has root filesystems, is not imported; import it with ` +
      `"zpool import ${poolOf(missing)}", or set ${table}.store to "overlayfs"`,
  );
}

async function holdsOverlay(overlay: string): Promise<boolean> {
  for (const part of ['containers', 'layers']) if ((await namesIn(join(overlay, part))).length > 0) return true;
  return false;
}
