import { invalidArgument } from '../../model/errors.ts';
import type { IdRange } from '../../model/id-range.ts';
import type { UserChoice } from '../../model/security.ts';

/** The ids of a container's process. */
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

const MAX_ID = 4_294_967_294;
const CONTEXT = 'config.linux.security_context';

/**
 * Resolves the ids of the process: those of the request, else of the image's `User` (`user[:group]`, names or numbers). Names
 * are looked up in the image's passwd and group files.
 * @param files contents of /etc/passwd and /etc/group in the root filesystem, empty where missing.
 * @throws CriError INVALID_ARGUMENT for a name that the image does not have.
 */
export function resolveUser(
  asked: UserChoice,
  imageUser: string,
  files: { passwd: string; group: string },
): ContainerUser {
  const passwd = parsePasswd(files.passwd);
  const groups = parseGroup(files.group);
  const wanted = wantedUser(asked, imageUser);
  const user = lookupUser(wanted.field, wanted.user, passwd);
  const gid = asked.gid ?? (wanted.group === '' ? user.gid : lookupGroup(wanted.group, groups));
  const fromImage = asked.mergeImageGroups
    ? groups.filter((group) => group.members.includes(user.name)).map((group) => group.gid)
    : [];
  const supplementalGroups = [...new Set([gid, ...fromImage, ...asked.supplementalGroups])].sort((a, b) => a - b);
  return { uid: user.uid, gid, supplementalGroups, home: user.home || '/' };
}

/**
 * Checks that the ids of a container exist in its pod's user namespace.
 * @throws CriError INVALID_ARGUMENT naming the field and the first missing id.
 */
export function checkMapped(user: ContainerUser, { size }: IdRange): void {
  const check = (field: string, id: number | undefined) => {
    if (id === undefined || id < size) return;
    const problem = `id ${String(id)} is not mapped; the pod's user namespace has ids 0 to ${String(size - 1)}`;
    throw invalidArgument(`${CONTEXT}.${field}`, problem);
  };
  check('run_as_user', user.uid);
  check('run_as_group', user.gid);
  check(
    'supplemental_groups',
    user.supplementalGroups.find((id) => id >= size),
  );
}

function wantedUser({ user: asked }: UserChoice, imageUser: string) {
  if (asked !== undefined) {
    return 'uid' in asked
      ? { field: `${CONTEXT}.run_as_user`, user: String(asked.uid), group: '' }
      : { field: `${CONTEXT}.run_as_username`, user: asked.name, group: '' };
  }
  const [user = '', group = ''] = imageUser.split(':', 2);
  return { field: "the image's User", user: user || '0', group };
}

function lookupUser(field: string, user: string, passwd: PasswdEntry[]): PasswdEntry {
  if (/^\d+$/.test(user)) {
    const uid = toId(field, user);
    return passwd.find((entry) => entry.uid === uid) ?? { name: '', uid, gid: 0, home: '' };
  }
  const entry = passwd.find((candidate) => candidate.name === user);
  if (entry === undefined)
    throw invalidArgument(field, `user ${JSON.stringify(user)} is not in the image's /etc/passwd`);
  return entry;
}

function lookupGroup(group: string, groups: GroupEntry[]): number {
  if (/^\d+$/.test(group)) return toId("the image's User", group);
  const entry = groups.find((candidate) => candidate.name === group);
  if (entry === undefined) {
    throw invalidArgument("the image's User", `group ${JSON.stringify(group)} is not in the image's /etc/group`);
  }
  return entry.gid;
}

/** An id of decimal digits, however many: as a BigInt, millions of them would block the server for seconds. */
function toId(field: string, digits: string): number {
  const id = Number(digits);
  if (id > MAX_ID) throw invalidArgument(field, `${digits.slice(0, 40)} is not an id from 0 to ${String(MAX_ID)}`);
  return id;
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
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID;
}
