import { zfsError } from './errors/from-outcome.ts';
import { isKind } from './errors/zfs-error.ts';
import { poolOf } from './names.ts';
import type { PropertiesReader } from './properties-reader.ts';

/**
 * `zfs` says "does not exist" of every dataset of a pool that is not imported: looks up whether it is.
 * @param error as `what` failed.
 * @returns an error of kind notImported that names the dataset and the pool; `error` itself where the pool is there or the cause
 *   cannot be read.
 */
export async function explainMissing(reader: PropertiesReader, what: string, error: unknown): Promise<unknown> {
  if (!isKind(error, 'notFound')) return error;
  const { object } = error;
  const pool = poolOf(object);
  const reading = { program: 'zpool', options: [], properties: ['guid'], names: [pool], object: pool } as const;
  const reason = await reader.read(reading).catch((failure: unknown) => failure);
  if (!isKind(reason, 'notFound')) return error;
  return zfsError('notImported', { what, object }, `pool ${pool} is not imported`, error);
}
