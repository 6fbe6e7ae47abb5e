import type { FileFacts } from '../core/model/platform-files.ts';
import { isErrno } from '../utils/errors.ts';
import { call } from './native/call.ts';

/** Time limit in milliseconds for one access to a path: more than any working filesystem needs. */
const LIMIT_MS = 10_000;

/** What is at a path, and the path without links. */
export type PathFacts = FileFacts & { path: string };

/** Time limit and cancellation of an access. */
export interface Patience {
  /** Milliseconds, by default 10,000. */
  limitMs?: number;
  signal?: AbortSignal | undefined;
}

/** File types of inode(7). */
const kinds: ReadonlyMap<number, FileFacts['kind']> = new Map([
  [0o040000, 'directory'],
  [0o100000, 'file'],
  [0o060000, 'block'],
  [0o020000, 'char'],
] as const);

/**
 * Reads the facts of a path of a request. It may be on a stalled filesystem: a process of the native helper accesses it, so that
 * none of this process's few file threads waits for it.
 * @throws StepError with the system's `code` (`ENOENT`, `ELOOP` …), or without one after the time limit; the signal's reason.
 */
export async function inspectPath(path: string, { limitMs = LIMIT_MS, signal }: Patience = {}): Promise<PathFacts> {
  const [result] = await call([{ do: 'stat', path, limitMs }], signal);
  const text = result?.outputs.get(1)?.bytes.toString('utf8') ?? '';
  const end = text.indexOf('\n');
  const [mode = 0, uid = 0, gid = 0, device = 0] = text.slice(0, end).split(' ').map(Number);
  const kind = kinds.get(mode & 0o170000) ?? 'other';
  return { path: text.slice(end + 1), kind, mode: mode & 0o7777, uid, gid, ...deviceNumbers(device) };
}

/** The target of a symlink; undefined for anything else and for nothing. @throws StepError as {@link inspectPath}. */
export async function readLinkPath(
  path: string,
  { limitMs = LIMIT_MS, signal }: Patience = {},
): Promise<string | undefined> {
  try {
    const [result] = await call([{ do: 'stat', path, link: true, limitMs }], signal);
    return result?.outputs.get(1)?.bytes.toString('utf8');
  } catch (error) {
    if (isErrno(error, 'EINVAL', 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/**
 * The content of a regular file that a request or a configuration names, at most `limit` bytes; see {@link inspectPath}.
 * @throws StepError: `EFBIG` for more bytes, `EINVAL` for what is no regular file, and as {@link inspectPath}.
 */
export async function readPath(
  path: string,
  limit: number,
  { limitMs = LIMIT_MS, signal }: Patience = {},
): Promise<Buffer> {
  const [result] = await call([{ do: 'read', path, limit, limitMs }], signal);
  return result?.outputs.get(1)?.bytes ?? Buffer.alloc(0);
}

/**
 * The text of a configuration file of at most `limit` bytes; see {@link readPath}.
 * @throws Error in words for a larger file and for what is no regular file; StepError otherwise.
 */
export async function readText(path: string, limit: number, patience: Patience = {}): Promise<string> {
  try {
    return (await readPath(path, limit, patience)).toString('utf8');
  } catch (cause) {
    if (isErrno(cause, 'EFBIG')) throw new Error(`is larger than ${String(limit)} bytes`, { cause });
    if (isErrno(cause, 'EINVAL')) throw new Error('is not a regular file', { cause });
    throw cause;
  }
}

/** Creates a directory and its missing parents; no error when it exists. @throws StepError as {@link inspectPath}. */
export async function makeDirectories(path: string, mode: number, patience: Patience = {}): Promise<void> {
  const { limitMs = LIMIT_MS, signal } = patience;
  await call([{ do: 'mkdirs', path, mode, limitMs }], signal);
}

/** The numbers of a device, as makedev(3) of glibc combines them. */
export function deviceNumbers(device: number): { major: number; minor: number } {
  const bits = BigInt(device);
  return {
    major: Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)),
    minor: Number((bits & 0xffn) | ((bits >> 12n) & 0xffffff00n)),
  };
}
