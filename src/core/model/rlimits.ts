/** A limit of a process's use of one resource (getrlimit(2)); Infinity is RLIM_INFINITY. */
export interface Rlimit {
  /** As in `RLIMIT_NOFILE`. */
  type: string;
  soft: number;
  hard: number;
}

/** Names of limits as ulimit(1) and prlimit(1) users write them, with their headings in /proc/PID/limits. */
export const RLIMIT_HEADINGS: Readonly<Record<string, string>> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  rttime: 'Max realtime timeout',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
};

/**
 * Reads `NAME=SOFT[:HARD]`, such as `nofile=1024:65536`; -1 and `unlimited` are Infinity, and HARD is SOFT where it is missing.
 * Returns undefined for an unknown name, invalid or inexact numbers, and SOFT above HARD.
 */
export function parseUlimit(text: string): Rlimit | undefined {
  const [, name = '', softText = '', hardText = softText] = /^([a-z]+)=([^:]+)(?::([^:]+))?$/.exec(text) ?? [];
  const [soft, hard] = [limit(softText), limit(hardText)];
  if (!Object.hasOwn(RLIMIT_HEADINGS, name) || soft === undefined || hard === undefined || soft > hard)
    return undefined;
  return { type: `RLIMIT_${name.toUpperCase()}`, soft, hard };
}

function limit(text: string): number | undefined {
  if (text === 'unlimited' || text === '-1') return Infinity;
  const value = Number(text);
  return /^\d+$/.test(text) && Number.isSafeInteger(value) ? value : undefined;
}
