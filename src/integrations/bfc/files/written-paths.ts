import { BfcError } from '../errors.ts';
import type { BfcType } from '../format/layout.ts';
import { MAX_PATH_BYTES, parentsOf, pathProblem } from '../format/path-rules.ts';

/** Names with which a path is right when its directory is: most of them. */
const PLAIN_NAME = /^[\w-][\w.-]*$/;

/** The paths of a BFC file that is written: each once, and none below a file or symlink. */
export class WrittenPaths {
  readonly #file: string;
  readonly #types = new Map<string, BfcType>();
  /** Directories that a path is in, with or without entries of their own. */
  readonly #parents = new Set<string>();
  /** Of the last path. */
  #directory: string | undefined;

  /** @param file for messages. */
  constructor(file: string) {
    this.#file = file;
  }

  /** @throws BfcError `name` for a path that readers refuse, `exists` for one that is taken. */
  add(path: string, type: BfcType): void {
    const slash = path.lastIndexOf('/');
    const directory = path.slice(0, Math.max(0, slash));
    const isPlain = slash !== 0 && directory === this.#directory && PLAIN_NAME.test(path.slice(slash + 1));
    const problem = isPlain && path.length <= MAX_PATH_BYTES ? undefined : pathProblem(Buffer.from(path, 'latin1'));
    if (problem !== undefined) this.#refuse('name', path, problem);
    // The original finds no entry of such a name.
    if (path.endsWith('.')) this.#refuse('name', path, 'the path ends with "."');
    const before = this.#types.size;
    this.#types.set(path, type);
    if (this.#types.size === before) this.#refuse('exists', path, 'is there twice');
    if (type !== 'directory' && this.#parents.has(path)) this.#refuse('exists', path, 'is there as a directory, too');
    if (directory !== this.#directory) this.#addParents(path, directory);
    this.#directory = directory;
  }

  #addParents(path: string, directory: string): void {
    if (directory === '' || this.#parents.has(directory)) return;
    for (const parent of [...parentsOf(path)].reverse()) {
      if (this.#parents.has(parent)) return;
      const type = this.#types.get(parent);
      if (type !== undefined && type !== 'directory') this.#refuse('name', path, `is below a ${type}`);
      this.#parents.add(parent);
    }
  }

  #refuse(problem: 'name' | 'exists', entry: string, what: string): never {
    throw new BfcError(problem, { file: this.#file, entry }, what);
  }
}
