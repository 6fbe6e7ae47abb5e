import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import type { Clock } from '../../model/clock.ts';
import { matchesGlob } from '../../model/glob.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { Logger } from '../../model/logger.ts';
import { RecordStore } from '../records/record-store.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import { imageSchema } from './image-record.ts';
import { formatReference, isAddress, parseReference, repositoryName } from './reference.ts';

/** The properties of an image from a pull or an import, except its names. */
export type ImageFacts = Pick<ImageRecord, 'manifestDigest' | 'config' | 'size' | 'chainId'>;

/** A name to give: `registry/repository:tag`, `registry/repository@digest`, or both. */
export interface ImageNames {
  tag?: string;
  digest?: string;
}

export interface ImageCatalogOptions {
  records: RecordsPlace;
  defaultRegistry: string;
  pinned: readonly string[];
  logger: Logger;
  clock: Clock;
}

/** The image records and their names. A name belongs to one image at a time. */
export class ImageCatalog {
  readonly #records: RecordStore<ImageRecord>;
  readonly #lock = new KeyedLock();
  readonly #clock: Clock;
  readonly #defaultRegistry: string;
  readonly #pinned: string[];

  constructor({ records, defaultRegistry, pinned, logger, clock }: ImageCatalogOptions) {
    this.#records = new RecordStore('images', records, { schema: imageSchema, logger });
    this.#clock = clock;
    this.#defaultRegistry = defaultRegistry;
    this.#pinned = pinned.map((pattern) => pinnedPattern(pattern, defaultRegistry));
  }

  /** Reads the records; a tag of two images after a crash stays with the later one. */
  async load(): Promise<void> {
    await this.#records.load();
    for (const id of this.#records.lost().keys()) this.#records.forget(id);
    const seen = new Set<string>();
    for (const record of this.list()) {
      const repoTags = record.repoTags.filter((tag) => !seen.has(tag));
      if (repoTags.length < record.repoTags.length) await this.#records.put({ ...record, repoTags });
      for (const tag of repoTags) seen.add(tag);
    }
  }

  /** Newest first. */
  list(): ImageRecord[] {
    return this.#records
      .list()
      .sort((a, b) => (a.pulledAt < b.pulledAt ? 1 : a.pulledAt > b.pulledAt ? -1 : 0))
      .map((record) => this.#view(record));
  }

  /** By address, id, `sha256:` id, name (`latest` where it has no tag), repository digest, or unique prefix of an id. */
  find(image: string): ImageRecord | undefined {
    if (isAddress(image)) {
      const found = this.#records.list().find(({ addresses = [] }) => addresses.includes(image));
      return found && this.#view(found);
    }
    const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(image)?.[1];
    const record =
      hex?.length === 64 ? this.#records.get(`sha256:${hex}`) : (this.#findByName(image) ?? this.#findByPrefix(hex));
    return record && this.#view(record);
  }

  /** The images with a name in the repository `name`, when it has neither tag nor digest. Newest first. */
  inRepository(name: string): ImageRecord[] {
    let prefix: string;
    try {
      if (name.includes('@') || name.lastIndexOf(':') > name.lastIndexOf('/')) return [];
      prefix = repositoryName(parseReference(name, { defaultRegistry: this.#defaultRegistry }));
    } catch {
      return []; // An invalid name is not in any repository.
    }
    const isIn = (each: string) => each.startsWith(`${prefix}:`) || each.startsWith(`${prefix}@`);
    return this.list().filter(({ repoTags, repoDigests }) => repoTags.some(isIn) || repoDigests.some(isIn));
  }

  /** Creates or updates the record of `id` and assigns it these names, which other images lose. */
  async name(id: string, facts: ImageFacts, names: readonly ImageNames[], address?: string): Promise<void> {
    const tags = names.flatMap(({ tag }) => tag ?? []);
    const digests = names.flatMap((name) => name.digest ?? []);
    await this.#lock.run('names', async () => {
      const before = this.#records.get(id);
      const record: ImageRecord = {
        id,
        repoTags: union(before?.repoTags, tags),
        repoDigests: union(before?.repoDigests, digests),
        ...facts,
        ...addressesOf(before, address),
        pulledAt: this.#clock.now(),
        pinned: false,
      };
      await this.#records.put({ ...record, pinned: this.#view(record).pinned });
      for (const other of this.#records.list()) {
        if (other.id === id) continue;
        const repoTags = other.repoTags.filter((tag) => !tags.includes(tag));
        const addresses = other.addresses?.filter((each) => each !== address);
        if (repoTags.length === other.repoTags.length && addresses?.length === other.addresses?.length) continue;
        await this.#records.put({ ...other, repoTags, ...(addresses && { addresses }) });
      }
    });
  }

  async delete(id: string): Promise<void> {
    await this.#lock.run('names', () => this.#records.delete(id));
  }

  #findByName(image: string): ImageRecord | undefined {
    let name: string;
    try {
      name = formatReference(parseReference(image, { defaultRegistry: this.#defaultRegistry }));
    } catch {
      return undefined; // An invalid name is not an image's.
    }
    return this.#records
      .list()
      .find(({ repoTags, repoDigests }) => repoTags.includes(name) || repoDigests.includes(name));
  }

  #findByPrefix(hex: string | undefined): ImageRecord | undefined {
    if (hex === undefined) return undefined;
    const found = this.#records.list().filter(({ id }) => id.startsWith(`sha256:${hex}`));
    return found.length === 1 ? found[0] : undefined;
  }

  #view(record: ImageRecord): ImageRecord {
    const names = [...record.repoTags, ...record.repoDigests];
    return { ...record, pinned: names.some((name) => this.#pinned.some((pattern) => matchesGlob(pattern, name))) };
  }
}

function addressesOf(before: ImageRecord | undefined, address: string | undefined): Pick<ImageRecord, 'addresses'> {
  if (address === undefined && before?.addresses === undefined) return {};
  return { addresses: union(before?.addresses, address === undefined ? [] : [address]) };
}

function union(before: readonly string[] = [], added: readonly string[]): string[] {
  return [...new Set([...before, ...added])].sort();
}

/** `*` stands for anything; a pattern without it is completed like any image name. */
function pinnedPattern(pattern: string, defaultRegistry: string): string {
  if (pattern.includes('*')) return pattern;
  return formatReference(parseReference(pattern, { defaultRegistry, field: 'images.pinned' }));
}
