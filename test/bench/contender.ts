import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ListContainersRequest,
  ListPodSandboxRequest,
  PullImageRequest,
  RuntimeServiceService,
  ImageServiceService,
} from '../../api/gen/cri.ts';
import { ServerClient } from '../../src/cli/client/server.ts';
import { run } from '../../src/host/processes/run.ts';
import { accepts } from '../lib/accepts.ts';
import { HANG_MS } from '../lib/eventually.ts';
import { cgroupMounts, unmountBelow } from '../lib/mounts.ts';
import { processesBelow } from '../lib/processes.ts';
import { MARK } from './requests.ts';

const sandboxCgroup = process.env['PROXMOX_LXCRI_TEST_CGROUP'];
const PATIENT = { timeoutMs: HANG_MS };

/** A CRI server to be measured: one of this project or a peer, with its own directory, bridge and cgroup. */
export class Contender implements AsyncDisposable {
  readonly name: string;
  /** RuntimeClass of its pods. */
  readonly handler: string;
  readonly directory: string;
  readonly socket: string;
  /** Below the root of each hierarchy: the server in `server`, its pods in `pods`. */
  readonly cgroup: string;
  /** The commands of the image that pods run, without a registry's host. */
  readonly image: string;
  client: ServerClient;
  readonly #number: number;
  readonly #command: (contender: Contender) => Promise<string[]>;
  #entries: string[] = [];
  #process: ChildProcess | undefined;

  /** `command` writes what the server reads and returns its command line. */
  constructor(
    name: string,
    {
      number,
      directory,
      handler = '',
      image,
      command,
    }: {
      number: number;
      directory: string;
      handler?: string;
      image: string;
      command: (contender: Contender) => Promise<string[]>;
    },
  ) {
    if (sandboxCgroup === undefined) throw new Error('run this below test/sandbox');
    this.name = name;
    this.#number = number;
    this.handler = handler;
    this.directory = join(directory, String(number));
    this.socket = join(this.directory, 'cri.sock');
    this.cgroup = `${sandboxCgroup}/contender${String(number)}`;
    this.image = image;
    this.#command = command;
    this.client = new ServerClient(`unix://${this.socket}`);
  }

  get cni(): string {
    return join(this.directory, 'cni');
  }

  get #bridge(): string {
    return `bench${String(this.#number)}`;
  }

  /** The plugins of the pods' network, which are the same for all but for the bridge and its addresses. */
  get #plugins(): object[] {
    const ipam = {
      type: 'host-local',
      dataDir: join(this.directory, 'ipam'),
      ranges: [[{ subnet: `10.${String(100 + this.#number)}.0.0/16` }]],
      routes: [{ dst: '0.0.0.0/0' }],
    };
    return [
      { type: 'bridge', bridge: this.#bridge, isGateway: true, ipMasq: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ];
  }

  /** What a runtime gives to each plugin of the network. */
  pluginConfigs(): [string, string] {
    const common = { cniVersion: '1.0.0', name: `net-${this.#bridge}` };
    return this.#plugins.map((plugin) => JSON.stringify({ ...common, ...plugin })) as [string, string];
  }

  /** Writes the network configuration and makes the cgroups. */
  async prepare(): Promise<void> {
    await mkdir(this.cni, { recursive: true });
    const list = { cniVersion: '1.0.0', name: `net-${this.#bridge}`, plugins: this.#plugins };
    await writeFile(join(this.cni, '10-bench.conflist'), JSON.stringify(list));
    for (const { target } of await cgroupMounts())
      await mkdir(join(target, this.cgroup, 'server'), { recursive: true });
    this.#entries = (await cgroupMounts())
      .filter(({ version, has }) => version === 2 || has('cpuacct'))
      .map(({ target }) => join(target, this.cgroup, 'server/cgroup.procs'));
  }

  /** A command that runs another in the server's cgroup. */
  inCgroup(command: string[]): [string, string[]] {
    const enter = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@"';
    return ['sh', ['-c', enter, 'sh', ...this.#entries, '--', ...command]];
  }

  /** Starts the server; resolves with the milliseconds to its first answer. */
  async start(): Promise<number> {
    const command = await this.#command(this);
    await rm(this.socket, { force: true });
    await using log = await open(join(this.directory, 'server.log'), 'a');
    const begin = performance.now();
    const child = spawn(...this.inCgroup(command), {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    });
    this.#process = child;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${this.name}: ${(await this.#log()).slice(-3000)}`);
      if ((await accepts(this.socket)) && (await this.#answers())) return performance.now() - begin;
      if (performance.now() - begin > HANG_MS) throw new Error(`${this.name} does not answer`);
      await sleep(2);
    }
  }

  async #answers(): Promise<boolean> {
    const client = new ServerClient(`unix://${this.socket}`);
    try {
      await client.call(RuntimeServiceService.version, { version: '' }, { timeoutMs: 1000 });
      this.client[Symbol.dispose]();
      this.client = client;
      return true;
    } catch {
      client[Symbol.dispose]();
      return false;
    }
  }

  async pull(image: string): Promise<void> {
    await this.client.call(ImageServiceService.pullImage, PullImageRequest.create({ image: { image } }), PATIENT);
  }

  /** Milliseconds of processor time of the server, its children and its pods so far. */
  async cpuMs(): Promise<number> {
    const v1 = (await cgroupMounts()).find(({ has }) => has('cpuacct'));
    if (v1) return Number(await readFile(join(v1.target, this.cgroup, 'cpuacct.usage'), 'utf8')) / 1e6;
    const text = await readFile(join('/sys/fs/cgroup', this.cgroup, 'cpu.stat'), 'utf8');
    return Number(/^usage_usec (\d+)/m.exec(text)?.[1]) / 1000;
  }

  /** KiB of proportional memory (PSS) of everything that belongs to the runtime, containers left out. */
  async pss(): Promise<{ all: number; server: number }> {
    const server = (await this.serverPids())[0];
    let [all, own] = [0, 0];
    for (const pid of await processesBelow(this.cgroup)) {
      const command = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
      if (command.includes(MARK)) continue;
      const kib = await pssOf(pid);
      all += kib;
      if (pid === server) own = kib;
    }
    return { all, server: own };
  }

  /** The server's own process first. */
  async serverPids(): Promise<number[]> {
    const own = this.#process?.pid;
    const others = (await processesBelow(`${this.cgroup}/server`)).filter((pid) => pid !== own);
    return own === undefined ? others : [own, ...others];
  }

  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** Removes all pods. */
  async clear(): Promise<void> {
    const { containers } = await this.client.call(RuntimeServiceService.listContainers, ListContainersRequest.create());
    for (const { id } of containers) {
      await this.client.call(RuntimeServiceService.stopContainer, { containerId: id, timeout: 0n }, PATIENT);
      await this.client.call(RuntimeServiceService.removeContainer, { containerId: id }, PATIENT);
    }
    const { items } = await this.client.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create());
    for (const { id } of items) {
      await this.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: id }, PATIENT);
      await this.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: id }, PATIENT);
    }
  }

  #log(): Promise<string> {
    return readFile(join(this.directory, 'server.log'), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process !== undefined)
      await this.clear().catch((error: unknown) => {
        console.error(`${this.name}:`, error);
      });
    // CRI-O waits for the ends of its connections.
    this.client[Symbol.dispose]();
    await this.end();
    await run('ip', ['link', 'delete', this.#bridge]).catch(() => undefined);
    await unmountBelow(this.directory);
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** The command line of this project's server: the bundle at `bundle` with the options of its launcher. */
export function ourCommand(bundle: string, runtime: string): (contender: Contender) => Promise<string[]> {
  return async ({ directory, socket, cni, cgroup }) => {
    const toml = `
root = "${directory}/root"
state = "${directory}/state"
[grpc]
listen = "unix://${socket}"
[metrics]
listen = ""
[network]
config_dir = "${cni}"
plugin_dirs = ["/usr/lib/cni"]
[runtime]
oci_runtime = "${runtime}"
cgroup_parent = "${cgroup}/pods"
`;
    await writeFile(join(directory, 'config.toml'), toml);
    // As by the launchers, deploy/bin/proxmox-lxcri and that of the Debian package.
    const environment = [`NODE_COMPILE_CACHE=${resolve(bundle, '../compile-cache')}`, 'MALLOC_ARENA_MAX=2'];
    const flags = ['--disable-sigusr1', '--disable-warning=ExperimentalWarning', '--max-semi-space-size=4'];
    const node = [process.execPath, ...flags];
    return [
      'env',
      ...environment,
      ...node,
      join(resolve(bundle), 'main.js'),
      'serve',
      '--config',
      join(directory, 'config.toml'),
    ];
  };
}

/** The command line of a peer, which `test/bench/peer` starts; `environment` is for it. */
export function peerCommand(
  kind: string,
  registry: string,
  environment: Record<string, string>,
): (contender: Contender) => Promise<string[]> {
  return async ({ directory, cni }) => {
    const env = { ...process.env, ...environment };
    const { stdout } = await run('test/bench/peer', ['--print', kind, directory, cni, registry], { env });
    return stdout.trim().split('\n');
  };
}

/** KiB; 0 for a process that has ended. */
async function pssOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${String(pid)}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
}
