import { readFile, rm } from 'node:fs/promises';
import * as z from 'zod';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import type { Made } from './step.ts';

const string = z.string().min(1);
const made: z.ZodType<Made> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('directory'), path: string }),
  z.object({ kind: z.literal('file'), path: string, sha256: string }),
  z.object({ kind: z.literal('pool'), name: string }),
  z.object({ kind: z.literal('role'), name: string, privileges: z.array(string) }),
  z.object({ kind: z.literal('user'), id: string }),
  z.object({ kind: z.literal('acl'), path: string, type: z.enum(['user', 'token']), id: string, role: string }),
  z.object({ kind: z.literal('token'), user: string, name: string }),
]);
const format = z.strictObject({ format: z.literal(1), made: z.array(made) });

/** What setup has made on this machine, in the order it was made, in a file, which exists only while there is something. */
export class MadeRecord {
  readonly path: string;
  readonly entries: Made[];

  private constructor(path: string, entries: Made[]) {
    this.path = path;
    this.entries = entries;
  }

  /** @throws Error for a file that is not such a record. */
  static async open(path: string): Promise<MadeRecord> {
    try {
      return new MadeRecord(path, format.parse(JSON.parse(await readFile(path, 'utf8'))).made);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return new MadeRecord(path, []);
      const reason = error instanceof z.ZodError ? z.prettifyError(error).replaceAll('\n', ' ') : messageOf(error);
      throw new Error(`${path} is not a record of setup: ${reason}; restore it or remove it`, { cause: error });
    }
  }

  /** Adds an entry, durably. */
  async add(entry: Made): Promise<void> {
    this.entries.push(entry);
    await this.#save();
  }

  /** Drops an entry, durably. */
  async drop(entry: Made): Promise<void> {
    this.entries.splice(this.entries.indexOf(entry), 1);
    await this.#save();
  }

  async #save(): Promise<void> {
    if (this.entries.length === 0) {
      await rm(this.path, { force: true });
      return;
    }
    await writeFileAtomic(this.path, `${JSON.stringify({ format: 1, made: this.entries }, undefined, 2)}\n`);
  }
}
