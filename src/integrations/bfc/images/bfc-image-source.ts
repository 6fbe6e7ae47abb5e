import { join } from 'node:path';
import { CriError, invalidArgument, StatusCode, unavailable } from '../../../core/model/errors.ts';
import type { FileSecret } from '../../../core/model/file-secret.ts';
import type { ReadLayout } from '../../../core/model/image-layout.ts';
import {
  type Credentials,
  type ImageReference,
  type ImageSource,
  NotProvidedError,
  type SourceImage,
} from '../../../core/model/image.ts';
import { messageOf } from '../../../utils/errors.ts';
import { BfcError } from '../errors.ts';
import { PatientFile } from '../files/patient-file.ts';
import type { BfcSecret } from '../key.ts';
import { BfcReader, type OpenOptions } from '../reader.ts';
import { parseAddress } from './address.ts';
import { BfcDirectory, type ListedFile } from './bfc-directory.ts';
import { ContainerLayout } from './container-layout.ts';
import { Growth, type GrowthLimits, isIncomplete } from './growth.ts';
import { openWithSecrets, readSecrets, type SecretFiles, secretsOf } from './secrets.ts';

/** Names that an error lists. */
const MAX_LISTED = 20;

export interface BfcImageSourceOptions extends GrowthLimits {
  /** Directory of the files that provide images; "": none. */
  directory: string;
  secrets: SecretFiles;
  readLayout: ReadLayout;
  /** An image name in full; undefined for anything else. */
  fullName: (name: string) => string | undefined;
  /** The absolute path of the directory of a storage of Proxmox VE. @throws CriError, where it has none or is not there. */
  storageDirectory: (storage: string, signal?: AbortSignal) => Promise<string>;
  /** Milliseconds for one access to a file or directory, by default 10,000. */
  accessMs?: number;
}

/** What is known of a file: its images by their names and digests, or why there are none. */
type Known = { images: { names: string[]; digest: string }[] } | { problem: Error };

/** The images in BFC files, which are unpacked straight out of them. */
export class BfcImageSource implements ImageSource {
  readonly name = 'bfc';
  readonly #options: BfcImageSourceOptions;
  readonly #directory: BfcDirectory;
  /** By paths of files. */
  readonly #known = new Map<string, { key: string; known: Known }>();

  constructor(options: BfcImageSourceOptions) {
    this.#options = options;
    this.#directory = new BfcDirectory(options.directory, { limitMs: options.accessMs });
  }

  /** An image that a file of the directory has under this name. A file that is being copied is waited for, for a while. */
  async resolve(
    { registry, repository, tag = 'latest', digest }: ImageReference,
    credentials: Credentials | undefined,
    signal?: AbortSignal,
  ): Promise<SourceImage | undefined> {
    if (this.#directory.path === '') return undefined;
    const wanted = digest ?? `${registry}/${repository}:${tag}`;
    const growth = new Growth(this.#options);
    for (;;) {
      signal?.throwIfAborted();
      const problems: Error[] = [];
      let growing: string | undefined;
      for (const file of await this.#list()) {
        const known = await this.#look(file, credentials);
        if ('problem' in known) {
          problems.push(known.problem);
          if (isIncomplete(known.problem) && growth.isGrowing(file)) growing = file.path;
        } else if (known.images.some((image) => this.#isNamed(image, wanted))) {
          return this.#open(file.path, await this.#secrets(credentials), (image) => this.#isNamed(image, wanted));
        }
      }
      if (growing !== undefined) {
        if (await growth.wait(signal)) continue;
        problems.unshift(unavailable(`${JSON.stringify(growing)} ${growth.excuse}`));
      }
      const [first] = problems;
      if (!first) return undefined;
      throw new NotProvidedError(
        first instanceof CriError ? first.code : StatusCode.UNKNOWN,
        `no file of bfc.directory that can be read has the image; not read: ${problems.map(messageOf).join('; ')}`,
      );
    }
  }

  /** The files of the directory. @throws NotProvidedError when it cannot be read: registries do not depend on it. */
  async #list(): Promise<ListedFile[]> {
    try {
      return await this.#directory.list();
    } catch (error) {
      throw new NotProvidedError(
        StatusCode.UNAVAILABLE,
        `bfc.directory, ${this.#directory.path}, cannot be read: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  /** `bfc:///PATH[:NAME]`, a file below the directory, or `bfc://STORAGE:PATH[:NAME]`, one on a storage of Proxmox VE. */
  async locate(
    address: string,
    credentials: Credentials | undefined,
    signal?: AbortSignal,
  ): Promise<SourceImage | undefined> {
    const parsed = parseAddress(address);
    if (!parsed) return undefined;
    const { storage, path, name } = parsed;
    const wanted = name === undefined ? undefined : this.#options.fullName(name);
    if (name !== undefined && wanted === undefined) {
      throw invalidArgument('image.image', `${JSON.stringify(name.slice(0, 300))} is not an image name`);
    }
    const directory =
      storage === undefined
        ? this.#directory
        : new BfcDirectory(await this.#options.storageDirectory(storage, signal), {
            name: `the directory of storage ${storage}`,
            limitMs: this.#options.accessMs,
          });
    const growth = new Growth(this.#options);
    for (;;) {
      signal?.throwIfAborted();
      const file = await directory.require(storage === undefined ? path : join(directory.path, path));
      try {
        const secrets = await this.#secrets(credentials);
        if (wanted === undefined) return await this.#open(file.path, secrets);
        const image = await this.#open(file.path, secrets, (each) => this.#isNamed(each, wanted));
        return { ...image, names: [wanted] };
      } catch (error) {
        if (!isIncomplete(error) || !growth.isGrowing(file)) throw error;
        if (await growth.wait(signal)) continue;
        throw unavailable(`image.image: ${JSON.stringify(file.path)} ${growth.excuse}`, error);
      }
    }
  }

  /** The images of any BFC file of this node: for its administrator, who can read it anyway. */
  async open(path: string, signal?: AbortSignal, secret?: FileSecret): Promise<SourceImage[] | undefined> {
    try {
      await (await this.#reader(path)).close();
    } catch (error) {
      const isOther = error instanceof BfcError ? error.problem === 'not-bfc' : error instanceof CriError;
      if (isOther) return undefined;
      throw error;
    }
    const secrets = [...(secret ? [secret] : []), ...(await this.#secrets(undefined))];
    return this.#imagesOf(await this.#layout(path, secrets), () => true, secrets);
  }

  /** The one image that is wanted. @throws CriError that lists the names when there is none or several. */
  async #open(
    path: string,
    secrets: readonly BfcSecret[],
    isWanted?: (image: SourceImage) => boolean,
  ): Promise<SourceImage> {
    const layout = await this.#layout(path, secrets);
    const names: string[] = [];
    const images = await this.#imagesOf(
      layout,
      (image) => {
        names.push(...image.names);
        return isWanted?.(image) ?? true;
      },
      secrets,
    );
    const [image] = images;
    if (image && images.length === 1) return image;
    for (const each of images) await each.close();
    const listed = names.length === 0 ? 'none has a name' : names.slice(0, MAX_LISTED).join(', ');
    const more = names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '';
    const [code, what] = image
      ? [StatusCode.INVALID_ARGUMENT, `has ${images.length} images; append ":" and the name of one`]
      : [StatusCode.NOT_FOUND, 'has no image of that name'];
    throw new CriError(code, `image.image: ${JSON.stringify(path)} ${what}: ${listed}${more}`);
  }

  /** Closes the layout when the last of the images is closed; on an error at once. */
  async #imagesOf(
    layout: ContainerLayout,
    isWanted: (image: SourceImage) => boolean,
    secrets: readonly BfcSecret[],
  ): Promise<SourceImage[]> {
    const wanted: SourceImage[] = [];
    try {
      for (const image of await layout.images(this.#options.readLayout)) {
        if (isWanted(image)) wanted.push(image);
        else await image.close();
      }
      for (const image of wanted) await this.#complete(layout, image, secrets);
      return wanted;
    } catch (error) {
      for (const image of wanted) await image.close();
      throw error;
    } finally {
      await layout.close();
    }
  }

  /** Finds layers that are in other files of the directory. @throws CriError DATA_LOSS when one is in none. */
  async #complete(
    layout: ContainerLayout,
    { layers, names }: SourceImage,
    secrets: readonly BfcSecret[],
  ): Promise<void> {
    for (const file of layout.missing(layers).length === 0 ? [] : await this.#directory.list()) {
      if (file.path === layout.reader.name) continue;
      let other: ContainerLayout;
      try {
        other = await this.#layout(file.path, secrets);
      } catch {
        continue; // What is wrong with it is reported when it is asked for.
      }
      const borrowed = layout.missing(layers).filter((layer) => layout.borrow(layer, other));
      if (borrowed.length === 0) await other.close();
      if (layout.missing(layers).length === 0) break;
    }
    const [absent] = layout.missing(layers);
    if (!absent) return;
    const others = this.#directory.path === '' ? '' : `, nor another file of ${this.#directory.path}`;
    throw new CriError(
      StatusCode.DATA_LOSS,
      `${JSON.stringify(layout.reader.name)} has no layer ${absent.digest} of ${names[0] ?? 'its image'}${others}; pack the image again`,
    );
  }

  /** What a file has. What it has with the configured secrets is remembered, until the file changes. */
  async #look(file: ListedFile, credentials: Credentials | undefined): Promise<Known> {
    const before = this.#known.get(file.path);
    if (before?.key === file.key) return before.known;
    const known = await this.#read(file.path, undefined);
    if (isLasting(known)) this.#known.set(file.path, { key: file.key, known });
    const isLocked = 'problem' in known && known.problem instanceof BfcError && known.problem.problem === 'key';
    return isLocked && credentials ? this.#read(file.path, credentials) : known;
  }

  async #read(path: string, credentials: Credentials | undefined): Promise<Known> {
    try {
      await using layout = await this.#layout(path, await this.#secrets(credentials));
      const images = await layout.images(this.#options.readLayout);
      for (const image of images) await image.close();
      return { images: images.map(({ names, digest }) => ({ names, digest })) };
    } catch (problem) {
      return { problem: problem as Error };
    }
  }

  async #layout(path: string, secrets: readonly BfcSecret[]): Promise<ContainerLayout> {
    const open = (name: string, options?: OpenOptions) => this.#reader(name, options);
    return new ContainerLayout(await openWithSecrets(path, secrets, open));
  }

  async #reader(path: string, options?: OpenOptions): Promise<BfcReader> {
    const file = await PatientFile.open(path, this.#options.accessMs);
    try {
      return await BfcReader.of(file, options);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  #isNamed({ names, digest }: Pick<SourceImage, 'names' | 'digest'>, wanted: string): boolean {
    return digest === wanted || names.some((name) => this.#options.fullName(name) === wanted);
  }

  async #secrets(credentials: Credentials | undefined): Promise<BfcSecret[]> {
    return [...secretsOf(credentials), ...(await readSecrets(this.#options.secrets))];
  }
}

/**
 * Whether it stays so as long as the file does. A key may be put there, a filesystem may answer again, and what is written within the
 * resolution of a file's time does not change its key.
 */
function isLasting(known: Known): boolean {
  if ('images' in known) return true;
  return known.problem instanceof BfcError && known.problem.problem !== 'key' && !isIncomplete(known.problem);
}
