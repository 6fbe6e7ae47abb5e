import { setTimeout as sleep } from 'node:timers/promises';
import { Gauge, type Registry } from 'prom-client';
import type { StoreSpace } from '../model/rootfs.ts';
import { PREFIX } from './prefix.ts';

/** Milliseconds for which figures are used again: they are read at a scrape, and a reading may start a program. */
const FRESH_MS = 15_000;
/** Milliseconds that a scrape waits for a reading, such as that of a suspended pool; it then has the figures before. */
const PATIENCE_MS = 2_000;

/** The figures of each store by its name. */
export type SpaceSource = () => Promise<ReadonlyMap<string, StoreSpace>>;

/** Adds the gauges of the space of root filesystem stores, read from `source` at a scrape, at most every 15 seconds. */
export function watchSpace(registry: Registry, source: () => SpaceSource | undefined): void {
  const registers = [registry];
  let known: ReadonlyMap<string, StoreSpace> = new Map();
  let readAt = -Infinity;
  let reading: Promise<unknown> | undefined;
  const read = async () => {
    const ask = source();
    if (ask === undefined || performance.now() - readAt < FRESH_MS) return known;
    reading ??= ask()
      .then((figures) => {
        known = figures;
        readAt = performance.now();
      })
      .catch(() => {
        // What cannot be read has no sample.
        known = new Map();
      })
      .finally(() => (reading = undefined));
    const patience = new AbortController();
    const limit = sleep(PATIENCE_MS, undefined, { ref: false, signal: patience.signal }).catch(() => undefined);
    await Promise.race([reading, limit]);
    patience.abort();
    return known;
  };
  const gauge = (name: string, help: string, value: (space: StoreSpace) => bigint) =>
    new Gauge({
      name: `${PREFIX}${name}`,
      help,
      labelNames: ['store'],
      registers,
      async collect() {
        const figures = await read();
        this.reset();
        for (const [store, space] of figures) this.set({ store }, Number(value(space)));
      },
    });
  const where = 'the pool or filesystem of each root filesystem store';
  gauge('rootfs_store_used_bytes', `Bytes used on ${where}, by others as well.`, ({ used }) => used);
  gauge('rootfs_store_free_bytes', `Bytes free on ${where}.`, ({ free }) => free);
}
