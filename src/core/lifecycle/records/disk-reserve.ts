import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { ROOT } from '../../state-layout.ts';
import { isErrno } from '../../../utils/errors.ts';

/** Space for the exits of some hundred containers. */
const BYTES = 1024 * 1024;

/** A file that reserves space on the records' filesystem for exits and stops, which must be written when the disk is full. */
export class DiskReserve {
  readonly #path: string;

  /** @param root the directory of durable data. */
  constructor(root: string) {
    this.#path = join(root, ROOT.reserve);
  }

  /** Creates the missing file. On a full or read-only disk a later call creates it. */
  async fill(): Promise<void> {
    try {
      if ((await stat(this.#path)).size === BYTES) return;
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) return;
    }
    await writeFileAtomic(this.#path, Buffer.alloc(BYTES)).catch(() => undefined);
  }

  /** Releases the space. Returns whether there was any. */
  async release(): Promise<boolean> {
    try {
      await rm(this.#path);
      return true;
    } catch {
      return false;
    }
  }
}
