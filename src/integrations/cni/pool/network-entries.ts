import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NetworkAttachment, NetworkRequest } from '../../../core/model/network.ts';
import { isPin, pin, unpin } from '../../../host/mounts/namespace-pin.ts';
import { call } from '../../../host/native/call.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { namesIn } from '../../../utils/fs/names.ts';

/** A network that no pod has yet, or that a pod has left. */
export interface NetworkEntry {
  /** The container id that its plugins know. */
  id: string;
  /** `creating` and `ready`: prepared for a pod; `releasing`: its plugins' DEL has to follow. */
  phase: 'creating' | 'ready' | 'releasing';
  /** The configurations that it was made of, as JSON; empty when a pod has left it. */
  configuration: string;
  /** What its plugins get. */
  request: NetworkRequest;
  attachment: NetworkAttachment;
}

const SUFFIX = '.json';
const LIMIT_MS = 30_000;

/** The records of such networks, and the files that keep their namespaces. */
export class NetworkEntries {
  readonly #records: string;
  readonly #pins: string;

  /** @param records directory that stays, one file each. @param pins directory of namespaces, which a reboot empties. */
  constructor({ records, pins }: { records: string; pins: string }) {
    this.#records = records;
    this.#pins = pins;
  }

  /** The path of a network's namespace; it may not exist. */
  namespace(id: string): string {
    return join(this.#pins, id);
  }

  /** Reads all, and removes namespaces without a record; makes the directories. @returns the names of records that cannot be read beside them. */
  async read(): Promise<{ entries: NetworkEntry[]; unreadable: string[] }> {
    for (const directory of [this.#records, this.#pins]) await mkdir(directory, { recursive: true, mode: 0o700 });
    const entries: NetworkEntry[] = [];
    const unreadable: string[] = [];
    for (const name of await namesIn(this.#records)) {
      const path = join(this.#records, name);
      if (!name.endsWith(SUFFIX)) {
        await rm(path, { force: true });
        continue;
      }
      try {
        const entry = JSON.parse(await readFile(path, 'utf8')) as NetworkEntry;
        if (`${entry.id}${SUFFIX}` !== name || !Array.isArray(entry.attachment.networks)) throw new Error('damaged');
        entries.push(entry);
      } catch {
        unreadable.push(path);
      }
    }
    const known = new Set(entries.map(({ id }) => id));
    for (const id of await namesIn(this.#pins)) if (!known.has(id)) await unpin(this.namespace(id));
    return { entries, unreadable };
  }

  /** Writes a record, durably. */
  async write(entry: NetworkEntry): Promise<void> {
    await writeFileAtomic(this.#record(entry.id), JSON.stringify(entry));
  }

  /** Makes a network namespace with its loopback up. */
  async makeNamespace(id: string): Promise<void> {
    const path = this.namespace(id);
    await call([
      { do: 'write', path, data: '', mode: 0o400, limitMs: LIMIT_MS },
      { do: 'pin', pins: new Map([['net', path]]), loopback: true, limitMs: LIMIT_MS },
    ]);
  }

  /** Keeps a namespace that exists. */
  async keepNamespace(id: string, namespace: string): Promise<void> {
    await unpin(this.namespace(id));
    await pin(namespace, this.namespace(id));
  }

  /** The path of a network's namespace; undefined when it is gone. */
  existing(id: string): string | undefined {
    return isPin(this.namespace(id)) ? this.namespace(id) : undefined;
  }

  /** Removes the record, then what keeps the namespace. No error when there is none. */
  async remove(id: string): Promise<void> {
    await rm(this.#record(id), { force: true });
    await unpin(this.namespace(id));
  }

  #record(id: string): string {
    return join(this.#records, `${id}${SUFFIX}`);
  }
}
