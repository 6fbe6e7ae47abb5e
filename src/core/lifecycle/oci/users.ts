import type { LinuxContainerSecurityContext } from '../../../../api/gen/cri.ts';
import { SupplementalGroupsPolicy } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { IdRange } from '../../model/id-range.ts';

/** The ids a container's process runs with. */
export interface ContainerUser {
  uid: number;
  gid: number;
  supplementalGroups: number[];
  /** From the image's passwd, `/` without an entry. */
  home: string;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

const MAX_ID = 4_294_967_294n;
const CONTEXT = 'config.linux.security_context';

/**
 * Finds the ids to run with: the request's (run_as_user, run_as_username, run_as_group) before the image's `User`
 * (`user[:group]`, names or numbers), names looked up in the image's own passwd and group files.
 * @param files contents of /etc/passwd and /etc/group in the root file system, empty where missing.
 * @throws CriError INVALID_ARGUMENT for a name the image does not know, or run_as_group without a user.
 */
export function resolveUser(
  context: LinuxContainerSecurityContext | undefined,
  imageUser: string,
  files: { passwd: string; group: string },
): ContainerUser {
  const passwd = parsePasswd(files.passwd);
  const groups = parseGroup(files.group);
  const hasUser = context?.runAsUser !== undefined || (context?.runAsUsername ?? '') !== '';
  if (context?.runAsGroup !== undefined && !hasUser) {
    throw invalidArgument(`${CONTEXT}.run_as_group`, 'needs run_as_user or run_as_username beside it');
  }
  const wanted = wantedUser(context, imageUser);
  const user = lookupUser(wanted.field, wanted.user, passwd);
  const gid =
    context?.runAsGroup !== undefined
      ? toId(`${CONTEXT}.run_as_group`, context.runAsGroup.value)
      : wanted.group === ''
        ? user.gid
        : lookupGroup(wanted.group, groups);
  const requested = (context?.supplementalGroups ?? []).map((id) => toId(`${CONTEXT}.supplemental_groups`, id));
  const strict = context?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict;
  const fromImage = strict ? [] : groups.filter((group) => group.members.includes(user.name)).map((group) => group.gid);
  const supplementalGroups = [...new Set([gid, ...fromImage, ...requested])].sort((a, b) => a - b);
  return { uid: user.uid, gid, supplementalGroups, home: user.home || '/' };
}

/**
 * Checks that the ids of a container exist in its pod's user namespace.
 * @throws CriError INVALID_ARGUMENT naming the field and the first id that does not.
 */
export function checkMapped(user: ContainerUser, { size }: IdRange): void {
  const check = (field: string, id: number | undefined) => {
    if (id === undefined || id < size) return;
    const problem = `id ${String(id)} is not mapped: the pod's user namespace has ids 0 to ${String(size - 1)}`;
    throw invalidArgument(`${CONTEXT}.${field}`, problem);
  };
  check('run_as_user', user.uid);
  check('run_as_group', user.gid);
  check(
    'supplemental_groups',
    user.supplementalGroups.find((id) => id >= size),
  );
}

function wantedUser(context: LinuxContainerSecurityContext | undefined, imageUser: string) {
  if (context?.runAsUser !== undefined) {
    const uid = toId(`${CONTEXT}.run_as_user`, context.runAsUser.value);
    return { field: `${CONTEXT}.run_as_user`, user: String(uid), group: '' };
  }
  if (context !== undefined && context.runAsUsername !== '') {
    return { field: `${CONTEXT}.run_as_username`, user: context.runAsUsername, group: '' };
  }
  const [user = '', group = ''] = imageUser.split(':', 2);
  return { field: "the image's User", user: user || '0', group };
}

function lookupUser(field: string, user: string, passwd: PasswdEntry[]): PasswdEntry {
  if (/^\d+$/.test(user)) {
    const uid = toId(field, BigInt(user));
    return passwd.find((entry) => entry.uid === uid) ?? { name: '', uid, gid: 0, home: '' };
  }
  const entry = passwd.find((candidate) => candidate.name === user);
  if (entry === undefined)
    throw invalidArgument(field, `user ${JSON.stringify(user)} is not in the image's /etc/passwd`);
  return entry;
}

function lookupGroup(group: string, groups: GroupEntry[]): number {
  if (/^\d+$/.test(group)) return toId("the image's User", BigInt(group));
  const entry = groups.find((candidate) => candidate.name === group);
  if (entry === undefined) {
    throw invalidArgument("the image's User", `group ${JSON.stringify(group)} is not in the image's /etc/group`);
  }
  return entry.gid;
}

function toId(field: string, id: bigint): number {
  if (id < 0n || id > MAX_ID) throw invalidArgument(field, `${id.toString()} is no id: 0 to ${MAX_ID.toString()}`);
  return Number(id);
}

function parsePasswd(text: string): PasswdEntry[] {
  return rows(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) =>
    isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [],
  );
}

function parseGroup(text: string): GroupEntry[] {
  return rows(text).flatMap(([name = '', , gid = '', members = '']) =>
    isId(gid) ? [{ name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }] : [],
  );
}

/** Lines of a passwd(5) or group(5) file, split at colons. */
function rows(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(':'));
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && BigInt(text) <= MAX_ID;
}
