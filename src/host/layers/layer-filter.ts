import type { Usage } from '../../core/model/rootfs.ts';
import { padding, TarError, type TarEntry } from '../../utils/tar/header.ts';
import { readTar } from '../../utils/tar/reader.ts';
import { END_OF_ARCHIVE, formatEntry } from '../../utils/tar/writer.ts';
import {
  MAX_ENTRY_XATTR_BYTES,
  MAX_LAYER_HEADER_BYTES,
  MAX_LAYER_XATTR_BYTES,
  MAX_NAME_BYTES,
  MAX_REPLACED_DIRECTORIES,
  MAX_TARGET_BYTES,
} from './bounds.ts';
import { LayerPaths, quote } from './layer-paths.ts';
import type { Removals } from './merge-layer.ts';
import { PathBits } from './path-bits.ts';

const WHITEOUT = '.wh.';
const WHITEOUT_META = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';
const OPAQUE_XATTR = 'trusted.overlay.opaque';
/** An empty value; overlayfs then expects whiteouts in a directory without lower ones (ovl_path_check_origin_xattr). */
const ORIGIN_XATTR = 'trusted.overlay.origin';
// Shared: an image has up to two million entries.
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();
const OTHER = { kind: 'other' } as const;
/** Blocks of the filesystem, for the estimate of what a layer uses. */
const FS_BLOCK = 4096;

/** The bounds of `bounds.ts` that a test may want smaller. */
export interface LayerLimits {
  /** {@link MAX_ENTRIES}, directories included that the archive does not name. */
  maxEntries: number;
  /** {@link MAX_IMAGE_BYTES} */
  maxBytes: number;
  /** {@link MAX_LAYER_NAME_BYTES} */
  maxNameBytes: number;
  /** {@link MAX_RATIO} */
  maxRatio: number;
}

/** Owner, mode and time of a directory that the archive uses without describing it. */
export type DirectoryFacts = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime'>;

export interface LayerFilterOptions {
  /** What becomes of whiteouts: files and attributes of overlayfs, or a list for {@link mergeLayer}. */
  whiteouts?: 'overlayfs' | 'list';
  limits: LayerLimits;
  /** The parts of the image's bounds that the lower layers use. */
  below: Usage;
  /** How the layers below describe a directory ("" is the root); undefined where they have none. */
  inherit(path: string): Promise<DirectoryFacts | undefined>;
}

/** Totals of the layer. Usage is an estimate: a block for each entry, and its content rounded up. */
export interface LayerFacts {
  usage: Usage;
  /** The layer hides everything below it. */
  opaqueRoot: boolean;
}

/**
 * Converts a layer's tar (OCI image specification, layer.md) to one that a plain tar can write into an empty directory:
 * names inside the directory and through no symlink, every directory before its content, whiteouts in overlayfs' form or none,
 * no extended attributes with a meaning to overlayfs or to this host.
 */
export class LayerFilter {
  readonly facts: LayerFacts = { usage: { bytes: 0n, inodes: 0n }, opaqueRoot: false };
  /** Empty, unless whiteouts are to be listed. */
  readonly removals: Removals & { hidden: string[]; opaque: string[] } = { hidden: [], opaque: [] };
  readonly #options: LayerFilterOptions;
  readonly #paths = new LayerPaths();
  /** Whiteouts hide entries of lower layers, never of this layer, wherever they are in it: written at the end. */
  #whiteouts: string[] = [];
  #opaque: string[] = [];
  /** Those of the whiteouts that the archive has as devices. */
  readonly #devices = new Set<string>();
  #replaced = 0;
  /** Whether the lower layers have a directory, as far as it was checked. */
  readonly #below = new Map<string, boolean>();
  #entries: number;
  #nameBytes = 0;
  #xattrBytes = 0;

  constructor(options: LayerFilterOptions) {
    this.#options = options;
    this.#entries = Number(options.below.inodes);
  }

  /** The converted archive. @throws TarError for an entry that cannot be applied safely. */
  async *run(tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const { entry, content } of readTar(tar, MAX_LAYER_HEADER_BYTES)) {
      this.#nameBytes += entry.name.length + entry.linkName.length;
      if (this.#nameBytes > this.#options.limits.maxNameBytes) {
        throw new TarError(`the names in the layer take more than ${this.#options.limits.maxNameBytes} bytes`);
      }
      const components = LayerPaths.split(entry.name);
      if (this.#isWhiteout(components) || this.#isDeviceWhiteout(entry, components)) continue;
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

  /** An archive of the layer's directories alone, its root among them: files that are moved change their times. */
  *directories(): Generator<Buffer> {
    for (const entry of this.#paths.directories()) yield formatEntry({ ...entry, name: nameOf(entry) });
    yield END_OF_ARCHIVE;
  }

  get #isListing(): boolean {
    return this.#options.whiteouts === 'list';
  }

  #isWhiteout(components: string[]): boolean {
    if (components.some((component) => component.startsWith(WHITEOUT_META) && component !== OPAQUE)) return true; // aufs' own files
    const last = components.at(-1);
    if (components.slice(0, -1).some((component) => component.startsWith(WHITEOUT))) {
      throw new TarError(`${quote(components.join('/'))}: a whiteout must not be a directory`);
    }
    if (!last?.startsWith(WHITEOUT)) return false;
    const directory = components.slice(0, -1);
    if (last === OPAQUE) {
      this.#opaque.push(directory.join('/'));
    } else {
      const hidden = last.slice(WHITEOUT.length);
      if (hidden === '' || hidden === '.' || hidden === '..')
        throw new TarError(`${quote(last)}: invalid whiteout name`);
      this.#whiteouts.push([...directory, hidden].join('/'));
    }
    this.#count(`whiteout ${quote(last)}`);
    return true;
  }

  /**
   * Whether an entry is a whiteout as overlayfs has them on disk (its documentation in the kernel, "whiteouts and opaque
   * directories"): a character device 0:0, or a hard link to one. Archives of such a disk contain them, and containerd writes them as
   * they are: overlayfs would hide what is below and list a name that cannot be opened, other filesystems show a device.
   */
  #isDeviceWhiteout({ type, deviceMajor, deviceMinor, linkName }: TarEntry, components: string[]): boolean {
    if (components.length === 0) return false;
    if (type === 'hardlink') {
      if (this.#devices.size === 0) return false;
      const target = this.#paths.resolve(LayerPaths.split(linkName));
      if (!this.#devices.has(target) || this.#paths.get(target) !== undefined) return false;
    } else if (type !== 'character' || deviceMajor !== 0 || deviceMinor !== 0) return false;
    const path = this.#paths.resolve(components);
    this.#devices.add(path);
    this.#whiteouts.push(path);
    this.#count(`whiteout ${quote(path)}`);
    return true;
  }

  /** The entry in its written form; the tree of paths includes it afterwards. */
  #check(entry: TarEntry, components: string[]): TarEntry {
    const path = this.#paths.resolve(components);
    const before = this.#paths.get(path);
    const checked: TarEntry = { ...entry, name: path, xattrs: this.#allowedXattrs(path, entry.xattrs) };
    for (const id of [entry.uid, entry.gid]) {
      if (id < 0 || id > 0xfffffffe) throw new TarError(`${quote(path)}: impossible owner ${id}`);
    }
    if (entry.type !== 'directory' && (path === '' || before?.kind === 'directory')) this.#replace(path, entry.type);
    if (entry.type === 'directory') {
      this.#paths.set(path, { kind: 'directory', entry: checked });
    } else if (entry.type === 'symlink') {
      if (entry.linkName === '' || entry.linkName.length > MAX_TARGET_BYTES || entry.linkName.includes('\0')) {
        throw new TarError(`${quote(path)}: impossible link target`);
      }
      this.#paths.set(path, { kind: 'symlink', target: entry.linkName });
    } else if (entry.type === 'hardlink') {
      checked.linkName = this.#paths.resolve(LayerPaths.split(entry.linkName));
      const target = this.#paths.get(checked.linkName);
      if (!target || target.kind === 'directory' || checked.linkName === path) {
        throw new TarError(`${quote(path)}: hard link to ${quote(entry.linkName)}, which is not a file of this layer`);
      }
      this.#paths.set(path, target);
    } else {
      if ((entry.sparse?.realSize ?? 0) > this.#options.limits.maxBytes) {
        throw new TarError(`${quote(path)}: is larger than ${this.#options.limits.maxBytes} bytes`);
      }
      this.#paths.set(path, OTHER);
    }
    return checked;
  }

  /** The last entry of a name wins, as in containerd; tar can replace an empty directory with it. */
  #replace(path: string, type: TarEntry['type']): void {
    if (path === '' || ++this.#replaced > MAX_REPLACED_DIRECTORIES || this.#paths.hasBelow(path)) {
      throw new TarError(`${quote(path)}: a ${type} replaces a directory that is in use`);
    }
    const stays = (mark: string) => !`${mark}/`.startsWith(`${path}/`);
    this.#opaque = this.#opaque.filter(stays);
    this.#whiteouts = this.#whiteouts.filter(stays);
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
    const opaque = new Set(this.#opaque.map((mark) => this.#paths.resolveDirectory(mark.split('/'))));
    const hidden = new Set<string>();
    for (const mark of this.#whiteouts) {
      const path = this.#paths.resolve(mark.split('/'));
      const node = this.#paths.get(path);
      if (node?.kind === 'directory') opaque.add(path);
      else if (!node) hidden.add(path);
    }
    const marks = new Map<string, TarEntry['xattrs']>();
    const bits = new PathBits();
    for (const path of opaque) {
      marks.set(path, new Map([[OPAQUE_XATTR, Buffer.from('y')]]));
      bits.add(bits.below(PathBits.root, path));
    }
    const isOpaque = (directory: string) => opaque.has('') || hasDirectoryOf(directory, opaque, bits);
    for (const path of hidden) {
      const directory = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
      if (isOpaque(directory) || !(await this.#isMerged(directory))) continue;
      yield* this.#parents(path);
      if (this.#isListing) {
        this.removals.hidden.push(path);
        continue;
      }
      this.#paths.set(path, OTHER);
      yield this.#emit({ ...blank(path, 'character'), mode: 0 });
      if (!marks.has(directory)) marks.set(directory, new Map([[ORIGIN_XATTR, Buffer.alloc(0)]]));
    }
    this.facts.opaqueRoot = opaque.has('');
    if (this.#isListing) this.removals.opaque.push(...opaque);
    for (const [path, marked] of marks) {
      if (path === '') continue;
      yield* this.#parents(path);
      yield* this.#directory(path);
      const node = this.#paths.get(path);
      if (node?.kind !== 'directory' || this.#isListing) continue;
      yield this.#emit({ ...node.entry, xattrs: new Map([...node.entry.xattrs, ...marked]) });
    }
  }

  /**
   * Whether a directory that is not opaque shows together with one of the layers below. Where it does not, there is nothing
   * to hide, and overlayfs would show a whiteout as the character device that it is.
   */
  async #isMerged(directory: string): Promise<boolean> {
    let found = this.#below.get(directory);
    if (found === undefined) {
      found = (await this.#options.inherit(directory)) !== undefined;
      this.#below.set(directory, found);
    }
    return found;
  }

  /** `trusted.overlay.*` and `user.overlay.*` steer overlayfs, other `security.*` and `trusted.*` attributes this host. */
  #allowedXattrs(path: string, xattrs: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
    if (xattrs.size === 0) return NO_XATTRS;
    const allowed = new Map<string, Buffer>();
    let bytes = 0;
    for (const [name, value] of xattrs) {
      if (!isAllowedXattr(name)) continue;
      if (name.length > MAX_NAME_BYTES || name.includes('\0')) {
        throw new TarError(`${quote(path)}: impossible extended attribute ${quote(name)}`);
      }
      bytes += name.length + value.length;
      // Copied: the value is a part of the whole header, which would stay in memory with it.
      allowed.set(name, Buffer.from(value));
    }
    if (bytes > MAX_ENTRY_XATTR_BYTES) {
      throw new TarError(`${quote(path)}: its extended attributes take more than ${MAX_ENTRY_XATTR_BYTES} bytes`);
    }
    this.#xattrBytes += bytes;
    if (this.#xattrBytes > MAX_LAYER_XATTR_BYTES) {
      throw new TarError(`the extended attributes in the layer take more than ${MAX_LAYER_XATTR_BYTES} bytes`);
    }
    return allowed.size === 0 ? NO_XATTRS : allowed;
  }

  #emit(entry: TarEntry): Buffer {
    this.#count(quote(entry.name));
    const { usage } = this.facts;
    usage.inodes += entry.type === 'hardlink' ? 0n : 1n;
    const blocks = Math.ceil(entry.size / FS_BLOCK) + (entry.type === 'directory' ? 1 : 0);
    usage.bytes += BigInt(blocks * FS_BLOCK);
    const { limits, below } = this.#options;
    if (usage.bytes + below.bytes > BigInt(limits.maxBytes)) {
      throw new TarError(`the image is larger than ${limits.maxBytes} bytes`);
    }
    return formatEntry({ ...entry, name: nameOf(entry) });
  }

  #count(what: string): void {
    if (++this.#entries > this.#options.limits.maxEntries) {
      throw new TarError(`${what}: the image has more than ${this.#options.limits.maxEntries} entries`);
    }
  }
}

function nameOf({ name }: TarEntry): string {
  return name === '' ? './' : name;
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
    xattrs: NO_XATTRS,
  };
}

function isAllowedXattr(name: string): boolean {
  if (name.startsWith('user.')) return !name.startsWith('user.overlay.');
  return name === 'security.capability' || name.startsWith('system.posix_acl_');
}

/** Whether a path or one of the directories above it, the root aside, is in a set of which `bits` are. */
function hasDirectoryOf(path: string, set: ReadonlySet<string>, bits: PathBits): boolean {
  let hash = PathBits.root;
  for (let from = 0; from < path.length;) {
    const slash = path.indexOf('/', from);
    const end = slash < 0 ? path.length : slash;
    hash = bits.below(hash, path.slice(from, end));
    if (bits.mayHave(hash) && set.has(path.slice(0, end))) return true;
    from = end + 1;
  }
  return false;
}
