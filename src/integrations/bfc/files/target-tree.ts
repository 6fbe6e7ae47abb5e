import { closeSync, constants, fchmodSync, futimesSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, lutimes, mkdir, open, symlink } from 'node:fs/promises';
import { isErrno } from '../../../utils/errors.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Directories that are open at once, and components of a path. */
const MAX_DEPTH = 256;

interface Open {
  name: string;
  handle: FileHandle;
}

/** A path that cannot be created; the message is a predicate for an entry. */
export class TargetError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'TargetError';
  }
}

/**
 * A directory that is filled in the order of paths. Each name is created in its open parent directory, which no symlink, and nobody
 * who renames directories meanwhile, leads anywhere else.
 */
export class TargetTree {
  /** From the directory itself to the one that is filled. */
  readonly #open: Open[];

  private constructor(root: FileHandle) {
    this.#open = [{ name: '', handle: root }];
  }

  /** @param path of a directory. */
  static async open(path: string): Promise<TargetTree> {
    return new TargetTree(await open(path, DIRECTORY));
  }

  /** Creates a directory unless it is there, and those above it, for this process's user alone; gives it as open. */
  async directory(path: string): Promise<FileHandle> {
    await this.#enter(path.split('/'));
    return this.#last;
  }

  /** Creates a file for writing, for this process's user alone. The caller closes it. @throws Error EEXIST */
  async file(path: string): Promise<FileHandle> {
    return open(await this.#place(path), 'wx', 0o600);
  }

  /**
   * Creates a file of a few bytes, complete. Synchronous calls: five of them take less time than to hand one to another thread, and
   * a tree has ten thousands of such files. @throws Error EEXIST
   */
  async smallFile(path: string, bytes: Buffer, { mode, seconds }: { mode: number; seconds: string }): Promise<void> {
    const file = openSync(await this.#place(path), 'wx', 0o600);
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
      fchmodSync(file, mode);
      futimesSync(file, seconds, seconds);
    } finally {
      closeSync(file);
    }
  }

  async symlink(path: string, target: Buffer, seconds: string): Promise<void> {
    const place = await this.#place(path);
    await symlink(target, place);
    await lutimes(place, seconds, seconds);
  }

  async close(): Promise<void> {
    await this.#leave(0);
  }

  /** Where a name is in its open parent. */
  async #place(path: string): Promise<Buffer> {
    const components = path.split('/');
    const name = components.pop() ?? '';
    await this.#enter(components);
    return this.#at(name);
  }

  get #last(): FileHandle {
    const last = this.#open.at(-1);
    if (!last) throw new Error('the directory is closed');
    return last.handle;
  }

  #at(name: string): Buffer {
    // Names are bytes.
    return Buffer.from(`/proc/self/fd/${this.#last.fd}/${name}`, 'latin1');
  }

  async #enter(components: readonly string[]): Promise<void> {
    if (components.length > MAX_DEPTH) throw new TargetError(`the path has more than ${MAX_DEPTH} components`);
    let depth = 1;
    while (depth <= components.length && this.#open[depth]?.name === components[depth - 1]) depth++;
    await this.#leave(depth);
    for (const name of components.slice(depth - 1)) {
      const place = this.#at(name);
      try {
        await mkdir(place, 0o700);
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
      this.#open.push({ name, handle: await openDirectory(place) });
    }
  }

  /** Closes open directories but the first `kept` ones. */
  async #leave(kept: number): Promise<void> {
    for (const { handle } of this.#open.splice(kept).reverse()) await handle.close();
  }
}

async function openDirectory(place: Buffer): Promise<FileHandle> {
  try {
    return await open(place, DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'ELOOP')) throw new TargetError('the path leads through a file or symlink');
    throw error;
  }
}
