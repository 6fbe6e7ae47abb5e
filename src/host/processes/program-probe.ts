import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { isErrno } from '../../utils/errors.ts';
import { run } from './run.ts';

const LIMIT_MS = 10_000;

/** Checks that programs run, again only when the file has changed: the kubelet requests the status every five seconds. */
export class ProgramProbe {
  readonly #known = new Map<string, { file: string; answer: Promise<string> }>();

  /**
   * The standard output of `program` (a path, or a name on PATH) with `args`.
   * @throws CommandError when it does not exist, cannot be run or exits with a code other than 0; it is then run again
   * next time.
   */
  async answer(program: string, args: readonly string[]): Promise<string> {
    const file = await identityOf(program);
    const key = [program, ...args].join('\0');
    const known = this.#known.get(key);
    if (file !== undefined && known?.file === file) return known.answer;
    const answer = run(program, args, { timeoutMs: LIMIT_MS, holds: 'nothing' }).then(({ stdout }) => stdout);
    if (file === undefined) return answer;
    const entry = { file, answer };
    this.#known.set(key, entry);
    answer.catch(() => {
      if (this.#known.get(key) === entry) this.#known.delete(key);
    });
    return answer;
  }
}

/** The identity of a program's file; undefined when there is none. */
async function identityOf(program: string): Promise<string | undefined> {
  const directories = (process.env['PATH'] ?? '').split(':').filter(isAbsolute);
  for (const path of isAbsolute(program) ? [program] : directories.map((directory) => join(directory, program))) {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return [path, dev, ino, size, mtimeNs, ctimeNs].join(' ');
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    }
  }
  return undefined;
}
