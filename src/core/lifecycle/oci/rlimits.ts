import type { Rlimit } from '../../model/rlimits.ts';

/** systemd's default. Programs that use select(2) or iterate over all descriptors need a low one, others raise it. */
const SOFT_NOFILE = 1024;

/**
 * The limits of a container's processes: the configured ones, at most those of this process. The others are inherited, except
 * the soft limit of open files, which Node.js raises to the hard limit at start.
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

/** The configured limits that exceed those of this process, as a message for the operator. */
export function unattainable(wanted: readonly Rlimit[], ownHard: ReadonlyMap<string, number>): string[] {
  return wanted
    .filter(({ type, hard }) => hard > (ownHard.get(type) ?? Infinity))
    .map(({ type, hard }) => `${type} ${String(hard)} is above the server's ${String(ownHard.get(type))}`);
}
