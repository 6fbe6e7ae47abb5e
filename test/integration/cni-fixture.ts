import type { ExecutionContext } from 'ava';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { NetworkAttachment, NetworkRequest } from '../../src/core/model/network.ts';
import { CniNetwork, type CniNetworkOptions } from '../../src/integrations/cni/cni-network.ts';
import { run } from '../../src/host/processes/run.ts';
import { writeScript } from '../lib/script.ts';
import { testCgroup } from './runner-fixture.ts';

let subnets = 0;

/** A call of the recording plugin. */
export interface RecordedCall {
  command: string;
  environment: Record<string, string>;
  input: Record<string, unknown>;
}

/** A bridge network with Debian's plugins, and network namespaces; all are removed after the test. */
export class CniFixture {
  readonly directory: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly network: CniNetwork;
  readonly #options: CniNetworkOptions;
  readonly warnings: string[] = [];
  /** Lines of the journal that were read. */
  #callsRead = 0;

  private constructor(directory: string) {
    subnets += 1;
    this.directory = directory;
    this.bridge = `cnitest${String(subnets)}`;
    this.subnet = `10.77.${String(subnets)}`;
    const note = (message: string) => void this.warnings.push(message);
    const logger = { debug: note, info: note, warn: note, error: note, with: () => logger };
    const pluginDirs = [join(directory, 'bin'), resolve('test/fixtures/cni'), '/usr/lib/cni'];
    const configDir = join(directory, 'net.d');
    const commands = { fifo: '/dev/null', earlierEnded: Promise.resolve() };
    const pool = { size: 0, records: join(directory, 'networks'), pins: join(directory, 'pins') };
    this.#options = { configDir, maxNetworks: 0, template: undefined, pluginDirs, commands, pool, logger };
    this.network = new CniNetwork(this.#options);
  }

  static async make(t: ExecutionContext): Promise<CniFixture> {
    if (testCgroup === undefined) throw new Error('run this below test/sandbox');
    const directory = await mkdtemp('/tmp/cni-');
    const fixture = new CniFixture(directory);
    await mkdir(join(directory, 'net.d'));
    await mkdir(join(directory, 'bin'));
    await fixture.configure([{ type: 'portmap', capabilities: { portMappings: true } }]);
    t.teardown(async () => {
      await run('ip', ['link', 'delete', fixture.bridge]).catch(() => undefined);
      await rm(directory, { recursive: true, force: true });
    });
    return fixture;
  }

  /** The network of another server on the same directories, that prepares networks. */
  another(size: number): CniNetwork {
    return new CniNetwork({ ...this.#options, pool: { ...this.#options.pool, size } });
  }

  async configure(more: object[], ranges = [`${this.subnet}.0/24`], settings = {}): Promise<void> {
    const ipam = {
      type: 'host-local',
      dataDir: join(this.directory, 'leases'),
      ranges: ranges.map((subnet) => [{ subnet }]),
      routes: [{ dst: '0.0.0.0/0' }],
    };
    const bridge = { type: 'bridge', bridge: this.bridge, isGateway: true, ipMasq: true, ipam };
    await this.list('10-test', { cniVersion: '1.0.0', name: 'test', plugins: [bridge, ...more], ...settings });
  }

  /** Writes a configuration list. */
  async list(name: string, list: object): Promise<void> {
    await writeFile(join(this.directory, 'net.d', `${name}.conflist`), JSON.stringify(list));
  }

  /** A plugin that records its calls in the journal. */
  recorder(more: object = {}): object {
    return { type: 'recorder', journal: join(this.directory, 'journal'), ...more };
  }

  /** Calls of the recorder since the last read. The journal stays: a call between a read and its removal would be lost. */
  async calls(): Promise<RecordedCall[]> {
    const text = await readFile(join(this.directory, 'journal'), 'utf8').catch(() => '');
    const lines = text.split('\n').slice(this.#callsRead, -1);
    this.#callsRead += lines.length;
    return lines.map((line) => JSON.parse(line) as RecordedCall);
  }

  /** Makes a command of the recorder fail with the error, or succeed again. */
  async fail(command: string, error?: { code: number; msg: string }): Promise<void> {
    const path = join(this.directory, `journal.${command}`);
    if (error === undefined) await rm(path, { force: true });
    else await writeFile(path, JSON.stringify({ cniVersion: '1.1.0', ...error }));
  }

  /** A plugin of the test. */
  async plugin(name: string, script: string): Promise<void> {
    await writeScript(join(this.directory, 'bin', name), script);
  }

  async request(t: ExecutionContext, name: string): Promise<NetworkRequest & { netns: string }> {
    const namespace = `${this.bridge}-${name}`;
    await run('ip', ['netns', 'add', namespace]);
    t.teardown(() => run('ip', ['netns', 'delete', namespace]).catch(() => undefined));
    return {
      sandboxId: name.repeat(8),
      podName: name,
      podNamespace: 'default',
      podUid: `uid-${name}`,
      netns: `/run/netns/${namespace}`,
      portMappings: [],
      cgroupParent: '',
      annotations: {},
    };
  }

  async leases(network = 'test'): Promise<string[]> {
    const names = await readdir(join(this.directory, 'leases', network)).catch(() => []);
    return names.filter((name) => /^(10\.|fd)/.test(name)).sort();
  }

  /** Attaches; on failure rolls back, as the caller has to. */
  async attach(request: NetworkRequest & { netns: string }): Promise<NetworkAttachment> {
    let begun: NetworkAttachment = { ips: [], networks: [] };
    const progress = (soFar: NetworkAttachment) => Promise.resolve((begun = soFar)).then(() => undefined);
    try {
      return await this.network.attach(request, progress);
    } catch (error) {
      await this.network.detach(request, begun);
      throw error;
    }
  }
}
