import type { Fault } from '../fixtures/faults/fault-points.ts';
import { random } from './kills-random.ts';

/** Points at which a bug was found once; every plan visits them. */
const FOUND = [
  /^read:stat state\/sandboxes\/ID#0$/,
  /^read:readFileSync state\/runner\/containers\/ID\/runner\.json#0$/,
  /^read:open root\/overlay\/layers#0$/,
  /^mkdir \/sys\/fs\/cgroup\/\*\/TEST#0$/,
];

const ALONG = ['hold', 'die-before', 'die-amid', 'die-after'] as const;
const AT_ONCE = ['die-before', 'die-after'] as const;

/**
 * The faults for one RPC: each point fails, fails with ENOSPC, loses its answer, hangs, and has the server killed
 * before, during and after it. A point that only reads just fails: a kill beside it equals one beside its neighbour. A step that
 * is done at once neither hangs nor is anything done during it.
 */
export function faultsAt(points: readonly string[]): Fault[] {
  return thinned(points).flatMap((point): Fault[] => {
    if (point.startsWith('read:')) return [{ point, how: 'fail', errno: 'EIO' }];
    // The name of a lost mkdtemp(3) is unknown; the next start removes it.
    const lose = point.startsWith('mkdtemp ') ? [] : [{ point, how: 'lose' as const, errno: 'EIO' }];
    return [
      { point, how: 'fail', errno: 'EIO' },
      { point, how: 'fail', errno: 'ENOSPC' },
      ...lose,
      ...(isAtOnce(point) ? AT_ONCE : ALONG).map((how) => ({
        point,
        how,
        errno: 'EIO',
      })),
    ];
  });
}

/** Whether a point is that of a step while which nothing else runs. */
export function isAtOnce(point: string): boolean {
  return /^\w+Sync /.test(point);
}

/** `share` of the faults, at least one, chosen by the seed, and those at points where a bug was found once. */
export function sample(faults: readonly Fault[], share: number, seed: number): Fault[] {
  const next = random(seed);
  const drawn = faults.map(() => next());
  const lowest = Math.min(...drawn);
  return faults.filter((fault, index) => {
    const draw = drawn[index] ?? 1;
    return (
      draw < share ||
      draw === lowest ||
      (fault.how === 'fail' && fault.errno === 'EIO' && FOUND.some((found) => found.test(fault.point)))
    );
  });
}

/** Of a directory that is created in every hierarchy of cgroup v1, the first and the last time. */
function thinned(points: readonly string[]): string[] {
  const all = new Set(points);
  return [...all].filter((point) => {
    const count = Number(/\d+$/.exec(point)?.[0]);
    return !point.includes('/sys/fs/cgroup/') || count === 0 || !all.has(point.replace(/\d+$/, String(count + 1)));
  });
}
