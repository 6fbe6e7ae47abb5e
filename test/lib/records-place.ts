import { join } from 'node:path';
import { DiskReserve } from '../../src/core/lifecycle/records/disk-reserve.ts';
import type { RecordsPlace } from '../../src/core/lifecycle/records/record-store.ts';

/** Locations of records below one directory. */
export function recordsBelow(root: string): RecordsPlace {
  return { root, state: join(root, 'state'), reserve: new DiskReserve(root) };
}
