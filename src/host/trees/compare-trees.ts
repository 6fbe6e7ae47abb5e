import type { ChangeKind, RootfsChange } from '../../core/model/rootfs-changes.ts';
import { pathOfKey, SEPARATOR, sortedEntries, type TreeEntry } from './sorted-entries.ts';

/** Changes in a batch. */
const BATCH = 1000;

/**
 * What differs between two directories whose unchanged files have the same owner, mode, size and times, those of their inodes
 * (ctime) among them: a snapshot and what was made of it. As RootfsChanges.list.
 */
export async function* compareTrees(
  before: string,
  after: string,
  signal?: AbortSignal,
): AsyncGenerator<RootfsChange[]> {
  yield* compareEntries(sortedEntries(before, signal), sortedEntries(after, signal));
}

/** As {@link compareTrees}, of entries in the order of their keys. */
export async function* compareEntries(
  before: AsyncIterable<TreeEntry[]>,
  after: AsyncIterable<TreeEntry[]>,
): AsyncGenerator<RootfsChange[]> {
  const [old, now] = [new Cursor(before), new Cursor(after)];
  const found = new Changes();
  /** Of a directory that is no longer there: its content is gone with it. */
  let gone: string | undefined;
  try {
    for (;;) {
      if (old.isEmpty || now.isEmpty) await Promise.all([old.refill(), now.refill()]);
      const [was, is] = [old.current, now.current];
      if (was === undefined && is === undefined) break;
      if (was !== undefined && gone !== undefined && was.key.startsWith(gone)) {
        old.advance();
        continue;
      }
      if (was !== undefined && (is === undefined || was.key < is.key)) {
        found.add('deleted', was.key);
        gone = was.key + SEPARATOR;
        old.advance();
      } else if (is !== undefined && (was === undefined || is.key < was.key)) {
        found.add('added', is.key);
        now.advance();
      } else if (was !== undefined && is !== undefined) {
        if (was.facts !== is.facts) found.add('modified', is.key);
        if (was.type === 'd' && is.type !== 'd') gone = was.key + SEPARATOR;
        old.advance();
        now.advance();
      }
      if (found.count >= BATCH) yield found.take();
    }
    if (found.count > 0) yield found.take();
  } finally {
    await Promise.all([old.close(), now.close()]);
  }
}

/** Collects changes, and adds the directories above them that are not listed so far. */
class Changes {
  #found: RootfsChange[] = [];
  /** Keys of the directories above the last change, and of itself, that are listed. */
  #listed: string[] = [];

  get count(): number {
    return this.#found.length;
  }

  add(kind: ChangeKind, key: string): void {
    const isAbove = (directory: string) => key.startsWith(directory + SEPARATOR);
    while (this.#listed.length > 0 && !isAbove(this.#listed.at(-1) ?? '')) this.#listed.pop();
    const from = (this.#listed.at(-1)?.length ?? -1) + 1;
    for (let end = key.indexOf(SEPARATOR, from); end >= 0; end = key.indexOf(SEPARATOR, end + 1)) {
      this.#push('modified', key.slice(0, end));
    }
    this.#push(kind, key);
  }

  take(): RootfsChange[] {
    const taken = this.#found;
    this.#found = [];
    return taken;
  }

  #push(kind: ChangeKind, key: string): void {
    this.#found.push({ kind, path: pathOfKey(key) });
    this.#listed.push(key);
  }
}

/** Reads batches an entry at a time, without a promise for each. */
class Cursor {
  readonly #batches: AsyncIterator<TreeEntry[]>;
  #batch: TreeEntry[] = [];
  #at = 0;
  #hasEnded = false;

  constructor(batches: AsyncIterable<TreeEntry[]>) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  /** The entry here; undefined at the end, or when it {@link isEmpty}. */
  get current(): TreeEntry | undefined {
    return this.#batch[this.#at];
  }

  /** Whether {@link refill} is needed to know whether there is an entry. */
  get isEmpty(): boolean {
    return !this.#hasEnded && this.#at >= this.#batch.length;
  }

  advance(): void {
    this.#at += 1;
  }

  /** Reads the next batch, where it {@link isEmpty}. */
  async refill(): Promise<void> {
    if (!this.isEmpty) return;
    const next = await this.#batches.next();
    this.#hasEnded = next.done === true;
    this.#batch = next.done === true ? [] : next.value;
    this.#at = 0;
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }
}
