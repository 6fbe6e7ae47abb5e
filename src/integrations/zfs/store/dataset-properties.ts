import { failedPrecondition } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import { type Entry, ownValueOf } from '../answers/properties.ts';
import type { Zfs } from '../zfs.ts';

/** Properties of the files of a store, as zfsprops(7) has them; "": inherited from the dataset of the operator. */
export interface DatasetProperties {
  compression: string;
  recordsize: string;
}

/**
 * Gives the datasets these properties, which all below them inherit; what is written already stays as it is.
 * @throws CriError FAILED_PRECONDITION naming the key, for a value that the pool does not support.
 */
export async function applyProperties(zfs: Zfs, datasets: readonly string[], wanted: DatasetProperties): Promise<void> {
  const names = ['compression', 'recordsize'] as const;
  for (const entry of await zfs.get(datasets, names)) {
    for (const name of names) {
      if (normal(wanted[name]) === (ownValueOf(entry, name) ?? '')) continue;
      try {
        await apply(zfs, entry, name, wanted[name]);
      } catch (error) {
        throw failedPrecondition(`rootfs.${name}: ${messageOf(error)}`, error);
      }
    }
  }
}

function apply(zfs: Zfs, { name }: Entry, property: string, value: string): Promise<void> {
  return value === '' ? zfs.inherit(name, property) : zfs.set(name, { [property]: value });
}

/** As `-p` prints it: sizes are bytes. */
function normal(value: string): string {
  const [, digits, unit] = /^(\d+)([KM])$/.exec(value) ?? [];
  return digits === undefined ? value : String(Number(digits) * (unit === 'K' ? 2 ** 10 : 2 ** 20));
}
