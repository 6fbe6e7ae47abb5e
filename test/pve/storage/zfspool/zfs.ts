import { readFileSync } from 'node:fs';
import { fault } from '../../http/api-error.ts';
import { tool } from '../../lxc/machine/tool.ts';
import type { Dataset, Datasets, NewVolume, Properties } from './datasets.ts';
import { linkVolume, unlinkVolume } from './links.ts';

/** Runs zfs or zpool; its last line of errors is what the node says. */
async function run(command: 'zfs' | 'zpool', ...args: string[]): Promise<string> {
  try {
    return (await tool(command, args)).stdout;
  } catch (error) {
    const { message, cause } = error as Error;
    const said = (cause as Error).message.split('\n').at(-1) ?? '';
    throw fault(`zfs error: ${said === '' ? message : said}`);
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function given(properties: Properties): string[] {
  return Object.entries(properties).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The datasets of this machine: OpenZFS. */
export class ZfsDatasets implements Datasets {
  mounted(dataset: string): boolean {
    return readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .some(([what = '', , type]) => type === 'zfs' && (what === dataset || what.startsWith(`${dataset}/`)));
  }

  async imported(pool: string): Promise<boolean> {
    const found = await run('zpool', 'list', '-o', 'name', '-H', pool).catch(() => '');
    return lines(found).includes(pool);
  }

  async importPool(pool: string): Promise<void> {
    await run('zpool', 'import', '-d', '/dev/disk/by-id/', '-o', 'cachefile=none', pool);
  }

  async mountAll(): Promise<void> {
    await run('zfs', 'mount', '-a');
  }

  async get(dataset: string, ...properties: string[]): Promise<string[]> {
    return lines(await run('zfs', 'get', '-o', 'value', '-Hp', properties.join(','), dataset));
  }

  async set(dataset: string, property: string, value: string): Promise<void> {
    await run('zfs', 'set', `${property}=${value}`, dataset);
  }

  async children(dataset: string): Promise<Dataset[]> {
    const columns = 'name,volsize,origin,type,refquota';
    const text = await run('zfs', 'list', '-o', columns, '-t', 'volume,filesystem', '-d1', '-Hp', dataset);
    return lines(text)
      .map((line) => line.split('\t'))
      .filter(([name]) => name !== dataset)
      .map(([name = '', size, origin, type, quota]) => ({
        name,
        type: type === 'volume' ? 'volume' : 'filesystem',
        size: Number(type === 'volume' ? size : quota),
        ...(origin === undefined || origin === '-' ? {} : { origin }),
      }));
  }

  async createFilesystem(dataset: string, properties: Properties): Promise<void> {
    await run('zfs', 'create', ...given(properties), dataset);
  }

  async createVolume(dataset: string, { size, sparse, blocksize }: NewVolume): Promise<void> {
    const how = [...(sparse ? ['-s'] : []), ...(blocksize === undefined ? [] : ['-b', blocksize])];
    await run('zfs', 'create', ...how, '-V', `${size / 1024}k`, dataset);
  }

  async destroy(dataset: string): Promise<void> {
    await run('zfs', 'destroy', '-r', dataset);
    unlinkVolume(dataset);
  }

  async destroySnapshot(snapshot: string): Promise<void> {
    await run('zfs', 'destroy', snapshot);
  }

  async rename(dataset: string, name: string): Promise<void> {
    await run('zfs', 'rename', dataset, name);
    unlinkVolume(dataset);
  }

  async clone(snapshot: string, dataset: string, properties: Properties): Promise<void> {
    await run('zfs', 'clone', snapshot, dataset, ...given(properties));
  }

  async snapshot(snapshot: string, properties: Properties): Promise<void> {
    await run('zfs', 'snapshot', ...given(properties), snapshot);
  }

  async snapshots(dataset: string): Promise<string[]> {
    const text = await run('zfs', 'list', '-H', '-r', '-t', 'snapshot', '-o', 'name', '-s', 'creation', dataset);
    return lines(text).map((name) => name.replace(/^.*@/, ''));
  }

  async rollback(snapshot: string): Promise<void> {
    await run('zfs', 'rollback', snapshot);
  }

  async mount(dataset: string): Promise<void> {
    await run('zfs', 'mount', dataset);
  }

  async unmount(dataset: string): Promise<void> {
    await run('zfs', 'unmount', dataset);
  }

  link(dataset: string): Promise<void> {
    return linkVolume(dataset);
  }
}
