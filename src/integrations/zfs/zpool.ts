import { numberOf, valueOf, type Entry } from './answers/properties.ts';
import type { CallOptions } from './commands.ts';
import type { PropertiesReader } from './properties-reader.ts';
import { checkPool } from './names.ts';

/** An imported pool. */
export interface Pool {
  name: string;
  guid: string;
  /** `ONLINE`, `DEGRADED`, `FAULTED`, `UNAVAIL`, `SUSPENDED` … (zpoolconcepts(7)). */
  health: string;
  /** Nothing is written until `zpool clear`: commands that change something wait or fail. */
  isSuspended: boolean;
  isReadonly: boolean;
  /** Bytes; undefined where an unavailable pool does not know. */
  sizeBytes: bigint | undefined;
  /** Bytes of free blocks, parity and slop space included: a dataset's `available` is what can be written. */
  freeBytes: bigint | undefined;
  /** Percent. */
  capacity: number | undefined;
  /** What it does when its devices fail: `wait`, `continue`, `panic`. */
  failmode: string;
}

const PROPERTIES = ['guid', 'health', 'readonly', 'size', 'free', 'capacity', 'failmode'];

/** Reads the state of pools with `zpool`. */
export class Zpool {
  readonly #reader: PropertiesReader;

  constructor(reader: PropertiesReader) {
    this.#reader = reader;
  }

  /** All imported pools. @throws ZfsError. */
  list(options?: CallOptions): Promise<Pool[]> {
    return this.#read([], options);
  }

  /** One pool. @throws ZfsError notFound when it is not imported. */
  async get(name: string, options?: CallOptions): Promise<Pool> {
    const [pool] = await this.#read([checkPool(name)], options);
    if (pool === undefined) throw new Error(`zpool get printed nothing about ${name}`);
    return pool;
  }

  async #read(names: readonly string[], options?: CallOptions): Promise<Pool[]> {
    const reading = { program: 'zpool', options: [], properties: PROPERTIES, names, object: names[0] ?? '' } as const;
    return (await this.#reader.read(reading, options)).map(poolFrom);
  }
}

function poolFrom(entry: Entry): Pool {
  const health = valueOf(entry, 'health') ?? 'UNKNOWN';
  const capacity = numberOf(entry, 'capacity');
  return {
    name: entry.name,
    guid: valueOf(entry, 'guid') ?? '',
    health,
    isSuspended: health === 'SUSPENDED',
    isReadonly: valueOf(entry, 'readonly') === 'on',
    sizeBytes: numberOf(entry, 'size'),
    freeBytes: numberOf(entry, 'free'),
    capacity: capacity === undefined ? undefined : Number(capacity),
    failmode: valueOf(entry, 'failmode') ?? '',
  };
}
