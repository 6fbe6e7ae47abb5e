import { call } from '../../../host/native/call.ts';
import { valueOf } from '../answers/properties.ts';
import { zfsError } from '../errors/from-outcome.ts';
import { ZfsError } from '../errors/zfs-error.ts';
import type { Zfs } from '../zfs.ts';

/** Mounts a dataset at a directory, unless it is mounted there. @throws ZfsError or Error as {@link explainMount}; the signal's reason. */
export async function mountDataset(zfs: Zfs, source: string, target: string, signal?: AbortSignal): Promise<void> {
  try {
    await call([{ do: 'mount', source, target, type: 'zfs', unlessMounted: true }], signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw await explainMount(zfs, source, error);
  }
}

/**
 * mount(2) says no more than "permission denied" of a dataset without its key: looks up the state of the dataset.
 * @returns a ZfsError that names the dataset and the remedy, where its state, or that of its pool, is the reason; else `failure`.
 */
export async function explainMount(zfs: Zfs, dataset: string, failure: unknown): Promise<unknown> {
  try {
    const [entry] = await zfs.get([dataset], ['keystatus', 'encryptionroot']);
    if (entry === undefined || valueOf(entry, 'keystatus') !== 'unavailable') return failure;
    const object = valueOf(entry, 'encryptionroot') ?? dataset;
    const reason = `its encryption key is not loaded, wanted for ${dataset}`;
    return zfsError('keyNotLoaded', { what: 'mount', object }, reason, failure);
  } catch (error) {
    return error instanceof ZfsError ? error : failure;
  }
}
