import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { CreateApi, MarkedConfig } from '../../proxmox-api.ts';
import { ownerOf, withOwner } from './owner-mark.ts';

/** Milliseconds without a task after which a request that Proxmox has taken has had its effect. */
export const SETTLE_MS = 1000;

/**
 * When the tasks of guests are looked at, in milliseconds: each takes a second or more, of which loading Proxmox's Perl modules is
 * the most.
 */
export const LOOKS = { leastMs: 400, firstMs: 400 };

/** What making a pod's guest needs. */
export interface GuestCreation<Task> {
  api: CreateApi<Task>;
  /** Whether a failed call may have had its effect: then the guest is looked for. */
  isUncertain: (error: unknown) => boolean;
  node: string;
  kind: 'lxc' | 'qemu';
  /** The pod's id, without blanks. */
  owner: string;
  /** Keys of the configuration; the pod's id is added to `description`. */
  settings: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Ends the wait for the guest; its task goes on. */
  signal?: AbortSignal | undefined;
}

/**
 * Makes the pod's guest under the VMID, as `VmidAllocator.allocate` asks for it: once, and after a lost answer or a failed
 * task the guest itself says what came of it.
 * @throws as the API when no guest was made, or one that is not whole: its VMID stays out of use until it is gone.
 */
export async function createGuest<Task>(vmid: number, creation: GuestCreation<Task>): Promise<'created' | 'taken'> {
  const { api, isUncertain, node, kind, owner, settings, signal } = creation;
  const ref = { kind, node, vmid };
  const { description, ...rest } = settings;
  const notes = withOwner(description === undefined ? undefined : String(description), owner);
  let task: Task | undefined;
  try {
    task = await api.guests.create(ref, { ...rest, description: notes });
    await api.tasks.follow(task, { signal, ...LOOKS });
    return 'created';
  } catch (error) {
    const isRefused = task === undefined && !isUncertain(error);
    if (isRefused && error instanceof CriError && error.code === StatusCode.ALREADY_EXISTS) return 'taken';
    if (isRefused || signal?.aborted) throw error;
    const isOurs = (config: MarkedConfig) => ownerOf(config.description) === owner;
    const verdict = await api.recheck.created(ref, isOurs, task === undefined ? {} : { settleMs: SETTLE_MS });
    if (verdict === 'done') return 'created';
    if (verdict === 'foreign') return 'taken';
    throw error;
  }
}
