import type { Pressure, PressureFigures } from '../../core/model/resource-usage.ts';
import type { Bound } from '../../core/model/usage-details.ts';
import { readCgroupFile } from './files.ts';
import type { CgroupHierarchy } from './hierarchies.ts';

/** The largest value of a counter in the kernel and on the wire. */
const LARGEST = 2n ** 64n - 1n;

/** v1 writes "no limit" as PAGE_COUNTER_MAX, rounded to pages. */
const NO_LIMIT = 2n ** 62n;

/** Name of a file of a controller on v1 and on v2; undefined where there is none. */
export interface FigureFile {
  controller: string;
  v1?: string;
  v2?: string;
}

/** Reads files of one cgroup, from the hierarchy that has their controller (cgroups(7)). */
export class FigureReader {
  readonly #hierarchies: readonly CgroupHierarchy[];
  readonly #cgroup: string;

  constructor(hierarchies: readonly CgroupHierarchy[], cgroup: string) {
    this.#hierarchies = hierarchies;
    this.#cgroup = cgroup;
  }

  /** Whether a controller is one of v1; all others are of v2. */
  isV1(controller: string): boolean {
    return this.#hierarchies.some(({ controllers }) => controllers.includes(controller));
  }

  /** The text of a file; undefined when it or the cgroup is not there. */
  text({ controller, v1, v2 }: FigureFile): string | undefined {
    const own = this.#hierarchies.find(({ controllers }) => controllers.includes(controller));
    const hierarchy = own ?? this.#hierarchies.find(({ version }) => version === 2);
    const name = own === undefined ? v2 : v1;
    if (hierarchy === undefined || name === undefined) return undefined;
    return readCgroupFile(`${hierarchy.mountPoint}${this.#cgroup}/${name}`);
  }

  count(file: FigureFile): bigint | undefined {
    return parseCount(this.text(file));
  }

  limit(file: FigureFile): Bound | undefined {
    return parseLimit(this.text(file));
  }

  flat(file: FigureFile): Map<string, bigint> {
    return parseFlatKeyed(this.text(file));
  }

  /** Pressure on what a controller of v2 shares out; v1 has none. */
  pressure(controller: string, v2: string): Pressure | undefined {
    return parsePressure(this.text({ controller, v2 }));
  }
}

/** A whole number that a counter can hold; undefined for anything else. */
export function parseCount(text: string | undefined): bigint | undefined {
  const digits = text?.trim() ?? '';
  if (!/^\d{1,20}$/.test(digits)) return undefined;
  const count = BigInt(digits);
  return count > LARGEST ? undefined : count;
}

/** A limit of v1 or v2 (`max`). */
export function parseLimit(text: string | undefined): Bound | undefined {
  const word = text?.trim() ?? '';
  if (word === 'max' || word === '-1') return 'unlimited';
  const limit = parseCount(word);
  return limit !== undefined && limit >= NO_LIMIT ? 'unlimited' : limit;
}

/** Lines of `key number`, as in memory.stat and cpu.stat (cgroups(7)); other lines are skipped. */
export function parseFlatKeyed(text: string | undefined): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of (text ?? '').split('\n')) {
    const blank = line.indexOf(' ');
    const value = blank > 0 ? parseCount(line.slice(blank + 1)) : undefined;
    if (value !== undefined) values.set(line.slice(0, blank), value);
  }
  return values;
}

/** Two lines `some avg10=1.25 avg60=0.00 avg300=0.00 total=5` (psi); old kernels have no `full` of the processor. */
export function parsePressure(text: string | undefined): Pressure | undefined {
  const lines = (text ?? '').split('\n');
  const some = parsePressureLine('some', lines);
  if (some === undefined) return undefined;
  return { some, full: parsePressureLine('full', lines) ?? { total: 0n, avg10: 0, avg60: 0, avg300: 0 } };
}

function parsePressureLine(kind: string, lines: readonly string[]): PressureFigures | undefined {
  const fields = lines.find((line) => line.startsWith(`${kind} `))?.split(' ') ?? [];
  const value = (name: string) => fields.find((field) => field.startsWith(`${name}=`))?.slice(name.length + 1) ?? '';
  const average = (name: string) => (/^\d{1,3}(\.\d+)?$/.test(value(name)) ? Number(value(name)) : 0);
  const microseconds = parseCount(value('total'));
  if (microseconds === undefined || microseconds * 1000n > LARGEST) return undefined;
  const averages = { avg10: average('avg10'), avg60: average('avg60'), avg300: average('avg300') };
  return { total: microseconds * 1000n, ...averages };
}
