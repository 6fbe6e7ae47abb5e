import { setTimeout as sleep } from 'node:timers/promises';
import { type BfcProblem, BfcError } from '../errors.ts';
import type { ListedFile } from './bfc-directory.ts';

/** Milliseconds without a change after which a file is not being copied any more. */
const SETTLE_MS = 10_000;
/** Milliseconds that a pull waits for a file; the kubelet pulls one image after the other. */
const PATIENCE_MS = 60_000;
/** Milliseconds between two looks at a file that is being copied: network filesystems report no changes. */
const LOOK_MS = 250;

export interface GrowthLimits {
  settleMs?: number | undefined;
  patienceMs?: number | undefined;
}

/** What a file may look like while it is copied: programs also write the end first, or zeros in its place. */
const INCOMPLETE: readonly BfcProblem[] = ['truncated', 'not-bfc', 'damaged', 'malformed'];

/** Whether an error is what a file gives that is not yet copied to its end. */
export function isIncomplete(error: unknown): boolean {
  return error instanceof BfcError && INCOMPLETE.includes(error.problem);
}

/** Whether files are still being copied, as far as one can see, and how long one pull waits for them. */
export class Growth {
  readonly #settleMs: number;
  readonly #patienceMs: number;
  readonly #began = performance.now();
  readonly #seen = new Map<string, { key: string; at: number }>();

  constructor({ settleMs = SETTLE_MS, patienceMs = PATIENCE_MS }: GrowthLimits) {
    this.#settleMs = settleMs;
    this.#patienceMs = patienceMs;
  }

  /** Whether the file has changed lately. */
  isGrowing({ path, key, mtimeMs }: ListedFile): boolean {
    const now = performance.now();
    const seen = this.#seen.get(path);
    if (seen?.key === key) return now - seen.at < this.#settleMs;
    // Of a file that is seen for the first time only its time says when it has changed.
    const age = seen === undefined ? Math.max(Date.now() - mtimeMs, 0) : 0;
    this.#seen.set(path, { key, at: now - age });
    return age < this.#settleMs;
  }

  /** Waits before the next look; false, at once, when the pull has waited for long enough. @throws the signal's reason. */
  async wait(signal: AbortSignal | undefined): Promise<boolean> {
    if (performance.now() - this.#began >= this.#patienceMs) return false;
    await sleep(LOOK_MS, undefined, { signal });
    return true;
  }

  /** What a pull says that has waited in vain. */
  get excuse(): string {
    return `is still being copied after ${this.#patienceMs / 1000} s; pull again when the copy is complete`;
  }
}
