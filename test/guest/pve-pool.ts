import { execFile } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Runs a program and resolves with its output; rejects when it fails. */
export async function output(program: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(program, args)).stdout;
}

/** The dataset that a storage is; two datasets that are no volumes are below it. */
export const POOL = 'guest/ct';
export const FOREIGN = [`${POOL}/data`, `${POOL}/data/subvol-5-disk-0`];

/** A pool of OpenZFS on a file in a directory, mounted below it. */
export class TestPool {
  readonly mountpoint: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.mountpoint = join(directory, 'pool/ct');
  }

  static async make(directory: string): Promise<TestPool> {
    const disk = join(directory, 'disk');
    await writeFile(disk, '');
    await truncate(disk, 512 * 1024 ** 2);
    const mountpoint = `mountpoint=${join(directory, 'pool')}`;
    await output('zpool', 'create', '-o', 'cachefile=none', '-O', mountpoint, 'guest', disk);
    for (const dataset of [POOL, ...FOREIGN]) await output('zfs', 'create', dataset);
    return new TestPool(directory);
  }

  async setImported(imported: boolean): Promise<void> {
    if (imported) await output('zpool', 'import', '-o', 'cachefile=none', '-d', this.#directory, 'guest');
    else await output('zpool', 'export', 'guest');
  }

  /** Names of the datasets and snapshots below that of the storage. */
  async names(): Promise<string[]> {
    const names = (await output('zfs', 'list', '-Hr', '-o', 'name', '-t', 'all', POOL)).trim().split('\n');
    return names.slice(1).map((name) => name.slice(POOL.length + 1));
  }

  /** Values of a volume's properties. */
  async get(volume: string, ...properties: string[]): Promise<string[]> {
    const text = await output('zfs', 'get', '-Hpo', 'value', properties.join(','), `${POOL}/${volume}`);
    return text.trim().split('\n');
  }

  async remove(): Promise<void> {
    await output('zpool', 'destroy', '-f', 'guest');
  }
}
