import { BfcError } from './errors.ts';
import { parentsOf } from './format/path-rules.ts';
import type { BfcReader } from './reader.ts';

/** Problems that are kept; more of them are counted. */
const MAX_PROBLEMS = 100;

export interface Progress {
  /** Entries that are done. */
  entries: number;
  /** Bytes of content that are done, as they were put in. */
  bytes: number;
}

export interface Verification extends Progress {
  /** The first 100 entries that are bad, each with its error. */
  problems: BfcError[];
  /** All of them. */
  failed: number;
  /** Bytes between the objects that belong to none, which hurt nothing. The original writes no such files. */
  unusedBytes: number;
}

export interface WorkOptions {
  signal?: AbortSignal | undefined;
  /** Called often, also amid a long content. */
  progress?: ((done: Progress) => void) | undefined;
}

/**
 * Reads the whole of a file and checks every entry against the index, its tag and its checksum, also compressed and encrypted
 * ones. A bad entry does not end it.
 * @throws BfcError `key` before anything else when there are encrypted entries and the key is missing or wrong; the signal's
 *   reason; what reading the file fails with.
 */
export async function verifyBfc(reader: BfcReader, { signal, progress }: WorkOptions = {}): Promise<Verification> {
  await reader.checkKey();
  const done = { entries: 0, bytes: 0 };
  const problems: BfcError[] = [];
  let failed = 0;
  for (const entry of reader.index.byOffset()) {
    signal?.throwIfAborted();
    try {
      const counted = (bytes: number) => {
        if (entry.type === 'file') done.bytes += bytes;
        progress?.(done);
      };
      checkParents(reader, entry.path);
      await reader.check(entry, { signal, counted });
    } catch (error) {
      if (!(error instanceof BfcError)) throw error;
      failed++;
      if (problems.length < MAX_PROBLEMS) problems.push(error);
    }
    done.entries++;
    progress?.(done);
  }
  return { ...done, problems, failed, unusedBytes: reader.index.unusedBytes };
}

/** @throws BfcError for an entry that no directory can hold. */
function checkParents(reader: BfcReader, path: string): void {
  for (const parent of parentsOf(path)) {
    const type = reader.index.find(parent)?.type ?? 'directory';
    if (type === 'directory') continue;
    throw new BfcError('name', { file: reader.name, entry: path }, `is below a ${type}`);
  }
}
