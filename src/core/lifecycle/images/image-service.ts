import type { Clock } from '../../model/clock.ts';
import type { Credentials, ImageRecord, ImageReference, ImageSource, SourceImage } from '../../model/image.ts';
import type { ExportedImage, ImageFiles } from '../../model/image-files.ts';
import type { Logger } from '../../model/logger.ts';
import type { RootfsStore } from '../../model/rootfs.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import { CriError, invalidArgument, notFound, StatusCode } from '../../model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { runLocked } from '../../../utils/async/abortable.ts';
import { ArchiveFolder } from './archive-folder.ts';
import { ContentStore } from './content-store.ts';
import { exportImage, isExportCopy } from './export-image.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import { removeRootfs } from '../rootfs-place.ts';
import { ImageCatalog } from './image-catalog.ts';
import { chainIds, parseImageConfig } from './image-config.ts';
import { ImageSources } from './image-sources.ts';
import { LayerFetcher } from './layer-fetcher.ts';
import { LayerUnpacker } from './layer-unpacker.ts';
import { formatReference, parseReference, repositoryName } from './reference.ts';

export interface ImageServiceOptions {
  records: RecordsPlace;
  files: ImageFiles;
  /** Where images come from, in the order in which they are asked. */
  sources: readonly ImageSource[];
  store: RootfsStore;
  /** Mounts root filesystems of `store` on this node. */
  mounts: RootfsMounts;
  clock: Clock;
  logger: Logger;
  /** Registry of names that name none; docker.io unless given. */
  defaultRegistry?: string;
  /** Layers fetched at once by one pull; 3 unless given. */
  maxConcurrentDownloads?: number;
  /** Image names, `*` standing for anything, whose images the kubelet must not collect. */
  pinned?: readonly string[];
}

/** What images use of their file system (CRI ImageFsInfo). */
export interface ImageFsInfo {
  /** Nanoseconds since 1970 at which it was measured. */
  timestamp: bigint;
  /** A folder on the file system. */
  mountpoint: string;
  usedBytes: bigint;
  inodesUsed: bigint;
}

/**
 * The images of this node: pulls and imports them into the rootfs store, finds them by every name they have, and removes
 * them with the layers that nothing else builds on. Call `load` once, after the rootfs store has recovered.
 */
export class ImageService {
  readonly #options: ImageServiceOptions;
  readonly #catalog: ImageCatalog;
  readonly #content: ContentStore;
  readonly #sources: ImageSources;
  readonly #fetcher: LayerFetcher;
  readonly #unpacker: LayerUnpacker;
  readonly #locks = new KeyedLock();
  readonly #archives: ArchiveFolder | undefined;

  constructor(options: ImageServiceOptions) {
    this.#options = options;
    const { files, store, logger, clock, defaultRegistry = 'docker.io' } = options;
    this.#catalog = new ImageCatalog({
      records: options.records,
      defaultRegistry,
      pinned: options.pinned ?? [],
      logger,
      clock,
    });
    this.#content = new ContentStore(files.documents);
    this.#sources = new ImageSources(options.sources);
    this.#fetcher = new LayerFetcher(files.blobs, options.maxConcurrentDownloads ?? 3);
    this.#unpacker = new LayerUnpacker(store, this.#fetcher);
    if (files.archives) {
      this.#archives = new ArchiveFolder({
        directory: files.archives,
        import: (path, signal) => this.import(path, { ...(signal && { signal }) }),
        isPresent: (id) => this.#catalog.find(id) !== undefined,
        logger,
      });
    }
  }

  /** Takes in what is new in the folder of archives; returns the ids of its images. Never fails: what goes wrong is reported. */
  async importFolder(signal?: AbortSignal): Promise<Set<string>> {
    try {
      return (await this.#archives?.scan(signal)) ?? new Set();
    } catch (error) {
      this.#options.logger.error('Cannot read the folder of image archives', { error: messageOf(error) });
      return new Set();
    }
  }

  /**
   * Reads the records, forgets images whose layers are gone, and removes what earlier processes left half done; what of that
   * cannot be removed is reported. @throws what reading the records throws.
   */
  async load(): Promise<void> {
    const { files, store, mounts, logger } = this.#options;
    await this.#clean('blobs that were being fetched', () => files.blobs.clear());
    await this.#clean('unfinished exports', async () => {
      await files.exporter.clear();
      for (const id of await store.list()) if (isExportCopy(id)) await removeRootfs({ store, mounts }, id);
    });
    await this.#catalog.load();
    for (const record of this.#catalog.list()) {
      if (record.chainId === undefined || (await store.hasLayer(record.chainId))) continue;
      logger.warn('Forgot an image whose layers are gone; it has to be pulled again', { image: record.id });
      await this.#catalog.delete(record.id);
    }
    await this.#clean('layers that no image needs', () => this.collect());
  }

  /** A clean-up at the start, which must not keep the node from serving. */
  async #clean(what: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#options.logger.error('Cannot clean up what an earlier server left', { what, error: messageOf(error) });
    }
  }

  /**
   * Makes the image present and current, always asking the registry, and returns its id (CRI Image.id). When no registry
   * can be reached, an image from the folder of archives will do.
   * @throws CriError INVALID_ARGUMENT for a malformed name or image, and whatever ImageSource.resolve throws; the
   *   signal's reason when it is aborted.
   */
  async pull(image: string, credentials?: Credentials, signal?: AbortSignal): Promise<string> {
    const reference = parseReference(image, { defaultRegistry: this.#options.defaultRegistry ?? 'docker.io' });
    return runLocked(this.#locks, `pull ${formatReference(reference)}`, signal, async () => {
      let source: SourceImage;
      try {
        source = await this.#sources.resolve(reference, credentials, signal);
      } catch (error) {
        signal?.throwIfAborted();
        const archived = isUnavailable(error)
          ? await this.#fromArchives(formatReference(reference), signal)
          : undefined;
        if (archived === undefined) throw error;
        return archived;
      }
      try {
        const names = { ...tagOf(reference), digest: `${repositoryName(reference)}@${source.digest}` };
        return await this.#store(source, [names], signal);
      } finally {
        await source.close();
      }
    });
  }

  /**
   * Takes in the images of an archive or layout folder and returns their ids. They get the names the archive gives them,
   * or `ref` in their place.
   * @throws CriError INVALID_ARGUMENT when it cannot be read, or when `ref` is to name several images at once.
   */
  async import(path: string, options: { ref?: string; signal?: AbortSignal } = {}): Promise<string[]> {
    const { ref, signal } = options;
    const defaultRegistry = this.#options.defaultRegistry ?? 'docker.io';
    const given = ref === undefined ? undefined : parseReference(ref, { defaultRegistry, field: 'ref' });
    const sources = await this.#sources.open(path, signal);
    try {
      if (given !== undefined && sources.length > 1) {
        throw invalidArgument(
          'ref',
          `names one image, but ${JSON.stringify(path)} holds ${sources.length}; leave it out`,
        );
      }
      const ids: string[] = [];
      for (const source of sources) {
        const references = given
          ? [given]
          : source.names.map((name) => parseReference(name, { defaultRegistry, field: `${path}: image name` }));
        ids.push(await this.#store(source, references.map(tagOf), signal));
      }
      return ids;
    } finally {
      await Promise.all(sources.map((source) => source.close()));
    }
  }

  /**
   * Writes the image into a new file: an oci-archive with its configuration and all its files in one layer.
   * @throws CriError NOT_FOUND for an unknown image, INVALID_ARGUMENT when the file exists or cannot be made.
   */
  async export(image: string, path: string, signal?: AbortSignal): Promise<ExportedImage> {
    const record = this.#catalog.find(image);
    if (!record) throw notFound('image', image);
    const hold = this.#unpacker.hold(chainIds(record.config.diffIds));
    const { files, store, mounts } = this.#options;
    try {
      return await exportImage(record, { path, exporter: files.exporter, rootfs: { store, mounts }, signal });
    } catch (error) {
      throw fullDisk(error) ?? error;
    } finally {
      hold();
    }
  }

  /** Removes every image that is neither in `used` (ids) nor pinned. Returns their records. */
  async prune(used: () => ReadonlySet<string>): Promise<ImageRecord[]> {
    const removed: ImageRecord[] = [];
    for (const record of this.#catalog.list()) {
      if (record.pinned || used().has(record.id)) continue;
      await this.#catalog.delete(record.id);
      removed.push(record);
    }
    await this.collect();
    this.#options.logger.info('Pruned images', { images: removed.map(({ id }) => id) });
    return removed;
  }

  /** The image of a name, repository digest, id, `sha256:` id or unique beginning of an id; undefined when there is none. */
  status(image: string): ImageRecord | undefined {
    return this.#catalog.find(image);
  }

  /** All images, those of the repository that `filter` names, or the one that it names as in {@link status}. Newest first. */
  list(filter = ''): ImageRecord[] {
    if (filter === '') return this.#catalog.list();
    const inRepository = this.#catalog.inRepository(filter);
    if (inRepository.length > 0) return inRepository;
    const found = this.#catalog.find(filter);
    return found ? [found] : [];
  }

  /** Removes the image with all its names; no error when there is none. Layers in use by a rootfs stay until {@link collect}. */
  async remove(image: string): Promise<void> {
    const record = this.#catalog.find(image);
    if (!record) return;
    await this.#catalog.delete(record.id);
    await this.collect();
    this.#options.logger.info('Removed image', {
      image: record.id,
      names: [...record.repoTags, ...record.repoDigests],
    });
  }

  /** Removes layers and documents that no image, no pull in progress and no rootfs needs. Call it after removing a rootfs. */
  async collect(): Promise<void> {
    await this.#locks.run('collect', async () => {
      const records = this.#catalog.list();
      const keep = new Set(records.flatMap((record) => chainIds(record.config.diffIds)));
      await this.#unpacker.collect(keep);
      await this.#content.collect(() => this.#catalog.list().flatMap((record) => [record.id, record.manifestDigest]));
    });
  }

  async fsInfo(): Promise<ImageFsInfo> {
    const usage = await this.#options.store.fsUsage();
    const { mountpoint, bytes, inodes } = usage;
    return { timestamp: this.#options.clock.now(), mountpoint, usedBytes: bytes, inodesUsed: inodes };
  }

  /** The id of an image that an archive in the folder brings under this name. */
  async #fromArchives(name: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (!this.#archives) return undefined;
    const ids = await this.importFolder(signal);
    signal?.throwIfAborted();
    const found = this.#catalog.find(name);
    if (!found || !ids.has(found.id)) return undefined;
    this.#options.logger.info('No registry can be reached; took the image of an archive', { image: name });
    return found.id;
  }

  async #store(source: SourceImage, names: { tag?: string; digest?: string }[], signal?: AbortSignal): Promise<string> {
    const config = parseImageConfig(source.config);
    const { layers } = source;
    if (layers.length !== config.diffIds.length) {
      throw invalidArgument(
        'image.image',
        `the manifest lists ${layers.length} layers, the image configuration ${config.diffIds.length}; the image is broken`,
      );
    }
    const chain = chainIds(config.diffIds);
    const hold = this.#unpacker.hold(chain);
    const documents = this.#content.hold([source.configDigest, source.manifestDigest]);
    try {
      await this.#unpacker.unpack(source, config.diffIds, signal);
      await this.#content.put(source.configDigest, source.config);
      await this.#content.put(source.manifestDigest, source.manifest);
      signal?.throwIfAborted();
      const size = layers.reduce((sum, layer) => sum + BigInt(layer.size), BigInt(source.config.length));
      const facts = { manifestDigest: source.manifestDigest, config, size, chainId: chain.at(-1) };
      await this.#catalog.name(source.configDigest, facts, names);
    } catch (error) {
      documents();
      hold();
      // The layers that did arrive are of no use to anyone else.
      await this.collect();
      throw fullDisk(error) ?? error;
    }
    documents();
    hold();
    this.#options.logger.info('Image is present', { image: source.configDigest, names });
    return source.configDigest;
  }
}

function tagOf(reference: ImageReference): { tag?: string } {
  const { digest, tag } = reference;
  return digest === undefined && tag !== undefined ? { tag: `${repositoryName(reference)}:${tag}` } : {};
}

/** A registry that could not be spoken to, by the prefix that the kubelet knows too. */
function isUnavailable(error: unknown): boolean {
  return error instanceof CriError && error.message.startsWith('RegistryUnavailable');
}

function fullDisk(error: unknown): CriError | undefined {
  if (!isErrno(error, 'ENOSPC', 'EDQUOT')) return undefined;
  return new CriError(StatusCode.RESOURCE_EXHAUSTED, `no space left for the image: ${messageOf(error)}`, {
    cause: error,
  });
}
