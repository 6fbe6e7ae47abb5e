import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { failedPrecondition, notFound } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { Trash } from '../../host/trees/trash.ts';
import { fromJson } from '../../utils/json.ts';

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

const FORMAT = 1;
/** A layer that was set aside: its files may be mounted. */
const DAMAGED = /^[0-9a-f]{64}\.damaged-/;

/** `layer.json` beside a layer's files. It exists when the layer is complete. */
const layerSchema = z.object({
  format: z.literal(FORMAT),
  chainId: digest,
  parent: digest.optional(),
  diffId: digest,
  /** Name in the directory of short links, by which mount options stay short. */
  link: z.string().regex(/^[0-9a-z]{1,8}$/),
  opaqueRoot: z.boolean(),
  bytes: z.bigint(),
  inodes: z.bigint(),
});

export type Layer = z.output<typeof layerSchema>;

/** The layers on disk: `layers/<hex of the chain id>/{fs,layer.json}` and the links `l/<short> -> ../layers/<hex>/fs`. */
export class LayerIndex {
  readonly links: string;
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #trash: Trash;
  readonly #layers = new Map<string, Layer>();
  #lastLink = 0;

  constructor(root: string, trash: Trash, logger: Logger) {
    this.#directory = join(root, 'layers');
    this.links = join(root, 'l');
    this.#trash = trash;
    this.#logger = logger;
  }

  /**
   * Reads the directory. A layer without a description was never complete and is removed; one with a damaged
   * description is set aside as long as there are root filesystems that may use it. Links are created and removed as
   * needed.
   * @throws CriError FAILED_PRECONDITION naming the file, for a description that cannot be read or is a newer
   * version's: nothing is removed then.
   */
  async load(hasCopies: boolean): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await mkdir(this.links, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      if (!hasCopies && DAMAGED.test(name)) await this.#trash.discard(path);
      // Other names do not belong to the store.
      if (!/^[0-9a-f]{64}$/.test(name)) continue;
      const text = await readDescription(join(path, 'layer.json'));
      try {
        if (text === undefined) throw new Error('its description is missing');
        const layer = layerSchema.parse(fromJson(text));
        if (hex(layer.chainId) !== name) throw new Error(`it describes ${layer.chainId}`);
        this.#layers.set(layer.chainId, layer);
        this.#lastLink = Math.max(this.#lastLink, parseInt(layer.link, 36));
      } catch (error) {
        const isKept = hasCopies && text !== undefined;
        const what = isKept ? 'Damaged image layer kept aside' : 'Unusable image layer removed';
        this.#logger.warn(what, { layer: name, error: messageOf(error) });
        if (isKept) await rename(path, `${path}.damaged-${randomUUID()}`);
        else await this.#trash.discard(path);
      }
    }
    const wanted = new Map([...this.#layers.values()].map((layer) => [layer.link, layer]));
    for (const name of await readdir(this.links)) {
      if (!wanted.delete(name)) await rm(join(this.links, name), { force: true });
    }
    for (const layer of wanted.values()) await this.link(layer);
  }

  get(chainId: string): Layer | undefined {
    return this.#layers.get(chainId);
  }

  list(): Layer[] {
    return [...this.#layers.values()];
  }

  /** Path of the layer's directory. */
  directory(chainId: string): string {
    return join(this.#directory, hex(chainId));
  }

  /** A short unique name. */
  nextLink(): string {
    return (++this.#lastLink).toString(36);
  }

  async link(layer: Layer): Promise<void> {
    await symlink(`../layers/${hex(layer.chainId)}/fs`, join(this.links, layer.link));
  }

  /** Adds a layer whose directory exists. */
  add(layer: Layer): void {
    this.#layers.set(layer.chainId, layer);
  }

  async remove(layer: Layer): Promise<void> {
    this.#layers.delete(layer.chainId);
    await rm(join(this.links, layer.link), { force: true });
  }

  /** The layer and those below it, the top one first. @throws CriError NOT_FOUND when one is missing. */
  chain(top: string | undefined): Layer[] {
    const chain: Layer[] = [];
    for (let id = top; id !== undefined;) {
      const layer = this.#layers.get(id);
      if (!layer) throw notFound('image layer', id);
      chain.push(layer);
      id = layer.parent;
    }
    return chain;
  }

  /** The visible layers of a filesystem on top of `top`: an opaque one hides those below. */
  visible(top: string | undefined): Layer[] {
    const chain = this.chain(top);
    const opaque = chain.findIndex((layer) => layer.opaqueRoot);
    return opaque < 0 ? chain : chain.slice(0, opaque + 1);
  }

  /** Where the layers' files are, for {@link describeDirectory}. */
  directories(layers: readonly Layer[]): string[] {
    return layers.map((layer) => join(this.directory(layer.chainId), 'fs'));
  }
}

/** undefined when there is none. */
async function readDescription(file: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw failedPrecondition(`${file}: cannot be read: ${messageOf(error)}`, error);
  }
  const format = Number(/"format":\s*(\d+)/.exec(text)?.[1] ?? 0);
  if (format > FORMAT) {
    throw failedPrecondition(`${file}: format ${format} was written by a later version; install that version`);
  }
  return text;
}

function hex(chainId: string): string {
  return chainId.replace(/^sha256:/, '');
}
