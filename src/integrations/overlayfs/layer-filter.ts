import type { Usage } from '../../core/model/rootfs.ts';
import { padding, TarError, type TarEntry } from '../../utils/tar/header.ts';
import { readTar } from '../../utils/tar/reader.ts';
import { END_OF_ARCHIVE, formatEntry } from '../../utils/tar/writer.ts';
import { LayerPaths, quote } from './layer-paths.ts';

const WHITEOUT = '.wh.';
const WHITEOUT_META = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';
const OPAQUE_XATTR = 'trusted.overlay.opaque';
/** Blocks of the file system, for the estimate of what a layer uses. */
const FS_BLOCK = 4096;

export interface LayerLimits {
  /** Entries of one layer, made-up directories included. */
  maxEntries: number;
  /** Bytes of all its files together. */
  maxBytes: number;
  /** Bytes of all its names together, which are kept in memory. */
  maxNameBytes: number;
  /** How many times its own size a compressed layer may unpack to, once it is larger than 1 GiB. */
  maxRatio: number;
}

/** Owner, mode and time of a directory that the archive uses without describing it. */
export type DirectoryFacts = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime'>;

export interface LayerFilterOptions {
  limits: LayerLimits;
  /** How the layers below describe a directory ("" is the root); undefined where they have none. */
  inherit(path: string): Promise<DirectoryFacts | undefined>;
}

/** What was seen on the way. Usage is an estimate: a block's worth for each entry and its content rounded up. */
export interface LayerFacts {
  usage: Usage;
  /** The layer hides everything below it. */
  opaqueRoot: boolean;
}

/**
 * Turns a layer's tar (OCI image specification, layer.md) into one that a plain tar can write into an empty folder: names
 * inside the folder and through no symlink, every directory before its content, whiteouts in overlayfs' form, no extended
 * attributes that mean something to overlayfs or to this host.
 */
export class LayerFilter {
  readonly facts: LayerFacts = { usage: { bytes: 0n, inodes: 0n }, opaqueRoot: false };
  readonly #options: LayerFilterOptions;
  readonly #paths = new LayerPaths();
  /** Whiteouts hide what the layers below have, never what this layer brings, wherever they stand in it: done at the end. */
  readonly #whiteouts: string[][] = [];
  readonly #opaque: string[][] = [];
  #entries = 0;
  #nameBytes = 0;

  constructor(options: LayerFilterOptions) {
    this.#options = options;
  }

  /** The rewritten archive. @throws TarError for what cannot be applied safely. */
  async *run(tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const { entry, content } of readTar(tar)) {
      this.#nameBytes += entry.name.length + entry.linkName.length;
      if (this.#nameBytes > this.#options.limits.maxNameBytes) {
        throw new TarError(`the names in the layer take more than ${this.#options.limits.maxNameBytes} bytes`);
      }
      const components = LayerPaths.split(entry.name);
      if (this.#isWhiteout(components)) continue;
      const checked = this.#check(entry, components);
      yield* this.#parents(checked.name);
      yield this.#emit(checked);
      if (checked.size > 0) {
        yield* content;
        yield Buffer.alloc(padding(checked.size));
      }
    }
    yield* this.#applyWhiteouts();
    yield* this.#directory('');
    yield END_OF_ARCHIVE;
  }

  #isWhiteout(components: string[]): boolean {
    if (components.some((component) => component.startsWith(WHITEOUT_META) && component !== OPAQUE)) return true; // aufs' own files
    const last = components.at(-1);
    if (components.slice(0, -1).some((component) => component.startsWith(WHITEOUT))) {
      throw new TarError(`${quote(components.join('/'))}: a whiteout is no directory`);
    }
    if (!last?.startsWith(WHITEOUT)) return false;
    const directory = components.slice(0, -1);
    if (last === OPAQUE) {
      this.#opaque.push(directory);
    } else {
      const hidden = last.slice(WHITEOUT.length);
      if (hidden === '' || hidden === '.' || hidden === '..') throw new TarError(`${quote(last)}: hides no name`);
      this.#whiteouts.push([...directory, hidden]);
    }
    this.#count(`whiteout ${quote(last)}`);
    return true;
  }

  /** The entry as it may be written; the tree of paths knows it afterwards. */
  #check(entry: TarEntry, components: string[]): TarEntry {
    const path = this.#paths.resolve(components);
    const before = this.#paths.get(path);
    const checked: TarEntry = { ...entry, name: path, xattrs: allowedXattrs(entry.xattrs) };
    for (const id of [entry.uid, entry.gid]) {
      if (id < 0 || id > 0xfffffffe) throw new TarError(`${quote(path)}: impossible owner ${id}`);
    }
    if (entry.type !== 'directory' && (path === '' || before?.kind === 'directory')) {
      throw new TarError(`${quote(path)}: a ${entry.type} in the place of a directory`);
    }
    if (entry.type === 'directory') {
      this.#paths.set(path, { kind: 'directory', entry: checked });
    } else if (entry.type === 'symlink') {
      if (entry.linkName === '' || entry.linkName.length > 4095)
        throw new TarError(`${quote(path)}: impossible link target`);
      this.#paths.set(path, { kind: 'symlink', target: entry.linkName });
    } else if (entry.type === 'hardlink') {
      checked.linkName = this.#paths.resolve(LayerPaths.split(entry.linkName));
      const target = this.#paths.get(checked.linkName);
      if (!target || target.kind === 'directory' || checked.linkName === path) {
        throw new TarError(`${quote(path)}: hard link to ${quote(entry.linkName)}, which is no file of this layer`);
      }
      this.#paths.set(path, target);
    } else {
      if ((entry.sparse?.realSize ?? 0) > this.#options.limits.maxBytes) {
        throw new TarError(`${quote(path)}: is larger than ${this.#options.limits.maxBytes} bytes`);
      }
      this.#paths.set(path, { kind: 'other' });
    }
    return checked;
  }

  /** Directories above `path` that the archive has not named so far. */
  async *#parents(path: string): AsyncGenerator<Buffer> {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      yield* this.#directory(path.slice(0, slash));
    }
  }

  async *#directory(path: string): AsyncGenerator<Buffer> {
    if (this.#paths.get(path)) return;
    const facts = (await this.#options.inherit(path)) ?? { mode: 0o755, uid: 0, gid: 0, mtime: '0' };
    const entry: TarEntry = { ...blank(path, 'directory'), ...facts };
    this.#paths.set(path, { kind: 'directory', entry });
    yield this.#emit(entry);
  }

  async *#applyWhiteouts(): AsyncGenerator<Buffer> {
    const opaque = new Set(this.#opaque.map((directory) => this.#paths.resolveDirectory(directory)));
    for (const components of this.#whiteouts) {
      const path = this.#paths.resolve(components);
      const node = this.#paths.get(path);
      if (node?.kind === 'directory') opaque.add(path);
      if (node) continue;
      yield* this.#parents(path);
      this.#paths.set(path, { kind: 'other' });
      yield this.#emit({ ...blank(path, 'character'), mode: 0 });
    }
    this.facts.opaqueRoot = opaque.delete('');
    for (const path of opaque) {
      yield* this.#parents(path);
      yield* this.#directory(path);
      const node = this.#paths.get(path);
      if (node?.kind !== 'directory') continue;
      const xattrs = new Map(node.entry.xattrs).set(OPAQUE_XATTR, Buffer.from('y'));
      yield this.#emit({ ...node.entry, xattrs });
    }
  }

  #emit(entry: TarEntry): Buffer {
    this.#count(quote(entry.name));
    const { usage } = this.facts;
    usage.inodes += entry.type === 'hardlink' ? 0n : 1n;
    const blocks = Math.ceil(entry.size / FS_BLOCK) + (entry.type === 'directory' ? 1 : 0);
    usage.bytes += BigInt(blocks * FS_BLOCK);
    if (usage.bytes > BigInt(this.#options.limits.maxBytes)) {
      throw new TarError(`the layer is larger than ${this.#options.limits.maxBytes} bytes`);
    }
    return formatEntry({ ...entry, name: entry.name === '' ? './' : entry.name });
  }

  #count(what: string): void {
    if (++this.#entries > this.#options.limits.maxEntries) {
      throw new TarError(`${what}: the layer has more than ${this.#options.limits.maxEntries} entries`);
    }
  }
}

function blank(name: string, type: TarEntry['type']): TarEntry {
  return {
    type,
    name,
    linkName: '',
    size: 0,
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: '0',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
  };
}

/** `trusted.overlay.*` and `user.overlay.*` steer overlayfs, other `security.*` and `trusted.*` attributes this host. */
function allowedXattrs(xattrs: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  const allowed = (name: string) =>
    (name.startsWith('user.') && !name.startsWith('user.overlay.')) ||
    name === 'security.capability' ||
    name.startsWith('system.posix_acl_');
  return new Map([...xattrs].filter(([name]) => allowed(name)));
}
