import { BfcError } from '../errors.ts';
import type { BfcType } from '../format/layout.ts';
import { parentsOf, pathProblem } from '../format/path-rules.ts';

/** The paths of a BFC file that is written: each once, and none below a file or symlink. */
export class WrittenPaths {
  readonly #file: string;
  readonly #types = new Map<string, BfcType>();
  /** Directories that a path is in, with or without entries of their own. */
  readonly #parents = new Set<string>();

  /** @param file for messages. */
  constructor(file: string) {
    this.#file = file;
  }

  /** @throws BfcError `name` for a path that readers refuse, `exists` for one that is taken. */
  add(path: string, type: BfcType): void {
    const problem = pathProblem(Buffer.from(path, 'latin1'));
    if (problem !== undefined) this.#refuse('name', path, problem);
    // The original finds no entry of such a name.
    if (path.endsWith('.')) this.#refuse('name', path, 'the path ends with "."');
    if (this.#types.has(path)) this.#refuse('exists', path, 'is there twice');
    if (type !== 'directory' && this.#parents.has(path)) this.#refuse('exists', path, 'is there as a directory, too');
    this.#addParents(path);
    this.#types.set(path, type);
  }

  #addParents(path: string): void {
    const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')));
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
