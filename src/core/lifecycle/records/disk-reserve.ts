import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { ROOT } from '../../state-layout.ts';
import { isErrno } from '../../../utils/errors.ts';

/** Room for the ends of some hundred containers. */
const BYTES = 1024 * 1024;

/** A file that keeps room on the records' file system for what must be written when the disk is full: ends and stops. */
export class DiskReserve {
  readonly #path: string;

  /** @param root the directory of durable data. */
  constructor(root: string) {
    this.#path = join(root, ROOT.reserve);
  }

  /** Makes the file where it is missing. On a full or read-only disk there is none until a later call. */
  async fill(): Promise<void> {
    try {
      if ((await stat(this.#path)).size === BYTES) return;
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) return;
    }
    await writeFileAtomic(this.#path, Buffer.alloc(BYTES)).catch(() => undefined);
  }

  /** Gives the room up. Returns whether there was any. */
  async release(): Promise<boolean> {
    try {
      await rm(this.#path);
      return true;
    } catch {
      return false;
    }
  }
}
