import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  futimesSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrno } from '../../../utils/errors.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Directories that are open at once, and components of a path. */
const MAX_DEPTH = 256;

interface OpenDirectory {
  name: string;
  descriptor: number;
}

export interface Attributes {
  /** Permission bits. */
  mode: number;
  /** Modification time, seconds since 1970. */
  seconds: number | string;
}

/** A path that cannot be created; the message is a predicate for an entry. */
export class TargetError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'TargetError';
  }
}

/**
 * A directory that is filled. Each name is created in its open parent directory, which no symlink, and nobody who renames directories
 * meanwhile, leads anywhere else.
 *
 * By synchronous calls: to hand one to another thread takes longer than five of them, and a tree has ten thousands of files.
 */
export class TargetTree {
  /** From the directory itself to the one that is filled. */
  readonly #open: OpenDirectory[];
  /** The path of the last one, unless others were opened since. */
  #entered: string | undefined;
  /** Modes that files have when they are created with them, whatever the umask and the directory's default ACL. */
  readonly #kept = new Set<number>();

  /** @param path of a directory. */
  constructor(path: string) {
    this.#open = [{ name: '', descriptor: openSync(path, DIRECTORY) }];
  }

  /** Creates a directory unless it is there, and those above it, for this process's user alone. @throws TargetError */
  directory(path: string): void {
    this.#enter(path.split('/'));
  }

  /** Gives a directory that is there its attributes; a time stays until something is put into it. @throws TargetError */
  setAttributes(path: string, mode: number, seconds: number | string | undefined): void {
    this.#enter(path.split('/'), openDirectory);
    fchmodSync(this.#last, mode);
    if (seconds !== undefined) futimesSync(this.#last, seconds, seconds);
  }

  /** Creates a file for writing, for this process's user alone. The caller closes it. @throws TargetError; Error EEXIST */
  async file(path: string): Promise<FileHandle> {
    return open(this.#place(path), 'wx', 0o600);
  }

  /** Creates a file with its content, which others may see before it is whole. @throws TargetError; Error EEXIST */
  smallFile(path: string, bytes: Buffer, { mode, seconds }: Attributes): void {
    const file = openSync(this.#place(path), 'wx', mode);
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
      if (!this.#kept.has(mode)) {
        if ((fstatSync(file).mode & 0o7777) === mode) this.#kept.add(mode);
        else fchmodSync(file, mode);
      }
      futimesSync(file, seconds, seconds);
    } finally {
      closeSync(file);
    }
  }

  /** @throws TargetError; Error EEXIST */
  symlink(path: string, target: Buffer, seconds: number | string): void {
    const place = this.#place(path);
    symlinkSync(target, place);
    lutimesSync(place, seconds, seconds);
  }

  close(): void {
    this.#leave(0);
  }

  /** Where a name is in its open parent. */
  #place(path: string): Buffer {
    const slash = path.lastIndexOf('/');
    const directory = path.slice(0, Math.max(0, slash));
    if (directory !== this.#entered) {
      this.#enter(slash < 0 ? [] : directory.split('/'));
      this.#entered = directory;
    }
    return this.#at(path.slice(slash + 1));
  }

  get #last(): number {
    const last = this.#open.at(-1);
    if (!last) throw new Error('the directory is closed');
    return last.descriptor;
  }

  #at(name: string): Buffer {
    // Names are bytes.
    return Buffer.from(`/proc/self/fd/${this.#last}/${name}`, 'latin1');
  }

  #enter(components: readonly string[], open = openOrCreate): void {
    this.#entered = undefined;
    if (components.length > MAX_DEPTH) throw new TargetError(`the path has more than ${MAX_DEPTH} components`);
    let depth = 1;
    while (depth <= components.length && this.#open[depth]?.name === components[depth - 1]) depth++;
    this.#leave(depth);
    for (const name of components.slice(depth - 1)) {
      this.#open.push({ name, descriptor: open(this.#at(name)) });
    }
  }

  /** Closes open directories but the first `kept` ones. */
  #leave(kept: number): void {
    for (const { descriptor } of this.#open.splice(kept).reverse()) closeSync(descriptor);
  }
}

function openOrCreate(place: Buffer): number {
  try {
    mkdirSync(place, 0o700);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  return openDirectory(place);
}

function openDirectory(place: Buffer): number {
  try {
    return openSync(place, DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'ELOOP')) throw new TargetError('the path leads through a file or symlink');
    throw error;
  }
}
