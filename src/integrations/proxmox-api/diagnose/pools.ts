import { type Finding, missing, ok } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { Places } from './requirements.ts';

/**
 * Whether the resource pools of the guests exist, and the pools that they lie in. One that the token may not see is taken to
 * exist: its privileges are the finding. Errors as `Api.call`.
 */
export async function checkPools(client: ProxmoxClient, { pools }: Places): Promise<Finding[]> {
  const all = new Set(pools.filter((pool) => pool !== '').flatMap(withParents));
  if (all.size === 0) return [];
  const absent: string[] = [];
  for (const pool of all) if (await isMissing(client, pool)) absent.push(pool);
  if (absent.length === 0) return [ok('Proxmox pools', [...all].join(', '))];
  const found = `${absent.join(', ')}: not there, and no guest can be made in it`;
  const commands = absent.map((pool) => `pveum pool add ${pool}`);
  return [{ ...missing('Proxmox pools', found, 'create what is missing, on a node:'), commands }];
}

/** `a`, `a/b` and `a/b/c` for the last of them: a pool can only be created in one that exists. */
export function withParents(pool: string): string[] {
  return pool.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
}

async function isMissing(client: ProxmoxClient, pool: string): Promise<boolean> {
  try {
    await client.pools.members(pool);
    return false;
  } catch (error) {
    if (isKind(error, 'notFound')) return true;
    if (isKind(error, 'forbidden')) return false;
    throw error;
  }
}
