import { invalidArgument } from '../../../core/model/errors.ts';

/** The id of a task, as pve-common's UPID.pm writes it. */
export interface Upid {
  /** The whole text. */
  text: string;
  node: string;
  pid: number;
  /** Jiffies after boot at which the process started. */
  pstart: number;
  /** Seconds since 1970 of the node's clock. */
  starttime: number;
  /** vzcreate, vzstart, qmstop, imgdel, … */
  type: string;
  /** The guest or object; may be empty. */
  id: string;
  /** The user, or `user!token`. */
  user: string;
}

const PATTERN =
  /^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):$/;

/** @throws CriError INVALID_ARGUMENT for anything but a task's id. */
export function parseUpid(text: string): Upid {
  const upid = upidOf(text);
  if (upid) return upid;
  throw invalidArgument('upid', `${JSON.stringify(text.slice(0, 200))} is not the id of a task`);
}

/** The parts of a task's id, undefined for another text. */
export function upidOf(text: string): Upid | undefined {
  const [, node = '', pid = '', pstart = '', starttime = '', type = '', id = '', user = ''] = PATTERN.exec(text) ?? [];
  if (node === '') return undefined;
  const hex = (digits: string) => Number.parseInt(digits, 16);
  return { text, node, pid: hex(pid), pstart: hex(pstart), starttime: hex(starttime), type, id, user };
}
