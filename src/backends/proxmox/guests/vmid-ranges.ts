import * as z from 'zod';
import { CriError, StatusCode } from '../../../core/model/errors.ts';

/** The VMIDs of one node's pods, `first` to `first + size - 1`. */
export interface VmidRange {
  first: number;
  size: number;
}

/** Guests of a node at once, unless configured: each VMID that was ever used costs every node of the cluster 1.3 MB. */
const DEFAULT_SIZE = 300;
/** What Proxmox accepts as VMID. */
const LOWEST = 100;
const HIGHEST = 999_999_999;

const range = z.strictObject({
  first: z.int().min(LOWEST).max(HIGHEST).describe('the lowest VMID of the pods of this node'),
  size: z.int().min(1).max(1_000_000).default(DEFAULT_SIZE).describe('how many VMIDs the pods of this node may have'),
});

/**
 * The table of all nodes' ranges by node name, the same on every node of the cluster. Its problems name the field of the
 * later of two ranges that overlap, and where a range of its size is free.
 */
export const vmidRanges = z.record(z.string().min(1), range).superRefine((ranges, context) => {
  const nodes = Object.entries(ranges).sort(([, a], [, b]) => a.first - b.first);
  const end = Math.max(...nodes.map(([, one]) => last(one)));
  for (const [index, [node, one]] of nodes.entries()) {
    const problem = (message: string): void => context.addIssue({ code: 'custom', path: [node, 'first'], message });
    if (last(one) > HIGHEST) problem(`must be at most ${HIGHEST - one.size + 1} with a size of ${one.size}`);
    const other = nodes.slice(0, index).find(([, earlier]) => last(earlier) >= one.first);
    if (other !== undefined)
      problem(`must not lie in the range of ${other[0]} (${rangeText(other[1])}); ${end + 1} and above are free`);
  }
});

function last({ first, size }: VmidRange): number {
  return first + size - 1;
}

/** The range as people write it: `10000-10299`. */
export function rangeText(of: VmidRange): string {
  return `${of.first}-${last(of)}`;
}

/**
 * The range of a node.
 * @param field name of the table in the configuration, for the error
 * @throws {CriError} FAILED_PRECONDITION: the table does not name the node
 */
export function rangeOf(node: string, ranges: Record<string, VmidRange>, field: string): VmidRange {
  const found = Object.hasOwn(ranges, node) ? ranges[node] : undefined;
  if (found !== undefined) return found;
  const free = Math.max(LOWEST, ...Object.values(ranges).map((one) => last(one) + 1));
  throw new CriError(
    StatusCode.FAILED_PRECONDITION,
    `${field}.${node}: is missing: give this node VMIDs of its own, such as "first = ${free}", on every node of the cluster`,
  );
}
