import { readFile } from 'node:fs/promises';
import { unavailable } from '../../../core/model/errors.ts';
import { forEach } from '../../../utils/async/for-each.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { namesIn } from '../../../utils/fs/names.ts';
import { formatAddress, parseAddress } from '../../../utils/net/address-range.ts';

/** Where the cluster file system has the nodes. */
const NODES = '/etc/pve/nodes';
/** Milliseconds that what was read is valid. */
const VALID_MS = 5_000;
/** Files that are read at once. */
const AT_ONCE = 32;

/**
 * The static addresses in the configurations of all guests of the cluster, of both kinds, also in their snapshots. The cluster
 * file system has them in memory on each node. What guests get by DHCP or set themselves is unknown.
 */
export class OtherGuests {
  readonly #nodes: string;
  #last: { at: number; found: Promise<ReadonlySet<string>> } | undefined;

  /** @param nodes the directory with a directory for each node. */
  constructor(nodes = NODES) {
    this.#nodes = nodes;
  }

  /** Reads them; unless `fresh`, takes what was read less than five seconds before. @throws CriError UNAVAILABLE. */
  addresses(fresh: boolean): Promise<ReadonlySet<string>> {
    const now = performance.now();
    if (!fresh && this.#last !== undefined && now - this.#last.at < VALID_MS) return this.#last.found;
    const found = this.#read().catch((error: unknown) => {
      this.#last = undefined;
      throw unavailable(`cannot read the configurations of guests: ${messageOf(error)}`, error);
    });
    this.#last = { at: now, found };
    return found;
  }

  async #read(): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    const files: string[] = [];
    for (const node of await namesIn(this.#nodes)) {
      for (const kind of ['lxc', 'qemu-server']) {
        const directory = `${this.#nodes}/${node}/${kind}`;
        for (const name of await namesIn(directory)) if (name.endsWith('.conf')) files.push(`${directory}/${name}`);
      }
    }
    await forEach(files, AT_ONCE, async (file) => {
      for (const address of staticAddresses(await textOf(file))) found.add(address);
    });
    return found;
  }
}

/** The addresses that the lines `netN` and `ipconfigN` of a guest's configuration set, each in its one text. */
export function staticAddresses(config: string): string[] {
  const lines = config.match(/^(?:net|ipconfig)\d+:.*$/gm) ?? [];
  return lines.flatMap((line) =>
    [...line.matchAll(/[ ,]ip6?=([0-9A-Fa-f.:]+)/g)].flatMap(([, text = '']) => {
      const address = parseAddress(text);
      return address === undefined ? [] : [formatAddress(address)];
    }),
  );
}

/** Nothing for a guest that is gone meanwhile. */
async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  });
}
