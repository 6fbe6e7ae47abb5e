import { readFile, rm, rmdir } from 'node:fs/promises';
import { CommandError } from '../../host/processes/run.ts';
import { isErrno } from '../../utils/errors.ts';
import { sha256 } from './file-steps.ts';
import { pveum } from './pveum.ts';
import type { Made } from './step.ts';

/**
 * Removes one thing that setup has made; one that is gone already counts as removed.
 * @returns why it stays, when it was changed since or something else uses it; undefined when it is gone.
 */
export async function removeMade(made: Made): Promise<string | undefined> {
  if (made.kind === 'directory') return removeDirectory(made.path);
  if (made.kind === 'file') return removeFile(made.path, made.sha256);
  if (made.kind === 'acl') return removeAcl(made);
  if (made.kind === 'token') return removeToken(made.user, made.name);
  if (made.kind === 'user') return removeUser(made.id);
  if (made.kind === 'role') return removeRole(made.name, made.privileges);
  return removePool(made.name);
}

/** What an entry is, for the output. */
export function nameOf(made: Made): string {
  if (made.kind === 'directory' || made.kind === 'file') return `${made.kind} ${made.path}`;
  if (made.kind === 'acl') return `access of ${made.type} ${made.id} to ${made.path}`;
  if (made.kind === 'token') return `token ${made.user}!${made.name}`;
  if (made.kind === 'user') return `user ${made.id}`;
  return made.kind === 'role' ? `role ${made.name}` : `resource pool ${made.name}`;
}

async function removeDirectory(path: string): Promise<string | undefined> {
  try {
    await rmdir(path);
  } catch (error) {
    if (isErrno(error, 'ENOTEMPTY')) return 'it is not empty';
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  return undefined;
}

async function removeFile(path: string, sum: string): Promise<string | undefined> {
  try {
    if (sha256(await readFile(path)) !== sum) return 'it was changed since';
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  await rm(path);
  return undefined;
}

async function removeAcl({ path, type, id, role }: Extract<Made, { kind: 'acl' }>): Promise<undefined> {
  const isThere = (await pveum.acl()).some(
    (one) => one.path === path && one.type === type && one.ugid === id && one.roleid === role,
  );
  if (isThere) await pveum.revoke(path, type, id, role);
}

async function removeToken(user: string, name: string): Promise<undefined> {
  if (!(await pveum.users()).some(({ userid }) => userid === user)) return;
  if ((await pveum.tokens(user)).some(({ tokenid }) => tokenid === name)) await pveum.deleteToken(user, name);
}

async function removeUser(id: string): Promise<string | undefined> {
  if (!(await pveum.users()).some(({ userid }) => userid === id)) return undefined;
  if ((await pveum.tokens(id)).length > 0) return 'it has other tokens';
  if ((await pveum.acl()).some(({ ugid }) => ugid === id)) return 'it has other privileges';
  await pveum.deleteUser(id);
  return undefined;
}

async function removeRole(name: string, privileges: readonly string[]): Promise<string | undefined> {
  const known = (await pveum.roles()).find(({ roleid }) => roleid === name);
  if (known === undefined) return undefined;
  const has = known.privs.split(/[\s,]+/).filter(Boolean);
  if (has.sort().join() !== [...privileges].sort().join()) return 'its privileges were changed since';
  if ((await pveum.acl()).some(({ roleid }) => roleid === name)) return 'others have it';
  await pveum.deleteRole(name);
  return undefined;
}

async function removePool(name: string): Promise<string | undefined> {
  if (!(await pveum.pools()).some(({ poolid }) => poolid === name)) return undefined;
  if ((await pveum.acl()).some(({ path }) => path === `/pool/${name}`)) return 'others have access to it';
  try {
    await pveum.deletePool(name);
  } catch (error) {
    if (error instanceof CommandError && error.stderr.includes('not empty')) return 'it has members';
    throw error;
  }
  return undefined;
}
