import { TarError, type TarEntry } from '../../utils/tar/header.ts';
import { PathBits } from './path-bits.ts';
import { MAX_DEPTH, MAX_LINKS, MAX_NAME_BYTES, MAX_PATH_BYTES } from './bounds.ts';

export type LayerNode =
  { kind: 'directory'; entry: TarEntry } | { kind: 'symlink'; target: string } | { kind: 'other' };

/**
 * The entries of a layer's archive so far, by path from the layer's root without slashes at the ends; the root is "".
 * Symlinks that the layer itself created before are resolved in these paths as chroot would, so that a writer never
 * passes through one.
 */
export class LayerPaths {
  readonly #nodes = new Map<string, LayerNode>();
  /** Of all nodes that were not directories when they were set. */
  readonly #bits = new PathBits();

  get(path: string): LayerNode | undefined {
    return this.#nodes.get(path);
  }

  set(path: string, node: LayerNode): void {
    this.#nodes.set(path, node);
    if (node.kind !== 'directory') this.#bits.add(this.#bits.below(PathBits.root, path));
  }

  /** The directories, each after those above it unless the archive has it earlier. */
  *directories(): Generator<TarEntry> {
    for (const node of this.#nodes.values()) if (node.kind === 'directory') yield node.entry;
  }

  /** Whether the layer has an entry below a directory. Checks every path. */
  hasBelow(path: string): boolean {
    for (const known of this.#nodes.keys()) if (known.startsWith(`${path}/`)) return true;
    return false;
  }

  /** Splits an archive's name into components. @throws TarError for `..`, and for invalid names. */
  static split(name: string): string[] {
    const components = name.split('/').filter((component) => component !== '' && component !== '.');
    // Before it is resolved, which looks at every directory of it.
    if (components.length > MAX_DEPTH) throw tooDeep(name);
    for (const component of components) {
      if (component === '..') throw new TarError(`${quote(name)}: is outside the image`);
      if (component.includes('\0')) throw new TarError(`${quote(name)}: contains a NUL byte`);
      if (component.length > MAX_NAME_BYTES) {
        throw new TarError(`${quote(name)}: a component is longer than ${MAX_NAME_BYTES} bytes`);
      }
    }
    return components;
  }

  /**
   * The real path of an entry: its directory resolved, its last component unchanged. @throws TarError when it has none.
   */
  resolve(components: readonly string[]): string {
    const last = components.at(-1);
    if (last === undefined) return '';
    const directory = this.resolveDirectory(components.slice(0, -1));
    return bounded(directory === '' ? last : `${directory}/${last}`);
  }

  /** The real path of a directory, all symlinks resolved. @throws TarError below a file, or in a loop of symlinks. */
  resolveDirectory(components: readonly string[]): string {
    const plain = components.join('/');
    if (this.#nodes.get(plain)?.kind === 'directory') return plain;
    const pending = components.toReversed();
    const current: string[] = [];
    const hashes: number[] = [];
    let links = 0;
    for (let component = pending.pop(); component !== undefined; component = pending.pop()) {
      if (component === '' || component === '.') continue;
      if (component === '..') {
        current.pop();
        hashes.pop();
        continue;
      }
      current.push(component);
      const hash = this.#bits.below(hashes.at(-1) ?? PathBits.root, component);
      hashes.push(hash);
      if (!this.#bits.mayHave(hash)) continue;
      const node = this.#nodes.get(current.join('/'));
      if (node?.kind === 'other') throw new TarError(`${quote(plain)}: ${quote(current.join('/'))} is not a directory`);
      if (node?.kind !== 'symlink') continue;
      if (++links > MAX_LINKS) throw new TarError(`${quote(plain)}: too many symbolic links`);
      current.pop();
      hashes.pop();
      if (node.target.startsWith('/')) current.length = hashes.length = 0;
      pending.push(...node.target.split('/').reverse());
    }
    return bounded(current.join('/'));
  }
}

/** @throws TarError for a path too long or too deep. */
function bounded(path: string): string {
  if (path.length > MAX_PATH_BYTES)
    throw new TarError(`${quote(path)}: the path is longer than ${MAX_PATH_BYTES} bytes`);
  if (path.length > MAX_DEPTH && path.split('/').length > MAX_DEPTH) throw tooDeep(path);
  return path;
}

function tooDeep(path: string): TarError {
  return new TarError(`${quote(path)}: the path has more than ${MAX_DEPTH} components`);
}

export function quote(name: string): string {
  return JSON.stringify(name.slice(0, 300));
}
