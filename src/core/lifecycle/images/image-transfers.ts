import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../model/clock.ts';
import { CriError, failedPrecondition, invalidArgument, notFound, StatusCode } from '../../model/errors.ts';
import type { NewFiles } from '../../model/image-files.ts';
import type { ImageRecord, SourceImage } from '../../model/image.ts';
import type { RootfsStore } from '../../model/rootfs.ts';
import type { IncomingImage, RootfsTransfers, SentRootfs } from '../../model/rootfs-transfer.ts';
import type { ContainerService } from '../containers/container-service.ts';
import type { PodService } from '../pods/pod-service.ts';
import { needPlace } from '../rootfs-place.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import { committedConfig } from './commit-config.ts';
import { chainIds, parseImageConfig } from './image-config.ts';
import type { ImageService } from './image-service.ts';
import { openForAll } from './open-for-all.ts';
import { layersOf, ownImage, PLAIN_LAYER, storedImage } from './own-image.ts';

export interface ImageTransfersOptions {
  pods: Pick<PodService, 'backendOf'>;
  containers: Pick<ContainerService, 'get'>;
  images: Pick<ImageService, 'status' | 'documents' | 'add' | 'hold' | 'collect'>;
  stores: Pick<RootfsStores, 'used' | 'find'>;
  files: NewFiles;
  clock: Clock;
}

/** What is sent: an image, or the root filesystem of a container with its image. */
export type Sent = { image: string } | { container: string; snapshot: string | undefined };

/** Sends images and root filesystems of containers to other nodes, as their store has them, and receives them. */
export class ImageTransfers {
  readonly #options: ImageTransfersOptions;

  constructor(options: ImageTransfersOptions) {
    this.#options = options;
  }

  /**
   * The stream for {@link receive} of another node.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION where the store cannot send; the signal's reason.
   */
  async *send(what: Sent, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const { images } = this.#options;
    const { image, store, rootfs } = this.#find(what);
    const transfers = transfersOf(store);
    const { config, manifest } = await images.documents(image);
    const release = images.hold(image.config.diffIds);
    try {
      const names = rootfs === undefined ? [...image.repoTags, ...image.repoDigests] : [];
      yield* transfers.send({ config, manifest, names }, image.chainId, rootfs, signal);
    } finally {
      release();
    }
  }

  /** As {@link send}, to a new file on this host. Returns its size. @throws CriError INVALID_ARGUMENT when it exists or cannot be made. */
  async sendToFile(what: Sent, path: string, signal?: AbortSignal): Promise<number> {
    return this.#options.files.write(path, () => this.send(what, signal), signal);
  }

  /**
   * Receives what {@link send} has made into all stores, and returns the id of the image. The root filesystem of a container becomes
   * the top layer of an image: its diff id is the digest of its stream, not of a tar.
   * @param name for the image instead of its names; a container's root filesystem needs one.
   * @throws CriError DATA_LOSS for a damaged stream, INVALID_ARGUMENT, FAILED_PRECONDITION, RESOURCE_EXHAUSTED; the signal's
   *   reason. Nothing stays then.
   */
  async receive(source: AsyncIterable<Buffer>, name: string, signal?: AbortSignal): Promise<string> {
    const { stores } = this.#options;
    const incoming = await openForAll(stores.used.map(transfersOf), source);
    try {
      return await this.#receive(incoming, name, signal);
    } finally {
      incoming.close();
    }
  }

  async #receive(incoming: IncomingImage, name: string, signal?: AbortSignal): Promise<string> {
    const { images } = this.#options;
    const { diffIds } = parseImageConfig(incoming.config);
    this.#check(incoming, diffIds, name);
    const releases = [images.hold(diffIds)];
    const chainOf = (diffId: string) => {
      const all = [...diffIds, diffId];
      releases.push(images.hold(all));
      return chainIds(all).at(-1) ?? '';
    };
    try {
      const added = await incoming.receive(chainOf, signal);
      const names = name === '' ? incoming.names : [name];
      return await images.add(this.#sourceOf(incoming, added), names, signal);
    } catch (error) {
      for (const release of releases) release();
      await images.collect();
      throw error;
    } finally {
      for (const release of releases) release();
    }
  }

  /** As {@link receive}, from a file on this host. @throws CriError INVALID_ARGUMENT when it cannot be read. */
  async receiveFile(path: string, name: string, signal?: AbortSignal): Promise<string> {
    return this.receive(this.#options.files.read(path), name, signal);
  }

  #find(what: Sent): { image: ImageRecord; store: RootfsStore; rootfs: SentRootfs | undefined } {
    const { pods, containers, images, stores } = this.#options;
    if ('image' in what) {
      const image = images.status(what.image);
      if (image === undefined) throw notFound('image', what.image);
      const store = stores.used.find(({ transfers }) => transfers !== undefined) ?? stores.used[0];
      return { image, store, rootfs: undefined };
    }
    const record = containers.get(what.container);
    const { store } = needPlace(record, pods.backendOf(record.sandboxId), stores);
    const image = images.status(record.imageId);
    if (image === undefined) {
      const { asked, name } = record.spec.image;
      throw failedPrecondition(`the image of container ${record.id} was removed; pull ${asked || name} again`);
    }
    return { image, store, rootfs: { id: record.id, snapshot: what.snapshot } };
  }

  #check({ layers, hasRootfs }: IncomingImage, diffIds: readonly string[], name: string): void {
    const own = { diffIds: layers.map(({ diffId }) => diffId), chain: layers.map(({ chainId }) => chainId) };
    if (!isDeepStrictEqual(own, { diffIds: [...diffIds], chain: chainIds(diffIds) })) {
      throw new CriError(StatusCode.DATA_LOSS, 'the stream is damaged: its layers are not those of its configuration');
    }
    for (const { name: store, maxLayers } of this.#options.stores.used) {
      if (layers.length + Number(hasRootfs) <= maxLayers) continue;
      const most = `the ${String(maxLayers)} layers that ${store} can stack`;
      throw invalidArgument('stream', `the image has more than ${most}`);
    }
    if (hasRootfs && name === '')
      throw invalidArgument('name', "a container's root filesystem becomes an image: name it");
  }

  #sourceOf({ config, manifest }: IncomingImage, diffId: string | undefined): SourceImage {
    if (diffId === undefined) return storedImage(config, manifest, isMissing);
    const created = new Date(Number(this.#options.clock.now() / 1_000_000n)).toISOString();
    const how = { layer: diffId, created, createdBy: 'proxmox-lxcri send', changes: [], author: '', message: '' };
    const top = { mediaType: PLAIN_LAYER, digest: diffId, size: 0 };
    return ownImage(committedConfig(config, how), [...layersOf(manifest), top], isMissing);
  }
}

function transfersOf({ name, transfers }: RootfsStore): RootfsTransfers {
  if (transfers !== undefined) return transfers;
  throw failedPrecondition(`the store ${name} cannot send and receive streams of ZFS; use export and import`);
}

/** Every layer has been received before. */
function isMissing(): Promise<never> {
  return Promise.reject(
    new CriError(StatusCode.ABORTED, 'a layer was removed while the image was received; repeat it'),
  );
}
