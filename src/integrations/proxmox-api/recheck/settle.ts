import { performance } from 'node:perf_hooks';
import type { CallOptions } from '../call.ts';
import { isKind, ProxmoxError } from '../errors/proxmox-error.ts';
import type { GuestRef } from '../guests/guest.ts';
import type { Tasks } from '../tasks/tasks.ts';
import { upidOf } from '../tasks/upid.ts';
import { pause } from '../pause.ts';

/** The server waits at most 10 s for a lock; a request that has shown no effect by then has had none. */
const SETTLE_MS = 15_000;
const PATIENCE_MS = 120_000;
const FIRST_MS = 100;
const LONGEST_MS = 2_000;

/** What became of a call whose outcome was unknown. */
export type Verdict =
  | 'done'
  | 'notDone'
  /** The VMID belongs to a guest that is not ours. */
  | 'foreign'
  /** A create was cut off: the guest is there with the lock `create`, and no task works on it. */
  | 'incomplete';

export interface RecheckOptions extends CallOptions {
  /** For how many milliseconds without a task a missing effect is waited for, before the verdict is `notDone`. */
  settleMs?: number | undefined;
  /** For how many milliseconds failing reads are borne. */
  patienceMs?: number | undefined;
  /** Further guests whose tasks are waited for: the source of a clone, under whose VMID it runs. */
  alsoWatch?: readonly number[] | undefined;
}

/**
 * Looks until `look` returns something else than `notDone` or `incomplete`, follows the tasks that run on `guest`
 * meanwhile, and returns the last verdict when nothing has happened for `settleMs`.
 * @throws as `look` and Tasks; ProxmoxError unreachable when nobody answers for `patienceMs`.
 */
export async function settle(
  tasks: Tasks,
  { node, vmid }: Pick<GuestRef, 'node' | 'vmid'>,
  look: () => Promise<Verdict>,
  options: RecheckOptions,
): Promise<Verdict> {
  const { settleMs = SETTLE_MS, patienceMs = PATIENCE_MS, alsoWatch = [], ...call } = options;
  let quietSince = performance.now();
  let heard = performance.now();
  for (let wait = FIRST_MS; ; wait = Math.min(wait * 2, LONGEST_MS)) {
    let quietFor = performance.now() - quietSince;
    try {
      for (const watched of [vmid, ...alsoWatch]) {
        if (!(await followActive(tasks, node, watched, call))) continue;
        quietSince = performance.now();
        quietFor = 0;
      }
      const verdict = await look();
      heard = performance.now();
      if ((verdict !== 'notDone' && verdict !== 'incomplete') || quietFor >= settleMs) return verdict;
    } catch (error) {
      if (!isKind(error, 'unreachable', 'timeout', 'noQuorum', 'lockTimeout')) throw error;
      const now = performance.now();
      if (now - heard > patienceMs) throw error;
      // Changes that began while no host answered get the whole time again.
      quietSince = now;
    }
    await pause(wait, call.signal);
  }
}

/** Waits for the tasks that run on a guest, whoever started them; true if there was one. */
async function followActive(tasks: Tasks, node: string, vmid: number, options: CallOptions): Promise<boolean> {
  const { data } = await tasks.list(node, { source: 'active', vmid }, options);
  const running = data.filter(({ endtime }) => endtime === undefined).map(({ upid }) => upidOf(upid));
  for (const upid of running) {
    if (!upid) continue;
    try {
      await tasks.follow(upid, options);
    } catch (error) {
      // Its failure shows in the state of the guest, which is read next.
      if (!(error instanceof ProxmoxError)) throw error;
    }
  }
  return running.length > 0;
}
