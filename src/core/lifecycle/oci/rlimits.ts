import type { Rlimit } from '../../model/rlimits.ts';

/** systemd's default. Programs that use select(2) or go through all descriptors need no more, others raise it themselves. */
const SOFT_NOFILE = 1024;

/**
 * The limits of a container's processes: those that were asked for, none above what this process has itself. The others are
 * inherited, except for the soft limit of open files: Node.js raises its own to the hard one when it starts.
 */
export function containerRlimits(wanted: readonly Rlimit[], ownHard: ReadonlyMap<string, number>): Rlimit[] {
  const nofile = ownHard.get('RLIMIT_NOFILE') ?? SOFT_NOFILE;
  const inherited = { type: 'RLIMIT_NOFILE', soft: Math.min(SOFT_NOFILE, nofile), hard: nofile };
  const limits = wanted.some(({ type }) => type === inherited.type) ? wanted : [...wanted, inherited];
  return limits.map(({ type, soft, hard }) => {
    const most = ownHard.get(type) ?? Infinity;
    return { type, soft: Math.min(soft, most), hard: Math.min(hard, most) };
  });
}

/** Which of the limits that were asked for this process cannot give, in words for the operator. */
export function unattainable(wanted: readonly Rlimit[], ownHard: ReadonlyMap<string, number>): string[] {
  return wanted
    .filter(({ type, hard }) => hard > (ownHard.get(type) ?? Infinity))
    .map(({ type, hard }) => `${type} ${String(hard)} is above the server's own ${String(ownHard.get(type))}`);
}
