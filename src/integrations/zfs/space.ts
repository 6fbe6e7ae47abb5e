import { numberOf } from './answers/properties.ts';
import { zfsError } from './errors/from-outcome.ts';
import { isKind, type ZfsError } from './errors/zfs-error.ts';
import { datasetOf, pathTo, poolOf } from './names.ts';
import type { PropertiesReader } from './properties-reader.ts';

const PROPERTIES = ['available', 'used', 'quota', 'referenced', 'refquota'];

/**
 * `zfs` says "out of space" where a pool is full as well as where a quota is used up: looks up which it was.
 * @param error as a change of `what` failed.
 * @returns an error of kind quota that names the dataset with the quota; `error` itself where the pool is full or the cause
 *   cannot be read.
 */
export async function explainSpace(reader: PropertiesReader, what: string, error: unknown): Promise<unknown> {
  if (!isKind(error, 'full')) return error;
  const path = pathTo(datasetOf(error.object));
  // The last one may be what was to be created.
  const holder = (await tightest(reader, path)) ?? (await tightest(reader, path.slice(0, -1)));
  return holder === undefined ? error : asQuota(what, holder, error);
}

/** The dataset whose quota leaves less room than the pool has; undefined where none does. */
async function tightest(reader: PropertiesReader, names: readonly string[]): Promise<string | undefined> {
  const object = names.at(-1);
  if (object === undefined) return undefined;
  const reading = { program: 'zfs', options: [], properties: PROPERTIES, names, object } as const;
  const entries = await reader.read(reading).catch(() => []);
  const pool = entries.find(({ name }) => name === poolOf(object));
  let least = pool && numberOf(pool, 'available');
  let holder: string | undefined;
  for (const entry of entries) {
    for (const [quota, use] of [
      ['quota', 'used'],
      ['refquota', 'referenced'],
    ] as const) {
      const bytes = numberOf(entry, quota) ?? 0n;
      const room = bytes - (numberOf(entry, use) ?? 0n);
      if (bytes === 0n || least === undefined || room > least) continue;
      least = room;
      holder = entry.name;
    }
  }
  return holder;
}

function asQuota(what: string, holder: string, error: ZfsError): ZfsError {
  return zfsError('quota', { what, object: holder }, `quota used up, wanted for ${error.object}`, error);
}
