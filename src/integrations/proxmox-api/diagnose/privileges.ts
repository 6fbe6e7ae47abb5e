import { type Finding, missing, ok, warning } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import type { Role } from '../endpoints/access.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { Version } from '../version.ts';
import { type Places, type Requirement, requirementsOf } from './requirements.ts';

interface Lack extends Requirement {
  lacking: string[];
  /** Of the token's user; undefined where the token may not know. */
  lackingOfUser: string[] | undefined;
}

/**
 * What a token lacks, by the names that the UI has for privileges and paths, with the commands that grant it. Errors are
 * those of `Api.call`.
 */
export async function checkPrivileges(
  client: ProxmoxClient,
  tokenId: string,
  places: Places,
  version: Version,
): Promise<Finding[]> {
  const roles = await client.access.roles();
  const user = tokenId.split('!', 1)[0] ?? '';
  const lacks = await Promise.all(
    requirementsOf(places, version).map(async (requirement): Promise<Lack> => {
      const lacking = await lackingOf(client, requirement);
      const lackingOfUser = lacking.length === 0 ? [] : await lackingOfOther(client, requirement, user);
      return { ...requirement, lacking, lackingOfUser };
    }),
  );
  const failed = lacks.flatMap((lack, index): Lack[] => {
    // What a part needs includes what everything needs: that is said once.
    const said = lacks.slice(0, index).filter(({ path }) => path === lack.path);
    const lacking = lack.lacking.filter((name) => !said.some((one) => one.lacking.includes(name)));
    return lacking.length === 0 ? [] : [{ ...lack, lacking }];
  });
  const findings = failed.map((lack, index) => {
    const isFirst = failed.findIndex(({ role }) => role === lack.role) === index;
    return findingOf(lack, tokenId, user, isFirst ? roles : undefined);
  });
  const paths = [...new Set(lacks.map(({ path }) => path))].filter((path) => !failed.some((one) => one.path === path));
  return paths.length === 0 ? findings : [ok('Proxmox privileges', `enough on ${paths.join(', ')}`), ...findings];
}

/** The privileges that the token, or `userid`, does not have. */
async function lackingOf(
  client: ProxmoxClient,
  { path, privileges, mustPropagate }: Requirement,
  userid?: string,
): Promise<string[]> {
  const all = await client.access.permissions(path, userid === undefined ? {} : { userid });
  const has = Object.hasOwn(all, path) ? all[path] : undefined;
  return privileges.filter((name) => (mustPropagate ? has?.[name] !== true : has?.[name] === undefined));
}

/** As {@link lackingOf} for `userid`; undefined where the token may not ask. */
async function lackingOfOther(
  client: ProxmoxClient,
  requirement: Requirement,
  userid: string,
): Promise<string[] | undefined> {
  try {
    return await lackingOf(client, requirement, userid);
  } catch (error) {
    if (isKind(error, 'forbidden')) return undefined;
    throw error;
  }
}

/** @param roles those of the cluster; undefined when an earlier finding makes the role. */
function findingOf(lack: Lack, tokenId: string, user: string, roles: readonly Role[] | undefined): Finding {
  const { path, lacking, lackingOfUser, only, mustPropagate } = lack;
  const propagating = mustPropagate ? ', propagated to what is below' : '';
  const found = `${tokenId} lacks ${lacking.join(', ')} on ${path}${propagating}${userPart(lackingOfUser, user)}`;
  const make = only === undefined ? missing : warning;
  const remedy = `grant a role with ${only === undefined ? 'them' : `them, which only ${only} need`}, as root on a node:`;
  return { ...make(`Proxmox ${path}`, found, remedy), commands: commandsOf(lack, tokenId, user, roles) };
}

function userPart(lacking: readonly string[] | undefined, user: string): string {
  const rule = `a token with privilege separation may do what both it and its user may`;
  if (lacking === undefined) return `; ${rule}, and a token is not shown what ${user} may`;
  if (lacking.length === 0) return `; its user ${user} has them, but ${rule}`;
  return `; its user ${user} lacks ${lacking.join(', ')} too, and ${rule}`;
}

function commandsOf(
  { path, role, privileges, propagate, lackingOfUser }: Lack,
  tokenId: string,
  user: string,
  roles: readonly Role[] | undefined,
): string[] {
  const known = roles?.find(({ roleid }) => roleid === role);
  const all = `--privs '${privileges.join(',')}'`;
  const isWhole = known !== undefined && privileges.every((name) => known.privs.includes(name));
  const grant = (kind: string, whom: string) =>
    `pveum acl modify ${path} --${kind} '${whom}' --roles ${role}${propagate ? '' : ' --propagate 0'}`;
  return [
    ...(roles !== undefined && known === undefined ? [`pveum role add ${role} ${all}`] : []),
    ...(known !== undefined && !isWhole ? [`pveum role modify ${role} ${all} --append 1`] : []),
    ...(lackingOfUser?.length === 0 || user === 'root@pam' ? [] : [grant('users', user)]),
    grant('tokens', tokenId),
  ];
}
