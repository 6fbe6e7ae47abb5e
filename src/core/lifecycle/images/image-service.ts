import type { Clock } from '../../model/clock.ts';
import type { Credentials, ImageRecord, ImageSource, SourceImage } from '../../model/image.ts';
import type { ExportedImage, ImageFiles } from '../../model/image-files.ts';
import type { Logger } from '../../model/logger.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import { failedPrecondition, invalidArgument, notFound } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { runLocked } from '../../../utils/async/abortable.ts';
import { ArchiveImports } from './archive-imports.ts';
import { chooseImages } from './choose-images.ts';
import { ContentStore } from './content-store.ts';
import { clearExports, exportImage } from './export-image.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import { ImageCatalog } from './image-catalog.ts';
import { chainIds, parseImageConfig } from './image-config.ts';
import { ImageSources } from './image-sources.ts';
import { type ImportOptions, ImportProgress } from './import-progress.ts';
import { LayerFetcher } from './layer-fetcher.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import { LayerUnpacker } from './layer-unpacker.ts';
import { isKept, type PrunePlan, removableLayers } from './prune-plan.ts';
import { fullDisk, isUnavailable } from './pull-errors.ts';
import type { PullProgress } from './pull-progress.ts';
import { formatReference, isAddress, nameIn, parseReference, tagAndDigest, tagOf } from './reference.ts';

export interface ImageServiceOptions {
  records: RecordsPlace;
  files: ImageFiles;
  /** Image sources, in the order in which they are tried. */
  sources: readonly ImageSource[];
  stores: RootfsStores;
  /** Mounts root filesystems of `stores` on this node. */
  mounts: RootfsMounts;
  clock: Clock;
  logger: Logger;
  /** Registry of names without one; default docker.io. */
  defaultRegistry?: string;
  /** Concurrent layer downloads per pull; default 3. */
  maxConcurrentDownloads?: number;
  /** Names of pinned images, with `*` as a wildcard. */
  pinned?: readonly string[];
}

/** Usage of images on their filesystem (CRI ImageFsInfo). */
export interface ImageFsInfo {
  /** The name of the store that it is of. */
  store: string;
  /** Nanoseconds since 1970 at which it was measured. */
  timestamp: bigint;
  /** A directory on the filesystem. */
  mountpoint: string;
  usedBytes: bigint;
  inodesUsed: bigint;
}

/**
 * The images of this node: pulls and imports them into the rootfs stores in use, finds them by every name, and removes them with unused
 * layers. Call `load` once, after the rootfs stores have recovered.
 */
export class ImageService {
  readonly #options: ImageServiceOptions;
  readonly #catalog: ImageCatalog;
  readonly #content: ContentStore;
  readonly #sources: ImageSources;
  readonly #fetcher: LayerFetcher;
  readonly #unpacker: LayerUnpacker;
  readonly #locks = new KeyedLock();
  readonly #archives: ArchiveImports | undefined;
  /** Ids of images whose records {@link load} has deleted. */
  readonly lost = new Set<string>();

  constructor(options: ImageServiceOptions) {
    this.#options = options;
    const { files, stores, logger, clock, defaultRegistry = 'docker.io' } = options;
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
    this.#unpacker = new LayerUnpacker(stores, this.#fetcher, (path) => files.freeBytes(path));
    if (files.archives) {
      this.#archives = new ArchiveImports({
        directory: files.archives,
        import: (path, signal) => this.import(path, { ...(signal && { signal }) }),
        isPresent: (id) => this.#catalog.find(id) !== undefined,
        logger,
      });
    }
  }

  /** Imports new archives of the archive directory; returns the ids of its images. Never fails: errors are logged. */
  async importArchives(signal?: AbortSignal): Promise<Set<string>> {
    try {
      return (await this.#archives?.scan(signal)) ?? new Set();
    } catch (error) {
      this.#options.logger.error('Reading the directory of image archives failed', { error: messageOf(error) });
      return new Set();
    }
  }

  /**
   * Reads the records, deletes those of images without layers, and removes leftovers of earlier processes; failed removals are
   * logged. @throws errors of reading the records.
   */
  async load(): Promise<void> {
    const { files, stores, mounts, logger } = this.#options;
    await this.#clean('partial downloads', () => files.blobs.clear());
    await this.#clean('unfinished exports', async () => {
      await files.exporter.clear();
      await stores.each('removing unfinished exports', (store) => clearExports({ store, mounts }));
    });
    await this.#catalog.load();
    for (const record of this.#catalog.list()) {
      if (record.chainId === undefined || (await this.#unpacker.has(record.chainId))) continue;
      logger.warn('Image record deleted: a store lacks its layers; pull it again', { image: record.id });
      await this.#catalog.delete(record.id);
      this.lost.add(record.id);
    }
    await this.#clean('unused layers', () => this.collect());
  }

  /** A clean-up at start, which must not prevent the server from starting. */
  async #clean(what: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#options.logger.error('Cleaning up leftovers of an earlier server failed', {
        what,
        error: messageOf(error),
      });
    }
  }

  /**
   * Pulls the image, always with a request to the registry, and returns its id (CRI Image.id). When no registry is reachable, an
   * image of the archive directory is used.
   * @param progress gets the state of the layers.
   * @throws CriError INVALID_ARGUMENT for a malformed name or image, and whatever ImageSource.resolve throws; the
   *   signal's reason when it is aborted.
   */
  async pull(image: string, credentials?: Credentials, signal?: AbortSignal, progress?: PullProgress): Promise<string> {
    if (isAddress(image)) return this.#pullAddress(image, credentials, { signal, progress });
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
        return await this.#store(source, [tagAndDigest(reference, source.digest)], { signal, progress });
      } finally {
        await source.close();
      }
    });
  }

  /**
   * Imports the images of an archive or layout directory and returns their ids. Their names are those of the archive, or `ref`.
   * @throws CriError INVALID_ARGUMENT when it cannot be read, or when there are several images for `ref`; NOT_FOUND for an unknown `image`.
   */
  async import(path: string, options: ImportOptions = {}): Promise<string[]> {
    const { ref, image, digests = false, signal, secret, progress } = options;
    const defaultRegistry = this.#options.defaultRegistry ?? 'docker.io';
    const given = ref === undefined ? undefined : parseReference(ref, { defaultRegistry, field: 'ref' });
    const sources = await this.#sources.open(path, signal, secret);
    try {
      const chosen = chooseImages(sources, image, { file: path, defaultRegistry });
      if (given !== undefined && chosen.length > 1) {
        throw invalidArgument('ref', `names one image, but ${JSON.stringify(path)} has ${chosen.length}; omit it`);
      }
      const counted = progress === undefined ? undefined : new ImportProgress(chosen, progress);
      const ids: string[] = [];
      for (const source of chosen) {
        const references = given
          ? [given]
          : source.names.map((name) => parseReference(name, { defaultRegistry, field: `${path}: image name` }));
        const names = references.map(digests ? (each) => tagAndDigest(each, source.digest) : tagOf);
        ids.push(await this.#store(counted?.of(source) ?? source, names, { signal }));
        counted?.finish(source);
      }
      return ids;
    } finally {
      await Promise.all(sources.map((source) => source.close()));
    }
  }

  /**
   * Stores an image that comes from no registry and no archive, of whose layers those below are in the store. Returns its id.
   * @param names tags, and repository digests. @throws CriError INVALID_ARGUMENT for a malformed name or image; the signal's reason.
   */
  async add(source: SourceImage, names: readonly string[], signal?: AbortSignal): Promise<string> {
    const defaultRegistry = this.#options.defaultRegistry ?? 'docker.io';
    const references = names.map((name) => parseReference(name, { defaultRegistry, field: 'name' }));
    return this.#store(source, references.map(nameIn), { signal });
  }

  /** Keeps the layers of an image, also when it is removed, until the returned function is called. */
  hold(diffIds: readonly string[]): () => void {
    return this.#unpacker.hold(chainIds(diffIds));
  }

  /** The documents of an image as they were pulled. @throws CriError FAILED_PRECONDITION when one is missing. */
  async documents({ id, manifestDigest }: ImageRecord): Promise<{ config: Buffer; manifest: Buffer }> {
    const [config, manifest] = await Promise.all([id, manifestDigest].map((digest) => this.#content.get(digest)));
    if (config !== undefined && manifest !== undefined) return { config, manifest };
    throw failedPrecondition(`image ${id}: its configuration or manifest is missing; pull it again`);
  }

  /**
   * Writes the image to a new file: an oci-archive with its configuration and all its files in one layer.
   * @throws CriError NOT_FOUND for an unknown image, INVALID_ARGUMENT when the file exists or cannot be made.
   */
  async export(image: string, path: string, signal?: AbortSignal): Promise<ExportedImage> {
    const record = this.#catalog.find(image);
    if (!record) throw notFound('image', image);
    const hold = this.#unpacker.hold(chainIds(record.config.diffIds));
    const { files, stores, mounts } = this.#options;
    const [store] = stores.used;
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
      if (isKept(record, used())) continue;
      await this.#catalog.delete(record.id);
      removed.push(record);
    }
    await this.collect();
    this.#options.logger.info('Images pruned', { images: removed.map(({ id }) => id) });
    return removed;
  }

  /** What {@link prune} would do now; changes nothing. */
  async planPrune(used: ReadonlySet<string>): Promise<PrunePlan> {
    const all = this.#catalog.list();
    const chainsOf = (records: readonly ImageRecord[]) => records.flatMap(({ config }) => chainIds(config.diffIds));
    const kept = chainsOf(all.filter((record) => isKept(record, used)));
    const known = new Set(chainsOf(all));
    const plan: PrunePlan = { images: all.filter((record) => !isKept(record, used)), bytes: 0n, unused: [] };
    await this.#options.stores.each('reading its layers', async (store, isUsed) => {
      const layers = await store.describeLayers();
      // No image needs a layer of a store that is left.
      const held = isUsed ? layers.filter(({ chainId }) => this.#unpacker.isHeld(chainId)) : [];
      const needed = new Set([...held.map(({ chainId }) => chainId), ...(isUsed ? kept : [])]);
      for (const { bytes } of removableLayers(layers, needed)) plan.bytes += bytes;
      const unused = layers.filter((layer) => !held.includes(layer) && !(isUsed && known.has(layer.chainId)));
      plan.unused.push(...unused.map((layer) => ({ ...layer, store: store.name })));
    });
    return plan;
  }

  /** The image of a name, repository digest, id, `sha256:` id or unique prefix of an id; undefined when there is none. */
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
    if (record) await this.#catalog.delete(record.id);
    // Also without a record: an earlier call may have failed here.
    await this.collect();
    if (!record) return;
    this.#options.logger.info('Image removed', {
      image: record.id,
      names: [...record.repoTags, ...record.repoDigests],
    });
  }

  /**
   * Removes layers and documents that no image, no running pull and no rootfs uses, and stores that are left and empty. Call it
   * after removing a rootfs.
   */
  async collect(): Promise<void> {
    await this.#locks.run('collect', async () => {
      await this.#unpacker.collect(
        () => new Set(this.#catalog.list().flatMap((record) => chainIds(record.config.diffIds))),
      );
      await this.#content.collect(() => this.#catalog.list().flatMap((record) => [record.id, record.manifestDigest]));
      await this.#options.stores.retire();
    });
  }

  /** The filesystem of each store: first that of the default handler, then the others in use, then those left. */
  async fsInfo(): Promise<ImageFsInfo[]> {
    const timestamp = this.#options.clock.now();
    const filesystems = await this.#options.stores.filesystems();
    return [...filesystems].map(([store, { mountpoint, bytes, inodes }]) => ({
      ...{ store, timestamp, mountpoint },
      usedBytes: bytes,
      inodesUsed: inodes,
    }));
  }

  /** The id of the image with this name in the archive directory. */
  async #fromArchives(name: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (!this.#archives) return undefined;
    const ids = await this.importArchives(signal);
    signal?.throwIfAborted();
    const found = this.#catalog.find(name);
    if (!found || !ids.has(found.id)) return undefined;
    this.#options.logger.info('No registry reachable; image imported from an archive', { image: name });
    return found.id;
  }

  async #pullAddress(address: string, credentials: Credentials | undefined, work: Work): Promise<string> {
    const { signal } = work;
    return runLocked(this.#locks, `pull ${address}`, signal, async () => {
      const source = await this.#sources.locate(address, credentials, signal);
      try {
        const defaultRegistry = this.#options.defaultRegistry ?? 'docker.io';
        const names = source.names.map((name) =>
          tagAndDigest(parseReference(name, { defaultRegistry, field: `${address}: image name` }), source.digest),
        );
        return await this.#store(source, names, { ...work, address });
      } finally {
        await source.close();
      }
    });
  }

  async #store(source: SourceImage, names: { tag?: string; digest?: string }[], work: Work): Promise<string> {
    const config = parseImageConfig(source.config);
    const { layers } = source;
    if (layers.length !== config.diffIds.length) {
      throw invalidArgument(
        'image.image',
        `the manifest has ${layers.length} layers, the image configuration ${config.diffIds.length}; the image is broken`,
      );
    }
    for (const { name, maxLayers } of this.#options.stores.used) {
      if (layers.length <= maxLayers) continue;
      throw invalidArgument('image.image', `the image has more than the ${maxLayers} layers that ${name} can stack`);
    }
    const chain = chainIds(config.diffIds);
    const hold = this.#unpacker.hold(chain);
    const documents = this.#content.hold([source.configDigest, source.manifestDigest]);
    try {
      await this.#unpacker.unpack(source, config.diffIds, work);
      await this.#content.put(source.configDigest, source.config);
      await this.#content.put(source.manifestDigest, source.manifest);
      work.signal?.throwIfAborted();
      const size = layers.reduce((sum, layer) => sum + BigInt(layer.size), BigInt(source.config.length));
      const facts = { manifestDigest: source.manifestDigest, config, size, chainId: chain.at(-1) };
      await this.#catalog.name(source.configDigest, facts, names, work.address);
    } catch (error) {
      documents();
      hold();
      // Nothing else uses the layers that were downloaded.
      await this.collect();
      throw fullDisk(error) ?? error;
    }
    documents();
    hold();
    this.#options.logger.info('Image present', { image: source.configDigest, names });
    return source.configDigest;
  }
}

/** What belongs to one pull or import. */
interface Work {
  signal: AbortSignal | undefined;
  progress?: PullProgress | undefined;
  /** The address that was pulled. */
  address?: string;
}
